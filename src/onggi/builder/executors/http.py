"""ADD of an address: one file, downloaded into the build cache and asked for again only if it has changed.

    build/TREE/fs/NAME      the file, as the step sees it
    build/TREE/known        what the server said of it: ETag, name, digest

A build always asks; a server that answers 304 costs no transfer. A file's time is its Last-Modified, so that
equal answers are equal files. Addresses are http and https alone, redirections included.
"""

from __future__ import annotations

import hashlib
import os
import re
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import msgspec
import urllib3

from onggi.builder.cache.cache import HTTP
from onggi.builder.executors.made import Made
from onggi.builder.graph import HttpSource, Vertex
from onggi.builder.solver.results import Folder
from onggi.errors import InvalidParameter, NotFound, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from onggi.builder.solver.job import Job

TIMEOUT = urllib3.Timeout(connect=10, read=20)
REDIRECTS = 10
PIECE_BYTES = 256 << 10
_FILENAME = re.compile(r'filename="?([^";]+)"?', re.IGNORECASE)


class Known(msgspec.Struct, frozen=True):
    """What is kept of a download."""

    etag: str = ""
    name: str = ""
    digest: str = ""


class Answer(msgspec.Struct, frozen=True):
    """A file that came. `modified`: nanoseconds since 1970, 0 where the server did not say."""

    etag: str
    name: str
    digest: str
    modified: int


async def fetch(job: Job, vertex: Vertex, op: HttpSource) -> Made:
    """Raises NotFound, Unavailable, InvalidParameter (an address, a digest), NoSpace, OSError."""
    headers = dict(op.headers)
    if op.auth_header_secret:
        try:
            secret = await job.client.secret(op.auth_header_secret)
            headers["Authorization"] = secret.decode("latin-1").strip()
        except NotFound:
            pass  # it is for those who have one
    return await job.builder.work(_fetch, job, vertex, op, headers)


def _fetch(job: Job, vertex: Vertex, op: HttpSource, headers: dict[str, str]) -> Made:
    cache = job.builder.cache
    named = hashlib.sha256(f"{op.url}\0{op.filename}\0{op.mode}\0{op.uid}\0{op.gid}".encode()).hexdigest()
    tree = cache.own_tree(HTTP, f"http-{named[:32]}")
    job.owns(tree.record_id)
    known = _known(f"{tree.path}/known")
    if known.etag:
        headers["If-None-Match"] = known.etag
    answer = download(op.url, f"{tree.path}/new", headers, stopped=lambda: job.cancelled)
    digest = known.digest if answer is None else answer.digest
    if op.checksum and op.checksum != digest:
        cache.forget(tree.record_id)
        raise InvalidParameter(f"digest mismatch {digest}: {op.checksum}")
    job.materials[vertex.digest] = (op.url, {"sha256": digest.removeprefix("sha256:")})
    if answer is not None:
        _place(tree.path, op, answer)
    if tree.made:
        cache.finish(tree.record_id, size=0, description=f"http url {op.url}")
    cache.measure(tree)
    return Made(outputs={0: Folder(f"{tree.path}/fs", tree.record_id)}, cached=answer is None)


def _known(path: str) -> Known:
    try:
        with open(path, "rb") as file:
            return msgspec.json.decode(file.read(), type=Known)
    except (FileNotFoundError, msgspec.DecodeError):
        return Known()


def _place(path: str, op: HttpSource, answer: Answer) -> None:
    """The new file under its name, alone in its directory; what is known of it comes last."""
    name = op.filename or answer.name
    fs = f"{path}/fs"
    for left in (f"{path}/known", *_files(fs)):
        if os.path.exists(left):
            os.unlink(left)
    os.makedirs(fs, 0o755, exist_ok=True)
    os.chmod(f"{path}/new", 0o600 if op.mode is None else op.mode)
    os.chown(f"{path}/new", op.uid or 0, op.gid or 0)
    os.utime(f"{path}/new", ns=(answer.modified, answer.modified))
    os.rename(f"{path}/new", f"{fs}/{name}")
    with open(f"{path}/known", "wb") as file:
        file.write(msgspec.json.encode(Known(answer.etag, name, answer.digest)))


def _files(path: str) -> list[str]:
    return [f"{path}/{name}" for name in os.listdir(path)] if os.path.isdir(path) else []


def download(url: str, path: str, headers: dict[str, str], *, stopped: Callable[[], bool]) -> Answer | None:
    """One file to `path`; None where the server says that it is the same as before. Blocking.

    Raises NotFound, Unavailable, InvalidParameter, InterruptedError, OSError.
    """
    if urlsplit(url).scheme not in ("http", "https"):
        raise InvalidParameter(f"{url}: only http and https are fetched")
    with urllib3.PoolManager(
        timeout=TIMEOUT, retries=urllib3.Retry(REDIRECTS, raise_on_status=False)
    ) as pool:
        try:
            with pool.request(
                "GET", url, headers=headers, preload_content=False, decode_content=False
            ) as reply:
                return _received(reply, url, path, stopped)
        except urllib3.exceptions.HTTPError as error:
            raise Unavailable(f"failed to fetch {url}: {error}") from None


def _received(
    reply: urllib3.BaseHTTPResponse, url: str, path: str, stopped: Callable[[], bool]
) -> Answer | None:
    if reply.status == 304:
        return None
    if reply.status == 404:
        raise NotFound(f"failed to load {url}: invalid response status 404")
    if not 200 <= reply.status < 300:
        raise Unavailable(f"failed to load {url}: invalid response status {reply.status}")
    digest = hashlib.sha256()
    with open(path, "wb") as file:
        for piece in reply.stream(PIECE_BYTES):
            if stopped():
                raise InterruptedError(4, "the build was cancelled")
            digest.update(piece)
            file.write(piece)
    return Answer(
        etag=reply.headers.get("ETag", ""),
        name=_name(url, reply.headers.get("Content-Disposition", "")),
        digest=f"sha256:{digest.hexdigest()}",
        modified=_modified(reply.headers.get("Last-Modified", "")),
    )


def _name(url: str, disposition: str) -> str:
    """A name without a directory, whatever the server says."""
    said = _FILENAME.search(disposition)
    for text in (said[1] if said else "", unquote(urlsplit(url).path)):
        name = text.rstrip("/").rpartition("/")[2]
        if name not in ("", ".", ".."):
            return name
    return "download"


def _modified(text: str) -> int:
    try:
        return int(parsedate_to_datetime(text).timestamp()) * 1_000_000_000
    except ValueError:
        return 0
