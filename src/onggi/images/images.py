"""Images: the parts that hold them, and one image as a value.

    names -> [index ->] image (configuration's digest) -> manifest, configuration, layers'  oci/, database
                                            -> stack of unpacked layers, by chain id        snapshots/

Locks. `lock` is held while rows and files of images are put in or taken out together; never while bytes are
hashed or unpacked. `pins` counts what a load under way relies on, so that a removal leaves it.
Not here: each thing that can be done with images is a module of its own beside this one.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TypeVar

import msgspec

from onggi.errors import Corrupt, InvalidParameter
from onggi.images.incoming import Incoming
from onggi.images.snapshots import Snapshots
from onggi.images.snapshots.detect import detect
from onggi.images.workers import Workers
from onggi.paths import Paths
from onggi.spec import image as documents
from onggi.spec import reference, timestamp
from onggi.store import images as rows
from onggi.store.blobs import Blobs
from onggi.store.database import Database
from onggi.store.trash import Trash

T = TypeVar("T")
CACHED_DOCUMENTS = 1024
CACHED_INDEXES = 128


class Image(msgspec.Struct, frozen=True):
    """An image that is here; instants in nanoseconds since 1970, 0 for never. Layers bottom first."""

    id: str
    manifest: str
    parent_id: str
    created_at: int
    tagged_at: int
    used_at: int
    document: documents.Image
    layers: list[rows.LayerRow]
    names: list[rows.NameRow]
    artifact: bool = False

    @property
    def top(self) -> str:
        """The chain id that a container's snapshot stands on; empty for an image without layers."""
        return self.layers[-1].chain_id if self.layers else ""

    @property
    def size(self) -> int:
        """Bytes of the files of all layers."""
        return sum(layer.size for layer in self.layers)

    @property
    def config(self) -> documents.Config:
        return self.document.config or documents.Config()

    @property
    def repo_tags(self) -> list[str]:
        """Familiar names with tags: debian:12."""
        return [reference.parse(row.name).familiar for row in self.names if "@" not in row.name]

    @property
    def repo_digests(self) -> list[str]:
        """Familiar names with digests, of images that came from a registry."""
        return [reference.parse(row.name).familiar for row in self.names if "@" in row.name]


class Images:
    """All images under one root. Its functions are in the modules of this package."""

    def __init__(self, paths: Paths, database: Database, *, driver: str = "") -> None:
        """`driver` names a snapshotter; empty takes the best one. Raises InvalidParameter, OSError."""
        self.paths = paths
        self.database = database
        self.blobs = Blobs(paths.oci_dir)
        self.trash = Trash(paths.trash_dir)
        self.snapshots: Snapshots = detect(paths.snapshots_dir, database, self.trash, driver)
        self.incoming = Incoming()
        self.workers = Workers()
        self.lock = threading.RLock()
        self.pins: Counter[str] = Counter()
        self._documents: dict[str, documents.Image] = {}
        self._indexes: dict[str, documents.Index] = {}

    def get(self, image_id: str) -> Image | None:
        """By full id. Raises Corrupt when its configuration is damaged."""
        row = rows.get(self.database, image_id)
        return self.of(row) if row else None

    def of(self, row: rows.ImageRow) -> Image:
        """The value of a row."""
        return Image(
            row.id,
            row.manifest,
            row.parent_id or "",
            row.created_at,
            row.tagged_at,
            row.used_at,
            documents.Image() if row.kind == rows.ARTIFACT else self.document(row.id),
            rows.stack(self.database, row.id),
            rows.names(self.database, row.id),
            row.kind == rows.ARTIFACT,
        )

    def document(self, image_id: str) -> documents.Image:
        """The configuration; read and verified once, its digest is its name."""
        read = partial(self._read, image_id, documents.CONFIG_MAX_BYTES, documents.Image, "configuration")
        return _kept(self._documents, CACHED_DOCUMENTS, image_id, read)

    def index(self, digest: str) -> documents.Index:
        """An index that is here; read and verified once. Raises Corrupt."""
        read = partial(self._read, digest, documents.DOCUMENT_MAX_BYTES, documents.Index, "index")
        return _kept(self._indexes, CACHED_INDEXES, digest, read)

    def manifest(self, image: Image) -> documents.Manifest:
        """The manifest, verified. Raises Corrupt."""
        return self._read(image.manifest, documents.DOCUMENT_MAX_BYTES, documents.Manifest, "manifest")

    def _read(self, digest: str, limit: int, kind: type[documents.Document], what: str) -> documents.Document:
        return documents.decode(kind, self.blobs.read(digest, limit), f"{what} {digest}")

    @contextmanager
    def pinned(self, keys: list[str]) -> Iterator[None]:
        """Keep blobs and layers from removal while the block runs."""
        with self.lock:
            self.pins.update(keys)
        try:
            yield
        finally:
            with self.lock:
                self.pins.subtract(keys)
                self.pins += Counter()  # drops what fell to nothing


def created_at(document: documents.Image, image_id: str) -> int:
    """When an image says that it was made. Raises Corrupt."""
    try:
        return timestamp.parse(document.created or "")
    except InvalidParameter as error:
        raise Corrupt(f"configuration {image_id}: {error}") from None


def _kept(known: dict[str, T], most: int, digest: str, read: Callable[[], T]) -> T:
    """What was read before; where there are too many, all of it is forgotten."""
    found = known.get(digest)
    if found is None:
        found = read()
        if len(known) >= most:
            known.clear()
        known[digest] = found
    return found
