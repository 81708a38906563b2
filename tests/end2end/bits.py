#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Equal bits: bits.py LTC [--kills N] (the `ltc` program).

A small run, once without disturbance; then its metrics and the hash of its
last checkpoint (weights and optimizer states) must come out again: with one
thread and with two, twice; after N kills (-9) at random moments with resume;
after SIGINT and SIGTERM, which finish the step, save and say how to go on."""
import argparse
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time

import training


def repeat(ltc, artifact, folder, expected):
    for threads, name in ((1, "1 thread, again"), (2, "2 threads"),
                          (2, "2 threads, again")):
        run = os.path.join(folder, name.replace(" ", "-"))
        training.train(ltc, artifact, run, f"run.threads={threads}")
        training.same(name, run, expected)


def end_by_kill(line, step, seconds):
    """Starts a run, waits until it has printed `step` or a later one (None:
    does not wait), then `seconds`, and kills it; what it said."""
    with subprocess.Popen(line, text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT) as process:
        text = ""
        while step is not None:
            said = process.stdout.readline()
            text += said
            printed = re.match(r"step (\d+)\b", said)
            if not said or printed and int(printed[1]) >= step:
                break
        time.sleep(seconds)
        process.kill()
        text += process.stdout.read()
    # 0: the kill came late, on a busy machine; the run is then complete.
    if process.returncode not in (0, -signal.SIGKILL):
        training.fail(f"a resumed run left with {process.returncode}:\n{text}")
    return text


def kill_and_resume(ltc, artifact, folder, expected, kills, steps, seconds):
    """Life i of a run ends at a random moment in part i of its steps: progress
    is made however slow the machine is. Each fourth ends as it starts."""
    run = os.path.join(folder, "killed")
    resumed = set()
    for number in range(kills):
        line = training.command(ltc, artifact, run, "run.log_every=1 steps",
                                f"run.threads={1 + number % 2}")
        step = int((number + random.random()) * (steps - 10) / kills)
        if number % 4 == 3:
            step = None
        text = end_by_kill(line, step, random.uniform(0, 2 * seconds / steps))
        resumed.update(map(int, re.findall(r"resumed at step (\d+)", text)))
    training.train(ltc, artifact, run)
    training.same(f"{kills} kills, resumed at steps {sorted(resumed)}", run,
                  expected)
    if not resumed:
        training.fail("no run was resumed from its middle")


def stop_and_resume(ltc, artifact, folder, expected, number, step):
    """The signal comes when the run has printed `step`; the first whole step
    after it is the last."""
    name = signal.Signals(number).name
    run = os.path.join(folder, f"{name}-{step}")
    with subprocess.Popen(
            training.command(ltc, artifact, run, "run.log_every=1 steps",
                             "run.save_every=0 steps"),
            text=True, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT) as process:
        text = ""
        for line in process.stdout:
            text += line
            if re.match(rf"step {step}\b", line):
                process.send_signal(number)
    if process.returncode != 0:
        training.fail(f"{name}: left with {process.returncode}:\n{text}")
    said = re.search(r"stopped at step (\d+) and saved; the same command goes "
                     r"on from there", text)
    if not said:
        training.fail(f"{name}: does not say how to go on:\n{text}")
    if not step <= int(said[1]) <= step + 2:
        training.fail(f"{name} at step {step} stopped at step {said[1]}")
    if not training.checkpoints(run)[-1].endswith(f"{int(said[1]):09}"):
        training.fail(f"{name}: no checkpoint of step {said[1]}")
    training.train(ltc, artifact, run)
    training.same(f"{name} at step {step} (stopped at {said[1]}), resumed",
                  run, expected)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("ltc")
    parser.add_argument("--kills", type=int, default=3)
    arguments = parser.parse_args()
    ltc = os.path.abspath(arguments.ltc)
    with tempfile.TemporaryDirectory() as folder:
        steps = 60 if arguments.kills < 10 else 240
        artifact = training.small_artifact(ltc, folder, steps=steps)
        run = os.path.join(folder, "reference")
        began = time.time()
        training.train(ltc, artifact, run, "run.threads=1")
        seconds = time.time() - began
        expected = training.outcome(run)
        losses = [line["loss"] for line in expected[0] if "loss" in line]
        print(f"reference: {len(losses)} steps in {seconds:.2f} s, loss "
              f"{losses[0]:.4f} to {losses[-1]:.6f}, "
              f"weights {expected[1][:16]}")
        if not losses[-1] < 0.8 * losses[0]:
            training.fail("the loss does not fall")
        repeat(ltc, artifact, folder, expected)
        # 20 has an evaluation due, which the resumed run must make up.
        for number, step in ((signal.SIGINT, 7), (signal.SIGTERM, 19),
                             (signal.SIGTERM, 20)):
            stop_and_resume(ltc, artifact, folder, expected, number, step)
        kill_and_resume(ltc, artifact, folder, expected, arguments.kills,
                        steps, seconds)


main()
