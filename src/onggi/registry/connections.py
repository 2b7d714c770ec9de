"""Connections to registries: urllib3 pools of one job, one answer for each request, no redirects, no retries.

Every new connection is judged by policy.py before a byte goes out. `cancel` cuts all that is open, so that a
thread that waits for a silent registry comes back at once. Bodies are streamed in both directions.
Not here: who we are (session.py), when to try again (backoff.py).
"""

from __future__ import annotations

import base64
import contextlib
import socket
import ssl
import threading
from collections.abc import Iterable
from urllib.parse import urlsplit

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError, InsecureRequestWarning, ProtocolError
from urllib3.response import BaseHTTPResponse

from onggi.errors import Forbidden, InvalidParameter, System, Unavailable
from onggi.registry import policy
from onggi.registry.endpoints import TLS
from onggi.registry.failures import Unreachable
from onggi.registry.proxies import Proxies, parted, shown

CONNECT_S, READ_S = 15.0, 60.0
DIRECT = Proxies()
BLOCK_BYTES = 1 << 20

urllib3.disable_warnings(InsecureRequestWarning)  # unverified only where the administrator said so


class Cancelled(System):
    """The job was given up while it spoke to a registry."""

    def __init__(self) -> None:
        super().__init__("context canceled")


class Target:
    """A parsed URL; `host_key` is what credentials are bound to. Raises InvalidParameter."""

    __slots__ = ("host", "path", "port", "scheme", "url")

    def __init__(self, url: str) -> None:
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise InvalidParameter(f"invalid URL {url!r}") from None
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InvalidParameter(f"invalid URL {url!r}: neither http nor https, or without a host")
        if parts.username or parts.password:
            raise InvalidParameter(
                f"invalid URL {parts.scheme}://xxxxx@{parts.hostname}: it carries a password"
            )
        if any(ord(letter) < 33 or ord(letter) == 127 for letter in url):
            raise InvalidParameter(f"invalid URL {url!r}: it has control characters")
        self.scheme, self.host = parts.scheme, parts.hostname
        self.port = port or (443 if parts.scheme == "https" else 80)
        self.path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self.url = url

    @property
    def host_key(self) -> tuple[str, str, int]:
        return (self.scheme, self.host, self.port)


class _Watched:
    """What both kinds of connection share: the owner hears of them, and foreign words are judged."""

    owner: Connections
    origin: str  # kind of the registry's address, for a host that a registry pointed to; else empty


class _Plain(_Watched, HTTPConnection):
    def _new_conn(self) -> socket.socket:
        return self.owner.judged(self, super()._new_conn(), self.origin)


class _Secure(_Watched, HTTPSConnection):
    def _new_conn(self) -> socket.socket:
        return self.owner.judged(self, super()._new_conn(), self.origin)

    def connect(self) -> None:
        try:
            super().connect()
        finally:
            self.owner.greeted(self)


