"""One registry as one user sees it: challenges answered, redirects followed, temporary failures tried again.

    session.request("GET", "/a/b/manifests/latest", scope="repository:a/b:pull") -> answer

A redirect to another host carries neither Authorization nor the endpoint's own headers. Tokens are kept for
the engine's life, by realm, service, scope and who asked, until a little before they expire.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import TypeVar
from urllib.parse import urlencode, urljoin

import msgspec
from urllib3.exceptions import HTTPError
from urllib3.response import BaseHTTPResponse

from onggi.errors import Forbidden
from onggi.registry import backoff, failures
from onggi.registry.connections import Connections, Target, reason
from onggi.registry.credentials import Challenge, Credentials, challenges
from onggi.registry.endpoints import Endpoint
from onggi.registry.failures import RegistryFailure, Unreachable

REDIRECTS_MAX = 5
REDIRECTS = frozenset((301, 302, 303, 307, 308))
TOKEN_BYTES = 1 << 20
MARGIN_S = 10.0
CLIENT_ID = "onggi"
Body = Callable[[], Iterable[bytes]]
T = TypeVar("T")


class Token(msgspec.Struct, frozen=True):
    """What a token server answers; `token` and `access_token` mean the same."""

    token: str = ""
    access_token: str = ""
    refresh_token: str = ""
    expires_in: int = 60


class Tokens:
    """Bearer tokens that still hold; shared by all jobs."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: dict[tuple[str, ...], tuple[str, float]] = {}

    def get(self, key: tuple[str, ...]) -> str:
        with self._lock:
            text, until = self._held.get(key, ("", 0.0))
            return text if time.monotonic() < until else ""

    def put(self, key: tuple[str, ...], text: str, seconds: float) -> None:
        with self._lock:
            now = time.monotonic()
            self._held = {known: one for known, one in self._held.items() if one[1] > now}
            self._held[key] = (text, now + seconds - MARGIN_S)

    def drop(self, key: tuple[str, ...]) -> None:
        with self._lock:
            self._held.pop(key, None)


