#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Channels and rings change under traffic, and what cannot be had leaves everything as it was."""

# sets: quick
# vm: PORTS=1 CPUS=4

import glob
import re
import socket
import time

from lib import Control, Sender, Stream, Wire, at_least, case, defer, equal, fails, main, ping, setup, sh, true
from lib.genl import RX, TX, Netdev

VPORT_ENABLED = 1  # the flag of a vport by which it is let frames
wire = None


@setup
def topology():
    global wire
    wire = Wire()


def numbers(option):
    """The two halves of `ethtool -l` or `-g`: (maxima, current), by name in lower case."""
    halves = re.split(r"Current hardware settings:", wire.near.ethtool(option).out)
    return tuple({n.lower(): int(v) for n, v in re.findall(r"^([\w ]+):\s+(\d+)$", half, re.M)} for half in halves)


def channels():
    return numbers("-l")[1]["combined"]


@case
def channels_change():
    """Every number of channels works, and queues, NAPI instances and interrupts follow."""
    highest = numbers("-l")[0]["combined"]
    at_least(highest, 4, "channels that the device can have with 4 CPUs")
    before = channels()
    defer(wire.near.ethtool, "-L", f"combined {before}", check=False)
    kernel = Netdev(wire.near)
    defer(kernel.close)
    for count in (1, 2, 3, 4, 1, highest):
        wire.near.ethtool("-L", f"combined {count}", check=count != before or channels() != count)
        equal(channels(), count, "channels that read back")
        equal(wire.near.queues(), (count, count), "queues (receive, transmit)")
        queues = kernel.queues()
        equal(sorted(queues), [(kind, n) for kind in (RX, TX) for n in range(count)], "queues in the kernel's list")
        true(None not in queues.values(), f"each queue has a NAPI instance: {queues}")
        napis = kernel.napis()
        equal(len([i for i in napis if i in queues.values()]), len(set(queues.values())), "NAPI instances of the queues")
        true(all(napis[i] for i in queues.values()), f"each NAPI instance has its interrupt: {napis}")
        ping(wire.far4, count=2)


@case
def channels_under_traffic():
    """Traffic in both directions goes on over changes of channels."""
    stream = Stream(wire.near, wire.far, wire.near4, wire.far4, tcp_too=True)
    before = channels()
    defer(wire.near.ethtool, "-L", f"combined {before}", check=False)
    for count in (1, 4, 2, 3, before):
        if channels() != count:
            wire.near.ethtool("-L", f"combined {count}")
        stream.resumes()


@case
def channels_refused():
    """No channel, or more than there are, is refused, and the old number stays."""
    before = channels()
    for count in (0, numbers("-l")[0]["combined"] + 1):
        fails(wire.near.ethtool("-L", f"combined {count}", check=False), f"{count} channels")
    fails(wire.near.ethtool("-L", "rx 1", check=False), "separate receive channels")
    equal(channels(), before, "channels after the refusals")
    ping(wire.far4)


@case
def rings_change():
    """Ring sizes change, read back, and every size works."""
    most, before = numbers("-g")
    defer(wire.near.ethtool, "-G", f"rx {before['rx']} tx {before['tx']}", check=False)
    for rx, tx in ((64, 64), (128, 1024), (most["rx"], most["tx"]), (256, 256)):
        wire.near.ethtool("-G", f"rx {rx} tx {tx}")
        now = numbers("-g")[1]
        equal((now["rx"], now["tx"]), (rx, tx), "ring sizes that read back")
        ping(wire.far4, count=10)


@case
def rings_under_traffic():
    """Traffic in both directions goes on over changes of ring sizes."""
    stream = Stream(wire.near, wire.far, wire.near4, wire.far4, tcp_too=True)
    before = numbers("-g")[1]
    defer(wire.near.ethtool, "-G", f"rx {before['rx']} tx {before['tx']}", check=False)
    for size in (64, 1024, 128, 512):
        wire.near.ethtool("-G", f"rx {size} tx {size}")
        stream.resumes()


@case
def rings_refused():
    """Sizes out of range are refused, and the old ones stay."""
    most, before = numbers("-g")
    fails(wire.near.ethtool("-G", f"rx {most['rx'] * 2}", check=False), "a receive ring over the limit")
    fails(wire.near.ethtool("-G", f"tx {most['tx'] * 2}", check=False), "a transmit ring over the limit")
    fails(wire.near.ethtool("-G", "rx 0", check=False), "a receive ring of nothing")
    equal(numbers("-g")[1], before, "ring sizes after the refusals")
    ping(wire.far4)


@case
def change_while_down():
    """What is set while the netdev is down holds when it comes up."""
    before, rings = channels(), numbers("-g")[1]
    wire.near.down()
    defer(wire.near.up)
    defer(wire.near.ethtool, "-L", f"combined {before}", check=False)
    defer(wire.near.ethtool, "-G", f"rx {rings['rx']} tx {rings['tx']}", check=False)
    wire.near.ethtool("-L", "combined 2")
    wire.near.ethtool("-G", "rx 128 tx 128")
    wire.near.up()
    equal((channels(), numbers("-g")[1]["rx"], numbers("-g")[1]["tx"]), (2, 128, 128), "channels and rings")
    ping(wire.far4)


