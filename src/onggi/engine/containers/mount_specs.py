"""One of HostConfig.Mounts (`--mount`) as a mount record, checked in Docker's order and words."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Callable
from typing import Any

from onggi.engine.containers import idmaps, mount_words, tmpfs_words
from onggi.engine.record import MountRecord
from onggi.errors import InvalidParameter
from onggi.wire.containers import Mount

Bad = Callable[[str], InvalidParameter]


def parse(wanted: Mount) -> MountRecord:
    """Raises InvalidParameter."""

    def bad(reason: str) -> InvalidParameter:
        return InvalidParameter(f'invalid mount config for type "{wanted.type}": {reason}')

    if not wanted.target:
        raise bad("field Target must not be empty")
    for value in (wanted.target, wanted.source):
        if "\0" in value:
            raise bad(f"invalid mount path: {value!r} holds a null byte")
    if not wanted.target.startswith("/"):
        raise bad(f"invalid mount path: '{wanted.target}' mount path must be absolute")
    if posixpath.normpath("/" + wanted.target.lstrip("/")) == "/":
        raise bad("invalid specification: destination can't be '/'")
    if wanted.type not in _KINDS:
        raise bad("mount type unknown")
    _refuse_foreign(wanted, bad)
    facts: dict[str, Any] = {
        "target": mount_words.target(wanted.target),
        "read_only": wanted.read_only,
        "from_mounts": True,
    }
    return _KINDS[wanted.type](wanted, facts, bad)


def _refuse_foreign(wanted: Mount, bad: Bad) -> None:
    for kind, options in (
        ("bind", wanted.bind_options),
        ("volume", wanted.volume_options),
        ("image", wanted.image_options),
        ("tmpfs", wanted.tmpfs_options),
    ):
        if options is not None and kind != wanted.type:
            raise bad(f"field {kind.capitalize()}Options must not be specified")


def _bind(wanted: Mount, facts: dict[str, Any], bad: Bad) -> MountRecord:
    options = wanted.bind_options
    if not wanted.source:
        raise bad("field Source must not be empty")
    if not wanted.source.startswith("/"):
        raise bad(f"invalid mount path: '{wanted.source}' mount path must be absolute")
    spread = options.propagation if options else ""
    if spread and spread not in mount_words.PROPAGATIONS:
        raise bad(f"invalid propagation mode: {spread}")
    if not os.path.lexists(wanted.source) and not (options and options.create_mountpoint):
        raise bad(f"bind source path does not exist: {wanted.source}")
    if options is not None:
        if options.read_only_non_recursive and options.read_only_force_recursive:
            raise bad("ReadOnlyNonRecursive and ReadOnlyForceRecursive must not both be specified")
        if options.copy_on_write and (spread or options.non_recursive or options.idmap):
            raise bad("CopyOnWrite cannot be combined with Propagation, NonRecursive or IDMap")
        if options.idmap:
            idmaps.parse(options.idmap)
        facts |= {
            "makes_source": options.create_mountpoint,
            "recursive": not options.non_recursive,
            "read_only_top": options.read_only_non_recursive,
            "overlay": options.copy_on_write,
            "idmap": options.idmap,
            "exclude": tuple(map(mount_words.excluded, options.exclude)),
        }
    source = posixpath.normpath(wanted.source)
    return MountRecord(type="bind", source=source, propagation=spread, **facts)


def _volume(wanted: Mount, facts: dict[str, Any], bad: Bad) -> MountRecord:
    options = wanted.volume_options
    if options is not None and options.subpath:
        if not wanted.source:
            raise bad("must not set Subpath when using anonymous volumes")
        _check_subpath(options.subpath, "volume", bad)
    if wanted.read_only and not wanted.source:
        raise bad("must not set ReadOnly mode when using anonymous volumes")
    name = mount_words.volume_name(wanted.source) if wanted.source else ""
    return MountRecord(
        type="volume",
        source="",
        name=name or mount_words.anonymous(facts["target"]).name,
        anonymous=not name,
        mode="z",
        no_copy=options.no_copy if options else False,
        subpath=posixpath.normpath(options.subpath) if options and options.subpath else "",
        **facts,
    )


def _image(wanted: Mount, facts: dict[str, Any], bad: Bad) -> MountRecord:
    if not wanted.source:
        raise bad("field Source must not be empty")
    subpath = wanted.image_options.subpath if wanted.image_options else ""
    if subpath:
        _check_subpath(subpath, "image", bad)
        subpath = posixpath.normpath(subpath)
    return MountRecord(type="image", source=wanted.source, subpath=subpath, **facts)


def _tmpfs(wanted: Mount, facts: dict[str, Any], bad: Bad) -> MountRecord:
    if wanted.source:
        raise bad("field Source must not be specified")
    data = tmpfs_words.of_mount(wanted.tmpfs_options)
    return MountRecord(type="tmpfs", source="", tmpfs_data=data, **facts)


def _check_subpath(text: str, kind: str, bad: Bad) -> None:
    """Go's filepath.IsLocal."""
    clean = posixpath.normpath(text)
    if clean.startswith(("/", "../")) or clean == ".." or "\0" in text:
        raise bad(f"subpath must be a relative path within the {kind}")


_KINDS: dict[str, Callable[[Mount, dict[str, Any], Bad], MountRecord]] = {
    "bind": _bind,
    "volume": _volume,
    "image": _image,
    "tmpfs": _tmpfs,
}
