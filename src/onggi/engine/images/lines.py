"""JSON lines out of a worker thread: an error after the first line becomes the last line, as Docker
does it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable

from onggi.engine import streams
from onggi.errors import OnggiError
from onggi.images.progress import failure


async def lines(work: Callable[[streams.Write], None]) -> AsyncIterator[bytes]:
    """Raises what `work` raises before its first line."""
    inner = await streams.iterate(work)
    return streams.Begun(_said(inner), inner.aclose)


async def _said(inner: streams.Chunks) -> AsyncGenerator[bytes, None]:
    try:
        async for line in inner:
            yield line
    except OnggiError as error:
        yield failure(error.message).encode()
    finally:
        await inner.aclose()
