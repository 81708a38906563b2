#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""golden.py LTC [--make]: the first steps of small training runs beside
golden.json, which holds PyTorch's losses and gradient norms. Weights follow a
formula (runs.formula); the text is the repository's LICENSE. --make writes
golden.json anew, by PyTorch."""
import argparse
import hashlib
import json
import os
import sys
import tempfile

import runs

STEPS = 5
BOUNDS = {"loss": 1e-5, "grad_norm": 1e-4}
RUNS = [("gpt2", "adamw"), ("llama", "sgd"), ("smollm2", "adamw"),
        ("qwen2", "adamw")]
HERE = os.path.dirname(os.path.abspath(__file__))
GOLDEN = os.path.join(HERE, "golden.json")


def tensor_bytes(path):
    """A safetensors file without its header."""
    with open(path, "rb") as file:
        file.seek(int.from_bytes(file.read(8), "little"), os.SEEK_CUR)
        return file.read()


def run(ltc, folder, name, kind, shapes):
    """Steps by ltc; the batches are left in the run's folder."""
    weights = os.path.join(folder, name + "-weights")
    runs.write_weights(weights, shapes)
    data = os.path.join(folder, "documents.jsonl")
    steps = ltc.train(os.path.join(folder, name), name, kind, data,
                      weights=weights, steps=STEPS)
    ltc("batches", os.path.join(folder, name, "run"), "-n", STEPS,
        "-o", os.path.join(folder, name, "batches"))
    return steps


def check(ltc, folder):
    with open(GOLDEN) as file:
        golden = json.load(file)
    failures = 0
    for name, kind in RUNS:
        want = golden[name]
        steps = run(ltc, folder, name, kind, want["parameters"])
        data = tensor_bytes(os.path.join(folder, name, "batches"))
        if hashlib.sha256(data).hexdigest() != golden["batches"]:
            raise SystemExit("ltc packs other batches than PyTorch saw: if that "
                             "is meant, run golden.py LTC --make")
        for key, figures in (("loss", want["losses"]),
                             ("grad_norm", want["norms"])):
            worst = max(abs(step[key] - figure) / figure
                        for step, figure in zip(steps, figures, strict=True))
            good = worst <= BOUNDS[key]
            failures += not good
            print(f"{'ok  ' if good else 'FAIL'} {name} {kind} {key}: {worst:.1e}"
                  f" <= {BOUNDS[key]:.0e}")
    return failures > 0


def make(ltc, folder):
    from safetensors.torch import load_file

    import reference
    golden = {}
    for name, kind in RUNS:
        model = reference.build(name).double()
        shapes = {n: list(p.shape) for n, p in model.named_parameters()}
        run(ltc, folder, name, kind, shapes)
        path = os.path.join(folder, name, "batches")
        batches = reference.read_batches(load_file(path))
        start = load_file(os.path.join(folder, name + "-weights",
                                       "model.safetensors"))
        model.load_state_dict(start, strict=False)
        losses, norms = reference.train(model, batches, kind, STEPS)
        golden["batches"] = hashlib.sha256(tensor_bytes(path)).hexdigest()
        golden[name] = {"losses": losses, "norms": norms, "parameters": shapes}
    with open(GOLDEN, "w") as out:
        json.dump(golden, out)
        out.write("\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("ltc")
    parser.add_argument("--make", action="store_true")
    options = parser.parse_args()
    ltc = runs.Ltc(options.ltc)
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(HERE, "../../LICENSE"), encoding="utf-8") as file:
            runs.write_documents(os.path.join(folder, "documents.jsonl"),
                                 runs.documents(file.read()))
        return make(ltc, folder) if options.make else check(ltc, folder)


sys.exit(main())
