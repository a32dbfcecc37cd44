# SPDX-License-Identifier: GPL-2.0-only
"""Health reporters of devlink: what they show, and what the user sets of them."""

import json

from .case import Failure, defer, until
from .command import sh
from .eswitch import HANDLE

# The reporters of the PF, and those of its first wire port.
PORT = f"{HANDLE}/0"
WHERE = {"fw": HANDLE, "fw_fatal": HANDLE, "flow": HANDLE, "tx": PORT, "rx": PORT}


class Reporter:
    """A reporter by its name."""

    def __init__(self, name, where=None):
        self.name, self.where = name, where or WHERE[name]

    def __repr__(self):
        return f"reporter {self.name} of {self.where}"

    def _run(self, verb, words="", check=True):
        return sh(f"devlink -j health {verb} {self.where} reporter {self.name} {words}", check=check)

    def show(self):
        """State, counters and settings."""
        shown = json.loads(self._run("show").out)["health"]
        (found,) = [entry for entries in shown.values() for entry in entries if entry["reporter"] == self.name]
        return found

    def state(self):
        return self.show()["state"]

    def counts(self):
        """(errors, recoveries)."""
        shown = self.show()
        return shown["error"], shown["recover"]

    def diagnose(self):
        return json.loads(self._run("diagnose").out)

    def dump(self):
        """The dump that is kept, made now where there is none. Has it deleted."""
        dump = json.loads(self._run("dump show").out)
        self._run("dump clear")
        return dump

    def has_dump(self):
        return "last_dump_time" in self.show()

    def recover(self, check=True):
        return self._run("recover", check=check)

    def test(self, check=True):
        return self._run("test", check=check)

    def set(self, check=True, **settings):
        """Changes settings for the rest of the case."""
        before = self.show()
        for name, value in settings.items():
            result = self._run("set", f"{name} {str(value).lower()}", check=check)
            if result.status != 0:
                return result
            defer(self._run, "set", f"{name} {str(before[name]).lower()}")
        return result

    def counted(self, before, errors=1, recoveries=1, seconds=30):
        """Waits for so many more errors and recoveries than before, and for the state that goes with them."""
        wanted = (before[0] + errors, before[1] + recoveries)
        try:
            until(lambda: self.counts() == wanted, f"{self}: errors and recoveries {wanted}", seconds)
        except Failure as failure:
            raise Failure(f"{failure}; they are {self.counts()}") from None


def all_reporters():
    """(where, name) to what is shown, of all reporters of the PF."""
    shown = json.loads(sh("devlink -j health show").out)["health"]
    mine = {where: entries for where, entries in shown.items() if where == HANDLE or where.startswith(HANDLE + "/")}
    found = {(where, entry["reporter"]): entry for where, entries in mine.items() for entry in entries}
    # devlink's JSON does not tell the first port from the device.
    return {(WHERE.get(name, where) if where == HANDLE else where, name): entry for (where, name), entry in found.items()}
