# SPDX-License-Identifier: GPL-2.0-only
"""VFs that send all that they can out of the wire, and how much of it comes at the far end."""

import json
import time

from .capture import Injector
from .case import defer, note, true
from .command import sh
from .packet import VLAN, raw_frame
from .tc import clsact, filter_add, in_hw
from .topology import VfEnd

WARM, LONG = 1.5, 4.0  # seconds that buckets are emptied for, and that is measured for


class Flood:
    """VFs behind these representors, one after the other from VF 0 on; each with a tag of its priority, if there are any."""

    def __init__(self, wire, links, priorities=None):
        self.wire = wire
        self.vfs = [VfEnd(vf) for vf in range(len(links))]
        for link in links:
            link.wait_carrier()
        clsact(*links)
        for link in links:
            filter_add(link, ("pref 1 protocol all", f"action mirred egress redirect dev {self.wire.near.name}"), kind="matchall")
            true(in_hw(link, 1), f"the way from {link} out is in hardware")
        self.frames, self.injectors = [], [Injector(vf.link) for vf in self.vfs]
        sh(["tc", "qdisc", "add", "dev", self.wire.far.name, "clsact"], ns=self.wire.ns)
        defer(sh, ["tc", "qdisc", "del", "dev", self.wire.far.name, "clsact"], ns=self.wire.ns, check=False)
        for number, vf in enumerate(self.vfs):
            tags = [(VLAN, priorities[number] << 13 | 7)] if priorities else []
            self.frames.append(raw_frame(self.wire.far.mac, vf.link.mac, b"flood", tags, size=1514))
            words = f"tc filter add dev {self.wire.far.name} ingress pref {number + 1} protocol all flower src_mac {vf.link.mac} action drop"
            sh(words.split(), ns=self.wire.ns)
            self.injectors[number].socket.setblocking(False)

    def arrived(self):
        """Bytes from each VF."""
        found = json.loads(sh(["tc", "-s", "-j", "filter", "show", "dev", self.wire.far.name, "ingress"], ns=self.wire.ns).out)
        entries = {entry["pref"]: entry for entry in found if "actions" in entry.get("options", {})}
        return [entries[number + 1]["options"]["actions"][0]["stats"]["bytes"] for number in range(len(self.vfs))]

    def _send(self, seconds, senders):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            sent = 0
            for number in senders:
                try:
                    for _ in range(16):
                        self.injectors[number].socket.send(self.frames[number])
                        sent += 1
                except OSError:
                    pass  # as full as it can be
            if not sent:
                time.sleep(0.002)

    def measure(self, senders=None, seconds=LONG):
        """Mbit/s of each VF at the far end."""
        senders = range(len(self.vfs)) if senders is None else senders
        self._send(WARM, senders)
        before, start = self.arrived(), time.monotonic()
        self._send(seconds, senders)
        after, elapsed = self.arrived(), time.monotonic() - start
        found = [(b - a) * 8 / elapsed / 1e6 for a, b in zip(before, after)]
        note(" and ".join(f"{rate:.2f}" for rate in found) + " Mbit/s at the far end")
        return found
