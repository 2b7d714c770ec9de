"""SIGKILL of the engine at each place of each verb of volumes: nothing half, nothing without an owner.

After the next start rows and directories are the same, nothing lies in trash, a volume has all of its content
or is not there; and the same request, asked again, gives what it would have given.
"""

from __future__ import annotations

import http.client
import io
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests import engines
from tests.engines import BUSYBOX, Engine

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(120)]
FILES = 20
FILL = ["volume.filling", "volume.filled", "volume.entry-moved"]
MAKE = ["volume.making", *FILL, "volume.made"]
REMOVE = ["volume.row-deleted", "trash.moved"]
CASES = [
    ("create", ["volume.row-written"]), ("remove", REMOVE), ("prune", REMOVE),
    ("rename", ["volume.row-renamed", "volume.directory-renamed"]), ("clone", MAKE), ("import", MAKE),
    ("copy-up", FILL), ("mount", ["volume.mounted"]),
]  # fmt: skip


def archive() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for number in range(FILES):
            info = tarfile.TarInfo(f"file{number}")
            info.size, info.uid = 6, 1000
            tar.addfile(info, io.BytesIO(b"whole\n"))
    return out.getvalue()


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with engines.onggi(tmp_path_factory.mktemp("killed")) as running:
        engines.import_busybox(running)
        running.api(
            "POST", "/images/create?fromSrc=-&repo=files&tag=1&changes=CMD%20sh", archive_below("srv")
        )
        yield running
        running.stop()
        assert engines.leftovers(running) == []


def archive_below(name: str) -> bytes:
    out = io.BytesIO(engines.busybox_rootfs())
    with tarfile.open(fileobj=out, mode="a") as tar:
        for number in range(FILES):
            info = tarfile.TarInfo(f"{name}/file{number}")
            info.size, info.uid = 6, 1000
            tar.addfile(info, io.BytesIO(b"whole\n"))
    return out.getvalue()


@pytest.fixture(autouse=True)
def clean(engine: Engine) -> Iterator[None]:
    yield
    engine.remove_all()
    for name in names(engine):
        engine.api("DELETE", f"/volumes/{name}")


def names(engine: Engine) -> list[str]:
    return sorted(volume["Name"] for volume in engine.api("GET", "/volumes")["Volumes"] or ())


def ask(engine: Engine, method: str, path: str, body: object = None) -> None:
    """A request whose effect is wanted: that it is there already is as good."""
    status, text = engine.request(method, path, body)
    assert status in (200, 201, 204, 404, 409), text


def verbs(engine: Engine) -> dict[str, tuple[Callable[[], object], Callable[[], object], list[str]]]:
    """For each verb what comes before it, itself, and the volumes that there are after it."""

    def imported() -> None:
        engine.api("POST", "/volumes/import?name=old", archive())

    def none() -> None:
        pass

    memory = {"type": "tmpfs", "device": "tmpfs"}
    filling = {
        "Image": "files:1",
        "Cmd": ["true"],
        "HostConfig": {"NetworkMode": "none", "Binds": ["new:/srv"]},
    }
    mounting = {
        "Image": BUSYBOX,
        "Cmd": ["true"],
        "HostConfig": {"NetworkMode": "none", "Binds": ["new:/m:nocopy"]},
    }

    def run() -> None:
        ask(engine, "POST", "/containers/create?name=user", mounting)
        ask(engine, "POST", "/containers/user/start")
        engine.api("POST", "/containers/user/wait")

    return {
        "create": (none, lambda: ask(engine, "POST", "/volumes/create", {"Name": "new"}), ["new"]),
        "remove": (imported, lambda: ask(engine, "DELETE", "/volumes/old"), []),
        "prune": (
            lambda: [
                imported(),
                engine.api("POST", "/volumes/create", {}),
                engine.api("POST", "/volumes/create", {}),
            ],
            lambda: ask(engine, "POST", '/volumes/prune?filters={"all":["true"]}'),
            [],
        ),
        "rename": (imported, lambda: ask(engine, "POST", "/volumes/old/rename?name=new"), ["new"]),
        "clone": (imported, lambda: ask(engine, "POST", "/volumes/old/clone?name=new"), ["new", "old"]),
        "import": (none, lambda: ask(engine, "POST", "/volumes/import?name=new", archive()), ["new"]),
        "copy-up": (none, lambda: ask(engine, "POST", "/containers/create?name=user", filling), ["new"]),
        "mount": (
            lambda: engine.api("POST", "/volumes/create", {"Name": "new", "DriverOpts": memory}),
            run,
            ["new"],
        ),
    }


