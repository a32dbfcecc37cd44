# SPDX-License-Identifier: GPL-2.0-only
"""What is known of upstream's tests beforehand: selftests/upstream.expect, and how others did: selftests/upstream.igb; and of our own:
selftests/skips.expect.

upstream.expect has a line for each file or case that does not apply: "FILE[:CASE] NETIF KERNEL VERDICT reason", where CASE, NETIF
(uplink, vf, cables, representors) and KERNEL (stock, debug) may be *, and VERDICT is skip, xfail, fail (the case fails and counts as a
skip) or omit (the whole file is not run). A blank in the name of a case is written as ?.
"""

import fnmatch
from dataclasses import dataclass

VERDICTS = ("skip", "xfail", "fail", "omit")


@dataclass
class Entry:
    file: str
    case: str
    netif: str
    kernel: str
    verdict: str
    reason: str
    line: int
    used: bool = False

    def covers(self, file, case, netif, kernel):
        wanted = ((self.file, file), (self.case, case), (self.netif, netif), (self.kernel, kernel))
        return all(fnmatch.fnmatchcase(value, pattern) for pattern, value in wanted)


def read(path):
    """Entries of an expectations file; ValueError with the line's number where one cannot be understood."""
    entries = []
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip() or line.startswith("#"):
                continue
            words = line.split(None, 4)
            if len(words) < 5 or words[3] not in VERDICTS:
                raise ValueError(f"{path}:{number}: FILE[:CASE] NETIF KERNEL {'|'.join(VERDICTS)} REASON")
            name, _, case = words[0].partition(":")
            entries.append(Entry(name, case or "*", words[1], words[2], words[3], words[4].strip(), number))
    return entries


def find(entries, verdict, file, case, netif, kernel):
    for entry in entries:
        if entry.verdict == verdict and entry.covers(file, case, netif, kernel):
            entry.used = True
            return entry
    return None


def read_counts(path):
    """{(file, netif): {"pass": n, ...}} of a recorded run."""
    found = {}
    with open(path, encoding="utf-8") as file:
        for line in file:
            if line.strip() and not line.startswith("#"):
                name, netif, *counts = line.split()
                found[name, netif] = {word.split("=")[0]: int(word.split("=")[1]) for word in counts}
    return found
