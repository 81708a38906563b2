#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""check_text.py ROOT: fails when a source does not begin with its SPDX line,
or a C or C++ line has more than 80 columns, a tab, or a blank at its end.
known.txt has how many of these a file had when the check came; no more may
join them."""
import pathlib
import sys

from tree import sources

SPDX = "SPDX-License-Identifier: Apache-2.0"


def problems(path):
    lines = path.read_text().splitlines()
    if not any(SPDX in line for line in lines[:2]):
        yield 1, f"the first line should be: {SPDX}"
    if path.suffix not in {".cpp", ".h", ".c"}:
        return
    for number, line in enumerate(lines, 1):
        # A test's text in the graph language may need a long line.
        if len(line) > 80 and 'R"' not in line:
            yield number, f"{len(line)} columns, at most 80"
        if "\t" in line:
            yield number, "a tab"
        if line != line.rstrip():
            yield number, "a blank at the end"


def main():
    root, bad = pathlib.Path(sys.argv[1]), 0
    known = dict(line.split() for line in
                 (pathlib.Path(__file__).parent / "known.txt").read_text()
                 .splitlines() if not line.startswith("#"))
    for path in sources(root, (".cpp", ".h", ".c", ".td", ".py")):
        name, found = str(path.relative_to(root)), list(problems(path))
        if "--write-known" in sys.argv and found:
            print(name, len(found))
        elif len(found) > int(known.get(name, 0)):
            for line, what in found:
                print(f"{name}:{line}: {what}")
            bad = 1
    sys.exit(bad)


main()
