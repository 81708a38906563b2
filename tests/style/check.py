#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""check.py ROOT: every style check of this folder (check_*.py)."""
import pathlib
import subprocess
import sys

here = pathlib.Path(__file__).parent
bad = 0
for script in sorted(here.glob("check_*.py")):
    done = subprocess.run([sys.executable, script, sys.argv[1]])
    if done.returncode:
        print(f"^ {script.name}")
        bad = 1
sys.exit(bad)
