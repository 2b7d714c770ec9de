"""An ordinary user's engine: started by his command, joined again after SIGKILL, closed to others."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import engines, rootless
from tests.engines import BUSYBOX, until

pytestmark = pytest.mark.root

NONE = ("--network", "none")


@pytest.fixture
def engine(rootless_onggi: rootless.Engine) -> Iterator[rootless.Engine]:
    yield rootless_onggi
    rootless_onggi.remove_all()


def namespaces(pid: int) -> list[str]:
    return [os.readlink(f"/proc/{pid}/ns/{kind}") for kind in ("user", "mnt", "net")]


def inhabitants(wanted: list[str]) -> list[int]:
    """Who lives in exactly these namespaces."""
    found = []
    for entry in os.listdir("/proc"):
        with contextlib.suppress(OSError):
            if entry.isdigit() and namespaces(int(entry)) == wanted:
                found.append(int(entry))
    return found


@pytest.fixture
def somebody() -> Iterator[rootless.User]:
    """A user who has no engine yet."""
    with rootless.user() as who:
        yield who


# --- the command starts it -----------------------------------------------------------------------------


def test_the_command_starts_an_engine_of_the_users(somebody: rootless.User) -> None:
    """`onggi` finds it at its place, and starts it where it is not; nobody was asked for anything."""
    done = somebody.run(str(engines.ONGGI), "run", "--rm", *NONE, "hello")
    assert "Hello from Onggi" in done.stdout
    assert "started the engine" in done.stderr
    socket_path = somebody.runtime_dir / "onggi/onggi.sock"
    try:
        assert stat.S_IMODE(socket_path.stat().st_mode) == 0o600
        assert stat.S_IMODE(socket_path.parent.stat().st_mode) == 0o700
        info = json.loads(somebody.run(str(engines.ONGGI), "info", "-f", "{{json .}}").stdout)
        assert "name=rootless" in info["SecurityOptions"]
        assert info["Driver"] == "overlay2"
        assert info["DockerRootDir"] == str(somebody.home / ".local/share/onggi")
    finally:
        pid = int((somebody.runtime_dir / "onggi/onggi.pid").read_text())
        os.kill(pid, signal.SIGTERM)
        until(lambda: not socket_path.exists())


def test_dockers_client_sees_a_rootless_engine(engine: rootless.Engine, docker_client: str) -> None:
    assert "rootless" in engine.docker("info")
    shown = engine.docker("version")
    assert "rootless:" in shown
    assert str(engine.exec_root) in shown
    assert engine.docker("run", "--rm", *NONE, BUSYBOX, "id", "-u") == "0\n"


def test_a_service_of_the_users_own(somebody: rootless.User) -> None:
    """The units are written and taken back, and what systemd would start takes systemd's socket."""
    if shutil.which("systemd-socket-activate") is None:
        pytest.skip("needs systemd-socket-activate (Debian: systemd)")
    onggi = str(engines.ONGGI)
    said = somebody.run(onggi, "system", "install", "--user").stdout
    units = somebody.home / ".config/systemd/user"
    launcher = somebody.home / ".local/bin/onggi"
    assert said.count("wrote") == 3
    service = (units / "onggi.service").read_text()
    assert f"ExecStart={launcher} daemon -H fd://" in service
    assert "Delegate=yes" in service
    path = somebody.runtime_dir / "onggi/onggi.sock"
    path.parent.mkdir(exist_ok=True)
    os.chown(path.parent, somebody.uid, somebody.gid)
    words = ("systemd-socket-activate", "-l", str(path), str(launcher), "daemon", "-H", "fd://")
    service_manager = subprocess.Popen(
        somebody.command(*words),
        env=somebody.env,
        stderr=subprocess.DEVNULL,
        cwd=somebody.home,
    )
    try:
        until(lambda: engines.listens(path))
        assert "rootless" in somebody.run(onggi, "info").stdout
    finally:
        service_manager.terminate()
        assert service_manager.wait(60) == 0
    assert somebody.run(onggi, "system", "uninstall", "--user").stdout.count("removed") == 3
    assert not launcher.exists()
    path.unlink()
    refused = subprocess.run(
        [onggi, "system", "install", "--user"], capture_output=True, text=True, check=False
    )
    assert "--user is for ordinary users" in refused.stderr


