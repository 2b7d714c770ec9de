"""What daemon.json and the directories of certificates say of registries; ours and, where it has it, dockerd.

The registries listen on an address that is not loopback, where nothing is insecure of itself.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import engines, registries
from tests.conformance.clients import certificates
from tests.engines import Engine
from tests.registries import Registry

pytestmark = [pytest.mark.root, pytest.mark.timeout(180)]
MADE = registries.image([registries.layer({"hello": b"registry" * 100})])
PLAIN = "server gave HTTP response to HTTPS client"
KINDS = ["onggi", "dockerd"]


class Configured:
    """An engine, and its daemon.json that a test changes while it runs."""

    def __init__(self, engine: Engine, path: Path) -> None:
        self.engine = engine
        self._path = path

    def reload(self, **settings: object) -> None:
        """Write the file, send SIGHUP and wait until the engine says that it has read it."""
        before = self._reloads()
        self._path.write_text(json.dumps({key.replace("_", "-"): value for key, value in settings.items()}))
        assert self.engine.process is not None
        os.kill(self.engine.process.pid, signal.SIGHUP)
        engines.until(lambda: self._reloads() > before)

    def _reloads(self) -> int:
        words = ("eloaded configuration", "is not reloaded", "rror reconfiguring")
        return sum(self.engine.log.count(one) for one in words)

    def pull(self, name: str) -> str:
        """What `docker pull` says on stderr; nothing where it went well."""
        done = self.engine.run("docker", "pull", "-q", name, check=False)
        if done.returncode == 0:
            self.engine.run("docker", "rmi", "-f", name)
            return ""
        return done.stderr


@pytest.fixture(scope="module", params=KINDS)
def configured(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Configured]:
    tmp = tmp_path_factory.mktemp(request.param)
    path = tmp / "daemon.json"
    path.write_text("{}")
    flags = ("--config-file", str(path))
    if request.param == "dockerd":
        if not Path("/usr/sbin/dockerd").exists():
            pytest.skip("needs dockerd (Debian: docker.io)")
        with engines.dockerd(tmp, *flags) as engine:
            yield Configured(engine, path)
        return
    with engines.onggi(tmp, *flags, "--bridge", "none") as engine:
        yield Configured(engine, path)


@pytest.fixture(scope="module")
def address() -> str:
    return registries.own_address()


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory, address: str) -> Iterator[Registry]:
    with registries.registry(tmp_path_factory.mktemp("plain"), address=address) as one:
        registries.push(one, "team/app:1", MADE)
        registries.push(one, "library/hubbed:1", MADE)
        yield one


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certificates.authority(tmp_path_factory.mktemp("authority"))


@contextlib.contextmanager
def encrypted(tmp: Path, authority: Path, address: str, *, clients: bool = False) -> Iterator[Registry]:
    """TLS with our authority; the image is put there before it asks for clients' certificates."""
    found = certificates.certificate(authority, tmp / "server", "serverAuth", f"IP:{address}")
    with registries.registry(tmp, address=address) as plain:
        registries.push(plain, "team/app:1", MADE)
        data = plain.log.parent / "data"
        kept = tmp / "data"
        shutil.copytree(data, kept)
    tls = (found / "cert.pem", found / "key.pem")
    with registries.registry(
        tmp, address=address, tls=tls, client_authority=authority if clients else None, data=kept
    ) as one:
        yield one


@contextlib.contextmanager
def certs(host: str) -> Iterator[Path]:
    """`/etc/docker/certs.d/HOST`, which both engines read."""
    top = Path("/etc/docker/certs.d")
    made = [path for path in (top.parent, top) if not path.exists()]
    directory = top / host
    directory.mkdir(parents=True)
    try:
        yield directory
    finally:
        shutil.rmtree(directory)
        for path in reversed(made):
            with contextlib.suppress(OSError):
                path.rmdir()


