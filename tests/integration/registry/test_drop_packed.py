"""drop-packed-layers: layers are kept unpacked; the packed ones come back, byte for byte, on demand."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from onggi.spec import digest as digests
from tests import engines, registries
from tests.engines import Engine
from tests.registries import Registry

pytestmark = [pytest.mark.root, pytest.mark.timeout(120)]

BUSY = engines.busybox_rootfs()
ONE = registries.image([BUSY, registries.layer({"one": b"1"})])
TWO = registries.image([BUSY, registries.layer({"two": b"2"})])


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    with registries.registry(tmp_path) as one:
        registries.push(one, "a/one:1", ONE)
        registries.push(one, "a/two:1", TWO)
        yield one


@pytest.fixture(params=["overlay2", "vfs"])
def engine(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Engine]:
    flags = ("--bridge", "none", "--drop-packed-layers", "--storage-driver", request.param)
    with engines.onggi(tmp_path, *flags) as running:
        yield running


def held(engine: Engine) -> set[str]:
    return {"sha256:" + one.name for one in (engine.root / "oci/blobs/sha256").iterdir()}


def test_layers_are_stored_once_and_given_back(engine: Engine, registry: Registry, tmp_path: Path) -> None:
    name = f"{registry.host}/a/one:1"
    engine.onggi("pull", name)
    assert held(engine) == {ONE.digest, ONE.id}, "documents only"
    assert engine.docker("run", "--rm", "--net", "none", name, "cat", "/one") == "1"
    assert "Image is up to date" in engine.onggi("pull", name)
    shared = engine.onggi("pull", f"{registry.host}/a/two:1")
    assert f"{TWO.layers[0][7:19]}: Already exists" in shared
    assert "no fault" in engine.onggi("system", "check").lower()
    assert held(engine) == {ONE.digest, ONE.id, TWO.digest, TWO.id}, "check fetches nothing"
    engine.docker("save", "-o", str(tmp_path / "one.tar"), name)
    with tarfile.open(tmp_path / "one.tar") as tar:
        for digest in ONE.layers:
            member = tar.extractfile(f"blobs/sha256/{digest[7:]}")
            assert member is not None and member.read() == ONE.blobs[digest]
    assert set(ONE.layers) <= held(engine), "what was brought is kept"
    engine.onggi("pull", name)
    engine.onggi("rmi", name, f"{registry.host}/a/two:1")
    assert held(engine) == set()


def test_push_elsewhere_fetches_and_push_back_does_not(
    engine: Engine, registry: Registry, tmp_path: Path
) -> None:
    name = f"{registry.host}/a/one:1"
    engine.onggi("pull", name)
    engine.onggi("tag", name, f"{registry.host}/a/one:2")
    assert f"digest: {ONE.digest}" in engine.docker("push", f"{registry.host}/a/one:2")
    assert held(engine) == {ONE.digest, ONE.id}
    with registries.registry(tmp_path) as other:
        target = f"{other.host}/copied:1"
        engine.onggi("tag", name, target)
        assert f"digest: {ONE.digest}" in engine.docker("push", target)
    assert set(ONE.layers) <= held(engine)


def test_a_registry_that_is_gone_is_named(engine: Engine, registry: Registry, tmp_path: Path) -> None:
    name = f"{registry.host}/a/one:1"
    engine.onggi("pull", name)
    registry.process.kill()
    registry.process.wait()
    refused = engine.run("onggi", "save", "-o", str(tmp_path / "x.tar"), name, check=False)
    assert refused.returncode == 1
    assert f"was dropped when {registry.host}/a/one@{ONE.digest} was pulled" in refused.stderr
    assert engine.docker("run", "--rm", "--net", "none", name, "cat", "/one") == "1"


def test_what_is_loaded_is_kept_and_takes_the_place_of_what_was_dropped(
    engine: Engine, registry: Registry, tmp_path: Path
) -> None:
    name = f"{registry.host}/a/one:1"
    engine.onggi("pull", name)
    engine.onggi("save", "-o", str(tmp_path / "one.tar"), name)
    engine.onggi("pull", name)
    assert held(engine) == {ONE.digest, ONE.id}
    registry.process.kill()
    registry.process.wait()
    engine.onggi("load", "-i", str(tmp_path / "one.tar"))
    assert set(ONE.layers) <= held(engine)
    engine.kill()
    engine.start()
    engine.onggi("save", "-o", str(tmp_path / "again.tar"), name)


def test_what_came_with_credentials_is_kept(tmp_path: Path) -> None:
    with registries.registry(tmp_path, users={"ann": "secret"}) as private:
        config = tmp_path / "client"
        config.mkdir()
        with engines.onggi(tmp_path, "--bridge", "none", "--drop-packed-layers") as engine:
            engines.import_busybox(engine)
            name = f"{private.host}/mine:1"
            engine.onggi("tag", engines.BUSYBOX, name)
            docker = ("--config", str(config))
            engine.docker(*docker, "login", "-u", "ann", "-p", "secret", private.host)
            engine.docker(*docker, "push", name)
            before = held(engine)
            engine.docker("rmi", name, engines.BUSYBOX)
            engine.docker(*docker, "pull", name)
            assert held(engine) == before


def test_plain_layers_are_their_trees(engine: Engine, registry: Registry, tmp_path: Path) -> None:
    engines.import_busybox(engine)
    engine.docker(
        "run", "--name", "made", "--net", "none", engines.BUSYBOX, "sh", "-c", "seq 100000 > /numbers"
    )
    engine.docker("commit", "made", "made:1")
    engine.docker("rm", "made")
    (layers,) = {tuple(json.loads(engine.docker("inspect", "-f", "{{json .RootFS.Layers}}", "made:1")))}
    assert len(layers) == 2
    assert not set(layers) & held(engine)
    assert {one.name for one in (engine.root / "recipes").iterdir()} == {one[7:] for one in layers}
    assert "no fault" in engine.onggi("system", "check").lower()
    saved = tmp_path / "made.tar"
    engine.docker("save", "-o", str(saved), "made:1")
    with tarfile.open(saved) as tar:
        for digest in layers:
            member = tar.extractfile(f"blobs/sha256/{digest[7:]}")
            assert member is not None and digests.of(member.read()) == digest
    assert not set(layers) & held(engine), "what is put together is not kept"
    engine.kill()
    engine.start()
    engine.docker("tag", "made:1", f"{registry.host}/made:1")
    engine.docker("push", f"{registry.host}/made:1")
    engine.docker("rmi", f"{registry.host}/made:1", "made:1", engines.BUSYBOX)
    assert held(engine) == set()
    assert list((engine.root / "recipes").iterdir()) == []
    engine.docker("load", "-i", str(saved))
    assert not set(layers) & held(engine)
    engine.docker("load", "-i", str(saved))
    assert engine.docker("run", "--rm", "--net", "none", "made:1", "tail", "-n1", "/numbers") == "100000\n"
    assert not set(layers) & held(engine)


def test_a_build_keeps_its_layers_once(engine: Engine, tmp_path: Path) -> None:
    engines.import_busybox(engine)
    (tmp_path / "Dockerfile").write_text(f"FROM {engines.BUSYBOX}\nRUN seq 100000 > /numbers\n")
    engine.onggi("build", "-q", "--network", "none", "-t", "built:1", str(tmp_path))
    layers = json.loads(engine.docker("inspect", "-f", "{{json .RootFS.Layers}}", "built:1"))
    assert not set(layers) & held(engine)
    engine.docker("save", "-o", str(tmp_path / "built.tar"), "built:1")


def test_a_damaged_tree_is_found_and_the_same_image_mends_it(engine: Engine, tmp_path: Path) -> None:
    engines.import_busybox(engine)
    saved = tmp_path / "saved.tar"
    engine.docker("save", "-o", str(saved), engines.BUSYBOX)
    (layer,) = json.loads(engine.docker("inspect", "-f", "{{json .RootFS.Layers}}", engines.BUSYBOX))
    busybox = next(engine.root.glob("snapshots/*/fs/bin/busybox"))
    content = bytearray(busybox.read_bytes())
    content[5000] ^= 1
    busybox.write_bytes(content)
    found = engine.run("onggi", "system", "check", check=False)
    assert digests.short(layer) in found.stdout and "its files have other content" in found.stdout
    refused = engine.run("docker", "save", "-o", str(tmp_path / "x.tar"), engines.BUSYBOX, check=False)
    assert f"blob {layer} is corrupt" in refused.stderr
    engine.docker("load", "-i", str(saved))
    if engine.docker("info", "-f", "{{.Driver}}") == "overlay2":
        engine.run("onggi", "system", "check", "--repair", check=False)
        assert "no fault" in engine.onggi("system", "check").lower()
        content[5000] ^= 1
        assert next(engine.root.glob("snapshots/*/fs/bin/busybox")).read_bytes() == content
    engine.docker("save", "-o", str(tmp_path / "again.tar"), engines.BUSYBOX)


def test_what_a_crash_left_of_recipes_goes(engine: Engine) -> None:
    engines.import_busybox(engine)
    (kept,) = (engine.root / "recipes").iterdir()
    engine.kill()
    (engine.root / "recipes" / ("0" * 64)).write_bytes(b"no row")
    (engine.root / "recipes" / f"{kept.name}.0123.new").write_bytes(b"half")
    engine.start()
    assert list((engine.root / "recipes").iterdir()) == [kept]
