"""Images' rows, layers' rows and snapshots: each against the others, and against the directories.

    image-rows         the layers that the database gives an image are not those of its configuration
    layer-lost         a layer without its snapshot's row or directory
    layer-changed      a tree that is not what the blob unpacks to
    snapshot-unowned   a layer's or a container's snapshot that nothing refers to
    directory-unowned  a directory in snapshots/ that no row owns
    root-lost          a container's writable layer whose directory is gone

Lost trees are unpacked again from the blob. A container's writable layer that is gone is made anew, empty: it
starts again, without what it wrote.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

from onggi.errors import Corrupt, OnggiError
from onggi.images.check import contents
from onggi.images.check.fault import Checked, Fault
from onggi.images.check.restore import restore
from onggi.images.images import Images
from onggi.images.snapshots.rows import measure
from onggi.spec import digest as digests
from onggi.spec import reference
from onggi.store import containers, projects
from onggi.store import images as rows

NOT_SNAPSHOTS = frozenset({"empty"})


def image_faults(images: Images, checked: Checked, in_use: set[str]) -> Iterator[Fault]:
    """Stacks and needed blobs against configuration and manifest."""
    for row in rows.list_(images.database):
        checked.images += 1
        if row.kind == rows.ARTIFACT:
            continue  # it has no layers that are unpacked
        try:
            wanted = _wanted(images, row)
        except OnggiError:
            continue  # a damaged document: named as a blob
        found = [layer.chain_id for layer in rows.stack(images.database, row.id)]
        positions = images.database.read(
            "SELECT chain_id FROM stacks WHERE image_id = ? ORDER BY position", row.id
        )
        chain = [layer.chain_id for layer in wanted]
        blobs = {row.id, row.manifest, *(layer.blob for layer in wanted)}
        known = set(rows.blobs(images.database, row.id))
        if rows.get(images.database, row.id) is None:
            continue
        if found != chain or [one for (one,) in positions] != chain or not blobs <= known:
            said = f"the database gives it {len(found)} layers, its configuration {len(chain)}"
            if found == chain:
                said = f"the database knows {len(known & blobs)} of its {len(blobs)} blobs"
            yield Fault(
                "image-rows", _shown(images, row.id), said, 0, "write its rows again",
                _rewrite(images, row, wanted, in_use),
            )  # fmt: skip


def _wanted(images: Images, row: rows.ImageRow) -> list[rows.LayerRow]:
    image = images.document(row.id)
    diff_ids = image.rootfs.diff_ids
    manifest = images.manifest(images.of(row))
    chain_ids = digests.chain_ids(diff_ids)
    if len(manifest.layers) != len(diff_ids):
        raise Corrupt(f"manifest {row.manifest} does not fit its configuration")
    return [
        rows.LayerRow(chain_id, below or None, diff_id, layer.digest, 0)
        for chain_id, below, diff_id, layer in zip(
            chain_ids, ["", *chain_ids], diff_ids, manifest.layers, strict=False
        )
    ]


def _rewrite(
    images: Images, row: rows.ImageRow, wanted: list[rows.LayerRow], in_use: set[str]
) -> Callable[[], None]:
    def mend() -> None:
        with images.pinned([layer.chain_id for layer in wanted]):
            for layer in wanted:
                if rows.get_layer(images.database, layer.chain_id) is None:
                    restore(images, layer, in_use)
            with images.lock, images.database.transaction(durable=True):
                if rows.get(images.database, row.id) is None:
                    return
                chain_ids = [layer.chain_id for layer in wanted]
                blobs = [row.id, row.manifest, *(layer.blob for layer in wanted)]
                rows.set_parts(images.database, row.id, chain_ids=chain_ids, blobs=blobs)

    return mend


def layer_faults(images: Images, checked: Checked, in_use: set[str], *, quick: bool) -> Iterator[Fault]:
    """Every layer's row against its snapshot; without `quick` the tree against the blob."""
    listed = images.database.read("SELECT chain_id FROM layers ORDER BY rowid")
    for (chain_id,) in listed:
        layer = rows.get_layer(images.database, chain_id)
        if layer is None:
            continue
        checked.layers += 1
        said, kind = _lost(images, layer), "layer-lost"
        if not said and not quick and images.snapshots.stackable:
            said, kind = _changed(images, layer), "layer-changed"
            checked.bytes_read += layer.size
        if said and rows.get_layer(images.database, chain_id) is not None:
            yield Fault(
                kind, chain_id, said, layer.size, f"unpack it again from {layer.blob}",
                _unpack(images, layer, in_use),
            )  # fmt: skip


