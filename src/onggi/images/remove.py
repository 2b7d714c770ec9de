"""`docker rmi`: take a name away, and the image with its last one; Docker's answers and conflicts.

By name: untagged, and deleted when that was the last name and no container uses it.
By id: all names go, which needs force when they are of several repositories; a running container always
prevents it, a stopped one unless force. Parents that lose their last reason to be here go too, unless
noprune. The commit point is the transaction that deletes the rows; files are collected after it.
Failpoints: remove.untagged, remove.row-deleted, collect.*.
"""

from __future__ import annotations

import contextlib

import msgspec

from onggi import failpoints
from onggi.errors import Conflict
from onggi.images import layout
from onggi.images.collect import collect
from onggi.images.images import Images
from onggi.images.resolve import is_name, resolve_id
from onggi.spec import digest as digests
from onggi.spec import reference
from onggi.store import containers
from onggi.store import images as rows


class Removed(msgspec.Struct, frozen=True):
    """What went, in order, and the bytes that were freed.

    Each line is (familiar name, "") or ("", digest).
    """

    lines: list[tuple[str, str]]
    freed: int
    images: list[str] = []


def remove(images: Images, text: str, running: set[str], *, force: bool, noprune: bool) -> Removed:
    """`running` holds the ids of running containers. Raises NoSuchImage, Conflict."""
    with images.lock:
        image_id = resolve_id(images, text)
        by_name = is_name(images, text) and not _is_id(image_id, text)
        lines: list[tuple[str, str]] = []
        if by_name:
            name = _stored_name(text)
            left = [row for row in rows.names(images.database, image_id) if row.name != name]
            tags_left = [row for row in left if "@" not in row.name]
            if not tags_left:
                _check_used(images, image_id, text, running, force=force, by_name=True)
            rows.drop_name(images.database, name)
            lines.append((reference.parse(name).familiar, ""))
            failpoints.hit("remove.untagged")
            kept = containers.using_image(images.database, image_id) if force else []
            if tags_left or (kept and any(c.id in running for c in kept)):
                layout.write(images)
                return Removed(lines, 0)
        else:
            _check_used(images, image_id, text, running, force=force, by_name=False)
        return _delete(images, image_id, lines, noprune=noprune)


def delete_unused(images: Images, image_id: str) -> Removed:
    """Delete an image with all its names, for prune; the caller knows that nothing uses it."""
    with images.lock:
        return _delete(images, image_id, [], noprune=True)


class _Undo(Exception):
    """Takes a transaction back that was only to show what it would do."""


def plan(images: Images, chosen: list[str]) -> list[Removed]:
    """What `delete_unused` of each in turn would do: done to the rows in a transaction that is taken back.

    A removal that the children of an image, or a container, stand against is left out. Holds the database
    for a millisecond or so for each image.
    """
    done: list[Removed] = []
    with images.lock, contextlib.suppress(_Undo), images.database.transaction():
        orphans = {layer.chain_id for layer in rows.orphan_layers(images.database)}
        for image_id in chosen:
            if not in_use(images, image_id):
                done.append(_forgotten(images, image_id, orphans))
        raise _Undo
    return done


def _forgotten(images: Images, image_id: str, orphans: set[str]) -> Removed:
    blobs = rows.blobs(images.database, image_id)
    lines = [(reference.parse(n.name).familiar, "") for n in rows.names(images.database, image_id)]
    rows.delete(images.database, image_id)
    lines.append(("", image_id))
    freed = 0
    for layer in rows.orphan_layers(images.database):
        if layer.chain_id not in orphans and not images.pins[layer.chain_id]:
            orphans.add(layer.chain_id)
            freed += layer.size
            lines.append(("", layer.chain_id))
    needed = rows.known_blobs(images.database)
    for digest in blobs:
        if digest not in needed and not images.pins[digest] and images.blobs.exists(digest):
            freed += images.blobs.size(digest)
    return Removed(lines, freed, [image_id])


def in_use(images: Images, image_id: str) -> bool:
    """Whether a container or another image stands on it."""
    children = rows.children(images.database, image_id)
    return bool(children or containers.using_image(images.database, image_id))


def _delete(images: Images, image_id: str, lines: list[tuple[str, str]], *, noprune: bool) -> Removed:
    blobs: list[str] = []
    layers = {layer.chain_id: layer for layer in rows.stack(images.database, image_id)}
    deleted = []
    with images.database.transaction(durable=True):
        current: str | None = image_id
        while current:
            row = rows.get(images.database, current)
            lines += [(reference.parse(n.name).familiar, "") for n in rows.names(images.database, current)]
            blobs += rows.blobs(images.database, current)
            rows.delete(images.database, current)
            deleted.append(current)
            current = None if noprune or row is None else _lonely(images, row.parent_id)
        failpoints.hit("remove.row-deleted")
    freed = collect(images, blobs)
    layout.write(images)
    lines += [("", digest) for digest in deleted]
    gone = [c for c in layers if rows.get_layer(images.database, c) is None]
    lines += [("", chain_id) for chain_id in reversed(gone)]
    return Removed(lines, freed, deleted)


def _lonely(images: Images, image_id: str | None) -> str | None:
    """A parent without names, other children and containers."""
    if not image_id or rows.get(images.database, image_id) is None:
        return None
    busy = rows.names(images.database, image_id) or rows.children(images.database, image_id)
    return None if busy or containers.using_image(images.database, image_id) else image_id


def _check_used(
    images: Images, image_id: str, text: str, running: set[str], *, force: bool, by_name: bool
) -> None:
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
    if len(repositories) > 1 and not force:
        raise Conflict(
            f"conflict: unable to {verb} (must be forced) - image is referenced in multiple repositories"
        )


def _is_id(image_id: str, text: str) -> bool:
    return image_id.removeprefix(digests.PREFIX).startswith(text.removeprefix(digests.PREFIX))


def _stored_name(text: str) -> str:
    named = reference.parse(text).tagged()
    return str(named if not named.digest else reference.Reference(named.domain, named.path, "", named.digest))
