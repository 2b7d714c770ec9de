"""Names, options and archives of volumes that mean harm: a refusal that names them, and nothing outside is touched."""
# ruff: noqa: E501 (tables)

from __future__ import annotations

import gzip
import io
import json
import os
import tarfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from tests import engines
from tests.engines import BUSYBOX, Engine

pytestmark = [pytest.mark.root]
NAMES = [
    "..", ".", "../x", "../../etc", "a/b", "a\\b", "a b", "a\nb", "a\0b", "-rf", ".hidden", "_data", "é", "\uff41b", "a\u202eb", "%2e%2e", "a:b",
    "a" * 256, "a" * 100_000, "$(id)", "a;b", "a'b", '"', "a\tb", "x/../../y", "\ud800",
]  # fmt: skip


@pytest.fixture(autouse=True)
def nothing_is_left(engine: Engine) -> Iterator[None]:
    volumes = engine.root / "volumes"
    above = sorted(os.listdir(engine.root))
    yield
    for volume in engine.api("GET", "/volumes")["Volumes"] or ():
        engine.api("DELETE", f"/volumes/{volume['Name']}")
    assert not volumes.exists() or os.listdir(volumes) == []
    assert sorted(os.listdir(engine.root)) == above


@pytest.mark.parametrize("name", NAMES, ids=lambda name: ascii(name[:12]))
def test_names_that_are_paths_or_worse(engine: Engine, name: str) -> None:
    """In each place that takes a name, none makes anything or is taken for a 500."""
    escaped = quote(name, safe="", errors="surrogatepass")
    body = json.dumps({"Name": name}).encode()
    host = {"NetworkMode": "none", "Mounts": [{"Type": "volume", "Source": name, "Target": "/v"}]}
    bind = {"NetworkMode": "none", "Binds": [f"{name}:/v"]}
    engine.api("POST", "/volumes/create", {"Name": "good"})
    requests: list[tuple[str, str, object]] = [
        ("POST", "/volumes/create", json.loads(body)),
        ("POST", "/containers/create", {"Image": BUSYBOX, "HostConfig": host}),
        ("POST", "/containers/create", {"Image": BUSYBOX, "HostConfig": bind}),
    ]
    if len(name) < 1000:
        requests += [
            ("GET", f"/volumes/{escaped}", None), ("DELETE", f"/volumes/{escaped}", None),
            ("GET", f"/volumes/{escaped}/export", None), ("POST", f"/volumes/import?name={escaped}", archive()),
            ("POST", f"/volumes/good/clone?name={escaped}", None), ("POST", f"/volumes/good/rename?name={escaped}", None),
            ("POST", f"/volumes/{escaped}/rename?name=fresh", None), ("POST", f"/volumes/{escaped}/clone?name=fresh", None),
        ]  # fmt: skip
    for method, path, facts in requests:
        status, text = engine.request(method, path, facts)
        assert 300 < status < 500, (method, path[:60], status, text[:200])
    assert [volume["Name"] for volume in engine.api("GET", "/volumes")["Volumes"]] == ["good"]
    assert engine.api("GET", "/containers/json?all=1") == []


@pytest.mark.parametrize(
    ("facts", "status"),
    [
        ({"Labels": {"k" * 10_000: "v" * 100_000}}, 201),
        ({"Labels": {"a\nb": "\u202e\x1b[2J"}}, 201),
        ({"Labels": {f"k{n}": "v" for n in range(5000)}}, 201),
        ({"Labels": ["a"]}, 400), ({"Labels": {"a": 1}}, 400), ({"Labels": "x"}, 400), ({"DriverOpts": []}, 400),
        ({"DriverOpts": {"type": "none", "device": "/", "o": "bind,remount"}}, 400),
        ({"DriverOpts": {"type": "tmpfs\0x", "device": "tmpfs"}}, 400),
        ({"DriverOpts": {"type": "tmpfs", "device": "tm\0pfs"}}, 400),
        ({"DriverOpts": {"type": "tmpfs", "device": "tmpfs", "o": "size=1\0"}}, 400),
        ({"DriverOpts": {"o\n": "x"}}, 400), ({"Driver": "../local"}, 404), ({"Driver": "local\n"}, 404),
        ({"ClusterVolumeSpec": {}}, 503),
    ],
    ids=lambda value: ascii(value)[:40],
)  # fmt: skip
def test_facts_of_a_volume(engine: Engine, facts: dict[str, object], status: int) -> None:
    found, text = engine.request("POST", "/volumes/create", {"Name": "odd", **facts})
    assert found == status, text[:300]
    if status == 201:
        assert engine.api("GET", "/volumes/odd")["Labels"] == facts["Labels"]
        assert engine.onggi("volume", "ls", "-q") == "odd\n"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"type": "nosuchfs", "device": "x"}, "no such device"),
        ({"type": "ext4", "device": "/dev/null"}, "block device required"),
        ({"type": "tmpfs", "device": "tmpfs", "o": "size=what"}, "invalid argument"),
        ({"type": "none", "device": "/no/such/place", "o": "bind"}, "no such file or directory"),
        ({"type": "none", "device": "/etc/passwd", "o": "bind"}, "not a directory"),
        ({"type": "overlay", "device": "overlay", "o": "lowerdir=/no:/such"}, "no such file or directory"),
    ],
    ids=lambda value: ascii(value)[:40],
)  # fmt: skip
def test_mounts_of_a_volume_that_fail(engine: Engine, options: dict[str, str], words: str) -> None:
    """The container does not start, the message has the device and the kernel's word, and nothing stays mounted."""
    engine.api("POST", "/volumes/create", {"Name": "bad", "DriverOpts": options})
    done = engine.run(
        "onggi", "run", "--rm", "--network", "none", "-v", "bad:/v", BUSYBOX, "true", check=False
    )
    assert done.returncode == 125
    assert "failed to mount local volume" in done.stderr
    assert words in done.stderr.lower()
    assert options["device"] in done.stderr
    assert engines.mounts(str(engine.root / "volumes")) == []
    assert engine.api("GET", "/containers/json?all=1") == []


