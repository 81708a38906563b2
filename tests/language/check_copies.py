#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A user's renamed copies of library texts give the library's kernels, byte
for byte: check_copies.py LTC (the `ltc` program).

Twice: the texts as they stand (rms_norm, cross_entropy, adamw and all else that
llama uses), and with softmax for the gate of llama's inner layer. A copy that
says something else must give other kernels, or the comparison sees nothing."""
import os
import shutil
import struct
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
LIBRARY = os.path.join(HERE, "..", "..", "plugins", "architectures")
GATE = "{}silu(gate)"
SOFT_GATE = "{}softmax[ffn](gate)"


def kernels(ltc, spec, folder):
    """The ELF object inside the artifact that `ltc` makes of a spec."""
    artifact = os.path.join(folder, os.path.basename(spec) + ".artifact")
    subprocess.run([ltc, "compile", spec, "-o", artifact], check=True,
                   stdout=subprocess.DEVNULL)
    with open(artifact, "rb") as file:
        data = file.read()
    start = data.index(b"\x7fELF")
    # The section headers end the object: e_shoff, e_shentsize, e_shnum.
    headers, = struct.unpack_from("<Q", data, start + 0x28)
    size, count = struct.unpack_from("<HH", data, start + 0x3A)
    return data[start:start + headers + size * count]


def replace(path, old, new):
    with open(path) as file:
        text = file.read()
    if text.count(old) != 1:
        sys.exit(f"{path} has '{old}' {text.count(old)} times, expected once")
    with open(path, "w") as file:
        file.write(text.replace(old, new))


def same(what, library, copies):
    if library != copies:
        sys.exit(f"{what}: the copies' kernels differ from the library's")
    print(f"{what}: the copies' kernels are the library's, "
          f"{len(library)} bytes")


def main():
    ltc = sys.argv[1]
    with tempfile.TemporaryDirectory() as folder:
        for name in os.listdir(HERE):
            if name.endswith((".ltc", ".yaml")):
                shutil.copy(os.path.join(HERE, name), folder)
        specs = [os.path.join(folder, name)
                 for name in ("library.yaml", "copies.yaml")]
        plain = [kernels(ltc, spec, folder) for spec in specs]
        same("as they stand", *plain)

        # The library's llama, but for one word, as a user's file.
        soft = os.path.join(folder, "soft_llama.ltc")
        shutil.copy(os.path.join(LIBRARY, "llama.ltc"), soft)
        replace(soft, "model llama(", "model soft_llama(")
        replace(soft, GATE.format(""), SOFT_GATE.format(""))
        replace(specs[0], "architecture: llama", "architecture: soft_llama.ltc")
        replace(os.path.join(folder, "my_llama.ltc"), GATE.format("my_"),
                SOFT_GATE.format("my_"))
        gated = [kernels(ltc, spec, folder) for spec in specs]
        same("with softmax", *gated)
        if gated[0] == plain[0]:
            sys.exit("softmax for silu gave the same kernels")

        for path, old, new in (
                ("my_functions.ltc", "f32(x)^2 + eps) * g\n",
                 "f32(x)^2 + 2 * eps) * g\n"),
                ("my_functions.ltc", "return e / sum[v] e\n",
                 "return 2 * e / sum[v] e\n"),
                ("my_cross_entropy.ltc", "* mean[vocab] logits",
                 "* max[vocab] logits"),
                ("my_adamw.ltc", "grad^2", "abs(grad)")):
            path = os.path.join(folder, path)
            replace(path, old, new)
            if kernels(ltc, specs[1], folder) == gated[0]:
                sys.exit(f"{path}: '{new}' for '{old}' changed no kernel")
            replace(path, new, old)
        print("a changed copy gives other kernels")


main()
