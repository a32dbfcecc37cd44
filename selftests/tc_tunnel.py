#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Tunnels in the device, between a VF and a stock tunnel device at the far end of the wire: rules on tunnel netdevs and tunnel_key set."""

# sets: quick
# quick: vxlan vxlan_after_reset geneve_options refusals
# vm: PORTS=1 MEM=4G

from lib import PF, Capture, Injector, VfEnd, case, defer, equal, fails, ip, main, ping, setup, sh, tcp, true, until
from lib.eswitch import offloading_wire, switchdev
from lib.link import Link
from lib.outer import Outer
from lib.packet import raw_frame
from lib.tc import FRESH, clsact, filter_add, filter_del, in_hw
from lib.tc import packets as action_packets

PORTS = {"vxlan": 4789, "geneve": 6081}
INNER4, INNER6 = ("198.51.100.1", "198.51.100.2"), ("2001:db8:100::1", "2001:db8:100::2")
ID = 100
wire = None


@setup
def topology():
    global wire
    wire = offloading_wire()
    for module in ("vxlan", "geneve", "ip_gre", "ip6_gre", "act_tunnel_key"):
        sh(["modprobe", module])


def packets(link):
    """Packets that the device has counted for the rule of a netdev. Its first action, tunnel_key, shows none: the kernel's has no place for them."""
    return action_packets(link, 1, action=1)


def counted(link, wanted):
    until(lambda: packets(link) >= wanted, f"{wanted} packets counted on {link}", FRESH)


class Tunnel:
    """A VF whose frames go into a tunnel by rules, and a stock tunnel device at the far end that has the VF's subnet."""

    def __init__(self, kind, ends=None, key="", near_device="", far_device="", set_options=""):
        self.kind = kind
        self.near, self.far = ends or (wire.near4, wire.far4)
        (self.rep,) = switchdev(1)
        self.vf = VfEnd(0)
        self.rep.wait_carrier()
        self.netdev = self._near(near_device)
        self.there = self._far(far_device)
        clsact(self.rep, self.netdev)
        self.set_options, self.key = set_options, key
        self.vf.link.address(f"{INNER4[0]}/24", f"{INNER6[0]}/64")
        self.vf.link.ip("mtu 1400")

    def _near(self, options):
        type_ = "ip6gretap" if self.kind == "gretap" and ":" in self.near else self.kind
        port = f"dstport {PORTS[self.kind]}" if self.kind in PORTS else ""
        ip(f"link add tun0 type {type_} {port} external {options}")
        defer(ip, "link del tun0", check=False)
        ip("link set tun0 up")
        return Link("tun0")

    def _far(self, options):
        six = ":" in self.near
        type_ = "ip6gretap" if self.kind == "gretap" and six else self.kind
        words = {
            "vxlan": f"id {ID} local {self.far} remote {self.near} dstport 4789",
            "geneve": f"id {ID} remote {self.near}",
            "gretap": f"key {ID} local {self.far} remote {self.near}",
        }[self.kind]
        if six:
            words += {"vxlan": " udp6zerocsumrx", "geneve": " udp6zerocsumrx"}.get(self.kind, " encaplimit none")
        ip(f"link add there type {type_} {words} {options}", ns=wire.ns)
        defer(ip, "link del there", ns=wire.ns, check=False)
        there = Link("there", wire.ns)
        there.ip("mtu 1400")
        there.ip("up")
        there.address(f"{INNER4[1]}/24", f"{INNER6[1]}/64")
        return there

    def encap(self, **options):
        """The VF's frames into the tunnel."""
        port = f"dst_port {PORTS[self.kind]}" if self.kind in PORTS else ""
        set_ = f"action tunnel_key set src_ip {self.near} dst_ip {self.far} id {ID} {port} {self.set_options}"
        return filter_add(self.rep, ("pref 1 protocol all", f"{set_} action mirred egress redirect dev tun0"), **options)

    def decap(self):
        """The tunnel's frames to the VF. The kernel takes no skip_sw on tunnel devices."""
        port = f"enc_dst_port {PORTS[self.kind]}" if self.kind in PORTS else ""
        key = f"enc_src_ip {self.far} enc_dst_ip {self.near} enc_key_id {ID} {port} {self.key}"
        return filter_add(self.netdev, ("pref 1 protocol all", f"{key} action tunnel_key unset action mirred egress redirect dev {self.rep.name}"), flags="")

    def both(self):
        self.encap()
        self.decap()
        equal([in_hw(link, 1) for link in (self.rep, self.netdev)], [True, True], "in_hw")
        # The neighbour is asked for by the driver; until it is known frames go up.
        until(lambda: ping(INNER4[1], ns=self.vf.ns, count=1, check=False, seconds=1) == 1, "the VF reaches the far end of the tunnel")

    def mine(self, parsed):
        """Frames from or to the VF."""
        return self.vf.link.mac in (parsed.source, parsed.destination)

    def talk(self):
        """Ping and TCP both ways through rules, which count, and the CPU sees nothing of it."""
        self.both()
        self.is_silent()

    def is_silent(self):
        """The same with the rules that are there; what they count goes on."""
        before = [packets(link) for link in (self.rep, self.netdev)]
        captures = [Capture(link) for link in (self.rep, self.netdev)]
        outer = Capture(wire.near)
        ping(INNER4[1], ns=self.vf.ns, count=10)
        ping(INNER6[0], ns=wire.ns)
        tcp(INNER4[1], server_ns=wire.ns, client_ns=self.vf.ns, size="8M")
        tcp(INNER6[1], server_ns=wire.ns, client_ns=self.vf.ns, size="4M", reverse=True)
        for capture in captures:
            capture.expect_none("a frame of the VF", self.mine, 0.5)
        mac = bytes.fromhex(self.vf.link.mac.replace(":", ""))
        outer.expect_none("a tunnelled frame of the VF", lambda p: mac in p.frame, 0.5)
        for link, was in zip((self.rep, self.netdev), before, strict=True):
            counted(link, was + 50)


