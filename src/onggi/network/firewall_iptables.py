"""The same rules by iptables-restore(8), for a host without nftables: chains of ours, jumped to from theirs.

    raw     TABLE-GUARD  from PREROUTING: nobody sends to 127.0.0.0/8 from a bridge (CVE-2020-8558)
    nat     TABLE-ENTRY  from PREROUTING: whose packets are led (firewall.py)
            TABLE-PORTS  from OUTPUT and TABLE-ENTRY      TABLE-POST  from POSTROUTING
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
    ("raw", "PREROUTING", "GUARD", ""),
    ("nat", "PREROUTING", "ENTRY", "-m addrtype --dst-type LOCAL"),
    ("nat", "OUTPUT", "PORTS", "-m addrtype --dst-type LOCAL"),
    ("nat", "POSTROUTING", "POST", ""),
    ("filter", "FORWARD", "FWD", ""),
)


def apply(table: str, rules: Rules) -> None:
    """Make our chains hold exactly these rules. Raises System with the tool's own words."""
    prefix = table.upper()
    for tool, six in _used(rules):
        _run([f"{tool}-restore", "-w", "--noflush"], script(prefix, rules, six=six))
        for kind, hook, chain, match in _HOOKS:
            jump = [*match.split(), "-j", f"{prefix}-{chain}"]
            if not _holds([tool, "-w", "-t", kind, "-C", hook, *jump]):
                _run([tool, "-w", "-t", kind, "-I", hook, *jump], "")


def intact(table: str, rules: Rules) -> bool:
    """Are our chains there, with as many rules as they should have, and do theirs lead to them?"""
    prefix = table.upper()
    for tool, six in _used(rules):
        saved = _run([f"{tool}-save"], "").splitlines()
        wanted = script(prefix, rules, six=six).splitlines()
        own = f"-A {prefix}-"
        if sum(line.startswith(own) for line in saved) != sum(line.startswith(own) for line in wanted):
            return False
        for _, hook, chain, _ in _HOOKS:
            jump = f" -j {prefix}-{chain}"
            if not any(line.startswith(f"-A {hook} ") and line.endswith(jump) for line in saved):
                return False
    return True


def remove(table: str) -> None:
    """Remove our chains; what is not there is no error."""
    prefix = table.upper()
    for tool, _ in _tools():
        for kind, hook, chain, match in _HOOKS:
            _holds([tool, "-w", "-t", kind, "-D", hook, *match.split(), "-j", f"{prefix}-{chain}"])
        chains = list(dict.fromkeys((kind, chain) for kind, _, chain, _ in _HOOKS))
        for verb in ("-F", "-X"):
            for kind, chain in chains:
                _holds([tool, "-w", "-t", kind, verb, f"{prefix}-{chain}"])


def script(prefix: str, rules: Rules, *, six: bool) -> str:
    """The text of iptables-restore(8); a chain that is named is emptied first."""
    names = [segment.bridge for segment in rules.segments]
    raw = [f":{prefix}-GUARD -"]
    raw += [f"-A {prefix}-GUARD -i {name} -d 127.0.0.0/8 -j DROP" for name in names if not six]
    nat = [f":{prefix}-ENTRY -", f":{prefix}-PORTS -", f":{prefix}-POST -"]
    entries = [""] if rules.from_outside else [f" -i {name}" for name in names]
    nat += [f"-A {prefix}-ENTRY{entry} -j {prefix}-PORTS" for entry in entries]
    for port in rules.ports:
        if (":" in port.address) != six:
            continue
        to = f"[{port.address}]:{port.port}" if six else f"{port.address}:{port.port}"
        anywhere = " ! -d ::1/128" if six else ""  # ::1 is the relay's
        where = f" -d {port.host_address}" if port.host_address else anywhere
        match = f"{where} -p {port.protocol} --dport {port.host_port}"
        nat.append(f"-A {prefix}-PORTS{match} -j DNAT --to-destination {to}")
    forward = [f":{prefix}-FWD -"]
    for segment in rules.segments:
        name = segment.bridge
        for subnet in segment.subnets:
            if (":" in subnet) != six:
                continue
            if segment.masquerade and not segment.internal:
                source = segment.sources.get(6 if six else 4)
                target = f"SNAT --to-source {source}" if source else "MASQUERADE"
                nat.append(f"-A {prefix}-POST -s {subnet} ! -o {name} -j {target}")
            nat.append(f"-A {prefix}-POST -s {subnet} -o {name} -m conntrack --ctstate DNAT -j MASQUERADE")
        if not six:
            nat.append(f"-A {prefix}-POST -s 127.0.0.0/8 -o {name} -j MASQUERADE")
    for way in ("-i", "-o"):
        forward += [
            f"-A {prefix}-FWD {way} {name} -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT"
            for name in names
        ]
    forward += [f"-A {prefix}-FWD -o {name} -m conntrack --ctstate DNAT -j ACCEPT" for name in names]
    for segment in rules.segments:
        name = segment.bridge
        forward.append(f"-A {prefix}-FWD -i {name} -o {name} -j {'ACCEPT' if segment.icc else 'DROP'}")
        if segment.internal:
            continue
        forward += [f"-A {prefix}-FWD -i {link} -o {name} -j ACCEPT" for link in segment.trusted]
        if (6 if six else 4) in segment.open:
            forward += [f"-A {prefix}-FWD -i {other} -o {name} -j DROP" for other in names if other != name]
            forward.append(f"-A {prefix}-FWD -o {name} -j ACCEPT")
    forward += [f"-A {prefix}-FWD -o {name} -j DROP" for name in names]
    forward += [
        f"-A {prefix}-FWD -i {s.bridge} -j {'DROP' if s.internal else 'ACCEPT'}" for s in rules.segments
    ]
    links = rules.apart6 if six else rules.apart
    forward += [f"-A {prefix}-FWD -i {one} -o {other} -j DROP" for one in links for other in links]
    tables = {"raw": raw, "nat": nat, "filter": forward}
    return "".join("\n".join([f"*{name}", *lines, "COMMIT", ""]) for name, lines in tables.items())


def _used(rules: Rules) -> list[tuple[str, bool]]:
    """The tools of the families that the networks have."""
    six = rules.ipv6 and any(":" in subnet for segment in rules.segments for subnet in segment.subnets)
    return [(tool, is_six) for tool, is_six in _tools() if six or not is_six]


def _tools() -> list[tuple[str, bool]]:
    found = [(tool, six) for tool, six in (("iptables", False), ("ip6tables", True)) if shutil.which(tool)]
    if not found:
        raise System("no packet filter found: install libnftables1, nftables or iptables")
    return found


def _holds(command: list[str]) -> bool:
    return subprocess.run(command, capture_output=True, timeout=30).returncode == 0


def _run(command: list[str], text: str) -> str:
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=30)
    if done.returncode:
        raise System(f"{command[0]}: {done.stderr.strip()}")
    return done.stdout
