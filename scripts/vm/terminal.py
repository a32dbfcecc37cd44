# SPDX-License-Identifier: GPL-2.0-only
"""The user's terminal, joined to the guest's console for an interactive shell."""

import os
import selectors
import signal
import sys
import termios
import tty

END_OF_INPUT = b"\x04"


class Terminal:
    """While entered, the terminal is raw and its keys go to the guest; it is restored whatever happens."""

    def __init__(self, machine):
        self.machine = machine
        self.port = machine.ports["terminal"]
        self.input, self.output = sys.stdin.fileno(), sys.stdout.fileno()
        self.saved = None

    @staticmethod
    def is_there():
        return sys.stdin.isatty() and sys.stdout.isatty()

    def __enter__(self):
        self.saved = termios.tcgetattr(self.input)
        tty.setraw(self.input)
        signal.signal(signal.SIGWINCH, self._resized)
        selector = self.machine.selector
        selector.register(self.port, selectors.EVENT_READ, self._from_guest)
        selector.register(self.input, selectors.EVENT_READ, self._from_user)
        return self

    def __exit__(self, *_):
        signal.signal(signal.SIGWINCH, signal.SIG_DFL)
        termios.tcsetattr(self.input, termios.TCSADRAIN, self.saved)

    def size(self):
        """Rows and columns."""
        try:
            columns, rows = os.get_terminal_size(self.output)
        except OSError:
            columns, rows = 80, 24
        return rows or 24, columns or 80

    def _resized(self, *_):
        self.machine.send("size", *self.size())

    def _from_guest(self):
        data = self.port.read()
        if data:
            os.write(self.output, data)

    def _from_user(self):
        data = os.read(self.input, 4096)
        self.port.write(data or END_OF_INPUT)
        if not data:
            self.machine.selector.unregister(self.input)
