#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""check_spec.py LTC [--update] [NAME...]: every broken spec of cases/ is
refused with exactly the words of the .txt beside it, and ltc exits with 1.

A case's first line may say how ltc is called, e.g. `# ltc run {} --set a=1`;
{} is the case, and without that line it is `ltc compile {} --emit=model`.
Files are named as seen from cases/. --update writes the .txt files: read the
difference before you commit it."""
import pathlib
import subprocess
import sys

here = pathlib.Path(__file__).parent / "cases"


def said(ltc, case):
    """Exit code and standard error of ltc for a case."""
    first = case.read_bytes().split(b"\n", 1)[0].decode(errors="replace")
    words = ["compile", "{}", "--emit=model"]
    if first.startswith("# ltc "):
        words = first.removeprefix("# ltc ").split()
    done = subprocess.run(
        [ltc] + [word.replace("{}", case.name) for word in words],
        cwd=here, capture_output=True, timeout=120)
    text = done.stderr.decode(errors="backslashreplace")
    return done.returncode, text.replace(str(here.resolve()), "CASES")


def main():
    ltc = str(pathlib.Path(sys.argv[1]).resolve())
    update = "--update" in sys.argv
    names = [a for a in sys.argv[2:] if a != "--update"]
    cases = [p for p in sorted(here.iterdir()) if p.suffix in
             {".yaml", ".json"} and (not names or p.stem in names)]
    bad = 0
    for case in cases:
        code, text = said(ltc, case)
        expected = case.with_suffix(".txt")
        if update:
            expected.write_text(text)
        if code != 1:
            print(f"{case.name}: ltc ended with {code}, not 1\n{text}")
            bad += 1
        elif not expected.exists() or expected.read_text() != text:
            print(f"{case.name}: ltc says\n{text}and {expected.name} does not")
            bad += 1
    print(f"{len(cases) - bad} of {len(cases)} broken specs are refused as "
          f"they should")
    sys.exit(1 if bad or not cases else 0)


main()
