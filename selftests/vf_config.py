#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""`ip link set dev <pf> vf N ...`: every setting reads back, has its effect on traffic, and a wrong one is refused."""

# sets: quick
# alone: rate
# vm: PORTS=1

import time

from lib import PF, Capture, Injector, VfEnd, Wire, at_least, at_most, case, defer, equal, fails, ip, main, note, ping, setup, until
from lib.packet import QINQ, TEST_TYPE, VLAN, raw_frame

OTHER = "02:ee:00:00:00:01"
wire = None


@setup
def topology():
    global wire
    wire = Wire()
    PF().with_vfs(2)


def info(number=0):
    return wire.near.show()["vfinfo_list"][number]


def vf_set(words, number=0, check=True):
    return wire.near.ip(f"vf {number} {words}", check=check)


def reload_vf(number=0):
    """A VF takes what was set for it when its driver starts anew."""
    function = PF().vf(number)
    function.unbind()
    function.bind("oxnic")
    return function.link()


def sent(vf, frame, wanted):
    """What of a frame that a VF sends comes out of the wire."""
    capture = Capture(wire.far)
    Injector(vf.link).send(frame)
    found = capture.frames(lambda p: p.kind == TEST_TYPE and p.payload.startswith(wanted), 1, 1.0)
    return found[0] if found else None


def got(vf, frame, wanted):
    """What of a frame from the wire reaches a VF."""
    capture = Capture(vf.link)
    Injector(wire.far).send(frame)
    found = capture.frames(lambda p: p.kind == TEST_TYPE and p.payload.startswith(wanted), 1, 1.0)
    return found[0] if found else None


@case
def mac():
    """The address that the PF gives reads back, the VF's driver takes it, and the VF cannot change it."""
    address = "02:cc:00:00:00:01"
    vf_set(f"mac {address}")
    defer(vf_set, "mac 00:00:00:00:00:00", check=False)
    equal(info()["address"], address, "address that reads back")
    link = reload_vf()
    equal(link.mac, address, "address of the VF's netdev")
    fails(link.ip("address 02:cc:00:00:00:02", check=False), "a VF's change of an address that its PF gave")
    vf = VfEnd(0)
    ping(wire.far4, ns=vf.ns)
    equal(got(vf, raw_frame(address, wire.far.mac, b"to its mac"), b"to its mac") is not None, True, "a frame to the address arrives")


@case
def own_address():
    """An address that a VF chooses itself is shown by its PF at once."""
    vf = VfEnd(0)
    first = vf.link.mac
    defer(vf.link.ip, f"address {first}", check=False)
    for address in ("02:cc:00:00:00:04", "02:cc:00:00:00:05", first):
        info()
        vf.link.ip(f"address {address}")
        equal(info()["address"], address, "address that the PF shows")


@case
def address_of_a_closed_vf():
    """What its user has set outlives resets of the VF and of the PF, and what the PF sets otherwise; an address from the PF replaces it."""
    vf, own, given = VfEnd(0, up=False), "02:cc:00:00:00:06", "02:cc:00:00:00:07"
    first = vf.link.mac
    defer(vf.link.ip, f"address {first}", check=False)
    vf.link.ip(f"address {own}")
    for function in (vf.function, PF()):
        function.write("reset", 1)
        until(lambda: info()["address"] == own, f"the PF shows the VF's own address after a reset of {function}", 10)  # noqa: B023
        vf_set("spoofchk off")
        vf_set("spoofchk on")
        time.sleep(0.5)
        equal(vf.link.mac, own, f"address after a reset of {function} and a setting")
    defer(vf_set, "mac 00:00:00:00:00:00", check=False)
    vf_set(f"mac {given}")
    until(lambda: vf.link.mac == given, "the VF has the address that its PF gave", 10)
    vf.function.write("reset", 1)
    equal(vf.link.mac, given, "address after another reset")


@case
def mac_refused():
    """A multicast address, and a VF that there is not, are refused."""
    fails(vf_set("mac 01:00:00:00:00:01", check=False), "a multicast address")
    fails(vf_set("mac 02:00:00:00:00:01", 77, check=False), "VF 77 of 2")