@case
def failed_change_keeps_old():
    """The device fails the k-th object of a new setting, for every k: the command fails and the old setting works on."""
    control = Control()
    defer(control.close)
    defer(control.chaos, "off")
    stream = Stream(wire.near, wire.far, wire.near4, wire.far4)
    defer(wire.near.ethtool, "-L", f"combined {channels()}", check=False)
    if channels() != 4:
        wire.near.ethtool("-L", "combined 4")
    rings = numbers("-g")[1]
    defer(wire.near.ethtool, "-G", f"rx {rings['rx']} tx {rings['tx']}", check=False)
    failures = 0
    for number in (1, 2, 3, 5, 7, 8):
        for option, words in (("-L", "combined 2"), ("-G", f"rx {rings['rx'] // 2} tx {rings['tx'] // 2}")):
            control.chaos(f"nic.fail-allocation={number}")
            result = wire.near.ethtool(option, words, check=False)
            control.chaos("off")
            if result.status:
                failures += 1
                equal(channels(), 4, f"channels after {option} failed")
                equal(numbers("-g")[1], rings, f"rings after {option} failed")
                stream.resumes()
            elif option == "-L":
                wire.near.ethtool("-L", "combined 4")
            else:
                wire.near.ethtool("-G", f"rx {rings['rx']} tx {rings['tx']}")
    at_least(failures, 6, "changes that the device made fail (else nothing was tested)")


@case
def senders_are_not_forgotten():
    """Senders that wait for room in their buffer go on after each change, however little may be under way in a queue.

    With low byte queue limits a change nearly always finds them against a queue, while its last completions arrive.
    """
    limits = glob.glob(f"/sys/class/net/{wire.near.name}/queues/tx-*/byte_queue_limits/limit_max")
    for limit in limits:
        defer(sh, f"echo {sh(['cat', limit]).out.strip()} > {limit}")
        sh(f"echo 3000 > {limit}")
    rings = numbers("-g")[1]
    defer(wire.near.ethtool, "-G", f"rx {rings['rx']} tx {rings['tx']}", check=False)
    senders = [Sender(wire.near4, wire.far4) for _ in range(6)]
    for _ in range(4):
        for part in (2, 1):
            wire.near.ethtool("-G", f"rx {rings['rx'] // part} tx {rings['tx'] // part}")
        time.sleep(0.3)
        for sender in senders:
            sender.goes_on()


def queued(queue):
    """Bytes that a transmit queue has sent and that were not completed, as its byte queue limits know it."""
    with open(f"/sys/class/net/{wire.near.name}/queues/tx-{queue}/byte_queue_limits/inflight") as file:
        return int(file.read())


@case
def queues_that_go_are_not_watched():
    """The core's watchdog finds nothing in queues that go while byte queue limits stop them, and nothing is reset."""
    control = Control()
    defer(control.close)
    defer(control.chaos, "off")
    before = channels()
    defer(wire.near.ethtool, "-L", f"combined {before}", check=False)
    # Afresh, each queue is stopped by its first packet, until that is completed.
    wire.near.ethtool("-L", "combined 2", check=before != 2)
    wire.near.ethtool("-L", "combined 4")
    ping(wire.far4)
    control.chaos("nic.tx-silent=1+")
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    defer(sock.close)
    sock.setblocking(False)
    for port in range(7200, 7328):
        sock.sendto(bytes(100), (wire.far4, port))
    stuck = [queue for queue in (2, 3) if queued(queue)]
    control.chaos("off")
    generation = control.function(0)["generation"]
    wire.near.ethtool("-L", "combined 2")
    true(stuck, "a queue that goes has something under way (else nothing was tested)")
    time.sleep(8)
    equal(control.function(0)["generation"], generation, "generation of the function after the watchdog's time")
    ping(wire.far4)


@case
def failed_open_can_be_retried():
    """When the device fails an object while the netdev comes up, `up` fails with nothing left, and works afterwards."""
    control = Control()
    defer(control.close)
    wire.near.down()
    defer(wire.near.up)
    defer(control.chaos, "off")
    for number in (1, 2, 4, 6):
        control.chaos(f"nic.fail-allocation={number}")
        fails(wire.near.ip("up", check=False), f"up with a failure of object {number}")
        equal(control.function(0)["completion_queues"], 0, "completion queues left in the device")
    control.chaos("off")
    wire.near.up()
    ping(wire.far4)


@case
def failed_open_lets_nothing_in():
    """Whichever command the device refuses while the netdev comes up: where `up` fails, no frames are let in afterwards."""
    control = Control()
    defer(control.close)
    before = channels()
    defer(wire.near.ethtool, "-L", f"combined {before}", check=False)
    wire.near.ethtool("-L", "combined 1", check=before != 1)
    wire.near.down()
    defer(wire.near.up)
    defer(control.chaos, "off")
    failures, number = 0, 0
    while True:
        number += 1
        result, met = control.meets(f"nic.fail-command={number}", lambda: wire.near.ip("up", check=False))
        if result.status != 0:
            failures += 1
            about = control.function(0)
            equal(about["completion_queues"], 0, f"completion queues left in the device after command {number} failed")
            flags = int(about["vports"][0]["flags"], 16)
            equal(flags & VPORT_ENABLED, 0, f"whether frames are let in after command {number} failed")
            continue
        if not met:
            break
        wire.near.down()
    at_least(failures, 8, "commands without which the netdev does not come up (else nothing was tested)")
    ping(wire.far4)


main()
