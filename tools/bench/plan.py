#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What `ltc plan` expects beside what a run takes, kind of kernel by kind:
plan.py LTC TEXT... [--steps N].

For each model of specs/, in fp32 and bf16, and a mixture of experts: the
planned and the measured step, and what part of the measured ceilings each kind
of kernel reached (of FLOPs with its whole rounds of tiles; of bytes). The
shares that the CPU target states (CpuTarget.cpp) come from here."""
import argparse
import json
import math
import os
import re
import shutil
import subprocess
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
EXPERTS = """
model: {architecture: moe_llama, vocab: 4096, layers: 3, d: 512, heads: 8, kv: 4, ffn: 1024, experts: 8, top: 2, tied: true}
loss: {cross_entropy: 1.0, balance: 0.02}
data: {length: 512, train: [{text: "text/*"}]}
train: {batch: 4, micro_batch: 4, duration: 8 steps, optimizer: {adamw: {}}, schedule: {constant: {peak: 1e-4}}}
run: {folder: run}
"""
ROW = re.compile(r"\s*[\d.]+%\s+([\d.]+)\s+([\d.]+)\s+[\d.]+\s.*?"
                 r"(accumulate|apply)\s+(\S+)")


def call(*words):
    return subprocess.run(words, text=True, check=True,
                          stdout=subprocess.PIPE).stdout


def specs(folder):
    for name in sorted(os.listdir(os.path.join(HERE, "specs"))):
        with open(os.path.join(HERE, "specs", name)) as file:
            yield name[:-5], file.read()
    yield "experts", EXPERTS


def measure(ltc, folder, name, text, steps):
    spec, artifact = (os.path.join(folder, name + end)
                      for end in (".yaml", ".ltca"))
    with open(spec, "w") as file:
        file.write(text)
    call(ltc, "compile", spec, "-o", artifact)
    table = json.loads(call(ltc, "inspect", artifact, "--json"))
    plan = json.loads(call(ltc, "plan", artifact, "--json"))["time"]
    said = call(ltc, "run", artifact, "--profile", "--fresh", "--set",
                f"run.folder={folder}/run", "--set",
                f"train.duration={steps} steps", "--set", "run.loggers=none")
    shutil.rmtree(os.path.join(folder, "run"))
    kernels = {kernel["symbol"]: kernel for kernel in table["kernels"]}
    threads = int(re.search(r"(\d+) threads?", plan["device"])[1])
    kinds, step = {}, 0
    for phase in ("accumulate", "apply"):
        step += float(re.search(rf"{phase} +\d+ runs of ([\d.]+) ms", said)[1])
    for line in said.splitlines():
        row = ROW.match(line)
        if not row or row[4] not in kernels:
            continue
        kernel, launches = kernels[row[4]], float(row[2])
        sums = kinds.setdefault(kernel["form"], [0, 0, 0])
        tiles = kernel["tiles"]
        sums[0] += float(row[1]) / 1e3
        sums[1] += launches * kernel["flops"] * threads / tiles \
            * math.ceil(tiles / threads)
        sums[2] += launches * (kernel["read_bytes"] + kernel["written_bytes"])
    print(f"{name:18} planned {1e3 * plan['step_seconds']:8.1f} ms a step, "
          f"taken {step:8.1f}: {1e3 * plan['step_seconds'] / step:.2f}")
    for kind, (seconds, flops, bytes_) in sorted(kinds.items()):
        print(f"    {kind:10} {100 * seconds * 1e3 / step:5.1f} % of the time; "
              f"of FLOPs {flops / seconds / plan['peak_flops']:.2f}, of bytes "
              f"{bytes_ / seconds / plan['peak_copy_bytes']:.2f}", flush=True)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ltc")
    parser.add_argument("text", nargs="+")
    parser.add_argument("--steps", type=int, default=6)
    job = parser.parse_args()
    ltc = os.path.abspath(job.ltc)
    with tempfile.TemporaryDirectory() as folder:
        os.mkdir(os.path.join(folder, "text"))
        for file in job.text:
            shutil.copy(file, os.path.join(folder, "text"))
        for name, text in specs(folder):
            measure(ltc, folder, name, text, job.steps)
            narrow = text.replace("train: {", "train: {precision: bf16, ")
            measure(ltc, folder, name + "-bf16", narrow, job.steps)


main()