class Session:
    """One endpoint for one job. Its methods may be called from several threads."""

    def __init__(
        self,
        connections: Connections,
        endpoint: Endpoint,
        credentials: Credentials,
        tokens: Tokens,
        *,
        first_pause_s: float = backoff.FIRST_S,
        unfinished: dict[tuple[str, str, str], str] | None = None,
        attempts: int = backoff.ATTEMPTS,
    ) -> None:
        self.endpoint = endpoint
        self.attempts = attempts  # of anything that failed and may do later
        self.unfinished = {} if unfinished is None else unfinished  # uploads.py: where pushes were cut off
        self.connections = connections
        self._credentials = credentials
        self._tokens = tokens
        self._first_pause_s = first_pause_s
        self._host = Target(endpoint.root)
        self._challenges: list[Challenge] = []
        self.answered = False

    @property
    def host(self) -> str:
        return self.endpoint.base.partition("://")[2]

    def request(
        self,
        method: str,
        path: str,
        *,
        scope: str = "",
        headers: dict[str, str] | None = None,
        body: Body | None = None,
        expect: tuple[int, ...] = (200,),
        retry: bool = True,
    ) -> BaseHTTPResponse:
        """An answer with one of the expected statuses, its body not yet read; `path` may be a whole URL.

        Raises RegistryFailure for any other, Unreachable, Forbidden, Cancelled.
        """
        target = self.url(path)

        def once() -> BaseHTTPResponse:
            answer = self._once(method, target, scope, headers or {}, body)
            self.answered = True
            if answer.status not in expect:
                raise self.failure(answer, target)
            return answer

        return self._tried(once) if retry else once()

    def _tried(self, once: Callable[[], T]) -> T:
        """Again, after what is temporary. Raises what the last try raised."""
        attempt = 0
        while True:
            attempt += 1
            try:
                return once()
            except Unreachable as error:
                if not (self.answered or error.cut):
                    raise
                failure: RegistryFailure = error
            except RegistryFailure as error:  # also of the token server: it may be busy, too
                failure = error
            if not failure.temporary or attempt >= self.attempts:
                raise failure
            if backoff.too_long(failure.retry_after):
                raise failure  # to wait for hours, or to come earlier than asked, would both be wrong
            self.connections.wait(backoff.pause(attempt, failure.retry_after, first=self._first_pause_s))

    def login(self) -> str:
        """Whether the registry knows us: its identity token, where it gives one. Raises RegistryFailure."""
        drain(self.request("GET", "/"))
        for challenge in self._challenges:
            if challenge.scheme == "bearer" and self._credentials.username:
                asked = challenge.parameters
                realm, service = asked.get("realm", ""), asked.get("service", "")
                ask = partial(self.ask_token, realm, service, "", offline=True)
                return self._tried(ask).refresh_token
        return ""

    def pause(self, attempt: int) -> None:
        """Wait as after a failed try. Raises Cancelled."""
        self.connections.wait(backoff.pause(attempt, first=self._first_pause_s))

    def read(self, answer: BaseHTTPResponse, limit: int, what: str) -> bytes:
        """A whole body of `limit` bytes at most. Raises RegistryFailure, Unreachable."""
        data = b""
        try:
            while len(data) <= limit and (piece := answer.read(limit + 1 - len(data))):
                data += piece  # a body that is too short is seen by the read after its last byte
        except (HTTPError, OSError) as error:
            self.connections.check()
            raise Unreachable("get", what, reason(error), cut=True) from None
        finally:
            answer.close() if max(_length(answer), len(data)) > limit else answer.release_conn()
        if not data:  # no document of the protocol is empty: the answer was cut off in its head
            raise Unreachable("get", what, "unexpected EOF", cut=True)
        if len(data) > limit:
            raise RegistryFailure(200, "SIZE_INVALID", f"{what} has more than {limit} bytes", what)
        return data

    def url(self, path: str) -> str:
        return path if "://" in path else self.endpoint.root + path

    def failure(self, answer: BaseHTTPResponse, url: str) -> RegistryFailure:
        """What an unexpected answer says; its connection is given up."""
        try:
            body = answer.read(failures.BODY_BYTES)
        except (HTTPError, OSError):
            body = b""
        answer.close()
        return failures.read(answer.status, body, url, dict(answer.headers))

    # ------------------------------------------------------------------------------ one try

    def _once(
        self, method: str, url: str, scope: str, headers: dict[str, str], body: Body | None
    ) -> BaseHTTPResponse:
        target = self._led(self._host, url)  # an upload's location is the registry's word, too
        answer = self._follow(method, target, self._authorized(scope, headers), body)
        if answer.status != 401:
            return answer
        found = challenges(answer.headers.getlist("WWW-Authenticate"))
        try:
            given = self._authorization(found, scope, fresh="Authorization" in self._authorized(scope, {}))
        except BaseException:
            answer.close()
            raise
        if not given:
            return answer
        self._challenges = found
        drain(answer)
        return self._follow(method, target, {**headers, "Authorization": given}, body)

    def _authorized(self, scope: str, headers: dict[str, str]) -> dict[str, str]:
        """With what the last challenge asked for, as far as it is at hand."""
        if not self._challenges:
            return headers
        given = self._authorization(self._challenges, scope, fresh=False, ask=False)
        return {**headers, "Authorization": given} if given else headers

    def _follow(
        self, method: str, target: Target, headers: dict[str, str], body: Body | None
    ) -> BaseHTTPResponse:
        origin, sent, status = "", headers, 0
        for _ in range(REDIRECTS_MAX):
            ours = target.host_key == self._host.host_key
            if ours:
                sent = {**dict(self.endpoint.headers), **sent}
            elif not origin:
                sent, origin = _anonymous(headers), self._origin()
            answer = self.connections.send(
                method, target, sent, tls=self.endpoint.tls, origin=origin, body=body() if body else None
            )
            location = answer.headers.get("Location", "")
            if answer.status not in REDIRECTS or not location or method in ("POST", "PATCH", "PUT"):
                return answer
            drain(answer)
            target, status = self._led(target, location), answer.status
        raise RegistryFailure(status, "UNSUPPORTED", f"more than {REDIRECTS_MAX} redirects", target.url)

    def _led(self, target: Target, location: str) -> Target:
        """Where a registry's word leads. Raises Forbidden."""
        found = Target(urljoin(target.url, location))
        if target.scheme == "https" and found.scheme == "http":
            raise Forbidden(f"the registry leads from https to {found.url.partition('?')[0]}: refused")
        return found

    def _origin(self) -> str:
        return self.connections.kind(self._host)

    # ------------------------------------------------------------------------------ tokens

    def _authorization(self, found: list[Challenge], scope: str, *, fresh: bool, ask: bool = True) -> str:
        """The header's value that answers the challenges; empty where we have nothing to answer with."""
        for challenge in found:
            if challenge.scheme == "bearer":
                if self._credentials.registry_token:
                    return "" if fresh else f"Bearer {self._credentials.registry_token}"
                text = self.token(challenge.parameters, scope, fresh=fresh, ask=ask)
                return f"Bearer {text}" if text else ""
        for challenge in found:
            if challenge.scheme == "basic" and self._credentials.username:
                return "" if fresh else self._credentials.basic
        return ""

    def token(self, parameters: dict[str, str], scope: str, *, fresh: bool = False, ask: bool = True) -> str:
        """A bearer token for a scope, from what is held or from the token server."""
        realm, service = parameters.get("realm", ""), parameters.get("service", "")
        scope = scope or parameters.get("scope", "")
        key = (realm, service, scope, self._credentials.key)
        if fresh:
            self._tokens.drop(key)
        held = self._tokens.get(key)
        if held or not ask:
            return held
        got = self.ask_token(realm, service, scope)
        text = got.token or got.access_token
        if not text or any(ord(letter) < 33 or ord(letter) > 126 for letter in text):
            raise RegistryFailure(200, "UNAUTHORIZED", f"{realm}: the answer holds no token", realm)
        self._tokens.put(key, text, min(max(got.expires_in, 60), 86400))
        return text

    def ask_token(self, realm: str, service: str, scope: str, *, offline: bool = False) -> Token:
        """Ask the server that the registry names. Raises RegistryFailure, Forbidden, Unreachable."""
        target = Target(urljoin(self._host.url, realm))
        who = self._credentials
        if who and target.scheme == "http" and self._host.scheme == "https":
            raise Forbidden(f"the token server {target.url} is without TLS: no credentials are sent to it")
        asked = [("service", service)] if service else []
        asked += [("scope", one) for one in scope.split(" ") if one]
        headers, method, body = {}, "GET", b""
        if who.identity_token:
            method, headers = "POST", {"Content-Type": "application/x-www-form-urlencoded"}
            form = [("grant_type", "refresh_token"), ("refresh_token", who.identity_token)]
            body = urlencode(
                [*form, ("client_id", CLIENT_ID), ("service", service), ("scope", scope)]
            ).encode()
        else:
            if offline:
                asked += [("offline_token", "true"), ("client_id", CLIENT_ID)]
            if who.username:
                asked.append(("account", who.username))
                headers = {"Authorization": who.basic}
            joined = "&" if "?" in target.url else "?"
            target = Target(target.url + joined + urlencode(asked)) if asked else target
        answer = self.connections.send(
            method, target, headers, tls=self.endpoint.tls, origin=self._origin(), body=body or None
        )
        if answer.status != 200:
            raise self.failure(answer, target.url.partition("?")[0])
        try:
            return msgspec.json.decode(self.read(answer, TOKEN_BYTES, realm), type=Token)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise RegistryFailure(200, "UNAUTHORIZED", f"{realm}: the answer is no token", realm) from None


def drain(answer: BaseHTTPResponse) -> None:
    """Read a short rest, so that the connection can be used again; a long one costs the connection."""
    try:
        if len(answer.read(failures.BODY_BYTES)) < failures.BODY_BYTES:
            answer.release_conn()
            return
    except (HTTPError, OSError):
        pass
    answer.close()


def _length(answer: BaseHTTPResponse) -> int:
    text = answer.headers.get("Content-Length", "")
    return int(text) if text.isascii() and text.isdigit() else 0


def _anonymous(headers: dict[str, str]) -> dict[str, str]:
    """What another host may see."""
    return {name: value for name, value in headers.items() if name.lower() != "authorization"}
