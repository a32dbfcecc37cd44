# SPDX-License-Identifier: GPL-2.0-only
"""Disks of the guest: read-only images (scripts/image) of the root file system and of further packages.

Programs start from them two to three times as fast as from a 9p share: each file that is opened there costs several
messages to QEMU, also when all that is in it is cached.
"""

import hashlib
import os
from dataclasses import dataclass

from . import options

FORMAT = "ext4-1"  # as in scripts/setup-rootfs; another number makes new images


@dataclass
class Disk:
    """name: the guest finds it by this, as the disk's serial number; path: of the image, on the host."""

    name: str
    path: str

    def qemu_arguments(self):
        # A comma in a path is doubled in QEMU's options.
        path = self.path.replace(",", ",,")
        return [
            "-drive",
            f"if=none,id=disk-{self.name},format=raw,readonly=on,file={path}",
            "-device",
            f"virtio-blk-pci,drive=disk-{self.name},serial={self.name}",
        ]


def root_image():
    """Path of the image of the present root file system. UsageError if it was not made."""
    rootfs = os.path.realpath(os.path.join(options.CACHE, "rootfs"))
    path = f"{rootfs}-{key(os.path.join(rootfs, '.ready'))}.ext4"
    if not os.path.exists(path):
        raise options.UsageError("there is no image of the root file system yet: run 'scripts/setup rootfs'")
    return path


def key(stamp):
    """What stands in the image's name: a hash of the tree's stamp and of the second in which it was written.

    A tree that was made anew by the same recipe has a new image, as it may have newer packages."""
    try:
        with open(stamp, encoding="ascii") as file:
            recipe = file.read()
        written = int(os.stat(stamp).st_mtime)
    except FileNotFoundError:
        raise options.UsageError("the root file system is not there, or not whole: run 'scripts/setup rootfs'") from None
    return hashlib.sha256(f"{FORMAT}\n{recipe}{written}\n".encode()).hexdigest()[:16]
