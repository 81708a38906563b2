#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every optimizer, end to end: check_optimizers.py LTC (the `ltc` program).
A run stopped half way and resumed has the bits of one that was not, whatever
the threads; factored state is in the file in its own shape; schedule-free's
saved and exported weights are the mean, the trained ones are beside them."""
import json
import os
import struct
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))


def tensors(path):
    """Shapes and values of a safetensors file."""
    with open(path, "rb") as file:
        data = file.read()
    size, = struct.unpack_from("<Q", data)
    found = {}
    for name, entry in json.loads(data[8:8 + size]).items():
        if name == "__metadata__":
            continue
        begin, end = (8 + size + x for x in entry["data_offsets"])
        count = (end - begin) // 4
        found[name] = (entry["shape"],
                       struct.unpack_from(f"<{count}f", data, begin))
    return found


def ltc(*arguments):
    done = subprocess.run([sys.argv[1], *arguments], capture_output=True,
                          text=True)
    if done.returncode:
        sys.exit(f"ltc {' '.join(arguments)}: {done.stdout}{done.stderr}")
    return done.stdout


def run(optimizer, folder, *settings):
    with open(os.path.join(HERE, "optimizers.yaml")) as file:
        text = file.read()
    for word, value in (("OPTIMIZER", optimizer), ("FOLDER", folder),
                        ("HERE", HERE)):
        text = text.replace(word, value)
    spec = folder + ".yaml"
    with open(spec, "w") as file:
        file.write(text)
    ltc("run", spec, *settings)
    return os.path.join(folder, "checkpoints", "step-000000004")


def same(a, b):
    for name in sorted(os.listdir(a)):
        if not name.endswith(".safetensors"):
            continue
        with open(os.path.join(a, name), "rb") as x, \
             open(os.path.join(b, name), "rb") as y:
            if x.read() != y.read():
                sys.exit(f"{a} and {b} differ in {name}")


def expect(holds, what):
    if not holds:
        sys.exit(f"not so: {what}")


def main():
    word = "model.layers.0.mlp.up_proj.weight"  # (24, 16)
    with tempfile.TemporaryDirectory() as top:
        for optimizer in ("lion", "adafactor", "muon", "schedule_free_adamw",
                          os.path.join(HERE, "normalised.ltc")):
            name = os.path.basename(optimizer).split(".")[0]
            whole = run(optimizer, os.path.join(top, name),
                        "--set", "run.threads=1")
            half = os.path.join(top, name + "-half")
            run(optimizer, half, "--set", "train.duration=2 steps")
            resumed = run(optimizer, half)
            same(whole, resumed)
            if optimizer == "adafactor":
                rows = tensors(os.path.join(whole, "state.row.safetensors"))
                columns = tensors(os.path.join(whole, "state.col.safetensors"))
                expect(rows[word][0] == [24], "one number per row")
                expect(columns[word][0] == [16], "one number per column")
                expect("model.norm.weight" not in rows, "vectors keep all")
                plan = ltc("plan", os.path.join(top, name + ".yaml"))
                expect("row " in plan and "col " in plan, "plan shows states")
            if optimizer == "schedule_free_adamw":
                expect_mean(whole, os.path.join(top, name), word)
            print(f"{name}: resumed and whole runs have the same bits")


def expect_mean(checkpoint, folder, word):
    read = {kind: tensors(os.path.join(checkpoint, kind + ".safetensors"))
            for kind in ("model", "trained", "state.z", "state.total")}
    x, y, z = (read[kind][word][1] for kind in ("model", "trained", "state.z"))
    far = max(abs(a - (b + (1 - 1 / 0.9) * (c - b)))
              for a, b, c in zip(x, y, z))
    expect(far < 1e-6, f"the saved weights are the mean, off by {far}")
    expect(max(abs(a - b) for a, b in zip(x, y)) > 1e-5, "which are others")
    expect(read["state.total"][word][0] == [], "a number per parameter")
    exported = os.path.join(folder, "exported")
    ltc("export", folder, "-o", exported)
    same(exported, checkpoint)


main()