@case
def vxlan():
    """VXLAN over IPv4."""
    Tunnel("vxlan").talk()


@case
def geneve():
    """Geneve over IPv4."""
    Tunnel("geneve").talk()


def after_reset(kind):
    tunnel = Tunnel(kind)
    tunnel.talk()
    before = [packets(link) for link in (tunnel.rep, tunnel.netdev)]
    PF().write("reset", 1)

    def is_back():
        ping(INNER4[1], ns=tunnel.vf.ns, count=1, check=False, seconds=1)
        return packets(tunnel.rep) > before[0] and packets(tunnel.netdev) > before[1]

    until(is_back, "both rules count more than before the reset", 30)
    tunnel.is_silent()
    equal([in_hw(link, 1) for link in (tunnel.rep, tunnel.netdev)], [True, True], "in_hw")


@case
def vxlan_after_reset():
    """After a reset the device has headers, the port of the tunnel and rules again, with what they have counted."""
    after_reset("vxlan")


@case
def geneve_after_reset():
    """The same with Geneve."""
    after_reset("geneve")


@case
def gretap():
    """Ethernet over GRE with a key, over IPv4."""
    Tunnel("gretap", set_options="nocsum ttl 64").talk()


@case
def vxlan_over_ipv6():
    """VXLAN over IPv6."""
    Tunnel("vxlan", (wire.near6, wire.far6)).talk()


@case
def geneve_over_ipv6():
    """Geneve over IPv6."""
    Tunnel("geneve", (wire.near6, wire.far6)).talk()


@case
def gretap_over_ipv6():
    """Ethernet over GRE with a key, over IPv6."""
    Tunnel("gretap", (wire.near6, wire.far6), set_options="nocsum ttl 64").talk()


