#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""The device's clock and time stamps: read, set and tuned as a PTP clock; frames stamped when they are sent and received."""

# sets: quick
# vm: PORTS=1

import errno
import re
import socket
import threading
import time

from lib import PF, Control, VfEnd, Wire, at_least, at_most, case, defer, equal, fails, main, note, ping, setup, sh, true, until
from lib.clock import SECOND, PtpClock
from lib.stamp import RX_HARDWARE, RX_SOFTWARE, TX_HARDWARE, TX_SOFTWARE, Stamped

PORT = 7000
EVENT_PORT = 319
SYNC = bytes((0x10, 2)) + bytes(42)
FOLLOW_UP = bytes((0x18, 2)) + bytes(42)
wire = None


@setup
def topology():
    global wire
    wire = Wire()


def configure(link, tx="off", rx="none", check=True):
    """Which packets are stamped, until the end of the case."""
    result = link.ethtool("--set-hwtimestamp-cfg", f"tx {tx} rx-filter {rx}", check=check)
    if result.status == 0 and (tx, rx) != ("off", "none"):
        defer(link.ethtool, "--set-hwtimestamp-cfg", "tx off rx-filter none", check=False)
    return result


def configured(link):
    """(tx, rx) as they are."""
    text = link.ethtool("--get-hwtimestamp-cfg").out
    return tuple(re.search(rf"Hardware {what}:\s+(\S+)", text)[1] for what in ("Transmit Timestamp Mode", "Receive Filter Mode"))


def counted(link):
    """Transmit stamps that the driver has counted."""
    found = re.findall(r"(tx_pkts|tx_lost|tx_err): (\d+)", link.ethtool("-I -T").out)
    return {name: int(value) for name, value in found}


def refused(number, function, *arguments):
    """A call that fails with this error."""
    try:
        function(*arguments)
    except OSError as error:
        equal(errno.errorcode.get(error.errno), errno.errorcode[number], f"error of {function.__name__}{arguments}")
        return
    true(False, f"{function.__name__}{arguments} was accepted, and must be refused")


def ordered(stamps, first, last, what):
    """Stamps are in order, and between two readings of the clock."""
    times = [first, *stamps, last]
    true(all(a <= b for a, b in zip(times, times[1:])), f"{what}: in order between {first} and {last}: {stamps}")  # noqa: B905


def send(link, address, count=1, port=PORT, data=b"x" * 100, flags=TX_HARDWARE):
    """Send datagrams one by one to the far end; their stamps."""
    stamps = []
    with Stamped(flags, ns=link.ns) as end, Stamped(0, ns=wire.ns) as sink:
        sink.socket.bind((address, port))
        end.start().socket.connect((address, port))
        for _ in range(count):
            end.socket.send(data)
            stamps += end.sent(1, seconds=5)
    return stamps


def receive(source, source_ns, address, ns, count=1, port=PORT, data=b"x" * 100, flags=RX_HARDWARE, pause=0.0):
    """Receive datagrams that a plain socket sends; their stamps."""
    stamps = []
    with Stamped(flags, ns=ns) as end, Stamped(0, ns=source_ns) as other:
        end.start().socket.bind((address, port))
        other.socket.bind((source, 0))
        for _ in range(count):
            other.socket.sendto(data, (address, port))
            got, stamp = end.received()
            equal(got, data, "data")
            stamps.append(stamp)
            time.sleep(pause)
    return stamps


@case
def clock_runs():
    """The clock goes at the system's rate, and what is read never goes back."""
    clock = PtpClock.of(wire.near)
    equal(clock.name, "oxnic", "name of the clock")
    last = clock.now()
    for _ in range(200):
        now = clock.now()
        at_least(now, last, "the time after another")
        last = now
    rate = clock.rate()
    note(f"{rate} ns of the clock in one of the system")
    at_most(abs(rate - 1), 0.01, "difference of the rates")