def _lost(images: Images, layer: rows.LayerRow) -> str:
    if not images.snapshots.exists(layer.chain_id):
        return "has no snapshot"
    tree = images.snapshots.tree(layer.chain_id)
    if not os.path.isdir(tree):
        return f"its tree {os.path.relpath(tree, images.paths.root)} is gone"
    return ""


def _changed(images: Images, layer: rows.LayerRow) -> str:
    if not layer.blob or not images.blobs.local(layer.blob):
        return ""  # of a build, never packed; or in a registry alone, not fetched to be compared
    try:
        return contents.difference(images, layer.blob, images.snapshots.tree(layer.chain_id))
    except OnggiError:
        return ""  # the blob is at fault, or the layer was removed meanwhile
    except OSError as error:
        return f"its tree cannot be read: {error.strerror}"


def _unpack(images: Images, layer: rows.LayerRow, in_use: set[str]) -> Callable[[], None]:
    def mend() -> None:
        with images.pinned([layer.chain_id, layer.blob]):
            if rows.get_layer(images.database, layer.chain_id) is not None:
                restore(images, layer, in_use)

    return mend


def snapshot_faults(images: Images, checked: Checked) -> Iterator[Fault]:
    """Snapshots that nothing owns, directories that no row owns, writable layers without a directory."""
    root = images.paths.snapshots_dir
    with images.lock:
        present = set(os.listdir(root)) - NOT_SNAPSHOTS
        listed = images.database.read("SELECT key, id, kind, state, owner FROM snapshots ORDER BY rowid")
        pinned = set(images.pins)
    leases = {row[0] for row in images.database.read("SELECT target FROM roots WHERE kind = 'snapshot'")}
    for key, directory, _, state, owner in listed:
        checked.snapshots += 1
        path = f"{root}/{directory}"
        if state != "ready" or key in leases or key in pinned:
            continue
        if owner in ("layer", "container") and not _owned(images, key, owner):
            size = _bytes(path)
            yield Fault(
                "snapshot-unowned", key, f"no {'image' if owner == 'layer' else 'container'} has it", size,
                f"delete it, {size} bytes", _remove_snapshot(images, key, owner),
            )  # fmt: skip
        elif owner == "container" and directory not in present and not os.path.isdir(path):
            yield Fault(
                "root-lost", key, f"its writable layer snapshots/{directory} is gone", 0,
                "make an empty one: what the container wrote is lost", _new_root(images, key),
            )  # fmt: skip
    known = {row[1] for row in listed}
    for name in sorted(present - known):
        path = f"{root}/{name}"
        if os.path.lexists(path) and not _row_of(images, name):
            size = _bytes(path)
            yield Fault(
                "directory-unowned", f"snapshots/{name}", "no row owns it", size, f"delete it, {size} bytes",
                _throw(images, name),
            )  # fmt: skip


def _owned(images: Images, key: str, owner: str) -> bool:
    """Asked again of the database: rows come and go meanwhile, a container's before its snapshot."""
    if not images.snapshots.exists(key):
        return True
    if images.database.one("SELECT 1 FROM snapshots WHERE parent = ?", key) is not None:
        return True
    if owner == "layer":
        return rows.get_layer(images.database, key) is not None
    return any(row.id == key for row in containers.list_(images.database))


def _row_of(images: Images, directory: str) -> bool:
    return images.database.one("SELECT 1 FROM snapshots WHERE id = ?", directory) is not None


def _remove_snapshot(images: Images, key: str, owner: str) -> Callable[[], None]:
    def mend() -> None:
        with images.lock:
            if not images.pins[key] and not _owned(images, key, owner):
                images.snapshots.remove(key)

    return mend


def _throw(images: Images, name: str) -> Callable[[], None]:
    def mend() -> None:
        if not _row_of(images, name):
            images.trash.throw(f"{images.paths.snapshots_dir}/{name}")

    return mend


def _new_root(images: Images, key: str) -> Callable[[], None]:
    def mend() -> None:
        row = images.database.one("SELECT parent FROM snapshots WHERE key = ?", key)
        if row is None:
            return
        images.snapshots.remove(key)
        project = projects.of_snapshot(images.database, key)
        images.snapshots.create(key, row[0] or "", "container", project=project)

    return mend


def _bytes(path: str) -> int:
    try:
        return measure(path).bytes if os.path.isdir(path) else os.lstat(path).st_size
    except OSError:
        return 0  # gone meanwhile


def _shown(images: Images, image_id: str) -> str:
    names = [reference.parse(row.name).familiar for row in rows.names(images.database, image_id)]
    return names[0] if names else image_id
