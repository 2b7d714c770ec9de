"""A token server as registries know it, and the part of docker-registry's settings that believes it.

    with token_server(tmp_path, {"ann": "secret"}) as server, registry(tmp_path, extra=server.settings): ...

GET with a password gives access tokens (and a refresh token, where offline_token=true is asked for);
POST with grant_type=refresh_token takes one. Source: distribution's docs/spec/auth. Tokens are JWTs that the
real registry verifies. `server.asked` has (method, path, headers, form) of each request.
"""

from __future__ import annotations

import base64
import contextlib
import json
import secrets
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.x509 import load_pem_x509_certificate

from tests.conformance.clients import certificates

SERVICE, ISSUER = "test-registry", "test-issuer"


class TokenServer:
    """Its users, its key and what it was asked."""

    def __init__(self, users: dict[str, str], directory: Path) -> None:
        self.users = users
        self.authority = certificates.authority(directory, "issuer")
        key = serialization.load_pem_private_key((directory / "issuer-key.pem").read_bytes(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        self._key = key
        found = load_pem_x509_certificate(self.authority.read_bytes())
        self._chain = base64.b64encode(found.public_bytes(serialization.Encoding.DER)).decode()
        self.refresh: dict[str, str] = {}  # token -> user
        self.asked: list[tuple[str, str, dict[str, str], dict[str, list[str]]]] = []
        self.busy: list[int] = []  # statuses that are answered first
        self.port = 0

    @property
    def realm(self) -> str:
        return f"http://127.0.0.1:{self.port}/token"

    @property
    def settings(self) -> str:
        return (
            f"auth:\n  token:\n    realm: {self.realm}\n    service: {SERVICE}\n    issuer: {ISSUER}\n"
            f"    rootcertbundle: {self.authority}\n"
        )

    def signed(self, user: str, scopes: list[str]) -> str:
        now = int(time.time())
        access = []
        for scope in scopes:
            kind, name, actions = scope.split(":")
            access.append({"type": kind, "name": name, "actions": actions.split(",")})
        head = {"typ": "JWT", "alg": "ES256", "x5c": [self._chain]}
        claims = {
            "iss": ISSUER, "sub": user, "aud": SERVICE, "nbf": now - 10, "iat": now, "exp": now + 300,
            "jti": secrets.token_hex(8), "access": access,
        }  # fmt: skip
        text = f"{_packed(json.dumps(head).encode())}.{_packed(json.dumps(claims).encode())}"
        first, second = decode_dss_signature(self._key.sign(text.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{text}.{_packed(first.to_bytes(32, 'big') + second.to_bytes(32, 'big'))}"


def _packed(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class _Handler(BaseHTTPRequestHandler):
    @property
    def owner(self) -> TokenServer:
        return self.server.owner  # type: ignore[attr-defined,no-any-return]

    def log_message(self, format: str, *args: object) -> None:
        return

    def do_GET(self) -> None:
        query = parse_qs(urlsplit(self.path).query)
        self.owner.asked.append(("GET", self.path, dict(self.headers), {}))
        user = self._by_password()
        if self._refused(user):
            return
        scopes = [one for item in query.get("scope", []) for one in item.split(" ") if one]
        answer = {"token": self.owner.signed(user, scopes), "expires_in": 300}
        if query.get("offline_token") == ["true"]:
            refresh = "refresh-" + secrets.token_hex(16)
            self.owner.refresh[refresh] = user
            answer["refresh_token"] = refresh
        self._answer(200, answer)

    def do_POST(self) -> None:
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        self.owner.asked.append(("POST", self.path, dict(self.headers), form))
        good = form.get("grant_type") == ["refresh_token"] and "client_id" in form
        user = self.owner.refresh.get(form.get("refresh_token", [""])[0], "") if good else ""
        if self._refused(user):
            return
        scopes = form.get("scope", [""])[0].split()
        self._answer(200, {"access_token": self.owner.signed(user, scopes), "expires_in": 300})

    def _by_password(self) -> str:
        word = self.headers.get("Authorization", "").removeprefix("Basic ")
        user, _, password = base64.b64decode(word).decode().partition(":")
        return user if user and self.owner.users.get(user) == password else ""

    def _refused(self, user: str) -> bool:
        if self.owner.busy:
            self._answer(self.owner.busy.pop(), {"details": "busy"}, retry_after="0")
            return True
        if not user:
            self._answer(401, {"details": "incorrect username or password"})
        return not user

    def _answer(self, status: int, document: object, retry_after: str = "") -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if retry_after:
            self.send_header("Retry-After", retry_after)
        self.end_headers()
        self.wfile.write(body)


@contextlib.contextmanager
def token_server(directory: Path, users: dict[str, str]) -> Iterator[TokenServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    owner = server.owner = TokenServer(users, directory)  # type: ignore[attr-defined]
    owner.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield owner
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
