"""The host's packet filter: one table of ours, replaced by one transaction.

    table inet onggi
        guard        prerouting -300   nobody sends to 127.0.0.0/8 from a bridge (CVE-2020-8558)
        prerouting   dstnat            to an address of this host: ports
        output       dstnat            the same for the host's own connections
        ports                          published: dnat to the container, by maps (published.py)
        forward      -5                what a network lets through gets the mark MARK, all else of ours goes,
                                       and what only passes because the engine made the host a router
        postrouting  srcnat            what leaves a network, returns to it, or is localhost's: masquerade

By libnftables in-process, else by nft(8), else by iptables-restore(8) (firewall_iptables.py). Nobody else's
table is touched here; what a host firewall that drops needs is in foreign.py, and goes by MARK.
"""

from __future__ import annotations

import errno
import shutil
import subprocess
from collections.abc import Iterable

import msgspec

from onggi.errors import System
from onggi.kernel import nftables
from onggi.network import firewall_iptables, published
from onggi.network.published import Port

MARK = 0x04000000  # one bit of the packet's mark: a network of ours lets this packet through


class Segment(msgspec.Struct, frozen=True, kw_only=True):
    """A bridge network. An internal one neither masquerades nor forwards.

    `sources`: the host's address with which a family leaves, instead of the way's (masquerade). `open`: IP
    versions by which all ports are reached from outside; `trusted`: links from which they are, by both.
    """

    bridge: str
    subnets: tuple[str, ...]
    masquerade: bool = True
    sources: dict[int, str] = {}
    internal: bool = False
    icc: bool = True
    open: tuple[int, ...] = ()
    trusted: tuple[str, ...] = ()


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that the table says."""

    segments: tuple[Segment, ...] = ()
    ports: tuple[Port, ...] = ()
    apart: tuple[str, ...] = ()  # links between which the host did not forward (network/forwarding.py)
    apart6: tuple[str, ...] = ()
    ipv6: bool = True  # False: what IPv6 may do is somebody else's to say (dockerd's ip6tables)
    from_outside: bool = True  # False: what comes from outside is left to INPUT and to the relay


def apply(table: str, rules: Rules) -> None:
    """Make the table hold exactly these rules. Raises System with the tool's own words."""
    text = script(table, rules)
    try:
        nftables.run(text)
    except OSError as error:
        if error.errno != errno.ENOENT:
            raise System(f"cannot set the firewall's table {table}: {error.strerror}") from None
        if shutil.which("nft"):
            _nft(text)
        else:
            firewall_iptables.apply(table, rules)


def open_ports(table: str, ports: Iterable[Port]) -> bool:
    """Publish more ports in a table that is there. False: apply them all."""
    return _done(published.opened(f"inet {table}", ports))


def shut_ports(table: str, ports: Iterable[Port]) -> bool:
    """Close ports at once; `sweep_ports` has to follow. False: apply what is left."""
    return _done(published.shut(f"inet {table}", ports))


def sweep_ports(table: str, ports: Iterable[Port]) -> bool:
    """Take the elements of closed ports away; waits some milliseconds. False: apply what is left."""
    return _done(published.swept(f"inet {table}", ports))


def _done(lines: list[str]) -> bool:
    try:
        nftables.run("\n".join([*lines, ""]))
    except OSError:
        return False  # no library, or somebody took the table away
    return True


def remove(table: str) -> None:
    """Remove the table; one that is not there is no error."""
    text = f"add table inet {table}\ndelete table inet {table}\n"
    try:
        nftables.run(text)
    except OSError as error:
        if error.errno != errno.ENOENT:
            raise System(f"cannot remove the firewall's table {table}: {error.strerror}") from None
        if shutil.which("nft"):
            _nft(text)
        else:
            firewall_iptables.remove(table)


def exists(table: str) -> bool:
    """Is there such a table? Without libnftables nobody knows: True."""
    try:
        nftables.run(f"list table inet {table}\n")
    except OSError as error:
        return error.errno == errno.ENOENT and "libnftables" in str(error.strerror)
    return True


def intact(table: str, rules: Rules) -> bool:
    """Is the table there with as many rules and published ports as it should have?"""
    try:
        text = nftables.run(f"list table inet {table}\n")
    except OSError as error:
        if error.errno != errno.ENOENT or "libnftables" not in str(error.strerror):
            return False
        return bool(shutil.which("nft")) or firewall_iptables.intact(table, rules)  # by nft(8): believed
    listed = msgspec.json.decode(text or b'{"nftables":[]}')["nftables"]
    commands = [line.split(" ", 2)[:2] for line in script(table, rules).splitlines()]
    return sum("rule" in item for item in listed) == commands.count(["add", "rule"]) and published.elements(
        listed
    ) == commands.count(["add", "element"])


