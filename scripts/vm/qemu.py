# SPDX-License-Identifier: GPL-2.0-only
"""QEMU's command line. Pure: a function of the options and of what was started for the run.

All socket and file names are relative to the run's folder.
"""

import json

from . import device
from .options import MAX_PORTS

BINARY = "qemu-system-x86_64"
DEVICE_NAMES = {"e1000e": "e1000e", "igb": "igb", "virtio-net": "virtio-net-pci"}
MODULE_NAMES = {"e1000e": "e1000e", "igb": "igb", "virtio-net": "virtio_net"}

# Time limits of the kernel's own watchdogs are stretched, not switched off: the guest shares a few real CPUs with
# everything else, but what is stuck for a minute is stuck. The clock is declared good, since the clock watchdog
# would compare two emulated clocks and blame the one that was scheduled out.
KERNEL_ARGUMENTS = (
    "console=ttyS0 loglevel=5 printk.devkmsg=on panic=-1 oops=panic tsc=reliable net.ifnames=0 "
    "mitigations=off nokaslr audit=0 apparmor=0 no_timer_check "
    "rcupdate.rcu_cpu_stall_timeout=60 rcupdate.rcu_cpu_stall_suppress_at_boot=1 watchdog_thresh=30 workqueue.watchdog_thresh=60"
)
PORTS = ("agent", "stdout", "stderr")
ROOT_PORTS = [f"{kind}{port}" for kind in ("nic", "peer") for port in range(MAX_PORTS)]
# Without five-level paging: walks are shorter, and a kernel with KASAN takes an interrupt early in the boot, while it
# reads the CPU's features anew and so has none for a moment, for a wild access.
TCG_CPU = "max,la57=off"
FASTEST_TSC = 4_000_000_000  # Hz
ICOUNT_TSC = 1_000_000_000  # Hz


def peer_mac(port):
    return f"52:54:00:78:00:{port + 1:02x}"


def nic_mac(port):
    """Address of a stock NIC that stands in for the device."""
    return f"52:54:00:78:01:{port + 1:02x}"


def machine(wanted, accelerator):
    argv = [BINARY, "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]
    argv += ["-machine", "q35,memory-backend=ram,smm=off,usb=off,vmport=off,sata=off,hpet=off"]
    # With ACPI's own hot plug for bridges, its _OSC keeps PCIe hot plug from the kernel, also from ports behind VMD.
    argv += ["-global", "ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off"]
    argv += ["-object", f"memory-backend-memfd,id=ram,size={wanted.mem},share=on", "-m", wanted.mem]
    argv += ["-smp", str(wanted.cpus)]
    if wanted.icount:
        argv += ["-accel", "tcg,thread=single", "-cpu", TCG_CPU, "-icount", "shift=0"]
    elif accelerator == "kvm":
        argv += ["-accel", "kvm", "-cpu", "host"]
    else:
        argv += ["-accel", "tcg,thread=multi", "-cpu", TCG_CPU]
    return argv


def delay_loop(wanted, hz):
    """Saves the guest from measuring its delay loop, which takes a quarter of a second for each CPU.

    The value is what the fastest time stamp counter would give, so that delays are never shorter than asked.
    """
    return f" lpj={(ICOUNT_TSC if wanted.icount else FASTEST_TSC) // hz}" if hz else ""


def boot(image, initramfs, modules, extra=""):
    """How the kernel is started. The small firmware is enough for it and half a second faster than the usual one."""
    text = KERNEL_ARGUMENTS + (f" OXNIC_MODULES={','.join(modules)}" if modules else "") + extra
    return ["-bios", "qboot.rom", "-kernel", image, "-initrd", initramfs, "-append", text]


def console():
    return ["-chardev", "file,id=console,path=console.log", "-serial", "chardev:console"]


def serial_ports(has_control, has_terminal):
    """The ports between harness and guest, and from the guest to the device's control channel."""
    argv = ["-device", "virtio-serial-pci,id=serial,max_ports=8"]
    if has_terminal:
        argv += ["-chardev", "socket,id=terminal,path=terminal.sock", "-device", "virtconsole,bus=serial.0,chardev=terminal,nr=0"]
    names = PORTS + (("control",) if has_control else ())
    for number, name in enumerate(names, start=1):
        argv += ["-chardev", f"socket,id={name},path={name}.sock"]
        argv += ["-device", f"virtserialport,bus=serial.0,nr={number},chardev={name},name=org.oxnic.{name}"]
    return argv


def nic(model, name, netdev, mac):
    """A stock NIC, without the boot ROM that only costs time. An igb gets a bus of its own, on which its VFs have room."""
    argv, where = ["-netdev", netdev], ""
    if model == "igb":
        argv += ["-device", f"pcie-root-port,id={name}-port,chassis={1 + ROOT_PORTS.index(name)},slot={1 + ROOT_PORTS.index(name)}"]
        where = f",bus={name}-port"
    return argv + ["-device", f"{DEVICE_NAMES[model]},id={name},netdev={name}-link,mac={mac},romfile={where}"]


def network(wanted, device_socket, cables=()):
    """The NIC under test and, at the far end of each wire, the stock NIC.

    cables: for stock NICs on both ends, a connected pair of inherited sockets for each wire. (Left to QEMU, the
    listening end is opened in the background, and the connecting one may come too early or twice.)
    """
    argv = []
    if wanted.nic == "oxnic":
        where = {"driver": "vfio-user-pci", "socket": {"path": device_socket, "type": "unix"}}
        argv += ["-device", json.dumps(where)]
        if wanted.device_socket:
            return argv
    for port in range(wanted.ports):
        far = f"addr.type=unix,addr.path={device.wire(port)}"
        if wanted.nic in DEVICE_NAMES:
            near, far = (f"addr.type=fd,addr.str={end}" for end in cables[port])
            argv += nic(wanted.nic, f"nic{port}", f"stream,id=nic{port}-link,server=off,{near}", nic_mac(port))
            if wanted.pcap:
                argv += ["-object", f"filter-dump,id=pcap{port},netdev=nic{port}-link,file={wanted.pcap}/port{port}.pcap"]
        # Without any NIC under test: a wire that anything may be attached to, and nothing is.
        server = "on" if wanted.nic == "none" else "off"
        argv += nic(wanted.peer, f"peer{port}", f"stream,id=peer{port}-link,server={server},{far}", peer_mac(port))
    return argv


def modules(wanted):
    """Modules that the guest loads before anything else."""
    names = [MODULE_NAMES[wanted.peer]]
    if wanted.nic in MODULE_NAMES:
        names.append(MODULE_NAMES[wanted.nic])
    if wanted.has_device:
        names.append("vmd")
    return list(dict.fromkeys(names))
