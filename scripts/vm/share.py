# SPDX-License-Identifier: GPL-2.0-only
"""Folders of the host in the guest: one virtiofsd for each, and how QEMU and the guest name them."""

import os
import socket
from dataclasses import dataclass

from .process import Child

VIRTIOFSD = "/usr/libexec/virtiofsd"


@dataclass
class Share:
    """tag: the guest's name for it; path: on the host and, unless target is given, in the guest.

    cache: "always" for what nobody changes meanwhile, "auto" for what the host may change.
    """

    tag: str
    path: str
    writable: bool = False
    cache: str = "auto"
    target: str = ""

    def start(self, folder):
        """Start the server. Its socket exists before it does, so QEMU can connect at once."""
        listener = socket.socket(socket.AF_UNIX)
        path = os.path.join(folder, f"fs-{self.tag}.sock")
        listen_at(listener, path)
        argv = [VIRTIOFSD, "--fd", str(listener.fileno()), "--shared-dir", self.path, "--sandbox", "none"]
        argv += ["--seccomp", "none", "--cache", self.cache, "--log-level", "warn", "--xattr"]
        if not self.writable:
            argv.append("--readonly")
        child = Child(f"fs-{self.tag}", argv, folder, pass_fds=[listener.fileno()])
        listener.close()
        return child

    def qemu_arguments(self):
        return [
            "-chardev",
            f"socket,id=fs-{self.tag},path=fs-{self.tag}.sock",
            "-device",
            f"vhost-user-fs-pci,chardev=fs-{self.tag},tag={self.tag},queue-size=1024",
        ]

    def mount_line(self):
        """One line of the guest's list of mounts."""
        return f"{self.tag} {'rw' if self.writable else 'ro'} {self.target or self.path}\n"


def listen_at(listener, path):
    """Bind to a path of any length: the kernel takes 107 bytes, so the name is given relative to its folder."""
    here = os.open(".", os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.chdir(os.path.dirname(path))
        listener.bind(os.path.basename(path))
        listener.listen(4)
    finally:
        os.fchdir(here)
        os.close(here)


def mount_order(shares):
    """Outer folders first, so that an inner mount is not hidden by an outer one."""
    return sorted(shares, key=lambda share: (share.target or share.path).count("/"))