# --- whose what is ------------------------------------------------------------------------------------


def test_root_inside_is_the_user_and_others_are_his_subordinate_ids(engine: rootless.Engine) -> None:
    name = engine.onggi("run", "-d", *NONE, BUSYBOX, "sh", "-c", "exec sleep 1000").strip()
    other = engine.onggi("run", "-d", *NONE, "-u", "1000", BUSYBOX, "sleep", "1000").strip()
    ids = [
        os.stat(f"/proc/{json.loads(engine.onggi('inspect', one))[0]['State']['Pid']}").st_uid
        for one in (name, other)
    ]
    assert ids[0] == engine.who.uid
    assert ids[1] >= 100_000
    assert ids[1] not in (engine.who.uid, 1000)


def test_the_host_is_not_reached(engine: rootless.Engine) -> None:
    """Privileged means all rights over the engine's namespaces: the host's kernel sees an ordinary user."""
    script = (
        "mount -t tmpfs none /mnt 2>/dev/null || mount -t tmpfs none /tmp && echo mounted;"
        "echo 1 > /proc/sys/kernel/sysrq && echo wrote; hostname x && echo named;"
        "dd if=/dev/kmsg count=0 2>/dev/null && echo kmsg; true"
    )
    assert engine.onggi("run", "--rm", *NONE, "--privileged", BUSYBOX, "sh", "-c", script).split() == [
        "mounted", "named"
    ]  # fmt: skip
    flags = ("--rm", *NONE, "--privileged", "-v", "/etc/shadow:/x")
    shadow = engine.run("onggi", "run", *flags, BUSYBOX, "cat", "/x",
                        check=False)  # fmt: skip
    assert shadow.returncode != 0
    assert "ermission denied" in shadow.stderr


def test_a_container_does_not_see_the_users_files(engine: rootless.Engine) -> None:
    secret = engine.who.home / "secret"
    engine.who.run("sh", "-c", f"echo mine > {secret}; chmod 600 {secret}")
    script = f"cat {secret} /proc/1/root{secret} /proc/self/cwd/../..{secret} 2>/dev/null; ls /tmp"
    assert engine.onggi("run", "--rm", *NONE, BUSYBOX, "sh", "-c", script) == ""
    # with the host's processes in sight as well: these are not his to trace or to look into
    script = f"for p in /proc/[0-9]*; do cat $p/root{secret} $p/cwd/secret 2>/dev/null; done; true"
    assert engine.onggi("run", "--rm", *NONE, "--pid", "host", BUSYBOX, "sh", "-c", script) == ""


def test_other_users_cannot_come_near(engine: rootless.Engine) -> None:
    with rootless.user() as other:
        for path in (engine.socket, engine.exec_root, engine.root / "onggi.db"):
            assert other.run("ls", "-l", str(path), check=False).returncode != 0, path


# --- SIGKILL ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("whom", ["parent", "engine"])
def test_containers_outlive_a_killed_engine(engine: rootless.Engine, whom: str) -> None:
    script = "i=0; while :; do echo $i; i=$((i+1)); sleep 0.1; done"
    name = engine.onggi("run", "-d", *NONE, "--name", "jar", BUSYBOX, "sh", "-c", script).strip()
    init = json.loads(engine.onggi("inspect", name))[0]["State"]["Pid"]
    assert engine.process is not None
    inner = int((engine.exec_root / "onggi.pid").read_text())
    before = namespaces(inner)
    if whom == "engine":
        os.kill(inner, signal.SIGKILL)
        assert engine.process.wait(60) == 137
    engine.kill()
    until(lambda: not Path(f"/proc/{inner}").exists())
    assert Path(f"/proc/{init}").exists()
    engine.start()
    assert namespaces(int((engine.exec_root / "onggi.pid").read_text())) == before
    assert engine.onggi("exec", "jar", "echo", "here") == "here\n"
    assert json.loads(engine.onggi("inspect", name))[0]["State"]["Pid"] == init
    lines = engine.onggi("logs", "jar").splitlines()
    assert lines == [str(number) for number in range(len(lines))]
    assert engine.onggi("rm", "-f", "jar") == "jar\n"
    assert not Path(f"/proc/{init}").exists()


