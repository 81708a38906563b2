#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A mixture of experts does the work of the chosen experts only: the step time
of 8 experts with the top 2 over that of the same text with all 8 (moe_llama,
8 layers, d 512, ffn 1024 an expert, 8/4 heads, vocabulary 32,000 tied, T 512,
B 4). Both are compiled once and run in turns: experts.py LTC [--turns N].
`--folder F` keeps the artifacts and finds them again; `--turns 0` only
compiles."""
import argparse
import json
import os
import random
import statistics
import subprocess
import tempfile

SPEC = """
model: {{architecture: moe_llama, vocab: 32000, layers: {layers}, d: 512, heads: 8, kv: 4, ffn: 1024, experts: 8, top: {top}, tied: true}}
loss: {{cross_entropy: 1.0, balance: 0.02}}
data: {{length: 512, train: [{{text: text.txt}}], tokenizer: bytes}}
train: {{batch: 4, micro_batch: 4, duration: {steps} steps, optimizer: {{adamw: {{}}}}, schedule: {{constant: {{peak: 1e-4}}}}}}
run: {{folder: runs/{top}}}
target: cpu
"""


def compile_one(ltc, folder, top, layers, steps):
    spec = os.path.join(folder, f"top{top}.yaml")
    artifact = os.path.join(folder, f"top{top}.ltca")
    text = SPEC.format(top=top, layers=layers, steps=steps)
    if os.path.exists(artifact):
        with open(spec) as file:
            if file.read() == text:
                return artifact
    with open(spec, "w") as file:
        file.write(text)
    subprocess.run([ltc, "compile", spec, "-o", artifact], check=True,
                   cwd=folder)
    return artifact


def step_times(ltc, folder, top, artifact):
    """Seconds of each step but the first, which warms caches and pages."""
    subprocess.run([ltc, "run", artifact, "--fresh"], check=True, cwd=folder,
                   stdout=subprocess.DEVNULL)
    with open(os.path.join(folder, "runs", str(top), "metrics.jsonl")) as file:
        lines = [json.loads(line) for line in file]
    return [line["seconds"] for line in lines if line.get("step", 0) > 1
            and "seconds" in line]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("ltc")
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--layers", type=int, default=8)
    parser.add_argument("--folder")
    arguments = parser.parse_args()
    if arguments.folder:
        os.makedirs(arguments.folder, exist_ok=True)
        return measure(arguments, arguments.folder)
    with tempfile.TemporaryDirectory() as folder:
        measure(arguments, folder)


def measure(arguments, folder):
    ltc = os.path.abspath(arguments.ltc)
    random.seed(1)
    with open(os.path.join(folder, "text.txt"), "w") as file:
        file.write("".join(random.choices("abcdefgh \n", k=400000)))
    times = {2: [], 8: []}
    artifacts = {top: compile_one(ltc, folder, top, arguments.layers,
                                  arguments.steps) for top in times}
    for _ in range(arguments.turns):
        for top, all_times in times.items():
            all_times += step_times(ltc, folder, top, artifacts[top])
    for top, seconds in times.items():
        print(f"top {top}: " + " ".join(f"{s:.3f}" for s in seconds) + " s")
    if arguments.turns:
        ratio = statistics.median(times[2]) / statistics.median(times[8])
        print(f"top 2 / top 8 = {ratio:.3f} (wanted: at most 0.45)")


main()