@case
def clock_and_system():
    """The kernel's comparison with the system's time: the system's goes on around each reading, and all are in order."""
    samples = PtpClock.of(wire.near).samples(9)
    for before, _, after in samples:
        at_least(after, before, "the system's time after the reading")
    times = [clock for _, clock, _ in samples]
    equal(times, sorted(times), "readings in order")
    true(all(times), "no reading is 0")


@case
def clock_is_set():
    """Time, steps either way, and rates either way do what they say, and can be read back."""
    clock = PtpClock.of(wire.near)
    defer(lambda: clock.set(time.time_ns()))
    defer(clock.tune, 0)
    clock.set(1000 * SECOND)
    at_most(abs(clock.now() - 1000 * SECOND), 10 * SECOND, "distance from the time set")
    for step in (3600 * SECOND, -1800 * SECOND - 5, 7):
        before = clock.now()
        clock.step(step)
        at_least(clock.now(), before + step, f"time after a step of {step} ns")
        at_most(clock.now(), before + step + 10 * SECOND, f"time after a step of {step} ns")
    for parts in (50_000_000, -50_000_000, 0):
        clock.tune(parts)
        at_most(abs(clock.tuned() - parts), 1, "rate read back")
        at_most(abs(clock.rate() - 1 - parts / 1e9), 0.01, f"distance from a rate of {parts} parts in 10^9")


@case
def clock_refuses():
    """Times before 0 or too late and rates beyond the limit are refused, and the clock is as before."""
    clock = PtpClock.of(wire.near)
    defer(lambda: clock.set(time.time_ns()))
    clock.set(100 * SECOND)
    before = clock.now()
    refused(errno.ERANGE, clock.tune, clock.most() + 1000)
    refused(errno.ERANGE, clock.tune, -clock.most() - 1000)
    refused(errno.EINVAL, clock.step, -3600 * SECOND)
    refused(errno.EINVAL, clock.set, 2**62 + SECOND)
    after = clock.now()
    at_least(after, before, "time after the refusals")
    at_most(after, before + 60 * SECOND, "time after the refusals")
    equal(clock.tuned(), 0, "rate after the refusals")


@case
def sent_packets():
    """Each datagram that asks gets a stamp, in order and between readings of the clock, and is counted."""
    clock = PtpClock.of(wire.near)
    configure(wire.near, tx="on")
    before, first = counted(wire.near), clock.now()
    stamps = send(wire.near, wire.far4, count=20)
    last, after = clock.now(), counted(wire.near)
    equal([stamp.number for stamp in stamps], list(range(20)), "packets that were stamped")
    ordered([stamp.hardware for stamp in stamps], first, last, "stamps")
    equal(after["tx_pkts"] - before["tx_pkts"], 20, "stamps counted")
    equal((after["tx_lost"], after["tx_err"]), (before["tx_lost"], before["tx_err"]), "lost and stray stamps")


@case
def sent_burst():
    """A burst of datagrams, more than a ring has at a time in one doorbell, gets all its stamps."""
    configure(wire.near, tx="on")
    with Stamped(TX_HARDWARE) as end, Stamped(0, ns=wire.ns) as sink:
        sink.socket.bind((wire.far4, PORT))
        end.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        end.start().socket.connect((wire.far4, PORT))
        for _ in range(200):
            end.socket.send(b"b" * 1000)
        stamps = end.sent(200, seconds=20)
    equal(sorted(stamp.number for stamp in stamps), list(range(200)), "packets that were stamped")
    true(all(stamp.hardware for stamp in stamps), "no stamp is 0")


@case
def sent_segments():
    """A TCP stream that the device segments is stamped, too."""
    clock = PtpClock.of(wire.near)
    configure(wire.near, tx="on")
    with Stamped(0, ns=wire.ns, kind=socket.SOCK_STREAM) as server, Stamped(TX_HARDWARE, kind=socket.SOCK_STREAM) as end:
        server.socket.bind((wire.far4, PORT))
        server.socket.listen(1)
        end.socket.connect((wire.far4, PORT))
        peer, _ = server.socket.accept()
        with peer:
            peer.settimeout(20)
            end.start()
            size, got, first = 60_000, 0, clock.now()
            # Each write has a stamp, that of its last byte: there must be room for all of it in one.
            end.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * size)
            equal(end.socket.send(b"s" * size), size, "bytes of the only write")
            while got < size:
                got += len(peer.recv(65536))
            stamps = end.sent(1)
    equal([stamp.number for stamp in stamps], [size - 1], "last byte that was stamped")
    ordered([stamp.hardware for stamp in stamps], first, clock.now(), "stamp")


