# SPDX-License-Identifier: GPL-2.0-only
"""The initramfs: busybox, guest/init and the modules that are wanted before the root file system is there.

It is an uncompressed cpio archive (nothing to unpack in the guest), made once for each kernel and kept in the
cache under a name that holds the hash of all that goes in.
"""

import fcntl
import hashlib
import os
import stat

from . import options
from .kernel import ModuleIndex

BASE = ("virtio_pci", "virtio_blk", "ext4", "9pnet_virtio", "9p", "overlay", "virtio_console")
NETWORK = ("vmd", "e1000e", "igb", "virtio_net")
FOLDERS = ("bin", "dev", "loaded", "modules", "new", "over", "proc", "sys")
BUSYBOX = "/bin/busybox"


class Cpio:
    """An archive in the kernel's "newc" format."""

    def __init__(self):
        self.parts, self.inode = [], 0

    def add(self, name, mode, data=b"", device=(0, 0)):
        self.inode += 1
        name_bytes = name.encode() + b"\0"
        numbers = (self.inode, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(name_bytes), 0)
        header = b"070701" + b"".join(b"%08X" % n for n in numbers)
        self.parts += [pad4(header + name_bytes), pad4(data)]

    def finish(self):
        self.add("TRAILER!!!", 0)
        return b"".join(self.parts)


def pad4(data):
    return data + b"\0" * (-len(data) % 4)


def build(kernel):
    """Path of the initramfs for this kernel."""
    index = ModuleIndex(kernel)
    lists = {"base": index.order(BASE), **{name: index.order([name]) for name in NETWORK}}
    with open(os.path.join(os.path.dirname(__file__), "guest", "init"), "rb") as file:
        init = file.read()
    stamps = [(name, os.stat(os.path.join(index.folder, index.paths[name])).st_mtime_ns) for name in all_of(lists)]
    recipe = repr((kernel.release, kernel.modules, lists, stamps, os.stat(BUSYBOX).st_mtime_ns)).encode() + init
    folder = os.path.join(options.CACHE, "vm")
    path = os.path.join(folder, f"initramfs-{kernel.name}-{hashlib.sha256(recipe).hexdigest()[:16]}.cpio")
    return made_once(path, f"initramfs-{kernel.name}-", lambda: archive(index, lists, init))


def all_of(lists):
    return sorted({name for names in lists.values() for name in names})


def archive(index, lists, init):
    cpio = Cpio()
    for folder in FOLDERS:
        cpio.add(folder, stat.S_IFDIR | 0o755)
    cpio.add("dev/console", stat.S_IFCHR | 0o600, device=(5, 1))
    cpio.add("init", stat.S_IFREG | 0o755, init)
    with open(BUSYBOX, "rb") as file:
        cpio.add("bin/busybox", stat.S_IFREG | 0o755, file.read())
    for name in all_of(lists):
        cpio.add(f"modules/{name}.ko", stat.S_IFREG | 0o644, index.read(name))
    for name, needs in lists.items():
        text = "".join(f"{need}.ko\n" for need in needs)
        cpio.add(f"modules/{name}.list", stat.S_IFREG | 0o644, text.encode())
    return cpio.finish()


def made_once(path, prefix, make):
    """The path, after a file with what make() gives is there. Files beside it whose names begin so are older ones, and go.

    Guests that start at the same time find the same file missing, and must not remove what the other one makes."""
    folder = os.path.dirname(path)
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, f".lock-{prefix}"), "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.exists(path):
            for name in os.listdir(folder):
                if name.startswith(prefix):
                    os.unlink(os.path.join(folder, name))
            write_atomically(path, make())
    return path


def write_atomically(path, data):
    temporary = f"{path}.{os.getpid()}"
    with open(temporary, "wb") as file:
        file.write(data)
    os.rename(temporary, path)
