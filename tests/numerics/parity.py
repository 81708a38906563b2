#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""parity.py LTC: whole training steps of `ltc` beside PyTorch's, from the same
weights (transformers wrote them), on the same batches (`ltc batches`). Prints
each figure with its bound. Needs PyTorch, transformers and Debian's perl-doc."""
import argparse
import json
import os
import sys
import tempfile

import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM
from transformers.utils import logging

import reference
import runs

BOUNDS = {"adamw": 1e-2, "sgd": 1e-4}


class Report:
    failures = 0

    def check(self, what, value, bound):
        good = value <= bound  # NaN is not good
        self.failures += not good
        print(f"{'ok  ' if good else 'FAIL'} {what:<70} {value:9.2e}"
              f"  <= {bound:.0e}", flush=True)


def largest(got, want, first, last):
    """The largest relative difference over these steps, counted from 1."""
    pairs = list(zip(got, want))[first - 1:last]
    assert len(pairs) == last - first + 1
    return max(abs(g - w) / abs(w) for g, w in pairs)


def without_key_bias(name, tensor):
    """A key's bias shifts all scores of a query alike: its gradient is zero,
    and what AdamW makes of rounding errors is arbitrary."""
    if not name.endswith("c_attn.bias"):
        return tensor
    query, _, value = tensor.chunk(3)
    return torch.cat([query, value])


def worst_tensor(got, start, model):
    """The largest ||w - w_ref|| / ||w_ref - w_0||, and its tensor."""
    worst = (0.0, "")
    want = dict(model.named_parameters())
    if sorted(got) != sorted(want):
        raise SystemExit(f"tensors differ: {sorted(set(got) ^ set(want))}")
    for name, tensor in want.items():
        w, w_ref, w_0 = (without_key_bias(name, t.detach().double())
                         for t in (got[name], tensor, start[name]))
        moved = (w_ref - w_0).norm()
        assert moved > 0, name
        worst = max(worst, (((w - w_ref).norm() / moved).item(), name))
    return worst


class Parity:
    def __init__(self, binary, folder, dtype):
        self.ltc = runs.Ltc(binary)
        self.folder = folder
        self.dtype = dtype
        self.report = Report()
        self.data = os.path.join(folder, "documents.jsonl")
        runs.write_documents(self.data, runs.documents(reference.perl_text()))

    def path(self, *parts):
        return os.path.join(self.folder, *parts)

    def compare(self, name, kind, steps):
        """ltc and PyTorch, `steps` steps from the weights of start/name."""
        start = self.path("start", name)
        ours = self.path(f"{name}-{kind}")
        lines = self.ltc.train(ours, name, kind, self.data, weights=start,
                               steps=steps)
        self.ltc("batches", f"{ours}/run", "-n", steps, "-o", f"{ours}/batches")
        batches = reference.read_batches(load_file(f"{ours}/batches"))
        model = AutoModelForCausalLM.from_pretrained(start).to(self.dtype)
        losses, norms = reference.train(model.train(), batches, kind, steps)
        got = [line["loss"] for line in lines]
        check = self.report.check
        print(f"{name} with {kind}: loss {got[0]:.4f} -> {got[-1]:.4f}, "
              f"gradient norm {norms[0]:.2f} -> {norms[-1]:.2f}, "
              f"{sum(n > runs.CLIP for n in norms)} of {steps} steps clipped")
        check(f"{name} {kind} loss, steps 1-20",
              largest(got, losses, 1, 20), 1e-4)
        check(f"{name} {kind} gradient norm, steps 1-20",
              largest([line["grad_norm"] for line in lines], norms, 1, 20), 1e-3)
        if steps > 20:
            check(f"{name} {kind} loss, steps 21-{steps}",
                  largest(got, losses, 21, steps), 1e-3)
        self.ltc("export", f"{ours}/run", "-o", f"{ours}/model")
        value, tensor = worst_tensor(load_file(f"{ours}/model/model.safetensors"),
                                     load_file(f"{start}/model.safetensors"),
                                     model)
        check(f"{name} {kind} weights, worst {tensor}", value, BOUNDS[kind])
        return got, batches

    def splits(self, name, whole):
        """The batch in micro batches of 8, 4 and 1 rows."""
        for rows in (8, 1):
            lines = self.ltc.train(self.path(f"{name}-by-{rows}"), name, "adamw",
                                   self.data, weights=self.path("start", name),
                                   micro_batch=rows, steps=20)
            self.report.check(
                f"{name} split 4x2 and {rows}x{runs.BATCH // rows}, steps 1-20",
                largest([line["loss"] for line in lines], whole, 1, 20), 1e-5)

    def folder_roundtrip(self, name, batches):
        """transformers opens what `ltc export` wrote, and so does ltc."""
        folder = self.path(f"{name}-adamw", "model")
        model, info = AutoModelForCausalLM.from_pretrained(
            folder, output_loading_info=True)
        odd = {key: sorted(value) for key, value in info.items() if value}
        ours = load_file(f"{folder}/model.safetensors")
        theirs = load_file(self.path("start", name, "model.safetensors"))
        shapes = [{n: t.shape for n, t in f.items()} for f in (ours, theirs)]
        if odd or shapes[0] != shapes[1]:
            print(f"FAIL {name} folder: {odd or shapes}")
            self.report.failures += 1
        with torch.no_grad():
            want = reference.loss_of(model.double(), batches[0]).item()
        lines = self.ltc.train(self.path(f"{name}-again"), name, "adamw",
                               self.data, weights=folder, steps=1)
        self.report.check(f"{name} export, opened by transformers and by ltc",
                          largest([lines[0]["loss"]], [want], 1, 1), 1e-5)

    def run(self, name, kinds, steps):
        reference.build(name).save_pretrained(self.path("start", name))
        for kind in kinds:
            losses, batches = self.compare(name, kind, steps)
            if kind == "adamw":
                self.splits(name, losses)
                self.folder_roundtrip(name, batches)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("ltc")
    parser.add_argument("--models", nargs="*", default=list(runs.MODELS))
    parser.add_argument("--optimizers", nargs="*", default=list(runs.OPTIMIZERS))
    parser.add_argument("--float64", action="store_true",
                        help="PyTorch computes in float64: whose error is it?")
    parser.add_argument("--keep", help="work in this new folder, and leave it")
    options = parser.parse_args()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    with tempfile.TemporaryDirectory() as temporary:
        folder = os.path.abspath(options.keep) if options.keep else temporary
        os.makedirs(folder, exist_ok=True)
        parity = Parity(options.ltc, folder,
                        torch.float64 if options.float64 else torch.float32)
        for name in options.models:
            whole = name != "qwen2"
            kinds = options.optimizers if whole else ["adamw"]
            parity.run(name, kinds, 100 if whole else 20)
    print(f"{parity.report.failures} failed")
    return parity.report.failures > 0


sys.exit(main())
