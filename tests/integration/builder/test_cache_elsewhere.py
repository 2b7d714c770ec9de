"""Build caches that go elsewhere and come back on another engine: registry, image, directory, history."""

from __future__ import annotations

import base64
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from onggi.builder.remote import config
from tests import engines
from tests.buildx import buildx, need
from tests.registries import OCI_MANIFEST, Registry, registry

pytestmark = [pytest.mark.root, pytest.mark.timeout(240)]
DOCKERFILE = """FROM busybox:test AS one
RUN cat /proc/sys/kernel/random/uuid > /made
RUN --mount=type=cache,id=kept,target=/kept cat /kept/f 2>/dev/null > /seen; echo kept > /kept/f
FROM busybox:test
COPY f /f
COPY --from=one /made /seen /
RUN cat /proc/sys/kernel/random/uuid > /own
"""


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[engines.Engine, engines.Engine]]:
    """Two engines that share nothing; both have the same base image."""
    need()
    tmp = tmp_path_factory.mktemp
    with engines.onggi(tmp("a")) as first, engines.onggi(tmp("b")) as second:
        engines.import_busybox(first)
        archive = tmp("base") / "base.tar"
        first.onggi("save", "-o", str(archive), "busybox:test")
        second.onggi("load", "-i", str(archive))
        yield first, second


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    if shutil.which("docker-registry") is None:
        pytest.skip("docker-registry is missing")
    with registry(tmp_path_factory.mktemp("registry")) as one:
        yield one


@pytest.fixture
def context(context: Path) -> Path:
    (context / "Dockerfile").write_text(DOCKERFILE)
    (context / "f").write_text("content")
    return context


def image_id(engine: engines.Engine, name: str) -> str:
    return str(engine.api("GET", f"/v1.51/images/{name}/json")["Id"])


def forget(*two: engines.Engine) -> None:
    for engine in two:
        engine.api("POST", "/v1.51/build/prune?all=1")


@pytest.mark.parametrize("manifest", ["true", "false"])
@pytest.mark.parametrize("compression", ["uncompressed", "gzip", "zstd"])
def test_a_registry_carries_a_cache_to_another_engine(
    two: tuple[engines.Engine, engines.Engine],
    place: Registry,
    context: Path,
    manifest: str,
    compression: str,
) -> None:
    forget(*two)
    first, second = two
    ref = f"{place.host}/cache:{manifest}-{compression}"
    to = f"type=registry,ref={ref},mode=max,image-manifest={manifest},compression={compression},mounts=true"
    buildx(first, context, "build", "--progress=plain", "-t", "made", "--cache-to", to, ".")
    source = f"type=registry,ref={ref}"
    out = buildx(second, context, "build", "--progress=plain", "-t", "made", "--cache-from", source, ".")
    assert f"importing cache manifest from {ref}" in out and out.count("CACHED") == 6, out
    assert image_id(first, "made") == image_id(second, "made")
    second.onggi("run", "--rm", "made", "cat", "/own", "/made", "/f")
    (context / "Dockerfile").write_text(
        "FROM busybox:test\nRUN --mount=type=cache,id=kept,target=/k cp /k/f /\n"
    )
    buildx(second, context, "build", "--cache-from", source, "-t", "mounted", ".")
    assert second.onggi("run", "--rm", "mounted", "cat", "/f") == "kept\n"


def test_the_least_is_what_the_image_is_made_of(
    two: tuple[engines.Engine, engines.Engine], place: Registry, context: Path
) -> None:
    forget(*two)
    ref = f"{place.host}/least"
    buildx(two[0], context, "build", "--cache-to", f"type=registry,ref={ref}", "-t", "least", ".")
    out = buildx(two[1], context, "build", "--progress=plain", "--cache-from", ref, ".")
    assert "[one 2/3] RUN" in out and "#" in out
    assert out.count("CACHED") < 6  # the other stage is not in it, and had to run
    status, _, body = place.request("GET", "/v2/least/manifests/latest", headers={"Accept": OCI_MANIFEST})
    assert status == 200
    assert json.loads(body)["config"]["mediaType"] == config.MEDIA_TYPE


def test_a_cache_inside_an_image(
    two: tuple[engines.Engine, engines.Engine], place: Registry, context: Path
) -> None:
    forget(*two)
    (context / "Dockerfile").write_text(
        "FROM busybox:test\nCOPY f /f\nRUN cat /proc/sys/kernel/random/uuid >/u\n"
    )
    first, second = two
    name = f"{place.host}/inline:1"
    buildx(first, context, "build", "--cache-to", "type=inline", "-t", name, ".")
    first.onggi("push", name)
    document = json.loads((first.root / "oci/blobs/sha256" / image_id(first, name)[7:]).read_bytes())
    records = json.loads(base64.b64decode(document["moby.buildkit.cache.v0"]))
    assert [record["layers"][0]["layer"] for record in records if record["digest"].startswith("sha256:")]
    out = buildx(second, context, "build", "--progress=plain", "--cache-from", name, "-t", "inline", ".")
    assert out.count("CACHED") == 3
    assert second.onggi("run", "--rm", "inline", "cat", "/u") == first.onggi("run", "--rm", name, "cat", "/u")
    forget(second)
    second.onggi("rmi", "-f", "inline")
    done = second.run("onggi", "build", "--cache-from", name, "-t", "inline", str(context))
    assert done.stderr.count("CACHED") == 3


