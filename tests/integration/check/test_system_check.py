"""A store that was broken on purpose: each fault is found, named and mended, and nothing that is needed goes."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import engines
from tests.engines import BUSYBOX, Engine

pytestmark = [pytest.mark.root]


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with engines.onggi(tmp_path_factory.mktemp("check")) as running:
        engines.import_busybox(running)
        running.docker("volume", "create", "kept")
        running.docker("create", "--name", "box", "--network", "none", "-v", "kept:/data", BUSYBOX, "true")
        yield running


def sql(engine: Engine, statement: str, *values: object) -> list[Any]:
    with sqlite3.connect(engine.root / "onggi.db", timeout=10) as database:
        return database.execute(statement, values).fetchall()


def check(engine: Engine, *flags: str) -> tuple[int, dict[str, dict[str, Any]]]:
    """Exit status and faults by kind, as the command line and JSON have them."""
    done = engine.run("onggi", "system", "check", "--format", "json", *flags, check=False)
    found = [json.loads(line) for line in done.stdout.splitlines()]
    return done.returncode, {one["Kind"]: one for one in found}


def layer(engine: Engine) -> tuple[str, Path, str]:
    """Chain id, tree and blob of busybox's only layer."""
    row = sql(engine, "SELECT chain_id, id, blob FROM layers JOIN snapshots ON key = chain_id")[0]
    return row[0], engine.root / "snapshots" / row[1] / "fs", row[2]


def blob(engine: Engine, digest: str) -> Path:
    return engine.root / "oci" / "blobs" / "sha256" / digest.removeprefix("sha256:")


def manifest(engine: Engine) -> Path:
    return blob(engine, sql(engine, "SELECT manifest FROM images")[0][0])


def overwrite(path: Path, data: bytes) -> None:
    path.chmod(0o644)
    path.write_bytes(data)


def container_directory(engine: Engine) -> Path:
    return engine.root / "containers" / engine.api("GET", "/containers/box/json")["Id"]


def snapshot_of_box(engine: Engine) -> Path:
    cid = engine.api("GET", "/containers/box/json")["Id"]
    return engine.root / "snapshots" / sql(engine, "SELECT id FROM snapshots WHERE key = ?", cid)[0][0]


def without_directory(engine: Engine) -> None:
    shutil.rmtree(container_directory(engine))


def record_that_is_none(engine: Engine) -> None:
    sql(engine, "UPDATE containers SET record = ? WHERE name = 'box'", b"{")


def stack_without_layers(engine: Engine) -> None:
    sql(engine, "DELETE FROM stacks")


def image_without_blobs(engine: Engine) -> None:
    sql(engine, "DELETE FROM blobs WHERE digest NOT IN (SELECT id FROM images)")


def endpoint_of_nobody(engine: Engine) -> None:
    network = engine.api("GET", "/networks/host")["Id"]
    sql(engine, "INSERT INTO endpoints VALUES ('e1', ?, ?, ?)", network, "f" * 64, b"{}")


def snapshot_of_nobody(engine: Engine) -> None:
    (engine.root / "snapshots" / "zz").mkdir()
    sql(engine, "INSERT INTO snapshots VALUES (?, 'zz', NULL, 'active', 'ready', 'container', 1)", "e" * 64)


def network_record(engine: Engine) -> None:
    sql(engine, "UPDATE networks SET record = ? WHERE name = 'host'", b"[]")


def lease(engine: Engine) -> None:
    sql(engine, "INSERT INTO roots VALUES ('a build', 'snapshot', 'no-such')")


def grown(engine: Engine) -> None:
    (layer(engine)[1] / "etc" / "planted").write_text("not in the layer")


def changed(engine: Engine) -> None:
    """The same size and name, one other byte."""
    path = layer(engine)[1] / "etc" / "passwd"
    data = path.read_bytes()
    path.write_bytes(b"R" + data[1:])


# ruff: noqa: E501
MENDED: dict[str, tuple[str, Callable[[Engine], object]]] = {
    "a blob that nothing needs": ("blob-unowned", lambda e: blob(e, "sha256:" + "a" * 64).write_bytes(b"x" * 99)),
    "a composed manifest is damaged": ("blob-corrupt", lambda e: overwrite(manifest(e), b"{}")),
    "a composed manifest is gone": ("blob-missing", lambda e: manifest(e).unlink()),
    "a foreign file among blobs": ("file-unknown", lambda e: (manifest(e).parent / "notes.txt").write_text("hi")),
    "index.json says something else": ("index-wrong", lambda e: overwrite(e.root / "oci/index.json", b"{}")),
    "index.json is gone": ("index-wrong", lambda e: (e.root / "oci/index.json").unlink()),
    "oci-layout is gone": ("index-wrong", lambda e: (e.root / "oci/oci-layout").unlink()),
    "a layer's tree is gone": ("layer-lost", lambda e: shutil.rmtree(layer(e)[1].parent)),
    "a file of a layer is gone": ("layer-changed", lambda e: (layer(e)[1] / "etc/group").unlink()),
    "a file of a layer was cut off": ("layer-changed", lambda e: os.truncate(layer(e)[1] / "bin/busybox", 4096)),
    "a byte of a layer's file changed": ("layer-changed", changed),
    "a file was put into a layer": ("layer-changed", grown),
    "an image lost its layers' rows": ("image-rows", stack_without_layers),
    "an image lost its blobs' rows": ("image-rows", image_without_blobs),
    "a snapshot of no container": ("snapshot-unowned", snapshot_of_nobody),
    "a directory of no snapshot": ("directory-unowned", lambda e: (e.root / "snapshots/stray").mkdir()),
    "a writable layer is gone": ("root-lost", lambda e: shutil.rmtree(snapshot_of_box(e))),
    "a container's directory is gone": ("container-lost", without_directory),
    "a container's record is none": ("container-corrupt", record_that_is_none),
    "a directory of no container": ("directory-unowned", lambda e: (e.root / "containers" / ("d" * 64)).mkdir()),
    "a volume's directory is gone": ("volume-lost", lambda e: shutil.rmtree(e.root / "volumes/kept")),
    "a volume's row is gone": ("volume-unowned", lambda e: sql(e, "DELETE FROM volumes WHERE name = 'kept'")),
    "a directory of no volume": ("volume-unowned", lambda e: (e.root / "volumes/stray/_data").mkdir(parents=True)),
    "a predefined network is gone": ("network-lost", lambda e: sql(e, "DELETE FROM networks WHERE name = 'none'")),
    "a predefined network's record is none": ("network-corrupt", network_record),
    "an endpoint of no container": ("endpoint-unowned", endpoint_of_nobody),
    "a lease on nothing": ("lease-dangling", lease),
}  # fmt: skip


