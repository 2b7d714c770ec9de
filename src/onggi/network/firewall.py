"""The host's packet filter: one table of ours, changed by one transaction.

    table ip onggi
        chain postrouting (nat, srcnat)   from a network's subnet, leaving by another link: masquerade

By libnftables in-process, else by nft(8), else by iptables(8). Nobody else's table is touched.
"""

from __future__ import annotations

import errno
import shutil
import subprocess
from collections.abc import Iterable

import msgspec

from onggi.errors import System
from onggi.kernel import nftables


class Masquerade(msgspec.Struct, frozen=True, kw_only=True):
    """Traffic from `subnet` that leaves by another link than `bridge` gets the host's address."""

    subnet: str  # "172.17.0.0/16"
    bridge: str


def apply(table: str, rules: list[Masquerade]) -> None:
    """Make the table hold exactly these rules. Raises System with the tool's own words."""
    text = msgspec.json.encode(document(table, rules)).decode()
    try:
        nftables.run(text)
    except OSError as error:
        if error.errno != errno.ENOENT:
            raise System(f"cannot set the firewall's table {table}: {error.strerror}") from None
        _apply_by_command(text, rules)


def remove(table: str, rules: Iterable[Masquerade] = ()) -> None:
    """Remove the table; one that is not there is no error. `rules` are what iptables(8) has to look for."""
    commands: list[object] = [
        {"add": {"table": {"family": "ip", "name": table}}},
        {"delete": {"table": {"family": "ip", "name": table}}},
    ]
    text = msgspec.json.encode({"nftables": commands}).decode()
    try:
        nftables.run(text)
    except OSError as error:
        if error.errno != errno.ENOENT:
            raise System(f"cannot remove the firewall's table {table}: {error.strerror}") from None
        if shutil.which("nft"):
            _run(["nft", "-j", "-f", "-"], text)
        elif shutil.which("iptables"):
            for rule in rules:
                subprocess.run(["iptables", "-w", "-t", "nat", "-D", *_match(rule)], capture_output=True)


def document(table: str, rules: list[Masquerade]) -> dict[str, object]:
    """The transaction as libnftables-json(5) wants it: make, empty, fill."""
    owner = {"family": "ip", "table": table}
    chain = {
        **owner,
        "name": "postrouting",
        "type": "nat",
        "hook": "postrouting",
        "prio": 100,
        "policy": "accept",
    }
    commands: list[object] = [
        {"add": {"table": {"family": "ip", "name": table}}},
        {"flush": {"table": {"family": "ip", "name": table}}},
        {"add": {"chain": chain}},
    ]
    commands += [
        {"add": {"rule": {**owner, "chain": "postrouting", "expr": _expression(rule)}}} for rule in rules
    ]
    return {"nftables": commands}


def _expression(rule: Masquerade) -> list[object]:
    address, _, length = rule.subnet.partition("/")
    source = {"payload": {"protocol": "ip", "field": "saddr"}}
    return [
        {"match": {"op": "==", "left": source, "right": {"prefix": {"addr": address, "len": int(length)}}}},
        {"match": {"op": "!=", "left": {"meta": {"key": "oifname"}}, "right": rule.bridge}},
        {"masquerade": None},
    ]


def _apply_by_command(text: str, rules: list[Masquerade]) -> None:
    if shutil.which("nft"):
        _run(["nft", "-j", "-f", "-"], text)
        return
    if not shutil.which("iptables"):
        raise System("no packet filter found: install libnftables1, nftables or iptables")
    for rule in rules:
        match = _match(rule)
        if subprocess.run(["iptables", "-w", "-t", "nat", "-C", *match], capture_output=True).returncode:
            _run(["iptables", "-w", "-t", "nat", "-A", *match], "")


def _match(rule: Masquerade) -> list[str]:
    return ["POSTROUTING", "-s", rule.subnet, "!", "-o", rule.bridge, "-j", "MASQUERADE"]


def _run(command: list[str], text: str) -> None:
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=30)
    if done.returncode:
        raise System(f"{command[0]}: {done.stderr.strip()}")
