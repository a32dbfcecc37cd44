# SPDX-License-Identifier: GPL-2.0-only
"""Network namespaces. A netdev that was moved in is moved back before the namespace goes, so that none gets lost."""

import os
import socket

from .case import defer
from .command import ip, sh

_own = None


class Namespace:
    """A new namespace, gone at the end of the case (or of the file, when made in @setup)."""

    def __init__(self, name):
        self.name = name
        self.devices = []
        self.removed = False
        ip(["netns", "add", name])
        defer(self.remove)
        ip("link set dev lo up", ns=self)
        # No duplicate address detection, so that an address works at once; no traffic that nobody asked for. All in one
        # program, since starting one is what takes time in the guest.
        names = [f"net.ipv6.conf.{which}.{name}" for which in ("all", "default") for name in ("accept_dad", "router_solicitations")]
        sh(["sysctl", "-qw", *[f"{name}=0" for name in names]], ns=self)

    def take(self, device):
        """Move a netdev in."""
        ip(["link", "set", "dev", device, "netns", self.name])
        self.devices.append(device)

    def give_back(self, device):
        """Move a netdev back to the initial namespace; nothing if it is gone."""
        self.devices.remove(device)
        ip(["link", "set", "dev", device, "netns", "1"], ns=self, check=False)

    def remove(self):
        """Once; again is nothing."""
        if self.removed:
            return
        self.removed = True
        sh(f"ip netns pids {self.name} | xargs -r kill -9 2>/dev/null", check=False)
        for device in list(self.devices):
            self.give_back(device)
        ip(["netns", "del", self.name])

    def __enter__(self):
        """The calling thread is in the namespace inside a with block."""
        global _own
        if _own is None:
            _own = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        fd = os.open(f"/run/netns/{self.name}", os.O_RDONLY | os.O_CLOEXEC)
        os.setns(fd, os.CLONE_NEWNET)
        os.close(fd)
        return self

    def __exit__(self, *_):
        os.setns(_own, os.CLONE_NEWNET)


def open_socket(ns, *arguments):
    """A socket that lives in the namespace (None: where we are)."""
    if ns is None:
        return socket.socket(*arguments)
    with ns:
        return socket.socket(*arguments)
