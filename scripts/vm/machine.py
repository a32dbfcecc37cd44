# SPDX-License-Identifier: GPL-2.0-only
"""One running guest: its processes, its folder, and the conversation with its agent.

A Machine owns everything that it starts and removes it in close(); use it as a context manager. It judges nothing:
what the kernel log says is the session's business.
"""

import os
import selectors
import shlex
import shutil
import socket
import time
import uuid
from dataclasses import dataclass

from . import accelerator
from . import awake
from . import device
from . import disk
from . import image
from . import initramfs
from . import kernel
from . import options
from . import packages
from . import qemu
from . import slot
from . import tsc
from .channel import Lines
from .channel import Port
from .channel import UntilToken
from .kernel_log import KernelLog
from .process import Child
from .run_folder import RunFolder
from .share import Share
from .share import mount_order

TICK = 0.2  # seconds between two looks at the child processes
AFTER_DEATH = 2.0  # seconds for the last output of a guest that is gone


class MachineError(Exception):
    """The guest cannot be used (any more); the text is for the user. status: what the harness then exits with."""

    status = 98


@dataclass
class Outcome:
    """status: of the script, or None if it did not end by itself; reason: then, why; timed_out: it took too long."""

    status: int | None
    reason: str = ""
    timed_out: bool = False


