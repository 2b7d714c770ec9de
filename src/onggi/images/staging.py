"""What is on its way into the store: blobs sealed under partial names, layers unpacked under keys of their
own.

    with Staging(images) as staging:
        staged = staging.blob(pieces, expected)     hashed, written and, where it is a layer, unpacked in one
        ...
        staging.publish([NewImage(...)])            the commit point: files into place, then rows in one
        transaction

Leaving without publish removes everything again; after a crash in between collect.recover does.
Two threads share a layer: the caller's hashes and writes the packed bytes, the other (unpacking.py)
decompresses, hashes and unpacks; the next one may come in while up to WORKERS former ones are unpacked.
A layer that came as xz or bzip2 is stored unpacked: the OCI specification has no media type for these.
Blobs from registries come by `fetch` instead (incoming.py). Failpoints: staging.unpacked,
staging.blobs-committed, staging.layer-committed, staging.rows-written.
"""

from __future__ import annotations

import errno
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import BinaryIO, Protocol

import msgspec

from onggi import failpoints
from onggi.errors import Corrupt, InvalidParameter, NoSpace
from onggi.images import layout
from onggi.images.collect import collect
from onggi.images.compression import DigestReader, decompress, detect
from onggi.images.images import Images, created_at
from onggi.images.incoming import Reader, Watch, receive
from onggi.images.indexes import settle
from onggi.images.manifests import compose, layer_descriptor
from onggi.images.unpacking import Unpacked, Unpacking
from onggi.kernel.files import syncfs
from onggi.spec import digest as digests
from onggi.spec import image as documents
from onggi.spec import timestamp
from onggi.store import images as rows
from onggi.store import indexes as index_rows
from onggi.store.blobs import Ingest

CHUNK_BYTES = 256 << 10
WORKERS = min(4, os.cpu_count() or 1)  # layers that are unpacked behind the one that comes in
LAYERS_MAX = 400  # overlayfs takes 500 (OVL_MAX_STACK, fs/overlayfs/params.h)
RECODED = ("xz", "bzip2")


class NewImage(msgspec.Struct, frozen=True):
    """An image to be published.

    `blobs` are its layers' blobs, bottom first; an empty manifest is generated. Of an artifact `config` is
    the manifest's digest, and `blobs` are all others.
    """

    config: str
    blobs: list[str]
    names: list[str] = []
    manifest: str = ""
    parent_id: str = ""
    artifact: bool = False


class NewIndex(msgspec.Struct, frozen=True):
    """An index to be published with images of it.

    `entries` are all manifests that it leads to: those whose images are here already belong to it, too.
    `blobs` are documents that it needs besides the images, the index itself among them.
    """

    digest: str
    entries: list[str]
    blobs: list[str]
    names: list[str] = []


class Published(msgspec.Struct, frozen=True):
    """What publish did: the image's id, and for each name that moved the id that had it before."""

    id: str
    moved: dict[str, str]


