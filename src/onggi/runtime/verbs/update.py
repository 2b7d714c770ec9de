"""onggi-runtime update ID: change limits of a running container, from flags or a file of
`linux.resources`.
"""

from __future__ import annotations

import sys

from onggi.errors import Conflict, InvalidParameter
from onggi.jsontext import loads
from onggi.runtime import state
from onggi.runtime.options import Option, number
from onggi.runtime.verbs import line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from onggi.runtime.command import Runtime

# flag: (section, key) of linux.resources
NUMBERS = {
    "cpu-period": ("cpu", "period"),
    "cpu-quota": ("cpu", "quota"),
    "cpu-burst": ("cpu", "burst"),
    "cpu-rt-period": ("cpu", "realtimePeriod"),
    "cpu-rt-runtime": ("cpu", "realtimeRuntime"),
    "cpu-idle": ("cpu", "idle"),
    "pids-limit": ("pids", "limit"),
    "blkio-weight": ("blockIO", "weight"),
}
SIZES = {"memory": "limit", "memory-reservation": "reservation", "memory-swap": "swap"}
OPTIONS = {
    "resources": Option("file", "read the limits from a file, - is stdin", short="r"),
    **{name: Option("num", f"{section}.{key}") for name, (section, key) in NUMBERS.items()},
    "cpu-share": Option("num", "cpu.shares"),
    "cpu-shares": Option("num", "cpu.shares"),
    "cpuset-cpus": Option("list", "CPUs to use"),
    "cpuset-mems": Option("list", "memory nodes to use"),
    **{name: Option("bytes", f"memory.{key}") for name, key in SIZES.items()},
    "kernel-memory": Option("bytes", "without effect since Linux 5.11"),
    "kernel-memory-tcp": Option("bytes", "without effect since Linux 5.11"),
}
_UNITS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


def run(runtime: Runtime, words: list[str]) -> int:
    options, container_id = line.one_container("update", OPTIONS, words)
    container = state.load(runtime.root, container_id)
    resources = from_file(options["resources"]) if options["resources"] else from_flags(options)
    for flag in ("kernel-memory", "kernel-memory-tcp"):
        if options[flag]:
            runtime.log("warning", f"--{flag} has no effect: this kernel does not limit it")
    with state.Lock(container.directory):
        if container.status() == state.STOPPED:
            raise Conflict("container not running")
        container.cgroup().update(resources)
        linux = container.config.setdefault("linux", {})
        linux["resources"] = merged(linux.get("resources") or {}, resources)
        container.save()
    return 0


def from_file(path: str) -> dict[str, Any]:
    if path == "-":
        text = sys.stdin.read()
    else:
        with open(path, encoding="utf-8") as file:
            text = file.read()
    try:
        resources = loads(text)
    except ValueError as error:
        raise InvalidParameter(f"{path}: {error}") from None
    if not isinstance(resources, dict):
        raise InvalidParameter(f"{path}: not an object")
    return resources


def from_flags(options: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {"cpu": {}, "memory": {}, "pids": {}, "blockIO": {}}
    for flag, (section, key) in NUMBERS.items():
        if options[flag] != "":
            found[section][key] = number(options, flag)
    for flag in ("cpu-share", "cpu-shares"):
        if options[flag] != "":
            found["cpu"]["shares"] = number(options, flag)
    for flag, key in (("cpuset-cpus", "cpus"), ("cpuset-mems", "mems")):
        if options[flag]:
            found["cpu"][key] = options[flag]
    for flag, key in SIZES.items():
        if options[flag] != "":
            found["memory"][key] = size(options[flag], flag)
    return found


def size(text: str, flag: str) -> int:
    """512m, 1g, -1."""
    digits = text.lower().removesuffix("b")
    unit = digits[-1:] if digits[-1:].isalpha() else ""
    digits = digits.removesuffix(unit)
    if unit not in _UNITS or not digits.removeprefix("-").isdigit():
        raise InvalidParameter(f'invalid value for {flag}: "{text}"')
    return int(digits) * _UNITS[unit] if digits != "-1" else -1


def merged(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """One level deep: a section's keys replace those of the same section."""
    result = dict(old)
    for key, value in new.items():
        result[key] = {**(old.get(key) or {}), **value} if isinstance(value, dict) else value
    return result
