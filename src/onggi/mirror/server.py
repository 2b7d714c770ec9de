"""The cache over HTTP: the reading half of the distribution API, in threads, on a loopback address.

    GET|HEAD /v2/                              GET|HEAD /v2/PATH/manifests/REFERENCE
    GET|HEAD /v2/PATH/blobs/DIGEST  (Range)    GET /v2/PATH/tags/list      GET /v2/PATH/referrers/DIGEST

`?ns=DOMAIN` says which registry is meant, as containerd and our own engine write it; without it the first
upstream is. Answers carry `X-Cache: hit|miss|shared|stale`. A Host header that is no name of this machine's
loopback is refused: a web page must not read through us (DNS rebinding). Nothing can be pushed.
Source: OCI distribution-spec 1.1, "Pull"; RFC 9110, section 14 (ranges).
"""

from __future__ import annotations

import ipaddress
import logging
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

import msgspec

from onggi.errors import Corrupt, InvalidParameter, NotFound, OnggiError, TooLarge, Unavailable
from onggi.mirror.cache import Cache
from onggi.registry.failures import RegistryFailure
from onggi.spec import digest as digests
from onggi.spec import image as documents
from onggi.spec import reference as references

log = logging.getLogger(__name__)

CLIENTS_MAX = 256
IDLE_S = 120
KINDS = ("manifests", "blobs", "tags", "referrers")
UNKNOWN = {"manifests": "MANIFEST_UNKNOWN", "blobs": "BLOB_UNKNOWN"}


class Asked(msgspec.Struct, frozen=True):
    """What a request is about."""

    domain: str
    path: str
    kind: str
    name: str  # reference, digest, or `list`
    artifact_type: str = ""


def asked(target: str, upstreams: tuple[str, ...]) -> Asked:
    """Read a request's target. Raises NotFound, InvalidParameter."""
    url = urlsplit(target)
    query = parse_qs(url.query)
    parts = unquote(url.path).removeprefix("/v2/").rsplit("/", 2)
    if not url.path.startswith("/v2/") or len(parts) != 3 or parts[1] not in KINDS:
        raise NotFound(f"page not found: {url.path}")
    path, kind, name = parts
    domain = query.get("ns", [upstreams[0]])[0]
    if domain not in upstreams:
        raise NotFound(f"this cache is not for {domain}: it is for {', '.join(upstreams)} (--upstream)")
    named = references.parse(f"{domain}/{path}")
    if (named.domain, named.tag, named.digest) != (domain, "", "") or named.path not in (
        path,
        f"library/{path}",
    ):
        raise InvalidParameter(f"invalid repository name: {path}")
    if kind in ("blobs", "referrers"):
        digests.check(name)
    elif kind == "manifests" and not digests.is_digest(name):
        references.check_tag(name)
    elif kind == "tags" and name != "list":
        raise NotFound(f"page not found: {url.path}")
    return Asked(domain, named.path, kind, name, query.get("artifactType", [""])[0])