def test_a_directory_of_the_clients(
    two: tuple[engines.Engine, engines.Engine], context: Path, tmp_path: Path
) -> None:
    forget(*two)
    where = tmp_path / "cache"
    buildx(two[0], context, "build", "--cache-to", f"type=local,dest={where},mode=max", "-t", "d", ".")
    assert json.loads((where / "index.json").read_text())["manifests"]
    source = f"type=local,src={where}"
    out = buildx(two[1], context, "build", "--progress=plain", "--cache-from", source, "-t", "d", ".")
    assert out.count("CACHED") == 6 and image_id(two[0], "d") == image_id(two[1], "d")


def test_a_damaged_or_missing_cache_only_costs_time(
    two: tuple[engines.Engine, engines.Engine], place: Registry, context: Path, tmp_path: Path
) -> None:
    forget(*two)
    where = tmp_path / "cache"
    buildx(two[0], context, "build", "--cache-to", f"type=local,dest={where},mode=max", ".")
    for blob in (where / "blobs/sha256").iterdir():
        data = blob.read_bytes()
        if not data.startswith(b"{"):
            blob.chmod(0o644)
            blob.write_bytes(data[:-600] + b"!" * 600)
    out = buildx(two[1], context, "build", "--progress=plain", "--cache-from", f"type=local,src={where}", ".")
    assert "ERROR" not in out
    missing = f"{place.host}/nowhere"
    out = buildx(two[1], context, "build", "--progress=plain", "--cache-from", missing, ".")
    assert f"importing cache manifest from {missing}" in out and "not found" in out


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("--cache-to", "type=azblob"), "cache export 'azblob'"),
        (("--cache-to", "type=registry,ref=a,mode=some"), "unsupported cache export mode 'some'"),
        (("--cache-to", "type=registry,ref=a,compression=xz"), "unsupported compression 'xz'"),
        (("--cache-to", "type=registry,ref=a,odd=1"), "attribute 'odd' is not known here"),
    ],
)
def test_what_cannot_be_exported_is_refused_by_name(
    two: tuple[engines.Engine, engines.Engine], context: Path, args: tuple[str, ...], said: str
) -> None:
    out = buildx(two[0], context, "build", "--progress=plain", *args, ".", fails=True)
    assert said in out


def test_onggi_build_brings_a_cache_to_a_registry(
    two: tuple[engines.Engine, engines.Engine], place: Registry, context: Path
) -> None:
    forget(*two)
    ref = f"type=registry,ref={place.host}/by-onggi"
    two[0].onggi("build", "-t", "o", "--cache-to", f"{ref},mode=max", str(context))
    done = two[1].run("onggi", "build", "-t", "o", "--cache-from", ref, str(context))
    assert done.stderr.count("CACHED") == 6, done.stderr
    assert image_id(two[0], "o") == image_id(two[1], "o")


def test_onggi_build_brings_a_cache_into_a_directory(
    two: tuple[engines.Engine, engines.Engine], context: Path, tmp_path: Path
) -> None:
    forget(*two)
    where = tmp_path / "a, directory"
    to, source = f'"type=local","dest={where}",mode=max', f'type=local,"src={where}"'
    two[0].onggi("build", "-t", "od", "--cache-to", to, str(context))
    assert json.loads((where / "index.json").read_text())["manifests"][0]["annotations"]
    done = two[1].run("onggi", "build", "-t", "od", "--cache-from", source, str(context))
    assert done.stderr.count("CACHED") == 6 and image_id(two[0], "od") == image_id(two[1], "od")
    two[0].onggi("build", "-t", "od", "--cache-to", to, str(context))  # over what is there
    out = buildx(two[1], context, "build", "--cache-from", source, "--progress=plain", ".")
    assert out.count("CACHED") == 6
    none = f"type=local,src={tmp_path}/none"
    assert "not found" in two[1].run("onggi", "build", "--cache-from", none, str(context)).stderr
    for engine in two:
        left = [name for name in os.listdir(engine.root / "build") if name.startswith("layout-")]
        assert not left


def test_a_classic_build_takes_steps_from_an_image_of_the_same_history(
    two: tuple[engines.Engine, engines.Engine], context: Path
) -> None:
    forget(*two)
    text = "FROM busybox:test\nENV A=1\nCOPY f /f\nRUN cat /proc/sys/kernel/random/uuid > /u\nRUN true\n"
    (context / "Dockerfile").write_text(text)
    first = two[0]
    first.onggi("build", "-t", "history:1", str(context))
    forget(first)
    first.docker("build", "-t", "history:2", "--cache-from", "history:1", str(context))
    same = [first.onggi("run", "--rm", f"history:{n}", "cat", "/u") for n in (1, 2)]
    assert same[0] == same[1]
    forget(first)
    (context / "f").write_text("another")
    first.docker("build", "-t", "history:3", "--cache-from", "history:1", str(context))
    assert first.onggi("run", "--rm", "history:3", "cat", "/u", "/f").endswith("\nanother")
    assert first.onggi("run", "--rm", "history:3", "cat", "/u") != same[0]
    forget(first)
    (context / "f").write_text("content")
    (context / "Dockerfile").write_text(text.replace("A=1", "A=2"))
    first.docker("build", "-t", "history:4", "--cache-from", "history:1", str(context))
    assert first.onggi("run", "--rm", "history:4", "cat", "/u") != same[0]
