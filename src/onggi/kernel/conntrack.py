"""Connection tracking by ctnetlink, in-process (linux/netfilter/nfnetlink_conntrack.h).

The kernel decides once for each flow where it goes. A flow of UDP has no end but silence: one that was led
to a container that is gone, or came before its port was published, goes on to nowhere until it is forgotten.
Acts in the network namespace of the calling thread. Raises OSError.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator

from onggi.kernel.netlink import NLA_F_NESTED, NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, attribute, attributes

NETLINK_NETFILTER = 12
_GET, _DELETE = 1 << 8 | 1, 1 << 8 | 2  # NFNL_SUBSYS_CTNETLINK
CTA_TUPLE_ORIG, CTA_TUPLE_REPLY, CTA_FILTER = 1, 2, 25
CTA_TUPLE_IP, CTA_TUPLE_PROTO = 1, 2
CTA_IP_SOURCE = {4: 1, 16: 3}  # by the length of the address; the destination's is one more
CTA_PROTO_NUM, CTA_PROTO_SRC_PORT, CTA_PROTO_DST_PORT = 1, 2, 3
CTA_FILTER_ORIG_FLAGS, CTA_FILTER_REPLY_FLAGS = 1, 2
_BY_SOURCE, _BY_PROTOCOL, _BY_PORT = 1, 8, 32  # CTA_FILTER_F_CTA_IP_SRC, _PROTO_NUM, _PROTO_DST_PORT
_ENOENT = 2
_HEADER = struct.Struct("=IHHII")
NLMSG_ERROR, NLMSG_DONE = 2, 3


class Flow:
    """One entry, as it came first: to `destination`, `port`; `answers` is who answers it."""

    __slots__ = ("answers", "destination", "family", "original", "port", "protocol")

    def __init__(self, family: int, data: bytes) -> None:
        found = attributes(data)
        self.family = family
        self.original = found.get(CTA_TUPLE_ORIG, b"")
        _, self.destination, self.protocol, self.port = _tuple(self.original)
        self.answers = _tuple(found.get(CTA_TUPLE_REPLY, b""))[0]


def flows_to(port: int, protocol: int, *, six: bool) -> list[Flow]:
    """The flows whose first packet asked for that port, of whatever address."""
    wanted = _proto(protocol) + _nested_port(port)
    asked = attribute(CTA_TUPLE_ORIG | NLA_F_NESTED, attribute(CTA_TUPLE_PROTO | NLA_F_NESTED, wanted))
    flags = attribute(CTA_FILTER_ORIG_FLAGS, _BY_PROTOCOL | _BY_PORT) + attribute(CTA_FILTER_REPLY_FLAGS, 0)
    listed = _flows(asked + attribute(CTA_FILTER | NLA_F_NESTED, flags), six=six)
    return [flow for flow in listed if (flow.protocol, flow.port) == (protocol, port)]


def flows_answered_by(address: str, protocol: int) -> list[Flow]:
    """The flows that go to that address, whatever address their first packet asked for."""
    six = ":" in address
    packed = socket.inet_pton(socket.AF_INET6 if six else socket.AF_INET, address)
    body = attribute(CTA_TUPLE_IP | NLA_F_NESTED, attribute(CTA_IP_SOURCE[len(packed)], packed))
    body += attribute(CTA_TUPLE_PROTO | NLA_F_NESTED, _proto(protocol))
    flags = attribute(CTA_FILTER_ORIG_FLAGS, 0)
    flags += attribute(CTA_FILTER_REPLY_FLAGS, _BY_SOURCE | _BY_PROTOCOL)
    asked = attribute(CTA_TUPLE_REPLY | NLA_F_NESTED, body) + attribute(CTA_FILTER | NLA_F_NESTED, flags)
    listed = _flows(asked, six=six)
    return [flow for flow in listed if (flow.protocol, flow.answers) == (protocol, address)]


def forget(flow: Flow) -> None:
    """The next packet is decided on anew; a flow that is gone already is no error."""
    body = bytes((flow.family, 0, 0, 0)) + attribute(CTA_TUPLE_ORIG | NLA_F_NESTED, flow.original)
    for _ in _exchange(_DELETE, NLM_F_REQUEST | NLM_F_ACK, body):
        pass


def _flows(asked: bytes, *, six: bool) -> list[Flow]:
    """A kernel before 5.8 does not know the filter and lists all: callers look at each again."""
    family = socket.AF_INET6 if six else socket.AF_INET
    body = bytes((family, 0, 0, 0)) + asked
    return [Flow(family, data[4:]) for data in _exchange(_GET, NLM_F_REQUEST | NLM_F_DUMP, body)]


def _exchange(kind: int, flags: int, body: bytes) -> Iterator[bytes]:
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_NETFILTER) as link:
        link.send(_HEADER.pack(_HEADER.size + len(body), kind, flags, 1, 0) + body)
        while True:
            data = link.recv(1 << 18)
            at = 0
            while at + _HEADER.size <= len(data):
                length, reply, _, _, _ = _HEADER.unpack_from(data, at)
                message = data[at + _HEADER.size : at + length]
                at += (length + 3) & ~3
                if reply == NLMSG_DONE:
                    return
                if reply != NLMSG_ERROR:
                    yield message
                    continue
                code = -struct.unpack_from("=i", message)[0]
                if code not in (0, _ENOENT):
                    raise OSError(code, "connection tracking")
                return


def _proto(protocol: int) -> bytes:
    return attribute(CTA_PROTO_NUM, bytes((protocol,)))


def _nested_port(port: int) -> bytes:
    return attribute(CTA_PROTO_DST_PORT, port.to_bytes(2, "big"))


def _tuple(data: bytes) -> tuple[str, str, int, int]:
    """(source, destination, protocol, destination port) of one direction."""
    found = attributes(data)
    ip, proto = attributes(found.get(CTA_TUPLE_IP, b"")), attributes(found.get(CTA_TUPLE_PROTO, b""))
    return (
        _address(ip.get(1) or ip.get(3, b"")),
        _address(ip.get(2) or ip.get(4, b"")),
        int.from_bytes(proto.get(CTA_PROTO_NUM, b"")),
        int.from_bytes(proto.get(CTA_PROTO_DST_PORT, b"")),
    )


def _address(packed: bytes) -> str:
    if len(packed) not in (4, 16):
        return ""
    return socket.inet_ntop(socket.AF_INET if len(packed) == 4 else socket.AF_INET6, packed)
