# SPDX-License-Identifier: GPL-2.0-only
"""The sockets between harness and guest: the agent's lines, and the script's output as a stream that ends in a token."""

import os
import socket


class Port:
    """One virtio port's host end. The harness listens before QEMU starts, so nothing is ever lost."""

    def __init__(self, folder, name):
        self.name = name
        self.listener = socket.socket(socket.AF_UNIX)
        listen_at(self.listener, os.path.join(folder, f"{name}.sock"))
        self.listener.settimeout(10)
        self.socket = None

    def accept(self):
        """QEMU connects while it starts. Raises TimeoutError if it does not."""
        self.socket, _ = self.listener.accept()
        self.socket.setblocking(False)

    def fileno(self):
        return self.socket.fileno()

    def read(self):
        """What has arrived; b"" at the end (QEMU is gone); None if nothing has."""
        try:
            return self.socket.recv(65536)
        except BlockingIOError:
            return None
        except ConnectionError:
            return b""

    def write(self, data):
        self.socket.setblocking(True)
        try:
            self.socket.sendall(data)
        finally:
            self.socket.setblocking(False)

    def close(self):
        self.listener.close()
        if self.socket is not None:
            self.socket.close()


class Lines:
    """Cuts a stream of bytes into lines of text."""

    def __init__(self):
        self.rest = b""

    def feed(self, data):
        *lines, self.rest = (self.rest + data).split(b"\n")
        return [line.decode("utf-8", "replace").rstrip("\r") for line in lines]


class UntilToken:
    """Passes bytes on until a token appears in them; the token itself is never passed on, whole or in part."""

    def __init__(self, token, sink):
        self.token, self.sink = token, sink
        self.held = b""
        self.ended = False

    def feed(self, data):
        if self.ended:
            return
        data = self.held + data
        place = data.find(self.token)
        if place >= 0:
            self.ended = True
            data, self.held = data[:place], b""
        else:
            keep = overlap(data, self.token)
            data, self.held = data[: len(data) - keep], data[len(data) - keep :]
        if data:
            self.sink(data)

    def flush(self):
        """No more will come: what looked like the token's start was not."""
        if self.held:
            self.sink(self.held)
            self.held = b""


def overlap(data, token):
    """Length of the longest end of data that is a start of the token."""
    for length in range(min(len(token) - 1, len(data)), 0, -1):
        if data.endswith(token[:length]):
            return length
    return 0


def listen_at(listener, path):
    """Bind to a path of any length: the kernel takes 107 bytes, so the name is given relative to its folder."""
    here = os.open(".", os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.chdir(os.path.dirname(path))
        listener.bind(os.path.basename(path))
        listener.listen(4)
    finally:
        os.fchdir(here)
        os.close(here)
