# SPDX-License-Identifier: GPL-2.0-only
"""The guest's console as it grows: read in parts, each part judged once."""

import os
import time


class KernelLog:
    """Reads console.log in order. `taken` is the position up to which parts were handed out."""

    def __init__(self, path):
        self.path = path
        self.taken = 0

    def _read(self):
        if not os.path.exists(self.path):
            return b""
        with open(self.path, "rb") as file:
            file.seek(self.taken)
            return file.read()

    def take(self):
        """All whole lines that were not taken yet."""
        data = self._read()
        end = data.rfind(b"\n") + 1
        self.taken += end
        return data[:end].decode("utf-8", "replace")

    def take_to(self, mark, seconds, alive):
        """The log up to the line that holds the mark, waiting for it while alive() and for at most so long."""
        end = time.monotonic() + seconds
        wanted = mark.encode()
        while True:
            running = alive()
            data = self._read()
            place = data.find(wanted)
            newline = data.find(b"\n", place) if place >= 0 else -1
            if newline >= 0:
                self.taken += newline + 1
                return data[: newline + 1].decode("utf-8", "replace")
            if not running or time.monotonic() > end:
                return self.take()
            time.sleep(0.01)
