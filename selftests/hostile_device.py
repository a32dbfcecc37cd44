#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""A device that lies: wrong indices, lengths, ids, generations, silence, ones. The driver recovers or gives up cleanly.

The kernel log is the judge: a splat fails this file. Seconds of each lie: OXNIC_CHAOS_SECONDS.
"""

# sets: long
# vm: PORTS=1 TIMEOUT=3600

import os
import time

from lib import PF, Control, Stream, Wire, at_least, case, defer, equal, ip, main, note, ping, setup, sh, until

SECONDS = float(os.environ.get("OXNIC_CHAOS_SECONDS", "1.5"))
BY_ITSELF = "by itself"
wire = control = None


@setup
def topology():
    global wire, control
    # Watchdogs that bark at a silent device do what they are for. The driver's own lines are for the lies that no watchdog notices, as
    # what is expected has to come; no splat begins like them but one of DMA-API.
    sh("echo 'oxnic-expect: NETDEV WATCHDOG|transmit queue \\d+ timed out|^oxnic [0-9a-f:.]+: (?!DMA-API)' > /dev/kmsg")
    wire = Wire()
    control = Control()
    defer(control.close)
    defer(control.chaos)


def hits():
    """Times that the device has lied since it started, by its own count."""
    answer = control.do("stats")
    return answer["nic"]["chaos_hits"] + sum(rule["struck"] for rule in answer["chaos"])


def works():
    return ping(wire.far4, count=1, check=False, seconds=1) == 1


def revive():
    """After the lies end, the function works, if need be after a user's reset or a new binding."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        if PF().driver == "oxnic" and PF().netdevs():
            wire.near.ip("up", check=False)  # to open it may be what the lies made fail
            if works():
                return BY_ITSELF
        time.sleep(0.5)
    try:
        reset_by_user()
        return "after a reset by the user"
    except Exception as error:  # noqa: BLE001 - the next step is stronger
        note(f"a reset does not help: {error}")
    if PF().driver:
        PF().unbind()
    PF().bind("oxnic")
    wire.near = PF().link()
    ip(["address", "replace", f"{wire.near4}/24", "dev", wire.near.name])
    wire.near.up()
    until(works, "the PF reaches the wire after unbind and bind", 30)
    return "after binding anew"


def reset_by_user():
    PF().write("reset", 1)
    wire.near.ip("up", check=False)
    until(works, "the PF reaches the wire", 15)


def traffic():
    return Stream(wire.near, wire.far, wire.near4, wire.far4, rate="3M", tcp_too=True)


def traffic_again():
    """After a lie one queue may still have to be found stuck, and that reset may be the one at which the driver gives up."""
    try:
        return traffic()
    except Exception as error:  # noqa: BLE001 - whatever it is, it has to work after a reset
        note(f"no traffic yet: {error}")
    reset_by_user()
    return traffic()


def lie(*specs, poke=None, must_hit=True):
    """Tell each lie for a while under traffic, and see that the function works afterwards."""
    stream = traffic()
    for spec in specs:
        before = control.do("stats")["nic"]["chaos_hits"]
        control.chaos(spec)
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            if poke:
                poke()
            else:
                time.sleep(0.1)
        told = hits() - before
        control.chaos()
        how = revive()
        note(f"{spec}: told {told} times; works {how}")
        if must_hit:
            at_least(told, 1, f"times that the device told the lie {spec}")
        if how != BY_ITSELF or not stream.flows():
            stream.stop()
            stream = traffic_again()


@case
def transmit_completions():
    """Transmit completions that are lost, doubled, or name what there is not."""
    lie(*(f"nic.tx-{kind}=*97" for kind in ("silent", "twice", "head", "queue", "generation", "stamp")))


@case
def receive_completions():
    """Receive completions that are lost, doubled, or have wrong buffers, lengths, queues, ends, flags."""
    lie(*(f"nic.rx-{kind}=*97" for kind in ("silent", "twice", "buffer", "length", "queue", "end", "flags", "generation")))


def commands():
    for option, words in (("-S", ""), ("-G", "rx 128"), ("-G", "rx 256"), ("-L", "combined 2"), ("-L", "combined 4"), ("-X", "default")):
        wire.near.ethtool(option, words, check=False)
    wire.near.ip("promisc on", check=False)
    wire.near.ip("promisc off", check=False)
    wire.near.ip("down", check=False)
    wire.near.ip("up", check=False)


@case
def command_answers():
    """Commands that fail, are not answered, answered twice, for another, or with a status that nobody knows."""
    lie("nic.fail-command=*5", "nic.fail-allocation=*3", poke=commands)
    lie(*(f"nic.command-{kind}=*11" for kind in ("twice", "id", "status", "generation", "silent")), poke=commands)


@case
def events():
    """Events that are random."""
    lie("nic.event-random=*1", poke=lambda: (control.do("link", port=0, up=False), time.sleep(0.1), control.do("link", port=0, up=True)), must_hit=False)
    control.do("link", port=0, up=True)


@case
def interrupts():
    """Interrupts that are lost."""
    lie("nic.interrupt-lost=*50", "interrupt=%40")


@case
def registers():
    """Registers that read as ones now and then, and all the time."""
    lie("nic.register-ones=*3", "mmio-read=20%", poke=commands, must_hit=False)
    lie("nic.register-ones=1+", poke=commands, must_hit=False)


@case
def bus():
    """DMA that faults, flips a bit, or vanishes; doorbells and register writes that are lost."""
    lie("dma-corrupt@pf=2%", "dma-lose@pf=2%", "dma-write@pf=1%", "dma-read@pf=1%", "doorbell=2%", "mmio-write=5%", must_hit=False)


@case
def wire_losses():
    """Control: frames lost on the wire are no fault of anybody's, and nothing is reset."""
    generation = control.function(0)["generation"]
    control.chaos("transmit=20%,receive=20%")
    received = ping(wire.far4, count=40, check=False)
    control.chaos()
    note(f"{received} of 40 pings answered")
    equal(0 < received < 40, True, "some pings are answered and some not")
    equal(control.function(0)["generation"], generation, "generation of the function")


@case
def all_at_once():
    """Everything at once, seldom, with another seed each time."""
    spec = ",".join(f"nic.{kind}=*{199 + 10 * n}" for n, kind in enumerate((
        "tx-silent", "tx-twice", "tx-head", "tx-queue", "tx-stamp", "rx-silent", "rx-twice", "rx-buffer", "rx-length", "rx-queue", "rx-flags",
        "event-random", "interrupt-lost", "command-id", "command-status",
    )))
    for seed in (1, 2, 3):
        lie(f"nic.seed={seed},{spec}", poke=commands)


main()
