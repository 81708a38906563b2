#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""ltc sweep: sweep.py LTC (the `ltc` program).

A grid and its zoom; the figures of a point are those of `ltc run`, to the bit;
after kill -9 and SIGINT the same command gives the same results; a point that
diverges is marked and the rest goes on; what cannot be swept is refused."""
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time

import training

KEY = "train.schedule.peak"


def sweep(ltc, program, folder, *words, code=0):
    done = subprocess.run([ltc, "sweep", program, "--folder", folder, *words],
                          text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT)
    if done.returncode != code:
        training.fail(f"ltc sweep {words} left with {done.returncode}:\n"
                      + done.stdout)
    return done.stdout


def points(folder):
    """Of sweep.json, without what a clock wrote."""
    with open(os.path.join(folder, "sweep.json")) as file:
        found = json.load(file)["points"]
    for point in found:
        point.pop("seconds")
    return found


def grid_and_zoom(ltc, artifact, folder):
    words = ("--set", f"{KEY}=1e-4..1e-2", "--points", "3", "--steps", "20",
             "--zoom", "1")
    text = sweep(ltc, artifact, folder, *words)
    found = points(folder)
    values = [point["value"] for point in found]
    if not {1e-4, 1e-3, 1e-2} <= set(values) or not 4 <= len(values) <= 5:
        training.fail(f"values {values}")
    best = min(found, key=lambda point: point["loss"])
    for pattern in (rf"best: {KEY}={best['value']:g} \(loss "
                    rf"{best['loss']:.4f}\)", r"\d  best\n",
                    rf"ltc run \S+ --set {KEY}=", "[\u2801-\u28ff]"):
        if not re.search(pattern, text):
            training.fail(f"'{pattern}' is not said:\n{text}")
    print("  values " + ", ".join(f"{v:g}" for v in values)
          + f"; best {best['value']:g}")
    return words, found


def as_a_run(ltc, artifact, folder, point):
    run = os.path.join(folder, "alone")
    training.train(ltc, artifact, run, f"{KEY}={point['value']}",
                   "train.duration=20 steps")
    loss = [line["eval_loss"] for line in training.metrics(run)
            if "eval_loss" in line][-1]
    if loss != point["loss"]:
        training.fail(f"a run's loss is {loss}, the sweep's {point['loss']}")
    print(f"  a run alone has the same loss, {loss:.6f}")


def goes_on(ltc, artifact, top, words, expected):
    """Ended three times in its midst, by signals in turn."""
    folder = os.path.join(top, "again")
    for number, count in ((signal.SIGKILL, 1), (signal.SIGINT, 2)):
        with subprocess.Popen(
                [ltc, "sweep", artifact, "--folder", folder, *words],
                text=True, stdout=subprocess.PIPE) as process:
            while True:
                path = os.path.join(folder, "sweep.json")
                if os.path.exists(path) and len(points(folder)) >= count:
                    break
                if process.poll() is not None:
                    training.fail("the sweep ended before it was stopped")
                time.sleep(0.005)
            time.sleep(0.05)
            process.send_signal(number)
            said = process.stdout.read()
        if number == signal.SIGINT and process.returncode == 0 and \
                "the same command goes on from there" not in said \
                and "best:" not in said:
            training.fail(f"SIGINT: does not say how to go on:\n{said}")
    sweep(ltc, artifact, folder, *words)
    if [(p["value"], p["loss"]) for p in points(folder)] != \
            [(p["value"], p["loss"]) for p in expected]:
        training.fail(f"{points(folder)}, expected {expected}")
    before = points(folder)
    text = sweep(ltc, artifact, folder, *words)
    if points(folder) != before or re.search(rf"(?m)^{KEY}=\S+  loss", text):
        training.fail(f"a finished sweep trained again:\n{text}")
    print("  killed, interrupted and finished: the same results")


def diverges(ltc, artifact, top):
    folder = os.path.join(top, "diverges")
    text = sweep(ltc, artifact, folder, "--set", f"{KEY}=1e-3,1e9,2e-3",
                 "--steps", "20", "--zoom", "0")
    found = points(folder)
    if [bool(point["diverged"]) for point in found] != [False, False, True]:
        training.fail(f"{found}\n{text}")
    if not re.search(r"1e\+09 +diverged", text) or "best:" not in text:
        training.fail(text)
    print("  " + next(line for line in text.splitlines() if "diverged" in line))


def refusals(ltc, artifact, top, folder, words):
    for settings, said in (
            (["--set", f"{KEY}=1e-3"],
             "a sweep needs a scalar with several values"),
            (["--set", "train.batch=8..64"],
             "error: --set train.batch: a sweep varies a scalar; scalars here: "),
            (["--set", "model.layers=1..4"],
             "error: --set model.layers: a sweep varies a scalar"),
            (["--set", f"{KEY}=1..2", "--set", "train.clip=1..2"],
             f"error: a sweep varies one key; {KEY} and train.clip"),
            (["--set", f"{KEY}=2..1"],
             f"error: --set {KEY}=2..1: expected LOW..HIGH"),
            (["--set", "train.clip=-1..1"],
             "error: --set train.clip: expected more than 0, found -1"),
            (["--set", f"{KEY}=1,2", "--measure", "heldout"],
             "error: --measure heldout: there is no such evaluation set; there "
             "are: train, held")):
        text = sweep(ltc, artifact, os.path.join(top, "refused"), *settings,
                     code=1)
        if said not in text:
            training.fail(f"{settings}: '{said}' is not said:\n{text}")
    text = sweep(ltc, artifact, folder, *words, "--set", "train.seed=2", code=1)
    if "was made with another train.seed (then" not in text:
        training.fail(text)
    print("  refused: " + text.strip())


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    ltc = os.path.abspath(sys.argv[1])
    with tempfile.TemporaryDirectory() as top:
        artifact = training.small_artifact(ltc, top)
        folder = os.path.join(top, "sweep")
        words, found = grid_and_zoom(ltc, artifact, folder)
        as_a_run(ltc, artifact, top, found[1])
        goes_on(ltc, artifact, top, words, found)
        diverges(ltc, artifact, top)
        refusals(ltc, artifact, top, folder, words)


main()
