"""`docker rmi`: take a name away, and the image with its last one; Docker's answers and conflicts.

By name: untagged, and deleted when that was the last name and no container uses it.
By id: all names go, which needs force when they are of several repositories; a running container always
prevents it, a stopped one unless force. Parents that lose their last reason to be here go too, unless
noprune. The commit point is the transaction that deletes the rows; files are collected after it.
Failpoints: remove.untagged, remove.row-deleted, collect.*.
"""

from __future__ import annotations

import contextlib
from collections.abc import Set

import msgspec

from onggi import failpoints
from onggi.errors import Conflict
from onggi.images import layout, mounted
from onggi.images.collect import collect
from onggi.images.images import Images
from onggi.images.indexes import group, peers, settle
from onggi.images.resolve import is_name, resolve, resolve_id
from onggi.spec import digest as digests
from onggi.spec import platform as platforms
from onggi.spec import reference
from onggi.store import containers, indexes
from onggi.store import images as rows


class Removed(msgspec.Struct, frozen=True):
    """What went, in order, and the bytes that were freed.

    Each line is (familiar name, "") or ("", digest); `image_id` is the image that was asked for.
    """

    lines: list[tuple[str, str]]
    freed: int
    image_id: str
    images: list[str] = []


def remove(images: Images, text: str, running: set[str], *, force: bool, noprune: bool) -> Removed:
    """`running` holds the ids of running containers. What a name stands for goes with all its platforms.

    Raises NoSuchImage, Conflict.
    """
    with images.lock:
        image_id = resolve_id(images, text)
        if is_name(images, text) and not _is_id(image_id, text):
            return _untag(images, image_id, text, running, force=force, noprune=noprune)
        _check_used(images, image_id, text, running, force=force, by_name=False)
        led = [row for row in rows.names(images.database, image_id) if row.image_id == image_id]
        dropped = {row.name for row in led}
        others = _left_alone(images, group(images, image_id), dropped) - {image_id}
        for other in sorted(others):
            _check_used(images, other, text, running, force=force, by_name=False)
        return _delete(images, [image_id, *sorted(others)], _untagged(images, dropped), noprune=noprune)


def _untag(
    images: Images, image_id: str, text: str, running: set[str], *, force: bool, noprune: bool
) -> Removed:
    name = stored_name(text)
    going = _left_alone(images, group(images, image_id), {name}, tags_alone=True)
    for one in sorted(going):
        _check_used(images, one, text, running, force=force, by_name=True)
    with images.database.transaction():
        lines = _untagged(images, {name})
    failpoints.hit("remove.untagged")
    if force:
        going = {one for one in going if not _runs(images, one, running)}
    if not going:
        layout.write(images)
        return Removed(lines, 0, image_id)
    return _delete(images, sorted(going, key=lambda one: one != image_id), lines, noprune=noprune)


def _left_alone(images: Images, ids: list[str], dropped: set[str], *, tags_alone: bool = False) -> set[str]:
    """Those of the images that no name keeps when these go; `tags_alone`: names by digest keep nothing."""
    return {
        one
        for one in ids
        if not any(
            row.name not in dropped and not (tags_alone and "@" in row.name)
            for row in rows.names(images.database, one)
        )
    }


def _untagged(images: Images, dropped: set[str]) -> list[tuple[str, str]]:
    for name in dropped:
        rows.drop_name(images.database, name)
    return [(reference.parse(name).familiar, "") for name in sorted(dropped)]


def _runs(images: Images, image_id: str, running: set[str]) -> bool:
    return any(row.id in running for row in containers.using_image(images.database, image_id))


def remove_platforms(
    images: Images, text: str, wanted: list[platforms.Platform], running: set[str], *, force: bool
) -> Removed:
    """Only these platforms of an image; with the last one its names go, too.

    Raises NoSuchImage, NotFound (a platform that is not here), Conflict.
    """
    with images.lock:
        chosen = list(dict.fromkeys(resolve(images, text, one).id for one in wanted))
        stays = set(group(images, resolve_id(images, text))) - set(chosen)
        for one in chosen:
            _check_used(images, one, text, running, force=force, by_name=False, alone=bool(stays))
        return _delete(images, chosen, [], noprune=True)


def delete_unused(images: Images, image_id: str) -> Removed:
    """Delete an image with all its names, for prune; the caller knows that nothing uses it."""
    with images.lock:
        return _delete(images, [image_id], [], noprune=True)


class _Undo(Exception):
    """Takes a transaction back that was only to show what it would do."""


def plan(images: Images, chosen: list[str], without: Set[str] = frozenset()) -> list[Removed]:
    """What `delete_unused` of each in turn would do: done to the rows in a transaction that is taken back.

    `without` are ids of containers whose rows, and snapshots, are taken away first. A removal that the
    children of an image, or a container, stand against is left out. Holds the database for a millisecond or
    so for each image.
    """
    done: list[Removed] = []
    with images.lock, contextlib.suppress(_Undo), images.database.transaction():
        for container_id in without:
            containers.delete(images.database, container_id)
            rows.drop_active(images.database, container_id)
        orphans = {layer.chain_id for layer in rows.orphan_layers(images.database)}
        for image_id in chosen:
            if not in_use(images, image_id):
                done.append(_forgotten(images, image_id, orphans))
        raise _Undo
    return done


