"""A registry that does what a test tells it: serves images, and breaks the protocol where it is asked to.

    with scripted() as one:
        one.serve("a/b", made, "1")
        one.rules.append(rule)      rule(handler) -> True when it has answered itself
        one.seen                    [(method, path, headers)]

`one.cut = n` ends the connection of the next GET or HEAD after n bytes of its answer, once.
"""

from __future__ import annotations

import contextlib
import io
import ssl
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.registries import OCI_MANIFEST, Made, digest

Rule = Callable[["Handler"], bool]


class Scripted:
    """Its documents and its rules."""

    def __init__(self) -> None:
        self.manifests: dict[str, tuple[str, bytes]] = {}
        self.blobs: dict[str, bytes] = {}
        self.rules: list[Rule] = []
        self.seen: list[tuple[str, str, dict[str, str]]] = []
        self.cut = -1
        self.cut_path = ""
        self.answer_bytes = 0
        self.port = 0
        self.address = "127.0.0.1"
        self.unfinished = ""  # the digest of a blob that a test leaves half way

    @property
    def host(self) -> str:
        return f"{self.address}:{self.port}"

    def serve(self, path: str, made: Made, tag: str) -> None:
        for reference in (tag, made.digest):
            self.manifests[f"{path}/{reference}"] = (OCI_MANIFEST, made.manifest)
        self.blobs |= made.blobs

    def paths(self, method: str = "GET") -> list[str]:
        return [path for verb, path, _ in self.seen if verb == method]


class Handler(BaseHTTPRequestHandler):
    """One request; `self.server.script` is the Scripted."""

    protocol_version = "HTTP/1.1"

    @property
    def script(self) -> Scripted:
        return self.server.script  # type: ignore[attr-defined,no-any-return]

    def log_message(self, format: str, *args: object) -> None:
        return

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        for name, value in {"Content-Length": str(len(body)), **named}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_GET(self) -> None:
        script = self.script
        script.seen.append((self.command, self.path, dict(self.headers)))
        if script.cut < 0 or script.cut_path not in self.path:
            self._respond()
            return
        count, script.cut = script.cut, -1
        real, self.wfile = self.wfile, io.BytesIO()
        self._respond()
        whole = self.wfile.getvalue()
        self.wfile = real
        script.answer_bytes = len(whole)
        self.wfile.write(whole[:count])
        self.close_connection = True

    do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_GET

    def body(self) -> bytes:
        """The request's, which a rule must read before it answers."""
        if self.headers.get("Transfer-Encoding", "") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", "0")))
        found = b""
        while size := int(self.rfile.readline(), 16):
            found += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return found

    def _respond(self) -> None:
        script = self.script
        if any(rule(self) for rule in script.rules):
            return
        kind, _, reference = self.path.partition("?")[0].removeprefix("/v2/").rpartition("/")
        if (
            kind.endswith("/manifests")
            and f"{kind.removesuffix('/manifests')}/{reference}" in script.manifests
        ):
            media_type, data = script.manifests[f"{kind.removesuffix('/manifests')}/{reference}"]
            self.answer(200, data, Content_Type=media_type, Docker_Content_Digest=digest(data))
        elif kind.endswith("/blobs") and reference in script.blobs:
            self._blob(script.blobs[reference])
        elif self.path == "/v2/":
            self.answer(200, b"{}")
        else:
            self.answer(404, b'{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}')

    def _blob(self, data: bytes) -> None:
        start = self.headers.get("Range", "").removeprefix("bytes=").partition("-")[0]
        if not start:
            self.answer(200, data)
            return
        span = f"bytes {start}-{len(data) - 1}/{len(data)}"
        self.answer(206, data[int(start) :], Content_Range=span)


@contextlib.contextmanager
def scripted(tls: tuple[Path, Path] | None = None, address: str = "127.0.0.1") -> Iterator[Scripted]:
    """`tls`: certificate and key."""
    server = ThreadingHTTPServer((address, 0), Handler)
    server.daemon_threads = True
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*tls)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    script = server.script = Scripted()  # type: ignore[attr-defined]
    script.port, script.address = server.server_address[1], address
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield script
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
