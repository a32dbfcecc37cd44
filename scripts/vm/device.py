# SPDX-License-Identifier: GPL-2.0-only
"""The reference device's process, and the sockets through which QEMU reaches it.

Names of sockets are relative to the run's folder, which is the working folder of the device and of QEMU.
"""

import os

from . import options
from .process import Child
from .process import wait_for

SOCKET = "device.sock"
CONTROL = "control.sock"
VENDOR_ID = "0x6f78"
PF_DEVICE_ID = "0x0001"
FIRMWARE_TOOL = os.path.join(options.CACHE, "target", "release", "oxnic-firmware")


def wire(port):
    """Socket of a wire port."""
    return f"wire{port}.sock"


def command(wanted):
    """The command line of the device."""
    binary = os.path.join(options.CACHE, "target", "release", "oxnic-device")
    if not os.access(binary, os.X_OK):
        raise options.UsageError(f"the device model is not built ({binary}): run 'make', or give NODEV=1")
    argv = [binary, "--socket", SOCKET, "--control", CONTROL, "--ports", str(wanted.ports)]
    for port in range(wanted.ports):
        argv += ["--port", f"{port}=listen:{wire(port)}"]
    if wanted.pcap:
        argv += ["--pcap", wanted.pcap]
    return argv + wanted.device_args


def start(wanted, folder):
    """Start the device and wait until QEMU can connect to all of it."""
    child = Child("device", command(wanted), folder)
    sockets = [SOCKET, CONTROL] + [wire(port) for port in range(wanted.ports)]

    def ready():
        return child.status() is not None or all(os.path.exists(os.path.join(folder, name)) for name in sockets)

    if not wait_for(ready, 10) or child.status() is not None:
        text = "; ".join(child.log_tail(3)) or "it wrote nothing"
        child.stop()
        raise options.UsageError(f"the device model did not start: {text}")
    return child
