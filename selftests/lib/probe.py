# SPDX-License-Identifier: GPL-2.0-only
"""Small packets that go to the far end and back, one after the other: which answers came, and for how long none did."""

import os
import re
import time

from .case import at_least, defer
from .command import sh

ANSWER = re.compile(r"^\[([\d.]+)\] .*bytes from .*icmp_seq=(\d+) ", re.M)


class Probe:
    """A ping each `pause` seconds, from now until `stop`, or the end of the case."""

    def __init__(self, address, pause=0.02):
        self.path = "/tmp/probe"
        sh(f"ping -n -D -i {pause} {address} > {self.path} 2>&1 & echo $! > {self.path}.pid")
        defer(self.stop)
        time.sleep(0.5)

    def stop(self):
        if os.path.exists(f"{self.path}.pid"):
            sh(f"kill -INT $(cat {self.path}.pid); sleep 0.2; rm {self.path}.pid", check=False)

    def answers(self):
        """(when it came, number of the request) of each, in order. Ends it."""
        self.stop()
        with open(self.path) as file:
            found = [(float(when), int(number)) for when, number in ANSWER.findall(file.read())]
        at_least(len(found), 10, "answers from the far end")
        return found

    def gap(self, begin=0.0, end=float("inf")):
        """The longest time between two answers, in seconds; of those that reach into a span of time.time(). Ends it."""
        times = [when for when, _ in self.answers()]
        return max((b - a for a, b in zip(times, times[1:], strict=False) if b > begin and a < end), default=0.0)

    def lost(self):
        """Requests without an answer, of those before the last answer. Ends it."""
        numbers = [number for _, number in self.answers()]
        return max(numbers) - len(set(numbers))
