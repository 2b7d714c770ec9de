"""The edits of devices, made in an OCI document (SPEC.md 0.8, "OCI Edits")."""

from __future__ import annotations

import os
import stat
from typing import Any

import msgspec

from onggi.engine.cdi import catalog, request
from onggi.engine.cdi.spec import DeviceNode, Edits, Mount
from onggi.engine.oci.process import merge
from onggi.errors import System
from onggi.store import atomic
from onggi.wire.containers import DeviceRequest

_KINDS = {stat.S_IFCHR: "c", stat.S_IFBLK: "b", stat.S_IFIFO: "p"}


def inject(document: dict[str, Any], requests: list[DeviceRequest], directories: tuple[str, ...]) -> None:
    """Blocking. Changes `document`. Raises InvalidParameter, System (a device that is not there)."""
    known = catalog.read(directories)
    names = request.names(requests, known)
    missing = [name for name in names if name not in known.devices]
    if missing:
        raise System(f"CDI device injection failed: unresolvable CDI devices {', '.join(missing)}")
    specs: set[str] = set()
    for name in names:
        found = known.devices[name]
        edits = [found.device.container_edits]
        if found.path not in specs:
            specs.add(found.path)
            edits.insert(0, found.spec.container_edits)
        for each in edits:
            _apply(document, each, name)


def write_bundle(directory: str, document: dict[str, Any]) -> None:
    """config.json for hooks, without the environment: values of secrets lie on no disk."""
    shown = {**document, "process": {**document["process"], "env": []}}
    atomic.write(f"{directory}/config.json", msgspec.json.encode(shown), mode=0o600)


def _apply(document: dict[str, Any], edits: Edits, name: str) -> None:
    if edits.intel_rdt is not None:
        raise System(f"CDI device injection failed: {name}: intelRdt is not supported by this engine")
    process, linux = document["process"], document["linux"]
    process["env"] = merge(process["env"], edits.env or ())
    for node in edits.device_nodes or ():
        device = _device(node, process["user"], name)
        linux["devices"] = [one for one in linux["devices"] if one["path"] != node.path] + [device]
        if device["type"] in ("b", "c"):
            rule = {key: device[key] for key in ("type", "major", "minor")}
            linux["resources"]["devices"].append({"allow": True, **rule, "access": node.permissions or "rwm"})
    for mount in edits.mounts or ():
        kept = [one for one in document["mounts"] if one["destination"] != mount.container_path]
        # Stable: what lies deeper is mounted later, all else as it was.
        document["mounts"] = sorted([*kept, _mount(mount)], key=lambda one: _depth(one["destination"]))
    for hook in edits.hooks or ():
        entry: dict[str, Any] = {"path": hook.path, "args": hook.args or [], "env": hook.env or []}
        if hook.timeout is not None:
            entry["timeout"] = hook.timeout
        document.setdefault("hooks", {}).setdefault(hook.hook_name, []).append(entry)
    groups = process["user"]["additionalGids"]
    groups += [gid for gid in edits.additional_gids or () if gid and gid not in groups]


def _mount(mount: Mount) -> dict[str, Any]:
    return {
        "destination": mount.container_path,
        "source": mount.host_path,
        "type": mount.type,
        "options": list(mount.options or ()),
    }


def _depth(path: str) -> int:
    return os.path.normpath(path).count("/") if path != "/" else 0


def _device(node: DeviceNode, user: dict[str, Any], name: str) -> dict[str, Any]:
    """What a spec does not say is asked of the host's node. Raises System."""
    kind, major, minor = "c" if node.type == "u" else node.type, node.major, node.minor
    if not (kind and (major or kind == "p")):
        host_path = node.host_path or node.path
        try:
            facts = os.lstat(host_path)
        except OSError as error:
            raise _failed(name, f'failed to stat CDI host device "{host_path}": {error.strerror}') from None
        actual = _KINDS.get(stat.S_IFMT(facts.st_mode))
        if actual is None:
            raise _failed(name, f'failed to stat CDI host device "{host_path}": not a device node')
        if kind and kind != actual:
            raise _failed(
                name, f'CDI device ("{node.path}", "{host_path}"), host type mismatch ({kind}, {actual})'
            )
        kind = actual
        if not major and kind != "p":
            major, minor = os.major(facts.st_rdev), os.minor(facts.st_rdev)
    device = {"path": node.path, "type": kind, "major": major, "minor": minor}
    if node.file_mode is not None:
        device["fileMode"] = stat.S_IMODE(node.file_mode)
    device["uid"] = user["uid"] if node.uid is None else node.uid
    device["gid"] = user["gid"] if node.gid is None else node.gid
    return device


def _failed(name: str, why: str) -> System:
    return System(f"CDI device injection failed: failed to inject devices: {name}: {why}")