@case
def vlan():
    """A VF in a VLAN sends tagged without knowing, receives only that VLAN, untagged, with the priority given."""
    vf = VfEnd(0)
    defer(vf_set, "vlan 0", check=False)
    for words, tag in (("vlan 50 qos 3", (VLAN, 3 << 13 | 50)), ("vlan 60 qos 0 proto 802.1ad", (QINQ, 60))):
        vf_set(words)
        entry = info()["vlan_list"][0] if "vlan_list" in info() else info()
        equal((entry["vlan"], entry.get("qos", 0)), (tag[1] & 0xFFF, tag[1] >> 13), "VLAN and priority that read back")
        found = sent(vf, raw_frame(wire.far.mac, vf.link.mac, b"transparent"), b"transparent")
        equal(found and found.tags, [tag], f"tags on the wire with {words}")
        arrived = got(vf, raw_frame(vf.link.mac, wire.far.mac, b"inside", [tag]), b"inside")
        equal(arrived and arrived.tags, [], "tags that the VF sees")
        equal(got(vf, raw_frame(vf.link.mac, wire.far.mac, b"untagged"), b"untagged"), None, "an untagged frame reaches the VF")
        other = (tag[0], 99)
        equal(got(vf, raw_frame(vf.link.mac, wire.far.mac, b"other", [other]), b"other"), None, "a frame of VLAN 99 reaches the VF")
    vf_set("vlan 0")
    equal(sent(vf, raw_frame(wire.far.mac, vf.link.mac, b"plain"), b"plain").tags, [], "tags on the wire without a VLAN")
    ping(wire.far4, ns=vf.ns)


@case
def vlan_separates_vfs():
    """Two VFs in different VLANs do not reach each other, in the same one they do."""
    one, two = VfEnd(0), VfEnd(1)
    defer(vf_set, "vlan 0", 0)
    defer(vf_set, "vlan 0", 1)
    vf_set("vlan 51", 0)
    vf_set("vlan 52", 1)
    equal(ping(two.address4, ns=one.ns, count=1, check=False, seconds=1), 0, "answered pings between different VLANs")
    vf_set("vlan 51", 1)
    ping(two.address4, ns=one.ns)
    equal(ping(wire.near4, ns=one.ns, count=1, check=False, seconds=1), 0, "answered pings of the PF, which is in no VLAN")


@case
def vlan_refused():
    """VLAN 4095, priority 8 and an unknown protocol are refused, and nothing changes."""
    before = info()
    for words in ("vlan 4095", "vlan 10 qos 8", "vlan 10 proto 802.1x"):
        fails(vf_set(words, check=False), words)
    equal(info().get("vlan_list"), before.get("vlan_list"), "VLANs after the refusals")


@case
def spoof_check():
    """With the check on, a foreign source address does not leave and is counted; off, it does."""
    vf = VfEnd(0)
    foreign = raw_frame(wire.far.mac, "02:dd:00:00:00:09", b"spoofed")
    own = raw_frame(wire.far.mac, vf.link.mac, b"honest")
    equal(info()["spoofchk"], True, "spoof check at first")
    before = vf.link.counters().get("tx_spoofed")
    equal(sent(vf, foreign, b"spoofed"), None, "a spoofed frame leaves with the check on")
    equal(sent(vf, own, b"honest") is not None, True, "an honest frame leaves with the check on")
    if before is not None:
        at_least(vf.link.counters()["tx_spoofed"] - before, 1, "spoofed frames that the VF's counters show")
    vf_set("spoofchk off")
    defer(vf_set, "spoofchk on")
    equal(info()["spoofchk"], False, "spoof check that reads back")
    equal(sent(vf, foreign, b"spoofed") is not None, True, "a spoofed frame leaves with the check off")


def promiscuous(vf, body, wanted):
    """Whether a VF gets a frame to somebody else's address comes to be as wanted: its driver takes up news a little later."""
    what = f"foreign unicast reaches the VF ({body.decode()}): {wanted}"
    until(lambda: (got(vf, raw_frame(OTHER, wire.far.mac, body), body) is not None) is wanted, what, 10)


@case
def trust():
    """A trusted VF may be promiscuous, whichever was first; without trust, promiscuity gives it nothing; trust reads back."""
    vf = VfEnd(0)
    equal(info()["trust"], False, "trust at first")
    vf_set("trust on")
    defer(vf_set, "trust off")
    equal(info()["trust"], True, "trust that reads back")
    promiscuous(vf, b"trusted, not promiscuous", False)
    vf.link.ip("promisc on")
    defer(vf.link.ip, "promisc off", check=False)
    promiscuous(vf, b"trusted first", True)
    vf_set("trust off")
    promiscuous(vf, b"no longer trusted", False)
    vf_set("trust on")
    promiscuous(vf, b"trusted again", True)


