"""Unpack a layer again from its packed blob, and put it where the lost or damaged tree was."""

from __future__ import annotations

import contextlib

from onggi import failpoints
from onggi.errors import Conflict, Corrupt
from onggi.images.images import Images
from onggi.images.unpacking import Unpacking
from onggi.store import images as rows

CHUNK_BYTES = 256 << 10


def restore(images: Images, layer: rows.LayerRow, in_use: set[str]) -> None:
    """`in_use` are the layers that running containers have mounted: their trees are not taken away.

    The commit point is the swap of the snapshots' rows; before it the store is as it was.
    Failpoints: restore.unpacked, snapshot.replace. Raises Conflict, Corrupt, NoSpace.
    """
    if layer.chain_id in in_use and images.snapshots.exists(layer.chain_id):
        raise Conflict(f"layer {layer.chain_id} is mounted by a running container: stop it first")
    blob = sound_blob(images, layer)
    parent = "" if images.snapshots.stackable else layer.parent or ""
    worker = Unpacking(images, parent)
    try:
        with images.blobs.open(blob) as file:
            while piece := file.read(CHUNK_BYTES):
                worker.write(piece)
    except BaseException:
        worker.abandon()
        raise
    unpacked = worker.finish(blob)
    try:
        if unpacked.diff_id != layer.diff_id:
            raise Corrupt(f"layer {layer.chain_id}: its blob unpacks to {unpacked.diff_id}")
        failpoints.hit("restore.unpacked")
        with images.lock, images.database.transaction():
            images.snapshots.replace(unpacked.key, layer.chain_id, layer.parent or "")
            if rows.get_layer(images.database, layer.chain_id) is None:
                rows.add_layer(
                    images.database,
                    rows.LayerRow(layer.chain_id, layer.parent, layer.diff_id, blob, unpacked.size),
                )
    finally:
        images.snapshots.remove(unpacked.key)  # gone already where it took its place


def sound_blob(images: Images, layer: rows.LayerRow) -> str:
    """A blob that holds the layer: the one it came as, or the one that another image has in its place.

    Raises Corrupt, for the first, when none is sound.
    """
    failure: Corrupt | None = None
    for digest in dict.fromkeys([layer.blob, *_others(images, layer.chain_id)]):
        try:
            images.blobs.verify(digest)
        except Corrupt as error:
            failure = failure or error
        else:
            return digest
    raise failure or Corrupt(f"layer {layer.chain_id} has no blob")


def _others(images: Images, chain_id: str) -> list[str]:
    """The same layer, packed otherwise: images of one stack may have come from several builders."""
    found = []
    for image_id, position in images.database.read(
        "SELECT image_id, position FROM stacks WHERE chain_id = ?", chain_id
    ):
        row = rows.get(images.database, image_id)
        with contextlib.suppress(Corrupt):
            layers = images.manifest(images.of(row)).layers if row is not None else []
            found += [layer.digest for layer in layers[position : position + 1]]
    return found
