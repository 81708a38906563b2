#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The memory plan, done again: plan.py LTC [SPEC...].

From `ltc inspect --json` alone: what each command touches; from when to when
each activation lives; that no two that live together overlap, none is read
before it is written, and no argument leaves its buffer; each phase's peak and
each arena's size, which must be what the artifact states."""
import json
import os
import subprocess
import sys
import tempfile

import training

ALIGNMENT = 64


def align(n):
    return (n + ALIGNMENT - 1) // ALIGNMENT * ALIGNMENT


def touches(table, command):
    """(buffer, offset, bytes, written) per binding of a command."""
    if command["kind"] == "fill_zero":
        (buffer, offset), = command["bindings"]
        return [(buffer, offset, command["bytes"], True)]
    arguments = table["kernels"][command["kernel"]]["arguments"]
    if len(arguments) != len(command["bindings"]):
        training.fail(f"{command['segment']}: {len(command['bindings'])} "
                      f"bindings, {len(arguments)} arguments")
    return [(buffer, offset, bytes_, written) for (buffer, offset),
            (bytes_, written) in zip(command["bindings"], arguments)]


def lifetimes(table, phase):
    """First and last command of each activation; checks what is touched."""
    lives = {}
    for n, command in enumerate(phase["commands"]):
        seen = touches(table, command)
        for buffer, offset, bytes_, _ in seen:
            info = table["buffers"][buffer]
            who = f"{phase['name']}, command {n} ({command['segment']})"
            if offset + bytes_ > info["bytes"]:
                training.fail(f"{who} leaves buffer {info['name']}")
            if info["class"] != "activation":
                continue
            if buffer not in lives:
                ways = {written for b, _, _, written in seen if b == buffer}
                if ways != {True}:
                    training.fail(f"{who} reads {info['name']}, which nothing "
                                  "has written")
                lives[buffer] = [n, n]
            lives[buffer][1] = n
    return lives


def overlaps(table, placed):
    """Pairs of (first, last, buffer) that share a command and a byte."""
    placed.sort()
    alive = []
    for first, last, buffer in placed:
        mine = table["buffers"][buffer]
        alive = [(end, other) for end, other in alive if end >= first]
        for _, other in alive:
            theirs = table["buffers"][other]
            if (mine["offset"] < theirs["offset"] + theirs["bytes"]
                    and theirs["offset"] < mine["offset"] + mine["bytes"]):
                training.fail(f"{mine['name']} and {theirs['name']} live "
                              "together and overlap")
        alive.append((last, buffer))


def worst_moment(table, lives):
    """Bytes alive at once: no plan can need less."""
    change = {}
    for buffer, (first, last) in lives.items():
        bytes_ = align(table["buffers"][buffer]["bytes"])
        change[first] = change.get(first, 0) + bytes_
        change[last + 1] = change.get(last + 1, 0) - bytes_
    alive = worst = 0
    for n in sorted(change):
        alive += change[n]
        worst = max(worst, alive)
    return worst


def check_phases(table):
    owner, arena = {}, 0
    for phase in table["phases"]:
        lives = lifetimes(table, phase)
        for buffer in lives:
            if owner.setdefault(buffer, phase["name"]) != phase["name"]:
                training.fail(f"activation {table['buffers'][buffer]['name']} "
                              "is used by two phases")
        overlaps(table, [(a, b, buffer) for buffer, (a, b) in lives.items()])
        peak = max((table["buffers"][b]["offset"]
                    + align(table["buffers"][b]["bytes"]) for b in lives),
                   default=0)
        if peak != phase["activation_peak"]:
            training.fail(f"{phase['name']} needs {peak} bytes; the artifact "
                          f"states {phase['activation_peak']}")
        worst = worst_moment(table, lives)
        print(f"  {phase['name']:10} {len(phase['commands']):5} commands, "
              f"{len(lives):5} activations, peak {peak:12,} bytes"
              + (f", {peak / worst:.3f} of what lives at once" if worst
                 else ""))
        arena = max(arena, peak)
    return arena


def check_arenas(table, activations):
    needed = {}
    for buffer in table["buffers"]:
        end = buffer["offset"] + align(buffer["bytes"])
        needed[buffer["class"]] = max(needed.get(buffer["class"], 0), end)
    if needed.get("activation", 0) != activations:
        training.fail("there are activations that no command touches")
    for arena in table["arenas"]:
        if arena["bytes"] != needed.get(arena["class"], 0):
            training.fail(f"the {arena['class']} arena has {arena['bytes']} "
                          f"bytes; its buffers need "
                          f"{needed.get(arena['class'], 0)}")
    print("  arenas: " + ", ".join(f"{arena['class']} {arena['bytes']:,}"
                                   for arena in table["arenas"]))


def check_disjoint(table):
    """Parameters, gradients and states of parameters do not overlap."""
    places = []
    for parameter in table["parameters"]:
        places.append(parameter["buffer"])
        places.extend(parameter["states"].values())
        if parameter["gradient"] >= 0:
            places.append(parameter["gradient"])
    for kind in ("parameter", "gradient", "state"):
        overlaps(table, [(0, 0, buffer) for buffer in places
                         if table["buffers"][buffer]["class"] == kind])


def check(ltc, artifact):
    table = json.loads(subprocess.run(
        [ltc, "inspect", artifact, "--json"], check=True, text=True,
        capture_output=True).stdout)
    check_arenas(table, check_phases(table))
    check_disjoint(table)


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    ltc = os.path.abspath(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder:
        specs = sys.argv[2:] or [
            training.write_run(os.path.join(folder, "small")),
            training.write_run(os.path.join(folder, "odd"), layers=5, d=72,
                               ffn=100, length=48, micro_batch=1)]
        for spec in specs:
            print(spec)
            artifact = os.path.join(folder, "model.ltca")
            training.compile_spec(ltc, spec, artifact)
            check(ltc, artifact)


main()
