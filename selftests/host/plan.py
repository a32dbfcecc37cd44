# SPDX-License-Identifier: GPL-2.0-only
"""Which test files there are, what each needs, and how they share guests."""

import glob
import os
import re
import shlex
from dataclasses import dataclass

DEFAULTS = {"PORTS=1", "CPUS=4"}
# What every guest of a kernel has anyway, so that files which ask for it can share a guest with others.
KERNEL_DEFAULTS = {"debug": {"MEM=4G"}}
HEADER = re.compile(r"^# (sets|quick|debug|kernel|vm|alone): *(.*)$")


@dataclass
class TestFile:
    path: str
    sets: tuple
    quick: tuple
    debug: tuple
    kernels: tuple
    vm: tuple
    alone: tuple

    @property
    def name(self):
        return os.path.basename(self.path).removesuffix(".py")

    def belongs(self, chosen, kernel):
        """True if the file, or a part of it, is in the set on this kernel."""
        if kernel not in self.kernels:
            return False
        return chosen == "all" or (bool(self.debug) if kernel == "debug" else "quick" in self.sets)

    def cases(self, chosen, kernel):
        """The cases in the set on this kernel, in the file's order. ValueError if the file names one that it has not."""
        known = cases_of(self.path)
        word, wanted = ("debug", self.debug) if kernel == "debug" else ("quick", self.quick or ("all",))
        if chosen == "all" or wanted == ("all",):
            return known
        unknown = set(wanted) - set(known)
        if unknown:
            raise ValueError(f"{self.path}: '# {word}:' names {', '.join(sorted(unknown))}, and there is no such case")
        return [case for case in known if case in wanted]


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
    sets, quick, debug = (tuple(found.get(name, "").split()) for name in ("sets", "quick", "debug"))
    return TestFile(path, sets, quick, debug, kernels, tuple(sorted(set(shlex.split(found.get("vm", ""))) - DEFAULTS)), tuple(found.get("alone", "").split()))


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
        test.vm = tuple(word for word in test.vm if word not in KERNEL_DEFAULTS.get(kernel, ()))
        everything, names = cases_of(path), test.cases(chosen, kernel)
        if patterns and not any(word in test.name for word in patterns):
            names = [case for case in names if any(word in f"{test.name}.{case}" for word in patterns)]
        if names:
            chosen_files.append((test, None if names == everything else names))
    return chosen_files


def groups(selected):
    """Files by guest: {vm options: [(file, cases)]}, the most common guest first."""
    found = {}
    for test, names in selected:
        found.setdefault(test.vm, []).append((test, names))
    return dict(sorted(found.items(), key=lambda item: (-len(item[1]), item[0])))


def apart(selected):
    """(what can run beside other guests, what cannot since it measures time), of a selection. ValueError as `cases`."""
    together, alone = [], []
    for test, names in selected:
        unknown = set(test.alone) - set(cases_of(test.path))
        if unknown:
            raise ValueError(f"{test.path}: '# alone:' names {', '.join(sorted(unknown))}, and there is no such case")
        named = names or cases_of(test.path)
        quiet = [case for case in named if case in test.alone]
        rest = [case for case in named if case not in test.alone]
        if rest:
            together.append((test, rest if quiet else names))
        if quiet:
            alone.append((test, quiet))
    return together, alone
