"""The blobs of records, by containerd's content service: what clients read logs and provenance with.

Nothing else of the engine's store is read through this, and nothing is written.
"""

from __future__ import annotations

from typing import Any

from grpclib.const import Cardinality, Handler, Status
from grpclib.exceptions import GRPCError

from onggi.builder.buildkit.calls import call, mapping
from onggi.builder.buildkit.content import PIECE_BYTES, SERVICE
from onggi.builder.buildkit.history.history import History
from onggi.builder.buildkit.messages import kind
from onggi.errors import NotFound


class Content:
    """For one connection."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._last = ("", b"")  # clients read one blob in many small pieces

    def __mapping__(self) -> dict[str, Handler]:
        return mapping(self, SERVICE, (
            ("Info", Cardinality.UNARY_UNARY, "ContentInfoRequest", "ContentInfoResponse"),
            ("Read", Cardinality.UNARY_STREAM, "ReadContentRequest", "ReadContentResponse"),
        ))  # fmt: skip

    @call
    async def Info(self, stream: Any) -> None:
        request = await stream.recv_message()
        try:
            size = self._history.blob_size(request.digest)
        except NotFound as error:
            raise GRPCError(Status.NOT_FOUND, error.message) from None
        info = kind("ContentInfo")(digest=request.digest, size=size)
        await stream.send_message(kind("ContentInfoResponse")(info=info))

    @call
    async def Read(self, stream: Any) -> None:
        """`size` bytes from `offset`; 0 bytes: all that follow."""
        request = await stream.recv_message()
        try:
            if self._last[0] != request.digest:
                self._last = (request.digest, await self._history.blob(request.digest))
            data = self._last[1]
        except NotFound as error:
            raise GRPCError(Status.NOT_FOUND, error.message) from None
        if request.offset < 0 or request.size < 0 or request.offset > len(data):
            raise GRPCError(
                Status.OUT_OF_RANGE, f"{request.digest}: bytes {request.offset}+{request.size} of {len(data)}"
            )
        end = min(len(data), request.offset + request.size if request.size else len(data))
        for place in range(request.offset, end, PIECE_BYTES):
            piece = data[place : min(end, place + PIECE_BYTES)]
            await stream.send_message(kind("ReadContentResponse")(offset=place, data=piece))
