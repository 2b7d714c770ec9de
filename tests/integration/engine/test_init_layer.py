"""Between image and container: odd images, times of directories, and who may look at once."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests import engines
from tests.engines import BUSYBOX, Engine

pytestmark = pytest.mark.root

NONE = ("--network", "none")
OLD = 978307200  # 2001-01-01
ODD = {
    "places that collide": [("dev", "/x/y"), ("etc/hosts", "/x")],
    "hosts is mtab": [("etc/hosts", "mtab")],
    "a link to itself": [("etc/hosts", "hosts")],
    "a long link": [("etc/hosts", "n" * 300)],
    "etc leads away": [("etc", "usr/etc")],
    "a loop": [("etc", "/etc")],
    "out of the root": [("etc/hosts", "../../../../../../tmp/canary")],
}


@pytest.fixture(scope="module", params=["as it is", "vfs"])
def driven(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """Snapshots in layers, and as whole copies."""
    if request.param == "as it is":
        yield request.getfixturevalue("onggi")
        return
    place = tmp_path_factory.mktemp("vfs")
    with engines.onggi(place, "--bridge", "none", "--storage-driver", request.param) as running:
        engines.import_busybox(running)
        yield running


@pytest.fixture
def engine(driven: Engine) -> Iterator[Engine]:
    yield driven
    driven.remove_all()


def image(engine: Engine, name: str, links: list[tuple[str, str]]) -> None:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        for path in ("bin", "etc", "usr", "usr/etc"):
            info = tarfile.TarInfo(path)
            info.type, info.mode, info.mtime = tarfile.DIRTYPE, 0o750 if path == "etc" else 0o755, OLD
            if path not in dict(links):
                tar.addfile(info)
        busybox = Path("/bin/busybox").read_bytes()
        info = tarfile.TarInfo("bin/sh")
        info.size, info.mode = len(busybox), 0o755
        tar.addfile(info, io.BytesIO(busybox))
        if "etc" not in dict(links):
            info = tarfile.TarInfo("etc/passwd")
            tar.addfile(info)
            etc = tarfile.TarInfo("etc")
            etc.type, etc.mode, etc.mtime = tarfile.DIRTYPE, 0o750, OLD
            tar.addfile(etc)
        for path, target in links:
            info = tarfile.TarInfo(path)
            info.type, info.linkname = tarfile.SYMTYPE, target
            tar.addfile(info)
    engine.run("onggi", "import", "-", name, stdin=data.getvalue())


@pytest.mark.parametrize("links", ODD.values(), ids=ODD)
def test_an_odd_image_is_looked_into_and_its_start_names_the_place(
    engine: Engine, links: list[tuple[str, str]], tmp_path: Path
) -> None:
    image(engine, "odd:x", links)
    engine.onggi("create", *NONE, "--name", "odd", "odd:x", "sh", "-c", "echo started")
    assert engine.onggi("diff", "odd") == ""
    assert b"bin/sh" in engine.request("GET", "/containers/odd/export")[1]
    engine.onggi("cp", "odd:/bin/sh", str(tmp_path))
    started = engine.run("onggi", "start", "-a", "odd", check=False)
    place = 'to rootfs at "/' in started.stderr
    assert started.stdout == "started\n" or place or str(engine.root) not in started.stderr
    assert not Path("/tmp/canary").exists()
    engine.remove_all()
    engine.onggi("rmi", "odd:x")


def test_directories_keep_their_modes_and_times(engine: Engine) -> None:
    image(engine, "old:x", [])
    shown = "stat -c '%a %Y' /etc"
    engine.onggi("run", *NONE, "--name", "one", "old:x", "sh", "-c", f"{shown}; echo x >> /etc/passwd")
    assert engine.onggi("logs", "one") == f"750 {OLD}\n"
    assert engine.onggi("diff", "one") == "C /etc/passwd\n"
    engine.onggi("commit", "one", "old:y")
    assert engine.onggi("run", "--rm", *NONE, "old:y", "sh", "-c", shown) == f"750 {OLD}\n"
    engine.remove_all()
    engine.onggi("rmi", "old:y", "old:x")


def test_neither_diff_nor_commit_has_anything_of_it(engine: Engine) -> None:
    image(engine, "plain:x", [])
    engine.onggi("run", *NONE, "--name", "one", "plain:x", "sh", "-c", "echo x > /made; rm /.dockerenv")
    assert engine.onggi("diff", "one") == "D /.dockerenv\nA /made\n"
    engine.onggi("start", "one")
    assert engine.onggi("diff", "one") == "D /.dockerenv\nA /made\n", "what it removed does not come back"
    engine.onggi("commit", "one", "plain:y")
    with tarfile.open(fileobj=io.BytesIO(engine.request("GET", "/images/plain:y/get")[1])) as saved:
        layers = json.load(saved.extractfile("manifest.json"))[0]["Layers"]  # type: ignore[arg-type]
        with tarfile.open(fileobj=saved.extractfile(layers[-1])) as layer:
            assert {name.rstrip("/") for name in layer.getnames()} == {"made", ".wh..dockerenv"}
    engine.remove_all()
    engine.onggi("rmi", "plain:y", "plain:x")


def test_many_first_containers_of_an_image_at_once(engine: Engine) -> None:
    image(engine, "many:x", [])
    words = ("run", "--rm", *NONE, "many:x", "sh", "-c", "ls -A / | wc -l")
    with ThreadPoolExecutor(8) as pool:
        said = list(pool.map(lambda _: engine.onggi(*words), range(8)))
    assert len(set(said)) == 1
    places = list((engine.root / "snapshots").glob("*/init*"))
    assert places and all(place.name == "init" for place in places)
    engine.onggi("rmi", "many:x")


def test_it_goes_with_its_image(engine: Engine) -> None:
    before = set((engine.root / "snapshots").glob("*/init"))
    image(engine, "gone:x", [])
    engine.onggi("run", "--rm", *NONE, "gone:x", "sh", "-c", ":")
    assert len(set((engine.root / "snapshots").glob("*/init")) - before) == 1
    engine.onggi("rmi", "gone:x")
    assert set((engine.root / "snapshots").glob("*/init")) == before
    engine.onggi("run", "--rm", *NONE, BUSYBOX, "true")
