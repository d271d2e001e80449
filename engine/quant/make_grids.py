#!/usr/bin/env python3
"""Writes grids.cpp: the code books of the IQ types, as 16-bit words.

The code books are facts of the GGUF format; they are read from the `gguf` Python package (MIT).
Needs: pip install gguf numpy.  usage: make_grids.py > grids.cpp
A word holds the indices of one entry: 8 of 2 bits, or 4 of 4 bits, lowest first.
"""
import numpy as np
from gguf import quants

HEAD = """// Code books of the IQ types; written by make_grids.py.
#include "engine/quant/grids.h"

namespace inference::engine {

// clang-format off
"""


def words(cls):
    cls.init_grid()
    grid = cls.grid.reshape(cls.grid_shape)
    bits = 16 // cls.grid_shape[1]
    index = {float(v): i for i, v in enumerate(cls.grid_map)}
    return [sum(index[float(v)] << (bits * j) for j, v in enumerate(row)) for row in grid]


print(HEAD, end="")
for name, cls in (("kGridIq2Xxs", quants.IQ2_XXS), ("kGridIq2Xs", quants.IQ2_XS), ("kGridIq2S", quants.IQ2_S),
                  ("kGridIq3Xxs", quants.IQ3_XXS), ("kGridIq3S", quants.IQ3_S), ("kGridIq1", quants.IQ1_S)):
    w = words(cls)
    print(f"const std::uint16_t {name}[{len(w)}] = {{")
    for i in range(0, len(w), 16):
        print("    " + ",".join(f"0x{v:04x}" for v in w[i:i + 16]) + ",")
    print("};")
print("// clang-format on\n\n}  // namespace inference::engine")
assert bytes(quants.IQ2_XXS.ksigns) == bytes(i | ((bin(i).count("1") & 1) << 7) for i in range(128))