@case
def over_vlan():
    """VXLAN over a VLAN device above the wire port; untagged, the same frames are software's, to which an address of the host is its own anywhere."""
    near, far = "203.0.113.1", "203.0.113.2"
    for link, address in ((wire.near, near), (wire.far, far)):
        ip(f"link add link {link.name} name under7 type vlan id 7", ns=link.ns)
        defer(ip, "link del under7", ns=link.ns, check=False)
        ip("link set under7 up", ns=link.ns)
        ip(f"addr add {address}/24 dev under7", ns=link.ns)
    tunnel = Tunnel("vxlan", (near, far))
    tunnel.talk()
    before = packets(tunnel.netdev)
    capture = Capture(tunnel.vf.link)
    body = b"not in the VLAN"
    Injector(wire.far).send(outer_frame(tunnel, raw_frame(tunnel.vf.link.mac, tunnel.there.mac, body)))
    capture.expect("the frame that came untagged", with_body(body))
    Injector(wire.far).send(outer_frame(tunnel, raw_frame(tunnel.vf.link.mac, tunnel.there.mac, body), [(0x8100, 7)]))
    capture.expect("the frame that came tagged", with_body(body))
    counted(tunnel.netdev, before + 1)
    equal(packets(tunnel.netdev), before + 1, "packets that the device took out of the tunnel")


def outer_frame(tunnel, inner, tags=(), group=None, target=None, options=b""):
    """A frame in the tunnel as the far end would send it, or to another hardware address."""
    macs = (wire.far.mac, target or wire.near.mac)
    return Outer(tunnel.kind, macs, (tunnel.far, tunnel.near), ID, options=options, group=group, tags=tags).around(inner)


def sent(tunnel, body=b"into the tunnel"):
    """The VF sends a frame."""
    Injector(tunnel.vf.link).send(raw_frame(tunnel.there.mac, tunnel.vf.link.mac, body))


def with_body(body=b"into the tunnel"):
    return lambda parsed: body in parsed.frame


def udp_to(port):
    return lambda parsed: bool(parsed.ports) and parsed.ports[1] == port


@case
def geneve_options():
    """Options are put into the header as asked, and a rule that asks for them takes no frame with others."""
    tunnel = Tunnel("geneve", set_options="geneve_opts 0102:80:0a0b0c0d", key="geneve_opts 0102:80:0a0b0c0d")
    tunnel.encap()
    tunnel.decap()
    capture = Capture(wire.far)
    until(lambda: sent(tunnel) or capture.frames(udp_to(6081), 1, 1), "a frame in the tunnel")
    sent(tunnel)
    found = capture.expect("a Geneve frame", udp_to(6081))[0]
    equal(found.payload[:16].hex(), "02006558" + f"{ID << 8:08x}" + "010280010a0b0c0d", "Geneve header")
    theirs = Capture(tunnel.vf.link)
    inner = raw_frame(tunnel.vf.link.mac, tunnel.there.mac, b"with options")

    def injected(option):
        Injector(wire.far).send(outer_frame(tunnel, inner, options=bytes.fromhex(option)))

    injected("010280010a0b0c0e")
    theirs.expect_none("a frame with another option", with_body(b"with options"), 0.5)
    injected("010280010a0b0c0d")
    theirs.expect("a frame with the option", with_body(b"with options"))


def as_in_software(tunnel, set_, udp=None):
    """What the VF sends has the same outer addresses and port from the device as from software."""
    ip(f"neigh replace {tunnel.far} lladdr {wire.far.mac} dev {wire.near.name} nud permanent")
    defer(ip, f"neigh del {tunnel.far} dev {wire.near.name}", check=False)
    seen = []
    for flags in ("skip_hw", "skip_sw"):
        capture = Capture(wire.far)
        filter_add(tunnel.rep, ("pref 1 protocol all", f"action tunnel_key set {set_} action mirred egress redirect dev tun0"), flags=flags)
        sent(tunnel)
        found = capture.expect(f"a frame in the tunnel with {flags}", with_body())[0]
        seen.append((found.frame[14:][(8 if ":" in tunnel.near else 12):][:(32 if ":" in tunnel.near else 8)].hex(), udp and found.ports[1]))
        filter_del(tunnel.rep, "pref 1")
    equal(seen[1], seen[0], "outer addresses and port of the device, and of software")
    return seen[0]


