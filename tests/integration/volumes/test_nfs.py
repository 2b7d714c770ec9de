"""A volume that is a share of a real NFS server: nfs-ganesha on a port of 127.0.0.1, for the test alone.

Which call of mount(2) is made is tested without a server in tests/unit/volumes/test_mounting.py.
"""

# ruff: noqa: E501 (a configuration)
from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import engines
from tests.engines import BUSYBOX, Engine

pytestmark = [pytest.mark.root, pytest.mark.slow]
CONF = """
NFS_CORE_PARAM {{ Protocols = 4; NFS_Port = {port}; Enable_NLM = false; Enable_RQUOTA = false; }}
NFSv4 {{ Graceless = true; RecoveryRoot = "{state}"; }}
EXPORT {{ Export_Id = 1; Path = "{export}"; Pseudo = "/export"; Protocols = 4; Access_Type = None; Squash = None;
  SecType = sys; CLIENT {{ Clients = 127.0.0.1; Access_Type = RW; }} FSAL {{ Name = VFS; }} }}
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[int, Path]]:
    """(port, the directory that it exports as /export)."""
    if shutil.which("modprobe"):
        subprocess.run(["modprobe", "nfsv4"], capture_output=True, check=False)
    if "nfs4" not in Path("/proc/filesystems").read_text():
        pytest.skip("needs the kernel's NFS client (nfsv4.ko)")
    if shutil.which("ganesha.nfsd") is None:
        pytest.skip("needs an NFS server (Debian: nfs-ganesha, nfs-ganesha-vfs)")
    export, state = tmp_path / "export", tmp_path / "state"
    export.mkdir()
    state.mkdir()
    Path("/run/ganesha").mkdir(mode=0o700, exist_ok=True)  # what systemd makes for its service
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (tmp_path / "conf").write_text(CONF.format(port=port, state=state, export=export))
    words = [
        "ganesha.nfsd",
        "-F",
        "-f",
        str(tmp_path / "conf"),
        "-L",
        str(tmp_path / "log"),
        "-p",
        str(tmp_path / "pid"),
    ]
    process = subprocess.Popen(words)
    try:
        engines.until(lambda: answers(port) or process.poll() is not None, 100)
        assert process.poll() is None, (tmp_path / "log").read_text()[-3000:]
        yield port, export
    finally:
        process.terminate()
        process.wait(20)


def answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def test_a_share_is_used_by_containers_and_outlives_the_volume(
    engine: Engine, server: tuple[int, Path]
) -> None:
    port, export = server
    engine.onggi("volume", "create", "-o", "type=nfs", "-o", f"o=addr=127.0.0.1,nfsvers=4.1,port={port},soft",
                 "-o", "device=:/export", "share")  # fmt: skip
    run = ("run", "--rm", "--network", "none", "-v", "share:/s", BUSYBOX, "sh", "-c")
    engine.onggi(*run, "echo inside > /s/f; chown 7:8 /s/f")
    assert (export / "f").read_text() == "inside\n"
    assert ((export / "f").stat().st_uid, (export / "f").stat().st_gid) == (7, 8)
    engine.onggi(
        "run", "-d", "--name", "holder", "--network", "none", "-v", "share:/s", BUSYBOX, "sleep", "1000"
    )
    (export / "g").write_text("server\n")
    said = engine.onggi(*run, "grep ' /s ' /proc/mounts | cut -d' ' -f3; cat /s/g")
    assert said == "nfs4\nserver\n"
    engine.kill()
    engine.start()
    assert engine.onggi("exec", "holder", "cat", "/s/g") == "server\n"
    engine.onggi("rm", "-f", "holder")
    engines.until(lambda: engines.mounts(str(engine.root / "volumes")) == [])
    engine.onggi("volume", "rm", "share")
    assert sorted(path.name for path in export.iterdir()) == ["f", "g"]


def test_options_of_mount_make_the_volume(engine: Engine, server: tuple[int, Path]) -> None:
    port, export = server
    (export / "sub").mkdir()
    (export / "sub" / "f").write_text("deep\n")
    options = f'volume-opt=type=nfs,volume-opt=device=:/export,"volume-opt=o=addr=127.0.0.1,nfsvers=4.1,port={port}"'
    mount = f"type=volume,src=share,dst=/s,volume-nocopy,volume-subpath=sub,{options}"
    words = ("run", "--rm", "--network", "none", "--mount", mount, BUSYBOX, "cat", "/s/f")
    assert engine.onggi(*words) == "deep\n"
    engine.onggi("volume", "rm", "share")
