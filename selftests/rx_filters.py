#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Receive filters: own address, further unicast addresses, multicast, all multicast, promiscuous; for PF and VF."""

# sets: quick
# vm: PORTS=1

from lib import PF, Capture, Control, Failure, Injector, Link, VfEnd, Wire, case, defer, equal, fails, ip, main, ping, setup, sh, until
from lib.packet import BROADCAST, TEST_TYPE, raw_frame

OTHER = "02:aa:00:00:00:01"
GROUP, GROUP2 = "33:33:00:00:12:34", "01:00:5e:01:02:03"
wire = None
serial = 0


@setup
def topology():
    global wire
    wire = Wire()


def arrives(destination, link=None):
    """True if a frame to the address that the far end sends reaches the link (whose stack is not made promiscuous by looking).

    A second frame, to the link's own address, follows on the same way: the first one has come before it, or not at all.
    """
    global serial
    serial += 1
    link = link or wire.near
    body, witness = b"filter %d " % serial, b"witness %d " % serial
    capture, seen = Capture(link), []

    def is_witness(parsed):
        if parsed.kind == TEST_TYPE and parsed.payload.startswith(body):
            seen.append(parsed)
        return parsed.kind == TEST_TYPE and parsed.payload.startswith(witness)

    Injector(wire.far).send(raw_frame(destination, wire.far.mac, body), raw_frame(link.mac, wire.far.mac, witness))
    if not capture.frames(is_witness, 1):
        raise Failure(f"a frame to {link}'s own address does not arrive")
    return len(seen) == 1


def check(link, expectations):
    """Each (what, address, whether it arrives) comes true: the kernel gives changes of the lists to the driver a little later."""
    for what, destination, wanted in expectations:
        until(lambda: arrives(destination, link) is wanted, f"a frame to {what} ({destination}) arrives at {link}: {wanted}", 5)  # noqa: B023


def cycle(link):
    """All filters one after the other on a link."""
    own = link.mac
    check(link, (("its own address", own, True), ("another", OTHER, False), ("all", BROADCAST, True), ("a group it has not joined", GROUP, False)))
    link.ip(f"address {OTHER}")
    defer(link.ip, f"address {own}", check=False)
    check(link, (("its new address", OTHER, True), ("its old address", own, False)))
    link.ip(f"address {own}")
    ip(f"maddress add {GROUP} dev {link.name}", ns=link.ns)
    defer(ip, f"maddress del {GROUP} dev {link.name}", ns=link.ns, check=False)
    check(link, (("a group it has joined", GROUP, True), ("another group", GROUP2, False)))
    ip(f"maddress del {GROUP} dev {link.name}", ns=link.ns)
    check(link, (("a group it has left", GROUP, False),))


@case
def pf_cycle():
    """Own address, change of address, join and leave on the PF."""
    cycle(wire.near)


@case
def all_multicast():
    """allmulti receives any group, and no foreign unicast."""
    wire.near.ip("allmulticast on")
    defer(wire.near.ip, "allmulticast off")
    check(wire.near, (("any group", GROUP, True), ("another group", GROUP2, True), ("another host", OTHER, False)))
    wire.near.ip("allmulticast off")
    check(wire.near, (("any group", GROUP, False),))


@case
def promiscuous():
    """promisc receives everything, and no longer when switched off."""
    wire.near.ip("promisc on")
    defer(wire.near.ip, "promisc off")
    check(wire.near, (("another host", OTHER, True), ("any group", GROUP, True)))
    wire.near.ip("promisc off")
    check(wire.near, (("another host", OTHER, False), ("any group", GROUP, False), ("its own address", wire.near.mac, True)))


@case
def macvlan_addresses():
    """A macvlan's address is received by the filter, without promiscuity, and not after it is gone."""
    ip(f"link add link {wire.near.name} name mv0 address {OTHER} type macvlan mode bridge")
    defer(ip, "link del mv0", check=False)
    link = Link("mv0")
    link.ip("up")
    equal(wire.near.show()["promiscuity"], 0, "promiscuity of the PF")
    check(link, (("the macvlan", OTHER, True),))
    check(wire.near, (("a third host", "02:aa:00:00:00:03", False),))
    ip("link del mv0")
    check(wire.near, (("the macvlan that is gone", OTHER, False),))


def address(number):
    return f"02:bb:00:00:{number >> 8:02x}:{number & 255:02x}"


@case
def beyond_the_list():
    """More addresses than the device's list holds: all are received still; fewer again: the filter is exact again."""
    control = Control()
    defer(control.close)
    for count in (10, 100, 400):
        data = "".join(f"fdb add {address(n)} dev {wire.near.name} self\n" for n in range(count))
        sh(["bridge", "-batch", "-"], data=data.replace("fdb add", "fdb append"), check=False)
        for n in (0, count // 2, count - 1):
            check(wire.near, ((f"address {n} of {count}", address(n), True),))
        sh(["bridge", "-force", "-batch", "-"], data="".join(f"fdb del {address(n)} dev {wire.near.name} self\n" for n in range(count)), check=False)
        check(wire.near, (("an address that was removed", address(0), False), ("its own address", wire.near.mac, True)))


@case
def filters_hold():
    """Joined groups and promiscuity hold over down and up and over a reset of the function."""
    ip(f"maddress add {GROUP} dev {wire.near.name}")
    defer(ip, f"maddress del {GROUP} dev {wire.near.name}")
    wire.near.down()
    wire.near.up()
    check(wire.near, (("a joined group after down and up", GROUP, True), ("another host", OTHER, False)))
    wire.near.address(f"{wire.near6}/64") if not ping(wire.far6, count=1, check=False) else None
    PF().write("reset", 1)
    wire.near.wait_carrier()
    check(wire.near, (("a joined group after a reset", GROUP, True), ("another host", OTHER, False), ("itself", wire.near.mac, True)))
    wire.near.ip("promisc on")
    defer(wire.near.ip, "promisc off")
    PF().write("reset", 1)
    wire.near.wait_carrier()
    check(wire.near, (("another host after a reset, promiscuous", OTHER, True),))


@case
def vf_filters():
    """A trusted VF filters as the PF does; one that is not trusted gets no foreign unicast though it asks for it."""
    PF().with_vfs(2)
    wire.near.ip("vf 0 trust on")
    wire.near.ip("vf 0 spoofchk off")
    trusted, plain = VfEnd(0), VfEnd(1)
    cycle(trusted.link)
    own = plain.link.mac
    check(plain.link, (("its own address", own, True), ("another", OTHER, False)))
    for vf, wanted in ((trusted, True), (plain, False)):
        vf.link.ip("promisc on", check=False)
        # The driver gets all of the filter at once: with the group it has been told of promiscuity, too.
        ip(f"maddress add {GROUP} dev {vf.link.name}", ns=vf.link.ns)
        check(vf.link, (("a group it has joined", GROUP, True), (f"another host, promiscuous, trusted: {wanted}", OTHER, wanted)))
        vf.link.ip("promisc off", check=False)


@case
def bad_address_refused():
    """A group's address, or zero, cannot be a netdev's own."""
    fails(wire.near.ip("address 01:02:03:04:05:06", check=False), "a multicast address")
    fails(wire.near.ip("address 00:00:00:00:00:00", check=False), "a zero address")
    check(wire.near, (("its own address", wire.near.mac, True),))


main()
