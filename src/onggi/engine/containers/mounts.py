"""What -v, --mount, --tmpfs, VOLUME and --volumes-from ask for, as mount records.

Docker's order, the later winning at the same target: --volumes-from, the image's volumes, binds, mounts.
Nothing is made here but bind sources that -v creates; volumes are made by create.py after the owner row.
The words of -v are in mount_words.py, the objects of --mount in mount_specs.py.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

import msgspec

from onggi.engine.containers import mount_specs, mount_words, propagation, tmpfs_words
from onggi.engine.record import MountRecord
from onggi.errors import InvalidParameter, NoSuchContainer
from onggi.wire.containers import ContainerConfig, HostConfig


def resolve(
    config: ContainerConfig,
    host: HostConfig,
    others: Callable[[str], Iterable[MountRecord]],
    root: str,
) -> tuple[MountRecord, ...]:
    """Every mount record; `others` gives the mounts of a container that --volumes-from names, and `root` is
    the engine's own directory.

    Raises InvalidParameter in Docker's words.
    """
    explicit = [
        *map(mount_words.parse, host.binds),
        *map(mount_specs.parse, host.mounts),
        *_tmpfs(host.tmpfs),
    ]
    _refuse_duplicates(explicit)
    found: dict[str, MountRecord] = {}
    for text in host.volumes_from:
        found.update({record.target: record for record in _volumes_from(text, others)})
    taken = {record.target for record in explicit}
    for text in config.volumes:
        target = mount_words.target("/" + text.lstrip("/"))  # VOLUME of an image may be relative, to "/"
        if target not in found and target not in taken:
            found[target] = mount_words.anonymous(target)
    found.update({record.target: record for record in explicit})
    return tuple(propagation.chosen(record, root) for record in found.values())


def _refuse_duplicates(records: list[MountRecord]) -> None:
    seen: set[str] = set()
    for record in records:
        if record.target in seen:
            raise InvalidParameter(f"Duplicate mount point: {record.target}")
        seen.add(record.target)


def _tmpfs(wanted: dict[str, str]) -> list[MountRecord]:
    return [
        MountRecord(
            type="tmpfs",
            source="",
            target=mount_words.target(target),
            tmpfs_data=tmpfs_words.merged(words),
            mode=words,
        )
        for target, words in wanted.items()
    ]


def _volumes_from(text: str, others: Callable[[str], Iterable[MountRecord]]) -> list[MountRecord]:
    if not text:
        raise InvalidParameter("volumes-from specification cannot be an empty string")
    name, _, mode = text.partition(":")
    if mode not in ("", "ro", "rw", "z", "Z"):
        raise InvalidParameter(f"invalid mode: {mode}")
    try:
        found = others(name)
    except NoSuchContainer as error:  # a 404 would tell `docker run` that the image is missing
        raise InvalidParameter(error.message) from None
    return [
        msgspec.structs.replace(record, read_only=record.read_only or mode == "ro", mode="", no_copy=True)
        for record in found
        if record.type in ("bind", "volume")
    ]


def make_bind_sources(records: Iterable[MountRecord]) -> None:
    """Create the host directories that do not exist and may be made: those of -v, and of bind-create-src.

    Also at each start: a source may have gone meanwhile.

    Raises InvalidParameter.
    """
    for record in records:
        if record.makes_source and not os.path.lexists(record.source):
            try:
                os.makedirs(record.source, mode=0o755, exist_ok=True)
            except OSError as error:
                raise InvalidParameter(
                    f"error while creating mount source path '{record.source}': "
                    f"mkdir {record.source}: {(error.strerror or 'error').lower()}"
                ) from None