def _forgotten(images: Images, image_id: str, orphans: set[str]) -> Removed:
    blobs = rows.blobs(images.database, image_id)
    lines = _forget(images, image_id)
    lines.append(("", image_id))
    freed = 0
    for layer in rows.orphan_layers(images.database):
        if layer.chain_id not in orphans and not images.pins[layer.chain_id]:
            orphans.add(layer.chain_id)
            freed += layer.size
            lines.append(("", layer.chain_id))
    for digest in rows.unneeded_blobs(images.database, blobs):
        if not images.pins[digest] and images.blobs.exists(digest):
            freed += images.blobs.size(digest)
    return Removed(lines, freed, image_id, [image_id])


def in_use(images: Images, image_id: str) -> bool:
    """Whether a container or another image stands on it or on another platform of it, or it is mounted."""
    return any(
        rows.children(images.database, one)
        or containers.using_image(images.database, one)
        or mounted.path_of(images, one)
        for one in peers(images, image_id)
    )


def _delete(images: Images, ids: list[str], lines: list[tuple[str, str]], *, noprune: bool) -> Removed:
    for one in ids:
        mounted.release(images, one)
    blobs: list[str] = []
    layers = {layer.chain_id: layer for one in ids for layer in rows.stack(images.database, one)}
    deleted: list[str] = []
    with images.database.transaction(durable=True):
        for image_id in ids:
            current: str | None = image_id
            while current:
                row = rows.get(images.database, current)
                blobs += rows.blobs(images.database, current)
                lines += _forget(images, current)
                deleted.append(current)
                current = None if noprune or row is None else _lonely(images, row.parent_id)
        failpoints.hit("remove.row-deleted")
    freed = collect(images, blobs)
    layout.write(images)
    lines += [("", digest) for digest in deleted]
    gone = [c for c in layers if rows.get_layer(images.database, c) is None]
    lines += [("", chain_id) for chain_id in reversed(gone)]
    return Removed(lines, freed, ids[0], deleted)


def _forget(images: Images, image_id: str) -> list[tuple[str, str]]:
    """Delete an image's rows; names that stand for other platforms too mean one of these from now on.

    Returns the names that went with it.
    """
    database = images.database
    for target in indexes.targets(database, image_id):
        indexes.leave(database, target, image_id)
        settle(images, target)
    led = [row.name for row in rows.names(database, image_id) if row.image_id == image_id]
    rows.delete(database, image_id)
    return [(reference.parse(name).familiar, "") for name in led]


def _lonely(images: Images, image_id: str | None) -> str | None:
    """A parent without names, other children and containers."""
    if not image_id or rows.get(images.database, image_id) is None:
        return None
    busy = rows.names(images.database, image_id) or rows.children(images.database, image_id)
    return None if busy or containers.using_image(images.database, image_id) else image_id


def _check_used(
    images: Images,
    image_id: str,
    text: str,
    running: set[str],
    *,
    force: bool,
    by_name: bool,
    alone: bool = False,
) -> None:
    """`alone`: other platforms stay under the same names. Raises Conflict."""
    path = mounted.path_of(images, image_id)
    if path and not force:
        what = f'remove repository reference "{text}"' if by_name else f"delete {digests.short(image_id)}"
        raise Conflict(f"conflict: unable to {what} (must be forced) - image is mounted at {path}")
    verb = f'remove repository reference "{text}"' if by_name else f"delete {digests.short(image_id)}"
    hint = "must force" if by_name else "must be forced"
    for row in containers.using_image(images.database, image_id):
        short = row.id[:12]
        if row.id in running:
            if by_name and force:
                continue
            advice = "must force" if by_name else "cannot be forced"
            tail = (
                f"container {short} is using its referenced image {digests.short(image_id)}"
                if by_name
                else f"image is being used by running container {short}"
            )
            raise Conflict(f"conflict: unable to {verb} ({advice}) - {tail}")
        if not force:
            tail = (
                f"container {short} is using its referenced image {digests.short(image_id)}"
                if by_name
                else f"image is being used by stopped container {short}"
            )
            raise Conflict(f"conflict: unable to {verb} ({hint}) - {tail}")
    if by_name:
        return
    children = rows.children(images.database, image_id)
    if children:
        raise Conflict(f"conflict: unable to {verb} (cannot be forced) - image has dependent child images")
    repositories = {reference.parse(n.name).name for n in rows.names(images.database, image_id)}
    if len(repositories) > 1 and not force and not alone:
        raise Conflict(
            f"conflict: unable to {verb} (must be forced) - image is referenced in multiple repositories"
        )


def _is_id(image_id: str, text: str) -> bool:
    return image_id.removeprefix(digests.PREFIX).startswith(text.removeprefix(digests.PREFIX))


def stored_name(text: str) -> str:
    """The name as rows have it."""
    named = reference.parse(text).tagged()
    return str(named if not named.digest else reference.Reference(named.domain, named.path, "", named.digest))