@case
def port_of_geneve():
    """A geneve device sends to its own port, also where a rule names another one."""
    tunnel = Tunnel("geneve")
    equal(as_in_software(tunnel, f"src_ip {tunnel.near} dst_ip {tunnel.far} id {ID} dst_port 6082 ttl 64", udp=True)[1], 6081, "port")


@case
def source_of_gretap_over_ipv6():
    """An ip6gretap device chooses the source address by itself, also where a rule names another one of the host's."""
    tunnel = Tunnel("gretap", (wire.near6, wire.far6))
    ip("addr add 2001:db8:7::7/128 dev lo")
    defer(ip, "addr del 2001:db8:7::7/128 dev lo", check=False)
    as_in_software(tunnel, f"src_ip 2001:db8:7::7 dst_ip {tunnel.far} id {ID} nocsum ttl 64")


@case
def above_another_device():
    """What is sent into an external device goes where the routes lead, not by way of the device that it was made above."""
    ip("link add apart type dummy")
    defer(ip, "link del apart", check=False)
    ip("link set apart up")
    tunnel = Tunnel("vxlan", near_device="dev apart")
    as_in_software(tunnel, f"src_ip {tunnel.near} dst_ip {tunnel.far} id {ID} dst_port 4789 ttl 64", udp=True)


@case
def vxlan_group():
    """The group of a VXLAN-GBP header is written and matched."""
    tunnel = Tunnel("vxlan", near_device="gbp", far_device="gbp", set_options="vxlan_opts 4660", key="vxlan_opts 4660")
    tunnel.encap()
    tunnel.decap()
    capture = Capture(wire.far)
    until(lambda: sent(tunnel) or capture.frames(udp_to(4789), 1, 1), "a frame in the tunnel")
    sent(tunnel)
    found = capture.expect("a VXLAN frame", udp_to(4789))[0]
    equal(found.payload[:4].hex(), "88001234", "VXLAN flags and group")
    theirs = Capture(tunnel.vf.link)
    inner = raw_frame(tunnel.vf.link.mac, tunnel.there.mac, b"of a group")
    Injector(wire.far).send(outer_frame(tunnel, inner, group=0x1235))
    theirs.expect_none("a frame of another group", with_body(b"of a group"), 0.5)
    Injector(wire.far).send(outer_frame(tunnel, inner, group=0x1234))
    theirs.expect("a frame of the group", with_body(b"of a group"))


@case
def neighbour_changes():
    """When the far end's hardware address changes, not one frame is sent to the old one any more; when it is lost, none is sent."""
    tunnel = Tunnel("vxlan")
    tunnel.both()
    defer(ip, f"neigh flush dev {wire.near.name}", check=False)
    old, new = wire.far.mac, "02:00:00:00:00:99"
    for address in (new, old, new):
        ip(f"neigh replace {tunnel.far} lladdr {address} dev {wire.near.name} nud permanent")
        capture = Capture(wire.far)
        until(lambda: sent(tunnel) or capture.frames(lambda p: with_body()(p) and p.destination == address, 1, 0.5), f"a frame to {address}")
        capture = Capture(wire.far)
        for _ in range(50):
            sent(tunnel)
        found = capture.expect("frames", with_body(), 50)
        equal({parsed.destination for parsed in found}, {address}, "where frames are sent to")
    ip(f"neigh del {tunnel.far} dev {wire.near.name}")
    wire.far.ip("arp off")
    defer(wire.far.ip, "arp on")
    up = Capture(tunnel.rep)
    until(lambda: sent(tunnel) or up.frames(with_body(), 1, 0.5), "a frame that goes up while there is no neighbour")
    capture = Capture(wire.far)
    for _ in range(20):
        sent(tunnel)
    capture.expect_none("a frame while there is no neighbour", with_body(), 0.5)
    wire.far.ip("arp on")
    until(lambda: ping(INNER4[1], ns=tunnel.vf.ns, count=1, check=False, seconds=1) == 1, "the VF reaches the far end again", 30)


