"""Blobs by digest, in an OCI image layout that skopeo, umoci and crane can read as it lies.

    oci/oci-layout              {"imageLayoutVersion": "1.0.0"}
    oci/index.json              written by images/layout.py
    oci/blobs/sha256/HEX        complete and verified when it came; mode 0444
    oci/partial/NAME            on its way in; NAME is the digest's hex where it is known (then resumable)

Life of a blob: `ingest(expected)` opens a partial file; `write` appends and hashes, `seal` compares,
`commit` renames it into place; without commit the partial file is deleted, or kept when it can be resumed.

Durability. `add` writes with fsync(2) before the rename. What is ingested is synced all at once by who
publishes it (images/staging.py). A damaged blob is seen by its digest (`verify`,
`read`) and named; the next load that brings it writes it anew.
Not here: what refers to a blob and may keep it (images/collect.py).
"""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Iterator
from typing import BinaryIO, Protocol

from onggi import failpoints
from onggi.errors import Corrupt, NoSpace, TooLarge
from onggi.spec import digest as digests
from onggi.store import atomic

LAYOUT = b'{"imageLayoutVersion": "1.0.0"}'
EMPTY_INDEX = b'{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}'
CHUNK_BYTES = 1 << 20
ENOSPC, EDQUOT = 28, 122


class Elsewhere(Protocol):
    """Blobs that are not here, but can be had: packed layers that were dropped (images/elsewhere.py)."""

    def size(self, digest: str) -> int | None:
        """Bytes; None for one that is not known."""

    def local(self, digest: str) -> bool:
        """Whether it can be had without asking another machine."""

    def open(self, digest: str) -> BinaryIO | None:
        """For reading; None for one that is not known. Raises what whoever has it says."""

    def forget(self, digest: str) -> None:
        """It is here, or nobody needs it any more."""


class Blobs:
    """The blob store under one oci/ directory. Its methods may be called from several threads."""

    def __init__(self, oci_dir: str) -> None:
        """Create the layout's skeleton where it is missing. Raises OSError."""
        self.elsewhere: Elsewhere | None = None
        self.oci_dir = oci_dir
        self.blobs_dir = f"{oci_dir}/blobs/sha256"
        self.partial_dir = f"{oci_dir}/partial"
        for path in (self.blobs_dir, self.partial_dir):
            os.makedirs(path, exist_ok=True)
        for name, content in (("oci-layout", LAYOUT), ("index.json", EMPTY_INDEX)):
            if not os.path.exists(f"{oci_dir}/{name}"):
                atomic.write(f"{oci_dir}/{name}", content)

    def path(self, digest: str) -> str:
        """Where a blob lies or would lie. Raises InvalidParameter for what is no digest."""
        return f"{self.blobs_dir}/{digests.check(digest)[7:]}"

    def exists(self, digest: str) -> bool:
        """Whether the blob is here, or can be had when it is asked for."""
        return self.held(digest) or (self.elsewhere is not None and self.elsewhere.size(digest) is not None)

    def held(self, digest: str) -> bool:
        """Whether its bytes are here."""
        return os.path.exists(self.path(digest))

    def local(self, digest: str) -> bool:
        """Whether it can be had without asking another machine."""
        return self.held(digest) or (self.elsewhere is not None and self.elsewhere.local(digest))

    def size(self, digest: str) -> int:
        """Bytes of a blob. Raises Corrupt when it is missing."""
        try:
            return os.stat(self.path(digest)).st_size
        except FileNotFoundError:
            size = self.elsewhere.size(digest) if self.elsewhere is not None else None
            if size is None:
                raise _missing(digest) from None
            return size

    def open(self, digest: str, size: int | None = None) -> BinaryIO:
        """For reading and seeking; brought, or put together, where it is elsewhere.

        Raises Corrupt when it is missing or does not have the size that its descriptor says.
        """
        file: BinaryIO | None
        try:
            file = open(self.path(digest), "rb", buffering=0)
        except FileNotFoundError:
            found = self.size(digest)
            file = self.elsewhere.open(digest) if self.elsewhere is not None else None
            if file is None:
                raise _missing(digest) from None
        else:
            found = os.fstat(file.fileno()).st_size
        if size is not None and found != size:
            file.close()
            raise Corrupt(f"blob {digest} is corrupt: it has {found} bytes, not {size}")
        return file

    def read(self, digest: str, limit: int) -> bytes:
        """A small document, verified. Raises Corrupt, TooLarge."""
        with self.open(digest) as file:
            data = file.read(limit + 1)
        if len(data) > limit:
            raise TooLarge(f"blob {digest} has more than {limit} bytes")
        if digests.of(data) != digest:
            raise Corrupt(f"blob {digest} is corrupt: its bytes have digest {digests.of(data)}")
        return data

    def verify(self, digest: str) -> None:
        """Read the whole blob and compare. Raises Corrupt."""
        found = hashlib.sha256()
        with self.open(digest) as file:
            while chunk := file.read(CHUNK_BYTES):
                found.update(chunk)
        if digests.PREFIX + found.hexdigest() != digest:
            raise Corrupt(f"blob {digest} is corrupt: its bytes have digest sha256:{found.hexdigest()}")

    def add(self, data: bytes) -> str:
        """Store a document that is in memory; returns its digest."""
        with self.ingest(digests.of(data)) as blob:
            blob.write(data)
            blob.sync()
            return blob.commit()

    def ingest(self, expected: str = "", *, resume: bool = False) -> Ingest:
        """Begin a blob; with `resume` its first `.offset` bytes may be there from an earlier try."""
        return Ingest(self, expected, resume=resume)

    def remove(self, digest: str) -> int:
        """Delete a blob; returns its bytes, 0 when it was gone already."""
        path = self.path(digest)
        if self.elsewhere is not None:
            self.elsewhere.forget(digest)
        try:
            size = os.stat(path).st_size
            os.unlink(path)
        except FileNotFoundError:
            return 0
        return size

    def drop(self, digest: str) -> int:
        """Delete the bytes of a blob that can be had again; returns how many."""
        try:
            size = os.stat(self.path(digest)).st_size
            os.unlink(self.path(digest))
        except FileNotFoundError:
            return 0
        return size

    def list_(self) -> Iterator[tuple[str, int]]:
        """Digest and bytes of every blob."""
        with os.scandir(self.blobs_dir) as entries:
            for entry in entries:
                if digests.is_hex64(entry.name):
                    yield digests.PREFIX + entry.name, entry.stat().st_size

    def sweep_partial(self) -> None:
        """Delete unfinished blobs that cannot be resumed: at start, when nobody writes one."""
        for name in os.listdir(self.partial_dir):
            if not digests.is_hex64(name):
                atomic.remove(f"{self.partial_dir}/{name}")


