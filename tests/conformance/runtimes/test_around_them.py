"""What our engine does around another runtime: networks, ids, secrets, further mounts, crashes."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests import engines
from tests.conformance.pairs import IMAGE, Pair
from tests.conformance.runtimes.conftest import OWN, RUNTIMES, Under, configured, held

pytestmark = [pytest.mark.root, pytest.mark.peer, pytest.mark.slow]


@pytest.fixture
def pair(knowing_onggi: engines.Engine, docker_client: str) -> Pair:
    return Pair("docker", knowing_onggi)


def ask(port: int) -> str:
    """What a server that may still be starting says; dockerd's proxy takes connections before it does."""
    deadline = time.monotonic() + 30
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 5) as sock:
            if said := sock.makefile().read():
                return said
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_published_ports_and_names(under: Under) -> None:
    under("network", "create", "named")
    port = engines.free_port()
    run = ["run", "-d", "--runtime", under.runtime, "--network", "named"]
    serve = ("nc", "-ll", "-p", "80", "-e", "echo", "served")
    under(*run, "--name", "server", "-p", f"127.0.0.1:{port}:80", IMAGE, *serve)
    assert ask(port) == "served\n"
    run = ["run", "--rm", "--runtime", under.runtime, "--network", "named", IMAGE]
    assert under(*run, "nc", "-w", "20", "server", "80") == "served"
    under("rm", "-f", "server")
    under("network", "rm", "named")


def test_another_containers_namespaces(under: Under) -> None:
    under.lacks("runsc", "a sandbox has no namespaces that others could join")
    name = under.behind("sleep", "1000", flags=("--ipc", "shareable", "--name", "first"))
    flags = ["--runtime", under.runtime, "--network", f"container:{name}", "--ipc", f"container:{name}"]
    pids = under("run", "--rm", *flags, "--pid", f"container:{name}", IMAGE, "cat", "/proc/1/cmdline")
    assert pids == "sleep\x001000\x00"


def test_ids_of_its_own(under: Under) -> None:
    under.client = "onggi"  # docker's knows no --userns=auto
    if under.runtime == "runsc":
        code, why = under.fails("run", "--rm", *under.options("--userns", "auto"), IMAGE, "true")
        assert code == 125
        assert "runsc: error setting up chroot" in why
        return
    flags = ("--userns", "auto", "-v", "/volume")
    script = "cat /proc/self/uid_map; touch /root/x /volume/x && stat -c %u:%g /root/x /volume/x; sleep 1000"
    name = under.behind("sh", "-c", script, flags=flags)
    said = under.until("0:0\n0:0", "logs", name).split()
    assert int(said[1]) > 0
    assert under("exec", "-u", "app", name, "id", "-u") == "1000"
    pid = under.inspect(name, "{{.State.Pid}}")
    assert os.stat(f"/proc/{pid}").st_uid == int(said[1])
    with_network = ["run", "--rm", "--runtime", under.runtime, "--userns", "auto", IMAGE]
    assert under(*with_network, "sh", "-c", "ip addr | grep -c eth0") in ("1", "2")


@pytest.mark.parametrize("runtime", ["runc", "crun"])
def test_ids_of_the_whole_engines(tmp_path: Path, runtime: str) -> None:
    flags = ("--config-file", configured(tmp_path), "--userns-remap", "default")
    with engines.onggi(tmp_path, *flags) as engine:
        engines.import_busybox(engine)
        run = ("run", "--rm", "--runtime", runtime, IMAGE)
        first, outside, count = engine.docker(*run, "cat", "/proc/self/uid_map").split()
        assert (first, count) == ("0", "65536")
        assert int(outside) >= 65536


