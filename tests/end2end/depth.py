#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Depth costs calls and nothing else: depth.py LTC [--time].

The same model with 4 and with 48 layers: equal numbers of IR operations at
every stage (calls apart), of kernels, and of object bytes. No kernel covers a
layer: each holds at most one contraction or attention, and a layer's forward
and backward are several launches of distinct kernels. With --time also: compile
times within 1.3, medians of five, alternating."""
import argparse
import collections
import json
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile

import training

STAGES = ("model", "grad", "shard", "kernels")
DEPTHS = (4, 48)
RATIO = 1.3
# The generic start of an operation: results, then its name.
OPERATION = re.compile(
    r'\s*(?:%[\w:-]+(?:, %[\w:-]+)* = )?"?([a-z_]+(?:\.[a-z_]+)*)"?\b')
# What begins a line without being one: blocks, ends of regions, named regions.
NO_OPERATION = re.compile(r"\s*(\^|\}|$|#|\{)")


def operations(text):
    """How many of each operation are in printed IR. A line that is none must be
    a block's label or an end, so that nothing escapes the count."""
    counts = collections.Counter()
    for line in text.splitlines():
        if NO_OPERATION.match(line):
            continue
        found = OPERATION.match(line)
        if not found:
            training.fail(f"cannot tell what this line of IR is: {line[:120]}")
        counts[found[1]] += 1
    return counts


def emit(ltc, spec, stage):
    return subprocess.run([ltc, "compile", spec, f"--emit={stage}"],
                          check=True, text=True, capture_output=True).stdout


def compare_stages(ltc, specs):
    for stage in STAGES:
        shallow, deep = (operations(emit(ltc, spec, stage)) for spec in specs)
        calls = [counts.pop("call", 0) + counts.pop("func.call", 0)
                 for counts in (shallow, deep)]
        if shallow != deep:
            training.fail(f"stage {stage}: {deep - shallow} more, "
                          f"{shallow - deep} fewer with {DEPTHS[1]} layers")
        if not calls[0] < calls[1]:
            training.fail(f"stage {stage} has {calls} calls: no call a layer?")
        print(f"  {stage:8} {sum(shallow.values()):6} operations, "
              f"calls {calls[0]} and {calls[1]}")


def compare_artifacts(shallow, deep):
    for what in ("kernels", "objects"):
        if shallow[what] != deep[what] and what == "objects":
            training.fail(f"objects differ: {shallow[what]}, {deep[what]}")
    names = [[kernel["symbol"] for kernel in table["kernels"]]
             for table in (shallow, deep)]
    if names[0] != names[1]:
        training.fail(f"{len(names[0])} kernels and {len(names[1])}")
    print(f"  {len(names[0])} kernels, {shallow['objects'][0]['bytes']} bytes "
          f"of object, for both")


def heavy_operations(text):
    """Per kernel of the printed stage: its contractions and attentions."""
    found, kernel = {}, None
    for line in text.splitlines():
        began = re.match(r"\s*ltc\.kernel @(\S+)", line)
        if began:
            kernel = began[1]
            found[kernel] = 0
        elif kernel and re.search(r"= ltc\.(contract|attention|attention_grad)\b",
                                  line):
            found[kernel] += 1
        elif re.match(r"\s*func\.func", line):
            kernel = None
    return found


def no_kernel_is_a_layer(text, table):
    heavy = heavy_operations(text)
    most = max(heavy, key=heavy.get)
    if heavy[most] != 1:
        training.fail(f"kernel {most} holds {heavy[most]} contractions")
    segments = collections.defaultdict(set)
    for phase in table["phases"]:
        if phase["name"] == "accumulate":
            for command in phase["commands"]:
                if command["kind"] == "launch":
                    kernel = table["kernels"][command["kernel"]]
                    segments[command["segment"]].add(
                        (kernel["form"], kernel["symbol"]))
    layers = {name: kernels for name, kernels in segments.items()
              if name.startswith("layer.")}
    if len(layers) != 2 * DEPTHS[0]:
        training.fail(f"segments of layers: {sorted(layers)}")
    for part in ("forward", "backward"):
        counts = {len(kernels) for name, kernels in layers.items()
                  if name.endswith(part)}
        contractions = {sum(form == "contract" for form, _ in kernels)
                        for name, kernels in layers.items()
                        if name.endswith(part)}
        if min(contractions) < 4:
            training.fail(f"{part}: {contractions} kernels contract")
        print(f"  a layer's {part}: {sorted(counts)} kernels, "
              f"{sorted(contractions)} of them contract; each kernel holds at "
              "most one contraction or attention")


def compile_seconds(ltc, spec, artifact):
    """Of the processor, so that other work beside it does not count."""
    def now():
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime
    began = now()
    training.compile_spec(ltc, spec, artifact)
    return now() - began


def compare_times(ltc, specs, artifact):
    times = ([], [])
    for _ in range(5):
        for spec, mine in zip(specs, times):
            mine.append(compile_seconds(ltc, spec, artifact))
    shallow, deep = map(statistics.median, times)
    print(f"  compiling takes {shallow:.2f} s and {deep:.2f} s of processor "
          f"time: {deep / shallow:.2f} (at most {RATIO})")
    if deep > RATIO * shallow:
        training.fail("compiling takes longer with more layers")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("ltc")
    parser.add_argument("--time", action="store_true")
    arguments = parser.parse_args()
    ltc = os.path.abspath(arguments.ltc)
    with tempfile.TemporaryDirectory() as folder:
        specs, tables = [], []
        for layers in DEPTHS:
            place = os.path.join(folder, str(layers))
            specs.append(training.write_run(place, layers=layers))
            artifact = os.path.join(place, "model.ltca")
            training.compile_spec(ltc, specs[-1], artifact)
            tables.append(json.loads(subprocess.run(
                [ltc, "inspect", artifact, "--json"], check=True, text=True,
                capture_output=True).stdout))
        compare_stages(ltc, specs)
        compare_artifacts(*tables)
        no_kernel_is_a_layer(emit(ltc, specs[0], "kernels"), tables[0])
        if arguments.time:
            compare_times(ltc, specs, os.path.join(folder, "timed.ltca"))


main()