def script(table: str, rules: Rules) -> str:
    """The transaction as nft(8) reads it: make, empty, fill; one command on each line."""
    own = f"inet {table}"
    lines = [f"add table {own}", f"flush table {own}"]
    lines += published.definitions(own)
    lines += [
        f"add chain {own} {chain}"
        for chain in (
            "guard { type filter hook prerouting priority -300 ; }",
            "ports",
            "prerouting { type nat hook prerouting priority -100 ; }",
            "output { type nat hook output priority -100 ; }",
            "forward { type filter hook forward priority -5 ; }",
            "postrouting { type nat hook postrouting priority 100 ; }",
        )
    ]
    bodies = [
        *((("guard", f"iifname {_q(s.bridge)} ip daddr 127.0.0.0/8 drop")) for s in rules.segments),
        *(("prerouting", f"{entry}fib daddr type local jump ports") for entry in _entries(rules)),
        ("output", "fib daddr type local jump ports"),
        *(("forward", body) for body in _forward(rules)),
        *(("postrouting", body) for segment in rules.segments for body in _postrouting(segment, rules.ipv6)),
    ]
    lines += published.rules(own) + [f"add rule {own} {chain} {body}" for chain, body in bodies]
    lines += published.opened(own, (port for port in rules.ports if rules.ipv6 or ":" not in port.address))
    return "\n".join(lines) + "\n"


def _entries(rules: Rules) -> list[str]:
    """Whose packets are led by the filter: everybody's, or our own bridges' alone."""
    if rules.from_outside:
        return [""]
    return [f"iifname {_set(s.bridge for s in rules.segments)} "] if rules.segments else []


def _forward(rules: Rules) -> list[str]:
    """The order is the policy: known connections, published ports, within, outwards; the rest is dropped."""
    if not rules.segments:
        return []
    ours = _set(segment.bridge for segment in rules.segments)
    passes = f"meta mark set meta mark or {MARK:#x} accept"
    bodies = [] if rules.ipv6 else ["meta nfproto ipv6 accept"]
    for way in ("iifname", "oifname"):
        bodies.append(f"{way} {ours} ct state established,related {passes}")
    bodies.append(f"oifname {ours} ct status dnat {passes}")
    for segment in rules.segments:
        name = _q(segment.bridge)
        verdict = passes if segment.icc else "drop"
        bodies.append(f"iifname {name} oifname {name} {verdict}")
        if segment.internal:
            continue
        if segment.trusted:
            bodies.append(f"iifname {_set(segment.trusted)} oifname {name} {passes}")
        bodies += [f"meta nfproto ipv{v} iifname != {ours} oifname {name} {passes}" for v in segment.open]
    inner = [segment.bridge for segment in rules.segments if segment.internal]
    if inner:
        bodies.append(f"iifname {_set(inner)} drop")
    bodies.append(f"iifname {ours} oifname != {ours} {passes}")
    bodies.append(f"oifname {ours} drop")
    for family, links in (("ipv4", rules.apart), ("ipv6", rules.apart6)):
        if links:
            bodies.append(f"meta nfproto {family} iifname {_set(links)} oifname {_set(links)} drop")
    return bodies


def _postrouting(segment: Segment, ipv6: bool) -> list[str]:
    name = _q(segment.bridge)
    bodies = [f"oifname {name} ip saddr 127.0.0.0/8 masquerade"]
    for subnet in segment.subnets:
        family = "ip6" if ":" in subnet else "ip"
        if family == "ip6" and not ipv6:
            continue
        if segment.masquerade and not segment.internal:
            source = segment.sources.get(6 if family == "ip6" else 4)
            verdict = f"snat {family} to {source}" if source else "masquerade"
            bodies.append(f"oifname != {name} {family} saddr {subnet} {verdict}")
        # A neighbour's answer would reach the client past the host, from an address that it did not ask.
        bodies.append(f"oifname {name} {family} saddr {subnet} ct status dnat masquerade")
    return bodies


def _q(name: str) -> str:
    return f'"{name}"'


def _set(names: Iterable[str]) -> str:
    return "{ " + ", ".join(map(_q, names)) + " }"


def _nft(text: str) -> None:
    done = subprocess.run(["nft", "-f", "-"], input=text, capture_output=True, text=True, timeout=30)
    if done.returncode:
        raise System(f"nft: {done.stderr.strip()}")