def span(header: str, size: int) -> tuple[int, int] | None:
    """The one range that a Range header asks for, as [start, end); None for all. Raises IndexError."""
    unit, _, ranges = header.partition("=")
    first, dash, last = ranges.strip().partition("-")
    if unit.strip() != "bytes" or not dash or "," in ranges:
        return None  # RFC 9110: what is not understood is ignored
    if not all(text.isascii() and (text.isdigit() or not text) and len(text) < 19 for text in (first, last)):
        return None
    if not first:
        if not last:
            return None
        if int(last) == 0:
            raise IndexError
        return max(0, size - int(last)), size
    start, end = int(first), min(int(last) + 1, size) if last else size
    if start >= size or start >= end:
        raise IndexError
    return start, end


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server_version, sys_version = "onggi", ""
    timeout = IDLE_S
    server: Server

    def log_message(self, format: str, *args: object) -> None:
        log.debug(format, *args)

    def do_GET(self) -> None:
        self.sent = 0
        try:
            self._check_host()
            if self.path.partition("?")[0] in ("/v2", "/v2/"):
                self._document(200, b"{}")
                return
            found = asked(self.path, self.server.upstreams)
            how = getattr(self, f"_{found.kind}")(found)
            log.info("%s %s/%s %s: %s", self.command, found.domain, found.path, found.name, how)
        except OnggiError as error:
            self._refuse(error)
        except (ConnectionError, TimeoutError):
            self.close_connection = True  # the client has gone

    do_HEAD = do_GET

    def _not_here(self) -> None:
        self.close_connection = True  # its body is not read
        self._document(
            405, _errors("UNSUPPORTED", "this is a pull-through cache: nothing can be pushed to it")
        )

    do_POST = do_PUT = do_PATCH = do_DELETE = _not_here

    def _check_host(self) -> None:
        host = self.headers.get("Host", "")
        name = host.rpartition("]")[0][1:] if host.startswith("[") else host.partition(":")[0]
        if name and name != "localhost" and not is_loopback(name):
            raise InvalidParameter(f"Host: {host[:80]!r} is not an address of this cache")

    # ------------------------------------------------------------------------------ kinds

    def _manifests(self, found: Asked) -> str:
        manifest = self.server.cache.manifest(found.domain, found.path, found.name)
        data = self.server.cache.document(manifest.held.digest)
        headers = {
            "Content-Type": manifest.held.media_type,
            "Docker-Content-Digest": manifest.held.digest,
            "ETag": f'"{manifest.held.digest}"',
            "X-Cache": manifest.how,
        }
        if manifest.stale:
            headers["Warning"] = '110 - "Response is Stale"'
        self._document(200, data, headers)
        return manifest.how

    def _blobs(self, found: Asked) -> str:
        size, here = self.server.cache.blob_size(found.domain, found.path, found.name)
        try:
            part = span(self.headers.get("Range", ""), size)
        except IndexError:
            self._document(416, b"", {"Content-Range": f"bytes */{size}"})
            return "416"
        start, end = part or (0, size)
        headers = {"Docker-Content-Digest": found.name, "Accept-Ranges": "bytes"}
        if part:
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
        status = 206 if part else 200
        if self.command == "HEAD" or here:
            return self._local(found, status, headers, start, end)
        download, shared = self.server.cache.fetch(found.domain, found.path, found.name, size)
        try:
            how = "shared" if shared else "miss"
            self._head(status, {**headers, "X-Cache": how}, end - start)
            for piece in download.read(start, end):
                self.sent += len(piece)
                self.wfile.write(piece)
            return how
        finally:
            download.leave()

    def _local(self, found: Asked, status: int, headers: dict[str, str], start: int, end: int) -> str:
        if self.command == "HEAD":
            self._head(status, headers, end - start)
            return "head"
        with self.server.cache.blobs.open(found.name) as file:
            self._head(status, {**headers, "X-Cache": "hit"}, end - start)
            if end > start:
                self.sent += self.connection.sendfile(file, start, end - start)
        return "hit"

    def _tags(self, found: Asked) -> str:
        listed = self.server.cache.tags(found.domain, found.path)
        self._document(200, msgspec.json.encode({"name": found.path, "tags": listed}))
        return "asked"

    def _referrers(self, found: Asked) -> str:
        cache = self.server.cache
        index = cache.referrers(found.domain, found.path, found.name, found.artifact_type)
        self._document(200, documents.encode(index), {"Content-Type": documents.OCI_INDEX})
        return "asked"

    # ------------------------------------------------------------------------------ answers

    def _head(self, status: int, headers: dict[str, str], length: int) -> None:
        self.send_response(status)
        kind = {"Content-Type": "application/octet-stream", "Content-Length": str(length)}
        for name, value in {**kind, **headers}.items():
            self.send_header(name, value)
        self.send_header("Docker-Distribution-Api-Version", "registry/2.0")
        self.end_headers()
        self.sent = 1

    def _document(self, status: int, data: bytes, headers: dict[str, str] | None = None) -> None:
        self._head(status, {"Content-Type": "application/json", **(headers or {})}, len(data))
        if self.command != "HEAD":
            self.wfile.write(data)

    def _refuse(self, error: OnggiError) -> None:
        """As an error of the protocol; where an answer has begun, by breaking it off."""
        log.warning("%s %s: %s", self.command, self.path[:300], error.message)
        if self.sent:
            self.close_connection = True
            return
        status, code = _status(error, self.path)
        pause = error.retry_after if isinstance(error, RegistryFailure) else ""
        headers = {"Retry-After": pause} if pause and pause.isprintable() else {}
        self._document(status, _errors(code, error.message), headers)


class Server(ThreadingHTTPServer):
    """Accepts; a thread for each connection, CLIENTS_MAX at most."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], cache: Cache, upstreams: tuple[str, ...]) -> None:
        self.cache = cache
        self.upstreams = upstreams
        self._slots = threading.BoundedSemaphore(CLIENTS_MAX)
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        super().__init__(address, Handler)

    def process_request(self, request: object, client_address: object) -> None:
        self._slots.acquire()
        try:
            super().process_request(request, client_address)  # type: ignore[arg-type]
        except BaseException:
            self._slots.release()
            raise

    def process_request_thread(self, request: object, client_address: object) -> None:
        try:
            super().process_request_thread(request, client_address)  # type: ignore[arg-type]
        finally:
            self._slots.release()

    def handle_error(self, request: object, client_address: object) -> None:
        log.error("a request failed", exc_info=True)


def is_loopback(text: str) -> bool:
    try:
        return ipaddress.ip_address(text).is_loopback
    except ValueError:
        return False


def _status(error: OnggiError, path: str) -> tuple[int, str]:
    """What upstream refuses to us is "not found" to a client: it then asks upstream itself, as somebody."""
    kind = next((kind for kind in KINDS if f"/{kind}/" in path), "")
    unknown = UNKNOWN.get(kind, "NAME_UNKNOWN")
    if isinstance(error, RegistryFailure):
        if error.status == 429:
            return 429, "TOOMANYREQUESTS"
        return (404, unknown) if 400 <= error.status < 500 else (502, "UNAVAILABLE")
    if isinstance(error, NotFound | TooLarge):
        return 404, unknown
    if isinstance(error, InvalidParameter):
        return 400, "NAME_INVALID"
    return (502 if isinstance(error, Corrupt | Unavailable) else 500), "UNAVAILABLE"


def _errors(code: str, message: str) -> bytes:
    return msgspec.json.encode({"errors": [{"code": code, "message": message}]})
