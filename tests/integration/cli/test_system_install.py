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
        *("--tmpfs", "/run", "--tmpfs", "/tmp:exec", "-v", "/usr:/usr:ro", "--tmpfs", "/usr/local:exec"),
        *("--cgroupns", "private", "-v", "/var/lib/onggi", "-v", f"{top}:{top}:ro"),
        *("-e", "container=docker", "skeleton:test", SYSTEMD),
    )
    machine = Machine(onggi, "machine")
    try:
        _until(lambda: machine.status("systemctl", "is-active", "-q", "sockets.target") == 0)
        machine("mkdir", "-p", "/usr/local/bin")
        yield machine
    finally:
        onggi.run("onggi", "rm", "-f", "-v", "machine", check=False)
        onggi.onggi("rmi", "skeleton:test")


def _until(holds: object, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not holds():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.05)


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
