# SPDX-License-Identifier: GPL-2.0-only
"""The kernel's per-queue view of a netdev by generic netlink: queues, their NAPI instances, and their statistics.

A minimal client of the `netdev` family (Documentation/netlink/specs/netdev.yaml), which no tool of the guest speaks.
"""

import os
import socket
import struct

from .case import Failure
from .namespace import open_socket

NETLINK_GENERIC, GENL_ID_CTRL = 16, 16
NLM_F_REQUEST, NLM_F_DUMP = 1, 0x300
NLMSG_ERROR, NLMSG_DONE = 2, 3
CTRL_CMD_GETFAMILY, CTRL_ATTR_FAMILY_ID, CTRL_ATTR_FAMILY_NAME = 3, 1, 2
CMD_QUEUE_GET, CMD_NAPI_GET, CMD_QSTATS_GET = 10, 11, 12
QUEUE_ID, QUEUE_IFINDEX, QUEUE_TYPE, QUEUE_NAPI_ID = 1, 2, 3, 4
NAPI_IFINDEX, NAPI_ID, NAPI_IRQ = 1, 2, 3
QSTATS_IFINDEX, QSTATS_QUEUE_TYPE, QSTATS_QUEUE_ID, QSTATS_SCOPE = 1, 2, 3, 4
QSTATS_RX_PACKETS, QSTATS_RX_BYTES, QSTATS_TX_PACKETS, QSTATS_TX_BYTES = 8, 9, 10, 11
SCOPE_QUEUE = 1
RX, TX = 0, 1


def _attribute(kind, data):
    body = struct.pack("=HH", 4 + len(data), kind) + data
    return body + bytes(-len(body) % 4)


def _attributes(data):
    found, place = {}, 0
    while place + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, place)
        if length < 4:
            break
        found[kind & 0x3FFF] = data[place + 4 : place + length]
        place += (length + 3) & ~3
    return found


def _number(data):
    return int.from_bytes(data, "little")


class Netdev:
    """The `netdev` family in a namespace."""

    def __init__(self, link):
        self.ifindex = link.show()["ifindex"]
        self.socket = open_socket(link.ns, socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_GENERIC)
        self.socket.bind((0, 0))
        self.socket.settimeout(10)
        answer = self._ask(GENL_ID_CTRL, CTRL_CMD_GETFAMILY, _attribute(CTRL_ATTR_FAMILY_NAME, b"netdev\0"))
        self.family = _number(answer[0][CTRL_ATTR_FAMILY_ID])

    def close(self):
        self.socket.close()

    def _ask(self, family, command, attributes, dump=False):
        flags = NLM_F_REQUEST | (NLM_F_DUMP if dump else 4)
        body = struct.pack("=BBH", command, 1, 0) + attributes
        self.socket.send(struct.pack("=IHHII", 16 + len(body), family, flags, 1, 0) + body)
        found = []
        while True:
            data, place = self.socket.recv(1 << 17), 0
            while place < len(data):
                length, kind = struct.unpack_from("=IH", data, place)
                body = data[place + 16 : place + length]
                place += (length + 3) & ~3
                if kind == NLMSG_DONE:
                    return found
                if kind == NLMSG_ERROR:
                    (error,) = struct.unpack_from("=i", body)
                    if error:
                        raise Failure(f"netlink: {os.strerror(-error)}")
                    return found
                found.append(_attributes(body[4:]))

    def queues(self):
        """{(RX or TX, number): NAPI id or None}."""
        answer = self._ask(self.family, CMD_QUEUE_GET, _attribute(QUEUE_IFINDEX, struct.pack("=I", self.ifindex)), dump=True)
        return {
            (_number(a[QUEUE_TYPE]), _number(a[QUEUE_ID])): _number(a[QUEUE_NAPI_ID]) if QUEUE_NAPI_ID in a else None
            for a in answer
            if _number(a[QUEUE_IFINDEX]) == self.ifindex
        }

    def napis(self):
        """{NAPI id: interrupt number or None}."""
        answer = self._ask(self.family, CMD_NAPI_GET, _attribute(NAPI_IFINDEX, struct.pack("=I", self.ifindex)), dump=True)
        return {_number(a[NAPI_ID]): _number(a[NAPI_IRQ]) if NAPI_IRQ in a else None for a in answer}

    def totals(self):
        """{"rx": packets, "tx": packets, "rx_bytes": ..., "tx_bytes": ...} of the netdev."""
        answer = self._ask(self.family, CMD_QSTATS_GET, _attribute(QSTATS_IFINDEX, struct.pack("=I", self.ifindex)), dump=True)
        names = {"rx": QSTATS_RX_PACKETS, "tx": QSTATS_TX_PACKETS, "rx_bytes": QSTATS_RX_BYTES, "tx_bytes": QSTATS_TX_BYTES}
        return {name: _number(answer[0].get(kind, b"")) for name, kind in names.items()}

    def received(self):
        """Packets that each receive queue has taken, by number."""
        return self._packets(RX, QSTATS_RX_PACKETS)

    def sent(self):
        """Packets that each transmit queue has sent, by number."""
        return self._packets(TX, QSTATS_TX_PACKETS)

    def _packets(self, kind, attribute):
        body = _attribute(QSTATS_IFINDEX, struct.pack("=I", self.ifindex)) + _attribute(QSTATS_SCOPE, struct.pack("=I", SCOPE_QUEUE))
        answer = self._ask(self.family, CMD_QSTATS_GET, body, dump=True)
        return {
            _number(a[QSTATS_QUEUE_ID]): _number(a[attribute])
            for a in answer
            if _number(a[QSTATS_QUEUE_TYPE]) == kind and attribute in a
        }