@case
def sent_unasked():
    """Control: with stamping off there is none, by software there is one all the same, and nothing is counted."""
    configure(wire.near)
    before = counted(wire.near)
    equal(send(wire.near, wire.far4), [], "stamps of a device that was not set to")
    (stamp,) = send(wire.near, wire.far4, flags=TX_SOFTWARE)
    true(stamp.software and not stamp.hardware, f"a stamp by software alone: {stamp}")
    configure(wire.near, tx="on")
    (stamp,) = send(wire.near, wire.far4, flags=TX_SOFTWARE)
    true(stamp.software and not stamp.hardware, f"a stamp by software alone: {stamp}")
    equal(counted(wire.near), before, "stamps counted")


@case
def received_packets():
    """With the filter 'all', each datagram has a stamp, in order and between readings of the clock; with 'none', none has."""
    clock = PtpClock.of(wire.near)
    configure(wire.near, rx="all")
    first = clock.now()
    stamps = receive(wire.far4, wire.ns, wire.near4, None, count=20)
    ordered([stamp.hardware for stamp in stamps], first, clock.now(), "stamps")
    true(all(stamp.hardware for stamp in stamps), "no stamp is 0")
    configure(wire.near)
    # The kernel turns its own stamps on in a task of its own: not for the first packet.
    stamps = receive(wire.far4, wire.ns, wire.near4, None, count=10, flags=RX_HARDWARE | RX_SOFTWARE, pause=0.1)
    true(stamps[-1].software, f"a stamp by software: {stamps}")
    equal([stamp.hardware for stamp in stamps], [0] * 10, "stamps by the device")


@case
def received_events():
    """With the filter for PTP events, these are stamped and nothing else; narrower filters are taken as this one."""
    configure(wire.near, rx="ptpv2-event")

    def stamped(data, port):
        (stamp,) = receive(wire.far4, wire.ns, wire.near4, None, port=port, data=data)
        return stamp.hardware != 0

    for data, port, wanted in ((SYNC, EVENT_PORT, True), (FOLLOW_UP, EVENT_PORT, False), (SYNC, EVENT_PORT + 1, False), (b"x" * 99, PORT, False)):
        equal(stamped(data, port), wanted, f"a stamp of {data[:2]!r} to port {port}")
    for narrow in ("ptpv2-l4-sync", "ptpv2-l2-event", "ptpv2-delay-req"):
        configure(wire.near, rx=narrow)
        equal(configured(wire.near), ("off", "ptpv2-event"), f"what {narrow} has become")
    configure(wire.near, rx="ptpv1-l4-event")
    equal(configured(wire.near), ("off", "all"), "what PTP of version 1 has become")


@case
def wire_and_back():
    """A packet leaves before its answer arrives, by the same clock."""
    configure(wire.near, tx="on", rx="all")
    with Stamped(TX_HARDWARE | RX_HARDWARE) as end, Stamped(0, ns=wire.ns) as other:
        end.start().socket.bind((wire.near4, PORT))
        other.socket.bind((wire.far4, PORT))
        for _ in range(10):
            end.socket.sendto(b"there", (wire.far4, PORT))
            _, address = other.socket.recvfrom(100)
            other.socket.sendto(b"back", address)
            (sent,) = end.sent(1)
            _, received = end.received()
            at_least(received.hardware, sent.hardware + 1, "time of the answer")
            at_most(received.hardware, sent.hardware + 5 * SECOND, "time of the answer")