def test_secrets_are_on_no_disk(under: Under) -> None:
    run = ["run", "-d", *under.options("--secret", "word"), IMAGE]
    under.engine.run("onggi", "secret", "create", "word", "-", stdin=b"hush-hush")
    try:
        name = under.engine.run(
            "onggi", *run, "sh", "-c", "cat /run/secrets/word; echo; sleep 1000"
        ).stdout.strip()
        under.until("hush-hush", "logs", name)
        assert under("exec", name, "cat", "/run/secrets/word") == "hush-hush"
        state = under.engine.exec_root / "runtimes"
        found = subprocess.run(["grep", "-rl", "hush-hush", str(state)], capture_output=True, text=True)
        assert found.stdout == ""
        under("rm", "-f", name)
    finally:
        under.engine.run("onggi", "secret", "rm", "word")


def test_mounts_that_the_specification_has_no_words_for(under: Under, tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "file").write_text("there\n")
    mounts = [
        f"type=bind,source={tmp_path},target=/overlaid,bind-copy-on-write",
        f"type=image,source={IMAGE},target=/image",
        "type=volume,source=deep,target=/deep",
    ]
    flags = tuple(word for mount in mounts for word in ("--mount", mount))
    command = ["run", "--rm", *under.options(*flags), IMAGE, "sh", "-c"]
    script = "cat /overlaid/below/file; echo x >/overlaid/changed && ls /image/etc/passwd; mkdir -p /deep/er"
    said = under.engine.run("onggi", *command, script).stdout.split()
    assert said == ["there", "/image/etc/passwd"]
    assert not (tmp_path / "changed").exists()
    subpath = "type=volume,source=deep,target=/deep,volume-subpath=er"
    said = under(
        "run", "--rm", *under.options("--mount", subpath), IMAGE, "sh", "-c", "echo y >/deep/y; ls /deep"
    )
    assert said == "y"
    under("volume", "rm", "deep")
    if under.runtime == "onggi":
        return
    exclude = f"type=bind,source={tmp_path},target=/x,exclude=below"
    done = under.engine.run(
        "onggi", "run", "--rm", *under.options("--mount", exclude), IMAGE, "true", check=False
    )
    assert "exclude needs the engine's own runtime" in done.stderr


