#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Open vSwitch, as Debian has it, with hw-offload: its flows are in the device, and the host's CPU sees nothing of what they forward."""

# sets: quick
# quick: vf_to_vf
# vm: PORTS=1 MEM=4G PACKAGES=openvswitch-switch

import re

from lib import Capture, Wire, at_least, case, defer, equal, main, ping, setup, sh, tcp, until
from lib.eswitch import vfs_with_carrier
from lib.tc import filters

CTL = "/usr/share/openvswitch/scripts/ovs-ctl"

wire = None


@setup
def topology():
    global wire
    wire = Wire()
    sh("mkdir -p /run/openvswitch /etc/openvswitch /var/log/openvswitch")


def bridge(links, **tags):
    """A bridge of Open vSwitch over interfaces, whose flows are in hardware only (tc-policy), until the end of the case."""
    sh(f"{CTL} start --system-id=random --no-monitor --no-ovs-vswitchd")
    defer(sh, f"{CTL} stop", check=False)
    for link in links:
        # Open vSwitch leaves it behind.
        defer(sh, f"tc qdisc del dev {link.name} ingress", check=False)
    defer(sh, "ovs-vsctl --timeout=10 --if-exists del-br br0", check=False)
    sh("ovs-vsctl --no-wait set Open_vSwitch . other_config:hw-offload=true other_config:tc-policy=skip_sw other_config:max-idle=60000")
    sh(f"{CTL} start --system-id=random --no-monitor")
    sh("ovs-vsctl --timeout=30 add-br br0")
    sh("ip link set dev br0 up")
    for link in links:
        tag = tags.get(link.name)
        sh(f"ovs-vsctl --timeout=30 add-port br0 {link.name}" + (f" tag={tag}" if tag else ""))


def offloaded():
    """Flows that Open vSwitch says are in hardware: their port, type behind tags, and packets."""
    found = []
    for line in sh("ovs-appctl dpctl/dump-flows -m type=offloaded").out.splitlines():
        port, kinds, count = re.search(r"in_port\(([^)]*)\)", line), re.findall(r"eth_type\((0x[0-9a-f]+)\)", line), re.search(r"packets:(\d+)", line)
        if port and kinds and count and "offloaded:yes, dp:tc" in line:
            found.append((port[1], int(kinds[-1], 16), int(count[1])))
    return found


def of(link, kind=0x0800):
    """Packets of the flows of an interface that are in hardware."""
    return sum(count for port, its, count in offloaded() if (port, its) == (link.name, kind))


def silent(links, vfs, talk):
    """Once flows are there, what VFs say is not seen by the CPU. Returns what it saw before they were there."""
    macs = [vf.link.mac for vf in vfs]
    # While flows are made one or the other frame may get lost on its way through Open vSwitch itself.
    talk(check=False)
    for link in links:
        until(lambda: of(link) > 0, f"a flow of {link} in hardware")  # noqa: B023
    before = [of(link) for link in links]
    captures = [Capture(link) for link in links]
    talk()
    for capture in captures:
        capture.expect_none("IPv4 of the VFs", lambda p: p.kind == 0x0800 and p.source in macs, 0.5)
    for link, count in zip(links, before, strict=True):
        until(lambda: of(link) >= count + 10, f"flows of {link} count")  # noqa: B023


@case
def vf_to_vf():
    """Two VFs on a bridge: ping and TCP by flows in the device, each shown as offloaded and as in_hw."""
    links, vfs = vfs_with_carrier()
    bridge(links)

    def talk(check=True):
        ping(vfs[1].address4, ns=vfs[0].ns, count=10, check=check)
        tcp(vfs[1].address4, server_ns=vfs[1].ns, client_ns=vfs[0].ns, size="4M")

    silent(links, vfs, talk)
    shown = [entry["options"] for link in links for entry in filters(link) if entry["protocol"] == "ip"]
    at_least(len(shown), 2, "filters of IPv4")
    equal([options.get("in_hw", False) for options in shown], [True] * len(shown), "in_hw")


@case
def vlan_to_the_wire():
    """A VF on an access port, the wire as trunk: the device puts the tag on and takes it off."""
    links, (vf,) = vfs_with_carrier(1)
    tagged = f"{wire.far.name}.7"
    sh(f"ip -n {wire.ns.name} link add link {wire.far.name} name {tagged} type vlan id 7")
    defer(sh, f"ip -n {wire.ns.name} link del {tagged}", check=False)
    sh(f"ip -n {wire.ns.name} address add 198.51.100.1/24 dev {tagged}")
    sh(f"ip -n {wire.ns.name} link set dev {tagged} up")
    vf.link.address("198.51.100.2/24")
    bridge([links[0], wire.near], **{links[0].name: 7})

    def talk(check=True):
        ping("198.51.100.1", ns=vf.ns, count=15, check=check)

    silent([links[0], wire.near], [vf], talk)


main()
