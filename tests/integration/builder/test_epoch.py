"""SOURCE_DATE_EPOCH: the same input gives the same digest on two machines (two engines that share nothing but
the base image), through every door and for every output; and the times are those of BuildKit's rules.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import random
import shutil
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import buildx, engines

pytestmark = [pytest.mark.root, pytest.mark.slow]
EPOCH = 1_600_000_000
DOCKERFILE = """FROM busybox:test AS left
RUN mkdir -p /made/a /made/b && for i in 1 2 3 4 5; do echo $i > /made/a/$i; ln /made/a/$i /made/b/$i; done
FROM busybox:test AS right
RUN --mount=type=cache,target=/c hostname > /name; date -r /etc/passwd +%s > /kept; rm -r /home; mkdir /home
FROM busybox:test
LABEL a=1
WORKDIR /new/deep
COPY --from=left /made /x/y/made
COPY --from=right /name /kept /z/
COPY . /context/
COPY --link one /linked/one
COPY <<here /here/doc
text
here
ADD files.tar /unpacked/
RUN rm -r /var && touch -d @5 /old && chmod 600 /etc/group && truncate -s 8M /sparse && echo new > /sparse2
"""
SIDES = ("one", "two")


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[engines.Engine]]:
    """The base image of the one is the other's, byte for byte."""
    with contextlib.ExitStack() as stack:
        found = [stack.enter_context(engines.onggi(tmp_path_factory.mktemp(name))) for name in SIDES]
        engines.import_busybox(found[0])
        found[1].onggi("load", stdin=found[0].request("GET", "/images/busybox:test/get")[1])
        yield found


