#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""bf16.py LTC: how far does bf16 move a training run? Ours beside PyTorch's
autocast, from the same weights, on the same batches.

D = mean over steps 10..100 of |loss - float32 loss of the same system|, mean of
the seeds; a seed is of the weights and of the order of the data. Exits with 1
if our D is above `--ratio` times PyTorch's. Needs PyTorch, transformers and
Debian's perl-doc; minutes."""
import argparse
import os
import sys
import tempfile

from safetensors.torch import load_file
from transformers import AutoModelForCausalLM
from transformers.utils import logging

import reference
import runs

FIRST, STEPS = 10, 100


def distance(exact, narrow):
    assert len(exact) == len(narrow) == STEPS
    pairs = list(zip(exact, narrow))[FIRST - 1:]
    return sum(abs(a - b) for a, b in pairs) / len(pairs)


def both(ltc, folder, name, seed, data):
    """D of ours and of PyTorch for one seed."""
    start = os.path.join(folder, "start")
    reference.build(name, seed).save_pretrained(start)
    ours = {}
    for precision in ("fp32", "bf16"):
        lines = ltc.train(os.path.join(folder, precision), name, "adamw", data,
                          weights=start, precision=precision, seed=seed)
        ours[precision] = [line["loss"] for line in lines]
    path = os.path.join(folder, "batches")
    ltc("batches", os.path.join(folder, "fp32", "run"), "-n", STEPS, "-o", path)
    batches = reference.read_batches(load_file(path))
    theirs = {}
    for precision in ("fp32", "bf16"):
        model = AutoModelForCausalLM.from_pretrained(start).float().train()
        theirs[precision], _ = reference.train(
            model, batches, "adamw", STEPS, autocast=precision == "bf16")
    return distance(*ours.values()), distance(*theirs.values())


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("ltc")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--models", nargs="+", default=["llama", "gpt2"])
    parser.add_argument("--ratio", type=float, default=1.5)
    options = parser.parse_args()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    ltc, worst = runs.Ltc(options.ltc), 0
    with tempfile.TemporaryDirectory() as top:
        data = os.path.join(top, "documents.jsonl")
        runs.write_documents(data, runs.documents(reference.perl_text()))
        for name in options.models:
            pairs = []
            for seed in range(1, options.seeds + 1):
                folder = os.path.join(top, f"{name}-{seed}")
                os.mkdir(folder)
                pairs.append(both(ltc, folder, name, seed, data))
                print(f"{name}, seed {seed}: ours {pairs[-1][0]:.2e}, "
                      f"autocast {pairs[-1][1]:.2e}", flush=True)
            ours, theirs = (sum(d) / len(pairs) for d in zip(*pairs))
            print(f"{name}: D ours {ours:.2e}, autocast {theirs:.2e}, ratio "
                  f"{ours / theirs:.2f} (at most {options.ratio})", flush=True)
            worst = max(worst, ours / theirs)
    return int(worst > options.ratio)


if __name__ == "__main__":
    sys.exit(main())
