#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checkpoints: checkpoints.py LTC (the `ltc` program).

The last three stay. A damaged one (a flipped byte or a cut in each file, a
missing file) is passed over with words, and the run goes on from the one before
to the same bits; if none is whole, the run says so. With a full disk the run
goes on, warns, and fails at its end if there is still no room; the older
checkpoints are as they were. A folder that cannot be written is an error at
the first save. Two processes do not train in one folder."""
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile

import training


def flip(path):
    with open(path, "r+b") as file:
        file.seek(os.path.getsize(path) // 2)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 1]))


def cut(path):
    os.truncate(path, os.path.getsize(path) // 2)


def refused(what, done, *words):
    """Fails unless the run left with an error that says these words."""
    text = done.stdout
    if done.returncode != 1:
        training.fail(f"{what}: left with {done.returncode}:\n{text}")
    for word in words:
        if not re.search(word, text):
            training.fail(f"{what}: '{word}' is not said:\n{text}")
    print(f"  {what}: " + [line for line in text.splitlines()
                           if line.startswith("error")][-1][:150])


def attempt(ltc, artifact, run, *settings, **keywords):
    return subprocess.run(training.command(ltc, artifact, run, *settings),
                          text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, **keywords)


def names(run):
    return [os.path.basename(path) for path in training.checkpoints(run)]


def keeps_the_last(run, steps, every, keep):
    last = sorted({steps, *range(every, steps + 1, every)})[-keep:]
    expected = [f"step-{step:09}" for step in last]
    left = sorted(os.listdir(os.path.join(run, "checkpoints")))
    if left != expected:
        training.fail(f"checkpoints {left}, expected {expected}")
    print(f"  kept of {steps} steps: {', '.join(left)}")


def damaged_ones(ltc, artifact, reference, expected, folder):
    newest = training.checkpoints(reference)[-1]
    files = sorted(os.listdir(newest))
    if len(files) < 4:
        training.fail(f"a checkpoint holds only {files}")
    for name in files:
        for how, harm in (("flipped", flip), ("cut", cut),
                          ("missing", os.remove)):
            what = f"{name} {how}"
            run = os.path.join(folder, what.replace(" ", "-"))
            shutil.copytree(reference, run)
            harm(os.path.join(training.checkpoints(run)[-1], name))
            text = training.train(ltc, artifact, run)
            said = re.search(r"passed over (\S+): (.*)", text)
            if not said or name not in said[2]:
                training.fail(f"{what}: not passed over by name:\n{text}")
            if f"resumed at step {names(run)[-2][5:].lstrip('0')}" not in text:
                training.fail(f"{what}: not resumed from the one before:\n"
                              + text)
            training.same(what, run, expected)
            shutil.rmtree(run)


def none_whole(ltc, artifact, reference, folder):
    run = os.path.join(folder, "none")
    shutil.copytree(reference, run)
    for path in training.checkpoints(run):
        os.remove(os.path.join(path, "manifest.json"))
    refused("no checkpoint is whole", attempt(ltc, artifact, run),
            "manifest.json: cannot be opened", "no checkpoint in .* is whole",
            "--fresh")


def limit_files():
    """What a full disk does, for anybody: writes past a size fail. The size is
    above the kernels' object, which is loaded from memory, below the weights."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (350_000, 350_000))


def full_disk(ltc, artifact, expected, folder):
    run = os.path.join(folder, "full")
    training.train(ltc, artifact, run, "train.duration=20 steps",
                   "run.save_every=8 steps")
    before = names(run)
    refused("a file that cannot grow",
            attempt(ltc, artifact, run, preexec_fn=limit_files),
            "warning: step 24 is not saved: .*model.safetensors: cannot be "
            rf"written.*{before[-1]} stands, to go on from; the run goes on, "
            "and tries again when it saves next",
            "warning: step 56 is not saved",
            rf"error: step 60 is not saved: .*{before[-1]} stands, to go on "
            "from")
    if sorted(os.listdir(os.path.join(run, "checkpoints"))) != before:
        training.fail(f"before {before}, after "
                      f"{os.listdir(os.path.join(run, 'checkpoints'))}")
    # The first part ended with an evaluation of its own, at step 20, as does
    # the undisturbed run; so all lines agree.
    training.train(ltc, artifact, run)
    training.same("and then with room", run, expected)


def full_file_system(ltc, artifact, folder):
    """A real one, where this user may mount."""
    place = os.path.join(folder, "disk")
    os.mkdir(place)
    # Room for the run's copy of the artifact and for one checkpoint.
    size = os.path.getsize(artifact) + 1_700_000
    script = (f'mount -t tmpfs -o size={size} none "$0" || exit 77; '
              '"$@"; code=$?; ls "$0"/run/checkpoints; exit $code')
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", script, place]
        + training.command(ltc, artifact, os.path.join(place, "run")),
        text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode == 77 or "unshare" in done.stdout:
        print("  a full file system: cannot be mounted here, left out")
        return
    refused("a full file system", done, "No space left on device",
            "warning: step 8 is not saved", "error: step 60 is not saved",
            "step-000000004 stands", r"\nstep-000000004\n$")


def one_at_a_time(ltc, artifact, folder):
    run = os.path.join(folder, "twice")
    with subprocess.Popen(
            training.command(ltc, artifact, run, "run.log_every=1 steps",
                             "train.duration=100000 steps"),
            text=True, stdout=subprocess.PIPE) as first:
        for line in first.stdout:
            if line.startswith("step 2/"):
                break
        refused("a second process", attempt(ltc, artifact, run),
                f"error: the run in {run} is being trained by process "
                rf"{first.pid}; wait for its end, stop it \(kill {first.pid}\),"
                " or choose another run.folder")
        first.kill()
    training.train(ltc, artifact, run, "train.duration=3 steps")


def no_folder(ltc, artifact, folder):
    run = os.path.join(folder, "nowhere")
    os.mkdir(run)
    with open(os.path.join(run, "checkpoints"), "w"):
        pass
    refused("a folder that cannot be made", attempt(ltc, artifact, run),
            "step 4 is not saved", "cannot be made: Not a directory",
            "there is no older checkpoint")
    refused("a run folder that cannot be made",
            attempt(ltc, artifact, os.path.join(run, "checkpoints", "x")),
            "run.folder .*Not a directory")


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    ltc = os.path.abspath(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder:
        artifact = training.small_artifact(ltc, folder)
        reference = os.path.join(folder, "reference")
        training.train(ltc, artifact, reference)
        expected = training.outcome(reference)
        keeps_the_last(reference, training.SMALL["steps"],
                       training.SMALL["save_every"], 3)
        damaged_ones(ltc, artifact, reference, expected, folder)
        none_whole(ltc, artifact, reference, folder)
        full_disk(ltc, artifact, expected, folder)
        full_file_system(ltc, artifact, folder)
        no_folder(ltc, artifact, folder)
        one_at_a_time(ltc, artifact, folder)


main()
