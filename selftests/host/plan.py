# SPDX-License-Identifier: GPL-2.0-only
"""Which test files there are, what each needs, and how they share guests."""

import glob
import os
import re
import shlex
from dataclasses import dataclass

DEFAULTS = {"PORTS=1", "CPUS=4"}
HEADER = re.compile(r"^# (sets|kernel|vm): *(.*)$")


@dataclass
class TestFile:
    path: str
    sets: tuple
    kernels: tuple
    vm: tuple

    @property
    def name(self):
        return os.path.basename(self.path).removesuffix(".py")

    def belongs(self, chosen, kernel):
        """True if the file is in the set on this kernel."""
        if kernel not in self.kernels:
            return False
        return chosen == "all" or {"stock": "quick", "debug": "debug"}.get(kernel, "quick") in self.sets


def read(path):
    """A test file's needs, or None if the file declares none and so is no test."""
    found = {}
    with open(path, encoding="utf-8") as file:
        for line in file:
            match = HEADER.match(line)
            if match:
                found[match.group(1)] = match.group(2)
    if not found:
        return None
    kernels = tuple(found.get("kernel", "stock debug").split())
    return TestFile(path, tuple(found.get("sets", "").split()), kernels, tuple(sorted(set(shlex.split(found.get("vm", ""))) - DEFAULTS)))


def cases_of(path):
    """Names of the cases of a file, from its text."""
    with open(path, encoding="utf-8") as file:
        return re.findall(r"^@case\s*\n(?:@.*\n)*def (\w+)", file.read(), re.M)


def select(folder, chosen, kernel, pattern=""):
    """(file, case names to run or None for all) for the set and pattern; several patterns are separated by commas."""
    patterns = [word for word in pattern.split(",") if word]
    chosen_files = []
    for path in sorted(glob.glob(f"{folder}/*.py")):
        test = read(path)
        if test is None or not test.belongs(chosen, kernel):
            continue
        if not patterns or any(word in test.name for word in patterns):
            chosen_files.append((test, None))
            continue
        names = [case for case in cases_of(path) if any(word in f"{test.name}.{case}" for word in patterns)]
        if names:
            chosen_files.append((test, names))
    return chosen_files


def groups(selected):
    """Files by guest: {vm options: [(file, cases)]}, the most common guest first."""
    found = {}
    for test, names in selected:
        found.setdefault(test.vm, []).append((test, names))
    return dict(sorted(found.items(), key=lambda item: (-len(item[1]), item[0])))
