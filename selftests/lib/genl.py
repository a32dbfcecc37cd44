# SPDX-License-Identifier: GPL-2.0-only
"""Generic netlink: families that no tool of the guest speaks.

`Netdev` is the kernel's per-queue view of a netdev: queues, their NAPI instances, and their statistics
(Documentation/netlink/specs/netdev.yaml). `Samples` are the copies of packets that rules hand to listeners (`psample`).
`activate_live` is for what `devlink dev reload ... limit no_reset` asks, as the kernel refuses how iproute2 asks it, and `param_reset`
for the defaults of parameters, which iproute2 may be too old to ask for.
"""

import os
import socket
import struct
import time

from .case import Failure, defer
from .namespace import open_socket
from .pace import slow

NETLINK_GENERIC, GENL_ID_CTRL = 16, 16
NLM_F_REQUEST, NLM_F_DUMP = 1, 0x300
NLMSG_ERROR, NLMSG_DONE = 2, 3
CTRL_CMD_GETFAMILY, CTRL_ATTR_FAMILY_ID, CTRL_ATTR_FAMILY_NAME, CTRL_ATTR_MCAST_GROUPS = 3, 1, 2, 7
GROUP_NAME, GROUP_ID = 1, 2
SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, NETLINK_CAP_ACK, NETLINK_EXT_ACK = 270, 1, 10, 11
NLMSGERR_ATTR_MSG = 1
CMD_POOL_GET, CMD_QUEUE_GET, CMD_NAPI_GET, CMD_QSTATS_GET = 5, 10, 11, 12
POOL_IFINDEX, POOL_INFLIGHT, POOL_DETACH_TIME = 2, 4, 6
QUEUE_ID, QUEUE_IFINDEX, QUEUE_TYPE, QUEUE_NAPI_ID = 1, 2, 3, 4
NAPI_IFINDEX, NAPI_ID, NAPI_IRQ = 1, 2, 3
QSTATS_IFINDEX, QSTATS_QUEUE_TYPE, QSTATS_QUEUE_ID, QSTATS_SCOPE = 1, 2, 3, 4
QSTATS_RX_PACKETS, QSTATS_RX_BYTES, QSTATS_TX_PACKETS, QSTATS_TX_BYTES = 8, 9, 10, 11
QSTATS_TX_CSUM_NONE, QSTATS_TX_NEEDS_CSUM, QSTATS_TX_HW_GSO_WIRE_PACKETS = 26, 27, 30
SCOPE_QUEUE = 1
DEVLINK_RELOAD, DEVLINK_BUS_NAME, DEVLINK_DEV_NAME, DEVLINK_RELOAD_ACTION, DEVLINK_RELOAD_LIMITS = 37, 1, 2, 153, 155
FW_ACTIVATE, NO_RESET = 2, 1
DEVLINK_PARAM_SET, DEVLINK_PARAM_NAME, DEVLINK_PARAM_TYPE, DEVLINK_PARAM_CMODE, DEVLINK_PARAM_RESET_DEFAULT = 39, 81, 83, 87, 183
TYPE_U32, CMODES = 3, ("runtime", "driverinit", "permanent")
RX, TX = 0, 1
CMD_SAMPLE = 0
SAMPLE = {"iif": 0, "oif": 1, "size": 2, "group": 3, "sequence": 4, "rate": 5, "data": 6, "protocol": 14, "cookie": 15}


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


class Family:
    """A socket for a family in a namespace."""

    def __init__(self, name, ns=None):
        self.socket = open_socket(ns, socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_GENERIC)
        self.socket.bind((0, 0))
        self.socket.settimeout(slow(60))
        for option in (NETLINK_CAP_ACK, NETLINK_EXT_ACK):
            self.socket.setsockopt(SOL_NETLINK, option, 1)
        self.about = self._ask(GENL_ID_CTRL, CTRL_CMD_GETFAMILY, _attribute(CTRL_ATTR_FAMILY_NAME, name.encode() + b"\0"))[0]
        self.family = _number(self.about[CTRL_ATTR_FAMILY_ID])

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
                        said = _attributes(body[20:]).get(NLMSGERR_ATTR_MSG, b"").rstrip(b"\0").decode()
                        raise Failure(f"netlink: {os.strerror(-error)} {said}".rstrip())
                    return found
                found.append(_attributes(body[4:]))


