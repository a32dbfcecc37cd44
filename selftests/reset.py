#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Resets under traffic: by the user, by the device, after a halt, after a transmit time-out; traffic resumes each time."""

# sets: quick
# alone: transmit_timeout lost_completion lost_interrupt command_silent given_up given_up_and_unloaded
# vm: PORTS=1

import fcntl
import itertools
import os
import socket
import struct
import termios
import time

from lib import PF, Control, Failure, Stream, VfEnd, Wire, at_least, case, defer, equal, ip, main, note, ping, setup, sh, skip, true, until
from lib.namespace import open_socket
from lib.pace import slow

SO_SNDBUFFORCE = 32
wire = control = None


@setup
def topology():
    global wire, control
    wire = Wire()
    control = Control()
    defer(control.close)
    defer(control.chaos, "off")


def function(number=0):
    return control.function(number)


def running():
    return Stream(wire.near, wire.far, wire.near4, wire.far4)


def timeouts():
    """Transmit time-outs that the kernel has counted."""
    return sum(int(wire.near.read(f"queues/tx-{n}/tx_timeout") or 0) for n in range(wire.near.queues()[1]))


def after(stream, what):
    took = stream.resumes()
    note(f"traffic resumed {took:.1f} s after {what}")


@case
def by_the_user():
    """`echo 1 > reset`, five times under traffic: the function is really reset and traffic resumes."""
    stream = running()
    for _ in range(5):
        before = function()["generation"]
        PF().write("reset", 1)
        at_least(function()["generation"], before + 1, "generation of the function")
        after(stream, "a reset by the user")
    equal(wire.near.carrier(), True, "carrier")


@case
def while_down():
    """A reset while the netdev is down leaves it down, and it comes up afterwards."""
    wire.near.down()
    defer(wire.near.up)
    PF().write("reset", 1)
    equal("UP" in wire.near.show()["flags"], False, "the netdev is up after a reset while it was down")
    wire.near.up()
    ping(wire.far4)


@case
def configuration_holds():
    """Address, MTU, channels, rings, hash key, filters and VLANs are as before a reset."""
    wire.near.set_mtu(4000)
    wire.near.ethtool("-L", "combined 2", check=False)
    defer(wire.near.ethtool, "-L", "combined 4", check=False)
    sh(f"ip link add link {wire.near.name} name vl9 type vlan id 9")
    defer(sh, "ip link del vl9")
    views = ("-l", "-g", "-x", "-c", "-k")
    before = [wire.near.ethtool(view, check=False).out for view in views] + [wire.near.mac, str(wire.near.mtu)]
    PF().write("reset", 1)
    wire.near.wait_carrier()
    now = [wire.near.ethtool(view, check=False).out for view in views] + [wire.near.mac, str(wire.near.mtu)]
    for view, old, new in zip((*views, "address", "MTU"), before, now, strict=True):
        equal(new, old, f"{view} after the reset")
    ping(wire.far4)


@case
def asked_by_the_device():
    """The device asks for a reset: the driver makes one by itself and traffic resumes."""
    stream = running()
    for _ in range(3):
        before = function()["generation"]
        control.do("reset-request")
        until(lambda: function()["generation"] > before, "the driver resets the function", 30)  # noqa: B023
        after(stream, "a reset that the device asked for")


@case
def halted():
    """The operator halts the function: the driver notices, resets it, and traffic resumes."""
    stream = running()
    for reason in (7, 8):
        before = function()["generation"]
        control.do("halt", function=0, reason=reason)
        until(lambda: function()["generation"] > before, "the driver resets the halted function", 60)  # noqa: B023
        after(stream, f"a halt with reason {reason}")
    equal(function()["halted"], False, "the function is halted")


