"""Blobs, atomic files, the lock and the trash."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from onggi import failpoints
from onggi.errors import Conflict, Corrupt, InvalidParameter, TooLarge
from onggi.spec import digest
from onggi.store import atomic
from onggi.store import trash as trash_module
from onggi.store.blobs import Blobs
from onggi.store.locks import Lock
from onggi.store.trash import Trash


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs(str(tmp_path / "oci"))


def partial(blobs: Blobs) -> list[str]:
    return os.listdir(blobs.partial_dir)


def test_what_goes_in_comes_out(blobs: Blobs) -> None:
    name = blobs.add(b"hello")
    assert name == digest.of(b"hello")
    assert blobs.read(name, 10) == b"hello"
    assert list(blobs.list_()) == [(name, 5)]
    assert partial(blobs) == []
    assert blobs.remove(name) == 5 and blobs.remove(name) == 0


def test_a_wrong_digest_leaves_nothing(blobs: Blobs) -> None:
    expected = digest.of(b"right")
    with pytest.raises(Corrupt, match=expected), blobs.ingest(expected) as blob:
        blob.write(b"wrong")
        blob.commit()
    assert not blobs.exists(expected) and partial(blobs) == []


def test_a_cut_off_blob_goes_on_from_its_last_byte(blobs: Blobs) -> None:
    expected = digest.of(b"first second")
    with pytest.raises(KeyboardInterrupt), blobs.ingest(expected, resume=True) as blob:
        blob.write(b"first ")
        raise KeyboardInterrupt
    with blobs.ingest(expected, resume=True) as blob:
        assert blob.offset == 6
        blob.write(b"second")
        assert blob.commit() == expected
    assert blobs.read(expected, 100) == b"first second"


def test_a_resumed_blob_that_is_wrong_starts_anew(blobs: Blobs) -> None:
    expected = digest.of(b"good")
    with pytest.raises(Corrupt), blobs.ingest(expected, resume=True) as blob:
        blob.write(b"baad")
        blob.commit()
    with blobs.ingest(expected, resume=True) as blob:
        assert blob.offset == 0


def test_changed_bytes_are_named(blobs: Blobs) -> None:
    name = blobs.add(b"hello")
    os.chmod(blobs.path(name), 0o644)
    Path(blobs.path(name)).write_bytes(b"jello")
    with pytest.raises(Corrupt, match=name):
        blobs.read(name, 10)
    with pytest.raises(Corrupt, match=name):
        blobs.verify(name)
    with pytest.raises(Corrupt, match="5 bytes, not 7"):
        blobs.open(name, 7)
    with pytest.raises(Corrupt, match="missing"):
        blobs.open(digest.of(b"other"))
    with pytest.raises(TooLarge):
        blobs.read(name, 2)
    with pytest.raises(InvalidParameter):
        blobs.path("sha256:../../../etc/passwd")


@pytest.mark.parametrize("point", ["blob.written", "blob.sealed"])
def test_killed_on_the_way_in_leaves_no_blob(blobs: Blobs, point: str) -> None:
    code = "import sys; from onggi.store.blobs import Blobs; Blobs(sys.argv[1]).add(b'x' * 100)"
    environment = {**os.environ, "PYTHONPATH": "src", "ONGGI_FAILPOINT": f"{point}=kill"}
    assert subprocess.run([sys.executable, "-c", code, blobs.oci_dir], env=environment).returncode == -9
    assert list(blobs.list_()) == [] and len(partial(blobs)) == 1
    blobs.sweep_partial()
    assert partial(blobs) == []


def test_an_atomic_file_is_old_or_new(tmp_path: Path) -> None:
    path = str(tmp_path / "file")
    atomic.write(path, b"old")
    failpoints.configure("atomic.written=raise")
    try:
        with pytest.raises(OSError):
            atomic.write(path, b"new")
    finally:
        failpoints.configure("")
    assert atomic.read(path, 10) == b"old" and os.listdir(tmp_path) == ["file"]
    with pytest.raises(OSError, match="too large"):
        atomic.read(path, 2)


def test_one_holder_of_a_root(tmp_path: Path) -> None:
    path = str(tmp_path / "lock")
    with Lock(path), pytest.raises(Conflict, match=f"pid {os.getpid()}"):
        Lock(path)
    Lock(path).close()


def test_the_trash_follows_no_link_and_empties_deep_trees(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    canary.mkdir()
    (canary / "file").write_text("here")
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "link").symlink_to(canary)
    deep = os.open(victim, os.O_RDONLY)
    for _ in range(1500):
        os.mkdir("d", dir_fd=deep)
        below = os.open("d", os.O_RDONLY, dir_fd=deep)
        os.close(deep)
        deep = below
    os.close(deep)
    trash = Trash(str(tmp_path / "trash"))
    trash.throw(str(victim))
    assert not victim.exists() and os.listdir(trash.path) == []
    assert (canary / "file").read_text() == "here"
    assert trash.move(str(tmp_path / "missing")) is None
    trash.move(str(canary))
    assert trash.empty() == 0 and os.listdir(trash.path) == []


def test_what_is_thrown_away_is_deleted_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`throw` returns while the deletion still waits; `settle` returns when all is gone."""
    may_delete = threading.Event()
    monkeypatch.setattr(trash_module, "delete_tree", _after(may_delete, trash_module.delete_tree))
    trash = Trash(str(tmp_path / "trash"))
    trash.work_behind()
    for name in ("a", "b"):
        (tmp_path / name / "deep").mkdir(parents=True)
        trash.throw(str(tmp_path / name))
        assert not (tmp_path / name).exists()
    assert len(os.listdir(trash.path)) == 2
    may_delete.set()
    trash.settle()
    assert os.listdir(trash.path) == []


def _after(event: threading.Event, function: Callable[[str], None]) -> Callable[[str], None]:
    def waits(path: str) -> None:
        assert event.wait(30)
        function(path)

    return waits
