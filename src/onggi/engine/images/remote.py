"""A tar that lies at an address: what `docker import http://...` makes an image of.

The engine fetches it, not the client, as dockerd does. http and https alone, redirections included; bytes are
taken as they are sent. An answer that is cut off is a failure, never a shorter image.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import urllib3

from onggi.errors import InvalidParameter, NotFound, Unavailable
from onggi.spec.number import whole

TIMEOUT = urllib3.Timeout(connect=10, read=20)
REDIRECTS = 10
PIECE_BYTES = 256 << 10


def address(source: str) -> str:
    """Without a scheme it is http, as dockerd has it. Raises InvalidParameter."""
    url = source if "://" in source else f"http://{source}"
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError as error:
        raise InvalidParameter(f"import from {source}: {error}") from None
    if parts.scheme not in ("http", "https") or not host:
        raise InvalidParameter(f"import from {source}: only http and https addresses are fetched")
    return url


@contextmanager
def fetched(url: str, report: Callable[[int, int], None]) -> Iterator[Iterator[bytes]]:
    """Its pieces; `report` hears (bytes so far, bytes in all or 0). Blocking.

    Raises NotFound, Unavailable.
    """
    with urllib3.PoolManager(
        timeout=TIMEOUT, retries=urllib3.Retry(REDIRECTS, raise_on_status=False)
    ) as pool:
        try:
            with pool.request("GET", url, preload_content=False, decode_content=False) as reply:
                if reply.status == 404:
                    raise NotFound(f"failed to GET {url} with status 404 Not Found")
                if not 200 <= reply.status < 300:
                    raise Unavailable(f"failed to GET {url} with status {reply.status} {reply.reason or ''}")
                yield _pieces(reply, report)
        except urllib3.exceptions.HTTPError as error:
            raise Unavailable(f"failed to GET {url}: {error}") from None


def _pieces(reply: urllib3.BaseHTTPResponse, report: Callable[[int, int], None]) -> Iterator[bytes]:
    total, done = whole(reply.headers.get("Content-Length", ""), 1 << 62) or 0, 0
    for piece in reply.stream(PIECE_BYTES):
        done += len(piece)
        report(done, total)
        yield piece
