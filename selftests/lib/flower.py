# SPDX-License-Identifier: GPL-2.0-only
"""Rules of flower by netlink, for what tc has no words for."""

import os
import socket
import struct

from .case import Failure

RTM_NEWTFILTER = 44
NLM_F_REQUEST, NLM_F_ACK, NLM_F_EXCL, NLM_F_CREATE = 1, 4, 0x200, 0x400
CLSACT_INGRESS = 0xFFFFFFF2
TCA_KIND, TCA_OPTIONS = 1, 2
ACT, ETH_DST, ETH_DST_MASK, ETH_TYPE, FLAGS = 3, 4, 5, 8, 22
# Each is followed by its mask.
IPV4_SRC, IPV4_DST, IPV6_SRC, IPV6_DST = 10, 12, 14, 16
ENC_IPV4_SRC, ENC_IPV4_DST, ENC_IPV6_SRC, ENC_IPV6_DST, ENC_SRC_PORT, ENC_DST_PORT = 27, 29, 31, 33, 43, 45
ACT_KIND, ACT_OPTIONS = 1, 2
MIRRED_PARMS, EGRESS_REDIRECT, TC_ACT_STOLEN = 2, 1, 4
FLAG = {"": 0, "skip_hw": 1, "skip_sw": 2}


def attribute(kind, data):
    body = struct.pack("=HH", 4 + len(data), kind) + data
    return body + bytes(-len(body) % 4)


def add(link, pref, protocol, flags, keys, to):
    """A rule at a netdev's ingress that redirects to another one. keys: numbers of attributes (TCA_FLOWER_KEY_*) to bytes."""
    parms = struct.pack("=IIiiiiI", 0, 0, TC_ACT_STOLEN, 0, 0, EGRESS_REDIRECT, to.show()["ifindex"])
    action = attribute(ACT_KIND, b"mirred\0") + attribute(ACT_OPTIONS, attribute(MIRRED_PARMS, parms))
    options = b"".join(attribute(kind, data) for kind, data in keys.items())
    options += attribute(ETH_TYPE, struct.pack(">H", protocol)) + attribute(FLAGS, struct.pack("=I", FLAG[flags]))
    options += attribute(ACT, attribute(1, action))
    info = pref << 16 | socket.htons(protocol)
    body = struct.pack("=BxxxiIII", 0, link.show()["ifindex"], 0, CLSACT_INGRESS, info) + attribute(TCA_KIND, b"flower\0") + attribute(TCA_OPTIONS, options)
    wanted = NLM_F_REQUEST | NLM_F_ACK | NLM_F_EXCL | NLM_F_CREATE
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as netlink:
        netlink.bind((0, 0))
        netlink.settimeout(10)
        netlink.send(struct.pack("=IHHII", 16 + len(body), RTM_NEWTFILTER, wanted, 1, 0) + body)
        (error,) = struct.unpack_from("=i", netlink.recv(65536), 16)
    if error:
        raise Failure(f"flower by netlink: {os.strerror(-error)}")
