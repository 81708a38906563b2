# SPDX-License-Identifier: Apache-2.0
"""The files that are ours."""
import subprocess


def sources(root, suffixes=(".cpp", ".h", ".c", ".td", ".py", ".cmake")):
    """Tracked files and new ones that are not ignored, by suffix."""
    names = subprocess.run(
        ["git", "-C", root, "ls-files", "-co", "--exclude-standard"],
        check=True, capture_output=True, text=True).stdout.splitlines()
    paths = [root / name for name in sorted(set(names))]
    return [p for p in paths if p.suffix in suffixes and p.is_file()]