@case
def vf_halted():
    """A halted VF comes back by itself; PF and other VFs do not notice."""
    PF().with_vfs(2)
    one, two = VfEnd(0), VfEnd(1)
    stream = running()
    generation = function()["generation"]
    before = function(1)["generation"]
    control.do("halt", function=1, reason=7)
    ping(wire.far4, ns=two.ns, count=5)
    until(lambda: function(1)["generation"] > before, "the driver resets the halted VF", 60)
    one.link.wait_carrier()
    until(lambda: ping(wire.far4, ns=one.ns, count=1, check=False, seconds=1) == 1, "the VF reaches the wire", 30)
    equal(function()["generation"], generation, "generation of the PF")
    after(stream, "a VF's halt")


@case
def address_given_meanwhile():
    """The PF gives a halted VF another address: after its reset the VF has that, and is heard."""
    PF().with_vfs(1)
    vf, given = VfEnd(0), "02:00:00:00:77:01"
    ping(wire.far4, ns=vf.ns)
    before = function(1)["generation"]
    control.do("halt", function=1, reason=7)
    sh(f"ip link set dev {wire.near.name} vf 0 mac {given}")
    until(lambda: function(1)["generation"] > before, "the driver resets the halted VF", 60)
    until(lambda: vf.link.mac == given, "the VF has the address that it was given", 10)
    until(lambda: ping(wire.far4, ns=vf.ns, count=1, check=False, seconds=1) == 1, "the VF reaches the wire", 30)


@case
def pf_reset_with_vfs():
    """A reset of the PF with VFs in use: the VFs stay, and all of them work afterwards."""
    PF().with_vfs(3)
    ends = [VfEnd(n) for n in range(3)]
    stream = running()
    PF().write("reset", 1)
    after(stream, "a reset with VFs")
    equal(PF().count(), 3, "VFs after the reset")
    for end in ends:
        until(lambda: ping(wire.far4, ns=end.ns, count=1, check=False, seconds=1) == 1, f"VF {end.index} reaches the wire", 40)  # noqa: B023


@case
def transmit_timeout():
    """Transmit completions that never come: the watchdog fires, the driver recovers, traffic resumes."""
    sh("echo 'oxnic-expect: NETDEV WATCHDOG|transmit queue \\d+ timed out' > /dev/kmsg")
    stream = running()
    before, generation = timeouts(), function()["generation"]
    control.chaos("nic.tx-silent=1+")
    # More than any ring holds: a socket of the usual size would block before the queue is full.
    flood = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    defer(flood.close)
    flood.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, 64 << 20)
    flood.setblocking(False)
    for _ in range(8000):
        try:
            flood.sendto(bytes(1000), (wire.far4, 7))
        except OSError:
            pass
    until(lambda: timeouts() > before or function()["generation"] > generation, "the watchdog fires or the driver resets", 60)
    control.chaos("off")
    after(stream, "a transmit time-out")
    # What was sent between the reset and the fault's end was lost too, and may take a second time-out: not the next case's.
    until(lambda: held(flood) == 0, "the flood's packets are completed or freed", 60)


def held(sender):
    """Bytes of memory that what a socket has sent still takes: its packets were not completed yet."""
    return struct.unpack("i", fcntl.ioctl(sender, termios.TIOCOUTQ, bytes(4)))[0]


def sender_that_meets(fault):
    """A socket whose last datagram has met the fault; its queue is not stopped. And the function's generation before."""
    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    defer(sender.close)
    for _ in range(5):
        # Of the longer one byte queue limits have learnt that the queue has room for more than the shorter.
        for payload in (bytes(1000), bytes(100)):
            until(lambda: held(sender) == 0, "the datagram before is completed")
            if len(payload) == 100:
                generation = function()["generation"]
                control.chaos(f"nic.{fault}=1")
            sender.sendto(payload, (wire.far4, 7))
        time.sleep(1)
        if held(sender):
            return sender, generation
        # It was somebody else's packet. Its queue may have been stopped for it, and the kernel's watchdog finds that: before the next one is sent.
        end = time.monotonic() + (slow(15) if fault == "tx-silent" else 0)
        while time.monotonic() < end and function()["generation"] == generation:
            time.sleep(0.5)
    raise Failure(f"no datagram of five met {fault}")


