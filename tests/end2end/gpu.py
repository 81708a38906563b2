#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""GPU targets from the command line: gpu.py LTC TARGET CLANG.

A small run compiles for TARGET, says which kernels have no code yet, and no
kernel that has code spills; `--emit` shows IR and assembly; `ltc run` refuses
the artifact with the reason; unknown chips are refused at the spec's line. Leaves
with 77 (skipped) where TARGET needs a ptxas and there is none."""
import json
import os
import re
import subprocess
import sys
import tempfile

import training

SKIPPED = 77
RECURRENT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..",
                         "language", "rwkv.ltc")
OTHER_ARCHITECTURES = {
    "rwkv": f"architecture: {RECURRENT}, vocab: 256, layers: 2, d: 64, ffn: 96",
    "gpt2": "architecture: gpt2, vocab: 256, layers: 2, d: 64, heads: 4, "
            "positions: 64, ffn: 256",
    "moe_llama": "architecture: moe_llama, vocab: 256, layers: 2, d: 64, "
                 "heads: 4, kv: 2, ffn: 96, experts: 4, top: 2"}


def call(*words, code=0, **variables):
    done = subprocess.run(words, text=True, capture_output=True,
                          env={**os.environ, **variables})
    if done.returncode != code:
        training.fail(f"{' '.join(words)} left with {done.returncode}:\n"
                      + done.stdout + done.stderr)
    return done


def expect(text, pattern, what):
    if not re.search(pattern, text):
        training.fail(f"{what} does not say {pattern}:\n{text[:3000]}")


def expect_artifact(ltc, artifact, target, said):
    """What is in the artifact is what was said, and spills nothing."""
    kind, chip = target.split(":")
    table = json.loads(call(ltc, "inspect", artifact, "--json").stdout)
    if [(o["target"], o["feature_level"]) for o in table["objects"]] != [
            (kind, chip)]:
        training.fail(f"objects: {table['objects']}")
    kernels = table["kernels"]
    missing = [kernel for kernel in kernels if kernel["missing"]]
    later = {"contract", "attention"}
    for kernel in kernels:
        if (kernel["form"] in later) != bool(kernel["missing"]):
            training.fail(f"{kernel['symbol']}: '{kernel['missing']}'")
        if not kernel["missing"] and (kernel["spill_bytes"]
                                      or kernel["threads"] < 32
                                      or kernel["registers"] < 1):
            training.fail(str(kernel))
    expect(said, rf"warning: {len(missing)} of {len(kernels)} kernels have no "
           r"code, so this program cannot be run:\n  \d+: \w+ kernels are not "
           r"lowered to GPUs yet; the first is of \S+\.ltc:\d+:\d+\n",
           "ltc compile")
    return len(kernels) - len(missing)


def compile_all(ltc, target, spec, folder):
    text = open(spec).read()
    for name in ("llama", "gpt2", "moe_llama", "rwkv"):
        mine = os.path.join(folder, name + ".yaml")
        model = OTHER_ARCHITECTURES.get(name)
        with open(mine, "w") as file:
            file.write(re.sub(r"model: \{.*\}", f"model: {{{model}}}", text)
                       if model else text)
        artifact = os.path.join(folder, name + ".ltca")
        done = call(ltc, "compile", mine, "-o", artifact, "--target", target)
        count = expect_artifact(ltc, artifact, target, done.stderr)
        print(f"  {name}: {count} kernels of {target}, no spills")
    expect(call(ltc, "compile", spec, "--target", target,
                "--emit=program").stdout, r"launch \S+ x\d+", "--emit=program")
    return artifact


def native(ltc, target, clang, spec, folder):
    triple = ("amdgcn-amd-amdhsa" if target.startswith("hip")
              else "nvptx64-nvidia-cuda")
    texts = {stage: call(ltc, "compile", spec, "--target", target,
                         "--emit=" + stage).stdout
             for stage in ("llvm", "asm")}
    expect(texts["llvm"], f'target triple = "{triple}"', "--emit=llvm")
    if target.startswith("cuda"):
        expect(texts["asm"], r"\.visible \.entry \w+\(", "--emit=asm")
        return
    source = os.path.join(folder, "kernels.s")
    with open(source, "w") as file:
        file.write(texts["asm"])
    call(clang, "--target=" + triple, "-mcpu=" + target.split(":")[1], "-c",
         source, "-o", source + ".o")


def refused_to_run(ltc, target, spec, artifact, folder):
    reason = ("this machine has no NVIDIA driver" if target.startswith("cuda")
              else "this machine has no HIP runtime")
    reason = rf"({reason}|has no code in this artifact)"
    for words in (["run", artifact, "--set", "run.folder=" + folder],
                  ["run", spec, "--trial", "2"],
                  ["sweep", artifact, "--set",
                   "train.schedule.peak=1e-3,1e-2"]):
        expect(call(ltc, *words, code=1).stderr, "error: .*" + reason,
               "ltc " + words[0])
    if os.path.exists(os.path.join(folder, "runs")):
        training.fail("a refused run left a folder")
    print("  refused: " + call(ltc, "run", artifact, code=1).stderr.strip())
    expect(call(ltc, "plan", artifact).stdout, "memory of a run", "ltc plan")


def refused_chips(ltc, spec, artifact):
    for name, why in (
            ("cuda", "there is no target 'cuda'; there are cpu, cuda:CHIP"),
            ("tpu:v5", "there is no target 'tpu:v5'"),
            ("cuda:sm_12", "LLVM knows no chip 'sm_12'"),
            ("cuda:gfx942", "'gfx942' is no chip of NVIDIA's; sm_90 is one"),
            ("hip:gfx000", "chip 'gfx000'"),
            ("hip:sm_90", "'sm_90' is no chip of AMD's; gfx942 is one")):
        said = call(ltc, "compile", spec, "-o", artifact, "--target", name,
                    code=1).stderr
        expect(said, re.escape(f"error: --target {name}: ") + ".*" +
               re.escape(why), "ltc compile")
        wrong = spec.replace("spec.yaml", "wrong.yaml")
        text = open(spec).read().replace("target: cpu", f"target: {name}")
        line = 1 + text[:text.index("target: ")].count("\n")
        with open(wrong, "w") as file:
            file.write(text)
        said = call(ltc, "compile", wrong, "-o", artifact, code=1).stderr
        expect(said, rf"wrong\.yaml:{line}:9: error: .*" + re.escape(why),
               "ltc compile")
    if os.path.exists(artifact):
        training.fail("a refused spec left an artifact")
    print("  unknown chips are refused")


def without_ptxas(ltc, target, spec, artifact):
    """True if there is none. Where CUDA_PATH says, nothing else is tried."""
    said = call(ltc, "compile", spec, "-o", artifact, "--target", target,
                code=1, CUDA_PATH="/nowhere").stderr
    expect(said, "error: there is no ptxas in /nowhere/bin: install the CUDA "
           "toolkit", "ltc compile")
    done = subprocess.run([ltc, "compile", spec, "-o", artifact, "--target",
                           target], text=True, capture_output=True)
    return "there is no ptxas" in done.stderr


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    ltc, target, clang = os.path.abspath(sys.argv[1]), *sys.argv[2:]
    with tempfile.TemporaryDirectory() as folder:
        spec = training.write_run(folder)
        native(ltc, target, clang, spec, folder)
        refused_chips(ltc, spec, os.path.join(folder, "none.ltca"))
        if target.startswith("cuda") and without_ptxas(
                ltc, target, spec, os.path.join(folder, "one.ltca")):
            print("SKIPPED: there is no ptxas here; tools/setup ptxas has one")
            sys.exit(SKIPPED)
        artifact = compile_all(ltc, target, spec, folder)
        text = open(spec).read().replace("target: cpu", f"target: {target}")
        with open(spec, "w") as file:
            file.write(text)
        refused_to_run(ltc, target, spec, artifact, folder)


main()
