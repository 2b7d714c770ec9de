"""Docker's form of a seccomp profile -> the OCI form, for one container.

Docker's form has, beyond the OCI one: `archMap` (an architecture with its sub-architectures) and, at each
rule, `includes` and `excludes` by capability, architecture and minimal kernel. A plain OCI profile passes.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from functools import cache
from typing import Any

from onggi.errors import InvalidParameter
from onggi.kernel import quotas
from onggi.runtime import seccomp

_GO_ARCHES = {"x86_64": "amd64", "aarch64": "arm64", "i686": "x86", "armv7l": "arm"}


def resolve(profile: dict[str, Any], capabilities: Collection[str]) -> dict[str, Any]:
    """The OCI profile. Raises InvalidParameter."""
    made = {key: value for key, value in profile.items() if key not in ("archMap", "syscalls")}
    if profile.get("archMap"):
        if profile.get("architectures"):
            raise InvalidParameter("both 'architectures' and 'archMap' are specified in the seccomp profile")
        made["architectures"] = _architectures(profile["archMap"])
    made["syscalls"] = [
        _plain(rule) for rule in profile.get("syscalls") or () if _applies(rule, capabilities)
    ]
    return made


def _architectures(arch_map: list[dict[str, Any]]) -> list[str]:
    native = seccomp.machine_arch()
    for entry in arch_map:
        if entry.get("architecture") == native:
            return [native, *(entry.get("subArchitectures") or ())]
    return [native]


def _plain(rule: dict[str, Any]) -> dict[str, Any]:
    names = [rule["name"]] if rule.get("name") else list(rule.get("names") or ())
    if rule.get("name") and rule.get("names"):
        raise InvalidParameter("both 'name' and 'names' are specified in the seccomp profile")
    kept = {key: rule[key] for key in ("action", "args", "errnoRet") if rule.get(key) is not None}
    return {**kept, "names": names}


def _applies(rule: dict[str, Any], capabilities: Collection[str]) -> bool:
    includes, excludes = rule.get("includes") or {}, rule.get("excludes") or {}
    arch = _GO_ARCHES.get(os.uname().machine, os.uname().machine)
    if any(name not in capabilities for name in includes.get("caps") or ()):
        return False
    if includes.get("arches") and arch not in includes["arches"]:
        return False
    if includes.get("minKernel") and not _kernel_at_least(includes["minKernel"]):
        return False
    if any(name in capabilities for name in excludes.get("caps") or ()):
        return False
    if arch in (excludes.get("arches") or ()):
        return False
    return not (excludes.get("minKernel") and _kernel_at_least(excludes["minKernel"]))


def within_quota(profile: dict[str, Any]) -> dict[str, Any]:
    """The OCI profile without the ways to another project of the file system, and so out of a quota.

    In the first user namespace a file's owner may change its project, and take the inherit flag off a
    directory; overlayfs passes both on. The kernel looks at the low half of the command alone.
    """
    commands = (quotas.FS_IOC_FSSETXATTR, quotas.FS_IOC_SETFLAGS, quotas.FS_IOC32_SETFLAGS)
    rules: list[dict[str, Any]] = []
    if profile.get("defaultAction") in ("SCMP_ACT_ALLOW", "SCMP_ACT_LOG", "SCMP_ACT_TRACE"):
        rules.append({"names": ["file_setattr"], "action": "SCMP_ACT_ERRNO"})
        rules += [_ioctl({"action": "SCMP_ACT_ERRNO"}, 0xFFFFFFFF, command) for command in commands]
    for rule in profile["syscalls"]:
        names = [name for name in rule["names"] if name not in ("ioctl", "file_setattr")]
        if names:
            rules.append({**rule, "names": names})
        if "ioctl" in rule["names"] and not rule.get("args"):
            rules += [_ioctl(rule, mask, value) for mask, value in _all_but(commands)]
        elif "ioctl" in rule["names"]:
            rules.append({**rule, "names": ["ioctl"]})
    return {**profile, "syscalls": rules}


def _ioctl(rule: dict[str, Any], mask: int, command: int) -> dict[str, Any]:
    test = {"index": 1, "op": "SCMP_CMP_MASKED_EQ", "value": mask, "valueTwo": command}
    return {**rule, "names": ["ioctl"], "args": [test]}


@cache
def _all_but(commands: tuple[int, ...]) -> tuple[tuple[int, int], ...]:
    """(mask, value) of 32 bits that together fit every number but these.

    One action for all of them: libseccomp, which other runtimes use, decides between rules of different
    actions by their order in its tree and not by ours. Bit 30 comes first: terminals' numbers lack it.
    """
    found: list[tuple[int, int]] = []

    def walk(left: tuple[int, ...], mask: int, value: int, bits: list[int]) -> None:
        if not left:
            found.append((mask, value))
        elif bits:
            for side in (0, 1 << bits[0]):
                within = tuple(command for command in left if command & 1 << bits[0] == side)
                walk(within, mask | 1 << bits[0], value | side, bits[1:])

    walk(commands, 0, 0, [30, *(bit for bit in range(31, -1, -1) if bit != 30)])
    return tuple(sorted(found, key=lambda one: one[0].bit_count()))


def _kernel_at_least(version: str) -> bool:
    running = os.uname().release.split("-")[0].split(".")
    return [int(n) for n in running[:2]] >= [int(n) for n in version.split(".")[:2]]
