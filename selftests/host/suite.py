# SPDX-License-Identifier: GPL-2.0-only
"""Builds the kernel's selftests, and netdevsim for the stock kernel, from the source in the cache into the cache."""

import os
import shutil
import subprocess

from vm import options

# The only test of its folder that is wanted, and a script.
FILTER = "net/vlan_hw_filter.sh"
# Runs as it is, and nothing of it is built.
TDC = "tc-testing"
TARGETS = "net/lib drivers/net drivers/net/hw drivers/net/netdevsim net/forwarding net/netfilter"
# Families whose C tests of YNL are built, and where they go.
YNL, YNL_FAMILIES = "net/ynl", ("devlink", "ethtool")
# What building them needs of the source tree; the tree itself stays as it was unpacked.
PARTS = ("Kbuild", "Kconfig", "MAINTAINERS", "Makefile", "arch/x86", "include", "scripts", "tools", "usr", "Documentation/netlink")
LEFT_OUT = ("tools/testing/selftests/bpf", "tools/perf")


class BuildError(Exception):
    """The text is one line and says where the whole output is."""


def _run(what, argv, log):
    with open(log, "w") as file:
        done = subprocess.run(argv, stdout=file, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, check=False)
    if done.returncode:
        raise BuildError(f"{what} failed; the whole output is in {log}")


def _source():
    return os.path.realpath(os.path.join(options.CACHE, "src", "linux"))


def _folder():
    path = os.path.join(options.CACHE, "selftests", os.path.basename(_source()))
    os.makedirs(path, exist_ok=True)
    return path


def install():
    """The folder of the built tests; builds them on first use (half a minute)."""
    source, folder = _source(), _folder()
    wanted = os.path.join(folder, "install")
    if all(os.path.exists(os.path.join(wanted, name)) for name in ("kselftest-list.txt", YNL)):
        shutil.copy(os.path.join(source, "tools/testing/selftests", FILTER), os.path.join(wanted, FILTER))
        shutil.copytree(os.path.join(source, "tools/testing/selftests", TDC), os.path.join(wanted, TDC), dirs_exist_ok=True)
        return wanted
    print("# building the kernel's selftests", flush=True)
    tree = os.path.join(folder, "tree")
    shutil.rmtree(tree, ignore_errors=True)
    for part in PARTS:
        left_out = [f"--exclude=/{path}" for path in LEFT_OUT]
        os.makedirs(tree, exist_ok=True)
        _run("copying the source", ["rsync", "-aR", *left_out, f"{source}/./{part}", tree], os.path.join(folder, "copy.log"))
    _run("make headers", ["make", "-C", tree, "ARCH=x86", "headers"], os.path.join(folder, "headers.log"))
    new = wanted + ".new"
    shutil.rmtree(new, ignore_errors=True)
    argv = ["make", "-C", f"{tree}/tools/testing/selftests", "ARCH=x86", f"-j{os.cpu_count()}", f"TARGETS={TARGETS}"]
    _run("building the kernel's selftests", [*argv, f"INSTALL_PATH={new}", "install"], os.path.join(folder, "install.log"))
    _build_ynl(tree, new, folder)
    _check(new)
    shutil.rmtree(wanted, ignore_errors=True)
    os.rename(new, wanted)
    shutil.rmtree(tree, ignore_errors=True)
    return install()


def _build_ynl(tree, new, folder):
    """The tests of YNL in C are no part of the suite; only what they need of the library is built."""
    source, families = os.path.join(tree, "tools/net/ynl"), " ".join(YNL_FAMILIES)
    for part, words in (("lib", ["ynl.a"]), ("generated", ["protos.a", f"GENS={families}"]), ("tests", ["NDEBUG=1", *YNL_FAMILIES])):
        _run("building the tests of YNL", ["make", "-C", os.path.join(source, part), *words], os.path.join(folder, f"ynl-{part}.log"))
    os.makedirs(os.path.join(new, YNL))
    for name in YNL_FAMILIES:
        shutil.copy(os.path.join(source, "tests", name), os.path.join(new, YNL, name))


def _check(folder):
    """The suite's Makefiles go on after an error, so look for what must be there."""
    for name in ("net/lib/csum", "net/lib/xdp_native.bpf.o", "net/lib/xdp_helper", "drivers/net/napi_id_helper", "net/lib/ynl/generated"):
        if not os.path.exists(os.path.join(folder, name)):
            raise BuildError(f"the build of the kernel's selftests made no {name}: see install.log beside {folder}")


def netdevsim(kernel):
    """Path of a netdevsim.ko for the kernel, or "" where the kernel has its own."""
    if kernel != "stock":
        return ""
    folder = os.path.join(_folder(), "netdevsim")
    module = os.path.join(folder, "netdevsim.ko")
    if os.path.exists(module):
        return module
    print("# building netdevsim for the stock kernel", flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(os.path.join(_source(), "drivers/net/netdevsim"), folder)
    make = os.path.join(options.TOP, "scripts", "kernel", "make")
    _run("building netdevsim", [make, kernel, f"M={folder}", "CONFIG_NETDEVSIM=m", "modules"], folder + ".log")
    return module