class Connections:
    """All connections of one job. Its methods may be called from several threads."""

    def __init__(
        self,
        *,
        user_agent: str,
        offline: bool = False,
        proxies: Proxies = DIRECT,
        connect_s: float = CONNECT_S,
        read_s: float = READ_S,
    ) -> None:
        self.offline = offline
        self._proxies = proxies
        self.cancelled = threading.Event()
        self._user_agent = user_agent
        self._timeout = urllib3.Timeout(connect=connect_s, read=read_s)
        self._pools: dict[tuple[str, str, int, TLS, str], urllib3.HTTPConnectionPool] = {}
        self._open: set[HTTPConnection] = set()
        self._greeting: dict[HTTPConnection, socket.socket] = {}  # in the midst of a TLS handshake
        self._kinds: dict[tuple[str, int], str] = {}
        self._lock = threading.Lock()

    def send(
        self,
        method: str,
        target: Target,
        headers: dict[str, str],
        *,
        tls: TLS,
        origin: str = "",
        body: bytes | Iterable[bytes] | None = None,
    ) -> BaseHTTPResponse:
        """One request, one answer, its body not yet read.

        Raises Unreachable, Forbidden (a host that may not be led to), Cancelled, Unavailable (offline).
        """
        if self.offline:
            raise Unavailable(f"the engine is offline (--offline): {method} {target.url} was not sent")
        self.check()
        proxy = self._proxies.of(target.scheme, target.host, target.port)
        path, more = target.path, {}
        if proxy and target.scheme == "http":  # RFC 9112, section 3.2.2: the absolute form
            path, more = target.url, _to_proxy(proxy)
        try:
            return self._pool(target, tls, origin, proxy).urlopen(
                method,
                path,
                body=body,
                headers={"User-Agent": self._user_agent, **headers, **more},
                retries=False,
                redirect=False,
                preload_content=False,
                decode_content=False,
                assert_same_host=False,
            )
        except (HTTPError, OSError, ssl.SSLError) as error:
            self.check()
            through = f"{reason(error)} (proxy {shown(proxy)})" if proxy else reason(error)
            raise Unreachable(method, target.url, through, cut=isinstance(error, ProtocolError)) from None

    def kind(self, target: Target) -> str:
        """The kind of the address that a host was reached at."""
        return self._kinds.get((target.host, target.port), policy.OTHER)

    def judged(self, connection: HTTPConnection, sock: socket.socket, origin: str) -> socket.socket:
        """Let a new connection pass, or not. Raises Forbidden, Cancelled."""
        address = str(sock.getpeername()[0])
        found = policy.kind(address)
        if origin and not policy.allowed(origin, found):
            sock.close()
            raise Forbidden(f"the registry leads to {connection.host}, which is {found} ({address}): refused")
        with self._lock:
            self._kinds[(connection.host, connection.port)] = found
            self._open.add(connection)
            if isinstance(connection, HTTPSConnection):  # whose own is out of reach until the handshake's end
                self._greeting[connection] = sock.dup()
        if self.cancelled.is_set():  # while it was made
            sock.close()
            raise Cancelled
        return sock

    def greeted(self, connection: HTTPConnection) -> None:
        """The handshake of a connection is over, well or not."""
        with self._lock:
            twin = self._greeting.pop(connection, None)
        if twin is not None:
            twin.close()

    def check(self) -> None:
        """Raises Cancelled."""
        if self.cancelled.is_set():
            raise Cancelled

    def wait(self, seconds: float) -> None:
        """Pause before another try. Raises Cancelled."""
        if self.cancelled.wait(seconds):
            raise Cancelled

    def cancel(self) -> None:
        """Give up: what waits for an answer comes back with Cancelled."""
        self.cancelled.set()
        with self._lock:
            listed = [one.sock for one in self._open if one.sock is not None]
            for sock in (*listed, *self._greeting.values()):
                with contextlib.suppress(OSError):  # gone already
                    socket.socket.shutdown(sock, socket.SHUT_RDWR)

    def close(self) -> None:
        """All of them, those too whose answer nobody has read to its end."""
        with self._lock:
            pools, self._pools = list(self._pools.values()), {}
            left, self._open = self._open, set()
        for pool in pools:
            pool.close()
        for connection in left:
            connection.close()

    def _pool(self, target: Target, tls: TLS, origin: str, proxy: str) -> urllib3.HTTPConnectionPool:
        key = (*target.host_key, tls, origin)
        with self._lock:
            pool = self._pools.get(key)
            if pool is None:
                made = (
                    self._proxied(target, tls, origin, proxy)
                    if proxy
                    else self._new_pool(target, tls, origin)
                )
                pool = self._pools[key] = made
            return pool

    def _proxied(self, target: Target, tls: TLS, origin: str, proxy: str) -> urllib3.HTTPConnectionPool:
        """A pool that leads through a proxy: what it may reach is the proxy's to say, but for addresses that
        stand in a foreign word themselves. Raises Forbidden.
        """
        found = policy.literal(target.host)
        if origin and found and not policy.allowed(origin, found):
            raise Forbidden(f"the registry leads to {target.host}, which is {found}: refused")
        url, _ = parted(proxy)
        manager = urllib3.ProxyManager(url, proxy_headers=_to_proxy(proxy))
        common = {"maxsize": 8, "timeout": self._timeout, "retries": False, "blocksize": BLOCK_BYTES}
        if target.scheme == "https":
            common["ssl_context"] = context(tls)
        pool = manager.connection_from_host(target.host, target.port, target.scheme, pool_kwargs=common)
        secure = target.scheme == "https" or url.startswith("https:")
        base: type = _Secure if secure else _Plain
        pool.ConnectionCls = type("Connection", (base,), {"owner": self, "origin": ""})
        return pool

    def _new_pool(self, target: Target, tls: TLS, origin: str) -> urllib3.HTTPConnectionPool:
        common = {"maxsize": 8, "timeout": self._timeout, "retries": False, "blocksize": BLOCK_BYTES}
        if target.scheme == "http":
            pool = urllib3.HTTPConnectionPool(target.host, target.port, **common)  # type: ignore[arg-type]
            base: type = _Plain
        else:
            pool = urllib3.HTTPSConnectionPool(
                target.host,
                target.port,
                ssl_context=context(tls),
                **common,  # type: ignore[arg-type]
            )
            base = _Secure
        pool.ConnectionCls = type("Connection", (base,), {"owner": self, "origin": origin})
        return pool


def _to_proxy(proxy: str) -> dict[str, str]:
    """What the proxy itself is told: who we are to it."""
    _, who = parted(proxy)
    return {"Proxy-Authorization": "Basic " + base64.b64encode(who.encode()).decode()} if who else {}


def context(tls: TLS) -> ssl.SSLContext:
    """The system's authorities and the host's own. Raises InvalidParameter for files that are no PEM."""
    made = ssl.create_default_context()
    if not tls.verify:
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE
    try:
        for path in tls.authorities:
            made.load_verify_locations(path)
        for certificate, key in tls.clients:
            made.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise InvalidParameter(f"TLS material of a registry cannot be read: {error}") from None
    return made


def reason(error: BaseException) -> str:
    """The innermost cause of a failed request, in Go's words where clients know them."""
    cause: BaseException = error
    seen = 0
    while seen < 8:
        wrapped = cause.args[0] if isinstance(cause, HTTPError) and cause.args else None  # urllib3's SSLError
        inner = cause.__cause__ or getattr(cause, "reason", None) or wrapped
        if not isinstance(inner, BaseException):
            break
        cause, seen = inner, seen + 1
    if isinstance(cause, ssl.SSLCertVerificationError):
        if "self-signed" in str(cause) or "unable to get" in str(cause):
            return "x509: certificate signed by unknown authority"
        return f"x509: {cause.verify_message or cause}"
    if isinstance(cause, ssl.SSLError) and "WRONG_VERSION_NUMBER" in str(cause):
        return "http: server gave HTTP response to HTTPS client"
    if isinstance(cause, ConnectionRefusedError):
        return "connect: connection refused"
    if isinstance(cause, socket.gaierror):
        return "lookup failed: no such host"
    if isinstance(cause, TimeoutError) or "timed out" in str(cause):
        return "i/o timeout"
    if isinstance(cause, (ConnectionResetError, BrokenPipeError)):
        return "connection reset by peer"
    return f"{cause}" or type(cause).__name__
