#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""check_size.py ROOT: fails when a file has more than 600 lines or a C++
function more than 60, unless sizes.txt says why. Says which lines of sizes.txt
are no longer needed."""
import pathlib
import re
import sys

from tree import sources

FILE_LINES, FUNCTION_LINES = 600, 60


def blanked(text):
    """C++ text with strings, characters and comments blanked, lines kept."""
    pattern = re.compile(
        r'R"(\w*)\(.*?\)\1"|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])\''
        r"|//[^\n]*|/\*.*?\*/", re.S)
    text = pattern.sub(lambda m: re.sub(r"[^\n]", " ", m[0]), text)
    # A macro's body has no place among the braces.
    return re.sub(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*",
                  lambda m: re.sub(r"[^\n]", " ", m[0]), text, flags=re.M)


def functions(text):
    """(name, lines) of every outermost function body."""
    text = blanked(text)
    depth, inside, head, begin, name = [], False, 0, 0, ""
    for at, c in enumerate(text):
        if c == "{":
            before = text[head:at].strip()
            scope = re.match(r"(inline )?(namespace|extern)\b|.*\b(class|struct"
                             r"|union|enum)\b[^()]*$", before, re.S)
            is_function = not inside and not scope and ")" in before \
                and not before.endswith("=")
            if is_function:
                inside, begin = True, head + len(text[head:at]) \
                    - len(text[head:at].lstrip())
                found = re.search(r"([\w:~]+|operator[^(]+)\s*\(", before)
                name = found[1] if found else "?"
            depth.append(is_function)
            head = at + 1
        elif c == "}" and depth:
            if depth.pop():
                inside = False
                yield name, text.count("\n", begin, at) + 1
            head = at + 1
        elif c == ";" and not inside:
            head = at + 1
        elif c == ":" and not inside and re.search(
                r"(public|private|protected)\s*$", text[head:at]):
            head = at + 1


def measures(root):
    """(what, lines, limit) for every file and function over its limit."""
    for path in sources(root):
        rel, text = str(path.relative_to(root)), path.read_text()
        if text.count("\n") > FILE_LINES:
            yield rel, text.count("\n")
        if path.suffix in {".cpp", ".h", ".c"}:
            for name, lines in functions(text):
                if lines > FUNCTION_LINES:
                    yield f"{rel}:{name}", lines


def main():
    root = pathlib.Path(sys.argv[1])
    allowed = {}
    for line in (pathlib.Path(__file__).parent / "sizes.txt").read_text() \
            .splitlines():
        if line.strip() and not line.startswith("#"):
            what, limit, reason = line.split(None, 2)
            allowed[what] = int(limit)
    bad = 0
    over = dict(measures(root))
    for what, lines in over.items():
        if lines > allowed.get(what, 0):
            print(f"{what} has {lines} lines: split it, or say in "
                  f"tests/style/sizes.txt why not")
            bad = 1
    for what in allowed.keys() - over.keys():
        print(f"tests/style/sizes.txt: {what} needs no exception")
    sys.exit(bad)


if __name__ == "__main__":
    main()