def test_a_read_only_bind_is_so_below(under: Under, tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", tmp_path / "below"], check=True)
    try:
        script = "touch /bound/below/x 2>/dev/null || echo read-only"
        assert under.once("sh", "-c", script, flags=("-v", f"{tmp_path}:/bound:ro")) == "read-only"
    finally:
        subprocess.run(["umount", tmp_path / "below"], check=True)


def test_mounts_reach_the_host_where_they_are_shared(under: Under, tmp_path: Path) -> None:
    under.lacks("runsc", "what is mounted in the sandbox is the sandbox's")
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", tmp_path], check=True)
    subprocess.run(["mount", "--make-shared", tmp_path], check=True)
    try:
        (tmp_path / "place").mkdir()
        flags = ("--privileged", "-v", f"{tmp_path}:/shared:rshared")
        name = under.behind("sh", "-c", "mount -t tmpfs x /shared/place && echo up; sleep 1000", flags=flags)
        under.until("up", "logs", name)
        assert os.path.ismount(tmp_path / "place")
        under("rm", "-f", name)
    finally:
        subprocess.run(["umount", "-R", tmp_path], check=True)


def test_no_mount_of_a_container_is_the_hosts(under: Under) -> None:
    before = Path("/proc/self/mountinfo").read_text()
    under.behind("sleep", "1000")
    new = set(Path("/proc/self/mountinfo").read_text().splitlines()) - set(before.splitlines())
    assert [
        line for line in new if str(under.engine.root) in line or str(under.engine.exec_root) in line
    ] == []


def test_the_daemon_is_killed_and_the_end_is_not_lost(under: Under, tmp_path: Path) -> None:
    script = "echo up; while [ ! -e /gate/open ]; do sleep 0.1; done; echo last; exit 23"
    name = under.behind("sh", "-c", script, flags=("-v", f"{tmp_path}:/gate"))
    stays = under.behind("sh", "-c", "trap 'exit 3' TERM; echo up; while :; do sleep 0.1; done")
    under.until("up", "logs", name)
    under.until("up", "logs", stays)
    under.engine.kill()
    (tmp_path / "open").touch()
    time.sleep(1.5)  # the run ends while nobody looks
    under.engine.start()
    assert under.exit_of(name) == 23
    assert under("logs", name).split() == ["up", "last"]
    assert under("exec", stays, "echo", "adopted") == "adopted"
    under("cp", f"{stays}:/etc/passwd", str(tmp_path))
    under("stop", stays)
    assert under.exit_of(stays) == 3


def test_the_shim_is_killed_and_the_runtime_lets_go(under: Under) -> None:
    name = under.behind("sleep", "1000")
    pid = int(under.inspect(name, "{{.State.Pid}}"))
    stat = Path(f"/proc/{pid}/stat").read_text()
    os.kill(int(stat.rpartition(")")[2].split()[1]), signal.SIGKILL)
    under.until("exited", "inspect", "-f", "{{.State.Status}}", name)
    assert held(under.engine) == []
    engines.until(lambda: not Path(f"/proc/{pid}").exists())
    under("start", name)
    assert under.inspect(name, "{{.State.Running}}") == "true"


def test_the_shim_is_killed_while_the_daemon_is_dead(under: Under) -> None:
    name = under.behind("sleep", "1000")
    pid = int(under.inspect(name, "{{.State.Pid}}"))
    shim = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    under.engine.kill()
    os.kill(shim, signal.SIGKILL)
    under.engine.start()
    under.until("exited", "inspect", "-f", "{{.State.Status}}", name)
    assert held(under.engine) == []
    engines.until(lambda: not Path(f"/proc/{pid}").exists())


def test_a_start_in_vain_leaves_nothing(under: Under) -> None:
    name = under("create", *under.options(), IMAGE, "/no/such/program")
    assert under.fails("start", name)
    assert held(under.engine) == []
    assert under.inspect(name, "{{.State.Status}} {{.State.ExitCode}}") == "created 127"


def test_what_only_the_own_runtime_does_is_refused(under: Under, tmp_path: Path) -> None:
    if under.runtime == "onggi":
        pytest.skip("it is the own one")
    learn = ["run", "--rm", "--security-learn", str(tmp_path), *under.options(), IMAGE, "true"]
    done = under.engine.run("onggi", *learn, check=False)
    assert done.returncode == 125
    assert f"security-learn needs the engine's own runtime: {under.runtime} cannot be watched" in done.stderr


def test_the_runtime_is_not_there_any_more(tmp_path: Path) -> None:
    gone = {"path": str(tmp_path / "gone")}
    with engines.onggi(tmp_path, "--config-file", configured(tmp_path, gone=gone)) as engine:
        engines.import_busybox(engine)
        (tmp_path / "gone").write_text(f'#!/bin/sh\nexec {OWN} "$@"\n')
        (tmp_path / "gone").chmod(0o755)
        cid = engine.docker("run", "-d", "--runtime", "gone", IMAGE, "sleep", "1000").strip()
        (tmp_path / "gone").unlink()
        engine.docker("kill", cid)
        assert engine.docker("wait", cid).strip() == "137"
        done = engine.run("docker", "start", cid, check=False)
        assert f"fork/exec {tmp_path}/gone: no such file or directory" in done.stderr
        engine.docker("rm", "-f", cid)


SPY = """#!{python} -IS
import os, sys
fds = [name for name in sorted(os.listdir("/proc/self/fd")) if os.path.exists("/proc/self/fd/" + name)]
verb = next(word for word in sys.argv[1:] if word in ("create", "start", "exec", "delete"))
with open("{seen}", "a") as file:
    print(verb, *fds, file=file)
os.execvp("runc", sys.argv)
"""


def test_a_runtime_is_given_its_streams_and_nothing_else(tmp_path: Path) -> None:
    """A descriptor of the host's that comes into a container is a way out (CVE-2024-21626)."""
    spy, seen = tmp_path / "spy", tmp_path / "seen"
    spy.write_text(SPY.format(python=sys.executable, seen=seen))
    spy.chmod(0o755)
    with engines.onggi(tmp_path, "--add-runtime", f"spy={spy}") as engine:
        engines.import_busybox(engine)
        cid = engine.docker("run", "-d", "--runtime", "spy", IMAGE, "sleep", "1000").strip()
        inside = engine.docker("exec", cid, "ls", "/proc/self/fd").split()
        engine.docker("rm", "-f", cid)
    calls = [line.split() for line in seen.read_text().splitlines()]
    assert [words[0] for words in calls] == ["create", "start", "exec", "delete"]
    assert {tuple(words[1:]) for words in calls} == {("0", "1", "2")}
    assert inside == ["0", "1", "2", "3"]  # the last one is ls's own


def test_runtimes_are_read_again(tmp_path: Path) -> None:
    with engines.onggi(tmp_path, "--config-file", configured(tmp_path)) as engine:
        assert "again" not in engine.api("GET", "/info")["Runtimes"]
        settings = json.loads((tmp_path / "daemon.json").read_text())
        settings["runtimes"]["again"] = {"path": str(OWN)}
        (tmp_path / "daemon.json").write_text(json.dumps({**settings, "default-runtime": "again"}))
        assert engine.process is not None
        engine.process.send_signal(signal.SIGHUP)
        engines.until(lambda: engine.api("GET", "/info")["DefaultRuntime"] == "again")
        assert engine.api("GET", "/info")["Runtimes"]["again"]["path"] == str(OWN)


# --- the engine's settings ------------------------------------------------------------------------------


def test_default_runtime_and_flags(tmp_path: Path) -> None:
    flags = ["--add-runtime", f"Mine={OWN}", "--default-runtime", "mine"]
    with engines.onggi(tmp_path, *flags) as engine:
        engines.import_busybox(engine)
        found = engine.api("GET", "/info")
        assert found["DefaultRuntime"] == "mine"
        assert found["Runtimes"]["mine"]["path"] == str(OWN)
        assert {"onggi", "runc", "io.containerd.runc.v2"} < set(found["Runtimes"])
        cid = engine.docker("run", "-d", IMAGE, "true").strip()
        assert engine.docker("inspect", "-f", "{{.HostConfig.Runtime}}", cid).strip() == "mine"
        assert "Runtimes:" in engine.onggi("info")
        assert "mine" in engine.onggi("info")


@pytest.mark.parametrize(
    ("document", "why"),
    [
        ({"runtimes": {"runc": {"path": "/x"}}}, "runtime name 'runc' is reserved"),
        ({"runtimes": {"x": {"runtimeType": "io.containerd.kata.v2"}}}, "runtimeType io.containerd.kata.v2"),
        ({"runtimes": {"x": {}}}, "runtime x: either a runtimeType or a path must be configured"),
        ({"runtimes": {"x": {"path": "/x", "options": {"a": 1}}}}, "options cannot be used"),
        ({"runtimes": {"x": {"path": "/x", "wrong": 1}}}, "unknown field `wrong`"),
        ({"default-runtime": "x"}, "specified default runtime 'x' does not exist"),
    ],
)
def test_settings_that_are_refused(tmp_path: Path, document: dict[str, object], why: str) -> None:
    (tmp_path / "daemon.json").write_text(json.dumps(document))
    done = subprocess.run(
        [engines.ONGGI, "daemon", "--validate", "--config-file", tmp_path / "daemon.json"],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode != 0
    assert why in done.stderr


@pytest.mark.parametrize("text", ["x", "=y", "x="])
def test_flags_that_are_refused(text: str) -> None:
    command = [engines.ONGGI, "daemon", "--validate", "--add-runtime", text]
    done = subprocess.run(command, capture_output=True, text=True)
    assert f"invalid runtime argument: {text}" in done.stderr


def test_the_suite_covers_them_all() -> None:
    assert RUNTIMES == ("onggi", "runc", "crun", "runsc")
