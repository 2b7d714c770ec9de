"""Where a cache lies: what an import reads from, and an export writes to.

    registry.py                 a repository
    buildkit/content.py         a content store of a client's, over its session
    Directory (here)            an OCI layout on this host

Bytes are compared with their digests by whoever takes them (importing.py).
"""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Awaitable, Callable
from typing import Any, BinaryIO, Protocol

from onggi.errors import NotFound, TooLarge
from onggi.images.layout import REF_NAME
from onggi.spec import digest as digests
from onggi.spec import image as documents
from onggi.store.blobs import LAYOUT

Work = Callable[..., Awaitable[Any]]
Take = Callable[[bytes], None]
Open = Callable[[], BinaryIO]
PIECE_BYTES = 1 << 20


class Source(Protocol):
    """`name` is what progress calls it."""

    name: str

    async def top(self) -> bytes:
        """The manifest or index. Raises NotFound, RegistryFailure, Unavailable."""

    async def document(self, digest: str, size: int, limit: int) -> bytes:
        """A small blob, or a manifest that an index names, verified. Raises as top(), Corrupt, TooLarge."""

    async def blob(self, digest: str, size: int, take: Take) -> None:
        """Hand over a blob in pieces, `size` bytes at most; `take` is called in a thread."""


class Target(Protocol):
    name: str

    async def blob(self, digest: str, size: int, open_: Open) -> None:
        """Put a blob there, unless it is there. `open_` gives its bytes."""

    async def manifest(self, media_type: str, data: bytes) -> None:
        """The commit point of an export."""


class Directory:
    """An OCI layout on this host, whose top is known by digest, or by the tag `latest` of its index.json."""

    def __init__(self, path: str, work: Work, *, top: str = "") -> None:
        self.name = path
        self._top = top
        self._work = work

    def _path(self, digest: str) -> str:
        return f"{self.name}/blobs/sha256/{digests.check(digest)[7:]}"

    async def top(self) -> bytes:
        return await self.document(self._top, 0, 4 << 20)

    async def document(self, digest: str, size: int, limit: int) -> bytes:
        data: bytes = await self._work(self._read, digest, limit)
        return data

    def _read(self, digest: str, limit: int) -> bytes:
        with self._open(digest) as file:
            data = file.read(limit + 1)
        if len(data) > limit:
            raise TooLarge(f"blob {digest} has more than {limit} bytes")
        if digests.of(data) != digest:
            raise NotFound(f"{self.name}: blob {digest} has other bytes")
        return data

    def _open(self, digest: str) -> BinaryIO:
        try:
            fd = os.open(self._path(digest), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            raise NotFound(f"{self.name}: blob {digest} is missing") from None
        return open(fd, "rb", buffering=0)

    async def blob(self, digest: str, size: int, take: Take) -> None:
        await self._work(self._pieces, digest, size, take)

    def _pieces(self, digest: str, size: int, take: Take) -> None:
        with self._open(digest) as file:
            while size > 0 and (data := file.read(min(PIECE_BYTES, size))):
                take(data)
                size -= len(data)


class ToDirectory:
    """A Target: an OCI layout that begins empty."""

    def __init__(self, path: str, work: Work) -> None:
        self.name = path
        self._work = work

    async def blob(self, digest: str, size: int, open_: Open) -> None:
        await self._work(self._written, digest, open_)

    def _written(self, digest: str, open_: Open) -> None:
        os.makedirs(f"{self.name}/blobs/sha256", exist_ok=True)
        with open_() as source, open(f"{self.name}/blobs/sha256/{digest[7:]}", "wb") as target:
            shutil.copyfileobj(source, target, PIECE_BYTES)

    async def manifest(self, media_type: str, data: bytes) -> None:
        """With index.json, under the tag `latest`, as BuildKit's clients write it."""
        digest = digests.of(data)
        await self.blob(digest, len(data), lambda: io.BytesIO(data))
        entry = documents.Descriptor(
            media_type=media_type, digest=digest, size=len(data), annotations={REF_NAME: "latest"}
        )
        index = documents.Index(schema_version=2, media_type=documents.OCI_INDEX, manifests=[entry])
        await self._work(self._named, documents.encode(index))

    def _named(self, index: bytes) -> None:
        for name, data in (("oci-layout", LAYOUT), ("index.json", index)):
            with open(f"{self.name}/{name}", "wb") as file:
                file.write(data)

    def close(self) -> None:
        """Nothing is held."""
