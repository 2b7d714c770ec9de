"""A content store of the client's, over its session: caches in a directory, OCI layouts, `tar=false`.

    containerd.services.content.v1.Content/{Info,Read,Write}, the store named by buildkit-attachable-store-id

A Source and a Target of builder/remote/places.py.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from typing import Any

from grpclib.client import StreamStreamMethod, UnaryStreamMethod, UnaryUnaryMethod
from grpclib.const import Status
from grpclib.exceptions import GRPCError, StreamTerminatedError

from onggi.builder.buildkit.messages import kind
from onggi.builder.remote.places import Open, Take
from onggi.errors import Corrupt, NotFound, TooLarge, Unavailable
from onggi.spec import digest as digests
from onggi.spec import image as documents

SERVICE = "/containerd.services.content.v1.Content/"
PIECE_BYTES = 512 << 10  # gRPC's usual limit of a message is 4 MiB
WRITE, COMMIT = 1, 2


class Store:
    """`id` is the client's name for it; `top` the digest of the manifest to read from."""

    def __init__(self, channel: Any, id: str, work: Callable[..., Awaitable[Any]], *, top: str = "") -> None:
        self.name = id.partition(":")[2] or id
        self._channel = channel
        self._metadata = {"buildkit-attachable-store-id": id}
        self._work = work
        self._top = top

    # -- reading

    async def top(self) -> bytes:
        return await self.document(self._top, 0, documents.DOCUMENT_MAX_BYTES)

    async def document(self, digest: str, size: int, limit: int) -> bytes:
        """Raises NotFound, Corrupt, TooLarge, Unavailable."""
        pieces: list[bytes] = []
        await self._read(digest, limit, pieces.append)
        data = b"".join(pieces)
        if digests.of(data) != digest:
            raise Corrupt(f"{self.name}: blob {digest} is corrupt: its bytes have digest {digests.of(data)}")
        return data

    async def blob(self, digest: str, size: int, take: Take) -> None:
        await self._read(digest, size, lambda piece: self._work(take, piece))

    async def _read(self, digest: str, limit: int, take: Callable[[bytes], Any]) -> None:
        request = kind("ReadContentRequest")(digest=digests.check(digest))
        method = UnaryStreamMethod(
            self._channel, f"{SERVICE}Read", kind("ReadContentRequest"), kind("ReadContentResponse")
        )
        left = limit
        try:
            async with method.open(metadata=self._metadata) as stream:
                await stream.send_message(request, end=True)
                while (message := await stream.recv_message()) is not None:
                    left -= len(message.data)
                    if left < 0:
                        raise TooLarge(f"{self.name}: blob {digest} has more than {limit} bytes")
                    waiting = take(message.data)
                    if waiting is not None:
                        await waiting
        except (GRPCError, StreamTerminatedError, ConnectionError) as error:
            raise self._told(error, digest) from None

    # -- writing

    async def _has(self, digest: str) -> bool:
        request = kind("ContentInfoRequest")(digest=digest)
        method = UnaryUnaryMethod(self._channel, f"{SERVICE}Info", type(request), kind("ContentInfoResponse"))
        try:
            await method(request, metadata=self._metadata)
        except GRPCError as error:
            if error.status is Status.NOT_FOUND:
                return False
            raise self._told(error, digest) from None
        except (StreamTerminatedError, ConnectionError) as error:
            raise self._told(error, digest) from None
        return True

    async def put(self, digest: str, size: int, open_: Open) -> None:
        """Write a blob, unless it is there. Raises Unavailable."""
        if await self._has(digest):
            return
        method = StreamStreamMethod(
            self._channel, f"{SERVICE}Write", kind("WriteContentRequest"), kind("WriteContentResponse")
        )
        try:
            async with method.open(metadata=self._metadata) as stream:
                await self._written(stream, digest, size, open_)
        except GRPCError as error:
            if error.status is not Status.ALREADY_EXISTS:
                raise self._told(error, digest) from None
        except (StreamTerminatedError, ConnectionError) as error:
            raise self._told(error, digest) from None

    async def _written(self, stream: Any, digest: str, size: int, open_: Open) -> None:
        request = kind("WriteContentRequest")
        named = {"ref": f"onggi-{secrets.token_hex(8)}", "total": size, "expected": digest}
        offset = 0
        file = await self._work(open_)
        try:
            while data := await self._work(file.read, PIECE_BYTES):
                await stream.send_message(request(action=WRITE, offset=offset, data=data, **named))
                offset += len(data)
                if await stream.recv_message() is None:
                    raise Unavailable(f"{self.name}: the client ended the write of {digest}")
            await stream.send_message(request(action=COMMIT, offset=offset, **named), end=True)
            while await stream.recv_message() is not None:
                pass
        finally:
            file.close()

    async def manifest(self, media_type: str, data: bytes) -> None:
        import io

        await self.put(digests.of(data), len(data), lambda: io.BytesIO(data))

    def _told(self, error: BaseException, digest: str) -> Exception:
        if isinstance(error, GRPCError):
            said = error.message or error.status.name
            if error.status in (Status.NOT_FOUND, Status.UNIMPLEMENTED):
                return NotFound(f"{self.name}: {said}")
            return Unavailable(f"{self.name}: {digest}: {said}")
        return Unavailable(f"{self.name}: the client's session has ended")

    def close(self) -> None:
        """The session is the client's."""


class ToStore:
    """A content store as a Target."""

    def __init__(self, store: Store) -> None:
        self.name = store.name
        self._store = store

    async def blob(self, digest: str, size: int, open_: Open) -> None:
        await self._store.put(digest, size, open_)

    async def manifest(self, media_type: str, data: bytes) -> None:
        await self._store.manifest(media_type, data)

    def close(self) -> None:
        """Nothing is held."""
