"""Full disks and corrupt files: a clear error that names the thing, and a store that is whole afterwards."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import engines
from tests.engines import Engine

pytestmark = [pytest.mark.root, pytest.mark.slow]


@contextlib.contextmanager
def small_disk(directory: Path, mebibytes: int) -> Iterator[Path]:
    """A tmpfs of that size, mounted for the test."""
    directory.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m", "tmpfs", str(directory)], check=True)
    try:
        yield directory
    finally:
        subprocess.run(["umount", "-l", str(directory)], check=True)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with engines.onggi(tmp_path) as running:
        engines.import_busybox(running)
        yield running


def big_tar(mebibytes: int) -> bytes:
    import io
    import tarfile

    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for number in range(mebibytes):
            info = tarfile.TarInfo(f"file{number}")
            info.size = 1 << 20
            tar.addfile(info, io.BytesIO(os.urandom(1 << 20)))
    return out.getvalue()


def test_full_disk_on_import(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 24) as disk, engines.onggi(disk) as engine:
        engines.import_busybox(engine)
        before = sorted(path.name for path in (engine.root / "oci" / "blobs" / "sha256").iterdir())
        status, text = engine.request("POST", "/images/create?fromSrc=-&repo=toobig&tag=1", big_tar(40))
        assert status == 500 or b"errorDetail" in text
        assert b"no space left on device" in text
        assert engine.request("GET", "/images/toobig:1/json")[0] == 404
        blobs = engine.root / "oci" / "blobs" / "sha256"
        engines.until(lambda: sorted(path.name for path in blobs.iterdir()) == before)
        engines.until(lambda: list((engine.root / "oci" / "partial").iterdir()) == [])
        assert (
            engine.docker("run", "--rm", "--network", "none", engines.BUSYBOX, "echo", "works") == "works\n"
        )


def test_full_disk_while_a_container_writes_its_log(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 16) as disk, engines.onggi(disk) as engine:
        engines.import_busybox(engine)
        script = "yes 0123456789012345678901234567890123456789 | head -c 30000000; exit 8"
        body = {
            "Image": engines.BUSYBOX,
            "Cmd": ["sh", "-c", script],
            "HostConfig": {
                "NetworkMode": "none",
                "LogConfig": {"Type": "json-file", "Config": {"max-size": "100m"}},
            },
        }
        cid = engine.api("POST", "/containers/create", body)["Id"]
        engine.api("POST", f"/containers/{cid}/start")
        assert engine.api("POST", f"/containers/{cid}/wait")["StatusCode"] == 8
        assert engine.docker("logs", cid).startswith("0123456789")
        engine.api("DELETE", f"/containers/{cid}")
        engines.until(lambda: not os.listdir(engine.root / "trash"))  # it is deleted behind the answer
        assert (
            engine.docker("run", "--rm", "--network", "none", engines.BUSYBOX, "echo", "works") == "works\n"
        )


def test_corrupt_blob_is_named(engine: Engine, tmp_path: Path) -> None:
    blobs = engine.root / "oci" / "blobs" / "sha256"
    layer = max(blobs.iterdir(), key=lambda path: path.stat().st_size)
    with layer.open("r+b") as file:
        file.seek(100_000)
        file.write(b"corrupt")
    done = engine.run("docker", "save", "-o", str(tmp_path / "out.tar"), engines.BUSYBOX, check=False)
    assert done.returncode != 0
    assert layer.name in done.stderr
    assert "Traceback" not in done.stderr


def test_corrupt_database_page_is_named(engine: Engine) -> None:
    engine.stop()  # an orderly end folds the log into the file: before it, the file has next to nothing
    database = engine.root / "onggi.db"
    size = database.stat().st_size
    with database.open("r+b") as file:
        for page in range(1, size // 4096):
            file.seek(page * 4096)
            file.write(os.urandom(64))
    saved = database.read_bytes()
    with pytest.raises(RuntimeError) as caught:
        engine.start()
    assert str(database) in str(caught.value)
    assert "Traceback" not in str(caught.value)
    assert database.read_bytes() == saved, "a corrupt database is evidence: it is not overwritten"
    database.unlink()
    engine.start()


def test_corrupt_exit_record_is_reported(engine: Engine) -> None:
    body = {"Image": engines.BUSYBOX, "Cmd": ["sleep", "1000"], "HostConfig": {"NetworkMode": "none"}}
    cid = engine.api("POST", "/containers/create", body)["Id"]
    engine.api("POST", f"/containers/{cid}/start")
    pid = engine.api("GET", f"/containers/{cid}/json")["State"]["Pid"]
    engine.kill()
    os.kill(pid, 9)
    record = engine.root / "containers" / cid / "exit.json"
    engines.until(record.exists)
    engines.until(lambda: not (engine.exec_root / "shims" / cid / "sock").exists())  # the shim tells nobody
    record.write_bytes(b'{"exit_co')
    engine.start()
    state = engine.api("GET", f"/containers/{cid}/json")["State"]
    assert (state["Status"], state["Running"]) == ("exited", False)
    assert "exit record" in state["Error"]
    assert engine.api("POST", f"/containers/{cid}/start") == ""


def test_an_end_that_cannot_be_recorded_is_recorded_later(engine: Engine) -> None:
    """What a full disk does to the row: the container must not be called running for ever."""
    engine.stop()
    engine.start(failpoint="exit.network-detached=raise-once")
    body = {"Image": engines.BUSYBOX, "Cmd": ["sh", "-c", "exit 9"], "HostConfig": {"NetworkMode": "none"}}
    cid = engine.api("POST", "/containers/create", body)["Id"]
    engine.api("POST", f"/containers/{cid}/start")
    assert engine.api("POST", f"/containers/{cid}/wait")["StatusCode"] == 9
    assert engine.api("GET", f"/containers/{cid}/json")["State"]["Status"] == "exited"
    assert "cannot be recorded" in engine.log


def test_on_a_full_disk_containers_stop_and_go(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 24) as disk, engines.onggi(disk) as engine:
        engines.import_busybox(engine)
        ids = []
        for _ in range(5):
            body = {
                "Image": engines.BUSYBOX, "Cmd": ["sleep", "1000"], "HostConfig": {"NetworkMode": "none"}
            }  # fmt: skip
            ids.append(engine.api("POST", "/containers/create", body)["Id"])
            engine.api("POST", f"/containers/{ids[-1]}/start")
        with contextlib.suppress(OSError), (disk / "ballast").open("wb", buffering=0) as file:
            while True:
                file.write(b"\0" * 4096)
        _, text = engine.request("POST", "/images/create?fromSrc=-&repo=toobig&tag=1", big_tar(1))
        assert b"no space left on device" in text, text
        for cid in ids:
            engine.api("POST", f"/containers/{cid}/stop?t=0")
            assert engine.api("GET", f"/containers/{cid}/json")["State"]["ExitCode"] == 137
            engine.api("DELETE", f"/containers/{cid}")
        assert engine.api("GET", "/containers/json?all=1") == []
        (disk / "ballast").unlink()
        assert engine.docker("run", "--rm", "--network", "none", engines.BUSYBOX, "echo", "ok") == "ok\n"


def test_a_second_daemon_on_the_same_root_is_refused(engine: Engine, tmp_path: Path) -> None:
    assert engine.process is not None
    done = subprocess.run(
        [*engine.command[:3], str(engine.root), "--exec-root", str(tmp_path / "other")],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode != 0
    assert str(engine.process.pid) in done.stderr
    assert "Traceback" not in done.stderr
