#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Weights that lie otherwise in files: check_import.py LTC (the `ltc` program).
interleaved.ltc reads a folder in its authors' order; its loss is that of the
library's llama on the same weights, turned by hand here, and what it exports
is what it read, to the bit."""
import json
import math
import os
import struct
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
SPEC = """
model: {{init: {{from: {weights}}}, architecture: {text}, vocab: 256, layers: 2, d: 16, heads: 4, kv: 2, ffn: 24}}
loss: {{cross_entropy: 1.0}}
data: {{length: 32, train: [{{text: "{here}/*.ltc"}}], tokenizer: bytes}}
train: {{batch: 4, micro_batch: 2, duration: 1 steps, optimizer: {{sgd: {{}}}}, schedule: {{constant: {{peak: 0}}}}}}
run: {{folder: {name}}}
target: cpu
"""
LAYER = {"attention_norm": [16], "attention.wq": [16, 16],
         "attention.wk": [8, 16], "attention.wv": [8, 16],
         "attention.wo": [16, 16], "ffn_norm": [16],
         "feed_forward.w1": [24, 16], "feed_forward.w3": [24, 16],
         "feed_forward.w2": [16, 24]}
THEIRS = {"attention_norm": "input_layernorm", "attention.wq": "self_attn.q_proj",
          "attention.wk": "self_attn.k_proj", "attention.wv": "self_attn.v_proj",
          "attention.wo": "self_attn.o_proj",
          "ffn_norm": "post_attention_layernorm",
          "feed_forward.w1": "mlp.gate_proj", "feed_forward.w3": "mlp.up_proj",
          "feed_forward.w2": "mlp.down_proj"}


def write(folder, tensors):
    os.mkdir(folder)
    header, data = {}, b""
    for name, (shape, values) in sorted(tensors.items()):
        bits = struct.pack(f"<{len(values)}f", *values)
        header[name] = {"dtype": "F32", "shape": shape,
                        "data_offsets": [len(data), len(data) + len(bits)]}
        data += bits
    text = json.dumps(header).encode()
    with open(os.path.join(folder, "model.safetensors"), "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + data)


def read(folder):
    with open(os.path.join(folder, "model.safetensors"), "rb") as file:
        data = file.read()
    size, = struct.unpack_from("<Q", data)
    found = {}
    for name, entry in json.loads(data[8:8 + size]).items():
        if name != "__metadata__":
            begin, end = (8 + size + x for x in entry["data_offsets"])
            found[name] = (entry["shape"], data[begin:end])
    return found


def authors():
    shapes = {"tok_embeddings": [256, 16], "output": [256, 16], "norm": [16]}
    for i in range(2):
        shapes.update({f"layers.{i}.{name}": s for name, s in LAYER.items()})
    return {name + ".weight": (shape, [
        (1.0 if "norm" in name else 0.0) + 0.2 * math.sin(1.3 * i + order)
        for i in range(math.prod(shape))])
        for order, (name, shape) in enumerate(sorted(shapes.items()))}


def halves(values, heads):
    """Rows (head, pair, two) in the order (head, two, pair); k = 4, d = 16."""
    rows = [values[i:i + 16] for i in range(0, len(values), 16)]
    return [x for h in range(heads) for two in range(2) for pair in range(2)
            for x in rows[h * 4 + pair * 2 + two]]


def transformers(tensors):
    found = {}
    for name, (shape, values) in tensors.items():
        word = name.removesuffix(".weight")
        if word.startswith("layers."):
            _, i, part = word.split(".", 2)
            if part in ("attention.wq", "attention.wk"):
                values = halves(values, shape[0] // 4)
            word = f"model.layers.{i}.{THEIRS[part]}"
        else:
            word = {"tok_embeddings": "model.embed_tokens",
                    "output": "lm_head", "norm": "model.norm"}[word]
        found[word + ".weight"] = (shape, values)
    return found


def ltc(top, *arguments):
    done = subprocess.run([os.path.abspath(sys.argv[1]), *arguments], cwd=top,
                          capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"ltc {' '.join(arguments)}: {done.stdout}{done.stderr}")


def first_loss(top, name, text, weights):
    spec = os.path.join(top, name + ".yaml")
    with open(spec, "w") as file:
        file.write(SPEC.format(weights=weights, text=text, here=HERE,
                               name=name))
    ltc(top, "run", spec)
    ltc(top, "export", name, "-o", name + "-out")
    with open(os.path.join(top, name, "metrics.jsonl")) as file:
        return [json.loads(line) for line in file][0]["loss"]


def main():
    with tempfile.TemporaryDirectory() as top:
        given = authors()
        write(os.path.join(top, "authors"), given)
        write(os.path.join(top, "theirs"), transformers(given))
        mine = first_loss(top, "mine", os.path.join(HERE, "interleaved.ltc"),
                          "authors")
        library = first_loss(top, "library", "llama", "theirs")
        if abs(mine - library) > 1e-6 * library or not mine > 0:
            sys.exit(f"loss {mine}, the library's {library}")
        for a, b in (("authors", "mine-out"), ("theirs", "library-out")):
            if read(os.path.join(top, a)) != read(os.path.join(top, b)):
                sys.exit(f"{b} is not {a}")
        print(f"loss {mine} and {library}; files go back as they came")


main()