@pytest.fixture(scope="module")
def contexts(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The same files, made in another order, with other times (all after the epoch)."""
    names = ["one", "dir/two", "dir/three", "z", "a/b/c/d", *(f"many/{number}" for number in range(40))]
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        info = tarfile.TarInfo("packed")
        info.size, info.mtime = 3, EPOCH + 77
        tar.addfile(info, io.BytesIO(b"abc"))
    found = []
    for seed, side in enumerate(SIDES):
        root = tmp_path_factory.mktemp(f"context-{side}") / "context"
        order = sorted(names, key=lambda name: random.Random(f"{seed}{name}").random())
        for number, name in enumerate(order):
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"text of {name}\n")
            os.utime(path, (EPOCH + 1000 * seed + number,) * 2)
        (root / "Dockerfile").write_text(DOCKERFILE)
        (root / "files.tar").write_bytes(packed.getvalue())
        found.append(root)
    return found


def digests(path: Path) -> dict[str, str]:
    """Of a file, or of every file in a directory with its mode and time."""
    if path.is_file():
        return {"": hashlib.sha256(path.read_bytes()).hexdigest()}
    found = {}
    for one in sorted(path.rglob("*")):
        facts = one.lstat()
        text = os.readlink(one) if one.is_symlink() else one.read_bytes() if one.is_file() else ""
        found[str(one.relative_to(path))] = f"{facts.st_mode:o} {facts.st_mtime_ns} {text!r}"
    return found


def blobs(archive: Path) -> tuple[dict[str, object], list[list[tarfile.TarInfo]]]:
    """Configuration, and members of each layer, of an archive with one image."""
    with tarfile.open(archive) as tar:

        def read(digest: str) -> bytes:
            file = tar.extractfile(f"blobs/sha256/{digest[7:]}")
            assert file is not None
            return file.read()

        index = json.load(tar.extractfile("index.json"))  # type: ignore[arg-type]
        manifest = json.loads(read(index["manifests"][0]["digest"]))
        layers = []
        for layer in manifest["layers"]:
            with tarfile.open(fileobj=io.BytesIO(read(layer["digest"]))) as one:
                layers.append(one.getmembers())
        return json.loads(read(manifest["config"]["digest"])), layers


def config_of(archive: Path) -> bytes:
    with tarfile.open(archive) as tar:
        index = json.load(tar.extractfile("index.json"))  # type: ignore[arg-type]
        manifest = json.load(tar.extractfile(f"blobs/sha256/{index['manifests'][0]['digest'][7:]}"))  # type: ignore[arg-type]
        return tar.extractfile(f"blobs/sha256/{manifest['config']['digest'][7:]}").read()  # type: ignore[union-attr]


def check_times(archive: Path, base: Path) -> None:
    config, layers = blobs(archive)
    base_config, base_layers = blobs(base)
    kept = len(base_layers)
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(EPOCH))
    history = config["history"]
    assert config["created"] == stamp
    assert history[: len(base_config["history"])] == base_config["history"]
    assert {one["created"] for one in history[len(base_config["history"]) :]} == {stamp}
    assert [one.mtime for one in layers[0]] == [one.mtime for one in base_layers[0]], (
        "the base's layers are left"
    )
    times = {one.mtime for layer in layers[kept:] for one in layer}
    assert max(times) == EPOCH and 5 in times, "newer ones get the epoch, older ones stay"


@pytest.fixture(scope="module")
def base(machines: list[engines.Engine], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("base") / "base.tar"
    path.write_bytes(machines[0].request("GET", "/images/busybox:test/get")[1])
    return path


@pytest.mark.parametrize(
    "output",
    [
        "type=oci,dest={},rewrite-timestamp=true",
        "type=docker,dest={},rewrite-timestamp=true",
        "type=oci,dest={},rewrite-timestamp=true,compression=gzip,force-compression=true,annotation.a=b",
        "type=oci,dest={},rewrite-timestamp=true,compression=zstd",
        "type=tar,dest={}",
        "type=local,dest={}",
    ],
)
def test_buildx(
    machines: list[engines.Engine], contexts: list[Path], base: Path, tmp_path: Path, output: str
) -> None:
    buildx.need()
    found = []
    for number, (engine, context) in enumerate(zip(machines, contexts, strict=True)):
        out = tmp_path / f"out{number}"
        words = ("build", "--no-cache", "--output", output.format(out), ".")
        buildx.buildx(engine, context, *words, SOURCE_DATE_EPOCH=str(EPOCH))
        found.append(digests(out))
    assert found[0] == found[1]
    if "oci" in output and "compression" not in output:
        check_times(tmp_path / "out0", base)
    if "local" in output:
        assert {one.lstat().st_mtime for one in (tmp_path / "out0").rglob("*")} == {EPOCH}
    if "tar" in output:
        with tarfile.open(tmp_path / "out0") as tar:
            assert {one.mtime for one in tar} == {EPOCH}


def test_buildx_attestations_and_index(
    machines: list[engines.Engine], contexts: list[Path], tmp_path: Path
) -> None:
    buildx.need()
    found = []
    for number, (engine, context) in enumerate(zip(machines, contexts, strict=True)):
        out = tmp_path / f"out{number}"
        buildx.buildx(
            engine, context, "build", "--no-cache", "--provenance=mode=max", "--sbom=true",
            "--platform=linux/amd64", "--annotation", "index:org.example=1",
            "--label", "b=1", "--label", "a=2", "--label", "c=3",
            "--annotation", "manifest:x=1", "--annotation", "manifest:y=2", "--annotation", "manifest:w=3",
            "--output", f"type=oci,dest={out},rewrite-timestamp=true", ".",
            SOURCE_DATE_EPOCH=str(EPOCH),
        )  # fmt: skip
        found.append(digests(out))
    assert found[0] == found[1]


def test_buildx_into_the_store_and_an_epoch_of_the_exporters(
    machines: list[engines.Engine], contexts: list[Path]
) -> None:
    buildx.need()
    ids = []
    for engine, context in zip(machines, contexts, strict=True):
        output = f"type=image,name=stored:1,rewrite-timestamp=true,source-date-epoch={EPOCH - 7}"
        buildx.buildx(engine, context, "build", "--no-cache", "--output", output, ".")
        ids.append(engine.api("GET", "/images/stored:1/json")["Id"])
        buildx.buildx(engine, context, "build", "--output", output, ".")
        assert engine.api("GET", "/images/stored:1/json")["Id"] == ids[-1], "layers that are here already"
        archive = str(context.parent / "again.tar")
        buildx.buildx(
            engine, context, "build", "--output", f"type=oci,dest={archive},{output.partition(',')[2]}", "."
        )
        assert f"sha256:{hashlib.sha256(config_of(Path(archive))).hexdigest()}" == ids[-1]
        found = engine.onggi(
            "run", "--rm", "--network", "none", "stored:1", "stat", "-c", "%Y", "/x/y", "/old", "/z/kept"
        )
        assert found.split() == [str(EPOCH - 7), "5", str(EPOCH - 7)]
    assert ids[0] == ids[1]


@pytest.mark.parametrize("client", ["onggi", "docker"])
def test_the_classic_door(
    machines: list[engines.Engine], contexts: list[Path], base: Path, tmp_path: Path, client: str
) -> None:
    ids = []
    dockerfile = DOCKERFILE.replace("COPY --link", "COPY").replace("--mount=type=cache,target=/c ", "")
    for engine, context in zip(machines, contexts, strict=True):
        words = ["build", "--no-cache", "-t", "timed:1", "--build-arg", f"SOURCE_DATE_EPOCH={EPOCH}"]
        (context / "Classic").write_text(dockerfile)
        try:
            engine.run(client, *words, "-f", str(context / "Classic"), str(context))
        finally:
            (context / "Classic").unlink()
        ids.append(engine.api("GET", "/images/timed:1/json")["Id"])
    assert ids[0] == ids[1]
    out = tmp_path / "out"
    out.write_bytes(machines[0].request("GET", "/images/timed:1/get")[1])
    check_times(out, base)


@pytest.mark.parametrize("output", ["type=oci,dest={}", "type=docker,dest={}", "type=tar,dest={}", "{}"])
def test_onggi_build(
    machines: list[engines.Engine], contexts: list[Path], base: Path, tmp_path: Path, output: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("SOURCE_DATE_EPOCH", str(EPOCH))
    found = []
    for number, (engine, context) in enumerate(zip(machines, contexts, strict=True)):
        out = tmp_path / f"out{number}"
        engine.onggi("build", "--no-cache", "-o", output.format(out), str(context))
        found.append(digests(out))
    assert found[0] == found[1]
    if "oci" in output:
        check_times(tmp_path / "out0", base)
    if output == "{}":
        assert {one.lstat().st_mtime for one in (tmp_path / "out0").rglob("*")} == {EPOCH}


def test_layers_may_be_left_and_wrong_words_are_refused(
    machines: list[engines.Engine], tmp_path: Path
) -> None:
    engine, dockerfile = machines[0], b"FROM busybox:test\nRUN echo a > /a\n"
    epoch = ("--build-arg", f"SOURCE_DATE_EPOCH={EPOCH}")
    out = tmp_path / "out"
    left = f"type=oci,dest={out},rewrite-timestamp=false"
    engine.onggi("build", "--no-cache", *epoch, "-o", left, "-", stdin=dockerfile)
    assert blobs(out)[1][-1][-1].mtime > EPOCH
    mixed = ("-o", left, "-o", f"type=docker,dest={out}")
    done = engine.run("onggi", "build", *epoch, *mixed, "-", stdin=dockerfile, check=False)
    assert "all outputs are of one image" in done.stderr
    for wrong in ("yesterday", "1e3", "999999999999999", "--5"):
        done = engine.run(
            "onggi", "build", "--build-arg", f"SOURCE_DATE_EPOCH={wrong}", "-", stdin=dockerfile, check=False
        )
        assert f"invalid SOURCE_DATE_EPOCH: {wrong}" in done.stderr


def test_the_epoch_zero_and_the_default_of_an_arg(machines: list[engines.Engine]) -> None:
    dockerfile = b"ARG SOURCE_DATE_EPOCH=0\nFROM busybox:test\nRUN echo zero > /zero\n"
    machines[0].docker("build", "--no-cache", "-t", "zero:1", "-", stdin=dockerfile)
    found = machines[0].api("GET", "/images/zero:1/json")
    assert found["Created"] == "1970-01-01T00:00:00Z"
    shown = machines[0].onggi("run", "--rm", "--network", "none", "zero:1", "stat", "-c", "%Y", "/zero")
    assert shown.strip() == "0"


def test_nothing_partial_stays(machines: list[engines.Engine]) -> None:
    for engine in machines:
        assert not list((engine.root / "oci" / "partial").iterdir())
        assert shutil.disk_usage(engine.root).free
