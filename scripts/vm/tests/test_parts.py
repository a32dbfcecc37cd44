# SPDX-License-Identifier: GPL-2.0-only
"""The parts of the harness that need no guest: options, archives, images, streams, leak reports, QEMU's command line."""

import os
import struct
import subprocess
import sys
import tempfile
import unittest
from unittest import mock

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", ".."))
sys.dont_write_bytecode = True

from vm import awake  # noqa: E402
from vm import disk  # noqa: E402
from vm import kernel  # noqa: E402
from vm import leaks  # noqa: E402
from vm import options  # noqa: E402
from vm import qemu  # noqa: E402
from vm.channel import Lines  # noqa: E402
from vm.channel import UntilToken  # noqa: E402
from vm.initramfs import Cpio  # noqa: E402
from vm.kernel import module_name  # noqa: E402
from vm.kernel_log import KernelLog  # noqa: E402
from vm.session import Result  # noqa: E402
from vm.share import Share  # noqa: E402
from vm.share import mount_order  # noqa: E402


class KernelFiles(unittest.TestCase):
    """A kernel that is given as a file loads the driver that was built for its release, wherever the file is."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="oxnic-vm-test-")
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        patch = mock.patch.object(options, "CACHE", os.path.join(self.folder, "cache"))
        patch.start()
        self.addCleanup(patch.stop)
        self.image("cache/kernel/debug/vmlinuz", "7.3.4-oxnic-debug")
        self.image("cache/kernel/stock/vmlinuz", "7.3.4+deb14-amd64")

    def image(self, name, release):
        """A file with as much of a bzImage as is looked at."""
        path = os.path.join(self.folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        head = bytearray(0x400)
        head[0x202:0x206] = b"HdrS"
        struct.pack_into("<H", head, 0x20E, 0x100)
        text = release.encode() + b" (somebody) #1\0"
        head[0x300 : 0x300 + len(text)] = text
        with open(path, "wb") as file:
            file.write(head)
        return path

    def test_a_release_that_is_known(self):
        found = kernel.find(self.image("boot/vmlinuz-7.3.4+deb14-amd64", "7.3.4+deb14-amd64"))
        self.assertEqual(found.driver, os.path.join(options.CACHE, "module", "stock", "oxnic.ko"))

    def test_a_release_that_is_not(self):
        found = kernel.find(self.image("boot/vmlinuz-6.1.0", "6.1.0"))
        self.assertIsNone(found.driver)

    def test_a_kernel_by_its_name(self):
        self.assertEqual(kernel.find("debug").driver, os.path.join(options.CACHE, "module", "debug", "oxnic.ko"))


class OptionTexts(unittest.TestCase):
    def test_defaults(self):
        wanted, rest = options.parse([], {})
        self.assertEqual((wanted.kernel, wanted.cpus, wanted.ports, wanted.peer, wanted.load, rest), ("stock", 4, 1, "e1000e", True, []))

    def test_arguments_win_over_the_environment(self):
        wanted, rest = options.parse(["CPUS=2", "a.sh", "X=1"], {"CPUS": "8", "PORTS": "3"})
        self.assertEqual((wanted.cpus, wanted.ports, rest), (2, 3, ["a.sh", "X=1"]))

    def test_icount_means_one_cpu(self):
        self.assertEqual(options.parse(["ICOUNT=1"], {})[0].cpus, 1)
        self.assertEqual(options.parse(["ICOUNT=1", "CPUS=2"], {})[0].cpus, 2)

    def test_no_device_means_no_driver(self):
        for word in ("NODEV=1", "NIC=igb"):
            self.assertFalse(options.parse([word], {})[0].load)

    def test_empty_means_default(self):
        self.assertEqual(options.parse(["PEER="], {"MEM": ""})[0], options.Options())

    def test_limits(self):
        options.parse(["PORTS=4"], {})
        for word in ("PORTS=5", "PORTS=0", "PEER=ne2k", "CPUS=65", "LOAD=maybe", "TIMEOUT=soon", "DIR=/nowhere/at/all", "COLOUR=red"):
            with self.subTest(word), self.assertRaises(options.UsageError):
                options.parse([word], {})


class Archive(unittest.TestCase):
    def test_cpio_reads_it_back(self):
        archive = Cpio()
        archive.add("folder", 0o040755)
        archive.add("folder/file", 0o100644, b"content\n")
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "a.cpio")
            with open(path, "wb") as file:
                file.write(archive.finish())
            with open(path, "rb") as file:
                try:
                    subprocess.run(["cpio", "-i", "--quiet"], cwd=folder, stdin=file, check=True)
                except FileNotFoundError:
                    self.skipTest("cpio is not installed here")
            with open(os.path.join(folder, "folder", "file"), "rb") as file:
                self.assertEqual(file.read(), b"content\n")

    def test_module_names(self):
        self.assertEqual(module_name("kernel/net/act-ct.ko.xz"), "act_ct")
        self.assertEqual(module_name("kernel/net/foo.ko"), "foo")


class Images(unittest.TestCase):
    TOP = os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "..", "..")

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="oxnic-image-")
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.tree = self.path("rootfs")
        os.makedirs(os.path.join(self.tree, "sub"))
        with open(os.path.join(self.tree, "sub", "file"), "wb") as file:
            file.write(b"content\n" * 10000)
        os.symlink("file", os.path.join(self.tree, "sub", "link"))
        os.chmod(os.path.join(self.tree, "sub", "file"), 0o4711)
        self.stamp = os.path.join(self.tree, ".ready")

    def path(self, name):
        return os.path.join(self.folder, name)

    def write_stamp(self, text, when):
        with open(self.stamp, "w", encoding="ascii") as file:
            file.write(text)
        os.utime(self.stamp, (when, when))

    def make(self, target, **environment):
        command = [os.path.join(self.TOP, "scripts", "image"), self.tree, self.path(target)]
        return subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **environment})

    @unittest.skipUnless(os.path.exists("/etc/oxnic-rootfs"), "needs the root file system's tools")
    def test_an_image_has_what_the_folder_has(self):
        self.assertEqual(self.make("image").returncode, 0)
        read = subprocess.run(["debugfs", "-R", "cat /sub/file", self.path("image")], capture_output=True, check=True)
        self.assertEqual(read.stdout, b"content\n" * 10000)
        listed = subprocess.run(["debugfs", "-R", "ls -l /sub", self.path("image")], capture_output=True, text=True, check=True).stdout
        self.assertRegex(listed, r"104711 .* file\n")
        self.assertRegex(listed, r"120777 .* link\n")
        subprocess.run(["e2fsck", "-fn", self.path("image")], capture_output=True, check=True)
        self.assertEqual(sorted(os.listdir(self.folder)), ["image", "rootfs"])

    @unittest.skipUnless(os.path.exists("/etc/oxnic-rootfs"), "needs the root file system's tools")
    def test_a_failure_leaves_what_was_there(self):
        with open(self.path("image"), "wb") as file:
            file.write(b"old")
        with open(self.path("image.new"), "wb") as file:
            file.write(b"what an interrupted run left")
        tools = self.path("tools")
        os.mkdir(tools)
        with open(os.path.join(tools, "df"), "w", encoding="ascii") as file:
            file.write("#!/bin/sh\necho; echo disk 1 1 1000 100% /\n")
        os.chmod(os.path.join(tools, "df"), 0o755)
        failed = self.make("image", PATH=f"{tools}:{os.environ['PATH']}")
        self.assertNotEqual(failed.returncode, 0)
        self.assertRegex(failed.stderr, "0 MiB free and the image needs 6[0-9]")
        with open(self.path("image"), "rb") as file:
            self.assertEqual(file.read(), b"old")
        self.assertEqual(self.make("image").returncode, 0)
        self.assertFalse(os.path.exists(self.path("image.new")))
        self.assertGreater(os.path.getsize(self.path("image")), 80000)

    def test_a_changed_tree_has_another_key(self):
        with self.assertRaises(options.UsageError):
            disk.key(self.stamp)
        keys = set()
        for text, when in (("one\n", 1000), ("two\n", 1000), ("two\n", 1001)):
            self.write_stamp(text, when)
            keys.add(disk.key(self.stamp))
        self.assertEqual(len(keys), 3)

    def test_setup_names_the_image_in_the_same_way(self):
        with open(os.path.join(self.TOP, "scripts", "setup-rootfs"), encoding="utf-8") as file:
            (line,) = [line for line in file if line.strip().startswith("image=$tree-")]
        self.write_stamp("e4d4771edf3f0f59\n", 1764160000)
        named = subprocess.run(["bash", "-c", f"tree=$1\n{line}\necho $image", "-", self.tree], capture_output=True, text=True, check=True)
        self.assertEqual(named.stdout, f"{self.tree}-{disk.key(self.stamp)}.ext4\n")

    def test_a_missing_image_says_what_to_do(self):
        cache, options.CACHE = options.CACHE, self.folder
        self.addCleanup(setattr, options, "CACHE", cache)
        self.write_stamp("one\n", 1000)
        with self.assertRaisesRegex(options.UsageError, "scripts/setup rootfs"):
            disk.root_image()
        with open(f"{self.tree}-{disk.key(self.stamp)}.ext4", "wb"):
            pass
        self.assertEqual(disk.root_image(), f"{os.path.realpath(self.tree)}-{disk.key(self.stamp)}.ext4")

    def test_a_disk_is_read_only_and_has_its_name(self):
        argv = " ".join(disk.Disk("root", "/a,b/c").qemu_arguments())
        self.assertIn("readonly=on,file=/a,,b/c", argv)
        self.assertIn("serial=root", argv)


class Streams(unittest.TestCase):
    def cut(self, data, size, token=b"\0token"):
        out = []
        stream = UntilToken(token, out.append)
        for start in range(0, len(data), size):
            stream.feed(data[start : start + size])
        return b"".join(out), stream

    def test_any_cut_gives_the_same(self):
        content = bytes(range(256)) + b"\0tok\0toke\0\0"
        for size in (1, 2, 3, 7, 1000):
            out, stream = self.cut(content + b"\0token" + b"after", size)
            self.assertEqual(out, content)
            self.assertTrue(stream.ended)

    def test_flush_gives_back_a_false_start(self):
        out, stream = self.cut(b"x\0tok", 2)
        self.assertEqual(out, b"x")
        late = []
        stream.sink = late.append
        stream.flush()
        self.assertEqual(b"".join(late), b"\0tok")

    def test_lines(self):
        lines = Lines()
        self.assertEqual(lines.feed(b"ok a\nex"), ["ok a"])
        self.assertEqual(lines.feed(b"it 1 0\r\n"), ["exit 1 0"])


class Log(unittest.TestCase):
    def test_parts_are_handed_out_once(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "console.log")
            reader = KernelLog(path)
            self.assertEqual(reader.take(), "")
            with open(path, "wb") as file:
                file.write(b"one\nend 1.\nend 12.\npart")
            self.assertEqual(reader.take_to("end 1.", 0, lambda: True), "one\nend 1.\n")
            self.assertEqual(reader.take(), "end 12.\n")
            self.assertEqual(reader.take_to("end 99.", 0, lambda: False), "")


class Leaks(unittest.TestCase):
    TEXT = (
        "unreferenced object 0xffff888004a1b000 (size 64):\n  comm \"insmod\", pid 1\n  backtrace (crc 0):\n"
        "    [<ffffffffc0a00123>] 0xffffffffc0a00123\n    kmalloc_noprof+0x1/0x2\n"
        "unreferenced object 0xffff888004a1c000 (size 8):\n  backtrace (crc 1):\n    0xffffffffc0a00010\n"
    )

    def test_reports_name_the_driver(self):
        found = leaks.reports(self.TEXT, leaks.Symbols("ffffffffc0a00000 t probe\t[oxnic]\nffffffffc0a00100 t open\t[oxnic]\n"))
        self.assertEqual(len(found), 2)
        self.assertIn("open+0x23 [oxnic]", found[0])
        self.assertIn("probe+0x10 [oxnic]", found[1])
        self.assertIn("0xffff888004a1b000", found[0])

    def test_without_symbols(self):
        self.assertEqual(len(leaks.reports(self.TEXT, leaks.Symbols(""))), 2)
        self.assertEqual(leaks.reports("", leaks.Symbols("")), [])

    def test_the_cores_own(self):
        def report(*callers):
            lines = "".join(f"    {name}+0x33/0xa0\n" for name in ("kmemleak_alloc", "__kmalloc_cache_noprof", *callers))
            return f"unreferenced object 0xffff88810638c600 (size 64):\n  backtrace (crc cc6be976):\n{lines}"

        self.assertIn("igb", leaks.cores_own(report("ethnl_set_tsconfig", "genl_rcv_msg")))
        self.assertIn("pulled", leaks.cores_own(report("pci_iov_init", "pci_device_add", "pci_scan_single_device", "pciehp_configure_device")))
        for callers in (("hwtstamp_set_callback", "ethnl_set_tsconfig"), ("ethnl_default_set_doit",), ()):
            self.assertIsNone(leaks.cores_own(report(*callers)))


class CommandLine(unittest.TestCase):
    def test_every_wire_has_a_peer(self):
        argv = " ".join(qemu.network(options.Options(ports=3, peer="igb"), "device.sock"))
        self.assertEqual(argv.count("igb,id=peer"), 3)
        self.assertIn("vfio-user-pci", argv)

    def test_icount_runs_on_one_thread(self):
        argv = qemu.machine(options.Options(icount=True), "tcg")
        self.assertIn("tcg,thread=single", argv)
        self.assertIn("-icount", argv)

    def test_addresses_differ(self):
        macs = [qemu.peer_mac(i) for i in range(4)] + [qemu.nic_mac(i) for i in range(4)]
        self.assertEqual(len(set(macs)), 8)

    def test_outer_mounts_come_first(self):
        order = mount_order([Share("in", "/a/b/c"), Share("out", "/a/b"), Share("else", "/x", target="/usr/lib/modules/7")])
        self.assertEqual([share.tag for share in order], ["out", "in", "else"])


class Awake(unittest.TestCase):
    def request(self, flags, qos=None):
        """What keep() writes on a host with these CPU flags, or None."""
        with tempfile.TemporaryDirectory() as folder:
            cpuinfo = os.path.join(folder, "cpuinfo")
            with open(cpuinfo, "w", encoding="ascii") as file:
                file.write(f"processor\t: 0\nflags\t\t: {flags}\nbogomips\t: 1\n")
            path = qos or os.path.join(folder, "qos")
            with mock.patch.multiple(awake, QOS=path, CPUINFO=cpuinfo):
                held = awake.keep()
            if held is None:
                return None
            with held, open(path, "rb") as file:
                return file.read()

    def test_a_virtual_machine_asks_for_no_latency(self):
        self.assertEqual(self.request("fpu hypervisor lahf_lm"), struct.pack("i", 0))

    def test_bare_metal_asks_for_nothing(self):
        self.assertIsNone(self.request("fpu lahf_lm"))

    def test_a_host_that_refuses_is_no_error(self):
        self.assertIsNone(self.request("hypervisor", qos="/nowhere/at/all"))
        self.assertIsNone(self.request("hypervisor", qos="/dev/full"))


class Codes(unittest.TestCase):
    def test_the_scripts_status_comes_first(self):
        self.assertEqual(Result("a", status=0).code, 0)
        self.assertEqual(Result("a", status=7, trouble=["x"]).code, 7)
        self.assertEqual(Result("a", status=0, unmet=["x"]).code, 99)
        self.assertEqual(Result("a", status=None, timed_out=True, splats=["x"]).code, 124)
        self.assertEqual(Result("a", status=None, reason="the guest crashed").code, 99)


if __name__ == "__main__":
    unittest.main()
