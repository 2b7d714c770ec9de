"""Registries behind a proxy: plain and TLS, with a password, and those that are asked without one."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from onggi.errors import InvalidParameter
from onggi.registry.proxies import Proxies, check, shown
from tests import engines, registries
from tests.conformance.clients import certificates
from tests.registries import Registry

pytestmark = [pytest.mark.root, pytest.mark.timeout(120)]
MADE = registries.image([registries.layer({"hello": b"proxied" * 1000})])
SECRET = "pr0xy-Secret"


class Proxy:
    """A proxy: CONNECT, and GET in the absolute form. `asked` has the first line of each connection."""

    def __init__(self, password: str = "") -> None:
        self.asked: list[str] = []
        self._who = "Basic " + base64.b64encode(f"pat:{password}".encode()).decode() if password else ""
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._thread.join()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._server.accept()
                threading.Thread(target=self._one, args=(client,), daemon=True).start()

    def _one(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            head = b""
            while b"\r\n\r\n" not in head:
                data = client.recv(4096)
                if not data:
                    return
                head += data
            line = head.split(b"\r\n")[0].decode()
            self.asked.append(line)
            if self._who and f"proxy-authorization: {self._who}".lower() not in head.decode().lower():
                client.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
                return
            method, target, _ = line.split()
            host = target if method == "CONNECT" else target.split("/")[2]
            name, _, port = host.rpartition(":")
            with socket.create_connection((name, int(port))) as there:
                if method == "CONNECT":
                    client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                else:
                    there.sendall(head.replace(f"http://{host}".encode(), b"", 1))
                back = threading.Thread(target=_copy, args=(there, client), daemon=True)
                back.start()
                _copy(client, there)
                back.join(5)


def _copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    one = Proxy(SECRET)
    yield one
    one.close()


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with registries.registry(tmp_path_factory.mktemp("plain"), address=registries.own_address()) as one:
        registries.push(one, "team/app:1", MADE)
        yield one


@pytest.mark.parametrize("given", ["flags", "file", "environment"])
def test_plain_http_through_a_proxy(tmp_path: Path, plain: Registry, proxy: Proxy, given: str) -> None:
    url = f"http://pat:{SECRET}@127.0.0.1:{proxy.port}"
    path = tmp_path / "daemon.json"
    path.write_text(json.dumps({"proxies": {"http-proxy": url}} if given == "file" else {}))
    flags = ["--config-file", str(path), "--insecure-registry", plain.host, "--bridge", "none"]
    if given == "flags":
        flags += ["--http-proxy", url]
    with pytest.MonkeyPatch.context() as patch:
        if given == "environment":
            patch.setenv("HTTP_PROXY", url)
        with engines.onggi(tmp_path, *flags) as engine:
            name = f"{plain.host}/team/app:1"
            engine.onggi("pull", name)
            assert any(f"http://{plain.host}/v2/team/app/manifests/1" in line for line in proxy.asked)
            engine.onggi("tag", name, f"{plain.host}/{given}/pushed:1")
            engine.onggi("push", f"{plain.host}/{given}/pushed:1")
            info = engine.api("GET", "/info")
            assert info["HttpProxy"] == f"http://xxxxx:xxxxx@127.0.0.1:{proxy.port}"
            assert SECRET not in engine.log


def test_tls_through_a_proxy(tmp_path: Path, proxy: Proxy) -> None:
    """By CONNECT: the proxy sees no byte of it, and the certificate is the registry's."""
    address = registries.own_address()
    ca = certificates.authority(tmp_path / "ca")
    found = certificates.certificate(ca, tmp_path / "server", "serverAuth", f"IP:{address}")
    url = f"http://pat:{SECRET}@127.0.0.1:{proxy.port}"
    tls = (found / "cert.pem", found / "key.pem")
    with registries.registry(tmp_path, address=address, tls=tls) as one:
        certs = tmp_path / "certs"
        (certs / one.host).mkdir(parents=True)
        flags = ["--certs-dir", str(certs), "--https-proxy", url, "--bridge", "none"]
        with engines.onggi(tmp_path, *flags) as engine:
            done = engine.run("onggi", "pull", f"{one.host}/team/app:1", check=False)
            assert (
                "x509: certificate signed by unknown authority" in done.stderr and SECRET not in done.stderr
            )
            (certs / one.host / "ca.crt").write_bytes(ca.read_bytes())
            done = engine.run("onggi", "pull", f"{one.host}/team/app:1", check=False)
            assert "manifest unknown" in done.stderr
            assert {line.rpartition(" ")[0] for line in proxy.asked} == {f"CONNECT {one.host}"}


