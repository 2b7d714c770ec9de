"""One contract for every snapshotter."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from onggi import failpoints
from onggi.errors import Conflict, InvalidParameter, NotFound
from onggi.images import view
from onggi.images.apply import apply
from onggi.images.pack import pack
from onggi.images.snapshots import Snapshots
from onggi.images.snapshots.detect import detect
from onggi.store.database import Database
from onggi.store.trash import Trash

pytestmark = pytest.mark.root


@pytest.fixture(params=["overlay2", "fuse-overlayfs", "vfs"])
def snapshots(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Snapshots]:
    with Database(str(tmp_path / "onggi.db")) as database:
        yield detect(str(tmp_path / "s"), database, Trash(str(tmp_path / "trash")), request.param)


def layer(snapshots: Snapshots, name: str, parent: str, **files: str) -> None:
    snapshots.create(f"make-{name}", parent, "unpack")
    for file, text in files.items():
        Path(snapshots.tree(f"make-{name}"), file).write_text(text)
    snapshots.commit(f"make-{name}", name)


def shown(snapshots: Snapshots, key: str) -> dict[str, str]:
    fd = view.open_root(snapshots.mounts(key))
    try:
        root = f"/proc/self/fd/{fd}"
        return {name: Path(root, name).read_text() for name in os.listdir(root)}
    finally:
        os.close(fd)


def test_layers_stack_and_the_upper_one_wins(snapshots: Snapshots) -> None:
    layer(snapshots, "one", "", a="1", b="1")
    layer(snapshots, "two", "one", b="2")
    snapshots.create("c", "two", "container")
    Path(snapshots.tree("c"), "c").write_text("3")
    assert shown(snapshots, "c") == {"a": "1", "b": "2", "c": "3"}
    assert snapshots.usage("c").inodes >= 1 and len(snapshots.lowers("c")) == 2
    with pytest.raises(Conflict, match="in use by"):
        snapshots.remove("two")
    for key in ("c", "two", "one", "one"):
        snapshots.remove(key)
    assert os.listdir(snapshots.root) == ["empty"]  # type: ignore[attr-defined]


def test_names_are_taken_once_and_parents_must_be_there(snapshots: Snapshots) -> None:
    layer(snapshots, "one", "")
    with pytest.raises(NotFound):
        snapshots.create("c", "missing", "container")
    snapshots.create("c", "one", "container")
    with pytest.raises(Conflict):
        snapshots.create("c", "one", "container")
    with pytest.raises(Conflict):
        snapshots.commit("c", "one")
    assert snapshots.exists("c")


@pytest.mark.parametrize("point", ["snapshot.row-written", "snapshot.filled"])
def test_a_failure_leaves_nothing(snapshots: Snapshots, point: str) -> None:
    failpoints.configure(f"{point}=raise")
    try:
        with pytest.raises(OSError):
            snapshots.create("c", "", "container")
    finally:
        failpoints.configure("")
    assert not snapshots.exists("c") and os.listdir(snapshots.root) == ["empty"]  # type: ignore[attr-defined]


def test_reconcile_removes_the_unowned_and_reports_the_lost(snapshots: Snapshots) -> None:
    layer(snapshots, "one", "")
    os.rename(os.path.dirname(snapshots.tree("one")), f"{snapshots.root}/strange")  # type: ignore[attr-defined]
    snapshots.create("half", "", "unpack")
    found = snapshots.reconcile()
    assert sorted(found.removed) == ["half", "strange"] and found.lost == ["one"]


def test_an_image_of_120_layers_fits_the_page_of_mount(tmp_path: Path) -> None:
    with Database(str(tmp_path / "onggi.db")) as database:
        found = detect(str(tmp_path / "s"), database, Trash(str(tmp_path / "trash")), "overlay2")
        for number in range(120):
            layer(found, f"l{number}", f"l{number - 1}" if number else "", **{f"f{number}": "x"})
        found.create("c", "l119", "container")
        assert len(found.lowers("c")) == 120
        data = found.mounts("c")[0][4].replace(str(tmp_path / "s"), "/var/lib/onggi/snapshots")
        assert len(data) < 4096


@pytest.mark.parametrize("driver", ["overlay2", "vfs"])
def test_a_root_of_before_the_driver_was_written_down(tmp_path: Path, driver: str) -> None:
    with Database(str(tmp_path / "onggi.db")) as database:
        trash = Trash(str(tmp_path / "trash"))
        found = detect(str(tmp_path / "s"), database, trash, driver)
        layer(found, "one", "")
        database.write("DELETE FROM state WHERE key = 'storage-driver'")
        assert detect(str(tmp_path / "s"), database, trash).driver == driver
        other = "vfs" if driver == "overlay2" else "overlay2"
        with pytest.raises(InvalidParameter, match=f"were made by {driver}"):
            detect(str(tmp_path / "s"), database, trash, other)
        found.remove("one")
        assert detect(str(tmp_path / "s"), database, trash, other).driver == other


@pytest.mark.parametrize("files", [False, True], ids=["marked", "files"])
def test_the_bytes_of_a_layer_are_the_same_whoever_showed_it(tmp_path: Path, files: bool) -> None:
    """What a container does, through the kernel's overlay and through fuse-overlayfs."""
    packed = {}
    for driver in ("overlay2", "fuse-overlayfs"):
        with Database(str(tmp_path / f"{driver}.db")) as database:
            found = detect(str(tmp_path / driver / "s"), database, Trash(str(tmp_path / "trash")), driver)
            if files and driver == "fuse-overlayfs":
                found.whiteouts = "files"
            tar = io.BytesIO()
            with tarfile.open(fileobj=tar, mode="w") as base:
                for name in ("d", "d/sub", "gone", "gone/x", "moved", "kept"):
                    info = tarfile.TarInfo(name)
                    info.type, info.mode = tarfile.DIRTYPE, 0o755
                    base.addfile(info)
                for name in ("d/f", "file", "moved/m", "kept/k"):
                    base.addfile(tarfile.TarInfo(name))
            unpacked(found, "base", "", tar.getvalue())
            tar = io.BytesIO()
            with tarfile.open(fileobj=tar, mode="w") as second:
                second.addfile(tarfile.TarInfo(".wh.gone"))
            unpacked(found, "second", "base", tar.getvalue())
            found.create("c", "second", "container")
            fd = view.open_root(found.mounts("c"))
            root = f"/proc/{os.getpid()}/fd/{fd}"
            script = (
                f"cd {root} && rm -r d && mkdir -p d/sub/deep && rm file && mkdir file && mkdir gone && "
                "rm -r moved && mkdir -p new/deep && touch new/deep/n && rm kept/k && "
                "find . -exec touch -d @1 {} +"
            )
            subprocess.run(["sh", "-c", script], check=True)
            os.close(fd)
            fd = os.open(found.tree("c"), os.O_RDONLY)
            stream = io.BytesIO()
            pack(fd, stream, overlay=found.lowers("c"))
            os.close(fd)
            packed[driver] = stream.getvalue()
    names = [tarfile.open(fileobj=io.BytesIO(data)).getnames() for data in packed.values()]
    assert names[0] == names[1]
    assert len(set(packed.values())) == 1


def unpacked(snapshots: Snapshots, name: str, parent: str, data: bytes) -> None:
    snapshots.create(f"make-{name}", parent, "unpack")
    fd = os.open(snapshots.tree(f"make-{name}"), os.O_RDONLY)
    apply(io.BytesIO(data), fd, whiteouts=snapshots.whiteouts)
    os.close(fd)
    snapshots.commit(f"make-{name}", name)