@case
def route_changes():
    """A route to a gateway sends frames there; without any route they go up."""
    tunnel = Tunnel("vxlan", (wire.near4, "203.0.113.77"))
    tunnel.encap()
    up = Capture(tunnel.rep)
    sent(tunnel)
    up.expect("the frame while there is no route", with_body())
    gateways = {f"192.0.2.{host}": f"02:00:00:00:00:{host:02x}" for host in (66, 67)}
    for address, mac in gateways.items():
        ip(f"neigh replace {address} lladdr {mac} dev {wire.near.name} nud permanent")
        defer(ip, f"neigh del {address} dev {wire.near.name}", check=False)
    defer(ip, "route del 203.0.113.77", check=False)
    for address, mac in gateways.items():
        ip(f"route replace 203.0.113.77 via {address}")
        capture = Capture(wire.far)
        until(lambda: sent(tunnel) or capture.frames(lambda p: with_body()(p) and p.destination == mac, 1, 0.5), f"a frame to {mac}")
        capture = Capture(wire.far)
        for _ in range(20):
            sent(tunnel)
        equal({p.destination for p in capture.expect("frames", with_body(), 20)}, {mac}, "where frames are sent to")
    ip("route del 203.0.113.77")
    until(lambda: sent(tunnel) or up.frames(with_body(), 1, 0.5), "a frame that goes up")


@case
def address_goes():
    """Frames to an address that the host does not have any more stay in their tunnel; when it is back they do not."""
    tunnel = Tunnel("vxlan", ("203.0.113.1", wire.far4))
    ip(f"addr add 203.0.113.1/32 dev {wire.near.name}")
    defer(ip, f"addr del 203.0.113.1/32 dev {wire.near.name}", check=False)
    tunnel.decap()
    theirs = Capture(tunnel.vf.link)
    inner = raw_frame(tunnel.vf.link.mac, tunnel.there.mac, b"out of the tunnel")
    injector, mac = Injector(wire.far), wire.near.mac

    def opened():
        injector.send(outer_frame(tunnel, inner, target=mac))
        return bool(theirs.frames(with_body(b"out of the tunnel"), 1, 0.3))

    until(opened, "a frame comes out of the tunnel")
    ip(f"addr del 203.0.113.1/32 dev {wire.near.name}")
    until(lambda: not opened(), "frames stay in the tunnel")
    ip(f"addr add 203.0.113.1/32 dev {wire.near.name}")
    until(opened, "a frame comes out of the tunnel again")
    defer(wire.near.ip, f"address {mac}", check=False)
    wire.near.ip("address 02:00:00:00:00:55")
    until(lambda: not opened(), "frames to the hardware address of another host stay in the tunnel")
    mac = wire.near.mac
    until(opened, "a frame comes out of the tunnel at the new hardware address")


@case
def closed_and_opened():
    """A tunnel device that is closed neither sends nor receives in the device; opened again it does both, behind a reset too."""
    tunnel = Tunnel("vxlan")
    tunnel.both()
    theirs, out, up = Capture(tunnel.vf.link), Capture(wire.far), Capture(tunnel.rep)
    inner = raw_frame(tunnel.vf.link.mac, tunnel.there.mac, b"out of the tunnel")
    injector = Injector(wire.far)

    def goes_up():
        sent(tunnel)
        return bool(up.frames(with_body(), 1, 0.3))

    def opened():
        injector.send(outer_frame(tunnel, inner))
        return bool(theirs.frames(with_body(b"out of the tunnel"), 1, 0.3))

    def is_closed():
        until(goes_up, "a frame goes up while the tunnel device is closed", 30)
        out.frames(with_body(), 1, 0.3)
        sent(tunnel)
        out.expect_none("a frame in the tunnel", with_body(), 0.5)
        true(not opened(), "no frame comes out of the tunnel")

    tunnel.netdev.ip("down")
    is_closed()
    tunnel.netdev.ip("up")
    until(opened, "a frame comes out of the tunnel")
    until(lambda: ping(INNER4[1], ns=tunnel.vf.ns, count=1, check=False, seconds=1) == 1, "the VF reaches the far end again")
    tunnel.netdev.ip("down")
    PF().write("reset", 1)
    is_closed()
    tunnel.netdev.ip("up")
    until(opened, "a frame comes out of the tunnel behind a reset", 30)


