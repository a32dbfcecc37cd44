# SPDX-License-Identifier: GPL-2.0-only
"""Folders of the host in the guest, by QEMU's own 9p server.

Not by virtiofsd, although that is faster: it writes to guest memory from another process. TCG keeps translations of
guest code by physical page and drops them when QEMU or the guest writes to the page; a write from outside goes unseen,
and a page of a program that is read in where there was another one before then runs the old one's code.
"""

from dataclasses import dataclass

# What nobody changes while the guest runs is cached without looking again; what the host may change is read anew at
# each opening; what both may change is not cached, but for mappings.
CACHE_MODES = {"fixed": "loose", "host": "readahead", "both": "mmap"}
MESSAGE_SIZE = 512000  # the most that virtio carries


@dataclass
class Share:
    """tag: the guest's name for it; path: on the host and, unless target is given, in the guest.

    changes: who may change it while the guest runs, "fixed", "host" or "both" (then it is writable).
    """

    tag: str
    path: str
    changes: str = "host"
    target: str = ""

    def qemu_arguments(self):
        readonly = "" if self.changes == "both" else ",readonly=on"
        # A comma in a path is doubled in QEMU's options.
        path = self.path.replace(",", ",,")
        return [
            "-fsdev",
            f"local,id=fs-{self.tag},path={path},security_model=none,multidevs=remap{readonly}",
            "-device",
            f"virtio-9p-pci,fsdev=fs-{self.tag},mount_tag={self.tag}",
        ]

    def mount_line(self):
        """One line of the guest's list of mounts: tag, mount options, place."""
        mode = "rw" if self.changes == "both" else "ro"
        return f"{self.tag} {mode},{mount_options(self.changes)} {self.target or self.path}\n"


def mount_options(changes):
    return f"trans=virtio,version=9p2000.L,msize={MESSAGE_SIZE},cache={CACHE_MODES[changes]}"


def mount_order(shares):
    """Outer folders first, so that an inner mount is not hidden by an outer one."""
    return sorted(shares, key=lambda share: (share.target or share.path).count("/"))
