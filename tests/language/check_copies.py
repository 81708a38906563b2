#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A user's renamed copies of library texts give the library's kernels, byte
for byte: check_copies.py LTC (the `ltc` program)."""
import os
import struct
import subprocess
import sys
import tempfile


def kernels(ltc, spec, folder):
    """The ELF object inside the artifact that `ltc` makes of a spec."""
    artifact = os.path.join(folder, os.path.basename(spec) + ".artifact")
    subprocess.run([ltc, "compile", spec, "-o", artifact], check=True)
    with open(artifact, "rb") as file:
        data = file.read()
    start = data.index(b"\x7fELF")
    # The section headers end the object: e_shoff, e_shentsize, e_shnum.
    headers, = struct.unpack_from("<Q", data, start + 0x28)
    size, count = struct.unpack_from("<HH", data, start + 0x3A)
    return data[start:start + headers + size * count]


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    with tempfile.TemporaryDirectory() as folder:
        library, copies = (kernels(sys.argv[1], os.path.join(here, name), folder)
                           for name in ("library.yaml", "copies.yaml"))
    if library != copies:
        sys.exit("the copies' kernels differ from the library's")
    print(f"the copies' kernels are the library's: {len(library)} bytes")


main()