def test_plain_http_only_where_it_is_allowed(configured: Configured, plain: Registry, address: str) -> None:
    name = f"{plain.host}/team/app:1"
    configured.reload()
    assert PLAIN in configured.pull(name)
    for item in (plain.host, f"{address}/30", f"http://{plain.host}"):
        configured.reload(insecure_registries=[item])
        assert configured.pull(name) == "", item
    for item in (address, f"{address}:1", "198.51.100.0/24"):  # a name stands for its own port only
        configured.reload(insecure_registries=[item])
        assert PLAIN in configured.pull(name), item


def test_a_reload_that_is_wrong_changes_nothing(configured: Configured, plain: Registry) -> None:
    name = f"{plain.host}/team/app:1"
    configured.reload(insecure_registries=[plain.host])
    assert configured.pull(name) == ""
    for wrong in ({"insecure_registries": ["-x"]}, {"registry_mirrors": ["ftp://x"]}):
        configured.reload(**wrong)
        if configured.engine.kind == "onggi":  # dockerd 20.10 takes the half that is right
            assert configured.pull(name) == ""


def test_mirrors_of_docker_hub(configured: Configured, plain: Registry) -> None:
    configured.reload(registry_mirrors=[f"http://{plain.host}"])
    assert configured.pull("hubbed:1") == ""
    assert configured.engine.api("GET", "/info")["RegistryConfig"]["Mirrors"] == [f"http://{plain.host}/"]
    if configured.engine.kind == "onggi":  # without a way out dockerd waits for long
        configured.reload(registry_mirrors=[], offline=True)
        assert "is offline" in configured.pull("hubbed:1")
    configured.reload()


def test_an_authority_of_its_own(
    configured: Configured, authority: Path, address: str, tmp_path: Path
) -> None:
    configured.reload()
    with encrypted(tmp_path, authority, address) as one, certs(one.host) as directory:
        name = f"{one.host}/team/app:1"
        assert "x509: certificate signed by unknown authority" in configured.pull(name)
        (directory / "ca.crt").write_bytes(authority.read_bytes())
        assert configured.pull(name) == ""
        other = certificates.authority(tmp_path / "other")
        (directory / "ca.crt").write_bytes(other.read_bytes())
        assert "x509: certificate signed by unknown authority" in configured.pull(name)
        configured.reload(insecure_registries=[one.host])
        assert configured.pull(name) == ""  # TLS that is not verified


def test_a_certificate_for_another_host(
    configured: Configured, authority: Path, address: str, tmp_path: Path
) -> None:
    configured.reload()
    found = certificates.certificate(authority, tmp_path / "server", "serverAuth", "DNS:elsewhere.example")
    tls = (found / "cert.pem", found / "key.pem")
    with registries.registry(tmp_path, address=address, tls=tls) as one, certs(one.host) as directory:
        (directory / "ca.crt").write_bytes(authority.read_bytes())
        assert "x509" in configured.pull(f"{one.host}/team/app:1")


def test_certificates_of_clients(
    configured: Configured, authority: Path, address: str, tmp_path: Path
) -> None:
    configured.reload()
    mine = certificates.certificate(authority, tmp_path / "client", "clientAuth")
    with encrypted(tmp_path, authority, address, clients=True) as one, certs(one.host) as directory:
        name = f"{one.host}/team/app:1"
        (directory / "ca.crt").write_bytes(authority.read_bytes())
        assert "certificate" in configured.pull(name)
        (directory / "client.cert").write_bytes((mine / "cert.pem").read_bytes())
        assert "missing key client.key for client certificate client.cert" in configured.pull(name)
        (directory / "client.key").write_bytes((mine / "key.pem").read_bytes())
        assert configured.pull(name) == ""
        (directory / "client.cert").unlink()
        assert "issing client certificate client.cert for key client.key" in configured.pull(name)


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Engine, Path, Path]]:
    """Our engine with directories of its own: (engine, certs.d, registries.conf)."""
    tmp = tmp_path_factory.mktemp("ours")
    certs_dir, conf = tmp / "certs.d", tmp / "registries.conf"
    certs_dir.mkdir()
    flags = ("--certs-dir", str(certs_dir), "--registries-conf", str(conf), "--bridge", "none")
    with engines.onggi(tmp, *flags) as engine:
        yield engine, certs_dir, conf


