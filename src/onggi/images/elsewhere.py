"""Packed layers that are not kept: unpacked here, and to be had again (drop-packed-layers).

    drop(images, image, name)      the blobs of the image's layers go, rows stay
    Packed.open(digest)            whoever reads such a blob (save, push to another registry, `system check`)
                                   gets the very bytes

Two ways back. A plain layer has a recipe, which puts it together out of its tree (recipes.py). One that a
registry gave without credentials is fetched from there, verified, and kept from then on: the engine keeps no
credentials, and could not ask again. What has neither stays.
A recipe and a row are on the disk before the blob's file goes: a crash between leaves both, and no harm.
Not here: how a registry is asked (the engine gives `fetch`).
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from typing import BinaryIO, cast

from onggi.errors import Corrupt, OnggiError, Unavailable
from onggi.images import recipes
from onggi.images.images import Image, Images
from onggi.images.tree import OPEN_DIR
from onggi.spec import digest as digests
from onggi.spec import reference
from onggi.store import atomic
from onggi.store import elsewhere as rows
from onggi.store import images as image_rows
from onggi.store.database import Database

Fetch = Callable[[reference.Reference, str, int], contextlib.AbstractContextManager[Iterator[bytes]]]


class Packed:
    """What `Blobs` asks for blobs that were dropped. Its methods may be called from several threads."""

    def __init__(self, images: Images, fetch: Fetch) -> None:
        self._images = images
        self._fetch = fetch
        self._lock = threading.Lock()  # one at a time: it is rare, and two may want the same

    @property
    def _database(self) -> Database:
        return self._images.database

    def size(self, digest: str) -> int | None:
        row = rows.get(self._database, digest)
        return row.size if row is not None else None

    def local(self, digest: str) -> bool:
        row = rows.get(self._database, digest)
        return row is not None and not row.name

    def forget(self, digest: str) -> None:
        with self._images.lock:
            if rows.get(self._database, digest) is not None:
                rows.delete(self._database, digest)
                atomic.remove(self._images.paths.recipe(digest))

    def open(self, digest: str) -> BinaryIO | None:
        """Raises Unavailable, which names the blob and who has it; Corrupt, NoSpace."""
        row = rows.get(self._database, digest)
        if row is None:
            return None
        if not row.name:
            return self._assembled(row)
        self._bring(row)
        return open(self._images.blobs.path(digest), "rb", buffering=0)

    def _assembled(self, row: rows.ElsewhereRow) -> BinaryIO:
        images = self._images
        chain_id = image_rows.chain_with(images.database, row.digest)
        if chain_id is None:
            raise Corrupt(
                f"blob {row.digest} is missing from the store, and so is the layer that holds its files"
            )
        try:
            root_fd = os.open(images.snapshots.tree(chain_id), OPEN_DIR)
            try:
                recipe = open(images.paths.recipe(row.digest), "rb", buffering=0)
            except OSError:
                os.close(root_fd)
                raise
        except OSError as error:
            raise Corrupt(f"blob {row.digest} cannot be put together: {error.strerror}") from None
        return cast(BinaryIO, recipes.Assembled(recipe, root_fd, row.digest, row.size))

    def _bring(self, row: rows.ElsewhereRow) -> None:
        with self._lock:
            if self._images.blobs.held(row.digest):
                return
            named = reference.parse(row.name)
            with self._images.blobs.ingest(row.digest) as blob:
                try:
                    with self._fetch(named, row.digest, row.size) as pieces:
                        for piece in pieces:
                            blob.write(piece)
                except OnggiError as error:
                    raise Unavailable(
                        f"blob {row.digest} was dropped when {named.familiar} was pulled, and cannot be had "
                        f"again: {error.message}"
                    ) from error
                blob.sync()
                blob.commit()


def drop(images: Images, image: Image, name: str = "") -> int:
    """Drop the packed layers of an image, which a registry has under `name`; returns the bytes.

    Raises NoSpace, OSError: then what was not dropped is as it was.
    """
    freed = 0
    layers = {layer.blob: layer for layer in image.layers}
    for blob in images.manifest(image).layers:
        layer = layers.get(blob.digest)
        if layer is None or not images.blobs.held(blob.digest):
            continue
        with images.pinned([blob.digest, layer.chain_id]):
            if layer.diff_id == blob.digest:
                freed += _write_recipe(images, layer)
            elif name:
                freed += _leave(images, blob.digest, name)
    return freed


def _leave(images: Images, digest: str, name: str) -> int:
    with images.lock:
        if images.pins[digest] > 1 or not images.blobs.held(digest):
            return 0  # somebody relies on its being here
        with images.database.transaction(durable=True):
            rows.put(images.database, rows.ElsewhereRow(digest, images.blobs.size(digest), name))
        return images.blobs.drop(digest)


def _write_recipe(images: Images, layer: image_rows.LayerRow) -> int:
    """Keep a plain layer as its tree; one whose bytes are hardly in the tree stays."""
    digest = layer.blob
    os.makedirs(images.paths.recipes_dir, mode=0o700, exist_ok=True)
    with atomic.Writing(images.paths.recipe(digest)) as file, images.blobs.open(digest) as blob:
        size = images.blobs.size(digest)
        root_fd = os.open(images.snapshots.tree(layer.chain_id), OPEN_DIR)
        try:
            found = recipes.make(blob, root_fd, file)
        finally:
            os.close(root_fd)
        if found < size // 2:
            return 0
        file.sync()
        with images.lock:
            if not images.blobs.held(digest):
                return 0
            file.commit()
            with images.database.transaction(durable=True):
                rows.put(images.database, rows.ElsewhereRow(digest, size, ""))
            return images.blobs.drop(digest)


def sweep(images: Images) -> None:
    """Once at start: recipes that a crash left, or that nothing needs any more."""
    rows.forget_unneeded(images.database)
    if not os.path.isdir(images.paths.recipes_dir):
        return
    known = rows.recipes(images.database)
    for name in os.listdir(images.paths.recipes_dir):
        if digests.PREFIX + name not in known:
            atomic.remove(f"{images.paths.recipes_dir}/{name}")
