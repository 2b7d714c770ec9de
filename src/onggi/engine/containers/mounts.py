"""What -v, --mount, --tmpfs, VOLUME and --volumes-from ask for, as mount records.

Docker's order, the later winning at the same target: --volumes-from, the image's volumes, binds, mounts.
Nothing is made here but bind sources that -v creates; volumes are made by create.py after the owner row.
"""

from __future__ import annotations

import os
import posixpath
import re
import secrets
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from onggi.engine.record import MountRecord
from onggi.errors import InvalidParameter
from onggi.wire.containers import ContainerConfig, HostConfig, Mount

VOLUME_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*\Z")
PROPAGATIONS = frozenset({"private", "rprivate", "shared", "rshared", "slave", "rslave"})
_PLAIN_MODES = frozenset({"ro", "rw", "z", "Z", "nocopy", "cached", "delegated", "consistent"})


def resolve(
    config: ContainerConfig, host: HostConfig, others: Callable[[str], Iterable[MountRecord]]
) -> tuple[MountRecord, ...]:
    """Every mount record; `others` gives the mounts of a container that --volumes-from names.

    Raises InvalidParameter in Docker's words.
    """
    explicit = [*map(parse_bind, host.binds), *map(parse_mount, host.mounts), *_tmpfs(host.tmpfs)]
    _refuse_duplicates(explicit)
    found: dict[str, MountRecord] = {}
    for text in host.volumes_from:
        found.update({record.target: record for record in _volumes_from(text, others)})
    taken = {record.target for record in explicit}
    for target in config.volumes:
        clean = _target(target)
        if clean not in found and clean not in taken:
            found[clean] = MountRecord(
                type="volume", source="", target=clean, name=secrets.token_hex(32), anonymous=True
            )
    found.update({record.target: record for record in explicit})
    return tuple(found.values())


def _refuse_duplicates(records: list[MountRecord]) -> None:
    seen: set[str] = set()
    for record in records:
        if record.target in seen:
            raise InvalidParameter(f"Duplicate mount point: {record.target}")
        seen.add(record.target)


def _target(text: str) -> str:
    if not text.startswith("/"):
        raise InvalidParameter(f"invalid mount path: '{text}' mount path must be absolute")
    clean = posixpath.normpath("/" + text.lstrip("/"))
    if clean == "/":
        raise InvalidParameter("invalid specification: destination can't be '/'")
    return clean


def parse_bind(text: str) -> MountRecord:
    """`source:target[:modes]`; a source with a slash in front is a host path, else a volume's name."""
    parts = text.split(":")
    if len(parts) > 3 or not all(parts):
        raise InvalidParameter(f"invalid volume specification: '{text}'")
    if len(parts) == 1:
        return MountRecord(
            type="volume", source="", target=_target(text), name=secrets.token_hex(32), anonymous=True
        )
    source, target = parts[0], _target(parts[1])
    modes = parts[2].split(",") if len(parts) == 3 else []
    _check_modes(modes, text, is_bind=source.startswith("/"))
    facts: dict[str, Any] = {
        "target": target,
        "read_only": "ro" in modes,
        "mode": parts[2] if len(parts) == 3 else ("" if source.startswith("/") else "z"),
    }
    if source.startswith("/"):
        spread = next((mode for mode in modes if mode in PROPAGATIONS), "rprivate")
        return MountRecord(type="bind", source=posixpath.normpath(source), propagation=spread, **facts)
    return MountRecord(type="volume", source="", name=volume_name(source), no_copy="nocopy" in modes, **facts)


def _check_modes(modes: list[str], text: str, *, is_bind: bool) -> None:
    groups = [{"ro", "rw"}, set(PROPAGATIONS), {"z", "Z"}, {"nocopy"}, {"cached", "delegated", "consistent"}]
    known = _PLAIN_MODES | PROPAGATIONS
    bad = any(mode not in known for mode in modes)
    bad = bad or any(sum(mode in group for mode in modes) > 1 for group in groups)
    bad = bad or (is_bind and "nocopy" in modes) or (not is_bind and bool(PROPAGATIONS & set(modes)))
    if bad:
        raise InvalidParameter(f"invalid mode: {','.join(modes)}")


def volume_name(text: str) -> str:
    """A volume's name, checked. Raises InvalidParameter."""
    if len(text) < 2:
        raise InvalidParameter(
            f"create {text}: volume name is too short, names should be at least two alphanumeric characters"
        )
    if not VOLUME_NAME.match(text):
        raise InvalidParameter(
            f'create {text}: "{text}" includes invalid characters for a local volume name, only '
            '"[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. '
            "If you intended to pass a host directory, use absolute path"
        )
    return text


