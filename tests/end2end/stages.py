#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a compiler shows of itself: stages.py LTC CLANG.

`--emit` of every stage; LLVM IR and assembly are accepted by CLANG and give the
artifact's kernels without undefined symbols; `--debug-dir` has a file a pass;
an unknown stage is refused."""
import json
import os
import re
import subprocess
import sys
import tempfile

import training


def call(*words, code=0):
    done = subprocess.run(words, text=True, capture_output=True)
    if done.returncode != code:
        training.fail(f"{' '.join(words)} left with {done.returncode}:\n"
                      + done.stderr)
    return done.stdout + done.stderr


def kernels(ltc, artifact):
    table = json.loads(call(ltc, "inspect", artifact, "--json"))
    return {kernel["symbol"] for kernel in table["kernels"]}


def native(ltc, clang, spec, folder, expected):
    """Each text as an object: it has every kernel and needs nothing."""
    for stage, ending in (("llvm", "ll"), ("asm", "s")):
        source = os.path.join(folder, "kernels." + ending)
        with open(source, "w") as file:
            file.write(call(ltc, "compile", spec, "--emit=" + stage))
        call(clang, "--target=x86_64-linux-gnu", "-march=x86-64-v4",
             "-Wno-override-module", "-c", source, "-o", source + ".o")
        symbols = [line.split() for line in call("nm", source + ".o")
                   .splitlines()]
        defined = {words[2] for words in symbols if words[1] in "TW"}
        needed = {words[-1] for words in symbols if words[-2] == "U"}
        if defined != expected or needed:
            training.fail(f"--emit={stage}: lacks {expected - defined}, has "
                          f"{defined - expected}, needs {needed}")
        print(f"  --emit={stage}: {len(defined)} kernels, nothing undefined")


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    ltc, clang = os.path.abspath(sys.argv[1]), sys.argv[2]
    with tempfile.TemporaryDirectory() as folder:
        spec = training.write_run(folder)
        artifact = os.path.join(folder, "small.ltca")
        debug = os.path.join(folder, "debug", "passes")
        call(ltc, "compile", spec, "-o", artifact, "--debug-dir", debug)
        files = [name for _, _, names in os.walk(debug) for name in names]
        for name in ("canonicalize", "ltc-differentiate", "ltc-apply-precision",
                     "ltc-shard", "ltc-form-kernels"):
            if not any(name in file for file in files):
                training.fail(f"--debug-dir has no file of {name}: {files}")
        print(f"  --debug-dir: {len(files)} files")
        expected = kernels(ltc, artifact)
        for stage, pattern in (("model", r"func.func @loss"),
                               ("grad", r"func.func @accumulate"),
                               ("shard", r"ltc.precision"),
                               ("kernels", r"ltc.kernel @\S+")):
            if not re.search(pattern, call(ltc, "compile", spec,
                                           "--emit=" + stage)):
                training.fail(f"--emit={stage} has no {pattern}")
        text = call(ltc, "compile", spec, "--emit=program")
        launched = set(re.findall(r"(?m)^  launch (\S+) x\d+:", text))
        if launched != expected:
            training.fail(f"--emit=program launches {launched}, the artifact "
                          f"has {expected}")
        native(ltc, clang, spec, folder, expected)
        said = call(ltc, "compile", spec, "--emit=kernel", code=1)
        if said != ("no stage is named 'kernel'; there are: model, grad, shard, "
                    "kernels, program, llvm, asm\n"):
            training.fail(said)


main()