@case
def lost_completion():
    """The completion of a queue's last packet never comes. No queue is stopped, and yet the sender has its buffer back."""
    ping(wire.far4)
    for _ in range(5):
        sender, generation = sender_that_meets("tx-silent")
        before = timeouts()
        until(lambda: function()["generation"] > generation or not held(sender), "the driver resets the function", 30)  # noqa: B023
        # A reset frees the buffer before it counts. Without one, somebody else has sent on that queue (a neighbour is looked for).
        time.sleep(2)
        if function()["generation"] > generation:
            break
    else:
        raise Failure("each time something else was sent on the queue behind the datagram")
    until(lambda: held(sender) == 0, "the sender's buffer is free")
    equal(timeouts(), before, "time-outs of the kernel's watchdog")
    at_least(sum(n for name, n in wire.near.counters().items() if name.endswith("_stalls")), 1, "stalls that were counted")
    ping(wire.far4)


@case
def lost_interrupt():
    """The interrupt of a queue's last completion never comes: the driver looks by itself, without a reset."""
    ping(wire.far4)
    sender, generation = sender_that_meets("interrupt-lost")
    until(lambda: held(sender) == 0, "the sender's buffer is free", 8)
    equal(function()["generation"], generation, "generation of the function")
    ping(wire.far4)


def late():
    """Polls that the driver has made since something had waited without an interrupt."""
    return sum(n for name, n in wire.near.counters().items() if name.startswith("poll") and name.endswith("_late"))


class Datagrams:
    """One flow from the wire to us, which nothing answers: so its queue sends nothing for which it would be polled."""

    def __init__(self, port):
        self.near = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        defer(self.near.close)
        self.near.bind((wire.near4, port))
        self.far = open_socket(wire.far.ns, socket.AF_INET, socket.SOCK_DGRAM)
        defer(self.far.close)
        self.far.bind((wire.far4, port))
        self.to = (wire.near4, port)

    def send(self, text):
        self.far.sendto(text, self.to)

    def arrives(self, seconds):
        """The next datagram, or None if there is none so soon."""
        self.near.settimeout(seconds)
        try:
            return self.near.recv(100)
        except TimeoutError:
            return None


@case
def lost_interrupt_of_receive():
    """The interrupt of a received packet never comes, on a queue that sends nothing: the driver looks by itself, without a reset."""
    ping(wire.far4)
    flow = Datagrams(7400)
    generation, before = function()["generation"], late()
    for number in range(10):
        text = f"datagram {number}".encode()
        control.chaos("nic.interrupt-lost=1")
        flow.send(text)
        # Else the interrupt of something else was lost. A slow kernel gets no more time, in which the driver would look by itself.
        if flow.arrives(1) is None:
            break
    else:
        raise Failure("no datagram of ten met the fault")
    equal(flow.arrives(slow(8)), text, "the datagram whose interrupt was lost")
    at_least(late(), before + 1, "late polls that were counted")
    flow.send(b"and now")
    equal(flow.arrives(slow(5)), b"and now", "the next datagram")
    equal(function()["generation"], generation, "generation of the function")


@case
def no_interrupt_at_all():
    """While no interrupt comes, commands are answered, the link is followed and packets are taken, all late; nothing is reset."""
    ping(wire.far4)
    flow = Datagrams(7401)
    generation, before = function()["generation"], wire.near.ethtool("-c").out
    defer(wire.near.ethtool, "-C", "adaptive-rx on", check=False)
    defer(control.do, "link", port=0, up=True)
    defer(control.chaos, "off")
    control.chaos("nic.interrupt-lost=1+")
    wire.near.ethtool("-C", "adaptive-rx off")
    true(wire.near.ethtool("-c").out != before, "the setting was not taken")
    for up in (False, True):
        control.do("link", port=0, up=up)
        until(lambda: wire.near.carrier() == up, f"the carrier is {up}", 8)  # noqa: B023
    flow.send(b"without")
    equal(flow.arrives(slow(10)), b"without", "a datagram")
    control.chaos("off")
    until(lambda: ping(wire.far4, count=1, check=False, seconds=1) == 1, "the wire is reached", 20)
    equal(function()["generation"], generation, "generation of the function")


