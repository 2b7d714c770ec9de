"""rtnetlink: links, addresses and routes, in-process (rtnetlink(7), netlink(7)).

A `Route` socket belongs to the network namespace that its creator was in. One request is one message and
one acknowledgement; a refusal is OSError with the kernel's errno and the kernel's own text where it gives
one (extended ACK). No policy here: names, addresses and order are the caller's (network/).
"""

from __future__ import annotations

import errno
import os
import socket
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container
    from typing import Self

# linux/netlink.h, linux/rtnetlink.h, linux/if_link.h, linux/if_addr.h
NLM_F_REQUEST, NLM_F_ACK, NLM_F_EXCL, NLM_F_CREATE, NLM_F_DUMP, NLM_F_REPLACE = (
    1,
    4,
    0x200,
    0x400,
    0x300,
    0x100,
)
NLMSG_ERROR, NLMSG_DONE = 2, 3
RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK = 16, 17, 18
RTM_NEWADDR, RTM_GETADDR = 20, 22
RTM_NEWROUTE, RTM_DELROUTE, RTM_GETROUTE = 24, 25, 26
RTM_SETLINK = 19
IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, IFLA_LINK, IFLA_MASTER, IFLA_LINKINFO, IFLA_NET_NS_FD = (
    1, 3, 4, 5, 10, 18, 28,
)  # fmt: skip
IFLA_INFO_KIND, IFLA_INFO_DATA, VETH_INFO_PEER = 1, 2, 1
IFLA_PROTINFO, IFLA_BRPORT_MODE, IFLA_BRPORT_ISOLATED = (
    12,
    4,
    33,
)  # linux/if_link.h, a port's own options (4.18)
IFLA_MACVLAN_MODE = 1
MACVLAN_MODES = {"private": 1, "vepa": 2, "bridge": 4, "passthru": 8}
IFLA_IPVLAN_MODE, IFLA_IPVLAN_FLAGS = 1, 2
IPVLAN_MODES = {"l2": 0, "l3": 1, "l3s": 2}
IPVLAN_FLAGS = {"bridge": 0, "private": 1, "vepa": 2}  # linux/if_link.h
IFLA_VLAN_ID = 1
IFLA_IFALIAS = 20
IFA_ADDRESS, IFA_LOCAL, IFA_BROADCAST, IFA_FLAGS = 1, 2, 4, 8
IFA_F_NODAD = 2
RTA_DST, RTA_OIF, RTA_GATEWAY = 1, 4, 5
RT_TABLE_MAIN, RTPROT_BOOT, RT_SCOPE_UNIVERSE, RT_SCOPE_LINK, RTN_UNICAST = 254, 3, 0, 253, 1
IFF_UP = 1
NLA_F_NESTED, NLA_TYPE_MASK = 0x8000, 0x3FFF
SOL_NETLINK, NETLINK_CAP_ACK, NETLINK_EXT_ACK = 270, 10, 11
NLM_F_ACK_TLVS, NLMSGERR_ATTR_MSG = 0x200, 1

_HEADER = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence, port
_LINK = struct.Struct("=BxHiII")  # ifinfomsg: family, type, index, flags, change
_ADDRESS = struct.Struct("=BBBBI")  # ifaddrmsg: family, prefix length, flags, scope, index
_ROUTE = struct.Struct(
    "=BBBBBBBBI"
)  # rtmsg: family, dst len, src len, tos, table, protocol, scope, type, flags
_ANY_LINK = _LINK.pack(0, 0, 0, 0, 0)


def attribute(kind: int, value: bytes | str | int) -> bytes:
    """One rtattr, padded to four bytes; text is NUL-terminated, an int is 32 bits."""
    if isinstance(value, str):
        value = value.encode() + b"\0"
    elif isinstance(value, int):
        value = struct.pack("=I", value)
    return struct.pack("=HH", len(value) + 4, kind) + value + b"\0" * (-len(value) % 4)


def attributes(data: bytes) -> dict[int, bytes]:
    """The rtattrs of a message, by kind."""
    found: dict[int, bytes] = {}
    at = 0
    while at + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, at)
        if length < 4:
            break
        found[kind & NLA_TYPE_MASK] = data[at + 4 : at + length]
        at += (length + 3) & ~3
    return found


