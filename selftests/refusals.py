#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""What the driver promises to refuse is refused, with a text that says why, and changes nothing."""

# sets: quick
# vm: PORTS=1

from lib import PF, VfEnd, Wire, case, defer, equal, fails, main, ping, setup, sh, true

wire = None


@setup
def topology():
    global wire
    wire = Wire()


def says_more_than_errno(result, what):
    """The message is not only the text of an error number."""
    fails(result, what)
    lines = [line for line in result.text.splitlines() if line.strip()]
    plain = ("netlink error: Invalid argument", "netlink error: Operation not supported", "RTNETLINK answers: Invalid argument")
    true(any(line.strip() not in plain and len(line) > 20 for line in lines), f"{what}: the text says why: {result.text!r}")


@case
def mtu():
    """An MTU out of range is refused with the range."""
    says_more_than_errno(wire.near.ip("mtu 65000", check=False), "an MTU of 65000")


@case
def rings_and_channels():
    """Rings and channels out of range are refused with a reason."""
    says_more_than_errno(wire.near.ethtool("-G", "rx 1000000", check=False), "a ring of a million entries")
    says_more_than_errno(wire.near.ethtool("-L", "combined 1000", check=False), "a thousand channels")


@case
def channels_in_use():
    """Channels that the indirection table, set by the user, points to cannot be taken away."""
    wire.near.ethtool("-X", "weight 0 0 0 1")
    defer(wire.near.ethtool, "-X", "default")
    fails(wire.near.ethtool("-L", "combined 2", check=False), "taking away a channel that the table uses")
    ping(wire.far4)


@case
def vf_rights():
    """What needs the PF's or a trusted VF's rights is refused to a VF, and the VF works on."""
    PF().with_vfs(1)
    wire.near.ip("vf 0 mac 02:cc:00:00:00:77")
    vf = PF().vf(0)
    vf.unbind()
    vf.bind("oxnic")
    end = VfEnd(0)
    fails(end.link.ip("address 02:cc:00:00:00:78", check=False), "a change of the address that the PF gave")
    ping(wire.far4, ns=end.ns)


@case
def unknown_flow():
    """A rule with a field that the device cannot match is refused, not widened."""
    if wire.near.ethtool("-n", check=False).status:
        return
    result = wire.near.ethtool("-N", "flow-type esp4 spi 7 action 0", check=False)
    fails(result, "a rule on an IPsec SPI")
    equal(sh(f"ethtool -n {wire.near.name}").out.count("Filter:"), 0, "rules after the refusal")


@case
def xdp_and_tc_offload():
    """Programs and rules for hardware that the device has not are refused, and the fallback without hardware works."""
    sh(f"tc qdisc add dev {wire.near.name} clsact")
    defer(sh, f"tc qdisc del dev {wire.near.name} clsact")
    result = sh(f"tc filter add dev {wire.near.name} ingress protocol ip flower skip_sw dst_ip 192.0.2.77 action drop", check=False)
    fails(result, "a flower rule for hardware only")
    sh(f"tc filter add dev {wire.near.name} ingress protocol ip flower skip_hw dst_ip 192.0.2.77 action drop")


@case
def speeds():
    """A half duplex link is refused."""
    fails(wire.near.ethtool("-s", "speed 1000 duplex half autoneg off", check=False), "half duplex")
    wire.near.wait_carrier()
    ping(wire.far4)


main()
