"""Flags and the configuration file, and what each mistake is called."""

from __future__ import annotations

import json
import os
import socket
import stat
from pathlib import Path

import pytest

from onggi.cli.flags import parse
from onggi.daemon import pid_file, settings, sockets
from onggi.daemon.flags import FLAGS
from onggi.daemon.settings import Settings
from onggi.errors import Conflict, InvalidParameter


def load(*words: str) -> Settings:
    return settings.load(parse(FLAGS, list(words))[0])


def test_defaults() -> None:
    found = load()
    assert found.hosts == ("unix:///run/onggi/onggi.sock",)
    assert found.pid_file == "/run/onggi/onggi.pid" and found.log_level == "info"


def test_flags_reach_the_engine() -> None:
    found = load(
        "--root", "/a", "--exec-root=/b", "-D", "-H", "unix:///x", "-H", "fd://", "--default-ulimit",
        "nofile=10:20", "--log-opt", "max-size=1m", "--label", "a=b", "-s", "native", "--init", "-p", "/p",
    )  # fmt: skip
    assert (found.engine.root, found.engine.exec_root, found.pid_file) == ("/a", "/b", "/p")
    assert found.hosts == ("unix:///x", "fd://") and found.log_level == "debug"
    assert found.engine.default_ulimits["nofile"].hard == 20
    assert found.engine.log_options == {"max-size": "1m"} and found.engine.labels == ("a=b",)
    assert found.engine.storage_driver == "native" and found.engine.init


def test_the_file_and_the_flags_must_not_both_say_it(tmp_path: Path) -> None:
    path = tmp_path / "daemon.json"
    path.write_text(json.dumps({"labels": ["a=b"], "data-root": "/r"}))
    assert load("--config-file", str(path)).engine.root == "/r"
    with pytest.raises(InvalidParameter) as caught:
        load("--config-file", str(path), "--label", "c=d", "--root", "/q")
    assert "specified both as a flag and in the configuration file: " in caught.value.message
    assert "data-root: (from flag: /q, from file: /r)" in caught.value.message
    assert "labels: (from flag: ['c=d'], from file: ['a=b'])" in caught.value.message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "unable to configure"),
        ('{"nope": 1}', "don't match any configuration option: nope"),
        ('{"log-level": "loud"}', "invalid logging level: loud"),
        ('{"mtu": "x"}', "invalid configuration"),
        ('{"hosts": "unix:///x"}', "hosts must be a list"),
        ('{"live-restore": false}', "live-restore"),
        ('{"shutdown-timeout": -1}', "shutdown-timeout"),
    ],
)
def test_files_that_are_wrong(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "daemon.json"
    path.write_text(text)
    with pytest.raises(InvalidParameter, match=message):
        load("--config-file", str(path))


def test_a_file_that_was_named_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(InvalidParameter, match="no such file"):
        load("--config-file", str(tmp_path / "none"))


def test_reload_changes_what_can_be_changed(tmp_path: Path) -> None:
    path = tmp_path / "daemon.json"
    path.write_text(json.dumps({"labels": ["a=1"], "data-root": "/r"}))
    flags = parse(FLAGS, ["--config-file", str(path), "--init"])[0]
    before = settings.load(flags)
    path.write_text(json.dumps({"labels": ["a=2"], "data-root": "/elsewhere", "debug": True}))
    after = settings.reloaded(flags, before)
    assert after.engine.labels == ("a=2",) and after.engine.root == "/r"
    assert after.engine.init and after.log_level == "debug"


def test_tcp_is_refused_unless_it_is_meant() -> None:
    with pytest.raises(InvalidParameter, match="refused to listen"):
        sockets.open_all(load("-H", "tcp://127.0.0.1:0"))
    with pytest.raises(InvalidParameter, match="refused to listen"):  # encrypted, and open to everybody
        sockets.open_all(load("-H", "tcp://127.0.0.1:0", "--tls"))
    (sock,) = sockets.open_all(load("-H", "tcp://127.0.0.1:0", "--tls=false"))
    sock.close()


def test_the_files_of_tls_are_found_where_dockerd_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_CERT_PATH", "/keys")
    found = load("--tlsverify", "--tlskey", "/elsewhere/k.pem").tls
    assert found == settings.TlsFiles("/keys/cert.pem", "/elsewhere/k.pem", "/keys/ca.pem")
    with pytest.raises(InvalidParameter, match="could not load X509 key pair"):
        sockets.tls_context(found)
    assert load("--tls", "--tlsverify=false").tls == settings.TlsFiles("/keys/cert.pem", "/keys/key.pem", "")


@pytest.mark.parametrize("host", ["nothing", "npipe:////x", "tcp://127.0.0.1:x"])
def test_hosts_that_are_none(host: str) -> None:
    with pytest.raises(InvalidParameter, match=r"bind address|parse docker host"):
        sockets.open_all(load("-H", host, "--tls=false"))


def test_a_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "s"
    found = load("-H", f"unix://{path}", "--group", str(os.getgid()))
    if os.getuid() != 0:
        pytest.skip("needs root: chown")
    (first,) = sockets.open_all(found)
    assert stat.S_IMODE(path.stat().st_mode) == 0o660
    first.listen()
    with pytest.raises(Conflict, match="another process listens on it"):
        sockets.open_all(found)
    first.close()
    (second,) = sockets.open_all(found)  # a stale one is replaced
    second.close()
    sockets.remove_all(found)
    assert not path.exists()
    path.write_text("x")
    with pytest.raises(InvalidParameter, match="is no socket"):
        sockets.open_all(found)


def test_a_group_that_was_named_must_exist(tmp_path: Path) -> None:
    with pytest.raises(InvalidParameter, match="group nobodyhasthis not found"):
        sockets.open_all(load("-H", f"unix://{tmp_path}/s", "-G", "nobodyhasthis"))


def test_socket_activation(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidParameter, match="no sockets found"):
        sockets.passed()
    with socket.socket(socket.AF_UNIX) as sock:
        copy = os.dup(sock.fileno())
        monkeypatch.setattr(sockets, "FIRST_PASSED_FD", copy)
        monkeypatch.setenv("LISTEN_PID", str(os.getpid()))
        monkeypatch.setenv("LISTEN_FDS", "1")
        (found,) = sockets.passed()
        assert found.fileno() == copy and "LISTEN_FDS" not in os.environ
        found.close()


def test_pid_file(tmp_path: Path) -> None:
    path = str(tmp_path / "pid")
    pid_file.write(path)
    assert Path(path).read_text() == f"{os.getpid()}\n"
    pid_file.remove(path)
    assert not os.path.exists(path)
    Path(path).write_text("1\n")  # a pid that is somebody else's now
    pid_file.write(path)
    pid_file.remove(path)
