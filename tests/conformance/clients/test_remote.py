"""Engines beyond this machine's socket: tcp with certificates, ssh://, contexts; docker's and ours."""

from __future__ import annotations

import json
import os
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import engines
from tests.conformance.clients import certificates
from tests.engines import BUSYBOX, ONGGI

pytestmark = [pytest.mark.root, pytest.mark.peer]


class Remote:
    """An engine on tcp with --tlsverify, and where the keys lie."""

    def __init__(self, engine: engines.Engine, port: int, keys: Path) -> None:
        self.engine = engine
        self.port = port
        self.keys = keys

    def run(
        self, client: str, *words: str, stdin: bytes = b"", **environment: str
    ) -> subprocess.CompletedProcess[bytes]:
        """A client that knows nothing but these words and variables."""
        program = str(ONGGI) if client == "onggi" else "docker"
        env = {name: value for name, value in os.environ.items() if not name.startswith("DOCKER_")}
        config = {"DOCKER_CONFIG": str(self.keys / "config"), "NO_COLOR": "1"}
        return subprocess.run(
            [program, *words],
            input=stdin,
            capture_output=True,
            timeout=60,
            env={**env, **config, **environment},
        )

    @property
    def verified(self) -> list[str]:
        client = self.keys / "client"
        return [
            "-H", f"tcp://127.0.0.1:{self.port}", "--tlsverify", "--tlscacert", str(client / "ca.pem"),
            "--tlscert", str(client / "cert.pem"), "--tlskey", str(client / "key.pem"),
        ]  # fmt: skip


@pytest.fixture(scope="module", params=["dockerd", "onggi"])
def remote(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Remote]:
    keys = tmp_path_factory.mktemp("keys")
    ca = certificates.authority(keys)
    server = certificates.certificate(ca, keys / "server", "serverAuth")
    certificates.certificate(ca, keys / "client", "clientAuth")
    certificates.certificate(certificates.authority(keys, "other"), keys / "stranger", "clientAuth")
    port = engines.free_port()
    flags = [
        "-H", f"tcp://127.0.0.1:{port}", "--tlsverify", "--tlscacert", str(ca),
        "--tlscert", str(server / "cert.pem"), "--tlskey", str(server / "key.pem"),
    ]  # fmt: skip
    make = engines.onggi if request.param == "onggi" else engines.dockerd
    with make(tmp_path_factory.mktemp(request.param), *flags) as engine:
        engines.import_busybox(engine)
        yield Remote(engine, port, keys)


@pytest.mark.parametrize("client", ["docker", "onggi"])
def test_tls_with_certificates(remote: Remote, client: str) -> None:
    done = remote.run(client, *remote.verified, "version", "--format", "{{.Server.Os}}")
    assert (done.returncode, done.stdout) == (0, b"linux\n"), done.stderr
    variables = {
        "DOCKER_HOST": f"tcp://127.0.0.1:{remote.port}",
        "DOCKER_TLS_VERIFY": "1",
        "DOCKER_CERT_PATH": str(remote.keys / "client"),
    }
    done = remote.run(client, "version", "--format", "{{.Server.Os}}", **variables)
    assert (done.returncode, done.stdout) == (0, b"linux\n"), done.stderr


@pytest.mark.parametrize("client", ["docker", "onggi"])
def test_a_half_closed_stream_goes_through_tls_whole(remote: Remote, client: str) -> None:
    """Two MiB there and back; `cat` ends only when the client has closed its half."""
    text = os.urandom(1 << 20).hex().encode()
    words = ["run", "--rm", "-i", "--network", "none", BUSYBOX, "cat"]
    done = remote.run(client, *remote.verified, *words, stdin=text)
    assert done.returncode == 0, done.stderr
    assert done.stdout == text


@pytest.mark.parametrize("client", ["docker", "onggi"])
def test_who_has_no_certificate_gets_nothing(remote: Remote, client: str) -> None:
    for keys in ("none", "stranger"):
        directory = remote.keys / keys
        own = ["--tlscert", str(directory / "cert.pem"), "--tlskey", str(directory / "key.pem")]
        done = remote.run(
            client, *remote.verified[:5], *(own if keys != "none" else []), "ps", "--format", "json"
        )
        assert done.returncode != 0
        assert done.stdout == b""
        assert b"tls: " in done.stderr.lower() or b"certificate" in done.stderr.lower(), done.stderr


@pytest.mark.parametrize("client", ["docker", "onggi"])
def test_an_engine_that_another_authority_signed_is_not_trusted(remote: Remote, client: str) -> None:
    words = list(remote.verified)
    words[4] = str(remote.keys / "other.pem")
    done = remote.run(client, *words, "ps")
    assert done.returncode != 0
    assert b"certificate" in done.stderr


