# SPDX-License-Identifier: Apache-2.0
"""Small training runs of `ltc` for comparing: models, data, specs, results.
Only Python's standard library."""
import array
import json
import os
import random
import struct
import subprocess

LENGTH, BATCH = 64, 8
CLIP, WARMUP, TOTAL = 1.0, 10, 100

# The model section of each spec. smollm2 is SmolLM2-135M's shape.
MODELS = {
    "gpt2": dict(architecture="gpt2", vocab=256, layers=2, d=144, heads=3,
                 positions=LENGTH),
    "llama": dict(architecture="llama", vocab=256, layers=2, d=160, heads=5,
                  ffn=432),
    "smollm2": dict(architecture="llama", vocab=256, layers=2, d=576, heads=9,
                    kv=3, ffn=1536, theta=1e5, tied="true"),
    "qwen2": dict(architecture="llama", vocab=256, layers=2, d=128, heads=4,
                  kv=2, k=48, ffn=344, eps=1e-6, theta=1e6, tied="true",
                  qkv_bias="true"),
}
# Settings, and the peak of a cosine with warm-up. The gradient is clipped.
OPTIMIZERS = {
    "adamw": (dict(beta1=0.9, beta2=0.95, eps=1e-8, weight_decay=0.1), 1e-3),
    "sgd": (dict(momentum=0.9, weight_decay=0.01), 5e-2),
}


def documents(text, seed=1):
    """Pieces of a text at ends of lines, of 20 bytes to a few rows: rows of a
    batch hold one document or several."""
    rand = random.Random(seed)
    pieces, piece, least = [], "", 0
    for line in text.splitlines(keepends=True):
        piece += line
        if len(piece) > least:
            pieces.append(piece)
            piece, least = "", rand.choice([20, 20, 50, 100, 200])
    return pieces


def write_documents(path, pieces):
    with open(path, "w", encoding="utf-8") as out:
        for piece in pieces:
            out.write(json.dumps({"text": piece}) + "\n")


def spec(model, optimizer, data, weights=None, micro_batch=4, steps=TOTAL,
         run="run", precision="fp32", seed=1):
    settings, peak = OPTIMIZERS[optimizer]
    body = {
        "model": dict(MODELS[model]),
        "loss": {"cross_entropy": 1},
        "data": {"length": LENGTH, "train": [{"jsonl": data}]},
        "train": {
            "batch": BATCH, "micro_batch": micro_batch,
            "duration": f"{steps} steps", "clip": CLIP,
            "precision": precision, "seed": seed,
            "optimizer": {optimizer: settings},
            "schedule": {"cosine": {"peak": peak, "warmup": WARMUP,
                                    "total": TOTAL}}},
        "run": {"folder": run},
    }
    if weights:
        body["model"]["init"] = {"from": weights}
    return body


class Ltc:
    def __init__(self, binary):
        self.binary = os.path.abspath(binary)

    def __call__(self, *arguments):
        done = subprocess.run([self.binary, *map(str, arguments)], text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if done.returncode:
            raise SystemExit(f"ltc {' '.join(map(str, arguments))} failed:\n"
                             + done.stdout)
        return done.stdout

    def train(self, folder, *arguments, **keywords):
        """Runs spec(...) in a new folder; the steps' lines of metrics."""
        os.makedirs(folder)
        path = os.path.join(folder, "spec.json")
        run = os.path.join(folder, "run")
        with open(path, "w") as out:
            json.dump(spec(*arguments, run=run, **keywords), out, indent=1)
        self("run", path)
        with open(os.path.join(run, "metrics.jsonl")) as lines:
            steps = [line for line in map(json.loads, lines) if "loss" in line]
        if [s["step"] for s in steps] != list(range(1, len(steps) + 1)):
            raise SystemExit(f"{run}: steps are missing or were refused")
        return steps


def formula(shapes):
    """Weights of a stated formula, the same on every machine: uniform numbers
    of Python's generator, in order of name; norms are near one."""
    rand = random.Random(20)
    for name, shape in sorted(shapes.items()):
        count = 1
        for size in shape:
            count *= size
        norm = name.endswith("weight") and len(shape) == 1
        yield name, shape, array.array(
            "f", [(1.0 if norm else 0.0) + (rand.random() - 0.5) / 4
                  for _ in range(count)])


def write_weights(folder, shapes):
    """formula(shapes) as model.safetensors."""
    header, blobs, at = {}, [], 0
    for name, shape, values in formula(shapes):
        blobs.append(struct.pack(f"<{len(values)}f", *values))
        header[name] = {"dtype": "F32", "shape": shape,
                        "data_offsets": [at, at + len(blobs[-1])]}
        at += len(blobs[-1])
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    os.makedirs(folder)
    with open(os.path.join(folder, "model.safetensors"), "wb") as out:
        out.write(struct.pack("<Q", len(text)) + text + b"".join(blobs))
