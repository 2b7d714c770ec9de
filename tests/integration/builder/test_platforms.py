"""Several platforms in one build: an index in the store, the registry, an archive; missing emulators."""

from __future__ import annotations

import json
import os
import shutil
import tarfile
from pathlib import Path

import pytest

from onggi.builder.executors import emulation
from onggi.errors import InvalidParameter
from onggi.spec.platform import Platform, host
from tests import engines
from tests.buildx import buildx
from tests.integration.builder.test_outputs import blobs
from tests.registries import OCI_INDEX, registry

pytestmark = [pytest.mark.root, pytest.mark.timeout(240)]
CROSS = (
    "FROM --platform=$BUILDPLATFORM busybox:test AS made\nARG TARGETARCH\nRUN echo $TARGETARCH > /arch\n"
    "FROM scratch\nARG TARGETARCH\nCOPY --from=made /arch /bin/busybox /\nLABEL arch=$TARGETARCH\n"
)
BOTH = ("--platform", "linux/amd64,linux/arm64", "--provenance=false")


@pytest.fixture
def context(context: Path) -> Path:
    (context / "Dockerfile").write_text(CROSS)
    return context


def test_one_name_for_several_platforms(engine: engines.Engine, context: Path) -> None:
    out = buildx(engine, context, "build", "--progress=plain", *BOTH, "-t", "several:1", ".")
    assert "[linux/amd64 made 2/2] RUN" in out or "RUN echo arm64" in out or "[linux/arm64" in out
    assert engine.onggi("run", "--rm", "several:1", "/busybox", "cat", "/arch") == f"{host().architecture}\n"
    image = engine.api("GET", "/v1.51/images/several:1/json")
    assert image["Architecture"] == host().architecture and image["Config"]["Labels"] == {"arch": "amd64"}
    saved = context / "saved.tar"
    engine.onggi("save", "-o", str(saved), "several:1")
    index, found = blobs(saved)
    inner = json.loads(found[f"blobs/sha256/{index['manifests'][0]['digest'][7:]}"])
    assert [one["platform"]["architecture"] for one in inner["manifests"]] == ["amd64", "arm64"]
    again = buildx(engine, context, "build", "--progress=plain", *BOTH, "-t", "several:1", ".")
    assert again.count("CACHED") >= 4


def test_an_index_goes_to_the_registry_and_comes_back(
    engine: engines.Engine, context: Path, tmp_path: Path
) -> None:
    if shutil.which("docker-registry") is None:
        pytest.skip("docker-registry is missing")
    with registry(tmp_path) as place:
        name = f"{place.host}/several:1"
        buildx(engine, context, "build", *BOTH, "--push", "-t", name, "--annotation", "index:a=b", ".")
        status, _, body = place.request("GET", "/v2/several/manifests/1", headers={"Accept": OCI_INDEX})
        index = json.loads(body)
        assert status == 200 and index["annotations"] == {"a": "b"}
        assert [one["platform"]["architecture"] for one in index["manifests"]] == ["amd64", "arm64"]
        (context / "Dockerfile").write_text(f"FROM {name}\nCOPY Dockerfile /\n")
        engine.onggi("rmi", "-f", name)
        buildx(engine, context, "build", "--platform", "linux/arm64", "-o", "made", ".")
        assert (context / "made/arch").read_text() == "arm64\n"


def test_archives_and_directories(engine: engines.Engine, context: Path) -> None:
    buildx(engine, context, "build", *BOTH, "-o", "type=oci,dest=made.tar", ".")
    index, found = blobs(context / "made.tar")
    inner = json.loads(found[f"blobs/sha256/{index['manifests'][0]['digest'][7:]}"])
    assert len(inner["manifests"]) == 2
    buildx(engine, context, "build", *BOTH, "-o", "made", ".")
    assert sorted(os.listdir(context / "made")) == ["linux_amd64", "linux_arm64"]
    assert (context / "made/linux_arm64/arch").read_text() == "arm64\n"
    buildx(engine, context, "build", *BOTH, "-o", "type=tar,dest=x.tar", ".")
    with tarfile.open(context / "x.tar") as archive:
        for architecture in ("amd64", "arm64"):
            member = archive.extractfile(f"linux_{architecture}/arch")
            assert member is not None and member.read() == f"{architecture}\n".encode()


def test_what_needs_an_emulator_says_which(engine: engines.Engine, context: Path) -> None:
    foreign = Platform("linux", "arm64" if host().architecture != "arm64" else "amd64")
    try:
        emulation.check(foreign, "x")
    except InvalidParameter:
        pass
    else:
        pytest.skip("this machine has the emulator")
    buildx(engine, context, "build", "--platform", str(foreign), "-t", "foreign:1", ".")
    (context / "Dockerfile").write_text('FROM foreign:1\nRUN ["/busybox", "true"]\n')
    out = buildx(engine, context, "build", "--platform", str(foreign), ".", fails=True)
    assert f"cannot run {foreign}: qemu-" in out and "is not registered in binfmt_misc" in out
    said = engine.run("onggi", "build", "--platform", str(foreign), str(context), check=False)
    assert said.returncode and "is not registered in binfmt_misc" in said.stderr


AARCH64 = "7f454c460201010000000000000000000200b700"
MASK = "ffffffffffffff00fffffffffffffffffeffffff"


@pytest.mark.parametrize(
    ("text", "good"),
    [
        (f"enabled\ninterpreter /q\nflags: F\noffset 0\nmagic {AARCH64}\nmask {MASK}\n", True),
        (f"enabled\ninterpreter /q\nflags: \noffset 0\nmagic {AARCH64}\n", False),
        (f"disabled\ninterpreter /q\nflags: F\noffset 0\nmagic {AARCH64}\n", False),
        (f"enabled\ninterpreter /q\nflags: F\noffset 0\nmagic {AARCH64[:-4]}f300\n", False),
        ("enabled\ninterpreter /q\nflags: F\nextension .py\n", False),
    ],
)
def test_handlers_are_understood(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, good: bool
) -> None:
    if host().architecture == "arm64":
        pytest.skip("arm64 is this machine's own")
    (tmp_path / "handler").write_text(text)
    (tmp_path / "status").write_text("enabled\n")
    monkeypatch.setattr(emulation, "BINFMT", str(tmp_path))
    assert (Platform("linux", "arm64", "") in emulation.platforms()) == good
