"""What is on its way into the store: blobs sealed under partial names, layers unpacked under keys of their
own.

    with Staging(images) as staging:
        staged = staging.blob(pieces, expected)     hashed, written and, where it is a layer, unpacked in one
        ...
        staging.publish([NewImage(...)])            the commit point: files into place, then rows in one
        transaction

Leaving without publish removes everything again. After a crash in between, Images.open (collect.py) removes
it. Two threads share a layer: the caller's hashes and writes the packed bytes, the other decompresses,
hashes and unpacks; hashlib, isal and write(2) release the GIL.
A layer that came as xz or bzip2 is stored unpacked: the OCI specification has no media type for these.
Failpoints: staging.unpacked, staging.blobs-committed, staging.layer-committed, staging.rows-written.
"""

from __future__ import annotations

import os
import secrets
import threading
import time
from collections.abc import Callable, Iterable
from typing import BinaryIO, Protocol

import msgspec

from onggi import failpoints
from onggi.errors import Corrupt, InvalidParameter, System
from onggi.images import layout
from onggi.images.apply import apply
from onggi.images.compression import DigestReader, decompress, detect
from onggi.images.images import Images, created_at
from onggi.images.pipe import Pipe
from onggi.spec import digest as digests
from onggi.spec import image as documents
from onggi.store import images as rows
from onggi.store.blobs import Ingest

CHUNK_BYTES = 256 << 10
RECODED = ("xz", "bzip2")
MEDIA = {
    "plain": documents.LAYER_TYPES["none"],
    "gzip": documents.OCI_LAYER_GZIP,
    "zstd": documents.OCI_LAYER_ZSTD,
}


class Unpacked(msgspec.Struct, frozen=True):
    """A layer in an active snapshot of its own."""

    key: str
    diff_id: str
    size: int


class NewImage(msgspec.Struct, frozen=True):
    """An image to be published.

    `blobs` are its layers' blobs, bottom first; an empty manifest is generated.
    """

    config: str
    blobs: list[str]
    names: list[str] = []
    manifest: str = ""
    parent_id: str = ""


class Published(msgspec.Struct, frozen=True):
    """What publish did: the image's id, and for each name that moved the id that had it before."""

    id: str
    moved: dict[str, str]