def test_plain_bytes_and_tls_without_a_certificate_get_no_answer(remote: Remote) -> None:
    with socket.create_connection(("127.0.0.1", remote.port), timeout=20) as sock:
        sock.sendall(b"GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"API-Version" not in sock.recv(4096)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    sock = socket.create_connection(("127.0.0.1", remote.port), timeout=20)
    with context.wrap_socket(sock) as wrapped:  # TLS 1.3 tells the client afterwards
        wrapped.sendall(b"GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n")
        with pytest.raises(ssl.SSLError, match=r"CERTIFICATE_REQUIRED|BAD_CERTIFICATE"):
            wrapped.recv(4096)


@pytest.mark.parametrize("maker", ["docker", "onggi"])
def test_a_context_of_one_client_is_the_others(remote: Remote, maker: str, tmp_path: Path) -> None:
    other = "docker" if maker == "onggi" else "onggi"
    config = {"DOCKER_CONFIG": str(tmp_path)}
    client = remote.keys / "client"
    endpoint = (
        f"host=tcp://127.0.0.1:{remote.port},ca={client}/ca.pem,cert={client}/cert.pem,key={client}/key.pem"
    )
    made = remote.run(
        maker, "context", "create", "far", "--description", "d e", "--docker", endpoint, **config
    )
    assert (made.returncode, made.stdout) == (0, b"far\n"), made.stderr
    used = remote.run(maker, "context", "use", "far", **config)
    assert (used.returncode, used.stdout) == (0, b"far\n"), used.stderr
    for name in (maker, other):
        done = remote.run(name, "version", "--format", "{{.Server.Os}}", **config)
        assert (done.returncode, done.stdout) == (0, b"linux\n"), done.stderr
    shown = [json.loads(remote.run(n, "context", "inspect", "far", **config).stdout) for n in (maker, other)]
    assert shown[0] == shown[1]
    assert shown[0][0]["TLSMaterial"] == {"docker": ["ca.pem", "cert.pem", "key.pem"]}
    rows = [remote.run(n, "context", "ls", "--format", "json", **config).stdout for n in (maker, other)]
    listed = [[json.loads(line) for line in text.splitlines()] for text in rows]
    assert [row["Name"] for row in listed[0]] == ["default", "far"]
    assert listed[0][1] == listed[1][1]  # `default` is another socket for each
    exported = remote.run(maker, "context", "export", "far", "-", **config).stdout
    imported = remote.run(other, "context", "import", "near", "-", stdin=exported, **config)
    assert (imported.returncode, imported.stdout) == (0, b"near\n"), imported.stderr
    done = remote.run(maker, "--context", "near", "version", "--format", "{{.Server.Os}}", **config)
    assert (done.returncode, done.stdout) == (0, b"linux\n"), done.stderr
    for words in (
        ["rm", "far"],
        ["rm", "nowhere"],
        ["create", "far", "--docker", "host=unix:///x"],
        ["use", "no"],
    ):
        failed = [remote.run(n, "context", *words, **config) for n in (maker, other)]
        assert failed[0].returncode == failed[1].returncode == 1, words
        assert failed[0].stderr == failed[1].stderr
    removed = remote.run(other, "context", "rm", "-f", "far", "near", **config)
    assert removed.returncode == 0, removed.stderr
    for name in (maker, other):
        assert remote.run(name, "context", "show", **config).stdout == b"default\n"


SSH = """#!/bin/sh
# Stands for ssh: checks the words, and runs the last ones here, as the other machine would.
while [ "$1" != -- ]; do shift; done
shift
[ "$1" = far.test ] || exit 255
shift
exec sh -c "$*"
"""


@pytest.mark.parametrize("client", ["docker", "onggi"])
def test_ssh_through_dial_stdio(remote: Remote, client: str, tmp_path: Path) -> None:
    (tmp_path / "ssh").write_text(SSH)
    (tmp_path / "ssh").chmod(0o755)
    if remote.engine.kind == "onggi":  # the far machine has onggi alone, under docker's name as well
        (tmp_path / "onggi").symlink_to(ONGGI)
        if client == "docker":
            (tmp_path / "docker").symlink_to(ONGGI)
    program = subprocess.run(
        ["sh", "-c", f"command -v {client}"], capture_output=True, text=True
    ).stdout.strip()
    program = str(ONGGI) if client == "onggi" else program
    env = {
        **os.environ,
        "PATH": f"{tmp_path}:/usr/local/bin:/usr/bin:/bin",
        "DOCKER_CONFIG": str(tmp_path / "c"),
    }
    env.pop("DOCKER_HOST", None)
    host = f"ssh://user@far.test:22{remote.engine.socket}"
    words = ["run", "--rm", "-i", "--network", "none", BUSYBOX, "cat"]
    text = os.urandom(1 << 18).hex().encode()
    done = subprocess.run([program, "-H", host, *words], input=text, capture_output=True, timeout=60, env=env)
    assert done.returncode == 0, done.stderr
    assert done.stdout == text
    failed = subprocess.run(
        [program, "-H", "ssh://near.test", "ps"], capture_output=True, timeout=60, env=env
    )
    assert failed.returncode == 1
    assert failed.stderr.startswith(b"error during connect: ")
