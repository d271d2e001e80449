#!/usr/bin/env python3
"""Golden data from llama-quantize: which type each tensor gets, and the bytes of blocks.

    make_peer_cases.py LLAMA_QUANTIZE

Needs the `gguf` package (0.19.0) and a build of llama.cpp (bench/quantize-quality makes one). Writes
peer-types.json and peer-blocks.safetensors beside itself.
"""
import json
import pathlib
import struct
import subprocess
import sys
import tempfile

import numpy
from gguf import GGUFReader, GGUFWriter

HERE = pathlib.Path(__file__).resolve().parent
TYPES = ["F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K_S", "Q3_K_M", "Q3_K_L", "Q4_K_S",
         "Q4_K_M", "Q5_K_S", "Q5_K_M", "Q6_K", "MXFP4_MOE"]
LAYERS, HIDDEN, WIDTH, VOCAB = 16, 256, 512, 64
KEPT = 48
# name, heads per key/value head, experts, tied output, width of the hidden state
MODELS = [("grouped", 4, 0, False, 256), ("tied", 1, 0, True, 256), ("experts", 2, 8, False, 256),
          ("few_experts", 2, 4, False, 256), ("narrow", 4, 0, True, 192)]
random = numpy.random.default_rng(7)


def write_model(path, kv_group, experts, tied, hidden, matrix=None):
    out = GGUFWriter(path, "llama")
    out.add_block_count(LAYERS)
    out.add_context_length(512)
    out.add_embedding_length(hidden)
    out.add_feed_forward_length(WIDTH)
    out.add_head_count(8)
    out.add_head_count_kv(8 // kv_group)
    out.add_layer_norm_rms_eps(1e-5)
    out.add_rope_dimension_count(hidden // 8)
    out.add_vocab_size(VOCAB)
    if experts:
        out.add_expert_count(experts)
        out.add_expert_used_count(2)

    def add(name, *shape):
        # As float32: what is written as F16 first could not tell rounding from rounding twice.
        out.add_tensor(name, (random.standard_normal(shape) * 0.05).astype(numpy.float32))

    add("token_embd.weight", VOCAB, hidden)
    add("output_norm.weight", hidden)
    if not tied:
        add("output.weight", VOCAB, hidden)
    kv = hidden // kv_group
    for i in range(LAYERS):
        name = f"blk.{i}."
        add(name + "attn_norm.weight", hidden)
        add(name + "ffn_norm.weight", hidden)
        add(name + "attn_q.weight", hidden, hidden)
        add(name + "attn_k.weight", kv, hidden)
        add(name + "attn_v.weight", kv, hidden)
        add(name + "attn_output.weight", hidden, hidden)
        if experts:
            add(name + "ffn_gate_inp.weight", experts, hidden)
            for part, shape in (("gate", (WIDTH, hidden)), ("up", (WIDTH, hidden)), ("down", (hidden, WIDTH))):
                out.add_tensor(name + f"ffn_{part}_exps.weight", numpy.zeros((experts,) + shape, numpy.float32))
        else:
            add(name + "ffn_gate.weight", WIDTH, hidden)
            add(name + "ffn_up.weight", WIDTH, hidden)
            if matrix is not None and i == 0:
                out.add_tensor(name + "ffn_down.weight", matrix)
            else:
                add(name + "ffn_down.weight", hidden, WIDTH)
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()


def quantised(program, source, kind, flags, folder):
    made = folder / "made.gguf"
    subprocess.run([program, *flags, source, made, kind], check=True, capture_output=True)
    return {t.name: t for t in GGUFReader(made).tensors}


def recipe_types(program, folder):
    """Per model the tensors with their shapes, and per recipe the type of each."""
    out = []
    for name, group, experts, tied, hidden in MODELS:
        source = folder / "model.gguf"
        write_model(source, group, experts, tied, hidden)
        listed = [t for t in GGUFReader(source).tensors if "norm" not in t.name]
        case = {"name": name, "layers": LAYERS, "heads_per_kv": group, "experts": experts, "tied_output": tied,
                "tensors": [[t.name, [int(d) for d in reversed(t.shape)]] for t in listed], "types": {}}
        for kind in TYPES:
            made = quantised(program, source, kind, [], folder)
            case["types"][kind] = [made[t.name].tensor_type.name for t in listed]
        out.append(case)
    return out


def blocks(program, folder):
    """The first rows of one matrix in every type: of several sizes, with an outlier, zeros, steps."""
    matrix = (random.standard_normal((HIDDEN, WIDTH)) * 0.05).astype(numpy.float32)
    matrix[0] = 0
    matrix[1] *= 100
    matrix[2] *= 1e-4
    matrix[3, 70] = 3
    matrix[4] = numpy.round(matrix[4] * 100) / 64  # ties
    matrix[5] = numpy.abs(matrix[5])
    matrix[6] = -numpy.abs(matrix[6])
    matrix[7, ::3] = 0
    source = folder / "model.gguf"
    write_model(source, 4, 0, False, HIDDEN, matrix)
    out = {"values": matrix[:KEPT]}
    for kind in ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K_S", "Q4_K_S", "Q5_K_S", "Q6_K", "MXFP4_MOE"]:
        flags = ["--tensor-type", "blk=mxfp4"] if kind == "MXFP4_MOE" else ["--pure"]
        tensor = quantised(program, source, kind, flags, folder)["blk.0.ffn_down.weight"]
        # A copy: the next run writes over the mapped file.
        out[tensor.tensor_type.name] = numpy.array(tensor.data).view(numpy.uint8).reshape(HIDDEN, -1)[:KEPT].reshape(-1)
    return out


def write_safetensors(path, arrays):
    header, at = {}, 0
    names = {numpy.dtype(numpy.float32): "F32", numpy.dtype(numpy.uint8): "U8"}
    for name, array in arrays.items():
        header[name] = {"dtype": names[array.dtype], "shape": list(array.shape), "data_offsets": [at, at + array.nbytes]}
        at += array.nbytes
    text = json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for array in arrays.values():
            file.write(numpy.ascontiguousarray(array).tobytes())


def main():
    program = sys.argv[1]
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        types = recipe_types(program, folder)
        lines = ",\n".join(json.dumps(case) for case in types)
        (HERE / "peer-types.json").write_text(f"[\n{lines}\n]\n")
        write_safetensors(HERE / "peer-blocks.safetensors", blocks(program, folder))


main()
