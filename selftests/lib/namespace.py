# SPDX-License-Identifier: GPL-2.0-only
"""Network namespaces. A netdev that was moved in is moved back before the namespace goes, so that none gets lost.

Starting a program is what takes time in a guest, so what is done to each namespace is done without.
"""

import contextlib
import ctypes
import fcntl
import os
import signal
import socket
import struct

from .case import defer
from .command import ip

SYSFS = "/run/sys"
SIOCGIFFLAGS, SIOCSIFFLAGS = 0x8913, 0x8914
IFF_UP = 1
_libc = ctypes.CDLL(None, use_errno=True)
_own = None


def _must(result):
    """The answer of a function of C. OSError for -1."""
    if result == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


# Of interfaces that come, in milliseconds.
MLD_INTERVAL = "net.ipv6.conf.default.mldv2_unsolicited_report_interval"


def _pids(name):
    """Processes in a namespace."""
    there = os.stat(f"/run/netns/{name}").st_ino
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if os.stat(f"/proc/{pid}/ns/net").st_ino == there:
                yield int(pid)
        except OSError:
            pass  # It has ended.


class Namespace:
    """A new namespace, gone at the end of the case (or of the file, when made in @setup)."""

    def __init__(self, name):
        self.name = name
        self.devices = []
        self.removed = False
        ip(["netns", "add", name])
        defer(self.remove)
        self.sysfs = f"{SYSFS}/{name}"
        os.makedirs(self.sysfs, exist_ok=True)
        with self:
            _must(_libc.mount(b"sysfs", self.sysfs.encode(), b"sysfs", 0, None))
        self._loopback_up()
        # No duplicate address detection, so that an address works at once; no traffic that nobody asked for.
        for which in ("all", "default"):
            for setting in ("accept_dad", "router_solicitations"):
                sysctl(f"net.ipv6.conf.{which}.{setting}", 0, ns=self)
        # What groups there are is told twice, when a link comes up, and not the second time up to a second later.
        sysctl(MLD_INTERVAL, 1, ns=self)

    def _loopback_up(self):
        with open_socket(self, socket.AF_INET, socket.SOCK_DGRAM) as sock:
            request = struct.pack("16sH22x", b"lo", 0)
            flags = struct.unpack_from("H", fcntl.ioctl(sock, SIOCGIFFLAGS, request), 16)[0]
            fcntl.ioctl(sock, SIOCSIFFLAGS, struct.pack("16sH22x", b"lo", flags | IFF_UP))

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
        for pid in _pids(self.name):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for device in list(self.devices):
            self.give_back(device)
        if os.path.ismount(self.sysfs):
            _must(_libc.umount2(self.sysfs.encode(), 0))
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


def sysctl(name, value, ns=None):
    """Set a setting of the kernel, which is that of the namespace of who opens its file."""
    with ns or contextlib.nullcontext(), open(f"/proc/sys/{name.replace('.', '/')}", "w", encoding="ascii") as file:
        file.write(str(value))
