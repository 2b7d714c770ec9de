"""Who we are to a registry: token authentication of a real docker-registry, identity tokens, and secrecy."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from onggi.errors import OnggiError
from onggi.registry import uploads
from onggi.registry.credentials import Credentials
from onggi.registry.endpoints import Settings
from onggi.registry.registries import Registries
from onggi.spec import reference
from tests import engines, registries
from tests.engines import BUSYBOX, Engine
from tests.registries import Registry
from tests.scripted_registry import Handler, scripted
from tests.token_server import TokenServer, token_server

pytestmark = [
    pytest.mark.root,
    pytest.mark.timeout(120),
    pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning"),  # loopback
]
SECRET = "s3cret-Zq7"  # nowhere but in the user's own file
CLIENTS = ["onggi", "docker"]


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TokenServer]:
    with token_server(tmp_path_factory.mktemp("tokens"), {"ann": SECRET}) as server:
        yield server


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory, tokens: TokenServer) -> Iterator[Registry]:
    with registries.registry(tmp_path_factory.mktemp("guarded"), extra=tokens.settings) as one:
        yield one


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with engines.onggi(tmp_path_factory.mktemp("engine"), "--bridge", "none", "--debug") as running:
        engines.import_busybox(running)
        yield running


def client(engine: Engine, config: Path, program: str, *args: str, given: str = "") -> tuple[int, str]:
    env = {**os.environ, "DOCKER_HOST": engine.host, "DOCKER_CONFIG": str(config)}
    command = [str(engines.ONGGI) if program == "onggi" else "docker", *args]
    done = subprocess.run(command, input=given.encode(), capture_output=True, env=env, timeout=60)
    return done.returncode, (done.stdout + done.stderr).decode()


@pytest.mark.parametrize("program", CLIENTS)
def test_an_identity_token_stands_for_the_password(
    engine: Engine, registry: Registry, tokens: TokenServer, tmp_path: Path, program: str
) -> None:
    login = ("login", "-u", "ann", "--password-stdin", registry.host)
    assert client(engine, tmp_path, program, *login, given="wrong")[0] == 1
    assert client(engine, tmp_path, program, *login, given=SECRET)[0] == 0
    kept = (tmp_path / "config.json").read_text()
    (entry,) = json.loads(kept)["auths"].values()
    assert entry["identitytoken"] in tokens.refresh and SECRET not in kept
    name = f"{registry.host}/{program}/private:1"
    engine.onggi("tag", BUSYBOX, name)
    tokens.asked.clear()
    assert client(engine, tmp_path, program, "push", name)[0] == 0
    for other in CLIENTS:  # each reads what the other wrote
        assert client(engine, tmp_path, other, "pull", name)[0] == 0
    assert {method for method, _, _, _ in tokens.asked} == {"POST"}
    form = tokens.asked[0][3]
    assert form["grant_type"] == ["refresh_token"] and form["service"] == ["test-registry"]
    assert form["refresh_token"] == [entry["identitytoken"]]
    assert any("push" in one[3]["scope"][0] for one in tokens.asked)
    if program == "onggi":  # with what is known already; Docker's client asks for the password then
        assert client(engine, tmp_path, program, "login", registry.host)[0] == 0
    assert client(engine, tmp_path, program, "logout", registry.host)[0] == 0
    status, text = client(engine, tmp_path, program, "pull", name)
    assert status == 1 and ("unauthorized" in text.lower() or "denied" in text)


def test_a_password_asks_for_tokens_by_get(
    engine: Engine, registry: Registry, tokens: TokenServer, tmp_path: Path
) -> None:
    """A config.json written by hand has no identity token."""
    import base64

    pair = base64.b64encode(f"ann:{SECRET}".encode()).decode()
    (tmp_path / "config.json").write_text(json.dumps({"auths": {registry.host: {"auth": pair}}}))
    name = f"{registry.host}/by/password:1"
    engine.onggi("tag", BUSYBOX, name)
    tokens.asked.clear()
    assert client(engine, tmp_path, "onggi", "push", name)[0] == 0
    assert tokens.asked and {method for method, _, _, _ in tokens.asked} == {"GET"}
    assert all("offline_token" not in path for _, path, _, _ in tokens.asked)


def test_docker_py_logs_in_and_says_null_where_it_has_nothing(engine: Engine, registry: Registry) -> None:
    name = f"{registry.host}/py/private"
    python = docker.DockerClient(base_url=engine.host)
    try:
        assert python.login("ann", SECRET, registry=registry.host)["Status"] == "Login Succeeded"
        with pytest.raises(docker.errors.APIError, match=r"unauthorized|401"):
            python.login("ann", "wrong", registry=registry.host, reauth=True)
        python.images.get(BUSYBOX).tag(name, "1")
        given = {"username": "ann", "password": SECRET, "email": None}
        told = python.images.push(name, "1", auth_config=given, stream=True, decode=True)
        assert not [line for line in told if "error" in line]
        assert f"{name}:1" in python.images.pull(name, "1", auth_config=given).tags
    finally:
        python.close()


@pytest.mark.parametrize("header", ["FOO", "%%%", "W10=", "eyJ1c2VybmFtZSI6MX0="])
def test_words_that_are_no_credentials_are_nobodys(engine: Engine, tmp_path: Path, header: str) -> None:
    """aiodocker sends FOO where it has none; dockerd reads what it cannot read as nothing."""
    with (
        registries.registry(tmp_path) as free,
        contextlib.closing(engines.UnixHTTP(engine.socket, 60)) as connection,
    ):
        name = f"{free.host}/foo/bar"
        engine.onggi("tag", BUSYBOX, f"{name}:1")
        for method, path in (
            ("POST", f"/images/{name}/push?tag=1"),
            ("POST", f"/images/create?fromImage={name}&tag=1"),
            ("GET", f"/distribution/{name}:1/json"),
        ):
            connection.request(method, path, headers={"X-Registry-Auth": header})
            answer = connection.getresponse()
            assert answer.status == 200 and b'"error"' not in answer.read(), path


def test_a_token_server_that_is_busy_is_asked_again(
    engine: Engine, registry: Registry, tokens: TokenServer, tmp_path: Path
) -> None:
    login = ("login", "-u", "ann", "--password-stdin", registry.host)
    tokens.busy = [503, 429]
    assert client(engine, tmp_path, "onggi", *login, given=SECRET)[0] == 0
    assert tokens.busy == []


def test_secrets_are_nowhere(engine: Engine, registry: Registry, tokens: TokenServer, tmp_path: Path) -> None:
    """Not in logs (--debug), arguments and environments of processes, the engine's files, events, errors."""
    found: list[str] = []
    ended = threading.Event()

    def watch() -> None:
        while not ended.is_set():
            found.extend(_processes_with(SECRET))
            time.sleep(0.005)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        login = ("login", "-u", "ann", "--password-stdin", registry.host)
        texts = [client(engine, tmp_path, "onggi", *login, given=SECRET + "x")[1]]
        texts.append(client(engine, tmp_path, "onggi", "--debug", *login, given=SECRET)[1])
        token = json.loads((tmp_path / "config.json").read_text())["auths"][registry.host]["identitytoken"]
        name = f"{registry.host}/not/seen:1"
        engine.onggi("tag", BUSYBOX, name)
        for words in (["push", name], ["pull", name], ["pull", name + "0"], ["search", name]):
            texts.append(client(engine, tmp_path, "onggi", "--debug", *words)[1])
    finally:
        ended.set()
        watcher.join()
    assert found == []
    texts += [engine.log, engine.onggi("events", "--since", "1h", "--until", "0s", "--format", "json")]
    for text in texts:
        assert SECRET not in text and token not in text
    for path, data in engines.files(engine.root):
        assert SECRET.encode() not in data and token.encode() not in data, path


