"""`onggi system install` and `uninstall`: below a prefix, and on a machine that systemd runs.

The machine is a container of our own engine, with this machine's /usr and a systemd as its first process.
"""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import engines

pytestmark = pytest.mark.root
SYSTEMD = "/usr/lib/systemd/systemd"
FIRST = str(engines.ONGGI)
INSTALLED = "/usr/local/bin/onggi"
LISTENER = (
    "import os, signal, socket; s = socket.socket(socket.AF_UNIX); s.bind('/run/new'); s.listen(); "
    "os.rename('/run/new', '/run/docker.sock'); signal.pause()"
)


def test_what_is_installed_below_a_prefix_runs_an_engine(tmp_path: Path) -> None:
    prefix = tmp_path / "prefix"
    done = subprocess.run(
        [FIRST, "system", "install", "--prefix", str(prefix)], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    launcher = prefix / "usr/local/bin/onggi"
    with engines.onggi(tmp_path) as engine:
        engine.stop()
        engine.command[0] = str(launcher)
        engine.start()
        host = ["-H", engine.host]
        hello = subprocess.run([launcher, *host, "run", "--rm", "hello"], capture_output=True, text=True)
        assert "Hello from Onggi!" in hello.stdout, hello.stderr
        code = subprocess.run([launcher, *host, "inspect", "absent"], capture_output=True).returncode
        assert code == 1
    gone = subprocess.run(
        [FIRST, "system", "uninstall", "--prefix", str(prefix)], capture_output=True, text=True
    )
    assert gone.returncode == 0, gone.stderr
    assert [path for path in prefix.rglob("*") if path.is_file()] == []


def install(prefix: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    command = [FIRST, "system", "install", "--prefix", str(prefix), *flags]
    return subprocess.run(command, capture_output=True, text=True)


def put(prefix: Path, path: str, text: str = "") -> Path:
    place = prefix / path
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text)
    return place


def test_as_docker_below_a_prefix(tmp_path: Path) -> None:
    assert install(tmp_path, "--as-docker").returncode == 0
    units = tmp_path / "etc/systemd/system"
    assert "ListenStream=/run/docker.sock\n" in (units / "docker.socket").read_text()
    assert "SocketGroup=docker\n" in (units / "docker.socket").read_text()
    assert "Alias=docker.service\n" in (units / "onggi.service").read_text()
    name = tmp_path / "usr/local/bin/docker"
    assert os.readlink(name) == "onggi"

    def said(*words: str) -> str:
        done = subprocess.run([name, *words], capture_output=True, text=True)
        return done.stdout + done.stderr

    assert said("--version").startswith("Docker version 28.2.2, build onggi-")
    assert said("ps", "--help").startswith("Usage:  docker ps [OPTIONS]\n")
    assert said("nonsense") == (
        "docker: unknown command: docker nonsense\n\nRun 'docker --help' for more information\n"
    )
    assert "See 'docker run --help'" in said("run") and "onggi" not in said("completion", "bash")

    again = install(tmp_path)  # what was docker stays docker
    assert again.returncode == 0 and "docker.socket" in again.stdout
    subprocess.run([FIRST, "system", "uninstall", "--prefix", str(tmp_path)], check=True)
    assert [path for path in tmp_path.rglob("*") if not path.is_dir() or path.is_symlink()] == []


@pytest.mark.parametrize(
    "path",
    [
        "usr/bin/dockerd", "usr/local/sbin/dockerd", "lib/systemd/system/docker.service",
        "etc/systemd/system/docker.socket",
    ],
)  # fmt: skip
def test_as_docker_refuses_where_a_docker_lives(tmp_path: Path, path: str) -> None:
    place = put(tmp_path, path, "[Unit]\nDescription=Docker Application Container Engine\n")
    done = install(tmp_path, "--as-docker")
    assert done.returncode == 1 and str(place) in done.stderr and "nothing was changed" in done.stderr
    assert [found for found in tmp_path.rglob("*") if found.is_file()] == [place]
    assert install(tmp_path).returncode == 0


def test_a_docker_client_keeps_its_name(tmp_path: Path) -> None:
    client = put(tmp_path, "usr/bin/docker", "theirs")
    own = put(tmp_path, "usr/local/bin/docker", "theirs too")
    done = install(tmp_path, "--as-docker")
    assert done.returncode == 0 and f"left {own}: it is a Docker client" in done.stdout
    subprocess.run([FIRST, "system", "uninstall", "--prefix", str(tmp_path)], check=True)
    assert client.read_text() == "theirs" and own.read_text() == "theirs too"


class Machine:
    """A running systemd."""

    def __init__(self, engine: engines.Engine, name: str) -> None:
        self.engine, self.name = engine, name

    def __call__(self, *command: str, stdin: bytes | None = None) -> str:
        return self.engine.run("onggi", "exec", "-i", self.name, *command, stdin=stdin).stdout.strip()

    def status(self, *command: str) -> int:
        return self.engine.run("onggi", "exec", self.name, *command, check=False).returncode

    def unit(self, name: str, field: str) -> str:
        return self("systemctl", "show", "--value", "-p", field, name)


def skeleton() -> bytes:
    """A root file system with nothing but what /usr, mounted into it, does not bring."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name in ("usr", "etc", "var", "var/lib", "root", "opt", "etc/systemd", "etc/systemd/system"):
            info = tarfile.TarInfo(name)
            info.type, info.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(info)
        for name in ("bin", "sbin", "lib", "lib64"):
            if os.path.lexists(f"/usr/{name}"):
                info = tarfile.TarInfo(name)
                info.type, info.linkname = tarfile.SYMTYPE, f"usr/{name}"
                tar.addfile(info)
        for name, text in (
            ("passwd", "root:x:0:0:root:/root:/bin/sh\n"),
            ("group", "root:x:0:\n"),
            ("machine-id", ""),
        ):
            info = tarfile.TarInfo(f"etc/{name}")
            info.size, info.mode = len(text), 0o644
            tar.addfile(info, io.BytesIO(text.encode()))
    return out.getvalue()


@pytest.fixture
def machine(onggi: engines.Engine) -> Iterator[Machine]:
    if not os.path.exists(SYSTEMD):
        pytest.skip("needs systemd (Debian: systemd)")
    onggi.api("POST", "/images/create?fromSrc=-&repo=skeleton&tag=test", skeleton())
    top = str(engines.TOP)
    onggi.onggi(
        *("run", "-d", "--name", "machine", "--privileged", "--stop-signal", "SIGRTMIN+3"),
        *("--tmpfs", "/run", "--tmpfs", "/tmp:exec", "-v", "/usr:/usr:O", "--tmpfs", "/usr/local:exec"),
        *("--cgroupns", "private", "-v", "/var/lib/onggi", "-v", f"{top}:{top}:ro"),
        *("-e", "container=docker", "skeleton:test", SYSTEMD),
    )
    machine = Machine(onggi, "machine")
    try:
        try:
            _until(lambda: machine.status("systemctl", "is-active", "-q", "sockets.target") == 0)
        except AssertionError:
            said = onggi.run("onggi", "logs", "--tail", "30", "machine", check=False)
            jobs = onggi.run("onggi", "exec", "machine", "systemctl", "list-jobs", "--no-pager", check=False)
            raise AssertionError(f"{said.stdout}{said.stderr}\n{jobs.stdout}{jobs.stderr}") from None
        machine("mkdir", "-p", "/usr/local/bin")
        yield machine
    finally:
        onggi.run("onggi", "rm", "-f", "-v", "machine", check=False)
        onggi.onggi("rmi", "skeleton:test")


def _until(holds: object, seconds: float = 80) -> None:
    """An emulated processor is left alone for a while: asking is what takes its time there."""
    deadline = time.monotonic() + seconds * (20 if "ONGGI_V2" in os.environ else 1)
    while not holds():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(5 if "ONGGI_V2" in os.environ else 0.05)


def test_under_systemd_containers_outlive_the_service(machine: Machine) -> None:
    machine(FIRST, "system", "install")
    assert machine.unit("onggi.socket", "ActiveState") == "active"
    assert machine.unit("onggi.service", "ActiveState") == "inactive"
    assert machine.unit("onggi.service", "UnitFileState") == "enabled"  # restart policies hold at boot
    assert machine("stat", "-c", "%a %G", "/run/onggi/onggi.sock") == "660 onggi"

    machine(INSTALLED, "import", "-", "busybox", stdin=engines.busybox_rootfs())  # the first client starts it
    assert machine.unit("onggi.service", "ActiveState") == "active"
    jar = machine(
        INSTALLED, "run", "-d", "--network", "none", "--restart", "always", "busybox", "sleep", "1000"
    )
    pid = machine(INSTALLED, "inspect", "-f", "{{.State.Pid}}", jar)
    daemon = machine.unit("onggi.service", "MainPID")

    machine("systemctl", "restart", "onggi.service")
    assert machine(INSTALLED, "inspect", "-f", "{{.State.Pid}}", jar) == pid
    assert machine.unit("onggi.service", "MainPID") != daemon

    machine("systemctl", "kill", "--kill-who=main", "-s", "KILL", "onggi.service")
    assert machine(INSTALLED, "inspect", "-f", "{{.State.Status}} {{.State.Pid}}", jar) == f"running {pid}"

    machine(INSTALLED, "rm", "-f", jar)
    machine(INSTALLED, "system", "uninstall")
    assert machine.status("systemctl", "cat", "onggi.socket") != 0
    assert machine.status("test", "-e", "/run/onggi/onggi.sock") == 1
    assert machine.status("test", "-e", INSTALLED) == 1


def test_as_docker_under_systemd(machine: Machine) -> None:
    """First this machine's Docker is in the way, in each of its forms; then there is none."""
    machine("ln", "-sfn", "/run", "/var/run")

    def refused() -> str:
        done = machine.engine.run(
            "onggi", "exec", machine.name, FIRST, "system", "install", "--as-docker", check=False
        )
        assert done.returncode == 1 and machine.status("test", "-e", INSTALLED) == 1
        return done.stderr

    units = "/usr/lib/systemd/system/docker"
    if machine.status("test", "-e", "/usr/sbin/dockerd") == 0:
        assert "/usr/sbin/dockerd" in refused()
        machine("rm", "/usr/sbin/dockerd")
    if machine.status("test", "-e", f"{units}.service") == 0:
        assert f"{units}.service" in refused()
    machine("rm", "-f", f"{units}.service", f"{units}.socket", "/usr/bin/docker", "/usr/bin/dockerd")
    machine("systemd-run", "--unit", "other", "--service-type", "exec", "python3", "-c", LISTENER)
    _until(lambda: machine.status("test", "-S", "/run/docker.sock") == 0)
    assert "a program listens on /var/run/docker.sock" in refused()
    machine("systemctl", "stop", "other")

    machine(FIRST, "system", "install")  # the engine runs already when it is to be Docker, too
    machine(INSTALLED, "import", "-", "busybox", stdin=engines.busybox_rootfs())
    jar = machine(INSTALLED, "run", "-d", "--network", "none", "busybox", "sleep", "1000")
    pid = machine(INSTALLED, "inspect", "-f", "{{.State.Pid}}", jar)
    machine(FIRST, "system", "install", "--as-docker")
    assert machine("stat", "-c", "%a %G", "/var/run/docker.sock") == "660 docker"
    assert machine("stat", "-c", "%a %G", "/run/onggi/onggi.sock") == "660 onggi"
    assert machine.unit("docker.service", "Id") == "onggi.service"
    assert machine.unit("onggi.service", "ActiveState") == "active"
    for client in (
        (INSTALLED,),
        (INSTALLED, "-H", "unix:///var/run/docker.sock"),
        ("/usr/local/bin/docker",),
    ):
        assert machine(*client, "inspect", "-f", "{{.State.Pid}}", jar) == pid

    machine("systemctl", "stop", "onggi.service")
    assert machine("/usr/local/bin/docker", "ps", "-q", "--no-trunc") == jar  # docker.socket starts it
    machine("groupadd", "-f", "onggi")
    machine("useradd", "-M", "-G", "docker", "someone")
    seen = machine(
        "setpriv",
        "--reuid=someone",
        f"--regid={machine('id', '-g', 'someone')}",
        "--init-groups",
        "/usr/local/bin/docker",
        "ps",
        "-q",
    )
    assert jar.startswith(seen) and seen
    machine(FIRST, "system", "install", "--as-docker")  # again, with everything there

    machine(INSTALLED, "rm", "-f", jar)
    machine(INSTALLED, "system", "uninstall")
    for path in ("/run/docker.sock", "/run/onggi/onggi.sock", INSTALLED, "/usr/local/bin/docker"):
        assert machine.status("test", "-e", path) == 1, path
    for unit in ("docker.socket", "docker.service", "onggi.service"):
        assert machine.status("systemctl", "cat", unit) != 0, unit
