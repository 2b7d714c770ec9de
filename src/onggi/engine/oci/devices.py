"""Devices of a container: --device, --device-cgroup-rule, and all of the host's for --privileged.

The nodes that every container has (/dev/null and its like) and their rules are the runtime's (OCI runtime
specification, config-linux.md, "Default Devices").
"""

from __future__ import annotations

import os
import re
import stat
from typing import Any

from onggi.errors import InvalidParameter
from onggi.wire.containers import DeviceMapping, HostConfig

_RULE = re.compile(r"([acb]) ([0-9]{1,10}|\*):([0-9]{1,10}|\*) ([rwm]{1,3})\Z")
_KINDS = ((stat.S_ISCHR, "c"), (stat.S_ISBLK, "b"), (stat.S_ISFIFO, "p"))
# Of the host's /dev, what a container has its own of.
_OWN = {"pts", "shm", "fd", "mqueue", "console", "ptmx", "stdin", "stdout", "stderr", "core", ".lxc", ".udev"}
# Docker's first rules: nothing, then what every container needs.
DEFAULT_RULES: tuple[dict[str, Any], ...] = (
    {"allow": False, "access": "rwm"},
    *(
        {"allow": True, "type": "c", "major": major, "minor": minor, "access": "rwm"}
        for major, minor in ((1, 5), (1, 3), (1, 9), (1, 8), (5, 0), (5, 1))
    ),
    {"allow": False, "type": "c", "major": 10, "minor": 229, "access": "rwm"},
)


def devices(host: HostConfig) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """(linux.devices, linux.resources.devices). Raises InvalidParameter."""
    if host.privileged:
        nodes = [node for node in map(_node, _host_devices("/dev")) if node is not None]
        for mapping in host.devices:
            nodes += [node for node, _ in _mapped(mapping)]
        return nodes, [{"allow": True, "access": "rwm"}]
    nodes, rules = [], list(DEFAULT_RULES)
    for mapping in host.devices:
        for node, access in _mapped(mapping):
            nodes.append(node)
            rules.append(
                {
                    "allow": True,
                    "type": node["type"],
                    "major": node["major"],
                    "minor": node["minor"],
                    "access": access,
                }
            )
    rules += [parse_rule(text) for text in host.device_cgroup_rules]
    return nodes, rules


def parse_rule(text: str) -> dict[str, Any]:
    """`c 1:3 rwm`. Raises InvalidParameter."""
    found = _RULE.match(text)
    if found is None:
        raise InvalidParameter(f'invalid device cgroup rule format: "{text}"')
    kind, major, minor, access = found.groups()
    rule: dict[str, Any] = {"allow": True, "type": kind, "access": access}
    if major != "*":
        rule["major"] = int(major)
    if minor != "*":
        rule["minor"] = int(minor)
    return rule


def _mapped(mapping: DeviceMapping) -> list[tuple[dict[str, Any], str]]:
    host_path = os.path.realpath(mapping.path_on_host)
    target = mapping.path_in_container or mapping.path_on_host
    access = mapping.cgroup_permissions or "rwm"
    if not set(access) <= set("rwm"):
        raise InvalidParameter(f"invalid device mode: {access}")
    node = _node(host_path, target)
    if node is not None:
        return [(node, access)]
    if os.path.isdir(host_path):
        below = [_node(path, target + path[len(host_path) :]) for path in _host_devices(host_path)]
        found = [(node, access) for node in below if node is not None]
        if found:
            return found
        raise InvalidParameter(
            f'error gathering device information while adding custom device "{host_path}": no device'
        )
    problem = "not a device node" if os.path.exists(host_path) else "no such file or directory"
    raise InvalidParameter(
        f'error gathering device information while adding custom device "{mapping.path_on_host}": {problem}'
    )


def _host_devices(top: str) -> list[str]:
    found = []
    for parent, names, files in os.walk(top):
        names[:] = [name for name in names if name not in _OWN]
        found += [f"{parent}/{name}" for name in files if name not in _OWN]
    return found


def _node(path: str, target: str | None = None) -> dict[str, Any] | None:
    """The OCI device for a node of the host, or None for what is no device."""
    try:
        facts = os.lstat(path)
    except OSError:
        return None
    kind = next((letter for test, letter in _KINDS if test(facts.st_mode)), None)
    if kind in (None, "p"):
        return None
    return {
        "path": target or path,
        "type": kind,
        "major": os.major(facts.st_rdev),
        "minor": os.minor(facts.st_rdev),
        "fileMode": stat.S_IMODE(facts.st_mode),
        "uid": facts.st_uid,
        "gid": facts.st_gid,
    }
