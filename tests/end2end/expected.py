#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The plan's figures, done again: expected.py LTC.

Parameters and FLOPs of a llama by hand from its shape; the time of a step from
`ltc inspect --json` and the ceilings that the plan states; the length of the
run in every unit; and what `ltc run --trial` says of the plan."""
import json
import math
import os
import re
import subprocess
import sys
import tempfile

import training


def call(*words):
    done = subprocess.run(words, text=True, capture_output=True)
    if done.returncode:
        training.fail(f"{words} left with {done.returncode}:\n{done.stderr}")
    return done.stdout


def close(what, found, expected):
    if not math.isclose(found, expected, rel_tol=1e-9):
        training.fail(f"{what}: the plan says {found}, expected {expected}")
    print(f"  {what}: {found:g}")


def by_hand(plan, shape):
    """A llama with 4 heads, 2 of keys and values, and an untied head."""
    d, ffn, layers = shape["d"], shape["ffn"], shape["layers"]
    matrices = layers * (d * d * 2 + 2 * d * d // 2 + 3 * d * ffn) + 256 * d
    norms = layers * 2 * d + d
    close("parameters", plan["parameters"], matrices + norms + 256 * d)
    close("without embeddings", plan["parameters_without_embeddings"],
          matrices + norms)
    close("in contractions", plan["parameters_in_contractions"], matrices)
    close("FLOPs per token", plan["flops_per_token"],
          6 * matrices + plan["attention_flops_per_token"])
    close("20 per parameter", plan["tokens_for_20_per_parameter"],
          20 * (matrices + norms + 256 * d))


def step_seconds(table, time, threads, batch):
    """The roofline once more, from the artifact and the measured ceilings."""
    sums = {"accumulate": 0, "apply": 0}
    for phase in table["phases"]:
        for command in phase["commands"]:
            if phase["name"] not in sums:
                break
            if command["kind"] == "fill_zero":
                seconds = command["bytes"] / time["peak_copy_bytes"]
            else:
                kernel = table["kernels"][command["kernel"]]
                rounds = math.ceil(kernel["tiles"] / threads) * threads \
                    / kernel["tiles"]
                seconds = max(
                    kernel["flops"] * rounds
                    / (time["peak_flops"] * kernel["flops_share"]),
                    (kernel["read_bytes"] + kernel["written_bytes"])
                    / (time["peak_copy_bytes"] * kernel["bytes_share"]))
            sums[phase["name"]] += seconds + time["launch_seconds"]
    return sums["apply"] + batch / table["micro_batch"] * sums["accumulate"]


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    ltc = os.path.abspath(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder:
        artifact = training.small_artifact(ltc, folder)
        shape, threads = training.SMALL, 2
        words = ("plan", artifact, "--set", f"run.threads={threads}")
        plan = json.loads(call(ltc, *words, "--json"))
        by_hand(plan, shape)
        time = plan["time"]
        table = json.loads(call(ltc, "inspect", artifact, "--json"))
        expected = step_seconds(table, time, threads, shape["batch"])
        close("seconds a step", time["step_seconds"], expected)
        tokens = shape["batch"] * shape["length"]
        close("MFU", time["mfu"], tokens * plan["flops_per_token"]
              / time["step_seconds"] / time["peak_flops"])
        close("seconds of the run", time["run_seconds"],
              shape["steps"] * time["step_seconds"])
        text = sum(os.path.getsize(os.path.join(folder, f"text-{x}.txt"))
                   for x in "ab")
        for duration, steps in (("4096 tokens", 4096 / tokens),
                                ("2 epochs", 2 * text / tokens)):
            other = json.loads(call(ltc, *words, "--json", "--set",
                                    f"train.duration={duration}"))
            close(f"steps of {duration}", other["steps"], steps)
        said = call(ltc, *words)
        for pattern in (r"parameters +[\d.]+ k, without embeddings [\d.]+ k",
                        r"FLOPs per token [\d.]+ k = 6 x", "MFU",
                        r"the run +60 steps: 60 steps, 30.72 k tokens, ",
                        r"20 a parameter +[\d.]+ M tokens, "):
            if not re.search(pattern, said):
                training.fail(f"'{pattern}' is not in the plan:\n{said}")
        said = call(ltc, "run", artifact, "--trial", "12")
        found = re.search(r"planned: ([\d.]+) s a step; this is ([\d.]+)x", said)
        if not found:
            training.fail(f"the trial says nothing of the plan:\n{said}")
        print("  trial, for people: " + found[0])


main()
