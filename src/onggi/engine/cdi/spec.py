"""One spec file: its format, and what the specification wants of it (CDI's SPEC.md 0.8).

Refusals have the words of the reference library (tags.cncf.io/container-device-interface).
"""

from __future__ import annotations

import posixpath
import re

import msgspec

VERSIONS = ("0.1.0", "0.2.0", "0.3.0", "0.4.0", "0.5.0", "0.6.0", "0.7.0", "0.8.0")
HOOKS = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")
_VENDOR = re.compile(r"[A-Za-z](?:[A-Za-z0-9_.-]*[A-Za-z0-9])?\Z")
_DEVICE = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.:-]*[A-Za-z0-9])?\Z")
_LARGEST_ID = (1 << 32) - 2  # chown(2): the last one means "unchanged"


class _Strict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    pass


class DeviceNode(_Strict, frozen=True, kw_only=True):
    path: str = ""
    host_path: str = ""
    type: str = ""
    major: int = 0
    minor: int = 0
    file_mode: int | None = None
    permissions: str = ""
    uid: int | None = None
    gid: int | None = None


class Mount(_Strict, frozen=True, kw_only=True):
    host_path: str = ""
    container_path: str = ""
    options: list[str] | None = None
    type: str = ""


class Hook(_Strict, frozen=True, kw_only=True):
    hook_name: str = ""
    path: str = ""
    args: list[str] | None = None
    env: list[str] | None = None
    timeout: int | None = None


class IntelRdt(_Strict, frozen=True, kw_only=True):
    clos_id: str = msgspec.field(name="closID", default="")
    l3_cache_schema: str = ""
    mem_bw_schema: str = ""
    enable_cmt: bool = msgspec.field(name="enableCMT", default=False)
    enable_mbm: bool = msgspec.field(name="enableMBM", default=False)


class Edits(_Strict, frozen=True, kw_only=True):
    """`containerEdits`."""

    env: list[str] | None = None
    device_nodes: list[DeviceNode] | None = None
    hooks: list[Hook] | None = None
    mounts: list[Mount] | None = None
    intel_rdt: IntelRdt | None = None
    additional_gids: list[int] | None = None


class Device(_Strict, frozen=True, kw_only=True):
    name: str = ""
    annotations: dict[str, str] | None = None
    container_edits: Edits = Edits()


class Spec(_Strict, frozen=True, kw_only=True):
    cdi_version: str = ""
    kind: str = ""
    annotations: dict[str, str] | None = None
    devices: list[Device] | None = None
    container_edits: Edits = Edits()


def is_qualified(name: str) -> bool:
    """Is it `vendor.com/class=device`?"""
    kind, equals, device = name.partition("=")
    vendor, slash, class_ = kind.partition("/")
    return bool(
        equals and slash and _VENDOR.match(vendor) and _VENDOR.match(class_) and _DEVICE.match(device)
    )


def parse(document: object) -> Spec:
    """Raises ValueError: not such a document, or against the specification."""
    try:
        spec = msgspec.convert(document, Spec)
    except msgspec.ValidationError as error:
        raise ValueError(f"failed to unmarshal CDI Spec: {error}") from None
    try:
        _check(spec)
    except ValueError as error:
        raise ValueError(f"invalid CDI Spec: {error}") from None
    return spec


def _check(spec: Spec) -> None:
    if spec.cdi_version not in VERSIONS:
        raise ValueError(f'invalid version "{spec.cdi_version}"')
    needed = _needed(spec)
    if VERSIONS.index(spec.cdi_version) < VERSIONS.index(needed) and needed != "0.3.0":
        raise ValueError(f"the spec version must be at least v{needed}")
    vendor, slash, class_ = spec.kind.partition("/")
    if not slash or not _VENDOR.match(vendor):
        raise ValueError(f'invalid vendor. "{vendor if slash else ""}"')
    if not _VENDOR.match(class_):
        raise ValueError(f'invalid class. "{class_}"')
    _check_edits(spec.container_edits)
    seen: set[str] = set()
    for device in spec.devices or ():
        if not _DEVICE.match(device.name):
            raise ValueError(f'failed add device "{device.name}": invalid device name')
        if device.container_edits == Edits():
            raise ValueError(f'failed add device "{device.name}": invalid device, empty device edits')
        if device.name in seen:
            raise ValueError(f'invalid spec, multiple device "{device.name}"')
        seen.add(device.name)
        _check_edits(device.container_edits)
    if not seen:
        raise ValueError("invalid spec, no devices")


