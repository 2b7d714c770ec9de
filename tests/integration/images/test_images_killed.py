"""SIGKILL at the steps of tag, prune and commit: each is done or not begun, and the same command succeeds."""

from __future__ import annotations

import contextlib
import http.client
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import engines
from tests.engines import BUSYBOX, Engine

pytestmark = [pytest.mark.root, pytest.mark.slow]


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with engines.onggi(tmp_path) as running:
        engines.import_busybox(running)
        yield running


def killed(engine: Engine, point: str, method: str, path: str, body: object = None) -> None:
    """The request meets the failpoint and the engine dies; the next one is up."""
    engine.stop()
    engine.start(failpoint=f"{point}=kill")
    with contextlib.suppress(OSError, http.client.HTTPException):
        status, text = engine.request(method, path, body)
        raise AssertionError(f"{point} was not met: {status} {text!r}")
    assert engine.process is not None and engine.process.wait(60) == -9
    engine.start()


def whole(engine: Engine) -> None:
    """Nothing is on its way, every directory and every blob has an owner."""
    assert list((engine.root / "oci" / "partial").iterdir()) == []
    engines.until(lambda: not os.listdir(engine.root / "trash"))  # deleted behind the answer
    shown = engine.api("GET", "/images/json?all=1")
    layers = {layer for one in shown for layer in _layers(engine, one["Id"])}
    directories = {path.name for path in (engine.root / "snapshots").iterdir()} - {"empty"}
    assert len(directories) == len(layers) + len(engine.api("GET", "/containers/json?all=1"))


def _layers(engine: Engine, image_id: str) -> list[str]:
    found: list[str] = engine.api("GET", f"/images/{image_id}/json")["RootFS"]["Layers"]
    return found


def test_killed_while_tagging(engine: Engine) -> None:
    killed(engine, "tag.row-written", "POST", f"/images/{BUSYBOX}/tag?repo=again&tag=1")
    whole(engine)
    engine.api("POST", f"/images/{BUSYBOX}/tag?repo=again&tag=1")
    assert "again:1" in engine.api("GET", f"/images/{BUSYBOX}/json")["RepoTags"]
    assert '"again:1"' in (engine.root / "oci" / "index.json").read_text()


def test_killed_while_pruning(engine: Engine) -> None:
    for number in range(2):
        engine.api("POST", f"/images/create?fromSrc=-&changes=ENV%20N={number}", engines.busybox_rootfs())
    prune = "/images/prune?filters=%7B%22dangling%22%3A%5B%22true%22%5D%7D"
    killed(engine, "prune.deleted", "POST", prune)
    whole(engine)
    assert len(engine.api("POST", prune)["ImagesDeleted"]) == 1
    whole(engine)
    assert [one["RepoTags"] for one in engine.api("GET", "/images/json?all=1")] == [[BUSYBOX]]


@pytest.mark.parametrize(
    "point", ["commit.frozen", "commit.packed", "staging.blobs-committed", "staging.rows-written"]
)
def test_killed_while_committing(engine: Engine, point: str) -> None:
    body = {
        "Image": BUSYBOX,
        "Cmd": ["sh", "-c", "echo 1 >/made; sleep 1000"],
        "HostConfig": {"NetworkMode": "none"},
    }
    cid = engine.api("POST", "/containers/create", body)["Id"]
    engine.api("POST", f"/containers/{cid}/start")
    engine.docker("exec", cid, "sh", "-c", "until [ -s /made ]; do :; done")
    path = f"/commit?container={cid}&repo=made&tag=1"
    killed(engine, point, "POST", path)
    assert engine.request("GET", "/images/made:1/json")[0] == 404
    whole(engine)
    state = engine.api("GET", f"/containers/{cid}/json")["State"]
    if state["Paused"]:  # it was frozen when the engine died: shown as what it is
        engine.api("POST", f"/containers/{cid}/unpause")
    engine.api("POST", path)
    assert engine.docker("run", "--rm", "--network", "none", "made:1", "cat", "/made") == "1\n"


def test_layers_of_an_image_removed_by_force_go_with_the_last_container(engine: Engine) -> None:
    engine.api(
        "POST",
        "/images/create?fromSrc=-&repo=gone&tag=1&changes=ENV%20A=1",
        engines.busybox_rootfs() + bytes(512),
    )
    cid = engine.api("POST", "/containers/create", {"Image": "gone:1", "Cmd": ["true"]})["Id"]
    engine.api("DELETE", "/images/gone:1?force=1")
    status, text = engine.request("POST", f"/commit?container={cid}&repo=x")
    assert status == 404 and b"No such image" in text
    before = len(list((engine.root / "snapshots").iterdir()))
    engine.api("DELETE", f"/containers/{cid}")
    assert len(list((engine.root / "snapshots").iterdir())) == before - 2
    whole(engine)


def test_a_container_on_three_hundred_layers(engine: Engine, tmp_path: Path) -> None:
    """More than fit into a page of mount options, and than overlayfs takes at once by mount(2)."""
    from tests.integration.images import test_images_hostile as archives

    layers = [engines.busybox_rootfs()]
    layers += [archives.tar((f"layer{n}", b"%d" % n), ("last", b"%d" % n)) for n in range(299)]
    layers[150] = archives.tar(("data/.wh..wh..opq", b""), (".wh.layer7", b""))
    engine.api("POST", "/images/load", archives.archive(layers, RepoTags=["tall:1"]))
    run = ("run", "--rm", "--network", "none", "tall:1", "sh", "-c")
    assert (
        engine.docker(*run, "cat last; ls -d /layer* | wc -l; test -e /layer7 || echo gone")
        == "298297\ngone\n"
    )
    cid = engine.docker("create", "tall:1", "true").strip()
    assert engine.docker("diff", cid) == ""
    engine.docker("cp", f"{cid}:/layer298", str(tmp_path / "out"))
    assert (tmp_path / "out").read_text() == "298"
    engine.docker("commit", cid, "taller:1")
    assert engine.docker("run", "--rm", "--network", "none", "taller:1", "cat", "/last") == "298"
