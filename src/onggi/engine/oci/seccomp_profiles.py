"""Docker's form of a seccomp profile -> the OCI form, for one container.

Docker's form has, beyond the OCI one: `archMap` (an architecture with its sub-architectures) and, at each
rule, `includes` and `excludes` by capability, architecture and minimal kernel. A plain OCI profile passes.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from typing import Any

from onggi.errors import InvalidParameter
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


def _kernel_at_least(version: str) -> bool:
    running = os.uname().release.split("-")[0].split(".")
    return [int(n) for n in running[:2]] >= [int(n) for n in version.split(".")[:2]]