def test_a_killed_shim_takes_its_container_along(engine: rootless.Engine) -> None:
    """Without a cgroup the processes are known by their namespace."""
    engine.onggi("run", "-d", *NONE, "--name", "jar", BUSYBOX, "sh", "-c", "sleep 1000 & exec sleep 1000")
    engine.onggi("exec", "-d", "jar", "sleep", "999")
    until(lambda: len(engine.api("GET", "/containers/jar/top")["Processes"]) == 3)
    pids = [int(row[1]) for row in engine.api("GET", "/containers/jar/top")["Processes"]]
    state = engine.api("GET", "/containers/jar/json")["Id"]
    shim = int((engine.exec_root / "shims" / state / "state").read_text().split()[1])
    os.kill(shim, signal.SIGKILL)
    until(lambda: engine.api("GET", "/containers/jar/json")["State"]["Status"] == "exited")
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))


def test_an_engine_comes_back_to_containers_without_shims(engine: rootless.Engine) -> None:
    """Nobody is left in its mount and network namespaces: it joins what it needs to have rights over them."""
    engine.onggi("run", "-d", *NONE, "-u", "1000", "--name", "jar", BUSYBOX, "sleep", "1000")
    engine.onggi("run", "-d", *NONE, "--restart", "always", "--name", "back", BUSYBOX, "sleep", "1000")
    pids = [engine.api("GET", f"/containers/{name}/json")["State"]["Pid"] for name in ("jar", "back")]
    inner = int((engine.exec_root / "onggi.pid").read_text())
    before = namespaces(inner)
    held = os.open(f"/proc/{inner}/ns/net", os.O_RDONLY)  # or the next one has its number
    engine.kill()
    for pid in inhabitants(before):  # shims, and companions, which would keep the namespaces, too
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    until(lambda: not inhabitants(before))
    assert all(Path(f"/proc/{pid}").exists() for pid in pids)
    engine.start()
    now = namespaces(int((engine.exec_root / "onggi.pid").read_text()))
    os.close(held)
    assert now[0] == before[0]
    assert now[1:] != before[1:]
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))
    assert engine.api("GET", "/containers/jar/json")["State"]["ExitCode"] == 255
    until(lambda: engine.api("GET", "/containers/back/json")["State"]["Running"])
    assert engine.onggi("start", "jar") == "jar\n"


def test_a_second_engine_is_told(engine: rootless.Engine) -> None:
    done = engine.who.run(str(engines.ONGGI), "daemon", check=False)
    assert done.returncode == 1
    assert "another engine of yours runs" in done.stderr


def test_nothing_is_left_behind(somebody: rootless.User) -> None:
    with rootless.onggi(somebody) as engine:
        engines.import_busybox(engine)
        engine.onggi("run", "--rm", *NONE, "-v", "data:/data", BUSYBOX, "touch", "/data/x")
        made = namespaces(int((engine.exec_root / "onggi.pid").read_text()))
        engine.stop()
        until(lambda: not inhabitants(made))
        until(lambda: not rootless.processes(somebody.uid))
        left = {path.name for path in engine.exec_root.iterdir()}
        assert not {"engine.sock", "onggi.pid", "outside.sock"} & left
        assert list((engine.exec_root / "shims").iterdir()) == []


# --- limits -------------------------------------------------------------------------------------------