# --- archives -----------------------------------------------------------------------------------------


def member(name: str, kind: bytes = tarfile.REGTYPE, **facts: object) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = kind
    for key, value in facts.items():
        setattr(info, key, value)
    return info


def archive(*members: tarfile.TarInfo) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for info in members:
            tar.addfile(info, io.BytesIO(b"x" * info.size) if info.isreg() else None)
    return out.getvalue()


def escapes(outside: Path) -> dict[str, bytes]:
    place = str(outside)
    return {
        "absolute": archive(member(f"{place}/new", size=1)),
        "climbing": archive(member(f"../../../../../../../..{place}/new", size=1)),
        "through a link": archive(member("l", tarfile.SYMTYPE, linkname=place), member("l/new", size=1)),
        "through a climbing link": archive(member("l", tarfile.SYMTYPE, linkname="../" * 12 + place[1:]), member("l/new", size=1)),
        "over a link": archive(member("l", tarfile.SYMTYPE, linkname=f"{place}/victim"), member("l", size=9)),
        "hard link to the host": archive(member("h", tarfile.LNKTYPE, linkname=f"{place}/victim"), member("h", size=9)),
        "hard link that climbs": archive(member("h", tarfile.LNKTYPE, linkname=f"../../../../../../../..{place}/victim"), member("h", size=9)),
        "hard link through a link": archive(member("l", tarfile.SYMTYPE, linkname=place), member("h", tarfile.LNKTYPE, linkname="l/victim"), member("h", size=9)),
        "directory over a link": archive(member("l", tarfile.SYMTYPE, linkname=place), member("l", tarfile.DIRTYPE, mode=0o777)),
        "mode of a link": archive(member("l", tarfile.SYMTYPE, linkname=f"{place}/victim", mode=0o777, uid=4242)),
        "whiteout": archive(member("l", tarfile.SYMTYPE, linkname=place), member("l/.wh.victim", size=0)),
        "opaque": archive(member("l", tarfile.SYMTYPE, linkname=place), member("l/.wh..wh..opq", size=0)),
        "pax path": archive(member("plain", size=1, pax_headers={"path": f"{place}/new"})),
        "pax linkpath": archive(member("h", tarfile.LNKTYPE, linkname="x", pax_headers={"linkpath": f"{place}/victim"}), member("h", size=9)),
    }  # fmt: skip


@pytest.mark.parametrize("attack", sorted(escapes(Path("/x"))))
def test_an_archive_stays_inside(engine: Engine, tmp_path: Path, attack: str) -> None:
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o700)
    (outside / "victim").write_text("host's\n")
    before = (outside.stat().st_mode, (outside / "victim").stat().st_mode, (outside / "victim").stat().st_uid)
    status, text = engine.request("POST", "/volumes/import?name=evil", escapes(outside)[attack])
    assert status in (201, 400), text
    assert os.listdir(outside) == ["victim"]
    assert (outside / "victim").read_text() == "host's\n"
    assert (
        outside.stat().st_mode,
        (outside / "victim").stat().st_mode,
        (outside / "victim").stat().st_uid,
    ) == before
    assert (outside / "victim").stat().st_nlink == 1
    if status == 400:
        assert engine.request("GET", "/volumes/evil")[0] == 404