class Machine:
    def __init__(self, wanted, terminal=False):
        self.wanted = wanted
        self.kernel = kernel.find(wanted.kernel)
        self.folder = RunFolder()
        self.log = KernelLog(self.folder.file("console.log"))
        self.qemu, self.device, self.place, self.awake = None, None, None, None
        self.ports, self.selector = {}, selectors.DefaultSelector()
        self.has_terminal = terminal
        self.names, self.loaded, self.boot_seconds = {}, "", {}
        self._lines, self._answers, self._exits = Lines(), [], {}
        self._number = 0

    def __enter__(self):
        try:
            self.boot()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_):
        self.close()

    # Boot.

    def boot(self):
        self.place = slot.take(options.CACHE)
        if not self.has_terminal:  # somebody who thinks at a prompt needs no hot CPUs
            self.awake = awake.keep()
        start = time.monotonic()
        self._prepare_files()
        accel = accelerator.choose(self.wanted)
        for name in qemu.PORTS + (("terminal",) if self.has_terminal else ()):
            self.ports[name] = Port(self.folder.path, name)
        shares = self._shares()
        socket_path = self._start_device()
        argv = qemu.machine(self.wanted, accel)
        extra = qemu.delay_loop(self.wanted, self.kernel.hz) + (" OXNIC_LAYER=1" if self.wanted.packages else "")
        if not self.kernel.asks_for_pcie:
            extra += " pcie_ports=native"
        if accel != "kvm" and not self.wanted.icount and tsc.khz():
            extra += f" tsc_early_khz={tsc.khz()}"
        argv += qemu.boot(image.bootable(self.kernel), initramfs.build(self.kernel), qemu.modules(self.wanted), extra)
        argv += qemu.console() + qemu.serial_ports(self.device is not None, self.has_terminal)
        for attached in self._disks() + shares:
            argv += attached.qemu_arguments()
        stock_nic = self.wanted.nic in qemu.DEVICE_NAMES
        cables = [socket.socketpair() for _ in range(self.wanted.ports if stock_nic else 0)]
        ends = [tuple(end.fileno() for end in pair) for pair in cables]
        argv += qemu.network(self.wanted, socket_path, ends) + self.wanted.qemu_args
        self.folder.write("qemu.command", shlex.join(argv) + "\n")
        self.qemu = Child("qemu", argv, self.folder.path, pass_fds=[end for pair in ends for end in pair])
        for end in [end for pair in cables for end in pair]:
            end.close()
        self.boot_seconds["started"] = time.monotonic() - start
        self._connect()
        self._wait_for_answer("ready", self.wanted.boot_timeout, "the guest did not boot")
        self.boot_seconds["agent"] = time.monotonic() - start
        self._load_driver()
        self._find_names()
        self.boot_seconds["script"] = time.monotonic() - start

    def _prepare_files(self):
        here = os.path.join(os.path.dirname(__file__), "guest")
        for name in ("agent", "rcfile"):
            shutil.copy(os.path.join(here, name), self.folder.guest(name))
        self.folder.write("guest/hostname", "oxnic\n")
        names = qemu.PORTS + (("control",) if self._has_control() else ())
        self.folder.write("guest/ports", " ".join(f"org.oxnic.{name}" for name in names) + "\n")
        self.folder.write("guest/mounts", "".join(s.mount_line() for s in mount_order(self._listed_shares())))

    def _has_control(self):
        return self.wanted.has_device and not self.wanted.device_socket

    def _listed_shares(self):
        """Shares that the guest mounts by its list; the folder of the run, where the list is, is not among them."""
        shares = []
        if options.TOP not in self.wanted.dir:
            shares.append(Share("checkout", options.TOP))
        if self.kernel.modules:
            target = f"/usr/lib/modules/{self.kernel.release}"
            shares.append(Share("modules", self.kernel.modules, changes="fixed", target=target))
        shares += [Share(f"dir{i}", path, changes="both") for i, path in enumerate(self.wanted.dir)]
        return shares

    def _shares(self):
        return [Share("run", self.folder.guest(""), changes="both"), *self._listed_shares()]

    def _disks(self):
        disks = [disk.Disk("root", disk.root_image())]
        if self.wanted.packages:
            disks.append(disk.Disk("layer", packages.layer(self.wanted.packages)))
        return disks

    def _start_device(self):
        if not self.wanted.has_device:
            return ""
        if self.wanted.device_socket:
            return self.wanted.device_socket
        self.device = device.start(self.wanted, self.folder.path)
        return device.SOCKET

    def _connect(self):
        for port in self.ports.values():
            port.listener.settimeout(0.1)
            for _ in range(200):
                try:
                    port.accept()
                    break
                except TimeoutError:
                    if self.qemu.status() is not None:
                        raise MachineError("QEMU did not start: " + "; ".join(self.qemu.log_tail(3))) from None
            else:
                raise MachineError(f"QEMU did not open its port {port.name} within 20 s")
        self.selector.register(self.ports["agent"], selectors.EVENT_READ, self._agent_readable)

    def _load_driver(self):
        module = self.wanted.module or self.kernel.driver
        if module and os.path.isfile(module):
            shutil.copy(module, self.folder.guest("oxnic.ko"))
        elif self.wanted.load and not module:
            raise MachineError(f"no driver is built for kernel {self.kernel.release}: give one with MODULE=<file>, or LOAD=0")
        elif self.wanted.load:
            raise MachineError(f"the driver is not built for this kernel ({module}): run 'make', or give LOAD=0")
        if os.path.isfile(device.FIRMWARE_TOOL):
            shutil.copy(device.FIRMWARE_TOOL, self.folder.guest("oxnic-firmware"))
        if self.wanted.load:
            self.command("load", "/run/oxnic/oxnic.ko", *self.wanted.module_args)
            self.loaded = "oxnic"

    def _find_names(self):
        wanted = self.wanted
        peers = [] if wanted.device_socket else [qemu.peer_mac(port) for port in range(wanted.ports)]
        ports = wanted.ports if self.loaded else 0
        words = self.command("names", ports, device.VENDOR_ID, device.PF_DEVICE_ID, *peers).split()
        self.names = dict(word.split("=", 1) for word in words)
        if wanted.nic in qemu.DEVICE_NAMES:
            macs = [qemu.nic_mac(port) for port in range(wanted.ports)]
            words = self.command("names", 0, "none", "none", *macs).split()
            for word in words:
                name, value = word.split("=", 1)
                self.names[name.replace("PEER", "PF")] = value
            self.names["PCI"] = self.command("address", self.names["PF"])
        self.names.update(KERNEL=wanted.kernel, OXNIC_TOP=options.TOP, OXNIC_RUN="/run/oxnic")
        self.names["OXNIC_MODULE"] = "/run/oxnic/oxnic.ko"
        self.names["OXNIC_FIRMWARE"] = "/run/oxnic/oxnic-firmware"
        self.command("environment", *(f"{name}={value}" for name, value in self.names.items()))

    # The conversation.

    def _agent_readable(self):
        data = self.ports["agent"].read()
        if not data:
            return
        for line in self._lines.feed(data):
            if line.startswith("exit "):
                _, number, status = line.split()
                self._exits[int(number)] = int(status)
            else:
                self._answers.append(line)

    def alive(self):
        return self.qemu.status() is None

    def why_dead(self):
        """Why the guest cannot go on, or an empty text."""
        if self.device is not None and self.device.status() is not None:
            return f"the device model died (status {self.device.status()}): " + " / ".join(self.device.log_tail(3))
        if not self.alive():
            return "; ".join(["the guest crashed (QEMU has ended)", *self.qemu.log_tail(3)])
        return ""

    def pump(self, done, seconds):
        """Serve the sockets until done() or time is up or the guest is dead. True if done()."""
        end = time.monotonic() + seconds
        look = 0.0
        while not done():
            now = time.monotonic()
            if now > end:
                return False
            if now > look:
                look = now + TICK
                if self.why_dead():
                    self._drain(done)
                    return done()
            for key, _ in self.selector.select(TICK):
                key.data()
        return True

    def _drain(self, done):
        end = time.monotonic() + AFTER_DEATH
        while not done() and time.monotonic() < end and self.selector.select(0.05):
            for key, _ in self.selector.select(0):
                key.data()

    def _wait_for_answer(self, what, seconds, failure):
        if not self.pump(lambda: bool(self._answers), seconds):
            raise MachineError(f"{failure}: {self.why_dead() or f'no answer to {what!r} in {seconds:.0f} s'}")
        return self._answers.pop(0)

    def send(self, *words):
        line = shlex.join(str(word) for word in words)
        if "\n" in line:
            raise ValueError("a command for the guest is one line")
        try:
            self.ports["agent"].write(line.encode() + b"\n")
        except OSError:
            raise MachineError(self.why_dead() or "the guest does not listen") from None

    def command(self, *words, seconds=None):
        """One command, and the text of its answer. MachineError if it says no or nothing."""
        self.send(*words)
        answer = self._wait_for_answer(words[0], seconds or self.wanted.boot_timeout, words[0])
        verdict, _, text = answer.partition(" ")
        if verdict != "ok":
            raise MachineError(f"{words[0]}: {text}")
        return text

    # Scripts.

    def guest_path(self, script):
        """Where the guest sees this file of the host: where it is, or a copy in the run's folder."""
        path = os.path.realpath(script)
        for folder in [options.TOP, *self.wanted.dir]:
            if path.startswith(folder + "/"):
                return path
        name = f"{uuid.uuid4().hex[:8]}-{os.path.basename(path)}"
        shutil.copy(path, self.folder.guest(name))
        return f"/run/oxnic/{name}"

    def run(self, argv, on_stdout, on_stderr, seconds):
        """Run a command in the guest, passing its output to the two sinks as it comes. Returns its number and an Outcome."""
        self._number += 1
        number = self._number
        token = b"\0" + uuid.uuid4().hex.encode()
        streams = {"stdout": UntilToken(token, on_stdout), "stderr": UntilToken(token, on_stderr)}
        for name, stream in streams.items():
            self.selector.register(self.ports[name], selectors.EVENT_READ, self._feeder(name, stream))
        try:
            # The guest's bash turns the quoted zero byte into nothing: the token's text goes over, printf adds the byte.
            self.send("run", number, token[1:].decode(), *argv)
            return number, self._await_exit(number, seconds, streams)
        finally:
            for name, stream in streams.items():
                stream.flush()
                self.selector.unregister(self.ports[name])

    def _feeder(self, name, stream):
        def feed():
            data = self.ports[name].read()
            if data:
                stream.feed(data)

        return feed

    def _await_exit(self, number, seconds, streams=()):
        def ended():
            return number in self._exits and all(stream.ended for stream in dict(streams).values())

        if self.pump(ended, seconds):
            return Outcome(self._exits[number])
        if self.why_dead():
            return Outcome(None, self.why_dead())
        self._stop_script(ended)
        return Outcome(None, f"it did not end within {seconds:.0f} s (what was blocked is in console.log)", True)

    def _stop_script(self, ended):
        """Time is up: the kernel log gets what every task is doing, then the script is ended."""
        try:
            self.command("dump", seconds=20)
            self.send("kill")
        except MachineError:
            return
        self.pump(ended, 10)

    def shell(self, rows, columns):
        """Start the interactive shell; its number. The caller serves the terminal's port and awaits the end."""
        self._number += 1
        self.send("shell", self._number, rows, columns)
        return self._number

    def await_shell(self, number):
        return self._await_exit(number, 10.0**9)

    def close(self):
        for child in (self.qemu, self.device):
            if child is not None:
                child.stop()
        for port in self.ports.values():
            port.close()
        self.selector.close()
        self.folder.close()
        for held in (self.awake, self.place):
            if held is not None:
                held.close()
