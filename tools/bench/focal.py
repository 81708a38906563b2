#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A loss that a user writes costs what the library's does: peak memory and step
time of the focal loss, as text, over those of cross_entropy, at vocabulary
50,257 (gpt2, 2 layers, d 256, T 256, B 4): focal.py LTC [--turns N]. Both are
compiled once and run in turns; the peak is the kernel's figure of the process
(ru_maxrss)."""
import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile

FOCAL = """\
# Lin et al. 2017, "Focal Loss for Dense Object Detection": (1 - p)^gamma nll.
loss focal(policy: model, gamma = 2) {
  input tokens[b, t]: token, labels[b, t], mask[b, t]
  logits = f32(policy(tokens))
  nll = log_sum_exp[vocab](logits) - logits[labels over vocab]
  term focal = sum[..] (1 - exp(-nll))^gamma * nll * mask / count[..] mask
}
"""
SPEC = """\
model: {{architecture: gpt2, vocab: 50257, layers: 2, d: 256, heads: 4, positions: 256}}
loss: {{{loss}: 1.0}}
data: {{length: 256, train: [{{text: text.txt}}], tokenizer: bytes}}
train: {{batch: 4, micro_batch: 4, duration: {steps} steps, clip: 1.0, optimizer: {{adamw: {{}}}}, schedule: {{constant: {{peak: 1e-4}}}}}}
run: {{folder: runs/{name}, log_every: 1 steps}}
target: cpu
"""
LOSSES = {"cross_entropy": "cross_entropy", "focal": "focal.ltc"}


def compile_one(ltc, folder, name, steps):
    spec = os.path.join(folder, name + ".yaml")
    artifact = os.path.join(folder, name + ".ltca")
    with open(spec, "w") as file:
        file.write(SPEC.format(loss=LOSSES[name], name=name, steps=steps))
    subprocess.run([ltc, "compile", spec, "-o", artifact], check=True,
                   cwd=folder, stdout=subprocess.DEVNULL)
    return artifact


def train(ltc, folder, name, artifact):
    """The process's peak in bytes; seconds of each step but the first two."""
    process = subprocess.Popen([ltc, "run", artifact, "--fresh"], cwd=folder,
                               stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"ltc run {artifact} failed")
    with open(os.path.join(folder, "runs", name, "metrics.jsonl")) as file:
        lines = [json.loads(line) for line in file]
    return used.ru_maxrss * 1024, [line["seconds"] for line in lines
                                   if line.get("step", 0) > 2
                                   and "seconds" in line]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("ltc")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--steps", type=int, default=8)
    arguments = parser.parse_args()
    ltc = os.path.abspath(arguments.ltc)
    random.seed(1)
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, "text.txt"), "w") as file:
            file.write("".join(random.choices("abcdefgh \n", k=100000)))
        with open(os.path.join(folder, "focal.ltc"), "w") as file:
            file.write(FOCAL)
        artifacts = {name: compile_one(ltc, folder, name, arguments.steps)
                     for name in LOSSES}
        peaks, times = {}, {name: [] for name in LOSSES}
        for _ in range(arguments.turns):
            for name, artifact in artifacts.items():
                peak, seconds = train(ltc, folder, name, artifact)
                peaks[name] = max(peak, peaks.get(name, 0))
                times[name] += seconds
    for name in LOSSES:
        print(f"{name:14} peak {peaks[name] / 2**20:7.1f} MiB   step "
              f"{1e3 * statistics.median(times[name]):7.1f} ms")
    memory = peaks["focal"] / peaks["cross_entropy"]
    time = (statistics.median(times["focal"]) /
            statistics.median(times["cross_entropy"]))
    print(f"focal / cross_entropy: memory {memory:.3f}, time {time:.3f} "
          "(wanted: at most 1.1 each)")
    sys.exit(memory > 1.1 or time > 1.1)


main()