def _processes_with(text: str) -> list[str]:
    """Processes, but this one's own children's stdin, that show a text in their arguments or environment."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        for name in ("cmdline", "environ"):
            try:
                data = Path(f"/proc/{pid}/{name}").read_bytes()
            except OSError:
                continue
            if text.encode() in data:
                found.append(f"{pid}: {name}")
    return found


def push(host: str, who: Credentials, data: bytes) -> None:
    """One blob, by our client."""
    everything = Registries(Settings(), user_agent="test", first_pause_s=0.001)
    with everything.job(who) as job:
        import io

        named = reference.parse(f"{host}/a/b:1")
        digest = registries.digest(data)
        repository, _ = job.first(named, lambda one: one.has_blob(digest))
        uploads.upload(repository, digest, len(data), lambda: io.BytesIO(data), lambda count: None)


@pytest.mark.parametrize("scheme", ["basic", "bearer", "identity", "given"])
def test_nothing_is_sent_to_another_host(scheme: str) -> None:
    """Redirects of GET and HEAD, and the Location of an upload, lead elsewhere without credentials."""
    who = {
        "basic": Credentials("ann", SECRET),
        "bearer": Credentials("ann", SECRET),
        "identity": Credentials(identity_token=SECRET),
        "given": Credentials(registry_token=SECRET),
    }[scheme]
    with scripted() as one, scripted() as other:
        took = _takes_uploads(other)

        def leads_away(handler: Handler) -> bool:
            if handler.path.startswith("/token"):
                handler.answer(200, json.dumps({"token": "T0ken-" + SECRET}).encode())
            elif "Authorization" not in handler.headers:
                realm = f'Bearer realm="http://{one.host}/token",service="s"'
                handler.answer(401, b"{}", WWW_Authenticate='Basic realm="x"' if scheme == "basic" else realm)
            elif handler.command == "POST":
                handler.answer(202, Location=f"http://{other.host}/upload?x=1")
            else:
                handler.answer(307, Location=f"http://{other.host}{handler.path}")
            return True

        one.rules.append(leads_away)
        push(one.host, who, b"data " * 100)
        assert took and other.seen
        for _, path, headers in other.seen:
            assert SECRET not in path and SECRET not in str(headers) and "Authorization" not in headers


def _takes_uploads(other: object) -> list[bytes]:
    took: list[bytes] = []

    def rule(handler: Handler) -> bool:
        if handler.command == "PUT":
            took.append(handler.body())
            handler.answer(201)
            return True
        return False

    other.rules.append(rule)  # type: ignore[attr-defined]
    return took


def test_no_password_goes_to_a_token_server_without_tls(tmp_path: Path) -> None:
    """A registry with TLS that names a plain token server is refused, before anything is sent to it."""
    from tests.conformance.clients import certificates

    ca = certificates.authority(tmp_path / "ca")
    found = certificates.certificate(ca, tmp_path / "server", "serverAuth")
    with scripted() as plain, scripted(tls=(found / "cert.pem", found / "key.pem")) as one:
        realm = f'Bearer realm="http://{plain.host}/token",service="s"'
        one.rules.append(lambda handler: handler.answer(401, b"{}", WWW_Authenticate=realm) or True)
        certs = tmp_path / "certs" / one.host
        certs.mkdir(parents=True)
        (certs / "ca.crt").write_bytes(ca.read_bytes())
        everything = Registries(
            Settings(certs_dirs=(str(tmp_path / "certs"),)), user_agent="test", first_pause_s=0.001
        )
        with everything.job(Credentials("ann", SECRET)) as job, pytest.raises(OnggiError) as caught:
            job.first(reference.parse(f"{one.host}/a/b:1"), lambda one: one.manifest("1"))
        assert "without TLS: no credentials are sent" in caught.value.message
        assert plain.seen == []


def test_a_login_that_is_interrupted_leaves_the_file(
    engine: Engine, registry: Registry, tokens: TokenServer, tmp_path: Path
) -> None:
    """config.json is replaced whole: what was there stays until then."""
    (tmp_path / "config.json").write_text('{"auths": {"other.example": {"auth": "YTpi"}}}')
    env = {**os.environ, "DOCKER_HOST": engine.host, "DOCKER_CONFIG": str(tmp_path)}
    words = ["login", "-u", "ann", "--password-stdin", registry.host]
    process = subprocess.Popen([str(engines.ONGGI), *words], stdin=subprocess.PIPE, env=env)
    time.sleep(0.2)  # it waits for the password
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert json.loads((tmp_path / "config.json").read_text())["auths"] == {"other.example": {"auth": "YTpi"}}


def test_an_upload_is_not_led_from_tls_to_plain_http(tmp_path: Path) -> None:
    from tests.conformance.clients import certificates

    ca = certificates.authority(tmp_path / "ca")
    found = certificates.certificate(ca, tmp_path / "server", "serverAuth")
    with scripted() as plain, scripted(tls=(found / "cert.pem", found / "key.pem")) as one:

        def leads(handler: Handler) -> bool:
            if handler.command != "POST":
                return False
            handler.answer(202, Location=f"http://{plain.host}/upload")
            return True

        one.rules.append(leads)
        with pytest.raises(OnggiError, match="leads from https to http"):
            push(one.host, Credentials(), b"data")
        assert plain.seen == []


def test_offline_asks_no_name_server(monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    def asked(*_: object, **__: object) -> None:
        raise AssertionError("a name was looked up")

    monkeypatch.setattr(socket, "getaddrinfo", asked)
    everything = Registries(Settings(offline=True), user_agent="test")
    with everything.job(Credentials()) as job, pytest.raises(OnggiError, match="is offline"):
        job.first(reference.parse("registry.example/a:1"), lambda one: one.manifest("1"))


def test_tries_are_as_many_as_configured() -> None:
    with scripted() as one:
        one.rules.append(lambda handler: handler.answer(503, b"{}", Retry_After="0") or True)
        for attempts in (1, 3):
            one.seen.clear()
            everything = Registries(Settings(attempts=attempts), user_agent="test", first_pause_s=0.001)
            with everything.job(Credentials()) as job, pytest.raises(OnggiError):
                job.first(reference.parse(f"{one.host}/a:1"), lambda one: one.manifest("1"))
            assert len(one.paths()) == attempts