def test_limits_without_cgroups_are_discarded_in_dockerds_words(engine: rootless.Engine) -> None:
    if json.loads(engine.onggi("info", "-f", "{{json .CgroupDriver}}")) != "none":
        pytest.skip("needs a machine that delegates no cgroup to this user")
    flags = ("-m", "32m", "--pids-limit", "5", "--cpu-shares", "9", "--cpuset-cpus", "0")
    done = engine.run("onggi", "run", "--rm", *NONE, *flags, BUSYBOX, "echo", "ran")
    assert done.stdout == "ran\n"
    for what in ("memory limit capabilities", "pids limit capabilities", "CPU shares", "cpuset"):
        assert f"Your kernel does not support {what} or the cgroup is not mounted." in done.stderr
    refused = engine.run("onggi", "run", "--rm", *NONE, "--cpus", "1", BUSYBOX, "true", check=False)
    assert refused.returncode == 125
    assert "NanoCPUs can not be set, as your kernel does not support CPU CFS scheduler" in refused.stderr
    assert "Running in rootless-mode without cgroups" in engine.run("onggi", "info").stderr
    engine.onggi("run", "-d", *NONE, "--name", "jar", BUSYBOX, "sleep", "1000")
    assert "cannot pause without cgroups" in engine.run("onggi", "pause", "jar", check=False).stderr
    updated = engine.run("onggi", "update", "-m", "64m", "--restart", "always", "jar")
    assert "memory limit capabilities" in updated.stderr + updated.stdout
    stats = engine.api("GET", "/containers/jar/stats?stream=0&one-shot=1")
    assert stats["pids_stats"]["current"] == 1
    assert stats["memory_stats"]["usage"] > 0
    assert engine.onggi("commit", "jar", "committed:x").startswith("sha256:")


@pytest.mark.parametrize(
    ("flags", "why"),
    [
        (("--userns", "auto"), "--userns=auto is not supported in rootless mode"),
        (("--userns", "keep-id"), "--userns=keep-id is not supported in rootless mode"),
        (("--ulimit", "nofile=99999999"), "RLIMIT_NOFILE"),
    ],
)
def test_what_cannot_work_is_refused_by_name(
    engine: rootless.Engine, flags: tuple[str, ...], why: str
) -> None:
    done = engine.run("onggi", "run", "--rm", *NONE, *flags, BUSYBOX, "true", check=False)
    assert done.returncode == 125 or done.returncode == 1
    assert why in done.stderr


def test_oom_score_and_devices_and_host_namespaces(engine: rootless.Engine) -> None:
    cat = ("cat", "/proc/self/oom_score_adj")
    own = Path(f"/proc/{(engine.exec_root / 'onggi.pid').read_text().strip()}/oom_score_adj").read_text()
    assert engine.onggi("run", "--rm", *NONE, "--oom-score-adj", "-900", BUSYBOX, *cat) == own
    assert engine.onggi("run", "--rm", *NONE, "--oom-score-adj", "900", BUSYBOX, *cat) == "900\n"
    listed = engine.onggi("run", "--rm", *NONE, BUSYBOX, "stat", "-c", "%t:%T", "/dev/null", "/dev/urandom")
    assert listed.split() == ["1:3", "1:9"]
    renamed = ("--device", "/dev/zero:/dev/other", "--device", "/dev/zero:/dev/kmsg")  # never the host's kmsg
    listed = engine.onggi(
        "run", "--rm", *NONE, *renamed, BUSYBOX, "stat", "-c", "%t:%T", "/dev/other", "/dev/kmsg"
    )
    assert listed.split() == ["1:5", "1:5"]
    assert engine.onggi("run", "--rm", *NONE, "--pid", "host", BUSYBOX, "ls", "-d", "/proc/1") == "/proc/1\n"
    engine.onggi("run", "--rm", *NONE, "--ipc", "host", BUSYBOX, "true")
    groups = engine.onggi("run", "--rm", *NONE, BUSYBOX, "cat", "/proc/sys/net/ipv4/ping_group_range")
    assert groups.split() == ["0", "65536"]