def test_hosts_toml_with_an_authority(
    ours: tuple[Engine, Path, Path], authority: Path, address: str, tmp_path: Path
) -> None:
    engine, certs_dir, _ = ours
    with encrypted(tmp_path, authority, address, clients=True) as one:
        directory = certs_dir / "team.example"
        directory.mkdir()
        mine = certificates.certificate(authority, tmp_path / "client", "clientAuth")
        settings = f'server = "https://{one.host}"\nca = "{authority}"\n'
        (directory / "hosts.toml").write_text(settings)
        assert engine.run("onggi", "pull", "team.example/team/app:1", check=False).returncode == 1
        (directory / "hosts.toml").write_text(
            settings + f'client = [["{mine}/cert.pem", "{mine}/key.pem"]]\n'
        )
        engine.onggi("pull", "team.example/team/app:1")
        (directory / "hosts.toml").write_text(settings + 'capabilities = ["fly"]\n')
        done = engine.run("onggi", "pull", "team.example/team/app:1", check=False)
        assert "unknown capability 'fly'" in done.stderr and "hosts.toml" in done.stderr


def test_registries_conf_with_a_mirror(
    ours: tuple[Engine, Path, Path], plain: Registry, tmp_path: Path
) -> None:
    engine, _, conf = ours
    conf.write_text(
        '[[registry]]\nprefix = "conf.example/team"\nlocation = "127.0.0.1:1/team"\ninsecure = true\n'
        f'[[registry.mirror]]\nlocation = "{plain.host}/team"\ninsecure = true\n'
        '[[registry]]\nprefix = "blocked.example"\nblocked = true\n'
    )
    engine.onggi("pull", "conf.example/team/app:1")
    assert (
        "registry blocked.example is blocked in"
        in engine.run("onggi", "pull", "blocked.example/a:1", check=False).stderr
    )
    beside = Path(f"{conf}.d")
    beside.mkdir()
    (beside / "10-more.conf").write_text(
        '[[registry]]\nprefix = "blocked.example"\nlocation = "127.0.0.1:1/x"\n'
    )
    (beside / "20-mine.conf").write_text(
        f'[[registry]]\nprefix = "drop.example"\nlocation = "{plain.host}"\ninsecure = true\n'
    )
    (beside / "ignored.txt").write_text("[[")
    engine.onggi("pull", "drop.example/team/app:1")
    done = engine.run("onggi", "pull", "blocked.example/a:1", check=False)
    assert done.returncode == 1 and "is blocked" not in done.stderr
    (beside / "30-bad.conf").write_text("[[registry]\n")
    done = engine.run("onggi", "pull", "drop.example/team/app:1", check=False)
    assert f"{beside}/30-bad.conf" in done.stderr
    (beside / "30-bad.conf").unlink()
    conf.write_text("[[registry]\n")
    assert str(conf) in engine.run("onggi", "pull", "conf.example/team/app:1", check=False).stderr
    conf.unlink()


def test_the_flag_without_effect_says_so(tmp_path: Path) -> None:
    flags = ("--allow-nondistributable-artifacts", "example.com", "--bridge", "none")
    with engines.onggi(tmp_path, *flags) as engine:
        assert "Pushing nondistributable artifacts is now enabled by default" in engine.log


def test_a_reload_is_told(ours: tuple[Engine, Path, Path]) -> None:
    engine, _, _ = ours
    assert engine.process is not None
    since = time.time() - 1
    os.kill(engine.process.pid, signal.SIGHUP)

    def told() -> bool:
        shown = engine.onggi(
            "events", "--since", str(since), "--until", "0s", "--filter", "type=daemon", "--format", "json"
        )
        return "insecure-registries" in shown

    engines.until(told)