class Ingest:
    """A blob on its way in. A context manager: what was not committed is deleted, or kept when resumable."""

    def __init__(self, blobs: Blobs, expected: str, *, resume: bool) -> None:
        if expected:
            digests.check(expected)
        self._blobs = blobs
        self.expected = expected
        self._resume = resume and bool(expected)
        name = expected[7:] if self._resume else f"new-{secrets.token_hex(8)}"
        self.path = f"{blobs.partial_dir}/{name}"
        self._hash = hashlib.sha256()
        self.offset = 0
        self.digest = ""
        self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._take_up()

    def write(self, data: bytes | memoryview) -> None:
        """Append. Raises NoSpace, OSError."""
        view = memoryview(data)
        self._hash.update(view)
        try:
            while view:
                count = os.write(self._fd, view)
                self.offset += count
                view = view[count:]
        except OSError as error:
            raise _space(error, self.path) from error
        failpoints.hit("blob.written")

    def sync(self) -> None:
        """What was written so far is on the device. Raises NoSpace, OSError."""
        try:
            os.fsync(self._fd)
        except OSError as error:
            raise _space(error, self.path) from error

    def seal(self) -> str:
        """The digest of what was written, compared with what was expected; nothing more can be written.

        Raises Corrupt, NoSpace. The file lies at `.path` until `commit`.
        """
        if self._fd < 0:
            return self.digest
        self.digest = digests.PREFIX + self._hash.hexdigest()
        if self.expected and self.digest != self.expected:
            self._resume = False  # bytes that are wrong once are not gone on from
            raise Corrupt(f"blob {self.expected} is corrupt: its bytes have digest {self.digest}")
        try:
            os.fchmod(self._fd, 0o444)
        except OSError as error:
            raise _space(error, self.path) from error
        self._close()
        failpoints.hit("blob.sealed")
        return self.digest

    def commit(self) -> str:
        """Seal and put into place; the rename is the commit point. Raises Corrupt, NoSpace."""
        digest = self.seal()
        os.rename(self.path, self._blobs.path(digest))
        self.path = ""
        if self._blobs.elsewhere is not None:
            self._blobs.elsewhere.forget(digest)
        failpoints.hit("blob.committed")
        return digest

    def discard(self) -> None:
        """Give up what was not committed, whether or not it could be resumed."""
        self._resume = False
        self.__exit__()

    def __enter__(self) -> Ingest:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()
        if self.path and not (self._resume and self.offset):
            atomic.remove(self.path)
            self.path = ""

    def _close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _take_up(self) -> None:
        """Hash what an earlier try left; without resume start at nothing."""
        if not self._resume:
            os.ftruncate(self._fd, 0)
            return
        while chunk := os.read(self._fd, CHUNK_BYTES):
            self._hash.update(chunk)
            self.offset += len(chunk)


def _missing(digest: str) -> Corrupt:
    return Corrupt(f"blob {digest} is missing from the store")


def _space(error: OSError, path: str) -> Exception:
    if error.errno in (ENOSPC, EDQUOT):
        return NoSpace(f"write {path}: no space left on device")
    return error
