"""Blobs on their way to a registry: skipped where they are, mounted where a neighbour has them, else sent.

    POST /v2/PATH/blobs/uploads/?mount=DIGEST&from=NEIGHBOUR     201: it is there
    POST /v2/PATH/blobs/uploads/                                 202: Location
    PUT  Location?digest=DIGEST          the whole blob in one request
    PATCH Location (Content-Range) ...   PUT Location?digest=DIGEST          in pieces
    ...cut off:  GET Location (Range: 0-N)  ->  PATCH from N + 1 on

Registries differ in what they keep of a request that was cut off: some all of it, Debian's docker-registry
nothing, not even the pieces before. So a blob is sent as a whole first; what was kept is gone on with, and
where nothing was kept pieces are tried, whose requests are shorter than any patience of a proxy. A registry
that refuses the one manner gets the other. Where a push was given up, the next one in this engine's life asks
how far the last one came.
Source: OCI distribution-spec 1.1, "Pushing Blobs"; pieces of OCI-Chunk-Min-Length at least.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO
from urllib.parse import quote, urlencode, urljoin

from urllib3.response import BaseHTTPResponse

from onggi import failpoints
from onggi.registry.failures import RegistryFailure
from onggi.registry.repository import Repository
from onggi.registry.session import drain

READ_BYTES = 256 << 10
PIECE_BYTES = 32 << 20
UNFINISHED_MAX = 256
REFUSES_WHOLE = frozenset((405, 411, 413, 415, 501))
REFUSES_PIECES = frozenset((400, 405, 411, 415, 501))
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
    _Upload(repository, digest, size, open_, report).run()


class _Upload:
    """One blob on its way: where it goes, how far the registry says that it is, and in which manner."""

    def __init__(self, repository: Repository, digest: str, size: int, open_: Open, report: Report) -> None:
        self._repository = repository
        self._digest = digest
        self._size = size
        self._open = open_
        self._report = report
        self._location = ""
        self._reached = 0
        self._least = 0
        self._whole = True
        self._refused: set[bool] = set()  # manners that the registry did not take: whole or not
        self._in_piece = False
        self._key = (repository.session.endpoint.base, repository.path, digest)

    def run(self) -> None:
        """Send it; where that ends before its end, keep in mind where the upload is."""
        try:
            self._run()
        except BaseException as error:
            if self._location and (not isinstance(error, RegistryFailure) or error.temporary):
                self._remember()
            raise

    def _remember(self) -> None:
        unfinished = self._repository.session.unfinished
        unfinished[self._key] = self._location
        while len(unfinished) > UNFINISHED_MAX:
            unfinished.pop(next(iter(unfinished)), None)

    def _run(self) -> None:
        attempt = 0
        self._start()
        while True:
            try:
                self._send()
                return
            except RegistryFailure as failure:
                if self._other_manner(failure):
                    continue
                gone = failure.status in (404, 416) or failure.code == "BLOB_UPLOAD_UNKNOWN"
                attempt += 1
                if attempt >= self._repository.session.attempts or not (failure.temporary or gone):
                    raise
            before = self._reached
            self._repository.session.pause(attempt)
            self._go_on()
            attempt = 0 if self._reached > before else attempt

    def _start(self) -> None:
        """Anew, or where an earlier push of this blob was given up."""
        left = self._repository.session.unfinished.pop(self._key, "")
        if not left:
            self._begin()
            return
        self._location, self._whole = left, False
        self._ask_where()

    def _begin(self) -> None:
        self._reached = 0
        answer = self._repository.session.request(
            "POST",
            _base(self._repository),
            scope=self._repository.scope("pull", "push"),
            headers={"Content-Length": "0"},
            expect=(202,),
        )
        failpoints.hit("push.upload-begun")
        self._least = _least(answer)
        self._location = _location(self._repository, answer, _base(self._repository))

    def _send(self) -> None:
        if self._whole:
            self._put(self._size, lambda: _read(self._open, 0, self._size, self._report))
            return
        self._in_piece = True
        while self._reached < self._size:
            self._piece()
        self._in_piece = False
        self._put(0, list)

    def _piece(self) -> None:
        """PATCH the next piece; the registry says how far it came."""
        start = self._reached
        end = min(start + max(self._least, PIECE_BYTES), self._size)
        answer = self._request(
            "PATCH",
            self._location,
            end - start,
            lambda: _read(self._open, start, end, self._report),
            {"Content-Range": f"{start}-{end - 1}"},
            expect=(202, 201, 204),
        )
        there = _told(answer)
        self._location = _location(self._repository, answer, self._location)
        self._reached = there if start < there < end else end

    def _put(self, size: int, body: Callable[[], Iterable[bytes]]) -> None:
        """The whole blob, or the end of its pieces."""
        joined = "&" if "?" in self._location else "?"
        url = f"{self._location}{joined}{urlencode({'digest': self._digest})}"
        drain(self._request("PUT", url, size, body, {}, expect=(201, 204)))

    def _request(
        self,
        method: str,
        url: str,
        size: int,
        body: Callable[[], Iterable[bytes]],
        headers: dict[str, str],
        *,
        expect: tuple[int, ...],
    ) -> BaseHTTPResponse:
        """Tried once: what follows a failure is decided here, not by the session."""
        kind = {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
        return self._repository.session.request(
            method,
            url,
            scope=self._repository.scope("pull", "push"),
            headers={**kind, **headers},
            body=body,
            expect=expect,
            retry=False,
        )

    def _other_manner(self, failure: RegistryFailure) -> bool:
        """Begin again in pieces where a registry does not take a blob as a whole, and the other way round."""
        if self._whole:
            refused = failure.status in REFUSES_WHOLE
        else:
            refused = self._in_piece and failure.status in REFUSES_PIECES
        if not refused or (not self._whole) in self._refused:
            return False
        self._refused.add(self._whole)
        self._whole = not self._whole
        self._begin()
        return True

    def _go_on(self) -> None:
        """After a failure: from where the registry is; where it kept nothing, in pieces from now on."""
        self._ask_where()
        if self._whole and (self._reached or self._size > PIECE_BYTES) and False not in self._refused:
            self._whole = False

    def _ask_where(self) -> None:
        """How far an upload came that was cut off; a new one where the registry gave it up."""
        try:
            answer = self._repository.session.request(
                "GET",
                self._location,
                scope=self._repository.scope("pull", "push"),
                expect=(204, 200, 202),
            )
        except RegistryFailure as failure:
            if failure.temporary:
                raise
            self._begin()
            return
        there = _told(answer)
        if there > self._size:
            drain(answer)
            self._begin()
            return
        self._reached = there
        self._location = _location(self._repository, answer, self._location)


def _told(answer: BaseHTTPResponse) -> int:
    """Bytes that the registry has, by `Range: 0-LAST`; 0-0 is nothing yet (distribution writes it so)."""
    span = answer.headers.get("Range", "").removeprefix("bytes=")
    _, dash, last = span.partition("-")
    sane = dash and last.isascii() and last.isdigit() and len(last) < 19 and last != "0"
    return int(last) + 1 if sane else 0


def _base(repository: Repository) -> str:
    return f"/{quote(repository.path)}/blobs/uploads/"


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
