"""OCI artifacts: pulled, listed, tagged, saved, loaded and pushed as they came; run refuses them."""

from __future__ import annotations

import json
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import engines, registries
from tests.engines import Engine
from tests.registries import Registry

pytestmark = [pytest.mark.root, pytest.mark.timeout(120)]

KIND = "application/vnd.example.model.v1"
WEIGHTS = bytes(range(256)) * 4096
README = b"# a model\n"
NOTHING = b"{}"


def artifact(kind: str = KIND, *, own_config: bool = False) -> registries.Made:
    """As `oras push` makes one: two files, and a configuration that is empty or says the type."""
    config = described(NOTHING, kind if own_config else "application/vnd.oci.empty.v1+json")
    manifest = {
        "schemaVersion": 2,
        "mediaType": registries.OCI_MANIFEST,
        **({} if own_config else {"artifactType": kind}),
        "config": config,
        "layers": [
            described(WEIGHTS, "application/octet-stream", "weights.bin"),
            described(README, "text/markdown", "README.md"),
        ],
        "annotations": {"org.opencontainers.image.created": "2026-01-01T00:00:00Z"},
    }
    blobs = {registries.digest(one): one for one in (NOTHING, WEIGHTS, README)}
    return registries.Made(json.dumps(manifest).encode(), NOTHING, blobs, [])


def described(data: bytes, kind: str, title: str = "") -> dict[str, object]:
    named = {"annotations": {"org.opencontainers.image.title": title}} if title else {}
    return {"mediaType": kind, "digest": registries.digest(data), "size": len(data), **named}


MODEL = artifact()
CHART = artifact("application/vnd.cncf.helm.config.v1+json", own_config=True)


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with registries.registry(tmp_path_factory.mktemp("registry")) as one:
        registries.push(one, "a/model:1", MODEL)
        registries.push(one, "a/chart:1", CHART)
        yield one


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with engines.onggi(tmp_path, "--bridge", "none") as running:
        yield running


@pytest.mark.parametrize("client", ["onggi", "docker"])
def test_an_artifact_goes_in_and_out_as_it_is(
    engine: Engine, registry: Registry, client: str, tmp_path: Path
) -> None:
    name = f"{registry.host}/a/model:1"
    shown = engine.run(client, "pull", name).stdout
    assert f"Digest: {MODEL.digest}" in shown
    (listed,) = engine.api("GET", "/images/json?manifests=1")
    assert (listed["Id"], listed["RepoTags"]) == (MODEL.digest, [name])
    size = sum(map(len, (MODEL.manifest, NOTHING, WEIGHTS, README)))
    assert listed["Size"] == size and listed["Manifests"][0]["Kind"] == "unknown"
    assert name.rpartition(":")[0] in engine.run(client, "images").stdout
    engine.run(client, "images", "--tree")
    assert engine.api("GET", f"/images/{name}/json")["Descriptor"]["artifactType"] == KIND
    path = tmp_path / "model.tar"
    engine.run(client, "save", "-o", str(path), name)
    engine.run(client, "rmi", name)
    assert engine.api("GET", "/images/json") == []
    assert f"Loaded image: {name}" in engine.run(client, "load", "-i", str(path)).stdout
    copy = f"{registry.host}/b/{client}:1"
    engine.run(client, "tag", name, copy)
    assert f"1: digest: {MODEL.digest} size: {len(MODEL.manifest)}" in engine.run(client, "push", copy).stdout
    accept = {"Accept": registries.OCI_MANIFEST}
    assert registry.request("GET", f"/v2/b/{client}/manifests/1", headers=accept)[2] == MODEL.manifest
    engine.run(client, "pull", name)
    assert "Image is up to date" in engine.run(client, "pull", name).stdout
    assert "no fault" in engine.onggi("system", "check").lower()


@pytest.mark.parametrize("client", ["onggi", "docker"])
def test_it_is_not_run(engine: Engine, registry: Registry, client: str) -> None:
    name = f"{registry.host}/a/chart:1"
    refused = engine.run(client, "run", name, check=False)
    kind = "application/vnd.cncf.helm.config.v1+json"
    assert refused.returncode == 125
    assert f"{name} is an artifact of type {kind}, not an image: it cannot be run" in refused.stderr
    assert engine.api("GET", "/containers/json?all=1") == []
    built = engine.run(client, "build", "-", check=False, stdin=f"FROM {name}\nRUN true\n".encode())
    assert built.returncode != 0 and "artifact" in built.stdout + built.stderr


def test_skopeo_reads_it_out_of_an_archive(engine: Engine, registry: Registry, tmp_path: Path) -> None:
    name = f"{registry.host}/a/model:1"
    engine.onggi("pull", name)
    path = tmp_path / "model.tar"
    engine.onggi("save", "-o", str(path), name)
    target = f"docker://{registry.host}/c/model:1"
    subprocess.run(
        ["skopeo", "copy", "--dest-tls-verify=false", f"oci-archive:{path}:1", target],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    accept = {"Accept": registries.OCI_MANIFEST}
    assert registry.request("GET", "/v2/c/model/manifests/1", headers=accept)[2] == MODEL.manifest
    made = tmp_path / "skopeo.tar"
    subprocess.run(
        ["skopeo", "copy", "--src-tls-verify=false", f"docker://{name}", f"oci-archive:{made}:again:1"],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    assert "Loaded image: again:1" in engine.onggi("load", "-i", str(made))
    with tarfile.open(path) as tar:
        assert f"blobs/sha256/{registries.digest(WEIGHTS)[7:]}" in tar.getnames()


def test_a_killed_pull_goes_on_and_leaves_nothing(engine: Engine, registry: Registry) -> None:
    name = f"{registry.host}/a/model:1"
    engine.stop()
    engine.start(failpoint="staging.blobs-committed=kill")
    engine.run("onggi", "pull", name, check=False)
    engine.kill()
    engine.start()
    assert engine.api("GET", "/images/json") == []
    assert list((engine.root / "oci/blobs/sha256").iterdir()) == []
    engine.onggi("pull", name)
    assert engine.api("GET", f"/images/{name}/json")["Id"] == MODEL.digest