def consistent(engine: Engine) -> None:
    """Rows are directories; each volume is whole or empty; nothing is half made, thrown away or mounted."""
    directories = sorted(path.name for path in (engine.root / "volumes").iterdir())
    assert names(engine) == directories
    halves = [path for pattern in ("volumes/*/_fill*", "trash/*") for path in engine.root.glob(pattern)]
    assert halves == []
    assert engines.mounts(str(engine.root / "volumes")) == []
    for name in directories:
        found = sorted((engine.root / "volumes" / name / "_data").iterdir())
        assert len(found) in (0, FILES), name
        for path in found:
            assert (path.read_text(), path.stat().st_uid) == ("whole\n", 1000)
    for container in engine.api("GET", "/containers/json?all=1"):
        for point in container["Mounts"]:
            assert point["Name"] in directories


@pytest.mark.parametrize(("verb", "failpoint"), [(verb, point) for verb, points in CASES for point in points])
def test_killed(engine: Engine, verb: str, failpoint: str) -> None:
    before, act, after = verbs(engine)[verb]
    before()
    engine.stop()
    engine.start(failpoint=f"{failpoint}=kill")
    with pytest.raises((OSError, http.client.HTTPException)):
        act()
    assert engine.process is not None
    engine.process.wait(10)
    engine.kill()
    engine.start()
    engines.until(lambda: not list((engine.root / "trash").iterdir()))
    consistent(engine)
    act()
    engines.until(lambda: not list((engine.root / "trash").iterdir()))
    engines.until(lambda: engines.mounts(str(engine.root / "volumes")) == [])
    consistent(engine)
    assert names(engine) == after
    if verb in ("rename", "clone", "import", "copy-up"):
        assert len(list((engine.root / "volumes" / "new" / "_data").iterdir())) == FILES


def half_an_import(engine: Engine) -> engines.UnixHTTP:
    """The connection of an import into `new` whose first file is there, and that is not at its end."""
    connection = engines.UnixHTTP(engine.socket)
    connection.putrequest("POST", "/volumes/import?name=new")
    connection.putheader("Transfer-Encoding", "chunked")
    connection.endheaders()
    part = archive()[:4096]
    connection.send(b"%x\r\n%s\r\n" % (len(part), part))
    engines.until(lambda: list(engine.root.glob("volumes/new/_filling/file1")))
    return connection


def test_killed_in_the_middle_of_a_long_import(engine: Engine) -> None:
    """The archive is on its way when the engine dies: no row, no directory, and the name is free."""
    connection = half_an_import(engine)
    assert names(engine) in ([], ["new"])
    engine.kill()
    connection.close()
    engine.start()
    consistent(engine)
    assert names(engine) == []
    engine.api("POST", "/volumes/import?name=new", archive())
    consistent(engine)


def test_a_client_that_goes_in_the_middle_of_an_import(engine: Engine) -> None:
    connection = half_an_import(engine)
    connection.close()
    engines.until(lambda: names(engine) == [])
    engines.until(lambda: not list((engine.root / "trash").iterdir()))
    consistent(engine)


def test_rename_survives_whatever_is_in_its_way(engine: Engine, tmp_path: Path) -> None:
    """A directory without a row at the new name: the volume's own content must win."""
    engine.api("POST", "/volumes/import?name=old", archive())
    (engine.root / "volumes" / "new" / "_data").mkdir(parents=True)
    (engine.root / "volumes" / "new" / "_data" / "foreign").touch()
    engine.api("POST", "/volumes/old/rename?name=new")
    consistent(engine)
    assert names(engine) == ["new"]
    assert len(list((engine.root / "volumes" / "new" / "_data").iterdir())) == FILES
