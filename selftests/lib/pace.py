# SPDX-License-Identifier: GPL-2.0-only
"""How long things may take, and how much traffic there is: written for the stock kernel; a kernel that checks every access gets more time, and less."""

import os

# KASAN and lockdep, emulated, cost four times the time of the stock kernel for what a CPU does by itself, and ten times for a new process.
FACTOR = 4 if os.environ.get("KERNEL") == "debug" else 1


def slow(seconds):
    """The time that this kernel has for what the stock kernel must do in so many seconds."""
    return seconds * FACTOR


def fewer(packets):
    """As many of so many packets as `less` leaves of the traffic."""
    return packets // FACTOR


def less(amount):
    """The part of an amount of traffic, as iperf3 says it ("16M", bytes or bits a second), that this kernel carries in the same time."""
    return amount if FACTOR == 1 else f"{int(amount.removesuffix('M')) * 1000 // FACTOR}K"
