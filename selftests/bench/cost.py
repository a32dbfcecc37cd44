# SPDX-License-Identifier: GPL-2.0-only
"""In the guest: what measurements have in common. An action's cost in instructions, and the kernel's generator of packets.

The guest runs with ICOUNT=1 and one CPU, so a nanosecond of its clock is an instruction. A process of the lowest priority counts
in a loop whatever the CPU has left; what the clock advanced less what that loop took is what the work cost.
"""

import mmap
import os
import re
import struct
import subprocess
import threading
import time

START = 0.2  # seconds: pktgen's thread looks ten times a second whether it is to start; a stop before that would have no effect


def sh(text, check=True):
    done = subprocess.run(text, shell=True, capture_output=True, text=True, check=False)
    if check and done.returncode:
        raise SystemExit(f"bench: {text}: {done.stderr.strip()}")
    return done.stdout


class Spinner:
    """The process that takes the CPU time that is left; cost() is what an action took besides."""

    def __init__(self, load):
        """load: the program of load.c."""
        with open("/tmp/spin", "wb") as file:
            file.write(bytes(4096))
        self.file = open("/tmp/spin", "r+b")
        self.map = mmap.mmap(self.file.fileno(), 4096)
        self.child = subprocess.Popen([load, "spin", "/tmp/spin"])
        time.sleep(0.2)
        self.each = 0.0
        loops, start = self.count(), time.monotonic_ns()
        time.sleep(2)
        self.each = (time.monotonic_ns() - start) / (self.count() - loops)

    def count(self):
        return struct.unpack("<Q", self.map[:8])[0]

    def cost(self, action):
        """Instructions, and what the action returned."""
        loops, start = self.count(), time.monotonic_ns()
        result = action()
        return time.monotonic_ns() - start - (self.count() - loops) * self.each, result


class Generator:
    """The kernel's packet generator, sending from a netdev: set up once, then run."""

    def __init__(self, device, mac, size, burst=1, period=0, ns=None):
        """period: nanoseconds between two bursts. ns: the namespace of the netdev, if it is not ours."""
        self.device, self.period, self.burst, self.ns = device, period, burst, ns
        self._inside(self._set_up, mac, size)

    def send(self, count):
        """Sends so many packets, and waits until the last of them was completed if they come in bursts."""
        self._inside(self._send, count)
        return count

    def send_about(self, count):
        """Sends for as long as `count` packets take by the period, and does not wait for the last: spinning until the device
        has completed it says more of the device than of the driver. Tells how many it was."""
        threading.Thread(target=self._stop, args=(count // self.burst * self.period / 1e9,)).start()
        self._inside(self._send, 0)
        with open(f"/proc/net/pktgen/{self.device}") as file:
            return int(re.search(r"pkts-sofar: (\d+)", file.read())[1])

    def _set_up(self, mac, size):
        self._write("kpktgend_0", "rem_device_all", f"add_device {self.device}")
        self._write(self.device, f"pkt_size {size}", "dst 192.0.2.1", f"dst_mac {mac}", "clone_skb 0", f"delay {self.period}")
        # A packet that is not shared is not waited for.
        self._write(self.device, f"burst {self.burst}" if self.burst > 1 else "flag !SHARED")

    def _send(self, count):
        self._write(self.device, f"count {count}")
        self._write("pgctrl", "start")

    def _stop(self, seconds):
        time.sleep(START + seconds)
        self._write("pgctrl", "stop")

    @staticmethod
    def _write(name, *lines):
        for line in lines:
            with open(f"/proc/net/pktgen/{name}", "w") as file:
                file.write(line + "\n")

    def _inside(self, action, *words):
        if self.ns is None:
            return action(*words)
        own = os.open("/proc/self/ns/net", os.O_RDONLY)
        other = os.open(f"/run/netns/{self.ns}", os.O_RDONLY)
        os.setns(other, os.CLONE_NEWNET)
        try:
            return action(*words)
        finally:
            os.setns(own, os.CLONE_NEWNET)
            os.close(own)
            os.close(other)
