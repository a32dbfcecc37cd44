# SPDX-License-Identifier: GPL-2.0-only
"""The harness with real guests: what a script gets, what comes back, and what becomes of bad scripts.

Needs the root file system and the stock kernel, and takes about a minute; skipped outside (see `run`).
"""

import os
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", ".."))
sys.dont_write_bytecode = True

from vm import options  # noqa: E402
from vm import session  # noqa: E402

READY = os.path.exists("/etc/oxnic-rootfs") and os.path.exists(os.path.join(options.CACHE, "kernel", "stock", ".ready"))
# A report as the kernel would write it, put into its log line by line.
FALSE_WARNING = """
for line in "------------[ cut here ]------------" "WARNING: drivers/x.c:3 at here+0x1/0x2, CPU#1: sh/3" \\
	"Call Trace:" "---[ end trace 0 ]---"; do echo "<4>$line" >/dev/kmsg; done
"""


@unittest.skipUnless(READY, "needs the root file system and the stock kernel")
class Guests(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="oxnic-vm-test-")
        self.addCleanup(self.folder.cleanup)
        self.out, self.err = {}, {}

    def script(self, name, text, interpreter="/bin/bash"):
        path = os.path.join(self.folder.name, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(f"#!{interpreter}\n{text}\n")
        os.chmod(path, 0o755)
        return path

    def sinks(self, path):
        name = os.path.basename(path)
        self.out[name], self.err[name] = bytearray(), bytearray()
        return self.out[name].extend, self.err[name].extend

    def run_all(self, scripts, **choices):
        wanted = options.Options(**{"nic": "none", **choices})
        runs = session.Session(wanted)
        results = runs.run_each(scripts, sinks=self.sinks)
        self.kept = runs.kept
        return {os.path.basename(result.script): result for result in results}

    def test_good_scripts_share_a_guest(self):
        every_byte = "import sys\nfor _ in range(100): sys.stdout.buffer.write(bytes(range(256)) * 64)"
        results = self.run_all(
            [
                self.script("status.sh", "echo to-out; echo to-err >&2; exit 7"),
                self.script("binary.py", every_byte, "/usr/bin/env python3"),
                [self.script("words.sh", 'printf "<%s>" "$@"; printf %s "$(</proc/sys/kernel/random/boot_id)" >&2'), "two words", "*", "it's"],
                self.script("boot.sh", "printf %s $(cat /proc/sys/kernel/random/boot_id) >&2"),
                self.script("reopen.sh", "echo a >/dev/stdout; echo b >/dev/stderr; echo c | tee /dev/stderr"),
                self.script("leftover.sh", "sleep 1000 & (setsid sleep 1000 &); echo done"),
                self.script("none.sh", "pgrep -c sleep; true"),
                self.script("root.sh", "set -e; touch /etc/new; rm /etc/hostname; if echo x >/dev/vda; then exit 1; fi"),
                self.script("root2.sh", "test -e /etc/new && ! test -e /etc/hostname && grep -q '^root / overlay .*lowerdir=/over/root,' /proc/mounts"),
            ]
        )
        self.assertEqual([r.code for r in results.values()], [7, 0, 0, 0, 0, 0, 0, 0, 0])
        self.assertEqual((bytes(self.out["status.sh"]), bytes(self.err["status.sh"])), (b"to-out\n", b"to-err\n"))
        self.assertEqual(bytes(self.out["binary.py"]), bytes(range(256)) * 6400)
        self.assertEqual(bytes(self.out["words.sh"]), b"<two words><*><it's>")
        self.assertEqual(self.err["words.sh"], self.err["boot.sh"])
        self.assertEqual((bytes(self.out["reopen.sh"]), bytes(self.err["reopen.sh"])), (b"a\nc\n", b"b\nc\n"))
        self.assertEqual(bytes(self.out["none.sh"]), b"0\n")

    def test_bad_scripts_cost_their_guest_only(self):
        expecting = "echo 'oxnic-expect: drivers/x.c:3 at here' >/dev/kmsg\n" + FALSE_WARNING
        results = self.run_all(
            [
                self.script("splat.sh", FALSE_WARNING),
                self.script("expected.sh", expecting),
                self.script("unmet.sh", "echo 'oxnic-expect: never said' >/dev/kmsg"),
                self.script("hang.sh", "echo before; sleep 1000"),
                self.script("crash.sh", "echo c >/proc/sysrq-trigger; sleep 1000"),
                self.script("after.sh", "echo alive"),
            ],
            timeout=20,
        )
        codes = {name: result.code for name, result in results.items()}
        wanted = {"splat.sh": 99, "expected.sh": 0, "unmet.sh": 99, "hang.sh": 124, "crash.sh": 99, "after.sh": 0}
        self.assertEqual(codes, wanted)
        self.assertEqual([one.kind for one in results["splat.sh"].splats], ["WARNING"])
        self.assertEqual(results["unmet.sh"].unmet, ["never said"])
        self.assertEqual(results["hang.sh"].splats, [])
        self.assertEqual(results["crash.sh"].splats[0].kind, "panic")
        self.assertEqual(bytes(self.out["hang.sh"]), b"before\n")
        self.assertEqual(len(self.kept), 4)

    def test_folders_and_stock_nics(self):
        shared = os.path.join(self.folder.name, "shared")
        os.mkdir(shared)
        recorded = os.path.join(self.folder.name, "pcap")
        os.mkdir(recorded)
        talk = """set -e
echo guest >"$SHARED/from-guest"
! touch "$OXNIC_TOP/x" 2>/dev/null
ip netns add far; ip link set "$PEER2" netns far
ip addr add 10.9.0.1/24 dev "$PF2"; ip link set "$PF2" up
ip -n far addr add 10.9.0.2/24 dev "$PEER2"; ip -n far link set "$PEER2" up
ping -q -c 2 -i 0.3 -w 30 10.9.0.2 >/dev/null || ping -q -c 2 -w 30 10.9.0.2
"""
        script = self.script("talk.sh", f"SHARED={shared}\n{talk}")
        results = self.run_all([script], nic="e1000e", peer="virtio-net", ports=2, dir=[shared], pcap=recorded)
        self.assertEqual(results["talk.sh"].code, 0, bytes(self.err["talk.sh"]))
        with open(os.path.join(shared, "from-guest"), encoding="ascii") as file:
            self.assertEqual(file.read(), "guest\n")
        self.assertGreater(os.path.getsize(os.path.join(recorded, "port1.pcap")), 24)

    def test_a_guest_that_cannot_be_had(self):
        with self.assertRaises(options.UsageError):
            self.run_all([self.script("x.sh", "true")], kernel="/no/such/image")
        with self.assertRaises(session.MachineError) as caught:
            self.run_all([self.script("x.sh", "true")], qemu_args=["-device", "no-such-device"])
        self.assertIn("no-such-device", str(caught.exception))


if __name__ == "__main__":
    unittest.main()
