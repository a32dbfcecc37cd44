# SPDX-License-Identifier: GPL-2.0-only
"""A netdev in a namespace: addresses, state, features, counters, as the tools show them."""

import os
import re

from .case import Failure, defer, until
from .command import ethtool, ip, ip_batch


class Link:
    """A netdev; ns is where it is (None: the initial namespace)."""

    def __init__(self, name, ns=None):
        self.name = name
        self.ns = ns

    def __repr__(self):
        return self.name if self.ns is None else f"{self.ns.name}/{self.name}"

    def ip(self, words, check=True):
        """`ip link set dev <name> ...`."""
        return ip(["link", "set", "dev", self.name] + (words.split() if isinstance(words, str) else words), ns=self.ns, check=check)

    def ethtool(self, option, words="", check=True, parse=False):
        """`ethtool <option> <name> <words>`."""
        return ethtool([*option.split(), self.name, *words.split()], ns=self.ns, check=check, parse=parse)

    def show(self):
        """What `ip -d -s -j link show` says."""
        return ip(["link", "show", "dev", self.name], ns=self.ns, parse=True)[0]

    @property
    def mac(self):
        return self.show()["address"]

    @property
    def mtu(self):
        return self.show()["mtu"]

    def set_mtu(self, mtu):
        """Until the end of the case. Some NICs restart for it, so wait for the carrier."""
        before, up = self.mtu, self.carrier()
        self.ip(f"mtu {mtu}")
        defer(self._reset_mtu, before, up)
        if up:
            self.wait_carrier()

    def _reset_mtu(self, mtu, up):
        self.ip(f"mtu {mtu}", check=False)
        if up:
            self.wait_carrier()

    def _path(self, name):
        return f"{self.ns.sysfs if self.ns else '/sys'}/class/net/{self.name}/{name}"

    def read(self, attribute):
        """A file of /sys/class/net/<name>, as of its namespace; None where the kernel does not show it."""
        try:
            with open(self._path(attribute), encoding="ascii") as file:
                return file.read().strip()
        except OSError:
            return None

    def carrier(self):
        return self.read("carrier") == "1"

    def up(self):
        self.ip("up")
        self.wait_carrier()
        return self

    def down(self):
        self.ip("down")

    def wait_carrier(self, wanted=True, seconds=30):
        until(lambda: self.carrier() is wanted, f"carrier of {self} is {'on' if wanted else 'off'}", seconds)

    def address(self, *addresses):
        """Add addresses with prefix lengths; IPv6 without duplicate address detection."""
        each = [f"{address} dev {self.name}" for address in addresses]
        ip_batch([f"address replace {words}{' nodad' if ':' in words else ''}" for words in each], ns=self.ns)
        defer(ip_batch, [f"address del {words}" for words in each], ns=self.ns, check=False)

    def features(self):
        """Name to True or False, as `ethtool -k` says; names that cannot change map to the same."""
        found = re.findall(r"^\s*([\w-]+): (on|off)", self.ethtool("-k").out, re.M)
        return {name: state == "on" for name, state in found}

    def feature(self, **wanted):
        """Switch features (underscores for dashes) until the end of the case; fails if one does not follow."""
        for name, state in wanted.items():
            dashed = name.replace("_", "-")
            before = self.features().get(dashed)
            if before == state:
                continue
            self.ethtool("-K", f"{dashed} {'on' if state else 'off'}")
            defer(self.ethtool, "-K", f"{dashed} {'on' if before else 'off'}", check=False)
            if self.features().get(dashed) != state:
                raise Failure(f"{self}: {dashed} cannot be switched {'on' if state else 'off'}")

    def counters(self):
        """`ethtool -S` as a dictionary of numbers; empty where there is none."""
        out = self.ethtool("-S", check=False).out
        return {name.strip(): int(value) for name, value in re.findall(r"^ *([^\n:]+): (\d+)$", out, re.M)}

    def stats(self):
        """The kernel's link statistics: {"rx": {"packets": n, ...}, "tx": {...}}, all that there are."""
        found = {"rx": {}, "tx": {}}
        for name in os.listdir(self._path("statistics")):
            way, _, key = name.partition("_")
            value = int(self.read(f"statistics/{name}"))
            if way in found:
                found[way][key] = value
            elif name == "multicast":
                found["rx"]["multicast"] = value
        return found

    def queues(self):
        """Queues in use: (receive, transmit)."""
        listing = os.listdir(self._path("queues"))
        return sum(n.startswith("rx") for n in listing), sum(n.startswith("tx") for n in listing)
