"""Registries under test: Debian's docker-registry on loopback, in a directory and on a port of its own.

    with registry(tmp_path) as one:      plain HTTP;  one.host is 127.0.0.1:PORT
    with registry(tmp_path, users={"ann": "secret"}), registry(tmp_path, tls=(cert, key)) ...
    with registry(tmp_path, address=own_address())      not loopback: nothing is insecure there

`push(one, "a/b:1", image)` puts a small image there without an engine. Only what was started here is ended.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import http.client
import io
import json
import socket
import subprocess
import tarfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.engines import free_port as free_port

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"


@dataclass
class Registry:
    """A running registry."""

    port: int
    process: subprocess.Popen[bytes]
    log: Path
    address: str = "127.0.0.1"

    @property
    def host(self) -> str:
        return f"{self.address}:{self.port}"

    def request(
        self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        """One plain request: (status, headers in lower case, body)."""
        return request(self.port, method, path, body, headers, address=self.address)


def request(
    port: int,
    method: str,
    path: str,
    body: bytes = b"",
    headers: dict[str, str] | None = None,
    *,
    address: str = "127.0.0.1",
) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection(address, port, timeout=30)
    try:
        connection.request(method, path, body or None, headers or {})
        reply = connection.getresponse()
        return reply.status, {name.lower(): value for name, value in reply.getheaders()}, reply.read()
    finally:
        connection.close()


def own_address() -> str:
    """An address of this machine that is not loopback; without one the test is skipped."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect(("192.0.2.200", 9))  # nothing is sent
        except OSError:
            pytest.skip("needs an address other than loopback")
        return str(sock.getsockname()[0])


@contextlib.contextmanager
def registry(
    tmp: Path,
    *,
    users: dict[str, str] | None = None,
    tls: tuple[Path, Path] | None = None,
    client_authority: Path | None = None,
    extra: str = "",
    address: str = "127.0.0.1",
    data: Path | None = None,
) -> Iterator[Registry]:
    """Debian's docker-registry, ready to answer on `address`."""
    port = free_port()
    home = tmp / f"registry-{port}"
    home.mkdir()
    lines = [
        "version: 0.1", "log: {level: warn}", "storage:",
        f"  filesystem: {{rootdirectory: {data or home / 'data'}}}",
        "  delete: {enabled: true}", "http:", f"  addr: {address}:{port}",
    ]  # fmt: skip
    if tls:
        lines += ["  tls:", f"    certificate: {tls[0]}", f"    key: {tls[1]}"]
    if client_authority:
        lines += [f"    clientcas: [{client_authority}]"]
    if users:
        (home / "htpasswd").write_text("".join(f"{name}:{_bcrypt(word)}\n" for name, word in users.items()))
        lines += ["auth:", "  htpasswd:", "    realm: test", f"    path: {home}/htpasswd"]
    (home / "config.yml").write_text("\n".join(lines) + "\n" + extra)
    log = home / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            ["docker-registry", "serve", str(home / "config.yml")], stdout=out, stderr=out, cwd=home
        )
    try:
        deadline = time.monotonic() + 60
        while True:
            with contextlib.suppress(OSError), socket.create_connection((address, port), 1):
                break
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.02)
        yield Registry(port, process, log, address)
    finally:
        process.kill()
        process.wait()


def _bcrypt(password: str) -> str:
    """htpasswd's bcrypt, the only kind that the registry takes; glibc's crypt has it on Debian."""
    import ctypes

    crypt = ctypes.CDLL("libcrypt.so.1").crypt
    crypt.restype = ctypes.c_char_p
    found: bytes = crypt(password.encode(), b"$2b$05$" + b"abcdefghijklmnopqrstuu")
    return found.decode().replace("$2b$", "$2y$", 1)


def digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def layer(files: dict[str, bytes]) -> bytes:
    """A layer's tar."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), 0o755
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


@dataclass
class Made:
    """A small image: its documents and blobs by digest."""

    manifest: bytes
    config: bytes
    blobs: dict[str, bytes]
    layers: list[str]

    @property
    def digest(self) -> str:
        return digest(self.manifest)

    @property
    def id(self) -> str:
        return digest(self.config)


def image(layers: list[bytes], architecture: str = "amd64", packed: bool = True) -> Made:
    """An image of tars."""
    blobs = [gzip.compress(one, 1, mtime=0) if packed else one for one in layers]
    config = json.dumps(
        {
            "architecture": architecture,
            "os": "linux",
            "config": {"Cmd": ["/bin/true"]},
            "rootfs": {"type": "layers", "diff_ids": [digest(one) for one in layers]},
        }
    ).encode()
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": {"mediaType": OCI_CONFIG, "digest": digest(config), "size": len(config)},
            "layers": [
                {
                    "mediaType": OCI_GZIP if packed else OCI_GZIP.removesuffix("+gzip"),
                    "digest": digest(one),
                    "size": len(one),
                }
                for one in blobs
            ],
        }
    ).encode()
    return Made(
        manifest,
        config,
        {digest(config): config, **{digest(one): one for one in blobs}},
        [digest(one) for one in blobs],
    )


def index(made: list[tuple[Made, str]]) -> bytes:
    """An index of images and their architectures."""
    return json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": OCI_INDEX,
            "manifests": [
                {
                    "mediaType": OCI_MANIFEST,
                    "digest": one.digest,
                    "size": len(one.manifest),
                    "platform": {"os": "linux", "architecture": architecture},
                }
                for one, architecture in made
            ],
        }
    ).encode()


def push(one: Registry, name: str, made: Made, kind: str = OCI_MANIFEST) -> None:
    """Put an image there, by hand. `name` is path:tag."""
    path, _, tag = name.rpartition(":")
    for blob_digest, data in made.blobs.items():
        status, headers, _ = one.request("POST", f"/v2/{path}/blobs/uploads/")
        assert status == 202
        location = headers["location"].split("/", 3)[3]
        status, _, text = one.request("PUT", f"/{location}&digest={blob_digest}", data)
        assert status == 201, text
    put_manifest(one, path, tag, made.manifest, kind)


def put_manifest(one: Registry, path: str, reference: str, data: bytes, kind: str) -> None:
    status, _, text = one.request("PUT", f"/v2/{path}/manifests/{reference}", data, {"Content-Type": kind})
    assert status == 201, text


SMALL = image([layer({"a": b"alpha" * 100}), layer({"b": b"beta" * 100})])