class Staging:
    """Owns what is staged; a context manager. For one thread, which may start others."""

    def __init__(self, images: Images) -> None:
        self._images = images
        self._sealed: dict[str, Ingest] = {}
        self._unpacked: dict[str, Unpacked] = {}
        self._failed: dict[str, BaseException] = {}
        self._pinned: list[str] = []

    def __enter__(self) -> Staging:
        return self

    def __exit__(self, *_: object) -> None:
        for ingest in self._sealed.values():
            ingest.discard()
        for unpacked in self._unpacked.values():
            self._images.snapshots.remove(unpacked.key)
        with self._images.lock:
            self._images.pins.subtract(self._pinned)

    def document(self, data: bytes) -> str:
        """Stage a small document; returns its digest."""
        return self.blob([data], "")

    def known(self, digest: str) -> bool:
        """Whether the blob is staged or stored; one that is stored will not be removed until this ends."""
        with self._images.lock:
            if digest in self._sealed or not self._images.blobs.exists(digest):
                return digest in self._sealed
            self._pin(digest)
            return True

    def open(self, digest: str) -> BinaryIO:
        """A staged or stored blob, for reading. Raises Corrupt."""
        sealed = self._sealed.get(digest)
        return open(sealed.path, "rb", buffering=0) if sealed else self._images.blobs.open(digest)

    def read(self, digest: str, limit: int) -> bytes:
        """A small document. Raises Corrupt, InvalidParameter."""
        with self.open(digest) as file:
            data = file.read(limit + 1)
        if len(data) > limit:
            raise InvalidParameter(f"{digest} has more than {limit} bytes")
        if digests.of(data) != digest:
            raise Corrupt(f"blob {digest} is corrupt: its bytes have digest {digests.of(data)}")
        return data

    def size(self, digest: str) -> int:
        sealed = self._sealed.get(digest)
        return sealed.offset if sealed else self._images.blobs.size(digest)

    def blob(self, pieces: Iterable[bytes], expected: str) -> str:
        """Stage a blob; returns the digest that it is stored under. A layer is unpacked meanwhile.

        Raises Corrupt when it is not what was expected, NoSpace. A failure to unpack is kept for `publish`.
        """
        if expected and expected in self._sealed:
            raise InvalidParameter(f"blob {expected} comes twice")
        iterator = iter(pieces)
        head = _head(iterator)
        compression = detect(head)
        layer = compression != "plain" or _is_tar(head)
        if layer and compression in RECODED:
            return self._recode(_chain(head, iterator), expected)
        worker = Unpacking(self._images) if layer and self._images.snapshots.stackable else None
        ingest = self._images.blobs.ingest(expected)
        try:
            for piece in _chain(head, iterator):
                ingest.write(piece)
                if worker:
                    worker.write(piece)
            digest = ingest.seal()
        except BaseException:
            ingest.discard()
            if worker:
                worker.abandon()
            raise
        self._keep(digest, ingest, worker)
        return digest

    def layer_of(self, digest: str) -> Unpacked | None:
        """What was unpacked while the blob came in."""
        if digest in self._failed:
            raise self._failed[digest]
        return self._unpacked.get(digest)

    def publish(self, wanted: list[NewImage]) -> list[Published]:
        """Put everything that the images need into place, in one step for all of them.

        Raises Corrupt, InvalidParameter for images that do not fit their layers; then nothing has changed.
        """
        prepared = [(new, self._check(new)) for new in wanted]
        with self._images.lock:
            for new, document in prepared:
                self._stack(new, document.rootfs.diff_ids)
            with self._images.database.transaction(durable=True):
                published = [self._insert(new, document) for new, document in prepared]
                failpoints.hit("staging.rows-written")
            layout.write(self._images)
        return published

    def _check(self, new: NewImage) -> documents.Image:
        data = self.read(new.config, documents.CONFIG_MAX_BYTES)
        document = documents.decode(documents.Image, data, f"configuration {new.config}")
        created_at(document, new.config)
        if document.os and document.os != "linux":
            raise InvalidParameter(f"cannot load {document.os} image on linux")
        if len(document.rootfs.diff_ids) != len(new.blobs):
            raise InvalidParameter(
                f"invalid manifest, layers length mismatch: expected {len(document.rootfs.diff_ids)}, "
                f"got {len(new.blobs)}"
            )
        for diff_id in document.rootfs.diff_ids:
            digests.check(diff_id)
        for digest in new.blobs:
            self.layer_of(digest)
        return document

    def _stack(self, new: NewImage, diff_ids: list[str]) -> None:
        """Each layer that is not here yet becomes a committed snapshot, its blob moves into place."""
        chain_ids = digests.chain_ids(diff_ids)
        for position, (chain_id, diff_id, digest) in enumerate(
            zip(chain_ids, diff_ids, new.blobs, strict=True)
        ):
            if rows.get_layer(self._images.database, chain_id):
                continue
            parent = chain_ids[position - 1] if position else ""
            unpacked = self._unpacked.pop(digest, None) or self._unpack_later(digest, parent)
            if unpacked.diff_id != diff_id:
                self._images.snapshots.remove(unpacked.key)
                raise InvalidParameter(
                    f"invalid diffID for layer {position}: expected {diff_id!r}, got {unpacked.diff_id!r}"
                )
            self._commit_blob(digest)
            stackable = self._images.snapshots.stackable
            with self._images.database.transaction():
                self._images.snapshots.commit(unpacked.key, chain_id, parent if stackable else "")
                layer = rows.LayerRow(chain_id, parent or None, diff_id, digest, unpacked.size)
                rows.add_layer(self._images.database, layer)
            failpoints.hit("staging.layer-committed")

    def _insert(self, new: NewImage, document: documents.Image) -> Published:
        manifest = new.manifest or self._manifest(new)
        for digest in (new.config, manifest, *new.blobs):
            self._commit_blob(digest)
        failpoints.hit("staging.blobs-committed")
        row = rows.ImageRow(new.config, manifest, new.parent_id or None, created_at(document, new.config), 0)
        chain_ids = digests.chain_ids(document.rootfs.diff_ids)
        database = self._images.database
        rows.insert(database, row, chain_ids=chain_ids, blobs=[new.config, manifest, *new.blobs])
        moved = {}
        for name in new.names:
            before = rows.set_name(database, rows.NameRow(name, new.config, manifest), time.time_ns())
            if before:
                moved[name] = before
        return Published(new.config, moved)

    def _manifest(self, new: NewImage) -> str:
        layers = []
        for digest in new.blobs:
            with self.open(digest) as file:
                media_type = MEDIA[detect(file.read(16))]
            layers.append(documents.Descriptor(media_type=media_type, digest=digest, size=self.size(digest)))
        config = documents.Descriptor(
            media_type=documents.OCI_CONFIG, digest=new.config, size=self.size(new.config)
        )
        manifest = documents.Manifest(
            schema_version=2, media_type=documents.OCI_MANIFEST, config=config, layers=layers
        )
        return self.document(documents.encode(manifest))

    def _commit_blob(self, digest: str) -> None:
        sealed = self._sealed.pop(digest, None)
        if sealed is not None:
            sealed.commit()
        elif not self._images.blobs.exists(digest):
            raise Corrupt(f"blob {digest} is missing from the store")

    def _unpack_later(self, digest: str, parent: str) -> Unpacked:
        """Unpack a blob that is here, on top of its parent: copying snapshots, and layers that came
        before.
        """
        worker = Unpacking(self._images, parent)
        try:
            with self.open(digest) as file:
                while piece := file.read(CHUNK_BYTES):
                    worker.write(piece)
        except BaseException:
            worker.abandon()
            raise
        return worker.finish(digest)

    def _recode(self, pieces: Iterable[bytes], expected: str) -> str:
        raw = DigestReader(Pieces(pieces))
        plain = decompress(raw)
        digest = self.blob(iter(lambda: plain.read(CHUNK_BYTES), b""), "")
        raw.drain()
        if expected and raw.digest != expected:
            raise Corrupt(f"blob {expected} is corrupt: its bytes have digest {raw.digest}")
        return digest

    def _keep(self, digest: str, ingest: Ingest, worker: Unpacking | None) -> None:
        if digest in self._sealed:
            ingest.discard()
        else:
            self._sealed[digest] = ingest
        if worker is None:
            return
        try:
            unpacked = worker.finish(digest)
        except Exception as error:
            self._failed[digest] = error  # said by publish, if the blob is a layer of an image at all
            return
        if digest in self._unpacked:
            self._images.snapshots.remove(unpacked.key)
        else:
            self._unpacked[digest] = unpacked
        failpoints.hit("staging.unpacked")

    def _pin(self, digest: str) -> None:
        self._images.pins[digest] += 1
        self._pinned.append(digest)


