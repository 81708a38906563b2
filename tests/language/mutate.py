#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Do the golden tests notice a wrong text? Changes one operator, sign,
comparison, dimension or epsilon of each text at a time and expects its test to
fail: mutate.py TEST GRAPH [NAME...], TEST the LtcLanguageTest program and GRAPH
LtcGraphTest, which tests optimizers. Survivors are printed; then it fails."""
import os
import re
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
# Kind, what, by what. Operators stand between spaces, as the texts write them.
CHANGES = [
    ("operator", r" \* ", " / "), ("operator", r" / ", " * "),
    ("operator", r"\^2\b", "^3"),
    ("sign", r" \+ ", " - "), ("sign", r" - ", " + "),
    ("sign", r"(?<=[,^(] )-(?=[\w(])|(?<=\^)-(?=[\w(])|(?<=\()-(?=[\w(])", ""),
    ("comparison", r" <= ", " < "), ("comparison", r" < ", " <= "),
    ("comparison", r" == ", " != "),
    ("dimension", r"index\[t\]", "index[u]"),
    ("dimension", r"\bsum\[(\w+)\]", r"mean[\1]"),
    ("dimension", r"\bsoftmax\[u\]", "softmax[t]"),
    ("dimension", r"^(  )(\w+), (\w+)(?=.* = )", r"\1\3, \2"),
    ("recurrence", r"\bscan\[t\]\((\w+), ", r"scan[t](1 - \1, "),
    ("recurrence", r"\bcumsum\[t\]\(", "("),
    ("recurrence", r"(\bshift\[t\]\(\w+), 1\)", r"\1, 2)"),
    ("epsilon", r"\beps = (\d)e-(\d)\b", r"eps = \1e-3"),
]
# Changes that change nothing.
EQUIVALENT = {"update / grad > 0"} # a quotient has a product's sign
# In declarations of parameters: the order in the file.
DECLARED = [("dimension", r"\((\w+) (\w+)\)", r"(\2 \1)"),
            ("dimension", r"\((\w+) (\(.*?\))\)", r"(\2 \1)")]


def mutations(text):
    """(kind, line number, changed line, changed text) one at a time."""
    lines = text.split("\n")
    for number, line in enumerate(lines):
        code = line.split("#")[0]
        if re.match(r"\s*(input|dim|assert|use)\b", code):
            continue
        declared = re.match(r"\s*param\b", code)
        if declared:
            code = code.split(" init ")[0]
        for kind, what, by in DECLARED if declared else CHANGES:
            for match in re.finditer(what, code):
                changed = (code[:match.start()] + match.expand(by)
                           + code[match.end():])
                if any(same in changed for same in EQUIVALENT):
                    continue
                after = changed + line[len(code):]
                yield (kind, number + 1, after.strip(),
                       "\n".join(lines[:number] + [after] + lines[number + 1:]))


def passes(programs, top, name, text):
    language, graph = programs
    runs = [(language, "tests/language", f"Texts/Language.{claim}/{name}")
            for claim in ("givesPyTorchsLossAndLogits",
                          "givesPyTorchsGradients")]
    if is_optimizer(text):
        runs = [(graph, "frontend/graph",
                 f"Texts/OptimizerText.takesTwentySteps/{name}:"
                 f"OptimizerTexts.{name}Takes*")]
    for program, folder, claim in runs:
        result = subprocess.run(
            [program, f"--gtest_filter={claim}", "--gtest_brief=1"],
            cwd=os.path.join(top, folder), capture_output=True)
        if result.returncode or not re.search(rb"PASSED  \] [1-9]",
                                              result.stdout):
            return False
    return True


def is_optimizer(text):
    return re.search(r"^optimizer ", text, re.MULTILINE) is not None


def read(name):
    with open(os.path.join(HERE, name + ".ltc")) as file:
        return file.read()


def all_names():
    """Those with golden numbers."""
    models = [name[:-5] for name in os.listdir(os.path.join(HERE, "golden"))
              if name.endswith(".json")]
    optimizers = [name[:-4] for name in os.listdir(HERE)
                  if name.endswith(".ltc") and not name.startswith("my_")
                  and is_optimizer(read(name[:-4]))]
    return sorted(models + optimizers)


def main():
    programs = [os.path.abspath(path) for path in sys.argv[1:3]]
    names = sys.argv[3:] or all_names()
    survivors = count = 0
    with tempfile.TemporaryDirectory() as top:
        folder = os.path.join(top, "tests/language")
        shutil.copytree(HERE, folder)
        shutil.copytree(os.path.join(HERE, "../../frontend/graph/golden"),
                        os.path.join(top, "frontend/graph/golden"))
        for name in names:
            path = os.path.join(folder, name + ".ltc")
            text = read(name)
            if not passes(programs, top, name, text):
                sys.exit(f"{name}.ltc fails its test before any change")
            for kind, line, after, changed in mutations(text):
                with open(path, "w") as file:
                    file.write(changed)
                count += 1
                if passes(programs, top, name, text):
                    survivors += 1
                    print(f"{name}.ltc:{line}: survived ({kind}): {after}")
            with open(path, "w") as file:
                file.write(text)
    print(f"{count} changes of {len(names)} texts, {survivors} survived")
    sys.exit(survivors > 0)


main()