def test_a_proxy_that_refuses_or_is_not_there(tmp_path: Path, plain: Registry, proxy: Proxy) -> None:
    flags = ["--insecure-registry", plain.host, "--bridge", "none"]
    for url, words in (
        (f"http://pat:wrong@127.0.0.1:{proxy.port}", "407"),
        ("http://pat:wrong@127.0.0.1:1", "connection refused"),
    ):
        with engines.onggi(tmp_path, *flags, "--http-proxy", url) as engine:
            done = engine.run("onggi", "pull", f"{plain.host}/team/app:1", check=False)
            assert done.returncode == 1 and words in done.stderr and "wrong" not in done.stderr + engine.log


def test_hosts_that_are_asked_without_it(tmp_path: Path, plain: Registry, proxy: Proxy) -> None:
    url = f"http://127.0.0.1:{proxy.port}"
    flags = ["--insecure-registry", plain.host, "--bridge", "none", "--http-proxy", url]
    with engines.onggi(tmp_path, *flags, "--no-proxy", f"other.example,{plain.address}") as engine:
        engine.onggi("pull", f"{plain.host}/team/app:1")
        assert proxy.asked == []


@pytest.mark.parametrize(
    ("no", "host", "port", "direct"),
    [
        ("", "registry.example", 443, False), ("*", "registry.example", 443, True),
        ("registry.example", "registry.example", 443, True), ("example", "registry.example", 443, True),
        ("ample", "registry.example", 443, False), (".example", "registry.example", 443, True),
        (".registry.example", "registry.example", 443, False), ("*.example", "a.b.example", 443, True),
        ("registry.example:5000", "registry.example", 5000, True),
        ("registry.example:5000", "registry.example", 443, False), ("a, b ,C.example", "c.EXAMPLE", 1, True),
        ("10.0.0.0/8", "10.1.2.3", 443, True), ("10.0.0.0/8", "11.1.2.3", 443, False),
        ("10.1.2.3", "10.1.2.3", 443, True), ("10.1.2.3:80", "10.1.2.3", 443, False),
        ("2001:db8::/32", "2001:db8::1", 443, True), ("[2001:db8::1]:443", "2001:db8::1", 443, True),
        ("nonsense/99", "registry.example", 443, False), ("", "localhost", 443, True),
        ("", "127.0.0.9", 443, True), ("", "::1", 443, True),
    ],
)  # fmt: skip
def test_who_is_asked_without_a_proxy(no: str, host: str, port: int, direct: bool) -> None:
    found = Proxies("http://p:1", "http://q:2", no)
    assert found.of("https", host, port) == ("" if direct else "http://q:2")
    assert found.of("http", host, port) == ("" if direct else "http://p:1")


@pytest.mark.parametrize("url", ["ftp://x:1", "http://", "http://a:b@", "http://x:99999", "socks5://x:1"])
def test_proxies_that_are_none(url: str) -> None:
    with pytest.raises(InvalidParameter, match="invalid proxy"):
        check(url)


def test_shown_without_a_password() -> None:
    assert shown("http://ann:secret@proxy:8080") == "http://xxxxx:xxxxx@proxy:8080"
    assert shown("proxy:8080") == "proxy:8080" and shown("") == ""


def test_a_cache_behind_a_proxy(tmp_path: Path, plain: Registry, proxy: Proxy) -> None:
    root = tmp_path / "c"
    command = [str(engines.ONGGI), "registry", "cache", "--root", str(root), "--listen", "127.0.0.1:0"]
    command += ["--upstream", plain.host, "--insecure-registry", plain.host]
    env = {**os.environ, "HTTP_PROXY": f"http://pat:{SECRET}@127.0.0.1:{proxy.port}"}
    log = tmp_path / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, env=env)
    try:
        engines.until(lambda: b"http://127.0.0.1:" in log.read_bytes(), 60)
        port = int(log.read_text().split("http://127.0.0.1:")[1].split(",")[0])
        assert registries.request(port, "GET", "/v2/team/app/manifests/1")[2] == MADE.manifest
        assert proxy.asked and SECRET not in log.read_text()
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
