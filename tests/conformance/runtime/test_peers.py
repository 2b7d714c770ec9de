# ruff: noqa: E501
"""Real peers drive onggi-runtime: podman with conmon, dockerd with containerd and its shim."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engines import until

SRC = Path(__file__).parents[3] / "src"
pytestmark = [pytest.mark.root, pytest.mark.peer]
ULIMITS = ["--ulimit", "nofile=1000:1000", "--ulimit", "nproc=1000:1000"]


def launcher(directory: Path) -> Path:
    path = directory / "onggi-runtime"
    path.write_text(
        f"#!{os.path.realpath(sys.executable)} -IS\nimport sys\nsys.path.insert(0, {str(SRC)!r})\n"
        "from onggi.runtime.command import main\nsys.exit(main())\n"
    )
    path.chmod(0o755)
    return path


def archive(directory: Path) -> Path:
    """A tar of a root file system with busybox in it."""
    busybox = shutil.which("busybox")
    if busybox is None:
        pytest.skip("needs busybox-static")
    binaries = directory / "root" / "bin"
    binaries.mkdir(parents=True)
    shutil.copy(busybox, binaries / "busybox")
    for name in ("sh", "id", "echo", "sleep", "true"):
        (binaries / name).symlink_to("busybox")
    subprocess.run(["tar", "-C", directory / "root", "-cf", directory / "root.tar", "."], check=True)
    return directory / "root.tar"


class Peer:
    def __init__(self, command: list[str], env: dict[str, str] | None = None) -> None:
        self.command = command
        self.env = env

    def __call__(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self.command, *words],
            capture_output=True,
            text=True,
            timeout=60,
            env=self.env,
            stdin=subprocess.DEVNULL,
        )


@pytest.fixture
def podman(tmp_path: Path) -> Iterator[Peer]:
    if shutil.which("podman") is None:
        pytest.skip("needs podman")
    short = tempfile.mkdtemp(prefix="onggi-podman-")  # podman takes 50 characters
    peer = Peer(
        ["podman", "--root", f"{tmp_path}/p/root", "--runroot", f"{short}/run", "--tmpdir", f"{short}/tmp",
         "--storage-driver", "vfs", "--cgroup-manager", "cgroupfs", "--events-backend", "file",
         "--runtime", str(launcher(tmp_path))]
    )  # fmt: skip
    imported = peer("import", str(archive(tmp_path)), "bb")
    assert imported.returncode == 0, imported.stderr
    yield peer
    peer("rm", "--all", "--force", "-t", "0")

    def gone() -> bool:
        shutil.rmtree(short, ignore_errors=True)
        return not os.path.exists(short)

    until(gone)  # podman cleans up behind a container in a process of its own


@pytest.fixture
def dockerd(tmp_path: Path) -> Iterator[Peer]:
    if shutil.which("dockerd") is None or shutil.which("docker") is None:
        pytest.skip("needs dockerd and docker")
    socket = f"unix://{tmp_path}/d.sock"
    with open(tmp_path / "log", "wb") as log:
        daemon = subprocess.Popen(
            ["dockerd", "--data-root", f"{tmp_path}/d", "--exec-root", f"{tmp_path}/x", "-H", socket, "--pidfile",
             f"{tmp_path}/pid", "--bridge=none", "--iptables=false", "--ip-masq=false", "--storage-driver", "vfs",
             "--add-runtime", f"onggi={launcher(tmp_path)}", "--default-runtime", "onggi"],
            stdout=log, stderr=log,
        )  # fmt: skip
    peer = Peer(["docker"], {**os.environ, "DOCKER_HOST": socket})
    try:
        deadline = time.monotonic() + 40
        while peer("version").returncode != 0:
            assert daemon.poll() is None and time.monotonic() < deadline, (tmp_path / "log").read_text()[
                -2000:
            ]
            time.sleep(0.1)
        assert peer("import", str(archive(tmp_path)), "bb").returncode == 0
        yield peer
        for name in peer("ps", "-aq").stdout.split():
            peer("rm", "-f", name)
    finally:
        daemon.terminate()
        daemon.wait(30)


@pytest.fixture(params=["podman", "dockerd"])
def peer(request: pytest.FixtureRequest) -> Peer:
    found: Peer = request.getfixturevalue(request.param)
    return found


def test_containers_of_a_peer(peer: Peer) -> None:
    ran = peer("run", "--rm", "--network", "none", *ULIMITS, "bb", "sh", "-c", "echo $$; exit 3")
    assert (ran.returncode, ran.stdout) == (3, "1\n"), ran.stderr
    tty = peer("run", "--rm", "-t", "--network", "none", *ULIMITS, "bb", "echo", "tty")
    assert tty.stdout.strip() == "tty", tty.stderr
    missing = peer("run", "--rm", "--network", "none", *ULIMITS, "bb", "nosuch")
    assert missing.returncode == 127 and "executable file not found in $PATH" in missing.stderr
    started = peer(
        "run", "-d", "--name", "one", "--network", "none", "-m", "64m", *ULIMITS, "bb", "sleep", "1000"
    )
    assert started.returncode == 0, started.stderr
    assert peer("exec", "one", "echo", "inside").stdout == "inside\n"
    assert peer("exec", "one", "sh", "-c", "exit 5").returncode == 5
    assert peer("pause", "one").returncode == peer("unpause", "one").returncode == 0
    assert "sleep 1000" in peer("top", "one").stdout
    assert peer("rm", "-f", "one").returncode == 0
    assert "one" not in peer("ps", "-a", "--format", "{{.Names}}").stdout.split()
