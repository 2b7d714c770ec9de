"""`docker commit`: what a container changed becomes a layer, its configuration that of a new image.

The caller pauses the container where that is wanted, and merges what the container's own configuration adds.
The layer is packed in a thread while it is hashed, written and unpacked again into its snapshot: so what the
image shows is what its blob says.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

from onggi import failpoints
from onggi.errors import Corrupt, NoSuchImage
from onggi.images import instructions
from onggi.images.changes import tree_changes
from onggi.images.images import Images
from onggi.images.import_ import diff_id_of
from onggi.images.pack import Packed, pack, pack_changes
from onggi.images.pipe import Pipe
from onggi.images.staging import CHUNK_BYTES, NewImage, Staging
from onggi.images.tree import open_trees
from onggi.spec import image as documents
from onggi.spec import platform as platforms
from onggi.spec import timestamp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from onggi.images.pack import Sink


def commit(
    images: Images,
    key: str,
    *,
    parent_id: str,
    config: documents.Config,
    container_id: str = "",
    name: str = "",
    author: str = "",
    message: str = "",
    created_by: str = "",
    changes: list[str] | None = None,
    over: str = "",
) -> str:
    """An image out of the active snapshot `key` on top of image `parent_id`; returns its id.

    `name` is canonical or empty, `over` as in `pack_snapshot`. Raises NoSuchImage when the parent was
    removed by force meanwhile (its layers' blobs are gone with it), InvalidParameter, NoSpace, Corrupt.
    """
    config = instructions.apply(config, changes or [])
    parent = images.get(parent_id) if parent_id else None
    if parent_id and parent is None:
        raise NoSuchImage(parent_id)
    below = parent.document if parent else documents.Image(rootfs=documents.RootFS())
    host = platforms.host()
    with Staging(images) as staging:
        blob = staging.blob(packed(lambda pipe: pack_snapshot(images, key, pipe, over=over)), "")
        failpoints.hit("commit.packed")
        now = timestamp.text(time.time_ns())
        step = documents.History(
            created=now, author=author or None, created_by=created_by or None, comment=message or None
        )
        document = documents.Image(
            created=now,
            author=author or None,
            architecture=below.architecture or host.architecture,
            variant=below.variant,
            os=below.os or "linux",
            os_version=below.os_version,
            comment=message or None,
            container=container_id or None,
            config=config,
            rootfs=documents.RootFS(diff_ids=[*below.rootfs.diff_ids, diff_id_of(staging, blob)]),
            history=[*(below.history or []), step],
        )
        lower = [layer.digest for layer in images.manifest(parent).layers] if parent else []
        for digest in lower:
            if not staging.known(digest):  # pinned from here on
                raise Corrupt(f"blob {digest} is missing from the store")
        new = NewImage(
            staging.document(documents.encode(document)),
            [*lower, blob],
            [name] if name else [],
            parent_id=parent_id if parent else "",
        )
        return staging.publish([new])[0].id


def packed(work: Callable[[Pipe], object]) -> Iterator[bytes]:
    """What `work` writes into a pipe, in a thread of its own; its error is raised here."""
    pipe = Pipe()

    def run() -> None:
        try:
            work(pipe)
        except BaseException as error:
            pipe.end(error)
        else:
            pipe.end()

    thread = threading.Thread(target=run, name="pack")
    thread.start()
    try:
        while piece := pipe.read(CHUNK_BYTES):
            yield piece
    finally:
        pipe.close()
        thread.join()


def pack_tree(directory: str, pipe: Pipe) -> None:
    """A whole tree as a layer."""
    with open_trees([directory]) as (fd,):
        pack(fd, pipe)


def pack_snapshot(
    images: Images, key: str, sink: Sink, *, latest_ns: int | None = None, over: str = ""
) -> Packed:
    """What a snapshot, active or committed, adds to those below it, as a layer. `over` is a directory of
    which a snapshot that is a copy has everything, and its parent need not. Raises OSError, System.
    """
    snapshots = images.snapshots
    if snapshots.whiteouts != "delete":
        with open_trees([snapshots.tree(key)]) as (top,):
            return pack(top, sink, overlay=snapshots.lowers(key), latest_ns=latest_ns)
    below = filter(None, [over, *snapshots.below(key)])
    with open_trees([snapshots.tree(key), *below]) as (top, *old):
        return pack_changes(top, tree_changes(top, old), sink, latest_ns=latest_ns)