def survives(what, action):
    """Configuration, rate and clock are as before something, and packets are still stamped."""
    clock = PtpClock.of(wire.near)
    before, rate = clock.now(), clock.tuned()
    action()
    wire.near.wait_carrier()
    until(lambda: sh(["ping", "-c1", "-W1", wire.far4], check=False).status == 0, f"the far end answers after {what}")
    equal(configured(wire.near), ("on", "all"), f"what is stamped after {what}")
    equal(clock.tuned(), rate, f"rate after {what}")
    now = clock.now()
    at_least(now, before, f"time after {what}")
    at_most(now, before + 120 * SECOND, f"time after {what}")
    (stamp,) = send(wire.near, wire.far4)
    at_least(stamp.hardware, now, f"transmit stamp after {what}")
    (stamp,) = receive(wire.far4, wire.ns, wire.near4, None)
    at_least(stamp.hardware, now, f"receive stamp after {what}")


@case
def survives_changes():
    """A reset, other rings, other channels, and going down and up leave configuration, clock and stamping as they were."""
    configure(wire.near, tx="on", rx="all")
    survives("a reset by the user", lambda: PF().write("reset", 1))
    defer(wire.near.ethtool, "-G", "rx 1024 tx 1024", check=False)
    survives("a change of the rings", lambda: wire.near.ethtool("-G", "rx 512 tx 256"))
    defer(wire.near.ethtool, "-L", "combined 4", check=False)
    survives("a change of the channels", lambda: wire.near.ethtool("-L", "combined 2"))

    def bounce():
        wire.near.down()
        wire.near.up()

    survives("going down and up", bounce)


@case
def set_while_down():
    """What is set while the netdev is down holds when it is up, and off is off."""
    configure(wire.near, tx="on", rx="all")
    wire.near.down()
    defer(wire.near.up)
    configure(wire.near)
    wire.near.up()
    until(lambda: sh(["ping", "-c1", "-W1", wire.far4], check=False).status == 0, "the far end answers")
    (stamp,) = receive(wire.far4, wire.ns, wire.near4, None)
    equal(stamp.hardware, 0, "a receive stamp")


@case
def read_through_resets():
    """A clock that is read all the time while the function is reset says a later time or that it cannot say, never another."""
    clock = PtpClock.of(wire.near)
    times, errors, going = [], set(), True

    def reader():
        while going:
            try:
                times.append(clock.now())
            except OSError as error:
                errors.add(error.errno)
            time.sleep(0.001)

    thread = threading.Thread(target=reader)
    thread.start()
    try:
        for _ in range(5):
            PF().write("reset", 1)
            time.sleep(0.2)
    finally:
        going = False
        thread.join()
    equal(times, sorted(times), "times in order")
    at_least(len(times), 20, "readings")
    equal(errors - {errno.EBUSY, errno.ENODEV, errno.EAGAIN}, set(), "errors of reading")
    note(f"{len(times)} readings, errors {[errno.errorcode[e] for e in errors]}")
    clock.now()
    wire.near.wait_carrier()


@case
def rate_survives_reset():
    """A rate that was set holds through a reset of the function."""
    clock = PtpClock.of(wire.near)
    defer(clock.tune, 0)
    clock.tune(50_000_000)
    PF().write("reset", 1)
    wire.near.wait_carrier()
    at_most(abs(clock.rate() - 1.05), 0.01, "distance from the rate after the reset")


@case
def vf_stamps():
    """A VF stamps what it sends and receives, by a clock of its own that shows the same time and cannot be set."""
    own = PtpClock.of(wire.near)
    PF().with_vfs(1)
    vf = VfEnd(0)
    clock = PtpClock.of(vf.link)
    true(clock.index != own.index, "the VF has a clock of its own")
    equal(clock.name, "oxnic-vf", "name of the VF's clock")
    first, seen = own.now(), clock.now()
    ordered([seen], first, own.now(), "time of the VF's clock")
    refused(errno.EOPNOTSUPP, clock.set, 5)
    refused(errno.EOPNOTSUPP, clock.step, 5)
    refused(errno.ERANGE, clock.tune, 1000)
    refused(errno.EOPNOTSUPP, clock.tune, 0)
    configure(vf.link, tx="on", rx="all")
    first = own.now()
    stamps = send(vf.link, wire.far4, count=5)
    ordered([stamp.hardware for stamp in stamps], first, own.now(), "the VF's transmit stamps")
    equal(len(stamps), 5, "transmit stamps")
    first = own.now()
    stamps = receive(wire.far4, wire.ns, vf.address4, vf.ns, count=5)
    ordered([stamp.hardware for stamp in stamps], first, own.now(), "the VF's receive stamps")