BROKEN: dict[str, Callable[[], bytes]] = {
    "empty": lambda: b"",
    "noise": lambda: os.urandom(10_000),
    "text": lambda: b"not an archive at all\n" * 100,
    "cut": lambda: archive(member("f", size=5000))[:3000],
    "cut in a header": lambda: archive(member("f", size=5000), member("g", size=1))[:5800],
    "wrong checksum": lambda: archive(member("f", size=1)).replace(b"ustar", b"usXar", 1),
    "cut gzip": lambda: gzip.compress(archive(member("f", size=200_000)))[:150],
    "negative size": lambda: archive(member("f", size=0)).replace(b"00000000000\0", b"-0000000001\0", 1),
    "no name": lambda: archive(member("", size=1)),
    "null in a name": lambda: archive(member("a", size=0, pax_headers={"path": "a\0b"})),
}


@pytest.mark.parametrize("kind", sorted(BROKEN))
def test_an_archive_that_is_broken_makes_no_volume(engine: Engine, kind: str) -> None:
    status, text = engine.request("POST", "/volumes/import?name=broken", BROKEN[kind]())
    assert status in (201, 400), text
    if status == 400:
        assert json.loads(text)["message"]
        assert engine.request("GET", "/volumes/broken")[0] == 404
    else:
        assert kind in ("empty", "no name", "null in a name"), "a broken archive was taken for a whole one"


def test_a_bomb_is_bounded_by_what_it_says(engine: Engine) -> None:
    """Sparse gigabytes and deep trees cost what they cost in a container: time of a thread, not the engine."""
    deep = archive(*(member("/".join(["d"] * depth), tarfile.DIRTYPE, mode=0o755) for depth in range(1, 400)))
    assert engine.request("POST", "/volumes/import?name=deep", deep)[0] == 201
    ping = []
    end = threading.Event()

    def look() -> None:
        while not end.is_set():
            ping.append(engine.request("GET", "/_ping", timeout=60)[0])

    thread = threading.Thread(target=look)
    thread.start()
    many = archive(*(member(f"f{number}") for number in range(20_000)))
    assert engine.request("POST", "/volumes/import?name=many", gzip.compress(many))[0] == 201
    end.set()
    thread.join()
    assert set(ping) == {200}
    engine.api("DELETE", "/volumes/deep")


def test_two_imports_of_one_name_at_once(engine: Engine) -> None:
    """One of them makes it, with all of its files and none of the other's."""
    bodies = [archive(*(member(f"{letter}{number}", size=10) for number in range(500))) for letter in "ab"]
    statuses: list[int] = []

    def send(body: bytes) -> None:
        statuses.append(engine.request("POST", "/volumes/import?name=one", body)[0])

    threads = [threading.Thread(target=send, args=(body,)) for body in bodies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [201, 409]
    place = Path(engine.api("GET", "/volumes/one")["Mountpoint"])
    found = os.listdir(place)
    assert len(found) == 500
    assert len({name[0] for name in found}) == 1


def test_everything_at_once_to_one_name(engine: Engine) -> None:
    """Creates, removals, renames, clones and containers race for one name: each answer is a status of its own,
    and in the end rows and directories are the same."""
    end = threading.Event()
    bad: list[tuple[str, int, bytes]] = []
    host = {"NetworkMode": "none", "Binds": ["race:/home"]}
    verbs: list[tuple[str, str, object]] = [
        ("POST", "/volumes/create", {"Name": "race"}), ("DELETE", "/volumes/race", None), ("POST", "/volumes/race/rename?name=other", None),
        ("POST", "/volumes/other/rename?name=race", None), ("POST", "/volumes/race/clone?name=other", None), ("DELETE", "/volumes/other", None),
        ("POST", '/volumes/prune?filters={"all":["1"]}', None), ("GET", "/volumes/race/export", None), ("GET", "/volumes", None),
        ("POST", "/containers/create?name=racer", {"Image": BUSYBOX, "HostConfig": host}), ("DELETE", "/containers/racer?force=1", None),
        ("POST", "/volumes/import?name=race", archive(member("f", size=10))),
    ]  # fmt: skip

    def go(verb: tuple[str, str, object]) -> None:
        while not end.is_set():
            status, text = engine.request(*verb)
            if status not in (200, 201, 204, 404, 409):
                bad.append((verb[1], status, text))

    threads = [threading.Thread(target=go, args=(verb,)) for verb in verbs]
    for thread in threads:
        thread.start()
    end.wait(6)
    end.set()
    for thread in threads:
        thread.join()
    assert bad == []
    engine.request("DELETE", "/containers/racer?force=1")
    names = sorted(volume["Name"] for volume in engine.api("GET", "/volumes")["Volumes"] or ())
    assert names == sorted(os.listdir(engine.root / "volumes"))
    assert not list(engine.root.glob("volumes/*/_fill*"))
