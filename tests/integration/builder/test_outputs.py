"""What buildx makes of a result: `--output`, `--push`, `--load`, annotations, tags, the metadata file."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import engines
from tests.buildx import buildx
from tests.registries import OCI_MANIFEST, Registry, digest, registry

pytestmark = [pytest.mark.root, pytest.mark.timeout(240)]
SPECIAL = (
    "FROM busybox:test AS made\nRUN mkdir -p /out/d && cd /out && echo one > d/one && ln -s d/one link && "
    "ln d/one hard && mkfifo fifo && chown -h 7:8 link && chmod 4755 d/one && mkdir empty && "
    "head -c 3000000 /dev/zero > big && touch d.x\n"
    "FROM scratch\nCOPY --from=made /out /\n"
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    if shutil.which("docker-registry") is None:
        pytest.skip("docker-registry is missing")
    with registry(tmp_path_factory.mktemp("registry"), users={"ann": "secret"}) as one:
        yield one


@pytest.fixture
def context(context: Path) -> Path:
    (context / "Dockerfile").write_text(SPECIAL)
    return context


def login(context: Path, place: Registry) -> None:
    config = context.parent / "config"
    config.mkdir(exist_ok=True)
    auth = {"auths": {place.host: {"auth": "YW5uOnNlY3JldA=="}}}
    (config / "config.json").write_text(json.dumps(auth))


def blobs(archive: Path) -> tuple[dict[str, Any], dict[str, bytes]]:
    """index.json and all blobs, each compared with its name."""
    found = {}
    with tarfile.open(archive) as tar:
        for member in tar.getmembers():
            if member.isfile():
                file = tar.extractfile(member)
                assert file is not None
                found[member.name] = file.read()
    for name, data in found.items():
        if name.startswith("blobs/"):
            assert digest(data) == f"sha256:{Path(name).name}"
    return json.loads(found["index.json"]), found


def test_files_into_a_directory(engine: engines.Engine, context: Path) -> None:
    buildx(engine, context, "build", "-o", "made", ".")
    made = context / "made"
    assert sorted(os.listdir(made)) == ["big", "d", "d.x", "empty", "fifo", "hard", "link"]
    assert (made / "d/one").read_text() == "one\n" and os.readlink(made / "link") == "d/one"
    assert stat.S_IMODE((made / "d/one").stat().st_mode) == 0o4755
    assert (made / "hard").stat().st_ino == (made / "d/one").stat().st_ino
    assert stat.S_ISFIFO((made / "fifo").stat().st_mode) and (made / "big").stat().st_size == 3_000_000
    buildx(engine, context, "build", "-o", "made", ".")  # over what is there


def test_files_as_an_archive(engine: engines.Engine, context: Path) -> None:
    buildx(engine, context, "build", "-o", "type=tar,dest=made.tar", ".")
    with tarfile.open(context / "made.tar") as tar:
        found = {member.name.rstrip("/"): member for member in tar.getmembers()}
    assert set(found) == {"big", "d", "d/one", "d.x", "empty", "fifo", "hard", "link"}
    assert (found["link"].uid, found["link"].gid) == (7, 8) and found["fifo"].isfifo()


@pytest.mark.parametrize("compression", ["uncompressed", "gzip", "zstd"])
def test_an_oci_archive_that_skopeo_reads(engine: engines.Engine, context: Path, compression: str) -> None:
    buildx(
        engine, context, "build", "-t", "made:1", "-t", "made:2", "--annotation", "manifest:a=b",
        "-o", f"type=oci,dest=made.tar,compression={compression}", ".",
    )  # fmt: skip
    index, found = blobs(context / "made.tar")
    names = [one["annotations"]["io.containerd.image.name"] for one in index["manifests"]]
    assert names == ["docker.io/library/made:1", "docker.io/library/made:2"]
    manifest = json.loads(found[f"blobs/sha256/{index['manifests'][0]['digest'][7:]}"])
    assert manifest["annotations"] == {"a": "b"}
    suffix = {"uncompressed": "tar", "gzip": "tar+gzip", "zstd": "tar+zstd"}[compression]
    assert {layer["mediaType"].rpartition(".")[2] for layer in manifest["layers"]} == {suffix}
    done = engine.run("onggi", "system", "check", check=False)
    assert done.returncode == 0, done.stdout  # no blob is left behind
    assert "made:1" not in engine.onggi("images", "--format", "{{.Repository}}:{{.Tag}}")
    if shutil.which("skopeo"):
        archive = f"oci-archive:{context}/made.tar:1"
        done = subprocess.run(["skopeo", "inspect", "--config", archive], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


def test_a_docker_archive_can_be_loaded(engine: engines.Engine, context: Path) -> None:
    buildx(engine, context, "build", "-t", "loaded:1", "-o", "type=docker,dest=made.tar", ".")
    assert "loaded:1" in engine.onggi("load", "-i", str(context / "made.tar"))
    docker = "application/vnd.docker.distribution.manifest.v2+json"
    buildx(engine, context, "build", "-o", "type=docker,dest=old.tar,oci-mediatypes=false", ".")
    assert blobs(context / "old.tar")[0]["manifests"][0]["mediaType"] == docker


def test_an_oci_layout_as_a_directory(engine: engines.Engine, context: Path) -> None:
    buildx(engine, context, "build", "-t", "made:1", "-o", "type=oci,tar=false,dest=layout", ".")
    (entry,) = json.loads((context / "layout/index.json").read_text())["manifests"]
    data = (context / "layout/blobs/sha256" / entry["digest"][7:]).read_bytes()
    for layer in json.loads(data)["layers"]:
        assert digest((context / "layout/blobs/sha256" / layer["digest"][7:]).read_bytes()) == layer["digest"]


def test_tags_load_and_the_metadata_file(engine: engines.Engine, context: Path) -> None:
    file = context / "said.json"
    buildx(
        engine, context, "build", "--load", "-t", "tagged:1", "-t", "other/name:2", "--annotation", "a=b",
        "--metadata-file", str(file), "--iidfile", str(context / "iid"), ".",
    )  # fmt: skip
    image = engine.api("GET", "/v1.51/images/tagged:1/json")
    assert image["Id"] == engine.api("GET", "/v1.51/images/other/name:2/json")["Id"]
    said = json.loads(file.read_text())
    assert said["containerimage.config.digest"] == image["Id"] == (context / "iid").read_text()
    assert said["image.name"] == "docker.io/library/tagged:1,docker.io/other/name:2"
    manifest = engine.root / "oci/blobs/sha256" / said["containerimage.descriptor"]["digest"][7:]
    assert json.loads(manifest.read_text())["annotations"] == {"a": "b"}


def test_a_push_with_the_clients_credentials(engine: engines.Engine, context: Path, place: Registry) -> None:
    name = f"{place.host}/pushed"
    file = context / "said.json"
    refused = buildx(engine, context, "build", "--push", "-t", f"{name}:1", ".", fails=True)
    assert "denied" in refused or "unauthorized" in refused.lower(), refused
    login(context, place)
    buildx(
        engine, context, "build", "--push", "-t", f"{name}:1", "-t", f"{name}:2",
        "--metadata-file", str(file), "--annotation", "org.example=yes", ".",
    )  # fmt: skip
    said = json.loads(file.read_text())["containerimage.digest"]
    for tag in ("1", "2"):
        status, headers, body = place.request(
            "GET", f"/v2/pushed/manifests/{tag}",
            headers={"Accept": OCI_MANIFEST, "Authorization": "Basic YW5uOnNlY3JldA=="},
        )  # fmt: skip
        assert (status, headers["docker-content-digest"]) == (200, said)
        assert json.loads(body)["annotations"] == {"org.example": "yes"}


def test_a_base_image_with_the_clients_credentials(
    engine: engines.Engine, context: Path, place: Registry
) -> None:
    login(context, place)
    buildx(engine, context, "build", "--push", "-t", f"{place.host}/private:1", ".")
    engine.onggi("rmi", "-f", f"{place.host}/private:1")
    (context / "Dockerfile").write_text(f"FROM {place.host}/private:1\nCOPY Dockerfile /\n")
    buildx(engine, context, "build", "-o", "made", ".")
    assert (context / "made/d/one").exists() and (context / "made/Dockerfile").exists()
    (context.parent / "config/config.json").write_text("{}")


def test_several_outputs_of_one_build(engine: engines.Engine, context: Path) -> None:
    buildx(engine, context, "build", "-t", "several", "-o", "type=local,dest=a", "-o", "type=oci,dest=b.tar",
           "-o", "type=image", ".")  # fmt: skip
    assert (context / "a/big").exists() and blobs(context / "b.tar")
    assert engine.api("GET", "/v1.51/images/several/json")["Id"]


@pytest.mark.parametrize(
    ("output", "said"),
    [
        ("type=oci,dest=x.tar,compression=xz", "unsupported compression"),
        ("type=oci,dest=x.tar,compression=estargz", "unsupported compression"),
        ("type=image,push=true", "tag is needed when pushing"),
        ("type=image,odd=1", "attribute odd=1"),
        ("type=image,name=a:1,push-by-digest=true", "attribute push-by-digest=true"),
    ],
)
def test_what_is_not_known_is_refused_by_name(
    engine: engines.Engine, context: Path, output: str, said: str
) -> None:
    assert said in buildx(engine, context, "build", "-o", output, ".", fails=True)


def test_a_file_that_cannot_be_written(engine: engines.Engine, context: Path) -> None:
    out = buildx(engine, context, "build", "-o", "type=tar,dest=/dev/full", ".", fails=True)
    assert "no space left" in out
    buildx(engine, context, "build", "-o", "type=tar,dest=after.tar", ".")