@case
def vf_and_pf():
    """Between functions of the device a packet leaves no later than it arrives."""
    PF().with_vfs(1)
    vf = VfEnd(0)
    configure(vf.link, tx="on")
    configure(wire.near, rx="all")
    with Stamped(RX_HARDWARE) as end, Stamped(TX_HARDWARE, ns=vf.ns) as other:
        end.start().socket.bind((wire.near4, PORT))
        other.start().socket.connect((wire.near4, PORT))
        for _ in range(5):
            other.socket.send(b"x")
            _, received = end.received()
            (sent,) = other.sent(1)
            true(0 < sent.hardware <= received.hardware, f"sent at {sent.hardware}, received at {received.hardware}")


@case
def refusals():
    """What the device cannot stamp is refused with a text that names it, and changes nothing."""
    configure(wire.near, tx="on", rx="all")
    fails(configure(wire.near, tx="onestep-sync", check=False), "stamps written into packets", "one-step")
    fails(configure(wire.near, rx="some", check=False), "a filter that says nothing", "some")
    equal(configured(wire.near), ("on", "all"), "what is stamped after the refusals")


@case
def stray_stamps():
    """Stamps that the device gives for packets that did not ask are counted, and nothing else comes of them."""
    control = Control()
    defer(control.close)
    defer(control.chaos)
    before, generation = counted(wire.near), control.function(0)["generation"]
    control.chaos("nic.tx-stamp=*2")
    for _ in range(5):
        equal(ping(wire.far4, count=4), 4, "pings answered meanwhile")
    control.chaos()
    after = counted(wire.near)
    at_least(after["tx_err"], before["tx_err"] + 5, "stray stamps counted")
    equal(after["tx_pkts"], before["tx_pkts"], "packets that were stamped")
    equal(control.function(0)["generation"], generation, "generation of the function")


@case
def unbound():
    """Unbinding the driver while the clock is open takes it away; bound again it shows a later time."""
    clock = PtpClock.of(wire.near)
    before = clock.now()
    function = PF()
    wire.near.down()
    function.unbind()
    refused(errno.ENODEV, clock.now)
    function.bind("oxnic")
    until(function.netdevs, "the function has a netdev again")
    again = PtpClock.of(function.link())
    at_least(again.now(), before, "time after the driver was bound again")
    at_most(again.now(), before + 120 * SECOND, "time after the driver was bound again")


@case
def fewer_filters():
    """A device that cannot stamp all packets is taken at its word: 'all' is refused at once, and the link comes up."""
    control = Control()
    defer(control.close)
    function = PF()

    def bind_again():
        function.unbind()
        function.bind("oxnic")
        until(function.netdevs, "the function has a netdev again")
        return function.link()

    true("hardware-receive" in function.link().ethtool("-T").out, "the device stamps")
    defer(bind_again)
    defer(control.chaos)
    control.chaos("nic.clock-filters=1+")
    link = bind_again()
    control.chaos()
    shown = link.ethtool("-T").out.split("Hardware Receive Filter Modes:")[1].split()
    equal(("all" in shown, "ptpv2-event" in shown), (False, True), f"filters that are shown ({shown})")
    for wide in ("all", "ptpv1-l4-event"):
        fails(configure(link, rx=wide, check=False), f"rx-filter {wide}", "rx filter")
    configure(link, rx="ptpv2-l4-sync")
    link.up()
    equal(configured(link), ("off", "ptpv2-event"), "what is stamped")


main()
