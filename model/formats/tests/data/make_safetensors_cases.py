#!/usr/bin/env python3
"""What the reference accepts: small files and whether `safetensors` reads them.

Needs: pip install safetensors==0.8.0 numpy.   usage: make_safetensors_cases.py OUT.json
"""
import json, struct, sys
from safetensors import deserialize

T = '{"dtype":"F32","shape":[1],"data_offsets":[0,4]}'
D = b"\0" * 4
CASES = [
    ("plain", '{"a":%s}' % T, D), ("duplicate name", '{"a":%s,"a":%s}' % (T, T), D), ("leading space", ' {"a":%s}' % T, D),
    ("trailing spaces", '{"a":%s}   ' % T, D), ("trailing newline", '{"a":%s}\n' % T, D), ("trailing nul", '{"a":%s}\0' % T, D),
    ("unknown field", '{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"x":1}}', D),
    ("duplicate field", '{"a":{"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]}}', D),
    ("missing field", '{"a":{"dtype":"F32","shape":[1]}}', D), ("float in shape", '{"a":{"dtype":"F32","shape":[1.0],"data_offsets":[0,4]}}', D),
    ("negative in shape", '{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}', D),
    ("three offsets", '{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4,5]}}', D), ("list as info", '{"a":["F32",[1],[0,4]]}', D),
    ("metadata", '{"__metadata__":{"k":"v"},"a":%s}' % T, D), ("metadata null", '{"__metadata__":null,"a":%s}' % T, D),
    ("metadata number", '{"__metadata__":{"k":1},"a":%s}' % T, D), ("metadata duplicate", '{"__metadata__":{"k":"1","k":"2"},"a":%s}' % T, D),
    ("metadata twice", '{"__metadata__":{"k":"1"},"__metadata__":{"k":"2"},"a":%s}' % T, D), ("metadata list", '{"__metadata__":[],"a":%s}' % T, D),
    ("empty", "{}", b""), ("data without tensors", "{}", D), ("trailing data", '{"a":%s}' % T, D + D), ("data short", '{"a":%s}' % T, b"12"),
    ("zero elements", '{"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}', b""),
    ("zero elements beside others", '{"a":{"dtype":"F32","shape":[2,0],"data_offsets":[0,0]},"b":%s}' % T, D),
    ("scalar", '{"a":{"dtype":"F32","shape":[],"data_offsets":[0,4]}}', D), ("shared range", '{"a":%s,"b":%s}' % (T, T), D),
    ("hole", '{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}', D + D), ("reversed", '{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}', D),
    ("wrong size", '{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}', D),
    ("F4", '{"a":{"dtype":"F4","shape":[2],"data_offsets":[0,1]}}', b"1"), ("F4 odd", '{"a":{"dtype":"F4","shape":[3],"data_offsets":[0,2]}}', b"12"),
    ("F6", '{"a":{"dtype":"F6_E2M3","shape":[4],"data_offsets":[0,3]}}', b"123"), ("C64", '{"a":{"dtype":"C64","shape":[1],"data_offsets":[0,8]}}', D + D),
    ("FNUZ", '{"a":{"dtype":"F8_E4M3FNUZ","shape":[4],"data_offsets":[0,4]}}', D), ("E8M0", '{"a":{"dtype":"F8_E8M0","shape":[4],"data_offsets":[0,4]}}', D),
    ("lower case type", '{"a":{"dtype":"f32","shape":[1],"data_offsets":[0,4]}}', D),
    ("overflow", '{"a":{"dtype":"F32","shape":[4294967296,4294967296,2],"data_offsets":[0,4]}}', D),
    ("overflow with zero", '{"a":{"dtype":"F32","shape":[4294967296,4294967296,0],"data_offsets":[0,0]}}', b""),
    ("beyond 64 bits", '{"a":{"dtype":"F32","shape":[18446744073709551616],"data_offsets":[0,4]}}', D),
    ("deep", '{"a":' + "[" * 1000 + "]" * 1000 + "}", D), ("bad UTF-8", b'{"a\xff":' + T.encode() + b"}", D),
    ("lone surrogate", '{"\\ud800":%s}' % T, D), ("empty name", '{"":%s}' % T, D), ("byte order mark", '\ufeff{"a":%s}' % T, D),
    ("list", "[]", b""), ("info null", '{"a":null}', b""), ("metadata only", '{"__metadata__":{}}', b""),
    ("duplicate name elsewhere", '{"a":%s,"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}' % T, D + D),
]


def main():
    out = []
    for name, header, data in CASES:
        header = header.encode() if isinstance(header, str) else header
        out.append((name, struct.pack("<Q", len(header)) + header + data))
    out += [("header beyond the file", struct.pack("<Q", 3) + b"{}"), ("header too large", struct.pack("<Q", 100_000_001) + b"{}"),
            ("no length", b""), ("half a length", b"1234567"), ("length 0", struct.pack("<Q", 0))]
    cases = []
    for name, file in out:
        try:
            deserialize(file)
            accepted = True
        except Exception:  # noqa: BLE001 - refused is refused
            accepted = False
        cases.append({"name": name, "bytes": list(file), "accepted": accepted})
    json.dump(cases, open(sys.argv[1], "w"))
    print(len(cases), "cases,", sum(c["accepted"] for c in cases), "accepted")


main()
