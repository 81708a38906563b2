#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""check_spec.py LTC [--update] [NAME...]: every broken spec of cases/ is
refused with exactly the words of the .txt beside it, and ltc exits with 1; so
is every setting of settings.txt, set upon valid.yaml.

A case's first line may say how ltc is called, e.g. `# ltc run {}`; {} is the
case, and without that line it is `ltc compile {} --emit=model`. Files are
named as seen from cases/. --update writes what ltc says: read the difference
before you commit it."""
import pathlib
import shutil
import subprocess
import sys
import tempfile

here = pathlib.Path(__file__).resolve().parent
cases = here / "cases"
update = "--update" in sys.argv
bad = 0


def said(ltc, words):
    """Exit code and standard error of ltc."""
    done = subprocess.run([ltc, *words], cwd=cases, capture_output=True,
                          timeout=120)
    text = done.stderr.decode(errors="backslashreplace")
    return done.returncode, text.replace(str(cases), "CASES")


def compare(name, expected, code, text):
    global bad
    if code != 1:
        print(f"{name}: ltc ended with {code}, not 1\n{text}")
        bad += 1
    elif expected != text:
        print(f"{name}: ltc says\n{text}instead of\n{expected}")
        bad += not update


def check_case(ltc, case):
    first = case.read_bytes().split(b"\n", 1)[0].decode(errors="replace")
    words = ["compile", "{}", "--emit=model"]
    if first.startswith("# ltc "):
        words = first.removeprefix("# ltc ").split()
    code, text = said(ltc, [w.replace("{}", case.name) for w in words])
    expected = case.with_suffix(".txt")
    compare(case.name, expected.read_text() if expected.exists() else "",
            code, text)
    if update:
        expected.write_text(text)


def check_settings(ltc):
    path = here / "settings.txt"
    head, *lines = path.read_text().splitlines()
    written = head + "\n"
    with tempfile.TemporaryDirectory() as folder:
        artifact = folder + "/valid.ltca"
        code, text = said(ltc, ["compile", "../valid.yaml", "-o", artifact])
        assert code == 0, text
        for setting, expected in zip(lines[::2], lines[1::2]):
            code, text = said(ltc, ["run", artifact, "--set", setting])
            compare("--set " + setting, expected.strip() + "\n", code, text)
            written += f"{setting}\n  {text}"
    if update:
        path.write_text(written)
    return len(lines) // 2


def main():
    ltc = str(pathlib.Path(sys.argv[1]).resolve())
    names = [a for a in sys.argv[2:] if a != "--update"]
    chosen = [p for p in sorted(cases.iterdir()) if p.suffix in
              {".yaml", ".json"} and (not names or p.stem in names)]
    shutil.rmtree("/tmp/ltc-spec-cases", ignore_errors=True) # of an earlier run
    for case in chosen:
        check_case(ltc, case)
    count = len(chosen) + (0 if names else check_settings(ltc))
    print(f"{count - bad} of {count} are refused as they should")
    sys.exit(1 if bad or not count else 0)


main()
