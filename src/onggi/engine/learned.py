"""--security-learn: what a container used in a run, as the smallest policy that lets it run again.

    create with SecurityLearn -> start: the filter asks (spawn/learning.py) -> containers/ID/learned.json
    -> learned(): seccomp profile, capabilities, where it wrote

The profile is the container's own one with every call left out that it did not use, so that conditions on
arguments stay, and it is never wider. Capabilities are told from calls, their arguments and the caller's
ids; one that was added by hand, and that no call shows (NET_ADMIN), is kept. Where it wrote is what its
layer has that the image has not. What a run did not do was not learned; what `exec` and health checks do is
not, either.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import msgspec

from onggi.engine.containers import diff
from onggi.engine.oci import security
from onggi.errors import Conflict, InvalidParameter, NotFound
from onggi.runtime.seccomp import machine_arch, tables, words
from onggi.spawn.learning import KNOWN

if TYPE_CHECKING:
    from onggi.engine.engine import Engine
    from onggi.engine.record import ContainerRecord

# What every process may come to need, whether or not this run did: its end, and coming back from a signal.
STANDING = frozenset({"exit", "exit_group", "rt_sigreturn", "restart_syscall"})
RETURN = 0x06  # BPF_RET | BPF_K
NEW_LISTENER = 8  # SECCOMP_FILTER_FLAG_NEW_LISTENER
ENGINES_OWN = frozenset({"/etc/hosts", "/etc/hostname", "/etc/resolv.conf", "/etc", "/dev", "/proc", "/sys"})


class Learned(msgspec.Struct, frozen=True, rename="pascal"):
    """`read_only`: it wrote nothing into its root but below `writable`."""

    seccomp: dict[str, Any]
    capabilities: list[str]
    writable: list[str]


class _Seen(msgspec.Struct, frozen=True):
    calls: dict[str, list[int]]
    capabilities: list[str]


def ask(plan: dict[str, Any], path: str) -> None:
    """Have a plan's filter ask where it would allow. Raises InvalidParameter where there is no filter."""
    for position, step in enumerate(plan["child"]):
        if step[0] == "seccomp":
            plan["child"][position] = ("seccomp", _asking(step[1]), step[2] | NEW_LISTENER)
            break
    else:
        raise InvalidParameter("--security-learn needs a seccomp policy to begin with")
    names = {number: name for name, number in tables.numbers(machine_arch()).items()}
    plan["learn"] = (path, names)


def _asking(program: bytes) -> bytes:
    """The same filter, but ALLOW is NOTIFY: struct sock_filter is code, two jumps, and the value."""
    made = []
    for code, yes, no, value in struct.iter_unpack("=HBBI", program):
        asked = code == RETURN and value == words.RET_ALLOW
        made.append(struct.pack("=HBBI", code, yes, no, words.RET_NOTIFY if asked else value))
    return b"".join(made)


def path(engine: Engine, container_id: str) -> str:
    return f"{engine.paths.container_dir(container_id)}/learned.json"


async def learned(engine: Engine, name: str) -> Learned:
    """Raises NoSuchContainer, NotFound (nothing was learned), Conflict (it runs, or has no policy now)."""
    container = engine.containers.get(name)
    record = container.record
    if container.running:
        raise Conflict(f"container {record.id} still runs: what it needs is told at its end")
    seen = await engine.offload(_read, engine, record)
    changes = await diff.diff(engine, name)
    host = record.host_config
    options = security.options_of(host, engine.config)
    had = security.capabilities(host)
    base = security.seccomp_profile(host, options, had)
    if base is None:  # start has refused, but the engine's own profile is another one since
        raise Conflict(f"container {record.id}: the engine's seccomp profile is unconfined now")
    return Learned(
        seccomp=narrowed(base, used(seen.calls), arches(seen.calls)),
        capabilities=_capabilities(record, had, set(seen.capabilities)),
        writable=written([change.path for change in changes]),
    )


def _read(engine: Engine, record: ContainerRecord) -> _Seen:
    try:
        with open(path(engine, record.id), "rb") as file:
            return msgspec.json.decode(file.read(), type=_Seen)
    except FileNotFoundError:
        raise NotFound(f"container {record.id} was not run with --security-learn") from None


def used(calls: dict[str, list[int]]) -> set[str]:
    """Names of the calls that were seen, of whatever architecture."""
    found = set(STANDING)
    for arch, numbers in calls.items():
        for name in _names_of(int(arch, 16)):
            table = {number: call for call, number in tables.numbers(name).items()}
            found |= {table[n & ~words.X32_BIT] for n in numbers if n & ~words.X32_BIT in table}
    return found


def arches(calls: dict[str, list[int]]) -> set[str]:
    """The OCI names of the architectures that were seen."""
    seen = {name for arch in calls for name in _names_of(int(arch, 16))}
    return {oci for oci, name in words.ARCHES.items() if name in seen and name != "x32"}


def _names_of(audit: int) -> list[str]:
    return [name for name, value in words.AUDIT_ARCH.items() if value == audit and name != "x32"]


def narrowed(base: dict[str, Any], names: set[str], architectures: set[str]) -> dict[str, Any]:
    """`base` without what was not used. A base that allows by default denies by default then."""
    allows = base.get("defaultAction") in ("SCMP_ACT_ALLOW", "SCMP_ACT_LOG")
    rules = []
    for rule in base.get("syscalls") or []:
        kept = sorted(names & set(rule.get("names") or ()))
        if kept:
            rules.append({**rule, "names": kept})
    if allows:
        listed = {name for rule in rules for name in rule["names"]}
        rules.append({"names": sorted(names - listed), "action": "SCMP_ACT_ALLOW"})
    made: dict[str, Any] = {
        "defaultAction": "SCMP_ACT_ERRNO" if allows else base["defaultAction"],
        "defaultErrnoRet": 1 if allows else base.get("defaultErrnoRet", 1),
        "architectures": sorted(architectures),
        "syscalls": rules,
    }
    if base.get("flags"):
        made["flags"] = base["flags"]
    return made


def _capabilities(record: ContainerRecord, had: list[str], seen: set[str]) -> list[str]:
    """Without CAP_. `had` is what the container could use."""
    added = {name.upper().removeprefix("CAP_") for name in record.host_config.cap_add} - KNOWN - {"ALL"}
    return [short for name in had if (short := name.removeprefix("CAP_")) in seen | added]


def written(paths: list[str]) -> list[str]:
    """The directories that must stay writable, each below no other one; the engine's own files left out."""
    changed = set(paths)
    parents = {path.rpartition("/")[0] or "/" for path in changed if path not in ENGINES_OWN}
    touched = {path for path in changed if any(other.startswith(path + "/") for other in changed)}
    wanted = sorted(parent for parent in parents if not _only_on_the_way(parent, changed, touched))
    found: list[str] = []
    for path in wanted:
        if not any(path == other or path.startswith(other.rstrip("/") + "/") for other in found):
            found.append(path)
    return found


def _only_on_the_way(parent: str, changed: set[str], touched: set[str]) -> bool:
    """A directory whose only changed entries are directories that lead to others."""
    entries = {p for p in changed - ENGINES_OWN if (p.rpartition("/")[0] or "/") == parent}
    return entries <= touched
