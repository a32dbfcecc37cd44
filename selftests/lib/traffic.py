# SPDX-License-Identifier: GPL-2.0-only
"""Traffic by tools and sockets of the kernel: ping, one-off exchanges, and streams that go on while something happens."""

import json
import math
import multiprocessing
import re
import socket
import subprocess
import tempfile
import time

from .case import Failure, defer, until
from .command import sh
from .namespace import open_socket
from .pace import less, slow


def ping(address, ns=None, count=3, size=56, check=True, options=(), seconds=3):
    """Pings; with check, every one must be answered. Returns how many were.

    Once it has had any answer, ping waits for the last one only twice as long as the longest took (-W is for when there was
    none): on a busy host it may leave too early. With a deadline (-w) it goes on, if need be with further requests, until it has
    as many answers as were asked for; whether the first ones are among them is told by their numbers.
    """
    seconds = slow(seconds)
    argv = ["ping", "-n", "-c", count, "-i", "0.05", "-s", size, *options]
    argv += ["-w", seconds + math.ceil(count * 0.05)] if check else ["-W", seconds]
    result = sh([*argv, address], ns=ns, check=False)
    numbers = {int(number) for number in re.findall(r"icmp_seq=(\d+) .*time=", result.text)}
    received = len([number for number in numbers if number <= count])
    if check and received != count:
        raise Failure(f"{received} of {count} pings of {address} were answered: {result.text}")
    return received


