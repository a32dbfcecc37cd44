# SPDX-License-Identifier: GPL-2.0-only
"""Child processes that cannot outlive the harness: each dies with it, whatever ends it."""

import ctypes
import os
import signal
import subprocess
import time

PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)


def _die_with_parent():
    _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Child:
    """A process in a session of its own (so that Ctrl-C goes to the harness alone), logging to a file."""

    def __init__(self, name, argv, folder, pass_fds=()):
        self.name = name
        self.log_path = os.path.join(folder, name + ".log")
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                argv,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=pass_fds,
                start_new_session=True,
                preexec_fn=_die_with_parent,
            )

    def status(self):
        """Exit status, or None while it runs."""
        return self.process.poll()

    def log_tail(self, lines=8):
        with open(self.log_path, encoding="utf-8", errors="replace") as log:
            return [line.rstrip() for line in log.readlines()[-lines:]]

    def wait(self, seconds):
        """True if it ended within that time."""
        try:
            self.process.wait(seconds)
            return True
        except subprocess.TimeoutExpired:
            return False

    def stop(self, grace=2.0):
        """Ask it to end, then make it."""
        if self.status() is None:
            self.process.terminate()
            if not self.wait(grace):
                self.process.kill()
                self.process.wait()


def wait_for(condition, seconds, step=0.01):
    """The first true value of condition() within that time, or its last value."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value or time.monotonic() >= end:
            return value
        time.sleep(step)
