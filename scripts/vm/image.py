# SPDX-License-Identifier: GPL-2.0-only
"""The kernel as QEMU loads it: the ELF file out of the distribution's compressed image.

It is the very same kernel; only unpacking it is done on the host, once, because an emulated CPU needs a second
for it at each boot. QEMU enters it by its PVH entry point. An image that cannot be taken apart is booted as it is.
"""

import hashlib
import lzma
import os
import re
import struct
import subprocess

from . import options
from .initramfs import made_once

PVH_NOTE = re.compile(rb"\x04\0\0\0[\x04\x08]\0\0\0\x12\0\0\0Xen\0")
SETUP_SECTORS, PAYLOAD = 0x1F1, 0x248


def bootable(kernel):
    """Path of what to give to QEMU for this kernel."""
    stamp = os.stat(kernel.image)
    key = hashlib.sha256(repr((kernel.image, stamp.st_mtime_ns, stamp.st_size)).encode()).hexdigest()[:16]
    folder = os.path.join(options.CACHE, "vm")
    path = os.path.join(folder, f"vmlinux-{kernel.name}-{key}")
    if os.path.exists(path):
        return path
    with open(kernel.image, "rb") as file:
        data = unpack(file.read())
    if data is None:
        return kernel.image
    return made_once(path, f"vmlinux-{kernel.name}-", lambda: data)


def unpack(image):
    """The ELF file in a bzImage, or None if it has no PVH entry or is compressed in a way not known here."""
    offset, length = struct.unpack_from("<II", image, PAYLOAD)
    start = (image[SETUP_SECTORS] + 1) * 512 + offset
    payload = image[start : start + length]
    if payload.startswith(b"\xfd7zXZ\0"):
        data = lzma.LZMADecompressor().decompress(payload)
    elif payload.startswith(b"\x28\xb5\x2f\xfd"):
        # The last four bytes are the unpacked size, which zstd takes for a damaged frame and leaves alone.
        result = subprocess.run(["zstd", "-dcq"], input=payload[:-4], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        data = result.stdout
    elif payload.startswith(b"\x7fELF"):
        data = payload
    else:
        return None
    return data if data.startswith(b"\x7fELF") and PVH_NOTE.search(data) else None
