#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Memory is what `ltc plan` says: memory.py LTC ALLOCATIONS.so [--large].

A short training, saved and resumed, with every allocation and mapping of at
least 64 KiB recorded together with the functions that asked for it: each
belongs to a line of `ltc plan`, and no line takes more than it states. Then the
same without the recorder: the peak of resident memory against the plan's
total."""
import argparse
import collections
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time

import training

LEAST = 1 << 16
PAGE = resource.getpagesize()
# What ltc takes that is no line of the plan: the program, libraries, stacks,
# tables and what is smaller than LEAST.
ITSELF = 16 << 20
# A function in the chain of callers, and the line that it takes from; the
# first that fits decides. Arenas are told apart by their size.
ARENAS = ("weights", "gradients", "state", "activations", "workspace")
OWNERS = (
    (r"^allocate\(LtcDevice\*", "arena"),
    (r"cpu::Pool::", "scratch"),
    (r"SafetensorsFile::open", "resuming"),
    (r"writeSafetensors|examineFile|saveCheckpoint", "checkpoint"),
    (r"ltc::sdk::Mapping", "data files"),
    (r"Ahead::|ByteStream|openTraining|openEvaluation|ltc::Source::", "loader"),
    (r"ArtifactFile::open", "artifact"),
    (r"loadModule", "kernels"),
    (r"measureCopy", "measuring"),
)


def symbols(program):
    """Addresses and names of a program's functions, sorted."""
    text = subprocess.run(["nm", "-C", "--defined-only", program], check=True,
                          text=True, capture_output=True).stdout
    found = []
    for line in text.splitlines():
        parts = line.split(" ", 2)
        if len(parts) == 3 and parts[1] in "tTwWiu":
            found.append((int(parts[0], 16), parts[2]))
    return sorted(found)


def name_at(functions, offset):
    low, high = 0, len(functions)
    while low < high:
        middle = (low + high) // 2
        if functions[middle][0] <= offset:
            low = middle + 1
        else:
            high = middle
    return functions[low - 1][1] if low else "?"


def owners_of(frames, size, arenas, functions, program):
    chain = []
    for frame in frames:
        path, _, offset = frame.rpartition("+")
        # A return address may be the next function's first byte.
        chain.append(name_at(functions, int(offset) - 1)
                     if os.path.realpath(path) == program else path)
    for pattern, owner in OWNERS:
        if any(re.search(pattern, name) for name in chain):
            if owner != "arena":
                return [owner]
            fits = [line for line, bytes_ in arenas.items()
                    if bytes_ and bytes_ <= size <= bytes_ + 3 * PAGE]
            return fits or ["inputs, outputs"]
    training.fail(f"{size} bytes belong to no line of ltc plan; asked for by\n  "
                  + "\n  ".join(chain))


def peaks(log, arenas, program):
    """Per line, the most bytes that it held at once."""
    functions = symbols(program)
    live, now, peak = {}, collections.Counter(), collections.Counter()
    with open(log) as file:
        for text in file:
            sign, address, *rest = text.split()
            if address in live:
                owner, size = live.pop(address)
                now[owner] -= size
            if sign == "+":
                size = int(rest[0])
                owners = owners_of(rest[1:], size, arenas, functions, program)
                # Of arenas of one size, one that has not been taken yet.
                owner = min(owners, key=lambda name: now[name])
                live[address] = owner, size
                now[owner] += size
                peak[owner] = max(peak[owner], now[owner])
    return peak


def read_plan(ltc, artifact):
    text = subprocess.run([ltc, "plan", artifact, "--json"], check=True,
                          text=True, capture_output=True).stdout
    plan = json.loads(text)
    return {line["name"]: line["bytes"] for line in plan["lines"]}, plan["total"]


def record(ltc, recorder, artifact, run, log):
    environment = {**os.environ, "LD_PRELOAD": recorder,
                   "LTC_ALLOCATIONS": log, "LTC_ALLOCATIONS_LEAST": str(LEAST)}
    for steps in (2, 3): # the second resumes
        training.train(ltc, artifact, run, f"train.duration={steps} steps",
                       env=environment)


SEEN = ("weights", "gradients", "state", "activations", "loader", "checkpoint",
        "resuming", "data files")


def compare(lines, peak, files, seen=SEEN):
    """No line takes more than planned; those of `seen` took something."""
    print(f"  {'':16} {'planned':>14} {'taken at once':>14}")
    for name, bytes_ in lines.items():
        print(f"  {name:16} {bytes_:14,} {peak[name]:14,}")
    for name, bytes_ in peak.items():
        # A mapping ends at a page, an arena with a guard page behind it.
        slack = 2 * PAGE * files if name == "data files" else 3 * PAGE
        if bytes_ > lines[name] + slack:
            training.fail(f"'{name}' takes {bytes_:,} bytes; planned are "
                          f"{lines[name]:,}")
    for name in seen:
        if peak[name] < LEAST:
            training.fail(f"'{name}' was not seen at all: is the recorder "
                          "blind to it?")


def resident(ltc, program, run):
    """Peak resident bytes of a run's own process, as it says while it runs;
    a compiler beside it is not part of it."""
    process = subprocess.Popen(
        training.command(ltc, program, run, "train.duration=2 steps"),
        stdout=subprocess.DEVNULL)
    peak = 0
    while process.poll() is None:
        try:
            with open(f"/proc/{process.pid}/status") as file:
                found = re.search(r"VmHWM:\s*(\d+) kB", file.read())
        except FileNotFoundError:
            break
        peak = max(peak, int(found[1]) * 1024 if found else 0)
        time.sleep(0.002)
    if process.wait():
        training.fail(f"ltc run left with status {process.returncode}")
    return peak


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("ltc")
    parser.add_argument("recorder")
    parser.add_argument("--large", action="store_true")
    arguments = parser.parse_args()
    ltc = os.path.realpath(arguments.ltc)
    shape = dict(layers=2, d=128, ffn=256, length=128, batch=128,
                 micro_batch=16)
    if arguments.large:
        shape = dict(layers=6, d=384, ffn=1024, length=256, batch=64,
                     micro_batch=4)
    with tempfile.TemporaryDirectory() as folder:
        spec = training.write_run(folder, lines=9000, **shape)
        artifact = os.path.join(folder, "model.ltca")
        training.compile_spec(ltc, spec, artifact)
        lines, total = read_plan(ltc, artifact)
        arenas = {line: lines[line] for line in ARENAS}
        log = os.path.join(folder, "allocations")
        record(ltc, os.path.abspath(arguments.recorder), artifact,
               os.path.join(folder, "recorded"), log)
        compare(lines, peaks(log, arenas, ltc), files=3)
        for program in (artifact, spec):
            name = os.path.basename(program)
            peak = resident(ltc, program, os.path.join(folder, f"of-{name}"))
            print(f"  planned in all {total:,}; peak of resident memory of "
                  f"ltc run {name} {peak:,}: {(peak - total) / 2**20:+.1f} MiB "
                  f"(at most +{ITSELF / 2**20:.0f} of ltc itself)")
            if not total / 2 < peak < total + ITSELF:
                training.fail("the plan does not explain resident memory")


if __name__ == "__main__":
    main()