def _family(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def udp_echo(client, server, payload=b"x", port=7000, ns=(None, None), seconds=5.0):
    """A datagram there and back; ns is (client's, server's). True if it came back unharmed."""
    family = _family(server)
    with open_socket(ns[1], family, socket.SOCK_DGRAM) as there, open_socket(ns[0], family, socket.SOCK_DGRAM) as here:
        there.bind((server, port))
        here.bind((client, 0))
        for end in (there, here):
            end.settimeout(slow(seconds))
        try:
            here.sendto(payload, (server, port))
            got, back = there.recvfrom(65536)
            if got != payload:
                raise Failure(f"a datagram of {len(payload)} bytes arrived changed ({len(got)} bytes)")
            there.sendto(got, back)
            return here.recv(65536) == payload
        except TimeoutError:
            return False


def tcp(server_address, server_ns=None, client_ns=None, size="16M", reverse=False, options=(), seconds=180):
    """A TCP stream by iperf3; fails unless all bytes arrive. Returns iperf3's summary of the end."""
    server = subprocess.Popen(
        _in(server_ns, ["iperf3", "-s", "-1", "-B", server_address]), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        _wait_listening(server_ns)
        argv = ["iperf3", "-c", server_address, "-n", less(size), "-J", *(["-R"] if reverse else []), *options]
        result = sh(argv, ns=client_ns, check=False, seconds=seconds)
        try:
            report = json.loads(result.out)
        except ValueError:
            raise Failure(f"iperf3 to {server_address}: {result.text}") from None
        if result.status != 0 or "error" in report:
            raise Failure(f"iperf3 to {server_address}: {report.get('error', result.text)}")
        return report["end"]
    finally:
        server.kill()
        server.wait()


def _in(ns, argv):
    return argv if ns is None else ["ip", "netns", "exec", ns.name, *argv]


def _wait_listening(ns, port=5201):
    until(lambda: sh(f"ss -Hltn 'sport = {port}'", ns=ns).out, f"iperf3 listens on port {port}")


class Stream:
    """Traffic in both directions that goes on until the end of the case: UDP between two links, by iperf3.

    UDP since it does not slow down after a gap: what `resumes` sees is the device, not a retransmission timer.
    """

    def __init__(self, near, far, near_address, far_address, rate="20M", tcp_too=False):
        self.near, self.far = near, far
        self.children, self.outputs = [], []
        defer(self.stop)
        try:
            self._begin(near, far, near_address, far_address, rate, tcp_too)
        except BaseException:
            self.stop()  # its ports are free for the next
            raise

    def _begin(self, near, far, near_address, far_address, rate, tcp_too):
        for port, link, address in ((5301, far, far_address), (5302, near, near_address)):
            self._start(link, ["iperf3", "-s", "-B", address, "-p", port])
            self._listens(link, port)
        udp = ["-u", "-b", less(rate), "-l", "1000", "-t", "3600"]
        self._start(near, ["iperf3", "-c", far_address, "-p", "5301", *udp])
        self._start(far, ["iperf3", "-c", near_address, "-p", "5302", *udp])
        if tcp_too:
            self._start(far, ["iperf3", "-s", "-B", far_address, "-p", "5303"])
            self._listens(far, 5303)
            self._start(near, ["iperf3", "-c", far_address, "-p", "5303", "-t", "3600", "--bidir"])
        self.resumes()

    def _start(self, link, argv):
        argv = _in(link.ns, [str(word) for word in argv])
        output = tempfile.TemporaryFile("w+")
        self.outputs.append(output)
        self.children.append(subprocess.Popen(argv, stdout=output, stderr=subprocess.STDOUT))

    def _listens(self, link, port):
        try:
            _wait_listening(link.ns, port)
        except Failure as failure:
            self.outputs[-1].seek(0)
            raise Failure(f"{failure}: {self.outputs[-1].read()[-500:]!r}") from None

    def received(self):
        """Packets that the two links have received: (near, far)."""
        return tuple(link.stats()["rx"]["packets"] for link in (self.near, self.far))

    def resumes(self, packets=100, seconds=40.0):
        """Wait until so many further packets have arrived at both ends; the time that it took."""
        start, (near, far), before = time.monotonic(), self.received(), self.near.counters()

        def both():
            now = self.received()
            return now[0] >= near + packets and now[1] >= far + packets

        try:
            until(both, f"traffic in both directions between {self.near} and {self.far}", seconds, pause=0.2)
        except Failure as failure:
            now = self.received()
            moved = {name: count - before.get(name, 0) for name, count in self.near.counters().items() if count != before.get(name, 0)}
            raise Failure(
                f"{failure}; {self.near} received {now[0] - near}, {self.far} {now[1] - far}; {self.complaints()}; what {self.near} counted: {moved}"
            ) from None
        return time.monotonic() - start

    def complaints(self):
        """What the programs have said, and which of them have ended: the traffic may be missing because of them."""
        words = []
        for child, output in zip(self.children, self.outputs, strict=True):
            output.seek(0)
            words.append(f"{child.args[-1]}: status {child.poll()}, {output.read()[-200:]!r}")
        return "; ".join(words)

    def flows(self, seconds=10.0):
        """True if packets arrive at both ends."""
        try:
            self.resumes(20, seconds)
        except Failure:
            return False
        return True

    def stop(self):
        for child in self.children:
            child.kill()
        for child in self.children:
            child.wait()
        for output in self.outputs:
            output.close()
        self.children, self.outputs = [], []


class Sender:
    """A process that sends datagrams to a port nobody listens at, as fast as its small buffer empties, until the end of the case.

    It waits whenever what it has sent is still in a queue: where that is forgotten, it sends no more.
    """

    def __init__(self, source, destination, payload=1200, buffer=20000):
        self.socket = socket.socket(_family(source), socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer)
        self.socket.bind((source, 0))
        self.payload, self.destination = bytes(payload), (destination, 9)
        self.sent = multiprocessing.Value("Q", 0, lock=False)
        self.process = multiprocessing.Process(target=self._run, daemon=True)
        defer(self.stop)
        self.process.start()

    def _run(self):
        while True:
            try:
                self.socket.sendto(self.payload, self.destination)
                self.sent.value += 1
            except OSError:  # the far end's refusal, or no room in a queue: the next attempt shows
                time.sleep(0.01)
            if self.sent.value % 20 == 0:
                time.sleep(0.002)  # leaves room to the other programs

    def goes_on(self, seconds=10.0):
        """Wait until it has sent something more than what its buffer holds."""
        before = self.sent.value
        until(lambda: self.sent.value > before + 20, f"datagrams from port {self.socket.getsockname()[1]} after {before}", seconds)

    def stop(self):
        self.process.kill()
        self.process.join()
        self.socket.close()
