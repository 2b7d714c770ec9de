"""The same rules by iptables-restore(8), for a host without nftables: chains of ours, jumped to from theirs.

    nat     TABLE-PORTS  from PREROUTING and OUTPUT      TABLE-POST  from POSTROUTING
    filter  TABLE-FWD    from FORWARD, at its top, so that a policy of DROP does not matter

One iptables-restore for each family is one transaction for each table. Not here: IPv6 ports of a host whose
ip6tables lacks the nat table (they are refused by the tool).
"""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

from onggi.errors import System

if TYPE_CHECKING:
    from onggi.network.firewall import Rules

_HOOKS = (
    ("nat", "PREROUTING", "PORTS", "-m addrtype --dst-type LOCAL"),
    ("nat", "OUTPUT", "PORTS", "-m addrtype --dst-type LOCAL"),
    ("nat", "POSTROUTING", "POST", ""),
    ("filter", "FORWARD", "FWD", ""),
)


def apply(table: str, rules: Rules) -> None:
    """Make our chains hold exactly these rules. Raises System with the tool's own words."""
    prefix = table.upper()
    for tool, six in _tools():
        if six and not rules.ipv6:
            continue
        if six and not any(":" in subnet for segment in rules.segments for subnet in segment.subnets):
            continue
        _run([f"{tool}-restore", "-w", "--noflush"], script(prefix, rules, six=six))
        for kind, hook, chain, match in _HOOKS:
            jump = [*match.split(), "-j", f"{prefix}-{chain}"]
            if not _holds([tool, "-w", "-t", kind, "-C", hook, *jump]):
                _run([tool, "-w", "-t", kind, "-I", hook, *jump], "")


def remove(table: str) -> None:
    """Remove our chains; what is not there is no error."""
    prefix = table.upper()
    for tool, _ in _tools():
        for kind, hook, chain, match in _HOOKS:
            _holds([tool, "-w", "-t", kind, "-D", hook, *match.split(), "-j", f"{prefix}-{chain}"])
        for kind, chain in {(kind, chain) for kind, _, chain, _ in _HOOKS}:
            for verb in ("-F", "-X"):
                _holds([tool, "-w", "-t", kind, verb, f"{prefix}-{chain}"])


def script(prefix: str, rules: Rules, *, six: bool) -> str:
    """The text of iptables-restore(8); a chain that is named is emptied first."""
    nat = [f":{prefix}-PORTS -", f":{prefix}-POST -"]
    for port in rules.ports:
        if (":" in port.address) != six:
            continue
        to = f"[{port.address}]:{port.port}" if six else f"{port.address}:{port.port}"
        where = f" -d {port.host_address}" if port.host_address else ""
        match = f"{where} -p {port.protocol} --dport {port.host_port}"
        nat.append(f"-A {prefix}-PORTS{match} -j DNAT --to-destination {to}")
    forward = [f":{prefix}-FWD -"]
    for segment in rules.segments:
        name = segment.bridge
        for subnet in segment.subnets:
            if (":" in subnet) != six:
                continue
            if segment.masquerade and not segment.internal:
                nat.append(f"-A {prefix}-POST -s {subnet} ! -o {name} -j MASQUERADE")
            nat.append(f"-A {prefix}-POST -s {subnet} -o {name} -m conntrack --ctstate DNAT -j MASQUERADE")
        if not six:
            nat.append(f"-A {prefix}-POST -s 127.0.0.0/8 -o {name} -j MASQUERADE")
    names = [segment.bridge for segment in rules.segments]
    for way in ("-i", "-o"):
        forward += [
            f"-A {prefix}-FWD {way} {name} -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT"
            for name in names
        ]
    forward += [f"-A {prefix}-FWD -o {name} -m conntrack --ctstate DNAT -j ACCEPT" for name in names]
    for segment in rules.segments:
        name = segment.bridge
        forward.append(f"-A {prefix}-FWD -i {name} -o {name} -j {'ACCEPT' if segment.icc else 'DROP'}")
    forward += [f"-A {prefix}-FWD -o {name} -j DROP" for name in names]
    forward += [
        f"-A {prefix}-FWD -i {s.bridge} -j {'DROP' if s.internal else 'ACCEPT'}" for s in rules.segments
    ]
    links = rules.apart6 if six else rules.apart
    forward += [f"-A {prefix}-FWD -i {one} -o {other} -j DROP" for one in links for other in links]
    return "\n".join(["*nat", *nat, "COMMIT", "*filter", *forward, "COMMIT", ""])


def _tools() -> list[tuple[str, bool]]:
    found = [(tool, six) for tool, six in (("iptables", False), ("ip6tables", True)) if shutil.which(tool)]
    if not found:
        raise System("no packet filter found: install libnftables1, nftables or iptables")
    return found


def _holds(command: list[str]) -> bool:
    return subprocess.run(command, capture_output=True, timeout=30).returncode == 0


def _run(command: list[str], text: str) -> None:
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=30)
    if done.returncode:
        raise System(f"{command[0]}: {done.stderr.strip()}")
