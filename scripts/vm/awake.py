# SPDX-License-Identifier: GPL-2.0-only
"""Keeps the CPUs of a host that is itself a virtual machine from halting while a guest runs.

Each register that a guest reads is a message from QEMU to the device and back, over three threads that wait for each other. To
wake a CPU that has halted takes an exit to the host's host, tens of microseconds; one that polls while it is idle
wakes at once. On bare metal it gains nothing, and the other hyperthread of a core would lose by it.
"""

import struct

QOS = "/dev/cpu_dma_latency"  # Documentation/power/pm_qos_interface.rst: a request for as long as the file is open
CPUINFO = "/proc/cpuinfo"


def keep():
    """The open file that holds the request, or None where there is no need, no such interface, or no right to it."""
    try:
        with open(CPUINFO, encoding="ascii", errors="replace") as file:
            flags = next((line for line in file if line.startswith("flags")), "")
        if "hypervisor" not in flags.split():
            return None
        request = open(QOS, "wb", buffering=0)
    except OSError:
        return None
    try:
        request.write(struct.pack("i", 0))
    except OSError:
        request.close()
        return None
    return request
