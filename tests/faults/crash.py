#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""crash.py LTC LTC-OPT IN-PASS IN-KERNEL IN-LLVM IN-TEXT: a crash inside the
compiler is reported by the place that was being compiled, with a file that
`ltc-opt --run-reproducer` replays. The libraries stand in for one function of
the compiler each."""
import os
import re
import signal
import subprocess
import sys
import tempfile

SPEC = """\
model: {architecture: llama, vocab: 256, layers: 1, d: 32, heads: 2, ffn: 48}
loss: {cross_entropy: 1}
data: {length: 16, train: [{text: spec.yaml}]}
train: {batch: 2, micro_batch: 2, duration: 2 steps,
  optimizer: {adamw: {}}, schedule: {constant: {peak: 1e-3}}}
"""


def fail(message):
    print("FAILED: " + message)
    sys.exit(1)


def call(folder, words, library=None, how="segv"):
    environment = {**os.environ, "TMPDIR": folder, "LTC_FAULT": how}
    if library:
        environment["LD_PRELOAD"] = library
    return subprocess.run(words, cwd=folder, env=environment, text=True,
                          capture_output=True, timeout=300)


def crashed(folder, words, library, how, *patterns):
    """Standard error of an ltc that reports a crash by these patterns."""
    done = call(folder, words, library, how)
    what = f"{os.path.basename(library)}, {how}"
    if done.returncode != 1:
        fail(f"{what}: left with {done.returncode}:\n{done.stderr}")
    for pattern in patterns:
        if not re.search(pattern, done.stderr):
            fail(f"{what}: '{pattern}' is not said:\n{done.stderr}")
    print("  " + next(line for line in done.stderr.splitlines()
                      if ": error: the compiler" in line))
    return done.stderr


def replay(folder, opt, library, how, text):
    """The reproducer crashes again, and without the library it does not."""
    found = re.search(r"ltc-opt --run-reproducer (\S+)", text)
    if not found:
        fail(f"no reproducer is named:\n{text}")
    words = [opt, "--run-reproducer", found[1], "-o", "/dev/null"]
    again = call(folder, words, library, how)
    expected = {"segv": -signal.SIGSEGV, "abort": -signal.SIGABRT,
                "exit": 1}[how]
    # An LLVM tool turns a signal into its stack and the signal again.
    if again.returncode != expected:
        fail(f"the reproducer left with {again.returncode}, not {expected}:\n"
             + again.stderr[-2000:])
    sound = call(folder, words)
    if sound.returncode:
        fail(f"without the fault, the reproducer left with "
             f"{sound.returncode}:\n{sound.stderr[-2000:]}")
    os.remove(found[1])


def main():
    if len(sys.argv) != 7:
        sys.exit(__doc__)
    ltc, opt, in_pass, in_kernel, in_llvm, in_text = map(
        os.path.abspath, sys.argv[1:])
    signals = {"segv": "Segmentation fault", "abort": "Aborted"}
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, "spec.yaml"), "w") as file:
            file.write(SPEC)
        build = [ltc, "compile", "spec.yaml", "-o", "model.ltca"]
        place = r"^\S+\.(ltc|yaml):\d+:\d+: error: the compiler "
        for how, said in signals.items():
            text = crashed(folder, build, in_pass, how, r"(?m)" + place
                           + rf"crashed \({said}\) in pass ltc-differentiate, "
                           r"at @\w+")
            replay(folder, opt, in_pass, how, text)
        for library in (in_kernel, in_llvm):
            text = crashed(folder, build, library, "segv", r"(?m)" + place
                           + r"crashed \(Segmentation fault\) in pass "
                           r"ltc-compile-kernels, at @\S+")
            replay(folder, opt, library, "segv", text)
        text = crashed(folder, build + ["--target", "hip:gfx942"], in_llvm,
                       "segv", r"in pass ltc-compile-kernels, at @\S+")
        with open(re.search(r"--run-reproducer (\S+)", text)[1]) as file:
            if "target=hip:gfx942" not in file.read():
                fail("the reproducer does not compile for the target")
        replay(folder, opt, in_llvm, "segv", text)
        text = crashed(folder, build, in_kernel, "exit",
                       r"gave up \(exit status 1\) in pass ltc-compile-kernels")
        replay(folder, opt, in_kernel, "exit", text)
        crashed(folder, build, in_kernel, "stack",
                r"crashed \(Segmentation fault\) in pass ltc-compile-kernels")
        for words in ([ltc, "plan", "spec.yaml"], [ltc, "run", "spec.yaml"],
                      [ltc, "compile", "spec.yaml", "--emit=grad"]):
            crashed(folder, words, in_pass, "illegal",
                    r"crashed \(Illegal instruction\) in pass")
        crashed(folder, build, in_text, "segv",
                r"spec.yaml: error: the compiler crashed \(Segmentation fault\)"
                r" reading the spec and its texts", "with your spec")
        left = [name for name in os.listdir(folder) if name.endswith(".ltca")]
        if left:
            fail(f"a crash left {left}")
    print("crashes are reported where they are, and replayed")


main()