@case
def command_silent():
    """A command that is never answered: its caller gets an error in bounded time, the function is reset, traffic resumes."""
    stream = running()
    sizes = itertools.cycle((128, 256))
    before = 0

    # Not always at the first try: a queue that the case before left standing may have the function reset just now, when ethtool
    # sends no command, and the driver's own commands (statistics) may be the ones that are not answered.
    def unanswered():
        nonlocal before
        before, start = function()["generation"], time.monotonic()
        control.chaos("nic.command-silent=1")
        result = wire.near.ethtool("-G", f"rx {next(sizes)}", check=False)
        took = time.monotonic() - start
        note(f"ethtool had its answer after {took:.1f} s: {result.text or 'done'}")
        return result.status != 0 and took > 0.5

    until(unanswered, "a command is left without an answer and its caller is told", 60, pause=0.5)
    control.chaos("off")
    until(lambda: function()["generation"] > before, "the driver resets the function", 60)
    after(stream, "a command that was not answered")
    wire.near.ethtool("-G", "rx 256")


@case
def flr_of_vf_under_traffic():
    """`echo 1 > reset` of a VF under its own traffic."""
    PF().with_vfs(1)
    vf = VfEnd(0)
    stream = Stream(vf.link, wire.far, vf.address4, wire.far4)
    for _ in range(3):
        vf.function.write("reset", 1)
        after(stream, "a VF's reset")


def give_up():
    """Halt the function until the driver stops reviving it."""
    for _ in range(30):
        before = function()["generation"]
        control.do("halt", function=0, reason=8)
        end = time.monotonic() + 8
        while function()["generation"] == before:
            if time.monotonic() > end:
                return
            time.sleep(0.1)
        time.sleep(0.3)
    true(False, "a function that halts 30 times in a row is given up")


@case
def given_up():
    """A function that halts again and again is given up, under traffic; a user's reset revives it, with what was asked meanwhile."""
    stream = running()
    group, member = "239.1.2.3", socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    defer(member.close)
    member.bind((group, 7402))
    member.settimeout(slow(0.5))
    far = open_socket(wire.far.ns, socket.AF_INET, socket.SOCK_DGRAM)
    defer(far.close)
    far.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(wire.far4))
    give_up()
    # The kernel does not tell a driver whose netdev is detached.
    member.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton(group) + socket.inet_aton(wire.near4))
    PF().write("reset", 1)
    after(stream, "a reset of a function that was given up")

    def heard():
        far.sendto(b"group", (group, 7402))
        try:
            return member.recv(100) == b"group"
        except TimeoutError:
            return False

    until(heard, "a group that was joined while the netdev was detached is received", 10)


@case
def given_up_and_unloaded():
    """A function that was given up under traffic does not hold up rmmod, and works when the driver is loaded again."""
    stream = running()
    give_up()
    sh("rmmod oxnic", seconds=60)
    stream.stop()
    sh(["insmod", os.environ["OXNIC_MODULE"]])
    wire.near = PF().link()
    ip(["address", "replace", f"{wire.near4}/24", "dev", wire.near.name])
    wire.near.up()
    ping(wire.far4)


@case
def reset_methods():
    """The kernel knows FLR as a way to reset the PF and a VF."""
    path = "reset_method"
    if not os.path.exists(f"{PF().path}/{path}"):
        skip("this kernel shows no reset methods")
    true("flr" in PF().read(path), f"reset methods of the PF: {PF().read(path)}")
    vf = PF().with_vfs(1)[0]
    true("flr" in vf.read(path), f"reset methods of a VF: {vf.read(path)}")


main()
