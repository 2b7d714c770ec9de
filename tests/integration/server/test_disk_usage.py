"""`system df` adds up to `du`: on an engine that holds some of everything, in every form of the answer."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import engines
from tests.engines import Engine

pytestmark = pytest.mark.root
UNITS = {"B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9}
LAYER = (
    "FROM busybox:test\nRUN dd if=/dev/urandom of=/layer bs=1M count=3\n"
    "RUN for i in $(seq 500); do echo $i > /etc/$i; done\n"
)
CACHED = (
    "FROM busybox:test AS other\nRUN dd if=/dev/urandom of=/other bs=1M count=4\nRUN echo more > /more\n"
    "FROM busybox:test\nCOPY --from=other /more /more\n"
    "RUN --mount=type=cache,target=/cache dd if=/dev/urandom of=/cache/kept bs=1M count=2\n"
)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    tmp = tmp_path_factory.mktemp("usage")
    with engines.onggi(tmp) as running:
        engines.import_busybox(running)
        fill(running, tmp)
        yield running


def fill(engine: Engine, tmp: Path) -> None:
    for name, text in (("layered", LAYER), ("cached", CACHED)):
        (tmp / name).mkdir()
        (tmp / name / "Dockerfile").write_text(text)
        engine.run("onggi", "build", "-q", "-t", name, str(tmp / name))
    engine.api("DELETE", "/images/cached")  # what is left of it is the cache's
    engine.api("POST", "/secrets/create", {"Name": "one", "Data": base64.b64encode(bytes(400_000)).decode()})
    (tmp / "below").mkdir()
    (tmp / "below" / "file").write_bytes(os.urandom(1 << 20))
    write = "dd if=/dev/urandom of=/written bs=1M count=5; dd if=/dev/urandom of=/over/file bs=1M count=2;"
    write += "dd if=/dev/urandom of=/data/file bs=1M count=3; dd if=/dev/urandom of=/image/new bs=1M count=1;"
    write += "seq 200000; sleep 1000"
    running = engine.docker(
        "create", "--name", "writer", "-v", "data:/data", "-v", "/anonymous", engines.BUSYBOX, "true"
    )
    engine.api("DELETE", f"/containers/{running.strip()}")
    engine.onggi(
        *(
            "run",
            "-d",
            "--name",
            "writer",
            "-v",
            "data:/data",
            "-v",
            "/anonymous",
            "-v",
            f"{tmp}/below:/over:O",
        ),
        *("--mount", "type=image,source=layered,target=/image", "--tmpfs", "/memory", "--secret", "one"),
        *(
            "--mount",
            "type=volume,source=mounted,target=/mounted,volume-opt=type=tmpfs,volume-opt=device=tmpfs",
        ),
        *(engines.BUSYBOX, "sh", "-c", write),
    )
    engine.onggi("exec", "writer", "dd", "if=/dev/urandom", "of=/mounted/file", "bs=1M", "count=2")
    engine.onggi(
        "run",
        "--name",
        "ended",
        "layered",
        "sh",
        "-c",
        "rm -r /etc/1*; dd if=/dev/zero of=/holes bs=1 seek=50M count=1",
    )
    engines.until(lambda: engine.docker("logs", "--tail", "1", "writer") == "200000\n", 60)
    (engine.root / "oci/partial/sha256-left").write_bytes(os.urandom(3 << 20))
    subprocess.run(
        ["sync", "-f", str(engine.root)], check=True
    )  # blocks are counted anew when they are written


def du(engine: Engine) -> int:
    done = subprocess.run(
        ["du", "-sx", "--block-size=1", str(engine.root)], capture_output=True, text=True, check=True
    )
    return int(done.stdout.split()[0])


def near(engine: Engine, said: float) -> bool:
    real = du(engine)
    assert abs(said - real) <= real / 100, f"df says {said}, du says {real}"
    return True


def test_summaries_add_up(engine: Engine) -> None:
    found = engine.api("GET", "/system/df")
    assert near(engine, sum(part["TotalSize"] for part in found.values()))
    assert all(0 <= part["Reclaimable"] <= part["TotalSize"] for part in found.values())
    assert found["ImageUsage"]["Reclaimable"] == 0  # each has a container
    assert found["BuildCacheUsage"]["TotalSize"] > 6 << 20  # two layers and a cache mount of no image
    assert found["VolumeUsage"]["TotalSize"] >= 3 << 20
    assert found["ContainerUsage"]["TotalSize"] > 9 << 20


@pytest.mark.parametrize("version", ["1.24", "1.41", "1.44", "1.51", "1.52"])
def test_lists_add_up(engine: Engine, version: str) -> None:
    found = engine.api("GET", f"/v{version}/system/df")
    total = found["LayersSize"] + sum(one["SizeRw"] for one in found["Containers"])
    total += sum(one["UsageData"]["Size"] for one in found["Volumes"])
    total += sum(one["Size"] for one in found["BuildCache"] if not one["Shared"])
    assert near(engine, total)


@pytest.mark.parametrize("client", ["docker", "onggi"])
def test_tables_add_up(engine: Engine, client: str, docker_client: str) -> None:
    lines = engine.run(client, "system", "df", "--format", "{{json .}}").stdout.splitlines()
    rows = [json.loads(line) for line in lines]
    assert [row["Type"] for row in rows] == ["Images", "Containers", "Local Volumes", "Build Cache"]
    assert near(engine, sum(map(read, (row["Size"] for row in rows))))
    assert engine.run(client, "system", "df", "-v").returncode == 0


def test_verbose_in_the_words_of_both(engine: Engine, docker_client: str) -> None:
    """Templates over everything. Ages step between the two: asked again, at last without them."""
    engine.docker("tag", engines.BUSYBOX, "second/name:1")
    for form in (
        "json", "{{json .}}", "{{range .Images}}{{.Repository}}:{{.Tag}} {{.ID}} {{.UniqueSize}}\\n{{end}}",
        "{{range .Containers}}{{.Names}} {{.Size}} {{.ID}}{{end}}", "{{len .Volumes}}",
        "{{.Nope}}", "table {{.Type}}",
        "{{range .BuildCache}}{{.ID}} {{.Size}} {{.InUse}} {{.Description}}{{end}}", "",
    ):  # fmt: skip
        for attempt in range(4):
            words = ("system", "df", "-v", *(("--format", form) if form else ()))
            wanted, got = (engine.run(client, *words, check=False) for client in ("docker", "onggi"))
            if (wanted.stdout, wanted.stderr) == (got.stdout, got.stderr):
                break
            if attempt == 3:
                assert said(got.stdout) == said(wanted.stdout) and got.stderr == wanted.stderr
        assert wanted.returncode == got.returncode
    engine.docker("rmi", "second/name:1")


def said(text: str) -> list[str]:
    """The words, but for ages, which set the width of a column, and for the parents of a record: docker 28
    looks for them under " Parents"."""
    ageless = re.sub(r"(Less than a|About a|\d+) (second|minute)s?\b", "AGE", text)
    return [" ".join(word.split()) for word in ageless.split(",") if not word.startswith('"Parent"')]


def read(text: str) -> float:
    found = re.fullmatch(r"([0-9.e+]+)([kMG]?B)", text)
    assert found is not None, text
    return float(found[1]) * UNITS[found[2]]


def test_kinds_that_are_asked_for_say_the_same(engine: Engine) -> None:
    whole = engine.api("GET", "/v1.51/system/df")
    for kind, key in (
        ("image", "Images"),
        ("container", "Containers"),
        ("volume", "Volumes"),
        ("build-cache", "BuildCache"),
    ):
        part = engine.api("GET", f"/v1.51/system/df?type={kind}")
        assert [
            name for name in ("Images", "Containers", "Volumes", "BuildCache") if part[name] is not None
        ] == [key]
        assert [ageless(one) for one in part[key]] == [ageless(one) for one in whole[key]]
        assert part["LayersSize"] == (whole["LayersSize"] if kind == "image" else 0)


def ageless(one: dict[str, Any]) -> dict[str, Any]:
    """Without what another second makes another text of: `Up 2 seconds`."""
    return {name: value for name, value in one.items() if name != "Status"}


def test_sizes_of_single_objects(engine: Engine) -> None:
    found = engine.api("GET", "/v1.51/system/df")
    containers = {one["Names"][0]: one for one in found["Containers"]}
    assert 9 << 20 < containers["/writer"]["SizeRw"] < 32 << 20  # layer, overlay, image mount, log
    assert containers["/ended"]["SizeRw"] < 1 << 20  # holes are no blocks
    volumes = {one["Name"]: one["UsageData"] for one in found["Volumes"]}
    assert volumes["data"]["Size"] >= 3 << 20 and volumes["data"]["RefCount"] == 1
    assert "mounted" not in volumes  # it has options: what it names is not on this disk, as in Docker
    images = {tags[0]: one for one in found["Images"] if (tags := one["RepoTags"])}
    busybox, layered = images[engines.BUSYBOX], images["layered:latest"]
    assert layered["SharedSize"] == busybox["SharedSize"] > 0 and layered["Size"] > busybox["Size"] + (
        3 << 20
    )


def test_still_after_everything_was_removed(engine: Engine) -> None:
    engine.remove_all()
    for path in (
        "/images/prune?filters={%22dangling%22:[%22false%22]}",
        "/build/prune?all=1",
        "/volumes/prune?filters={%22all%22:[%221%22]}",
    ):
        engine.api("POST", path)
    engine.api("DELETE", "/volumes/mounted")  # prune leaves those with options
    engines.until(lambda: not list((engine.root / "trash").iterdir()))  # deleted behind the answers
    found: dict[str, Any] = engine.api("GET", "/system/df")
    assert near(engine, sum(part["TotalSize"] for part in found.values()))
    assert {name: part["TotalSize"] for name, part in found.items() if name != "ImageUsage"} == {
        "ContainerUsage": 0, "VolumeUsage": 0, "BuildCacheUsage": 0,
    }  # fmt: skip
