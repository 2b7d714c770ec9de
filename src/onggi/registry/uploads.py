"""Blobs on their way to a registry: skipped where they are, mounted where a neighbour has them, else sent.

    POST /v2/PATH/blobs/uploads/?mount=DIGEST&from=NEIGHBOUR     201: it is there
    POST /v2/PATH/blobs/uploads/                                 202: Location
    PUT  Location?digest=DIGEST          the whole blob in one request
    ...cut off:  GET Location (Range: 0-N)  ->  PATCH from N + 1  ->  PUT Location?digest=DIGEST

Where a registry wants small pieces it says so (OCI-Chunk-Min-Length), or refuses the whole one with 413: then
the blob goes in pieces. Source: OCI distribution-spec 1.1, "Pushing Blobs".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO
from urllib.parse import quote, urlencode, urljoin

from urllib3.response import BaseHTTPResponse

from onggi import failpoints
from onggi.registry import backoff
from onggi.registry.failures import RegistryFailure
from onggi.registry.repository import Repository
from onggi.registry.session import drain

READ_BYTES = 256 << 10
PIECE_BYTES = 16 << 20
Open = Callable[[], BinaryIO]
Report = Callable[[int], None]


def mount(repository: Repository, digest: str, neighbour: str) -> bool:
    """Take a blob from another repository of this registry. A registry that will not is no failure."""
    scope = f"{repository.scope('pull', 'push')} {repository.scope('pull', path=neighbour)}"
    query = urlencode({"mount": digest, "from": neighbour})
    try:
        answer = repository.session.request(
            "POST",
            f"{_base(repository)}?{query}",
            scope=scope,
            headers={"Content-Length": "0"},
            expect=(201, 202),
        )
    except RegistryFailure as failure:
        if failure.status in (0, 429) or failure.status >= 500:
            raise
        return False
    location = answer.headers.get("Location", "")
    drain(answer)
    if answer.status == 202 and location:
        _give_up(repository, urljoin(repository.session.url(_base(repository)), location))
    return answer.status == 201


def upload(repository: Repository, digest: str, size: int, open_: Open, report: Report) -> None:
    """Send a blob, going on after a lost connection from the byte that the registry has.

    Raises RegistryFailure, Unreachable, Corrupt (the registry found another digest).
    """
    session = repository.session
    attempt = reached = 0
    location, least = _begin(repository)
    whole = True
    while True:
        try:
            if whole:
                _put(repository, location, digest, size, open_, report)
            else:
                location = _pieces(
                    repository, location, size, max(least, PIECE_BYTES), open_, report, reached
                )
                _put(repository, location, digest, 0, None, report)
            return
        except RegistryFailure as failure:
            attempt += 1
            if failure.status == 413 and whole:
                location, least = _begin(repository)
                whole, reached = False, 0
                continue
            gone = failure.status == 404 or failure.code == "BLOB_UPLOAD_UNKNOWN"
            if attempt >= backoff.ATTEMPTS or not (failure.temporary or gone):
                raise
        session.pause(attempt)
        before = reached
        location, reached, least = _resumed(repository, location, size, least)
        whole = reached == 0
        attempt = 0 if reached > before else attempt


def _base(repository: Repository) -> str:
    return f"/{quote(repository.path)}/blobs/uploads/"


def _begin(repository: Repository) -> tuple[str, int]:
    """An upload's location, and the smallest piece that the registry takes."""
    answer = repository.session.request(
        "POST",
        _base(repository),
        scope=repository.scope("pull", "push"),
        headers={"Content-Length": "0"},
        expect=(202,),
    )
    failpoints.hit("push.upload-begun")
    return _location(repository, answer, _base(repository)), _least(answer)


def _resumed(repository: Repository, location: str, size: int, least: int) -> tuple[str, int, int]:
    """Where an upload stands that was cut off: (location, bytes that are there, smallest piece)."""
    try:
        answer = repository.session.request(
            "GET", location, scope=repository.scope("pull", "push"), expect=(204, 200, 202)
        )
    except RegistryFailure as failure:
        if failure.temporary:
            raise
        return (*_begin_again(repository), least)
    span = answer.headers.get("Range", "").removeprefix("bytes=")
    _, dash, last = span.partition("-")
    there = int(last) + 1 if dash and last.isascii() and last.isdigit() and last != "0" else 0
    if there >= size:
        drain(answer)
        return (*_begin_again(repository), least)
    return _location(repository, answer, location), there, least


def _begin_again(repository: Repository) -> tuple[str, int]:
    location, _ = _begin(repository)
    return location, 0


def _put(
    repository: Repository, location: str, digest: str, size: int, open_: Open | None, report: Report
) -> None:
    """The whole blob, or the end of its pieces."""
    joined = "&" if "?" in location else "?"
    answer = repository.session.request(
        "PUT",
        f"{location}{joined}{urlencode({'digest': digest})}",
        scope=repository.scope("pull", "push"),
        headers={"Content-Type": "application/octet-stream", "Content-Length": str(size)},
        body=(lambda: _read(open_, 0, size, report)) if open_ else list,
        expect=(201, 204),
        retry=False,
    )
    drain(answer)


def _pieces(
    repository: Repository, location: str, size: int, piece: int, open_: Open, report: Report, start: int
) -> str:
    """PATCH from `start` to the end; returns the location that the end goes to."""
    while start < size:
        end = min(start + piece, size)
        answer = repository.session.request(
            "PATCH",
            location,
            scope=repository.scope("pull", "push"),
            headers={
                "Content-Type": "application/octet-stream",
                "Content-Length": str(end - start),
                "Content-Range": f"{start}-{end - 1}",
            },
            body=_sender(open_, start, end, report),
            expect=(202, 201, 204),
            retry=False,
        )
        location = _location(repository, answer, location)
        start = end
    return location


def _sender(open_: Open, start: int, end: int, report: Report) -> Callable[[], Iterable[bytes]]:
    return lambda: _read(open_, start, end, report)


def _read(open_: Open, start: int, end: int, report: Report) -> Iterator[bytes]:
    with open_() as file:
        file.seek(start)
        while start < end:
            data = file.read(min(READ_BYTES, end - start))
            if not data:
                return
            yield data
            start += len(data)
            report(start)
            failpoints.hit("push.sent")


def _location(repository: Repository, answer: BaseHTTPResponse, before: str) -> str:
    """Absolute; a host of its own gets no credentials (session.py)."""
    found = answer.headers.get("Location", "")
    drain(answer)
    base = repository.session.url(before)
    return urljoin(base, found) if found else base


def _least(answer: BaseHTTPResponse) -> int:
    text = answer.headers.get("OCI-Chunk-Min-Length", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 12 else 0


def _give_up(repository: Repository, location: str) -> None:
    """Tell the registry that nothing comes; what it answers does not matter."""
    try:
        drain(
            repository.session.request(
                "DELETE", location, scope=repository.scope("pull", "push"), expect=(202, 204), retry=False
            )
        )
    except RegistryFailure:
        return
