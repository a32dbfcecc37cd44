# SPDX-License-Identifier: GPL-2.0-only
"""The folder of one run: sockets, logs and what is shared with the guest. Removed at the end unless it is to be kept."""

import os
import shutil
import time

from . import options

KEPT = 20  # folders of failed runs that stay; older ones are removed


class RunFolder:
    def __init__(self):
        parent = os.path.join(options.CACHE, "run")
        os.makedirs(parent, exist_ok=True)
        tidy(parent)
        self.path = os.path.join(parent, time.strftime("%m%d-%H%M%S-") + f"{os.getpid()}-{time.monotonic_ns() % 1000:03d}")
        os.makedirs(self.guest(""))
        self.write("pid", f"{os.getpid()}\n")
        self.keep = False

    def file(self, name):
        return os.path.join(self.path, name)

    def guest(self, name):
        """A file that the guest sees in /run/oxnic."""
        return os.path.join(self.path, "guest", name)

    def write(self, name, text):
        with open(self.file(name), "w", encoding="utf-8") as file:
            file.write(text)

    def close(self):
        if self.keep:
            for name in os.listdir(self.path):
                if name.endswith(".sock"):
                    os.unlink(self.file(name))
            os.rename(self.file("pid"), self.file("kept"))
            self.keep = False
        elif os.path.exists(self.file("pid")):
            shutil.rmtree(self.path, ignore_errors=True)


def tidy(parent):
    """Remove what killed harnesses left, and all but the newest of the folders that were kept."""
    kept = []
    for name in sorted(os.listdir(parent), reverse=True):
        path = os.path.join(parent, name)
        if os.path.exists(os.path.join(path, "kept")):
            kept.append(path)
            continue
        try:
            with open(os.path.join(path, "pid"), encoding="utf-8") as file:
                owner = int(file.read())
        except (OSError, ValueError):
            continue
        if not os.path.exists(f"/proc/{owner}"):
            shutil.rmtree(path, ignore_errors=True)
    for path in kept[KEPT:]:
        shutil.rmtree(path, ignore_errors=True)