class Netdev(Family):
    """The `netdev` family, of one netdev."""

    def __init__(self, link):
        super().__init__("netdev", link.ns)
        self.ifindex = link.show()["ifindex"]

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

    def pools(self):
        """Page pools of the namespace: (ifindex, or None where the netdev has gone; pages in use; whether the pool waits for them to go)."""
        answer = self._ask(self.family, CMD_POOL_GET, b"", dump=True)
        return [(_number(a[POOL_IFINDEX]) if POOL_IFINDEX in a else None, _number(a[POOL_INFLIGHT]), POOL_DETACH_TIME in a) for a in answer]

    def totals(self):
        """{"rx": packets, "tx": packets, "rx_bytes": ..., "tx_bytes": ...} of the netdev.

        Of the packets sent: tx_summed and tx_plain are those whose checksum the device has made, or has not; tx_cut those that it has
        cut out of longer ones.
        """
        answer = self._ask(self.family, CMD_QSTATS_GET, _attribute(QSTATS_IFINDEX, struct.pack("=I", self.ifindex)), dump=True)
        names = {"rx": QSTATS_RX_PACKETS, "tx": QSTATS_TX_PACKETS, "rx_bytes": QSTATS_RX_BYTES, "tx_bytes": QSTATS_TX_BYTES}
        names |= {"tx_plain": QSTATS_TX_CSUM_NONE, "tx_summed": QSTATS_TX_NEEDS_CSUM, "tx_cut": QSTATS_TX_HW_GSO_WIRE_PACKETS}
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


class Samples(Family):
    """Copies that rules hand to the listeners of a group, from now on."""

    def __init__(self, group):
        super().__init__("psample")
        defer(self.close)
        self.group = group
        for entry in _attributes(self.about[CTRL_ATTR_MCAST_GROUPS]).values():
            found = _attributes(entry)
            if found[GROUP_NAME].rstrip(b"\0") == b"packets":
                self.socket.setsockopt(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, _number(found[GROUP_ID]))
        self.socket.settimeout(0.05)

    def take(self, count=None, seconds=5.0):
        """Samples as {name: number, or bytes}: until there are count of them, else all that come in seconds."""
        found, end = [], time.monotonic() + slow(seconds)
        while (count is None or len(found) < count) and time.monotonic() < end:
            try:
                data = self.socket.recv(1 << 17)
            except TimeoutError:
                continue
            _, kind = struct.unpack_from("=IH", data)
            if kind != self.family or data[16] != CMD_SAMPLE:
                continue
            raw = _attributes(data[20:])
            sample = {name: raw[kind] for name, kind in SAMPLE.items() if kind in raw}
            sample = {name: value if name in ("data", "cookie") else _number(value) for name, value in sample.items()}
            if sample["group"] == self.group:
                found.append(sample)
        if count is not None and len(found) < count:
            raise Failure(f"{len(found)} of {count} samples came within {slow(seconds):.0f} s")
        return found


def activate_live(address):
    """`devlink dev reload pci/ADDRESS action fw_activate limit no_reset`; the text of a refusal, or nothing.

    Linux 7.3 takes bits 1 and 2 only for the limits, where iproute2 says that it means bits 0 and 1.
    """
    limits = struct.pack("=II", 1 << NO_RESET, 1 << NO_RESET)
    return _devlink(address, DEVLINK_RELOAD, (DEVLINK_RELOAD_ACTION, bytes([FW_ACTIVATE])), (DEVLINK_RELOAD_LIMITS, limits))


def param_reset(address, name, mode):
    """`devlink dev param` NAME of a device goes back to its default, of 32 bits; the text of a refusal, or nothing."""
    return _devlink(
        address,
        DEVLINK_PARAM_SET,
        (DEVLINK_PARAM_NAME, name.encode() + b"\0"),
        (DEVLINK_PARAM_TYPE, bytes([TYPE_U32])),
        (DEVLINK_PARAM_CMODE, bytes([CMODES.index(mode)])),
        (DEVLINK_PARAM_RESET_DEFAULT, b""),
    )


def _devlink(address, command, *attributes):
    """A request to the devlink instance of a PCI device; the text of a refusal, or nothing."""
    family = Family("devlink")
    whole = ((DEVLINK_BUS_NAME, b"pci\0"), (DEVLINK_DEV_NAME, address.encode() + b"\0"), *attributes)
    try:
        family._ask(family.family, command, b"".join(_attribute(kind, data) for kind, data in whole))
    except Failure as failure:
        return str(failure)
    finally:
        family.close()
    return ""
