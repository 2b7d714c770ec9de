"""Remove what nothing needs: layers of no image and no container, blobs of no image.

`collect` after a removal looks at what that removal left; `recover` once at start looks at everything and
also undoes what a crash left half done. An index goes with its last name. Rows go before files: a crash
leaves files, which the next start removes.
Failpoints: collect.layer, collect.blob.
"""

from __future__ import annotations

from onggi import failpoints
from onggi.errors import Conflict
from onggi.images import elsewhere, incoming, layout
from onggi.images.images import Images
from onggi.images.snapshots.protocol import Reconciled
from onggi.store import images as rows
from onggi.store import indexes


def collect(images: Images, blobs: list[str] | None = None) -> int:
    """Remove orphans; of blobs only the given ones, or all without them.

    Returns the bytes that were freed.
    """
    freed = 0
    with images.lock:
        for layer in rows.orphan_layers(images.database):
            if images.pins[layer.chain_id]:
                continue
            try:
                images.snapshots.remove(layer.chain_id)
            except Conflict:
                continue  # a snapshot that is being removed still stands on it
            rows.delete_layer(images.database, layer.chain_id)
            freed += layer.size
            failpoints.hit("collect.layer")
        unnamed = indexes.forget_unnamed(images.database)
        if blobs is not None:
            candidates = [*blobs, *unnamed]
        else:
            candidates = [digest for digest, _ in images.blobs.list_()]
        for digest in rows.unneeded_blobs(images.database, candidates):
            if not images.pins[digest]:
                freed += images.blobs.remove(digest)
                failpoints.hit("collect.blob")
    return freed


def collect_after(images: Images, image_id: str) -> None:
    """Remove the layers that only a container kept, after its snapshot is gone: its image was removed by
    force. One look-up where the image is still here, as it nearly always is.
    """
    if rows.get(images.database, image_id) is None:
        collect(images, [])


def recover(images: Images) -> Reconciled:
    """Once at start: snapshots, partial blobs, orphans, the trash and index.json."""
    found = images.snapshots.reconcile()
    elsewhere.sweep(images)
    images.blobs.sweep_partial()
    incoming.sweep(images, older_s=incoming.KEPT_S)
    collect(images)
    layout.write(images)
    images.trash.empty()
    return found
