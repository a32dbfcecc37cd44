# SPDX-License-Identifier: GPL-2.0-only
"""A kernel that a guest can boot: its image, its release and its modules."""

import glob
import lzma
import os
import re
import struct
from dataclasses import dataclass

from . import options


@dataclass
class Kernel:
    """name: as the user gave it; modules: the tree with modules.dep, or None for a kernel without modules; build: the kernel of the cache
    whose builds of the driver it can load, or None."""

    name: str
    image: str
    release: str
    modules: str | None
    build: str | None

    @property
    def driver(self):
        """Where the build puts the driver for this kernel; None where no build is for it."""
        return self.build and os.path.join(options.CACHE, "module", self.build, "oxnic.ko")

    @property
    def hz(self):
        """CONFIG_HZ if the configuration is known, else 0."""
        found = re.search(r"^CONFIG_HZ=(\d+)$", self._config(), re.MULTILINE)
        return int(found.group(1)) if found else 0

    @property
    def asks_for_pcie(self):
        """False if it was built so that it takes error reporting and hot plug of PCIe from no firmware.

        Without CONFIG_PCIEASPM the ACPI code does not even ask; a kernel whose configuration is not known has it.
        """
        return not self._config() or "\nCONFIG_PCIEASPM=y\n" in self._config()

    def _config(self):
        """The configuration (build/ beside the image), or an empty text."""
        try:
            with open(os.path.join(os.path.dirname(self.image), "build", ".config"), encoding="utf-8") as file:
                return file.read()
        except OSError:
            return ""


def release_of(image):
    """The release string of a bzImage (the boot protocol's kernel_version field points at it)."""
    with open(image, "rb") as file:
        head = file.read(0x8200)
    if head[0x202:0x206] != b"HdrS":
        raise options.UsageError(f"KERNEL={image} is not an x86 kernel image (bzImage)")
    (offset,) = struct.unpack_from("<H", head, 0x20E)
    text = head[offset + 0x200 : offset + 0x300].split(b"\0")[0]
    return text.split(b" ")[0].decode("ascii", "replace")


def find(name):
    """The kernel of that name in the cache, or of that file. UsageError says how to make a missing one."""
    if "/" in name or os.path.isfile(name):
        image = os.path.realpath(name)
        if os.path.isdir(image):
            image = os.path.join(image, "vmlinuz")
        if not os.path.isfile(image):
            raise options.UsageError(f"KERNEL={name}: there is no such file")
        name, build = os.path.basename(os.path.dirname(image)), build_for(release_of(image))
    else:
        build = name
        image = os.path.join(options.CACHE, "kernel", name, "vmlinuz")
        if not os.path.isfile(image):
            raise options.UsageError(f"there is no kernel '{name}' yet: run 'scripts/setup {name}', or give a file")
    release = release_of(image)
    modules = os.path.join(os.path.dirname(image), "modules", "lib", "modules", release)
    return Kernel(name, image, release, modules if os.path.isdir(modules) else None, build)


def build_for(release):
    """The kernel of the cache that has this release, or None: the driver that is built for it can be loaded by any other such one."""
    for path in sorted(glob.glob(os.path.join(options.CACHE, "kernel", "*", "vmlinuz"))):
        if release_of(path) == release:
            return os.path.basename(os.path.dirname(path))
    return None


class ModuleIndex:
    """Reads modules.dep and modules.builtin: what a module needs, in the order of loading."""

    def __init__(self, kernel):
        self.folder = kernel.modules
        self.needs, self.paths, self.builtin = {}, {}, set()
        if self.folder is None:
            return
        with open(os.path.join(self.folder, "modules.dep"), encoding="utf-8") as file:
            for line in file:
                path, _, needs = line.partition(":")
                self.paths[module_name(path)] = path
                self.needs[module_name(path)] = [module_name(need) for need in needs.split()]
        with open(os.path.join(self.folder, "modules.builtin"), encoding="utf-8") as file:
            self.builtin = {module_name(line) for line in file if line.strip()}

    def order(self, names):
        """The modules of these names and all that they need, dependencies first; built-in ones are left out.

        A name that is neither a module nor listed as built in is left out too: a kernel without modules.builtin
        has it built in or the guest's boot says what is missing.
        """
        order = []

        def visit(name):
            if name in order or name in self.builtin or name not in self.paths:
                return
            for need in self.needs[name]:
                visit(need)
            order.append(name)

        for name in names:
            visit(name.replace("-", "_"))
        return order

    def read(self, name):
        """A module's content, uncompressed (the host is faster at that than an emulated guest)."""
        path = os.path.join(self.folder, self.paths[name])
        with open(path, "rb") as file:
            data = file.read()
        if path.endswith(".xz"):
            return lzma.decompress(data)
        if not path.endswith(".ko"):
            raise options.UsageError(f"{path}: only plain and .xz modules can go into the initramfs")
        return data


def module_name(path):
    """kernel/net/foo-bar.ko.xz -> foo_bar"""
    return re.sub(r"\.ko(\.\w+)?$", "", os.path.basename(path.strip())).replace("-", "_")