# --- layers -------------------------------------------------------------------------------------------


def test_whiteouts_and_opaque_directories(engine: rootless.Engine, tmp_path: Path) -> None:
    """What a layer deletes stays deleted through commit, save and load, on overlay with user.overlay.*"""
    assert json.loads(engine.onggi("info", "-f", "{{json .Driver}}")) != "vfs"
    script = "mkdir -p /d/e && touch /d/e/old /d/gone"
    engine.onggi("run", *NONE, "--name", "one", BUSYBOX, "sh", "-c", script)
    engine.onggi("commit", "one", "one:x")
    engine.onggi(
        "run",
        *NONE,
        "--name",
        "two",
        "one:x",
        "sh",
        "-c",
        "rm /d/gone; rm -r /d/e; mkdir /d/e; touch /d/e/new",
    )
    assert sorted(engine.onggi("diff", "two").split("\n")) == sorted(
        ["", "C /d", "D /d/gone", "C /d/e", "A /d/e/new", "D /d/e/old"]
    )
    engine.onggi("commit", "two", "two:x")
    saved = engine.run("onggi", "save", "-o", str(engine.who.home / "two.tar"), "two:x")
    assert saved.returncode == 0
    engine.remove_all()
    for name in ("two:x", "one:x"):
        engine.onggi("rmi", name)
    engine.onggi("load", "-i", str(engine.who.home / "two.tar"))
    assert engine.onggi("run", "--rm", *NONE, "two:x", "find", "/d").split() == ["/d", "/d/e", "/d/e/new"]
    engine.onggi("rmi", "two:x")


# --- one id -------------------------------------------------------------------------------------------


def test_a_user_without_subordinate_ids() -> None:
    with rootless.user(subordinate_ids=False) as who, rootless.onggi(who) as engine:
        engines.import_busybox(engine)
        assert f"give {who.name} no ids" in engine.log
        run = ("run", "--rm", *NONE)
        assert engine.onggi(*run, BUSYBOX, "sh", "-c", "id -u; stat -c %u:%g /home/app").split() == [
            "0",
            "0:0",
        ]
        refused = engine.run("onggi", *run, "-u", "1000", BUSYBOX, "true", check=False)
        assert refused.returncode != 0
        assert "1000" in refused.stderr
        engine.onggi("run", "-d", *NONE, "--name", "jar", BUSYBOX, "sleep", "1000")
        assert engine.onggi("exec", "jar", "echo", "in") == "in\n"
        tty = subprocess.run(
            who.command("script", "-qec", f"{engines.ONGGI} {' '.join(run)} -t {BUSYBOX} tty", "/dev/null"),
            env={**who.env, "DOCKER_HOST": engine.host}, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert "/dev/pts/0" in tty.stdout
        engine.kill()
        engine.start()
        assert engine.onggi("exec", "jar", "echo", "still") == "still\n"
        engine.onggi("rm", "-f", "jar")


def test_the_package_that_lacks_is_named() -> None:
    """newuidmap is hidden from one user by a mount namespace of the test's."""
    if shutil.which("unshare") is None:
        pytest.skip("needs unshare (Debian: util-linux)")
    with rootless.user() as who:
        place = "/usr/bin/newuidmap"
        hide = f"mount --bind /dev/null {place} && mount -o remount,bind,noexec {place} && exec "
        words = who.command(str(engines.ONGGI), "run", "--rm", *NONE, "hello")
        done = subprocess.run(
            ["unshare", "-m", "sh", "-c", hide + " ".join(words)],
            env=who.env, capture_output=True, text=True, timeout=60, cwd=who.home,
        )  # fmt: skip
        log = (who.runtime_dir / "onggi/onggi.log").read_text()
        assert done.returncode == 0, done.stderr
        assert "not installed: newuidmap (package uidmap)" in log