class Unpacking:
    """A thread that decompresses, hashes and applies one layer to an active snapshot of its own."""

    def __init__(self, images: Images, parent: str = "") -> None:
        self._snapshots = images.snapshots
        self.key = f"unpack-{secrets.token_hex(8)}"
        self._pipe = Pipe()
        self._result: Unpacked | None = None
        self._error: BaseException | None = None
        self._snapshots.create(self.key, parent, "unpack")
        self._thread = threading.Thread(target=self._run, name=self.key)
        self._thread.start()

    def write(self, data: bytes) -> None:
        """Some of the packed layer; ignored once unpacking has failed."""
        try:
            self._pipe.write(data)
        except BrokenPipeError:
            return

    def finish(self, digest: str) -> Unpacked:
        """Wait for the end. `digest` is that of the packed bytes. Raises what unpacking raised."""
        self._pipe.end()
        self._thread.join()
        if self._result is None:
            self._snapshots.remove(self.key)
            raise self._error or System(f"layer {digest} was not unpacked")
        return self._result if self._result.diff_id else msgspec.structs.replace(self._result, diff_id=digest)

    def abandon(self) -> None:
        """Stop and remove."""
        self._pipe.end(OSError("the layer ended early"))
        self._thread.join()
        self._snapshots.remove(self.key)

    def _run(self) -> None:
        try:
            plain = decompress(self._pipe)
            packed = plain.compression != "plain"
            stream = DigestReader(plain) if packed else plain
            root_fd = os.open(self._snapshots.tree(self.key), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                applied = apply(stream, root_fd, overlay_whiteouts=self._snapshots.whiteouts == "overlay")
            finally:
                os.close(root_fd)
            while stream.read(1 << 20):
                pass  # the digest is of all bytes, also of those behind the archive's trailer
            diff_id = stream.digest if isinstance(stream, DigestReader) else ""
            self._result = Unpacked(self.key, diff_id, applied.size)
        except BaseException as error:
            self._error = error
        finally:
            self._pipe.close()


class Pieces:
    """An iterable of bytes as something to read from."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self._rest = b""

    def read(self, size: int = -1, /) -> bytes:
        data = self._rest or next(self._pieces, b"")
        self._rest = b""
        if 0 <= size < len(data):
            data, self._rest = data[:size], data[size:]
        return data


class Source(Protocol):
    """What can be read from in pieces."""

    def read(self, size: int, /) -> bytes: ...


def pieces_of(stream: Source, report: Callable[[int], None] | None = None) -> Iterable[bytes]:
    """What a stream holds, in pieces; `report` hears how many bytes went by."""
    done = 0
    while piece := stream.read(CHUNK_BYTES):
        yield piece
        done += len(piece)
        if report:
            report(done)


def _head(pieces: Iterable[bytes]) -> bytes:
    head = b""
    for piece in pieces:
        head += piece
        if len(head) >= 512:
            break
    return head


def _chain(head: bytes, rest: Iterable[bytes]) -> Iterable[bytes]:
    if head:
        yield head
    yield from rest


def _is_tar(head: bytes) -> bool:
    return head[257:262] == b"ustar" or (len(head) >= 512 and not any(head[:512]))
