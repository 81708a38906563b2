#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""check_passes.py ROOT: fails when a pass of passes/**/Passes.td has no test
beside it that runs it, or its tests never claim what it does (CHECK:) or never
what it leaves alone or refuses (CHECK-NOT:, expected-error, a function whose
name says keeps, leaves or refuses)."""
import pathlib
import re
import sys

NEGATIVE = re.compile(
    r"CHECK-NOT:|expected-error|@\w*(keep|leave|refuse|not_|stays)\w*", re.I)


def passes(table):
    """The command-line names of a table's passes."""
    return re.findall(r'def \w+\s*:\s*Pass<\s*"([^"]+)"', table.read_text())


def main():
    root, bad, count = pathlib.Path(sys.argv[1]), 0, 0
    for table in sorted(root.glob("passes/**/Passes.td")):
        tests = [t.read_text() for t in sorted(table.parent.glob("*.mlir"))]
        for name in passes(table):
            count += 1
            mine = [t for t in tests
                    if re.search(rf"RUN:.*--{re.escape(name)}\b", t)]
            where = f"{table.relative_to(root)}: --{name}"
            if not mine:
                print(f"{where} has no .mlir beside it that runs it")
            elif not any("CHECK" in t for t in mine):
                print(f"{where}: no test claims what it does (CHECK:)")
            elif not any(NEGATIVE.search(t) for t in mine):
                print(f"{where}: no test claims what it leaves alone")
            else:
                continue
            bad = 1
    if not count:
        print("no pass was found: has Passes.td moved?")
        bad = 1
    sys.exit(bad)


main()