@pytest.mark.parametrize("name", MENDED)
def test_a_fault_is_found_and_mended(engine: Engine, name: str) -> None:
    kind, break_ = MENDED[name]
    assert check(engine) == (0, {})
    break_(engine)
    status, found = check(engine)
    assert status == 1 and kind in found, found
    assert check(engine, "--repair", "--dry-run") == (1, found)  # nothing was touched
    assert found[kind]["Remedy"] != "none here"
    status, mended = check(engine, "--repair")
    assert status == 0 and mended[kind]["Outcome"] == "mended", mended
    assert check(engine) == (0, {})
    assert engine.docker("volume", "ls", "-q").split() == ["kept"]
    assert engine.docker("ps", "-aq", "--filter", "name=box")


def test_after_all_of_it_the_container_and_the_image_are_what_they_were(engine: Engine) -> None:
    engine.docker("start", "box")
    engine.docker("wait", "box")
    assert engine.docker("run", "--rm", "--network", "none", BUSYBOX, "head", "-c4", "/etc/passwd") == "root"


def test_what_is_wanted_and_cannot_be_mended_is_named_and_kept(engine: Engine) -> None:
    """A layer's blob of which only the tree is left: said with the image's name, and a load mends it."""
    archive = engine.root.parent / "busybox.tar"
    engine.docker("save", "-o", str(archive), BUSYBOX)
    path = blob(engine, layer(engine)[2])
    data = path.read_bytes()
    overwrite(path, data[:-512] + b"x" * 512)
    done = engine.run("onggi", "system", "check", "--repair", check=False)
    assert done.returncode == 1
    assert f"layer of {BUSYBOX} is corrupt" in done.stdout and "load or pull it again" in done.stdout
    assert "1 fault left" in done.stdout
    assert path.exists()
    assert engine.docker("run", "--rm", "--network", "none", BUSYBOX, "echo", "runs on") == "runs on\n"
    engine.docker("load", "-i", str(archive))
    assert check(engine) == (0, {}) and path.read_bytes() == data


def test_a_damaged_manifest_does_not_keep_the_engine_from_starting(engine: Engine) -> None:
    engine.stop()
    overwrite(manifest(engine), b"{}")
    engine.start()
    engine.docker("tag", BUSYBOX, "other:1")
    engine.docker("rmi", "other:1")
    status, found = check(engine, "--repair")
    assert status == 0, found
    assert BUSYBOX in (engine.root / "oci" / "index.json").read_text()


def test_a_layer_in_use_is_not_taken_from_a_running_container(engine: Engine) -> None:
    engine.docker("run", "-d", "--name", "busy", "--network", "none", BUSYBOX, "sleep", "1000")
    (layer(engine)[1] / "etc" / "group").unlink()
    status, found = check(engine, "--repair")
    assert status == 1
    assert "mounted by a running container" in found["layer-changed"]["Outcome"]
    engine.docker("rm", "-f", "busy")
    assert check(engine, "--repair")[0] == 0


def test_quick_reads_no_contents_and_says_what_it_looked_at(engine: Engine) -> None:
    changed(engine)
    assert check(engine, "--quick") == (0, {})
    said = engine.run("onggi", "system", "check", "--quick").stdout
    assert said.startswith(
        "Looked at 1 images, 1 layers, 3 blobs, 2 snapshots, 1 containers, 1 volumes, 3 net"
    )
    assert check(engine, "--repair")[0] == 0
    assert engine.run("onggi", "system", "check", "--dry-run", check=False).returncode == 1


def test_killed_while_mending_the_rest_is_mended_by_the_next(engine: Engine) -> None:
    for point in ("restore.unpacked", "snapshot.replace", "check.mended"):
        (layer(engine)[1] / "etc" / "group").unlink()
        engine.stop()
        engine.start(failpoint=f"{point}=kill")
        engine.run("onggi", "system", "check", "--repair", check=False)
        assert engine.process is not None and engine.process.wait(60) == -9, point
        engine.start()
        assert check(engine, "--repair")[0] == 0
        assert check(engine) == (0, {})
        engines.until(lambda: not os.listdir(engine.root / "trash"))  # deleted behind the answer
