#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Random rules into tunnels and out of them: what the device does is what software does, byte for byte, with the same counters (`lib.trial`)."""

# sets: quick
# quick: into_tunnels out_of_tunnels
# vm: PORTS=1 MEM=4G

from dataclasses import replace

from lib import case, defer, ip, main, setup, sh
from lib.namespace import sysctl
from lib.outer import GENEVE, VXLAN, Outer, inner_of, settled
from lib.rule_maker import Maker, Way
from lib.stage import Stage
from lib.trial import Trial, watch_the_rest

# Another far end than that of the wire.
OTHER = {4: "192.0.2.3", 6: "2001:db8::3"}
DEVICES = {"vx": f"vxlan dstport {VXLAN}", "gnv": f"geneve dstport {GENEVE}", "gre4": "gretap", "gre6": "ip6gretap"}
# Kind of tunnel, and version of IP around it.
TUNNELS = {("vxlan", 4): "vx", ("geneve", 4): "gnv", ("gretap", 4): "gre4", ("gretap", 6): "gre6", ("vxlan", 6): "vx", ("geneve", 6): "gnv"}
OPTIONS = {"0102:80:0a0b0c0d": bytes.fromhex("010280010a0b0c0d"), "0103:01:0000000100000002": bytes.fromhex("010301020000000100000002")}
IDS = (5, 6, 7)

INTO = Way(mixed=True, chained=True)
OUT = Way("dev TUN ingress", mixed=True, chained=True, origins=("wire",), targets=("R1", "R2", "R2", "WIRE"), rare=True)
# Rules of the wire port are asked first.
WIRE_FIRST = replace(
    OUT,
    before=(
        "filter add dev WIRE ingress pref 1 protocol ip flower {} ip_ttl 3 action drop",
        "filter add dev WIRE ingress pref 2 protocol ipv6 flower {} ip_ttl 3 action mirred egress redirect dev R2",
        "filter add dev WIRE ingress pref 3 protocol ip flower {} ip_tos 4 action mirred egress redirect dev R1",
    ),
)
stage = None


class TunnelStage(Stage):
    """One on which a frame of the trial can be within another."""

    def mine(self, frame):
        inner = inner_of(frame)
        return super().mine(frame if inner is None else frame[inner:])

    def settled(self, frame):
        return settled(frame)


@setup
def topology():
    global stage
    for module in ("vxlan", "geneve", "ip_gre", "ip6_gre", "act_tunnel_key"):
        sh(["modprobe", module])
    stage = TunnelStage(3)
    watch_the_rest(stage)
    near = stage.wire.near
    sysctl(f"net.ipv6.conf.{near.name}.disable_ipv6", 0)
    near.address(f"{stage.wire.near4}/24", f"{stage.wire.near6}/64")
    for far in (stage.wire.far4, stage.wire.far6, *OTHER.values()):
        ip(f"neigh replace {far} lladdr {stage.wire.far.mac} dev {near.name} nud permanent")
        defer(ip, f"neigh del {far} dev {near.name}", check=False)
    for name, kind in DEVICES.items():
        stage.add_hooked(name, f"type {kind} external")


class TunnelMaker(Maker):
    """For a kind of tunnel over a version of IP, which the seed chooses."""

    def __init__(self, seed, way):
        super().__init__(seed, way)
        self.kind, self.version = self.pick([*TUNNELS])
        stage.names["TUN"] = TUNNELS[self.kind, self.version]
        self.near, far = stage.wire.addresses(self.version)
        self.far = (far, OTHER[self.version])
        self.port = {"vxlan": VXLAN, "geneve": GENEVE}.get(self.kind)

    def some(self, percent, *words):
        return [" ".join(words)] if self.chance(percent) else []


class Into(TunnelMaker):
    """VF 0 sends into tunnels."""

    def endings(self, chain):
        port = f"dst_port {self.port}" if self.port else "nocsum"
        words = [f"src_ip {self.near} dst_ip {self.pick(self.far)} id {self.pick(IDS)} {port}"]
        # Software sends Geneve with a TTL of zero where the rule has none, and the device with the route's.
        words += self.some(30, "tos", self.pick(["4", "0xfc"])) + self.some(100 if self.kind == "geneve" else 50, "ttl", self.pick(["9", "64"]))
        if self.kind == "geneve":
            words += self.some(50, "geneve_opts", self.pick([*OPTIONS, ",".join(OPTIONS)]))
        set_ = f"action tunnel_key set {' '.join(words)} pipe"
        into = f"{set_} action mirred egress redirect dev TUN"
        twice = f"{set_} action mirred egress mirror dev TUN pipe action mirred egress redirect dev {self.pick(['TUN', 'R1'])}"
        return [into] * 8 + [twice] * 2 + super().endings(chain)


class Out(TunnelMaker):
    """Frames come out of tunnels."""

    def key(self, protocol):
        words = self.some(95, "enc_dst_ip", self.near)
        words += self.some(60, f"enc_src_ip {self.far[0]}/{self.pick([24, 31, 32]) if self.version == 4 else self.pick([64, 127, 128])}")
        words += self.some(60, "enc_key_id", str(self.pick(IDS)))
        words += self.some(20, "enc_tos", self.pick(["0/0xfc", "4/0xfc"])) + self.some(20, "enc_ttl", self.pick(["64", "3"]))
        if self.port:
            words += self.some(40, f"enc_dst_port {self.port}")
        if self.kind == "geneve":
            words += self.some(30, "geneve_opts", self.pick([*OPTIONS]))
        return " ".join([*words, super().key(protocol)])

    def actions(self, protocol, chain):
        return " ".join([*self.some(60, "action tunnel_key unset pipe"), super().actions(protocol, chain)])

    def frames(self):
        return [self.outer().around(inner) for inner in super().frames()]

    def outer(self):
        options = b"".join(self.pick([[], [], *[[one] for one in OPTIONS.values()], list(OPTIONS.values())])) if self.kind == "geneve" else b""
        macs = (stage.wire.far.mac, stage.wire.near.mac)
        ends = (self.pick(self.far), self.near)
        return Outer(self.kind, macs, ends, self.pick(IDS), self.pick([0, 0, 4]), self.pick([64, 64, 3]), 40000 + self.number(), options)


@case
def into_tunnels():
    """Rules of a representor that send into tunnels; identification, source port and flow label are each sender's own."""
    Trial(stage, INTO, Into).rounds()


@case
def out_of_tunnels():
    """Rules of tunnel devices."""
    Trial(stage, OUT, Out).rounds()


@case
def behind_rules_of_the_wire():
    """The same behind rules of the wire port, which take some of the packets as they came."""
    Trial(stage, WIRE_FIRST, Out).rounds(0.5)


main()