@case
def without_skip_sw():
    """Rules that software has too do the same, and packets that no rule takes are the tunnel device's."""
    tunnel = Tunnel("vxlan")
    tunnel.encap(flags="")
    tunnel.decap()
    equal([in_hw(link, 1) for link in (tunnel.rep, tunnel.netdev)], [True, True], "in_hw")
    until(lambda: ping(INNER4[1], ns=tunnel.vf.ns, count=1, check=False, seconds=1) == 1, "the VF reaches the far end")
    counted(tunnel.netdev, 1)
    filter_del(tunnel.netdev, "pref 1")
    capture = Capture(tunnel.netdev)
    Injector(wire.far).send(outer_frame(tunnel, raw_frame(tunnel.vf.link.mac, tunnel.there.mac, b"without a rule")))
    capture.expect("the frame on the tunnel device", with_body(b"without a rule"))


@case
def refusals():
    """What cannot be done is refused with its reason."""
    tunnel = Tunnel("vxlan")
    to_vf = f"action mirred egress redirect dev {tunnel.rep.name}"

    def refused(what, why, link, rule, flags):
        """Refused with the reason; on a tunnel device the rule then is in software, and the reason is a warning."""
        result = filter_add(link, ("pref 1 protocol all", rule), flags=flags, check=False)
        if flags == "skip_sw":
            fails(result, what, why)
            return
        true(why in result.text, f"{what}: told '{result.text}'")
        equal(in_hw(link, 1), False, f"{what}: in_hw")
        filter_del(link, "pref 1")

    refused("a rule without the host's address", "enc_dst_ip", tunnel.netdev, f"enc_key_id 5 {to_vf}", "verbose")
    refused("a rule about an address of nobody", "wire port", tunnel.netdev, f"enc_dst_ip 203.0.113.9 enc_key_id 5 {to_vf}", "verbose")
    ip("addr add 203.0.113.8/32 dev lo")
    defer(ip, "addr del 203.0.113.8/32 dev lo")
    refused("an address that leads nowhere", "wire port", tunnel.netdev, f"enc_dst_ip 203.0.113.8 enc_key_id 5 {to_vf}", "verbose")
    refused("a key of tunnels on a representor", "outer headers", tunnel.rep, "enc_dst_ip 192.0.2.1 action drop", "skip_sw")
    set_, out = "action tunnel_key set src_ip 192.0.2.1 dst_ip 192.0.2.2 id 5 dst_port 4789", "action mirred egress redirect dev"
    refused("a tunnel device without tunnel_key set", "tunnel_key set", tunnel.rep, f"{out} tun0", "skip_sw")
    ip("link add tun1 type vxlan id 5 dstport 4790 local 192.0.2.1 remote 192.0.2.2")
    defer(ip, "link del tun1", check=False)
    refused("tunnel_key set for a device of its own id", "external", tunnel.rep, f"{set_} {out} tun1", "skip_sw")
    refused("Geneve options in VXLAN", "options", tunnel.rep, f"{set_} geneve_opts 0102:80:0a0b0c0d {out} tun0", "skip_sw")
    ip("link add apart type dummy")
    defer(ip, "link del apart", check=False)
    ip("link set apart up")
    ip("addr add 203.0.113.65/28 dev apart")
    elsewhere = set_.replace("192.0.2.1", "203.0.113.65").replace("192.0.2.2", "203.0.113.66")
    refused("a tunnel by way of another device", "wire port", tunnel.rep, f"{elsewhere} {out} tun0", "skip_sw")


@case
def device_goes():
    """A tunnel device that goes leaves nothing behind, and a VF's frames are not sent into it any more."""
    tunnel = Tunnel("vxlan")
    tunnel.both()
    ip("link del tun0")
    capture, up = Capture(wire.far), Capture(tunnel.rep)
    for _ in range(10):
        sent(tunnel)
    up.expect("frames that go up", with_body(), 10)
    capture.expect_none("a frame in the tunnel", udp_to(4789), 0.5)
    true(packets(tunnel.rep) >= 1, "the rule is still there")


main()
