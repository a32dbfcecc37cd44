# SPDX-License-Identifier: GPL-2.0-only
"""A guest starts another kernel by kexec while its NIC is busy; how to use it is written in selftests/kexec.

At kexec nobody unbinds drivers, and nothing resets the machine: what a function still wrote would go into the new kernel's memory. That
kernel is the same one, with the same initramfs and command line, so that the harness gets its guest anew.
"""

import argparse
import os
import shutil
import sys
import time

HERE = os.path.dirname(os.path.realpath(__file__))
FOLDER = os.path.dirname(HERE)
sys.path[:0] = [FOLDER, os.path.join(os.path.dirname(FOLDER), "scripts")]

from host import tap  # noqa: E402
from host.execute import Tally, say  # noqa: E402
from vm import initramfs  # noqa: E402
from vm import options  # noqa: E402
from vm import splat  # noqa: E402
from vm.machine import Machine, MachineError  # noqa: E402

GUEST = os.path.join(FOLDER, "guest", "kexec")


class Failed(Exception):
    """Something did not hold."""


def run(machine, *words, seconds=180):
    """A command of selftests/guest/kexec; its output."""
    out = bytearray()
    _, outcome = machine.run([GUEST, *words], out.extend, out.extend, seconds)
    text = out.decode(errors="replace").strip()
    if outcome.status != 0:
        raise Failed(f"{words[0]}: {outcome.reason or f'status {outcome.status}'}: {text}")
    return text


def start_another(machine):
    """Traffic and VFs, and then the jump into the new kernel, of which the agent says that it is ready."""
    for path, name in ((machine.kernel.image, "vmlinuz"), (initramfs.build(machine.kernel), "initramfs")):
        shutil.copy(path, machine.folder.guest(name))
    say(run(machine, "prepare"))
    start = time.monotonic()
    machine.send("run", 1000, "none", GUEST, "jump")
    machine._wait_for_answer("ready", machine.wanted.boot_timeout, "the new kernel did not boot")
    say(f"the new kernel's agent answers after {time.monotonic() - start:.1f} s")


def judge(machine):
    """What the device was found to be, before a driver has seen it and with one."""
    say(run(machine, "quiet"))
    machine._load_driver()
    machine._find_names()
    say(run(machine, "works"))
    unexpected, _ = splat.judge(machine.log.take())
    if unexpected:
        raise Failed("\n".join(one.text() for one in unexpected))


def main():
    parser = argparse.ArgumentParser(prog="selftests/kexec", add_help=False)
    parser.add_argument("--kernel", default=os.environ.get("KERNEL") or "stock")
    wanted, _ = options.parse([f"KERNEL={parser.parse_args().kernel}"], {})
    tally, case = Tally(), tap.Case("kexec", "pass")
    try:
        with Machine(wanted) as machine:
            try:
                start_another(machine)
                judge(machine)
            except BaseException:
                machine.folder.keep = True
                say(f"kept: {machine.folder.path}")
                raise
    except (Failed, MachineError) as error:
        case = tap.Case("kexec", "fail", str(error))
        say(error)
    tally.add([case])
    return tally.report()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except options.UsageError as error:
        print(f"selftests: error: {error}", file=sys.stderr)
        sys.exit(2)
