# SPDX-License-Identifier: GPL-2.0-only
"""A place among the guests that run at the same time: more of them than the host can serve only make each one late.

A place is a locked file; the lock goes with the process, however that ends."""

import fcntl
import os
import sys
import time


def count():
    """How many guests may run at a time: OXNIC_VM_SLOTS, or one more than there are CPUs, since a guest often waits."""
    return int(os.environ.get("OXNIC_VM_SLOTS") or (os.cpu_count() or 1) + 1)


def take(folder):
    """Waits for a place, behind those who came before; returns the open file that holds it."""
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, ".slot-queue"), "w", encoding="ascii") as queue:
        said = not _lock(queue)
        if said:
            say()
            fcntl.flock(queue, fcntl.LOCK_EX)  # whoever has it is the next
        while True:
            for number in range(max(count(), 1)):
                file = open(os.path.join(folder, f".slot-{number}"), "w", encoding="ascii")
                if _lock(file):
                    return file
                file.close()
            if not said:
                say()
                said = True
            time.sleep(0.2)


def _lock(file):
    """Locks a file, if nobody else has."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def say():
    print("vm: waiting for another guest to end (OXNIC_VM_SLOTS= sets how many run at a time)", file=sys.stderr)