@case
def trust_later():
    """What a VF has asked for in vain, promiscuity and further addresses, it gets when it is trusted."""
    address = "02:cc:00:00:00:03"
    vf_set(f"mac {address}")
    defer(vf_set, "mac 00:00:00:00:00:00", check=False)
    vf = VfEnd(0)
    until(lambda: vf.link.mac == address, "the VF has the address that its PF gave", 10)
    ip(["link", "add", "link", vf.link.name, "name", "further", "address", OTHER, "type", "macvlan"], ns=vf.ns)
    defer(ip, ["link", "del", "further"], ns=vf.ns, check=False)
    ip(["link", "set", "dev", "further", "up"], ns=vf.ns)
    promiscuous(vf, b"further address", False)
    vf_set("trust on")
    defer(vf_set, "trust off")
    promiscuous(vf, b"further address, trusted", True)
    vf_set("trust off")
    ip(["link", "del", "further"], ns=vf.ns)
    promiscuous(vf, b"not trusted", False)
    vf.link.ip("promisc on")
    defer(vf.link.ip, "promisc off", check=False)
    promiscuous(vf, b"promiscuous, not trusted", False)
    vf_set("trust on")
    promiscuous(vf, b"promiscuous, trusted later", True)


@case
def state():
    """enable, disable and auto read back (their effect on carriers is in link.vf_follows), and disable stops traffic."""
    vf = VfEnd(0)
    for word in ("enable", "disable", "auto"):
        vf_set(f"state {word}")
        equal(info()["link_state"], word, "link state that reads back")
        if word == "disable":
            vf.link.wait_carrier(False)
            equal(ping(vf.address4, ns=wire.ns, count=1, check=False, seconds=1), 0, "answered pings of a disabled VF")
    vf.link.wait_carrier(True)
    ping(wire.far4, ns=vf.ns)


def throughput(vf, seconds=4.0):
    """Mbit/s that come out of the wire while the VF sends as fast as it can."""
    frame, injector = raw_frame(wire.far.mac, vf.link.mac, b"rate", size=1514), Injector(vf.link)
    injector.socket.settimeout(0.2)
    start, before = time.monotonic(), wire.far.stats()["rx"]["bytes"]
    while time.monotonic() - start < seconds:
        try:
            injector.send(*[frame] * 8)
        except (TimeoutError, OSError):
            pass
    return (wire.far.stats()["rx"]["bytes"] - before) * 8 / (time.monotonic() - start) / 1e6


@case
def rate():
    """max_tx_rate bounds what the VF sends, reads back, and 0 takes the bound away; min over max is refused."""
    vf = VfEnd(0)
    free = throughput(vf)
    # Far less than a slow kernel sends, and more than the burst that is let through at first.
    bound = 2
    vf_set(f"max_tx_rate {bound}")
    defer(vf_set, "max_tx_rate 0")
    equal(info()["rate"]["max_tx"], bound, "rate that reads back")
    bounded = throughput(vf)
    note(f"{free:.1f} Mbit/s without a bound, {bounded:.1f} with one of {bound}")
    at_most(bounded, 1.5 * bound, f"Mbit/s with a bound of {bound}")
    at_least(bounded, 0.2 * bound, f"Mbit/s with a bound of {bound}")
    at_least(free, 2 * bounded, "Mbit/s without a bound (else the bound was not what held it)")
    fails(vf_set("min_tx_rate 20 max_tx_rate 10", check=False), "a least rate over the highest")
    vf_set("max_tx_rate 0")
    equal(info()["rate"]["max_tx"], 0, "rate after it was taken away")
    at_least(throughput(vf), 2 * bounded, "Mbit/s after the bound was taken away")


@case
def settings_survive():
    """Settings hold over a reset of the PF and of the VF, and are gone when the VFs are made anew."""
    vf_set("vlan 70 qos 2", 1)
    vf_set("spoofchk off", 1)
    vf_set("max_tx_rate 100", 1)
    before = info(1)
    PF().vf(1).write("reset", 1)
    equal(info(1)["vlan_list"], before["vlan_list"], "VLAN after a reset of the VF")
    PF().write("reset", 1)
    wire.near.wait_carrier()
    after = info(1)
    for key in ("vlan_list", "spoofchk", "rate"):
        equal(after[key], before[key], f"{key} after a reset of the PF")
    PF().set_vfs(2)
    fresh = info(1)
    equal((fresh["spoofchk"], fresh["rate"]["max_tx"]), (True, 0), "spoof check and rate of new VFs")
    equal(ip(["link", "show", "dev", wire.near.name]).out.count("vlan 70"), 0, "VLAN of new VFs")


main()