class Staging:
    """Owns what is staged; a context manager. For one thread, which may start others."""

    def __init__(self, images: Images) -> None:
        self._images = images
        self._sealed: dict[str, Ingest] = {}
        self._fetched: dict[str, Ingest] = {}  # those of them that other jobs may share
        self._working: dict[str, Unpacking] = {}  # blob -> its thread, oldest first
        self._unpacked: dict[str, Unpacked] = {}
        self._failed: dict[str, Exception] = {}
        self._pinned: list[str] = []
        self._committed: list[str] = []
        self._manifests: dict[tuple[str, ...], str] = {}

    def __enter__(self) -> Staging:
        return self

    def __exit__(self, failure: object, *_: object) -> None:
        for digest, ingest in self._fetched.items():
            self._images.incoming.release(digest, ingest, useless=digest in self._failed)
        for digest, ingest in self._sealed.items():
            if digest not in self._fetched:
                ingest.discard()
        for worker in self._working.values():
            worker.abandon()
        for unpacked in self._unpacked.values():
            self._images.snapshots.remove(unpacked.key)
        with self._images.lock:
            self._images.pins.subtract(self._pinned)
            self._images.pins += Counter()  # drops what fell to nothing
            if failure is not None:
                collect(self._images, self._committed)

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

    def sound(self, digest: str) -> bool:
        """Whether the blob is known and is what its name says. One that is damaged will be replaced by what
        comes now.
        """
        if not self.known(digest):
            return False
        if digest not in self._sealed and not self._images.blobs.held(digest):
            return False  # it is in a registry; what comes now is nearer
        try:
            if digest not in self._sealed:
                self._images.blobs.verify(digest)
        except Corrupt:
            return False
        return True

    def open(self, digest: str) -> BinaryIO:
        """A staged or stored blob, for reading. Raises Corrupt."""
        sealed = self._sealed.get(digest)
        if sealed is not None and sealed.path:
            try:
                return open(sealed.path, "rb", buffering=0)
            except FileNotFoundError:
                pass  # a job that shares it has just put it into place
        return self._images.blobs.open(digest)

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

    def fetch(self, digest: str, size: int, reader: Reader, watch: Watch, *, layer: bool = False) -> None:
        """Stage a blob from afar; several threads may do so at a time. `layer` has it unpacked meanwhile.

        Returns when both are done. Raises Corrupt, NoSpace, and what the reader raises; what came then is
        kept for the next try. A failure to unpack is kept for `publish`, unless it ends the download.
        """
        images = self._images
        with images.incoming.turn(digest, watch.check):
            if self._shared(digest):
                watch.complete()
                return
            ingest, worker = receive(
                images, digest, size, reader, watch, unpack=layer and images.snapshots.stackable
            )
            images.incoming.hold(digest, ingest)
            self._take(digest, ingest)
        if worker is None:
            return
        try:
            self._unpacked[digest] = worker.finish(digest)
        except Exception as error:
            self._failed[digest] = error
        failpoints.hit("staging.unpacked")

    def _shared(self, digest: str) -> bool:
        """Whether the blob is stored, or sealed by another job; both stay while this lasts."""
        if self.known(digest):
            return True
        ingest = self._images.incoming.share(digest)
        if ingest is not None:
            self._take(digest, ingest)
        return ingest is not None or self.known(digest)

    def _take(self, digest: str, ingest: Ingest) -> None:
        with self._images.lock:
            self._fetched[digest] = self._sealed[digest] = ingest
            self._pin(digest)

    def layer_of(self, digest: str) -> Unpacked | None:
        """What was unpacked while the blob came in; waits for its end. Raises what unpacking raised."""
        if digest in self._working:
            self._settle(digest)
        if digest in self._failed:
            raise self._failed[digest]
        return self._unpacked.get(digest)

    def publish(self, wanted: list[NewImage], indexes: Sequence[NewIndex] = ()) -> list[Published]:
        """Put everything that the images need into place, in one step for all of them. What is said of each
        index comes behind the images.

        Raises Corrupt, InvalidParameter for images that do not fit their layers; then nothing has changed.
        """
        prepared = [(new, self._check(new)) for new in wanted]
        for new, document in prepared:
            if not new.artifact:
                self._stack(new, document.rootfs.diff_ids)
        images = self._images
        needed = [digest for new in wanted for digest in self._blobs(new)]
        for digest in (*needed, *(blob for index in indexes for blob in index.blobs)):
            self._commit_blob(digest)
        failpoints.hit("staging.blobs-committed")
        self._sync()
        with images.lock:
            with images.database.transaction(durable=True):
                published = [self._insert(new, document) for new, document in prepared]
                published += [self._insert_index(index, wanted) for index in indexes]
                failpoints.hit("staging.rows-written")
            layout.write(images)
        return published

    def _blobs(self, new: NewImage) -> list[str]:
        return [*([] if new.artifact else [new.config]), new.manifest or self._manifest(new), *new.blobs]

    def _check(self, new: NewImage) -> documents.Image:
        if new.artifact:
            return documents.Image()
        data = self.read(new.config, documents.CONFIG_MAX_BYTES)
        document = documents.decode(documents.Image, data, f"configuration {new.config}")
        created_at(document, new.config)
        for step in document.history or ():
            timestamp.parse(step.created or "")
        if document.os and document.os != "linux":
            raise InvalidParameter(f"cannot load {document.os} image on linux")
        if len(document.rootfs.diff_ids) != len(new.blobs):
            raise InvalidParameter(
                f"invalid manifest, layers length mismatch: expected {len(document.rootfs.diff_ids)}, "
                f"got {len(new.blobs)}"
            )
        if len(new.blobs) > LAYERS_MAX:
            raise InvalidParameter(f"max depth exceeded: {len(new.blobs)} layers, {LAYERS_MAX} at most")
        for diff_id in document.rootfs.diff_ids:
            digests.check(diff_id)
        for digest in new.blobs:
            self.layer_of(digest)
        return document

    def _stack(self, new: NewImage, diff_ids: list[str]) -> None:
        """Each layer that is not here yet becomes a committed snapshot. The lock is not held while one is
        unpacked; what another load put there meanwhile is used.
        """
        chain_ids = digests.chain_ids(diff_ids)
        with self._images.lock:
            for chain_id in chain_ids:
                self._pin(chain_id)
        for position, (chain_id, diff_id, digest) in enumerate(
            zip(chain_ids, diff_ids, new.blobs, strict=True)
        ):
            if rows.get_layer(self._images.database, chain_id):
                continue
            parent = chain_ids[position - 1] if position else ""
            unpacked = self._unpacked.pop(digest, None) or self._unpack_later(digest, parent)
            try:
                if unpacked.diff_id != diff_id:
                    raise InvalidParameter(
                        f"invalid diffID for layer {position}: expected {diff_id!r}, got {unpacked.diff_id!r}"
                    )
                self._commit_layer(unpacked, rows.LayerRow(chain_id, parent or None, diff_id, digest, 0))
            finally:
                self._images.snapshots.remove(unpacked.key)  # gone already where it was committed
            failpoints.hit("staging.layer-committed")

    def _commit_layer(self, unpacked: Unpacked, row: rows.LayerRow) -> None:
        images = self._images
        with images.lock:
            if rows.get_layer(images.database, row.chain_id):
                return
            with images.database.transaction():
                parent = row.parent if images.snapshots.stackable else None
                images.snapshots.commit(unpacked.key, row.chain_id, parent or "")
                rows.add_layer(images.database, msgspec.structs.replace(row, size=unpacked.size))

    def _insert(self, new: NewImage, document: documents.Image) -> Published:
        manifest = new.manifest or self._manifest(new)
        now = time.time_ns()
        kind = rows.ARTIFACT if new.artifact else rows.IMAGE
        created = now if new.artifact else created_at(document, new.config)
        row = rows.ImageRow(new.config, manifest, new.parent_id or None, created, 0, now, kind)
        chain_ids = digests.chain_ids(document.rootfs.diff_ids)
        database = self._images.database
        rows.insert(database, row, chain_ids=chain_ids, blobs=self._blobs(new))
        moved = {}
        for name in new.names:
            before = rows.set_name(database, rows.NameRow(name, new.config, manifest), time.time_ns())
            if before:
                moved[name] = before
        return Published(new.config, moved)

    def _insert_index(self, index: NewIndex, wanted: list[NewImage]) -> Published:
        """Its images that are here, those that came before among them, go by its names now."""
        database = self._images.database
        came = {new.manifest: new for new in wanted if new.manifest}
        members, blobs = {}, list(index.blobs)
        for manifest in index.entries:
            new = came.get(manifest)
            image_id = new.config if new else rows.by_manifest(database, manifest)
            row = rows.get(database, image_id) if image_id else None
            if row is None or row.kind == rows.ARTIFACT:
                continue
            members[manifest] = row.id
            if new and row.manifest != manifest:  # the same image, packed otherwise
                blobs += self._blobs(new)
        index_rows.add(database, index.digest, blobs=blobs, members=members)
        moved = self._name_index(index, members)
        lead = rows.leader(database, index.digest) or next(iter(members.values()), "")
        return Published(lead, moved)

    def _name_index(self, index: NewIndex, members: dict[str, str]) -> dict[str, str]:
        database = self._images.database
        current = rows.leader(database, index.digest) or ""
        manifests = {image_id: manifest for manifest, image_id in members.items()}
        moved = {}
        for name in index.names:
            stood = rows.get_name(database, name)
            current = current or (stood.image_id if stood and stood.image_id in manifests else "")
            first = current or next(iter(manifests))
            row = rows.NameRow(name, first, manifests.get(first, ""), index.digest)
            before = rows.set_name(database, row, time.time_ns())
            if before and before not in manifests:
                moved[name] = before
        settle(self._images, index.digest, current)
        return moved

    def _sync(self) -> None:
        """Layers and blobs reach the device before the rows that say so.

        One syncfs(2) for all of them; see docs/decisions/0011-images-survive-a-power-cut.md.
        """
        fd = os.open(self._images.paths.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            syncfs(fd)
        except OSError as failure:  # what was written behind our back failed: the disk is full, or broken
            if failure.errno in (errno.ENOSPC, errno.EDQUOT):
                raise NoSpace(f"write {self._images.paths.root}: no space left on device") from failure
            raise
        finally:
            os.close(fd)

    def _manifest(self, new: NewImage) -> str:
        """The digest of a generated manifest, made once for each image."""
        known = self._manifests.get((new.config, *new.blobs))
        if known:
            return known
        layers = []
        for digest in new.blobs:
            with self.open(digest) as file:
                layers.append(layer_descriptor(digest, self.size(digest), file.read(16)))
        digest = self.document(compose(new.config, self.size(new.config), layers))
        self._manifests[(new.config, *new.blobs)] = digest
        return digest

    def _commit_blob(self, digest: str) -> None:
        """Into place, and pinned until the rows are there."""
        with self._images.lock:
            sealed = self._sealed.pop(digest, None)
            self._pin(digest)
            if sealed is not None and sealed.path:
                self._committed.append(digest)
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
        if digest in self._working or digest in self._unpacked or digest in self._failed:
            worker.abandon()  # the same layer again
            return
        worker.end()
        self._working[digest] = worker
        if len(self._working) > WORKERS:
            self._settle(next(iter(self._working)))

    def _settle(self, digest: str) -> None:
        """Wait for a thread. A failure is said by layer_of, if the blob is a layer of an image at all."""
        worker = self._working.pop(digest)
        try:
            self._unpacked[digest] = worker.finish(digest)
        except Exception as error:
            self._failed[digest] = error
        failpoints.hit("staging.unpacked")

    def _pin(self, digest: str) -> None:
        self._images.pins[digest] += 1
        self._pinned.append(digest)


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
