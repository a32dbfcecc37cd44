# SPDX-License-Identifier: GPL-2.0-only
"""The reference device's control channel: the operator's side of the device, reached through a virtio port."""

import json
import os
import select
import time

from .case import Failure, Skip

PATH = "/dev/virtio-ports/org.oxnic.control"


class Control:
    """Asks the device to do what no driver can: drop a link, request a reset, vanish, lie."""

    def __init__(self):
        try:
            self.fd = os.open(PATH, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise Skip(f"there is no control channel ({error.strerror})") from None
        self.buffer = b""

    def close(self):
        os.close(self.fd)

    def _line(self, seconds):
        end = time.monotonic() + seconds
        while b"\n" not in self.buffer:
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.fd], [], [], left)[0]:
                raise Failure(f"the device's control channel gave no answer within {seconds:.0f} s")
            self.buffer += os.read(self.fd, 65536)
        line, self.buffer = self.buffer.split(b"\n", 1)
        return line

    def ask(self, cmd, seconds=20.0, **arguments):
        """One request and its answer as a dictionary, whether it was fulfilled or not."""
        text = json.dumps({"cmd": cmd, **arguments}).encode() + b"\n"
        while text:
            select.select([], [self.fd], [], seconds)
            text = text[os.write(self.fd, text) :]
        return json.loads(self._line(seconds))

    def do(self, cmd, **arguments):
        """A request that must be fulfilled."""
        answer = self.ask(cmd, **arguments)
        if not answer.get("ok"):
            raise Failure(f"the device refuses {cmd} {arguments}: {answer.get('error')}")
        return answer

    def function(self, number=0):
        """What the device reports of a function: 0 is the PF, n is VF n-1."""
        return self.do("stats")["nic"]["functions"]["pf" if number == 0 else f"vf{number - 1}"]

    def chaos(self, spec="off"):
        """Make the device misbehave as the specification says, and no longer as an earlier one said."""
        return self.do("chaos", spec=spec)

    def meets(self, spec, act):
        """Calls act() while the device misbehaves as the specification says: what it gave, and whether the device's core has done so."""
        hits = self.do("stats")["nic"]["chaos_hits"]
        self.chaos(spec)
        result = act()
        met = self.do("stats")["nic"]["chaos_hits"] > hits
        self.chaos()
        return result, met
