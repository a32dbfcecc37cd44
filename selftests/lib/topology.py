# SPDX-License-Identifier: GPL-2.0-only
"""Who is connected to whom: the PF netdev here, the stock NIC at the far end of the wire in a namespace, VFs in theirs."""

import os

from .case import defer, until
from .command import ip
from .function import PF
from .link import Link
from .namespace import Namespace
from .traffic import ping


def _peer(port):
    """The stock NIC, under a name of its own: while it is away, a new netdev could take the kernel's name for it."""
    name = f"peer{port}"
    if not os.path.exists(f"/sys/class/net/{name}"):
        ip(["link", "set", "dev", os.environ[f"PEER{port + 1}" if port else "PEER"], "down"])
        ip(["link", "set", "dev", os.environ[f"PEER{port + 1}" if port else "PEER"], "name", name])
    return name


class Wire:
    """A wire port with its two ends up and addressed: PF netdev `near` (.1, ::1), stock NIC `far` (.2, ::2) in `ns`.

    The far end shows frames as they are on the wire: no merging, no VLAN removal, no checksum verdicts of the NIC.
    Give near=<Link> for another end (a VF) in place of the PF's netdev.
    """

    def __init__(self, port=0, near=None, addresses=True):
        self.port = port
        self.ns = Namespace(f"far{port}")
        name = _peer(port)
        self.ns.take(name)
        self.far = Link(name, self.ns)
        self.near = near or PF().link(port)
        self.far.ethtool("-K", "gro off rxvlan off", check=False)
        self.far.ethtool("-K", "rx-vlan-filter off", check=False)
        self.far.ip("promisc on")
        defer(self.far.ip, "promisc off", check=False)
        self.near4, self.far4 = f"192.0.{2 + port}.1", f"192.0.{2 + port}.2"
        self.near6, self.far6 = f"2001:db8:{port}::1", f"2001:db8:{port}::2"
        if addresses:
            self.far.address(f"{self.far4}/24", f"{self.far6}/64")
            self.near.address(f"{self.near4}/24", f"{self.near6}/64")
        for link in (self.far, self.near):
            link.ip("up")
            defer(link.ip, "down", check=False)
        for link in (self.far, self.near):
            link.wait_carrier()
        if addresses:
            # A stock NIC may lose what comes right after its carrier.
            until(lambda: ping(self.far4, ns=self.near.ns, count=1, check=False, seconds=1) == 1, f"{self.near} and {self.far} reach each other")

    def renew(self):
        """The PF's new netdev takes the place of the old one, which has gone with all that was set on it."""
        self.near = PF().link(self.port)
        ip(["address", "replace", f"{self.near4}/24", "dev", self.near.name])
        self.near.ip("up")
        self.near.wait_carrier()

    def addresses(self, version):
        """(near, far) of an IP version."""
        return (self.near4, self.far4) if version == 4 else (self.near6, self.far6)


class VfEnd:
    """A VF's netdev in a namespace of its own, on wire 0's subnet as .10 + index."""

    def __init__(self, index, wire_number=0, up=True):
        self.function = PF().vf(index)
        name = self.function.link().name
        self.index = index
        self.ns = Namespace(f"vf{index}")
        self.ns.take(name)
        self.link = Link(name, self.ns)
        self.address4, self.address6 = f"192.0.{2 + wire_number}.{10 + index}", f"2001:db8:{wire_number}::{10 + index:x}"
        self.link.address(f"{self.address4}/24", f"{self.address6}/64")
        if up:
            self.link.up()

    def close(self):
        """Give the netdev back before the end of the case (nothing to give if the VF is gone)."""
        self.link.ip("down", check=False)
        self.ns.remove()
