"""Handlers of gRPC calls: by path, for grpclib, with our errors as gRPC's."""

from __future__ import annotations

import asyncio
import functools
import logging
import os
from collections.abc import Awaitable, Callable
from typing import Any

from grpclib.const import Cardinality, Handler, Status
from grpclib.encoding.base import StatusDetailsCodecBase
from grpclib.exceptions import GRPCError

from onggi.builder.buildkit.messages import kind
from onggi.errors import NotImplemented_, OnggiError

PATH_SHOWN = 256  # of a path in a message
log = logging.getLogger(__name__)


def mapping(
    service: Any, prefix: str, rows: tuple[tuple[str, Cardinality, str, str], ...]
) -> dict[str, Handler]:
    """Of (method, cardinality, request, reply)."""
    return {
        prefix + name: Handler(getattr(service, name), how, kind(request), kind(reply))
        for name, how, request, reply in rows
    }


def call(method: Callable[[Any, Any], Awaitable[None]]) -> Callable[[Any], Awaitable[None]]:
    """A handler whose errors become gRPC's."""

    @functools.wraps(method)
    async def handler(self: Any, stream: Any) -> None:
        try:
            await method(self, stream)
        except Exception as error:
            raise told(error, method.__name__) from None

    return handler  # type: ignore[return-value]


def told(error: BaseException, where: str, details: list[Any] | None = None) -> GRPCError:
    """An error as gRPC's, as server/errors.py makes them HTTP's; `details` are messages of kind Any."""
    if isinstance(error, GRPCError):
        return error
    status = Status.UNKNOWN
    if isinstance(error, asyncio.CancelledError):
        return GRPCError(Status.CANCELLED, "context canceled")
    if isinstance(error, NotImplemented_):
        status = Status.UNIMPLEMENTED
    if isinstance(error, OnggiError):
        return GRPCError(status, error.message, details)
    if isinstance(error, OSError):
        name = os.fsdecode(error.filename)[:PATH_SHOWN] if error.filename else ""
        return GRPCError(status, f"{name}: {error.strerror}" if name else str(error.strerror), details)
    log.error("%s failed: %s", where, error, exc_info=error)
    text = f"internal error: {type(error).__name__} (the engine's log has more)"
    return GRPCError(Status.INTERNAL, text, details)


def status_of(error: GRPCError) -> Any:
    """As the message google.rpc.Status."""
    return kind("Status")(code=error.status.value, message=error.message or "", details=error.details or ())


class Details(StatusDetailsCodecBase):
    """Details of an error, from the server to the client (trailer grpc-status-details-bin)."""

    def encode(self, status: Status, message: str | None, details: Any) -> bytes:
        return bytes(status_of(GRPCError(status, message, details)).SerializeToString())

    def decode(self, status: Status, message: str | None, data: bytes) -> Any:
        return list(kind("Status").FromString(data).details)