class Link:
    """A network interface as the kernel lists it."""

    __slots__ = ("alias", "index", "kind", "mac", "master", "mtu", "name", "up")

    def __init__(self, data: bytes) -> None:
        _, _, self.index, flags, _ = _LINK.unpack_from(data)
        found = attributes(data[_LINK.size :])
        self.name = found.get(IFLA_IFNAME, b"").rstrip(b"\0").decode()
        self.alias = found.get(IFLA_IFALIAS, b"").rstrip(b"\0").decode(errors="replace")
        self.up = bool(flags & IFF_UP)
        self.mtu = int.from_bytes(found.get(IFLA_MTU, b""), "little")
        self.master = int.from_bytes(found.get(IFLA_MASTER, b""), "little")
        self.mac = ":".join(f"{byte:02x}" for byte in found.get(IFLA_ADDRESS, b""))
        info = attributes(found.get(IFLA_LINKINFO, b""))
        self.kind = info.get(IFLA_INFO_KIND, b"").rstrip(b"\0").decode()


class Route:
    """An rtnetlink socket in the network namespace of the thread that made it."""

    def __init__(self) -> None:
        self._socket = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE
        )
        self._socket.setsockopt(SOL_NETLINK, NETLINK_CAP_ACK, 1)
        self._socket.setsockopt(SOL_NETLINK, NETLINK_EXT_ACK, 1)
        self._socket.bind((0, 0))
        self._sequence = 0

    def close(self) -> None:
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- links ---------------------------------------------------------------------------------------

    def link(self, name: str) -> Link | None:
        """The interface of that name, or None."""
        try:
            return Link(self.ask(RTM_GETLINK, 0, _ANY_LINK + attribute(IFLA_IFNAME, name), name)[0])
        except OSError as error:
            if error.errno == errno.ENODEV:
                return None
            raise

    def links(self) -> list[Link]:
        """Every interface of the namespace."""
        return [Link(data) for data in self.ask(RTM_GETLINK, NLM_F_DUMP, _ANY_LINK, "links")]

    def add(self, name: str, kind: str, body: bytes = b"", *, data: bytes = b"", up: bool = False) -> None:
        """Make a link of a kind; `body` are attributes, `data` the kind's own. Raises OSError."""
        words = attribute(IFLA_INFO_KIND, kind)
        words += attribute(IFLA_INFO_DATA | NLA_F_NESTED, data) if data else b""
        head = _LINK.pack(0, 0, 0, IFF_UP, IFF_UP) if up else _ANY_LINK
        info = attribute(IFLA_LINKINFO | NLA_F_NESTED, words)
        self.ask(
            RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, head + attribute(IFLA_IFNAME, name) + body + info, name
        )

    def add_bridge(self, name: str, *, mtu: int = 1500, mac: bytes = b"") -> None:
        """Make a bridge and bring it up; without a `mac` it takes the lowest of its ports'.

        Raises FileExistsError.
        """
        body = attribute(IFLA_MTU, mtu) + (attribute(IFLA_ADDRESS, mac) if mac else b"")
        self.add(name, "bridge", body, up=True)

    def add_veth(
        self, name: str, peer: str, *, peer_netns_fd: int, peer_mac: bytes, master: int, mtu: int = 1500
    ) -> None:
        """Make a veth pair in one request: `name` here, up and in the bridge; `peer` over there."""
        far = _ANY_LINK + attribute(IFLA_IFNAME, peer) + attribute(IFLA_MTU, mtu)
        far += attribute(IFLA_ADDRESS, peer_mac) + attribute(IFLA_NET_NS_FD, peer_netns_fd)
        body = attribute(IFLA_MTU, mtu) + attribute(IFLA_MASTER, master)
        self.add(name, "veth", body, data=attribute(VETH_INFO_PEER | NLA_F_NESTED, far), up=True)

    def add_macvlan(
        self, name: str, *, parent: int, mode: str, netns_fd: int, mac: bytes, mtu: int = 1500
    ) -> None:
        """Make a macvlan of the link `parent`, in another namespace. Raises OSError, KeyError (the mode)."""
        body = attribute(IFLA_MTU, mtu) + attribute(IFLA_LINK, parent)
        body += attribute(IFLA_ADDRESS, mac) + attribute(IFLA_NET_NS_FD, netns_fd)
        self.add(name, "macvlan", body, data=attribute(IFLA_MACVLAN_MODE, MACVLAN_MODES[mode]))

    def add_ipvlan(
        self, name: str, *, parent: int, mode: str, flag: str, netns_fd: int, mtu: int = 1500
    ) -> None:
        """Make an ipvlan of a link, in another namespace. Raises OSError, KeyError (mode, flag)."""
        data = attribute(IFLA_IPVLAN_MODE, struct.pack("=H", IPVLAN_MODES[mode]))
        data += attribute(IFLA_IPVLAN_FLAGS, struct.pack("=H", IPVLAN_FLAGS[flag]))
        body = attribute(IFLA_MTU, mtu) + attribute(IFLA_LINK, parent) + attribute(IFLA_NET_NS_FD, netns_fd)
        self.add(name, "ipvlan", body, data=data)

    def add_dummy(self, name: str) -> None:
        """Make a dummy link, up. Raises FileExistsError."""
        self.add(name, "dummy", up=True)

    def add_vlan(self, name: str, *, parent: int, vlan: int) -> None:
        """Make the VLAN `vlan` of a link, down. Raises FileExistsError (also where that VLAN is there)."""
        data = attribute(IFLA_VLAN_ID, struct.pack("=H", vlan))
        self.add(name, "vlan", attribute(IFLA_LINK, parent), data=data)

    def rename(self, index: int, name: str, *, alias: str) -> None:
        """Give a link that is down its name and its alias (`ip link show` prints it) in one request."""
        body = _LINK.pack(0, 0, index, 0, 0)
        body += attribute(IFLA_IFNAME, name) + attribute(IFLA_IFALIAS, alias.encode())
        self.ask(RTM_SETLINK, 0, body, name)

    def set_master(self, index: int, master: int) -> None:
        """Put a link into a bridge, and bring it up."""
        body = _LINK.pack(0, 0, index, IFF_UP, IFF_UP) + attribute(IFLA_MASTER, master)
        self.ask(RTM_NEWLINK, 0, body, f"link {index}")

    def isolate(self, index: int) -> None:
        """A bridge's port that reaches no other isolated port: the kernel drops it at layer two."""
        self._set_port(index, IFLA_BRPORT_ISOLATED)

    def hairpin(self, index: int) -> None:
        """A bridge's port that may get back what came from it."""
        self._set_port(index, IFLA_BRPORT_MODE)

    def _set_port(self, index: int, option: int) -> None:
        body = _LINK.pack(socket.AF_BRIDGE, 0, index, 0, 0)
        body += attribute(IFLA_PROTINFO | NLA_F_NESTED, attribute(option, b"\1"))
        self.ask(RTM_SETLINK, 0, body, f"link {index}")

    def set_up(self, index: int) -> None:
        self.ask(RTM_NEWLINK, 0, _LINK.pack(0, 0, index, IFF_UP, IFF_UP), f"link {index}")

    def remove_link(self, name: str) -> None:
        """Remove an interface; one that is gone already is no error."""
        try:
            self.ask(RTM_DELLINK, 0, _ANY_LINK + attribute(IFLA_IFNAME, name), name)
        except OSError as error:
            if error.errno != errno.ENODEV:
                raise

    # --- addresses and routes ------------------------------------------------------------------------

    def add_address(self, index: int, address: str, prefix: int) -> None:
        """Give an interface an IPv4 or IPv6 address; one that it has already is no error."""
        family, packed = _pack(address)
        body = _ADDRESS.pack(family, prefix, 0, 0, index)
        body += attribute(IFA_LOCAL, packed) + attribute(IFA_ADDRESS, packed)
        if family == socket.AF_INET and prefix < 31:
            broadcast = int.from_bytes(packed, "big") | ((1 << (32 - prefix)) - 1)
            body += attribute(IFA_BROADCAST, broadcast.to_bytes(4, "big"))
        elif family == socket.AF_INET6:
            body += attribute(IFA_FLAGS, IFA_F_NODAD)  # the address is ours alone: no second of waiting
        self.ask(RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, body, address)

    def addresses(self) -> list[tuple[int, str, int]]:
        """(interface index, address, prefix length) of every IPv4 and IPv6 address."""
        listed = []
        for data in self.ask(RTM_GETADDR, NLM_F_DUMP, _ADDRESS.pack(0, 0, 0, 0, 0), "addresses"):
            family, prefix, _, _, index = _ADDRESS.unpack_from(data)
            found = attributes(data[_ADDRESS.size :])
            packed = found.get(IFA_LOCAL) or found.get(IFA_ADDRESS)
            if packed:
                listed.append((index, socket.inet_ntop(family, packed), prefix))
        return listed

    def add_default_route(self, gateway: str, index: int) -> None:
        """The default route of the gateway's family; one that is there is replaced.

        The gateway 0.0.0.0 or :: is none: whatever it is, it is sent out by the link.
        """
        family, packed = _pack(gateway)
        scope = RT_SCOPE_UNIVERSE if any(packed) else RT_SCOPE_LINK
        head = _ROUTE.pack(family, 0, 0, 0, RT_TABLE_MAIN, RTPROT_BOOT, scope, RTN_UNICAST, 0)
        body = head + (attribute(RTA_GATEWAY, packed) if any(packed) else b"") + attribute(RTA_OIF, index)
        self.ask(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, body, gateway)

    def remove_default_route(self, family: int) -> None:
        """Remove the default route of a family; none is no error."""
        head = _ROUTE.pack(family, 0, 0, 0, RT_TABLE_MAIN, 0, RT_SCOPE_UNIVERSE, RTN_UNICAST, 0)
        try:
            self.ask(RTM_DELROUTE, 0, head, "default route")
        except OSError as error:
            if error.errno != errno.ESRCH:
                raise

    def destinations(self, without: Container[int] = ()) -> list[tuple[str, int]]:
        """(network, prefix length) of every route of every table, the default routes left out.

        Routes by links whose index is in `without` are left out too.
        """
        listed = []
        for data in self.ask(RTM_GETROUTE, NLM_F_DUMP, _ROUTE.pack(0, 0, 0, 0, 0, 0, 0, 0, 0), "routes"):
            family, prefix = data[0], data[1]
            found = attributes(data[_ROUTE.size :])
            packed = found.get(RTA_DST)
            if int.from_bytes(found.get(RTA_OIF, b""), "little") in without:
                continue
            if packed and family in (socket.AF_INET, socket.AF_INET6):
                listed.append((socket.inet_ntop(family, packed), prefix))
        return listed

    # --- the exchange ---------------------------------------------------------------------------------

    def ask(self, kind: int, flags: int, body: bytes, subject: str) -> list[bytes]:
        """Send one request, read until its acknowledgement or the end of its dump."""
        self._sequence += 1
        if flags & NLM_F_DUMP != NLM_F_DUMP:
            flags |= NLM_F_ACK
        head = _HEADER.pack(_HEADER.size + len(body), kind, flags | NLM_F_REQUEST, self._sequence, 0)
        self._socket.send(head + body)
        replies: list[bytes] = []
        while True:
            data = self._socket.recv(1 << 18)
            at = 0
            while at + _HEADER.size <= len(data):
                length, reply, reply_flags, sequence, _ = _HEADER.unpack_from(data, at)
                message = data[at + _HEADER.size : at + length]
                at += (length + 3) & ~3
                if sequence != self._sequence:
                    continue
                if reply == NLMSG_DONE:
                    return replies
                if reply != NLMSG_ERROR:
                    replies.append(message)
                    continue
                code = -struct.unpack_from("=i", message)[0]
                if code:
                    raise OSError(code, _why(code, message, reply_flags), subject)
                return replies


def _why(code: int, message: bytes, flags: int) -> str:
    """The kernel's extended ACK text where there is one, else the errno's."""
    if flags & NLM_F_ACK_TLVS:
        text = attributes(message[4 + _HEADER.size :]).get(NLMSGERR_ATTR_MSG)
        if text:
            return f"{os.strerror(code)} ({text[:-1].decode()})"
    return os.strerror(code)


def _pack(address: str) -> tuple[int, bytes]:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return family, socket.inet_pton(family, address)
