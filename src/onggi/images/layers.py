"""Layers made on this machine: an active snapshot becomes a committed one, without being unpacked again.

    made = commit_layer(images, key)                  packs what the snapshot adds, to know its digest
    pack_layer(images, chain_id) -> blob              the same bytes again, for who needs them as a blob

A build's steps are committed this way (the snapshot is what its process left); `docker commit` takes the
longer way over Staging, since the container lives on.
The packed bytes are kept only on request: most steps' layers are never saved or pushed, and packing is a
pure function of the tree (pack.py), so they can be had later. Their digest tells whether they are the same.
Failpoints: layers.packed, layers.blob-committed, layers.committed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import msgspec

from onggi import failpoints
from onggi.errors import Corrupt, NotFound
from onggi.images.commit import pack_snapshot
from onggi.images.images import Images
from onggi.spec import digest as digests
from onggi.store import images as rows
from onggi.store.blobs import Ingest


class Made(msgspec.Struct, frozen=True):
    """A layer that was committed. `disk_bytes`: what it newly takes on disk unpacked, 0 where it was
    known; a blob goes with the images that have it.
    """

    layer: rows.LayerRow
    disk_bytes: int


class _Sink:
    """Hashes what a packer writes, and hands it on to a blob where one is wanted."""

    def __init__(self, blob: Ingest | None) -> None:
        self._hash = hashlib.sha256()
        self._blob = blob

    def write(self, data: bytes, /) -> None:
        if self._blob is not None:
            self._blob.write(data)
        else:
            self._hash.update(data)

    @property
    def digest(self) -> str:
        return self._blob.seal() if self._blob is not None else digests.PREFIX + self._hash.hexdigest()


def commit_layer(
    images: Images, key: str, *, keep_blob: bool, pin: Callable[[str], None], parent: str = ""
) -> Made | None:
    """Commit the active snapshot `key` as a layer; None where it changed nothing (then it is removed).

    `pin` is called with the chain id and the blob before they can be collected. `parent` is the chain id
    below, of a snapshot that was made without one (where snapshots are stackable). Nobody writes to the
    snapshot any more. Commit point: the layer's row. Raises OSError, NoSpace, System.
    """
    below = parent or _parent(images, key)
    blob = images.blobs.ingest() if keep_blob else None
    try:
        sink = _Sink(blob)
        packed = pack_snapshot(images, key, sink)
        if not packed.entries:
            images.snapshots.remove(key)
            return None
        diff_id = sink.digest
        failpoints.hit("layers.packed")
        chain_id = digests.chain_ids([below, diff_id])[1] if below else diff_id
        pin(chain_id)
        if blob is not None:
            pin(diff_id)
            blob.commit()
            failpoints.hit("layers.blob-committed")
        row = rows.LayerRow(chain_id, below or None, diff_id, diff_id if keep_blob else "", packed.size)
        known = _commit(images, key, row, parent)
    except BaseException:
        if blob is not None:
            blob.discard()
        raise
    failpoints.hit("layers.committed")
    return Made(known or row, packed.disk_bytes if known is None else 0)


def pack_layer(images: Images, chain_id: str, *, pin: Callable[[str], None]) -> rows.LayerRow:
    """Make sure that a layer has its blob. Raises Corrupt: its tree is not what it was, NotFound."""
    row = rows.get_layer(images.database, chain_id)
    if row is None:
        raise NotFound(f"layer {chain_id} does not exist")
    if row.blob:
        pin(row.blob)
        if images.blobs.exists(row.blob):
            return row
    pin(row.diff_id)
    with images.blobs.ingest() as blob:
        pack_snapshot(images, chain_id, blob)
        if blob.seal() != row.diff_id:
            raise Corrupt(f"layer {chain_id} is corrupt: its files make {blob.digest}, not {row.diff_id}")
        blob.commit()
    rows.set_layer_blob(images.database, chain_id, row.diff_id)
    return msgspec.structs.replace(row, blob=row.diff_id)


def stack_of(images: Images, chain_id: str) -> list[rows.LayerRow]:
    """The layers that end in a chain id, bottom first; none for "". Raises NotFound."""
    found = rows.chain(images.database, chain_id) if chain_id else []
    if chain_id and not found:
        raise NotFound(f"layer {chain_id} does not exist")
    return found


def _parent(images: Images, key: str) -> str:
    row = images.database.one("SELECT parent FROM snapshots WHERE key = ?", key)
    if row is None:
        raise NotFound(f"snapshot {key} does not exist")
    return row[0] or ""


def _commit(images: Images, key: str, row: rows.LayerRow, parent: str) -> rows.LayerRow | None:
    """Rows; the layer as it is known where it was made before: then ours is removed."""
    with images.lock:
        known = rows.get_layer(images.database, row.chain_id)
        if known is None:
            with images.database.transaction():
                images.snapshots.commit(key, row.chain_id, parent)
                rows.add_layer(images.database, row)
            return None
        if row.blob and not known.blob:
            rows.set_layer_blob(images.database, row.chain_id, row.blob)
            known = msgspec.structs.replace(known, blob=row.blob)
    images.snapshots.remove(key)
    return known
