"""A disk that becomes full while a volume is filled: the error says so, and what was there is as it was."""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import engines
from tests.crash.test_bad_days import big_tar, small_disk
from tests.engines import BUSYBOX, Engine

pytestmark = [pytest.mark.root, pytest.mark.slow]
NO_SPACE = "no space left on device"


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """On a disk of 32 MiB, with a volume of 8."""
    with small_disk(tmp_path / "disk", 32) as disk, engines.onggi(disk) as running:
        engines.import_busybox(running)
        running.api("POST", "/volumes/import?name=full", big_tar(8))
        yield running


def state(engine: Engine) -> tuple[list[str], list[str], list[str]]:
    """Volumes, their directories, and what is half made or thrown away."""
    names = sorted(volume["Name"] for volume in engine.api("GET", "/volumes")["Volumes"] or ())
    directories = sorted(path.name for path in (engine.root / "volumes").iterdir())
    halves = [str(path) for pattern in ("volumes/*/_fill*", "trash/*") for path in engine.root.glob(pattern)]
    return names, directories, halves


def message(answer: tuple[int, bytes]) -> str:
    status, text = answer
    assert status == 500, text
    return str(json.loads(text)["message"])


def works(engine: Engine) -> None:
    """The next small things go through, also after a restart."""
    for _ in range(2):
        words = (
            "run",
            "--rm",
            "--network",
            "none",
            "-v",
            "small:/v",
            BUSYBOX,
            "sh",
            "-c",
            "echo x > /v/x; cat /v/x",
        )
        assert engine.onggi(*words) == "x\n"
        engine.onggi("volume", "rm", "small")
        engine.stop()
        engine.start()
    assert state(engine) == (["full"], ["full"], [])


def rootfs_with_a_file(size: int) -> bytes:
    out = io.BytesIO(engines.busybox_rootfs())
    with tarfile.open(fileobj=out, mode="a") as tar:
        for name, kind in (("srv", tarfile.DIRTYPE), ("srv/f", tarfile.REGTYPE)):
            info = tarfile.TarInfo(name)
            info.type, info.mode, info.size = kind, 0o755, size if kind == tarfile.REGTYPE else 0
            tar.addfile(info, io.BytesIO(os.urandom(info.size)))
    return out.getvalue()


def test_clone(engine: Engine, tmp_path: Path) -> None:
    with (engine.root / "ballast").open("wb") as file:
        file.write(bytes(16 << 20))
    before = state(engine)
    said = message(engine.request("POST", "/volumes/full/clone?name=copy"))
    assert NO_SPACE in said.lower()
    assert "copy" in said
    assert state(engine) == before
    (engine.root / "ballast").unlink()
    engine.api("POST", "/volumes/full/clone?name=copy")
    engine.api("DELETE", "/volumes/copy")
    works(engine)


def test_import(engine: Engine) -> None:
    before = state(engine)
    said = message(engine.request("POST", "/volumes/import?name=much", big_tar(28)))
    assert NO_SPACE in said.lower()
    assert "much" in said
    assert state(engine) == before
    works(engine)


def test_copy_up(engine: Engine) -> None:
    """The container is not made, the volume that was made for it is empty, and filled when there is space."""
    engine.api("DELETE", "/volumes/full")
    engine.api("POST", "/images/create?fromSrc=-&repo=srv&tag=1", rootfs_with_a_file(5_000_000))
    with (engine.root / "ballast").open("wb") as file:
        while True:
            try:
                file.write(bytes(1 << 16))
                file.flush()
            except OSError:
                break
    with (engine.root / "ballast").open("r+b") as file:
        file.truncate((engine.root / "ballast").stat().st_size - (2 << 20))
    done = engine.run(
        "onggi",
        "create",
        "--name",
        "user",
        "--network",
        "none",
        "-v",
        "named:/srv",
        "-v",
        "/srv2",
        "srv:1",
        "true",
        check=False,
    )
    assert done.returncode != 0
    assert NO_SPACE in done.stderr.lower()
    assert engine.api("GET", "/containers/json?all=1") == []
    names, directories, halves = state(engine)
    assert names == directories
    assert halves == []
    assert not list(engine.root.glob("volumes/*/_data/*"))
    (engine.root / "ballast").unlink()
    engine.onggi("create", "--name", "user", "--network", "none", "-v", "named:/srv", "srv:1", "true")
    assert (engine.root / "volumes/named/_data/f").stat().st_size == 5_000_000
