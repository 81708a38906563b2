#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Generation with caches beside whole windows: decode.py LTC [--turns N].

A llama of 8 layers, d 512 and length 512 (its weights hardly trained: speed
does not ask) goes on from a prompt of 440 bytes, so that the context is full
at the end. Both ways in turns, in one run; the text must be the same. Prints
tokens per second, and the bytes of weights that a token with caches reads."""
import argparse
import json
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile

SPEC = """\
model: {{architecture: {model}, vocab: 256, layers: 8, d: 512, heads: 8, {own}}}
loss: {{cross_entropy: 1.0}}
data: {{length: 512, train: [{{text: text.txt}}], tokenizer: bytes}}
train: {{batch: 1, micro_batch: 1, duration: 3 steps, optimizer: {{adamw: {{}}}}, schedule: {{constant: {{peak: 1e-3}}}}}}
run: {{folder: {name}}}
target: cpu
"""
MODELS = {"llama": "kv: 8, ffn: 1376", "gpt2": "positions: 512"}


def train(ltc, folder, name):
    with open(os.path.join(folder, name + ".yaml"), "w") as file:
        file.write(SPEC.format(model=name, own=MODELS[name], name=name))
    subprocess.run([ltc, "run", name + ".yaml"], check=True, cwd=folder,
                   stdout=subprocess.DEVNULL)


def generate(ltc, folder, run, prompt, tokens, *words):
    """The text, tokens per second, and seconds until the first."""
    done = subprocess.run(
        [ltc, "generate", run, "--prompt", prompt, "--temperature", "0",
         "--max-tokens", str(tokens), "--json", "--stats", *words], check=True,
        cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    said = re.search(r"in ([\d.]+) ms; then \d+ tokens, ([\d.]+) a second",
                     done.stderr)
    return (json.loads(done.stdout)["text"], float(said[2]),
            float(said[1]) / 1e3)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("ltc")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--model", choices=MODELS, default="llama")
    arguments = parser.parse_args()
    ltc = os.path.abspath(arguments.ltc)
    rng = random.Random(1)
    rates, firsts = {"caches": [], "windows": []}, {"caches": [], "windows": []}
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, "text.txt"), "w") as file:
            file.write("".join(rng.choices("abcdefgh \n", k=100000)))
        train(ltc, folder, arguments.model)
        weights = os.path.getsize(os.path.join(
            folder, arguments.model, "checkpoints", "step-000000003",
            "model.safetensors"))
        prompt = "".join(rng.choices("abcdefgh ", k=440))
        for _ in range(arguments.turns):
            texts = {}
            for way, words, tokens in (("caches", (), 64),
                                       ("windows", ("--recompute",), 64)):
                text, rate, first = generate(ltc, folder, arguments.model,
                                             prompt, tokens, *words)
                texts[way] = text
                rates[way].append(rate)
                firsts[way].append(first)
            if texts["caches"] != texts["windows"]:
                sys.exit(f"the texts differ: {texts}")
    for way in rates:
        print(f"{way:8} {statistics.median(rates[way]):8.1f} tokens/s   "
              f"{1e3 * statistics.median(firsts[way]):8.1f} ms until the first")
    rate = statistics.median(rates["caches"])
    print(f"weights read with caches: {rate * weights / 1e9:.1f} GB/s")
    ratio = rate / statistics.median(rates["windows"])
    print(f"caches / windows at length 512: {ratio:.1f} (wanted: at least 10)")
    sys.exit(ratio < 10)


main()