def parse_mount(wanted: Mount) -> MountRecord:
    """One of HostConfig.Mounts (`--mount`)."""

    def bad(reason: str) -> InvalidParameter:
        return InvalidParameter(f'invalid mount config for type "{wanted.type}": {reason}')

    if wanted.type not in ("bind", "volume", "tmpfs"):
        raise InvalidParameter(f'mount type unknown: "{wanted.type}"')
    if not wanted.target:
        raise bad("field Target must not be empty")
    if not wanted.target.startswith("/"):
        raise bad(f"invalid mount path: '{wanted.target}' mount path must be absolute")
    target = _target(wanted.target)
    for kind, options in (
        ("bind", wanted.bind_options),
        ("volume", wanted.volume_options),
        ("tmpfs", wanted.tmpfs_options),
    ):
        if options is not None and kind != wanted.type:
            raise bad(f"field {kind.capitalize()}Options must not be specified")
    facts: dict[str, Any] = {"target": target, "read_only": wanted.read_only, "from_mounts": True}
    if wanted.type == "tmpfs":
        if wanted.source:
            raise bad("field Source must not be specified")
        return MountRecord(type="tmpfs", source="", tmpfs_data=_tmpfs_data(wanted), **facts)
    if wanted.type == "volume":
        return _volume_mount(wanted, facts)
    return _bind_mount(wanted, facts, bad)


def _volume_mount(wanted: Mount, facts: dict[str, Any]) -> MountRecord:
    options = wanted.volume_options
    if not wanted.source:
        facts["anonymous"] = True
    return MountRecord(
        type="volume",
        source="",
        name=volume_name(wanted.source) if wanted.source else secrets.token_hex(32),
        mode="z",
        no_copy=options.no_copy if options else False,
        subpath=options.subpath if options else "",
        **facts,
    )


def _bind_mount(wanted: Mount, facts: dict[str, Any], bad: Callable[[str], InvalidParameter]) -> MountRecord:
    options = wanted.bind_options
    if not wanted.source:
        raise bad("field Source must not be empty")
    if not wanted.source.startswith("/"):
        raise bad(f"invalid mount path: '{wanted.source}' mount path must be absolute")
    if not os.path.lexists(wanted.source) and not (options and options.create_mountpoint):
        raise bad(f"bind source path does not exist: {wanted.source}")
    spread = options.propagation if options else ""
    if spread and spread not in PROPAGATIONS:
        raise bad(f"invalid propagation mode: {spread}")
    return MountRecord(
        type="bind",
        source=posixpath.normpath(wanted.source),
        propagation=spread or "rprivate",
        recursive=not (options and options.non_recursive),
        **facts,
    )


def _tmpfs_data(wanted: Mount) -> str:
    options = wanted.tmpfs_options
    if options is None:
        return ""
    parts = [f"size={options.size_bytes}"] if options.size_bytes else []
    if options.size_bytes < 0:
        raise InvalidParameter('invalid mount config for type "tmpfs": size must not be negative')
    if options.mode:
        parts.append(f"mode={options.mode:o}")
    return ",".join([*parts, *("=".join(option) for option in options.options)])


def _tmpfs(wanted: dict[str, str]) -> list[MountRecord]:
    return [
        MountRecord(type="tmpfs", source="", target=_target(target), tmpfs_data=data, mode=data)
        for target, data in wanted.items()
    ]


def _volumes_from(text: str, others: Callable[[str], Iterable[MountRecord]]) -> list[MountRecord]:
    name, _, mode = text.partition(":")
    if mode not in ("", "ro", "rw", "z", "Z"):
        raise InvalidParameter(f"invalid mode: {mode}")
    return [
        msgspec.structs.replace(record, read_only=record.read_only or mode == "ro", anonymous=False)
        for record in others(name)
        if record.type != "tmpfs"
    ]


def make_bind_sources(records: Iterable[MountRecord]) -> None:
    """Create the host directories of -v that do not exist, as Docker does. Raises InvalidParameter."""
    for record in records:
        if record.type == "bind" and not os.path.lexists(record.source):
            try:
                os.makedirs(record.source, mode=0o755, exist_ok=True)
            except OSError as error:
                raise InvalidParameter(
                    f"error while creating mount source path '{record.source}': "
                    f"mkdir {record.source}: {(error.strerror or 'error').lower()}"
                ) from None
