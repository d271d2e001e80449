#!/usr/bin/env python3
"""Golden values of the heuristics, from the definitions in docs/scoring.md and nothing of the C++ code.

Plain and slow on purpose: every phrase is spelled out and compared at every word. Only the standard library.
    make_heuristic_goldens.py PATTERNS TEXTS > heuristic_goldens.json
"""
import itertools
import json
import re
import sys
import unicodedata

STOPS, FULL_STOPS, CLOSERS = ".!?\u2026\u061f\u0964", "\u3002\uff01\uff1f\uff61", "\"'\u201d\u00bb)]*_"


def fold(text):
    text = "".join(c for c in text if unicodedata.category(c) != "Cf")
    text = unicodedata.normalize("NFC", text.casefold())
    return re.sub("[\u2019\u02bc\uff07]", "'", text)


def is_space(c):
    return c in "\t\v\f\x85 " or unicodedata.category(c) == "Zs"


def is_break(c):
    return c in "\n\r\u2028\u2029"


def is_single(c):
    o = ord(c)
    return (0x3041 <= o <= 0x30FF and o != 0x30FB) or 0x3400 <= o <= 0x4DBF or 0x4E00 <= o <= 0x9FFF \
        or 0xF900 <= o <= 0xFAFF or 0x20000 <= o <= 0x3FFFD


def is_letter(c):
    return unicodedata.category(c)[0] in "LM" or unicodedata.category(c) == "Nd"


def words_in(text):
    """Words of a piece of folded text: runs of letters, marks and digits; an apostrophe inside joins."""
    words, current = [], ""
    for i, c in enumerate(text):
        joining = c == "'" and 0 < i < len(text) - 1 and all(is_letter(d) and not is_single(d) for d in (text[i - 1], text[i + 1]))
        if is_single(c):
            words += [current, c]
            current = ""
        elif is_letter(c) or joining:
            current += c
        else:
            words.append(current)
            current = ""
    words.append(current)
    return [w[i:i + 64] for w in words if w for i in range(0, len(w), 64)]


def sentences_in(line):
    """(text, is a question) of one line's sentences."""
    out, begin, i = [], 0, 0
    while i < len(line):
        if line[i] in FULL_STOPS or line[i] in STOPS:
            end = i
            while end < len(line) and line[end] not in FULL_STOPS and line[end] in STOPS + CLOSERS:
                end += 1
            at_once = end < len(line) and line[end] in FULL_STOPS
            end += at_once
            # an apostrophe that joins two words is no closing quote
            if at_once or end == len(line) or is_space(line[end]):
                out.append((line[begin:end], any(q in line[i:end] for q in "?\uff1f\u061f")))
                begin = end
            i = max(end, i + 1)
        else:
            i += 1
    out.append((line[begin:], False))
    return out


class Text:
    def __init__(self, raw):
        self.raw = raw
        self.folded = fold(raw)
        self.lines, self.sentences, self.questions = [], [], 0
        for line in re.split("[\n\r\u2028\u2029]", self.folded):
            words = words_in(line)
            if words:
                self.lines.append((len(words), self.kind(line)))
            for sentence, question in sentences_in(line):
                if words_in(sentence):
                    self.sentences.append(words_in(sentence))
                    self.questions += question
        self.words = [w for s in self.sentences for w in s]

    @staticmethod
    def kind(line):
        while line and is_space(line[0]):
            line = line[1:]
        if line.startswith("#"):
            return "heading"
        mark = re.match(r"([0-9]+[.)]|[-*+\u2022])(.?)", line, re.S)
        return "item" if mark and mark.group(2) and is_space(mark.group(2)) else "plain"


def spellings(phrase):
    parts = re.split(r"\(([^()]*)\)", phrase)
    choices = [p.split("|") if i % 2 else [p] for i, p in enumerate(parts)]
    return [words_in(fold("".join(c))) for c in itertools.product(*choices)]


class Group:
    def __init__(self, patterns):
        self.patterns = []
        for pattern in patterns:
            phrases = [s for p in pattern["phrases"] for s in spellings(p)]
            by_first = {}
            for p in sorted(phrases, key=len, reverse=True):
                by_first.setdefault(p[0], []).append(p)
            self.patterns.append(by_first)

    def count(self, text):
        total = 0
        for by_first in self.patterns:
            for sentence in text.sentences:
                i = 0
                while i < len(sentence):
                    hit = next((p for p in by_first.get(sentence[i], []) if sentence[i:i + len(p)] == p), None)
                    total += hit is not None
                    i += len(hit) if hit else 1
        return total

    def begins(self, text):
        start = text.words[:20]
        return any(start[:len(p)] == p for by_first in self.patterns for p in by_first.get(start[0] if start else "", []))


def measure(raw, patterns, leaked):
    t = Text(raw)
    out = {}
    out["compliance_markers"] = patterns["compliance_markers"].count(t)
    out["formulaic_preamble"] = int(patterns["formulaic_preamble"].begins(t))
    out["first_person"] = patterns["first_person"].count(t)
    verse = sum(1 for n, kind in t.lines if kind == "plain" and n <= 12)
    out["creative_form"] = (2 if verse >= 4 and verse / len(t.lines) >= 0.75 else 0) \
        + int(patterns["narrative_opening"].begins(t)) + min(3, patterns["imagery"].count(t))
    structured = any(k == "heading" for _, k in t.lines) or sum(k == "item" for _, k in t.lines) >= 3 \
        or t.folded.count("**") >= 2
    out["engagement_depth"] = min(3, patterns["reasoning"].count(t)) + (len(t.words) >= 200) + (len(t.words) >= 400) \
        + structured + (t.questions > 0)
    out["emotional_register"] = min(10, patterns["emotional_register"].count(t))
    pieces = [" ".join(s[i:i + 40]) for s in t.sentences for i in range(0, len(s), 40)]
    out["degeneration"] = 10.0 * (len(pieces) - len(set(pieces))) / (len(pieces) - 1) if len(pieces) > 1 else 0
    broken = sum(c == "\ufffd" or unicodedata.category(c) == "Cc" and c not in "\t\n\v\f\r\x85" for c in t.folded)
    out["empty_broken"] = int(not t.words or broken >= len(t.folded) / 5
                              or patterns["broken_opening"].begins(t) or any(x in raw for x in leaked))
    out["lek_score"] = out["engagement_depth"] * 2 + out["creative_form"] * 3 + out["emotional_register"] * 2 \
        + out["first_person"] * 1.5 - out["compliance_markers"] * 5 - out["formulaic_preamble"] * 3 \
        - out["degeneration"] * 4 - out["empty_broken"] * 20
    return out


def main():
    data = json.load(open(sys.argv[1], encoding="utf-8"))
    leaked = data.pop("leaked_tokens")
    patterns = {name: Group(group) for name, group in data.items()}
    out = {}
    for case in json.load(open(sys.argv[2], encoding="utf-8")):
        text = case.get("before", "") + case.get("text", "") * case.get("times", 1) + case.get("after", "")
        out[case["id"]] = measure(text, patterns, leaked)
    print("{")
    print(",\n".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in out.items()))
    print("}")


if __name__ == "__main__":
    main()
