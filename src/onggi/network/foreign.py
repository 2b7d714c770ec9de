"""Beside a firewall of the host: what our own table lets through must not be dropped in somebody else's.

A packet that one base chain accepts may still be dropped by the next one (nft(8), "VERDICT STATEMENT"). So
the chains of the forward hook that drop get one rule at their top, as dockerd does it: accept what bears our
MARK. It bears a comment with the engine's name, and goes with the engine. Chains that drop nothing are left
alone.

Not here: rules of iptables-legacy, which nftables does not show, but for its FORWARD chain.
"""

from __future__ import annotations

import errno
import shutil
import subprocess
from typing import Any

import msgspec

from onggi.kernel import nftables
from onggi.network.firewall import MARK

_LEGACY = "/proc/net/ip_tables_names"


def let_through(owner: str) -> list[str]:
    """Insert the rule where it lacks; the chains that got it. Raises OSError with nft's own words."""
    done = []
    for chain in _chains():
        name = f"{chain['family']} {chain['table']} {chain['name']}"
        rules = _rules(name)
        if rules is None or any(rule.get("comment") == owner for rule in rules):
            continue
        if chain.get("policy") == "drop" or any(_drops(rule) for rule in rules):
            match = f"meta mark & {MARK:#x} == {MARK:#x}"
            nftables.run(f'insert rule {name} {match} counter accept comment "{owner}"\n')
            done.append(name)
    return done + _legacy(owner, "-I")


def withdraw(owner: str) -> None:
    """Delete the rules of that owner; where there is none it is no error."""
    for chain in _chains():
        name = f"{chain['family']} {chain['table']} {chain['name']}"
        for rule in _rules(name) or ():
            if rule.get("comment") == owner:
                nftables.run(f"delete rule {name} handle {rule['handle']}\n")
    _legacy(owner, "-D")


def _chains() -> list[dict[str, Any]]:
    """Base chains of the forward hook that are not of an engine like us."""
    try:
        listed = msgspec.json.decode(nftables.run("list chains\n") or b'{"nftables":[]}')
    except OSError as error:
        if error.errno == errno.ENOENT:
            return []  # no libnftables: the iptables fallback stands at the top of FORWARD itself
        raise
    found = [item["chain"] for item in listed["nftables"] if "chain" in item]
    return [
        chain
        for chain in found
        if chain.get("hook") == "forward"
        and chain["family"] in ("ip", "ip6", "inet")
        and not chain["table"].startswith("onggi")
    ]


def _rules(chain: str) -> list[dict[str, Any]] | None:
    """The rules of a chain; None where it went away meanwhile."""
    try:
        listed = msgspec.json.decode(nftables.run(f"list chain {chain}\n"))
    except OSError:
        return None
    return [item["rule"] for item in listed["nftables"] if "rule" in item]


def _drops(rule: dict[str, Any]) -> bool:
    return any("drop" in item or "reject" in item for item in rule.get("expr", ()))


def _legacy(owner: str, verb: str) -> list[str]:
    """The FORWARD chain of iptables-legacy, where somebody uses it."""
    tool = shutil.which("iptables-legacy")
    try:
        with open(_LEGACY) as file:
            used = "filter" in file.read().split()
    except OSError:
        used = False
    if tool is None or not used:
        return []
    rule = ["FORWARD", "-m", "mark", "--mark", f"{MARK:#x}/{MARK:#x}", "-m", "comment", "--comment", owner]
    there = subprocess.run([tool, "-w", "-C", *rule, "-j", "ACCEPT"], capture_output=True).returncode == 0
    if there == (verb == "-I"):
        return []
    subprocess.run([tool, "-w", verb, *rule, "-j", "ACCEPT"], capture_output=True, timeout=30)
    return ["iptables-legacy FORWARD"]
