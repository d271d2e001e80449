#!/usr/bin/env python3
"""Golden renderings by jinja2, set up as transformers' chat templates are.

Needs: pip install jinja2==3.1.6.   usage: make_jinja_cases.py OUT.json
"""
import json, sys
from jinja2 import TemplateError
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment


def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def raise_exception(message):
    raise TemplateError(message)


env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])
env.filters["tojson"] = tojson
env.globals["raise_exception"] = raise_exception

V = {"a": 1, "b": 2.5, "s": "Hello, World", "e": "", "n": None, "t": True, "l": [3, 1, 2], "u": "Ünïcödé 日本 🙂",
     "d": {"x": 1, "y": [1, 2, {"z": "deep"}], "items": "shadow", "name": "it's"}, "words": ["b", "A", "c"],
     "m": [{"role": "user", "content": "hi", "n": 2}, {"role": "assistant", "content": "yo", "n": 1}, {"role": "user", "content": None, "n": 3}],
     "q": 'say "hi"\n\\', "big": 12345678901234, "f": [1.0, 0.1, 1e16, 1e-5, 123456.789, -0.0, 1e22, 5e-324]}
SOURCES = """{{ a + b }}|{{ 7 // 2 }}|{{ -7 // 2 }}|{{ 7 % 3 }}|{{ -7 % 3 }}|{{ 7 / 2 }}|{{ 2 ** 10 }}|{{ 2 ** -1 }}
{{ 1 + 2 * 3 - 4 }} {{ (1 + 2) * 3 }} {{ -2 ** 2 }} {{ 2 * -3 }} {{ 10 - 2 - 3 }}
{{ 1.0 }} {{ 1e3 }} {{ 1.5e-7 }} {{ 100000000000000000.0 }} {{ f }}
{{ s ~ a ~ n ~ t }} {{ 'a' 'b' "c" }} {{ 'x' * 3 }} {{ [1] * 2 }} {{ [1] + [2] }}
{{ a == 1 and b > 2 }} {{ not a }} {{ n or 'none' }} {{ e or 'empty' }} {{ 1 < 2 < 3 }} {{ 1 < 2 > 3 }}
{{ 1 == 1.0 }} {{ true == 1 }} {{ 'a' < 'b' }} {{ [1,2] < [1,3] }} {{ none == undefinedvar }}
{{ 'ell' in s }} {{ 4 in l }} {{ 'x' in d }} {{ 'q' not in d }} {{ not 'x' in d }}
{{ undefinedvar }}|{{ undefinedvar is defined }}|{{ undefinedvar | default('dd') }}|{{ undefinedvar | length }}|{{ undefinedvar or 5 }}
{{ undefinedvar.x }}
{{ d.x }} {{ d['x'] }} {{ d.y[2].z }} {{ d.nope }}| {{ d['nope'] is defined }}
{{ d['items'] }} {{ d.get('x') }} {{ d.get('nope') }} {{ d.get('nope', 7) }} {{ d.keys() | list }} {{ d.values() | list | length }}
{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}
{{ l[0] }} {{ l[-1] }} {{ l[10] is defined }} {{ l[1:] }} {{ l[:-1] }} {{ l[::-1] }} {{ s[1:5] }} {{ s[::-2] }} {{ u[2:9] }} {{ l[5:] }}
{{ (1, 2) }} {{ (1,) }} {{ () }} {{ [1, 'a', none, true, 2.0] }} {{ {'k': [1, {'j': 'v'}]} }} {{ {1: 2} }}
{{ q }} {{ [q, d.name] }} {{ u }} {{ [u] }} {{ ['\\t\\x00\\x7f\\u200b'] }}
{{ d | tojson }} {{ l | tojson(indent=2) }} {{ d | tojson(indent=4, sort_keys=true) }} {{ u | tojson }} {{ u | tojson(ensure_ascii=true) }} {{ [] | tojson(indent=2) }} {{ q | tojson }} {{ f | tojson }}
{{ d | tojson(separators=(',', ':')) }} {{ none | tojson }} {{ true | tojson }} {{ {'a': none} | tojson(indent=0) }}
{{ s.upper() }} {{ s | lower }} {{ s | title }} {{ 'hELLO wORLD' | capitalize }} {{ "they're bill's" | title }} {{ u.upper() }} {{ 'ß'.upper() }}
{{ '  x '.strip() }}|{{ '  x '.lstrip() }}|{{ '  x '.rstrip() }}|{{ 'xxhixx'.strip('x') }}|{{ ' y ' | trim }}|{{ '--a-'.lstrip('-') }}
{{ 'a,b,,c'.split(',') }} {{ ' a  b c '.split() }} {{ 'a,b,c'.split(',', 1) }} {{ 'a,b,c'.rsplit(',', 1) }} {{ 'a b c d'.split(none, 2) }} {{ 'a\\nb\\r\\nc'.splitlines() }} {{ 'a b  c'.rsplit(none, 1) }}
{{ 'abcabc'.replace('b', 'X') }} {{ 'abcabc'.replace('b', 'X', 1) }} {{ 'abc' | replace('c', 'd') }} {{ 'ab'.replace('', '-') }}
{{ s.startswith('Hell') }} {{ s.endswith(('x', 'ld')) }} {{ s.find('World') }} {{ s.find('zz') }} {{ s.count('l') }} {{ u.find('日') }} {{ s.index('W') }}
{{ ', '.join(words) }} {{ words | join('-') }} {{ m | map(attribute='role') | join(',') }} {{ l | join }} {{ [1, none, 'x'] | join('|') }}
{{ 'x={} y={}'.format(1, 'b') }} {{ '{0}{1}{0}'.format('a', 'b') }} {{ '{k}'.format(k=3) }} {{ '%s-%d-%.2f' | format('a', 3, 2.5) }} {{ '%5s|%-5s|%05d' % ('a', 'b', 42) }} {{ '{{}}'.format() }}
{{ 'abc'.isdigit() }} {{ '12'.isdigit() }} {{ 'abc'.isalpha() }} {{ 'AB'.isupper() }} {{ ' '.isspace() }} {{ 'a1'.isalnum() }}
{{ 'prefix-x'.removeprefix('prefix-') }} {{ 'x.txt'.removesuffix('.txt') }} {{ 'a=b=c'.partition('=') }} {{ 'a=b=c'.rpartition('=') }} {{ 'ab'.ljust(4) }}| {{ 'ab'.rjust(4) }} {{ '7'.zfill(3) }}
{{ l | sort }} {{ l | sort(reverse=true) }} {{ words | sort }} {{ words | sort(case_sensitive=true) }} {{ m | sort(attribute='n') | map(attribute='n') | list }}
{{ l | first }} {{ l | last }} {{ l | max }} {{ l | min }} {{ l | sum }} {{ l | reverse | list }} {{ 'abc' | reverse }} {{ [] | first }} {{ m | sum(attribute='n') }}
{{ l | length }} {{ s | length }} {{ u | length }} {{ d | count }} {{ s | list }} {{ d | list }}
{{ m | selectattr('role', 'equalto', 'user') | list | length }} {{ m | rejectattr('role', 'eq', 'user') | map(attribute='content') | list }} {{ m | selectattr('content') | list | length }} {{ l | select('odd') | list }} {{ l | reject('gt', 1) | list }} {{ m | selectattr('n', 'in', [1, 3]) | map(attribute='n') | list }}
{{ l | map('string') | join('+') }} {{ words | map('upper') | list }} {{ [[1, 2], [3]] | map('length') | list }} {{ m | map(attribute='zz', default='-') | list }}
{{ '42' | int }} {{ 'x' | int }} {{ 'x' | int(5) }} {{ '3.7' | float }} {{ 3.99 | int }} {{ -5 | abs }} {{ 2.567 | round(2) }} {{ 2.5 | round }} {{ 2.1 | round(method='ceil') | int }} {{ '3.9' | int }}
{{ [1, 1, 2, 'a', 'A'] | unique | list }} {{ [1,2,3,4,5] | batch(2) | list }} {{ [1,2,3] | batch(2, 'x') | list }} {{ {'b': 1, 'a': 2} | dictsort }} {{ {'b': 1, 'a': 2} | dictsort(by='value', reverse=true) }} {{ {'b': 1} | items | list }}
{{ 'a\\nb\\n\\nc' | indent }}|{{ 'a\\nb' | indent(2, true) }}|{{ 'x' | center(7) }}|{{ 'hello world foo' | truncate(11) }}|{{ 'hello world foo bar' | truncate(9, true, '…', 0) }}|{{ 'a b  c' | wordcount }}|{{ '<a&"\\'>' | e }}
{{ a is number }} {{ s is string }} {{ l is iterable }} {{ d is mapping }} {{ l is sequence }} {{ n is none }} {{ n is not none }} {{ a is odd }} {{ 4 is even }} {{ 9 is divisibleby 3 }} {{ a is defined and a is not none }} {{ t is true }} {{ t is boolean }} {{ b is float }} {{ a is integer }} {{ t is integer }} {{ t is number }} {{ 1 is sameas 1 }} {{ 'x' is in ['x'] }} {{ s is callable }} {{ 'a' is lower }} {{ 'A1' is upper }} {{ 'upper' is filter }} {{ 'even' is test }} {{ 3 is eq 3 }} {{ 3 is gt 2 }} {{ 3 is le(3) }}
{% if a == 2 %}two{% elif a == 1 %}one{% else %}other{% endif %}
{% if n %}x{% endif %}{% if not n %}y{% endif %}{{ 'yes' if t else 'no' }}{{ 'only' if n }}
{% for x in l %}{{ loop.index }}{{ loop.index0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.revindex }}{{ loop.revindex0 }} {% endfor %}
{% for x in l %}{{ loop.previtem }}<{{ x }}>{{ loop.nextitem }} {{ loop.cycle('o', 'e') }}{{ loop.changed(x > 1) }} {% endfor %}
{% for x in l if x > 1 %}{{ x }}{{ loop.length }}{% else %}none{% endfor %}{% for x in [] %}{{ x }}{% else %}empty{% endfor %}
{% for x in l %}{% if x == 1 %}{% continue %}{% endif %}{{ x }}{% if x == 2 %}{% break %}{% endif %}{% endfor %}
{% for a, b in [(1, 2), (3, 4)] %}{{ a }}-{{ b }} {% endfor %}{% for (a, b), c in [((1, 2), 3)] %}{{ a + b + c }}{% endfor %}
{% for x in 'abc' %}{{ x }}.{% endfor %}{% for k in d %}{{ k }},{% endfor %}
{% for x in [[1, [2, [3]]]] recursive %}{{ loop.depth }}{% if x is iterable %}{{ loop(x) }}{% else %}{{ x }}{% endif %}{% endfor %}
{% set x = 5 %}{{ x }}{% for i in [1] %}{% set x = 6 %}{{ x }}{% endfor %}{{ x }}{% if true %}{% set x = 7 %}{% endif %}{{ x }}
{% set ns = namespace(c=0, f=false) %}{% for i in l %}{% set ns.c = ns.c + i %}{% if i == 1 %}{% set ns.f = true %}{% endif %}{% endfor %}{{ ns.c }} {{ ns.f }} {{ ns.nope }}
{% set a, b = 1, 2 %}{{ a }}{{ b }}{% set c = (1, 2, 3) %}{{ c }}{% set x %}block {{ a }}{% endset %}{{ x }}{% set y | upper %}up{% endset %}{{ y }}
{% for i in l %}{% if loop.first %}{% set z = i %}{% endif %}{{ z }}{% endfor %}
{% macro hi(name, greet='Hello') %}{{ greet }}, {{ name }}!{% endmacro %}{{ hi('Bob') }} {{ hi('Al', greet='Yo') }} {{ hi(name='Z') }} {{ hi() }}
{% macro v() %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ v(1, 2, k=3) }}{% macro d(a, b=a) %}{{ a }}{{ b }}{% endmacro %}
{% macro w() %}<{{ caller() }}>{% endmacro %}{% call w() %}in{{ a }}{% endcall %}{% macro w2() %}{{ caller(5) }}{% endmacro %}{% call(x) w2() %}{{ x * 2 }}{% endcall %}
{% macro fact(n) %}{{ 1 if n <= 1 else n * (fact(n - 1) | int) }}{% endmacro %}{{ fact(5) }}
{% with x = 3, y = a %}{{ x }}{{ y }}{% endwith %}{{ x }}{% filter upper %}abc{{ a }}{% endfilter %}
{% raw %}{{ not }} {% this %}{% endraw %}{# comment #}after{#- strip -#}  x
   {%- if true -%}  
 y {%- endif %}   z  {{- ' w ' -}}  v
  {% if true %}
  indented
  {% endif %}
end
{%+ if true %}keep{% endif +%}
x{% if true -%}
   
   no space{% endif %}
{{ range(3) | list }} {{ range(1, 4) | list }} {{ range(10, 0, -3) | list }} {{ dict(a=1, b=2) }} {{ dict([('x', 1)]) }}
{% set c = cycler('a', 'b') %}{{ c.next() }}{{ c.next() }}{{ c.next() }}{{ c.current }}{% set j = joiner('; ') %}{{ j() }}1{{ j() }}2{{ j() }}3
{{ 1e999 }} {{ 1e-999 }} {{ -1e400 }} {{ 5e-324 }} {{ 91111e11111151111111 }}
{{ raise_exception('stop here') }}
{{ 1 + 'a' }}
{{ 'a' + 1 }}
{{ n + 1 }}
{{ n.x }}
{{ undefinedvar + 1 }}
{{ undefinedvar() }}
{{ s() }}
{{ 5 < 'a' }}
{{ l | nosuch }}
{{ l is nosuch }}
{% nosuch %}
{{ }}
{{ a | }}
{% for x in 5 %}{% endfor %}
{{ l.append(1) }}
{{ d.update({'q': 1}) }}
{{ [1, 2, 3][0:2] }} {{ 'abc'[1] }} {{ (1, 2)[0] }} {{ {'a': {'b': 1}}.a.b }} {{ [l, l][1][2] }} {{ 'x'.upper().lower() }} {{ m[0].content.upper() }}
{{ m[-1].content }} {{ m[0]['role'] == 'user' }} {{ (m | last).n }} {{ m[1:] | length }} {{ m | groupby('role') | length }} {% for g, items in m | groupby('role') %}{{ g }}:{{ items | length }} {% endfor %}
{{ '\\n' ~ 'a\\tb' ~ "\\u00e9\\x41" ~ '\\'' }} {{ 1_000 }} {{ "a'b" }} {{ 'a"b' }}
{{ a if b > 2 else c if t else d }} {{ (a if n else b) }} {{ not n and not e }} {{ a and b }} {{ n and b }} {{ 0 or [] or 'last' }}
{{ s | upper | lower | length + 1 }} {{ l | length > 2 }} {{ l | length is odd }} {{ 'a' ~ 1 + 2 }} {{ 3 * 'ab' }} {{ 7.0 // 2 }} {{ 7.5 % 2 }} {{ 1 / 3 }} {{ 2 ** 0.5 }} {{ 10 ** 3 }}
{% set text = m | map(attribute='content') | select('string') | join(' / ') %}{{ text }}
{% if m and m[0].role == 'system' %}sys{% else %}nosys{% endif %}{% if 'tools' in d or tools is defined and tools %}t{% endif %}
{{ big }} {{ big * 10 }} {{ big / 3 }} {{ big // 7 }} {{ 1e100 }} {{ 1.0e-10 }} {{ 0.1 + 0.2 }} {{ 100.0 }} {{ 1e15 }} {{ 1.5 | int }} {{ 3 | float }}
{{ true }} {{ True }} {{ none }} {{ None }} {{ false | string }} {{ [true, none] | string }} {{ 1 | string + 'x' }} {{ t | int }}
{% for m1 in m %}{% if loop.index0 % 2 == 0 %}{{ m1.role }}{% elif m1.content is none %}null{% else %}{{ m1['content'] | trim }}{% endif %}{% if not loop.last %}, {% endif %}{% endfor %}
{{ d.y | last | string }} {{ d | string | length > 3 }} {{ m[0] | items | list }} {{ ({'a': 1} | items | first)[0] }} {{ namespace(a=1).a }}
{% set _ = namespace(items=[]) %}{% for i in range(3) %}{% set _.items = _.items + [i] %}{% endfor %}{{ _.items }}
{{ 'a' is string and 'b' is defined }} {{ 'x' is not string }} {{ (1 is odd) == true }} {{ 2 is odd or 3 is odd }}
{{ l[a] }} {{ l[1:a+1] }} {{ d['x' if a else 'y'] }} {{ words[words | length - 1] }} {{ (words | sort)[0] }}
{{ u | capitalize }} {{ 'ÉCOLE' | lower }} {{ '日本語' | title }} {{ u[-1] }} {{ u | reverse }} {{ u.split(' ') }}""".split("\n")
MULTI = ["a\n{% if true %}\nb\n{% endif %}\nc\n", "{% for x in l %}\n  {{ x }}\n{% endfor %}\ntail\n\n", "{# c #}\n\nx\n", "x\r\ny\r\n",
         "  {{ a }}  \n  {% set z = 1 %}  \n  {{ z }}\n", "{%- for x in l -%}\n {{ x }} \n{%- endfor -%}\n", "line {% if true %} x {% endif %}\nnext",
         "{% if true %}{% endif %}\n\n  {% if true %}\n\n  y{% endif %}", "{{ 'a' }}\n{{ 'b' }}\n", "\n\n{% raw -%}\n {{ x }} \n{%- endraw %}\n z"]


def main():
    out = []
    for source in SOURCES + MULTI:
        case = {"source": source, "variables": V}
        try:
            case["rendered"] = env.from_string(source).render(**V)
        except Exception as e:  # noqa: BLE001 - whatever ends the rendering
            case["error"] = f"{type(e).__name__}: {e}"[:200]
        out.append(case)
    open(sys.argv[1], "w").write(json.dumps(out, ensure_ascii=False, indent=0))
    print(len(out), "cases,", sum("error" in c for c in out), "refused")


main()
