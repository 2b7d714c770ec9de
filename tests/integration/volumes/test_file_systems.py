"""Volumes on file systems that share blocks, made in a file for the test: XFS with reflink, and btrfs."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from tests import engines
from tests.engines import BUSYBOX, Engine

pytestmark = [pytest.mark.root, pytest.mark.slow]
MAKERS = {"xfs": ["mkfs.xfs", "-q", "-m", "reflink=1"], "btrfs": ["mkfs.btrfs", "-q"]}
SIZE = 24 << 20


def image_with_a_big_file(engine: Engine, name: str) -> None:
    out = io.BytesIO(engines.busybox_rootfs())
    with tarfile.open(fileobj=out, mode="a") as tar:
        for path, kind in (("srv", tarfile.DIRTYPE), ("srv/big", tarfile.REGTYPE)):
            info = tarfile.TarInfo(path)
            info.type, info.mode, info.size = kind, 0o755, SIZE if kind == tarfile.REGTYPE else 0
            tar.addfile(info, io.BytesIO(os.urandom(info.size)))
    repository, _, tag = name.partition(":")
    path = f"/images/create?fromSrc=-&repo={repository}&tag={tag}&changes={quote('CMD sh')}"
    engine.api("POST", path, out.getvalue())


@pytest.fixture(params=sorted(MAKERS), scope="module")
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    kind = request.param
    maker = MAKERS[kind]
    if shutil.which(maker[0]) is None:
        pytest.skip(f"needs {maker[0]} (Debian: xfsprogs, btrfs-progs)")
    directory = tmp_path_factory.mktemp(kind)
    disk, place = directory / "disk", directory / "on"
    with disk.open("wb") as file:
        file.truncate(512 << 20)
    place.mkdir()
    subprocess.run([*maker, disk], check=True, capture_output=True)
    done = subprocess.run(["mount", "-o", "loop", disk, place], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"needs loop devices and {kind} in the kernel: {done.stderr.strip()}")
    try:
        with engines.onggi(place) as running:
            engines.import_busybox(running)
            image_with_a_big_file(running, "big:1")
            yield running
            running.remove_all()
    finally:
        subprocess.run(["umount", place], check=True)


def used(engine: Engine) -> int:
    """Bytes of the file system that are taken, after everything is on it."""
    fd = os.open(engine.root, os.O_RDONLY)
    try:
        subprocess.run(["sync", "-f", str(engine.root)], check=True)
        facts = os.fstatvfs(fd)
    finally:
        os.close(fd)
    return (facts.f_blocks - facts.f_bfree) * facts.f_frsize


def data(engine: Engine, name: str) -> Path:
    return Path(engine.api("GET", f"/volumes/{name}")["Mountpoint"])


def test_copy_up_shares_the_images_blocks(engine: Engine) -> None:
    before = used(engine)
    engine.onggi("create", "--name", "up", "--network", "none", "-v", "shared:/srv", "big:1", "true")
    assert used(engine) - before < SIZE // 4
    (layer,) = engine.root.glob("snapshots/*/fs/srv/big")
    assert (data(engine, "shared") / "big").read_bytes() == layer.read_bytes()
    engine.onggi("rm", "up")
    engine.onggi("volume", "rm", "shared")


def test_a_clone_shares_blocks_and_is_another_volume(engine: Engine) -> None:
    write = f"head -c {SIZE} /dev/urandom > /v/big; truncate -s 1G /v/hole; echo same > /v/small"
    engine.onggi("run", "--rm", "--network", "none", "-v", "first:/v", BUSYBOX, "sh", "-c", write)
    before = used(engine)
    engine.onggi("volume", "clone", "first", "second")
    assert used(engine) - before < SIZE // 4
    first, second = data(engine, "first"), data(engine, "second")
    for name in ("big", "small"):
        assert (first / name).read_bytes() == (second / name).read_bytes()
    assert (second / "hole").stat().st_size == 1 << 30
    with (second / "big").open("r+b") as file:
        file.write(b"changed")
    assert not (first / "big").read_bytes().startswith(b"changed")
    assert used(engine) - before < SIZE // 4
    engine.onggi("volume", "rm", "first", "second")
