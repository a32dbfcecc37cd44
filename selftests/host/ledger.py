# SPDX-License-Identifier: GPL-2.0-only
"""What a long run has done already, so that it can be gone on with when it was interrupted (`make test-all RESUME=1`).

A line of JSON is a test file, with what it holds, which of its cases, on which kernel, and what came of each. It is written when the
guest that the file ran in has ended well, since what is found then (a leak, a splat) counts against all that the guest has run; so guests
end now and then. What has failed is never noted: it runs again. Of a file that has changed nothing is known; what all of them stand on is
the business of who names the ledger (scripts/test).
"""

import hashlib
import json
import os

from host import tap

FOLDER = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
# Files that a guest may run before it ends, so that no more than these are done twice.
MOST = 6


def source_of(name):
    """Says whether a test file of this folder is the same; of the kernel's own tests, which come with its source, nothing."""
    path = os.path.join(FOLDER, f"{name}.py")
    if not os.path.exists(path):
        return ""
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()[:16]


class Ledger:
    """Without a path it keeps and knows nothing."""

    def __init__(self, path, kernel):
        self.path, self.kernel = path, kernel
        self.waiting = []
        self.known = {}
        if path and os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                for line in file:
                    entry = json.loads(line)
                    self.known[self._key(**entry["what"])] = [tap.Case(*case) for case in entry["results"]]

    @staticmethod
    def _key(kernel, name, source, cases):
        return kernel, name, source, tuple(cases or ())

    def find(self, name, cases):
        """What came of a file before, or None."""
        return self.known.get(self._key(self.kernel, name, source_of(name), cases))

    def ran(self, name, cases, results):
        """A file has ended; after a failure its guest has, too, and nobody knows what its end would have found."""
        if any(case.verdict == "fail" for case in results):
            self.waiting = []
        elif self.path:
            self.waiting.append((name, cases, results))

    def is_full(self):
        return len(self.waiting) >= MOST

    def guest_ended(self, results):
        """The guest of what has run has ended, with these results."""
        waiting, self.waiting = self.waiting, []
        if any(case.verdict == "fail" for case in results):
            return
        for name, cases, found in waiting:
            what = {"kernel": self.kernel, "name": name, "source": source_of(name), "cases": cases}
            entry = {"what": what, "results": [(case.name, case.verdict, case.reason) for case in found]}
            # In one piece: other lanes write, too.
            with open(self.path, "ab", buffering=0) as file:
                file.write((json.dumps(entry) + "\n").encode())

    def take_known(self, selected, tally):
        """Those of (file, cases) that have not been done; what came of the others is added up."""
        left = []
        for test, names in selected:
            found = self.find(test.name, names)
            if found is None:
                left.append((test, names))
            else:
                print(f"# {test.name}: {len(found)} cases done before", flush=True)
                tally.add(found)
        return left