def _needed(spec: Spec) -> str:
    """The version that the newest field in use came with."""
    devices = spec.devices or []
    edits = [spec.container_edits, *(device.container_edits for device in devices)]
    if any(each.intel_rdt is not None or each.additional_gids for each in edits):
        return "0.7.0"
    if spec.annotations or any(d.annotations for d in devices) or "." in spec.kind.partition("/")[2]:
        return "0.6.0"
    if any(node.host_path for each in edits for node in each.device_nodes or ()):
        return "0.5.0"
    if any(device.name[:1].isdigit() for device in devices):
        return "0.5.0"
    if any(mount.type for each in edits for mount in each.mounts or ()):
        return "0.4.0"
    return "0.3.0"


def _check_edits(edits: Edits) -> None:
    _check_env(edits.env)
    for node in edits.device_nodes or ():
        _check_node(node)
    for hook in edits.hooks or ():
        if hook.hook_name not in HOOKS:
            raise ValueError(f'invalid hook name "{hook.hook_name}"')
        if not hook.path.startswith("/") or "\0" in hook.path + "".join(hook.args or ()):
            raise ValueError(f'invalid hook "{hook.hook_name}": path "{hook.path}" is not absolute')
        if hook.timeout is not None and not 0 < hook.timeout < 1 << 31:
            raise ValueError(f'invalid hook "{hook.hook_name}": timeout {hook.timeout}')
        _check_env(hook.env)
    for mount in edits.mounts or ():
        if not mount.host_path:
            raise ValueError("invalid mount, empty host path")
        _check_path("mount", mount.container_path)
        if "\0" in mount.host_path + mount.type + "".join(mount.options or ()):
            raise ValueError(f"invalid mount {mount.container_path}: a NUL")
    for gid in edits.additional_gids or ():
        if not 0 <= gid <= _LARGEST_ID:
            raise ValueError(f"invalid additional gid {gid}")


def _check_env(env: list[str] | None) -> None:
    for item in env or ():
        if item.find("=") <= 0 or "\0" in item:
            raise ValueError(f'invalid container edits: invalid environment variable "{item}"')


def _check_node(node: DeviceNode) -> None:
    _check_path("device", node.path)
    if "\0" in node.host_path or (node.host_path and not node.host_path.startswith("/")):
        raise ValueError(f'device "{node.path}": invalid host path "{node.host_path}"')
    if node.type not in ("", "b", "c", "u", "p"):
        raise ValueError(f'device "{node.path}": invalid type "{node.type}"')
    if not set(node.permissions) <= set("rwm"):
        raise ValueError(f'device "{node.path}": invalid permissions "{node.permissions}"')
    numbers = (node.major, node.minor, node.uid or 0, node.gid or 0)
    if not all(0 <= number <= _LARGEST_ID for number in numbers) or not 0 <= (node.file_mode or 0) <= 0o7777:
        raise ValueError(f'device "{node.path}": a number is out of range')


def _check_path(kind: str, path: str) -> None:
    """Paths in the container are taken as they are: one that says `..` says nothing good."""
    if not path.startswith("/") or "\0" in path or posixpath.normpath(path) in ("/", "//"):
        raise ValueError(f'invalid {kind}, container path "{path}"')
    if ".." in path.split("/"):
        raise ValueError(f'invalid {kind}, container path "{path}"')
