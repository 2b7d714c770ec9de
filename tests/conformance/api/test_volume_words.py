"""Volumes and mounts in Docker's words: each request goes to a real dockerd and to ours; both say the same.

Where dockerd 20.10 answers 500 for what the caller did wrong, its later versions answer 400, as we do. What
was made since 20.10 (subpaths, image mounts, the filter `all`) has tables of its own, for ours alone, after
moby's source. Not here: drivers that are none, for which dockerd looks 15 seconds long.
"""
# ruff: noqa: E501 (tables of cases)

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.engines import BUSYBOX, Engine

pytestmark = [pytest.mark.root, pytest.mark.peer]
VERSION = "/v1.41"


@pytest.fixture(scope="module")
def both(onggi: Engine, dockerd: Engine) -> Iterator[tuple[Engine, Engine]]:
    yield onggi, dockerd
    for engine in (onggi, dockerd):
        empty(engine)


def empty(engine: Engine) -> None:
    engine.remove_all()
    for volume in engine.api("GET", "/volumes")["Volumes"] or ():
        engine.api("DELETE", f"/volumes/{volume['Name']}")


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("words")
    (made / "file").write_text("x\n")
    return made


def masked(engine: Engine, text: str, host: Path | None = None) -> str:
    text = text.replace(str(engine.root), "ROOT")
    if host is not None:
        text = text.replace(str(host), "HOST")
    return re.sub(r"[0-9a-f]{64}", "ID", text)


def ask(engine: Engine, method: str, path: str, body: object = None) -> tuple[int, Any]:
    """(status, answer); a 500 of 20.10 for a bad request counts as the 400 that it became."""
    status, text = engine.request(method, VERSION + path, body)
    answer = json.loads(masked(engine, text.decode())) if text.strip() else None
    if status == 500 and engine.kind == "dockerd":
        status = 400
    return status, answer


def creation(engine: Engine, host: Path, facts: dict[str, Any]) -> tuple[int, Any]:
    """What `create` says: the refusal, or the mounts that inspect shows."""
    text = json.dumps({"Image": BUSYBOX, "Cmd": ["true"], **facts}).replace("HOST", str(host))
    status, answer = ask(engine, "POST", "/containers/create?name=words", json.loads(text))
    if status != 201:
        return status, masked(engine, answer["message"], host)
    points = engine.api("GET", f"{VERSION}/containers/words/json")["Mounts"]
    engine.api("DELETE", "/containers/words?v=1")
    return status, json.loads(masked(engine, json.dumps(points), host))


BINDS = [
    "/a", "x:/a", "vw:/a", "vw:a", "vw:/", "vw:/../", "vw:./a", "vw:/a:ro", "vw:/a:rw", "vw:/a:ro,rw", "vw:/a:ro,ro",
    "vw:/a:z", "vw:/a:Z", "vw:/a:z,Z", "vw:/a:nocopy", "vw:/a:nocopy,ro", "vw:/a:rprivate", "vw:/a:rslave", "vw:/a:foo",
    "vw:/a:", "vw:/a:,", "vw::ro", ":/a", "::", "", "/a:ro", "/a:", "vw:/a:ro:rw", "a/b:/a", "./a:/a", "../a:/a", "-x:/a",
    "_x:/a", "vw:/a/../b", "vw:/a ", "vw :/a", "vw:/a:RO", "vw:/a: ro", "é:/a", "vw:/é", "vw:/a:volume-nocopy",
    "HOST:/a", "HOST:a", "HOST:/", "HOST:/a:nocopy", "HOST:/a:ro,z,rslave", "HOST:/a:shared,slave", "HOST:/a:private",
    "HOST:/a:shared", "HOST:/a:rshared", "HOST:/a:slave", "HOST:/a:unbindable", "HOST:/a:runbindable", "HOST:/a:cached",
    "HOST:/a:delegated", "HOST:/a:consistent", "HOST:/a:default", "HOST:/a:cached,ro", "HOST:/a:cached,delegated",
    "HOST/file:/a", "HOST/../words:/a", "HOST//:/a//b/", "/:/a", "HOST:/a:ro,", "HOST:/a:exec", "ROOTS:/a:private",
]  # fmt: skip


@pytest.mark.parametrize("words", BINDS)
def test_words_of_v(both: tuple[Engine, Engine], host: Path, words: str) -> None:
    ours, theirs = (
        creation(
            engine,
            host,
            {"HostConfig": {"NetworkMode": "none", "Binds": [words.replace("ROOTS", str(engine.root))]}},
        )
        for engine in both
    )
    assert ours == theirs


MOUNTS: list[dict[str, Any]] = [
    {}, {"Type": "bind"}, {"Type": "foo", "Target": "/a"}, {"Type": "volume"}, {"Type": "tmpfs"},
    {"Type": "volume", "Target": "a"}, {"Type": "volume", "Target": "/"}, {"Type": "npipe", "Source": "x", "Target": "/a"},
    {"Type": "volume", "Target": "/a", "Source": "x"}, {"Type": "volume", "Target": "/a", "Source": "/x"},
    {"Type": "volume", "Target": "/a", "Source": "a/b"}, {"Type": "volume", "Target": "/a", "ReadOnly": True},
    {"Type": "volume", "Target": "/a", "Source": "vw", "ReadOnly": True}, {"Type": "volume", "Target": "/a"},
    {"Type": "bind", "Target": "/a"}, {"Type": "bind", "Target": "/a", "Source": "x"},
    {"Type": "bind", "Target": "/a", "Source": "HOST/nope"}, {"Type": "bind", "Target": "a", "Source": "HOST"},
    {"Type": "bind", "Target": "/a", "Source": "HOST/file"}, {"Type": "bind", "Target": "/a", "Source": "/"},
    *({"Type": "bind", "Target": "/a", "Source": "HOST", "BindOptions": {"Propagation": spread}}
      for spread in ("", "private", "rprivate", "shared", "rshared", "slave", "rslave", "unbindable", "foo")),
    {"Type": "bind", "Target": "/a", "Source": "HOST", "BindOptions": {"NonRecursive": True}},
    {"Type": "bind", "Target": "/a", "Source": "HOST", "Consistency": "cached"},
    {"Type": "tmpfs", "Target": "/a", "Source": "x"}, {"Type": "tmpfs", "Target": "/a"},
    {"Type": "tmpfs", "Target": "/a", "ReadOnly": True},
    {"Type": "tmpfs", "Target": "/a", "TmpfsOptions": {"SizeBytes": 4096, "Mode": 0o700}},
    {"Type": "volume", "Target": "/a", "Source": "vw", "VolumeOptions": {"NoCopy": True, "Labels": {"a": "b"}}},
    {"Type": "volume", "Target": "/a", "Source": "vw-e", "VolumeOptions": {"DriverConfig": {"Options": {"foo": "x"}}}},
    {"Type": "volume", "Target": "/a", "Source": "vw-e", "VolumeOptions": {"DriverConfig": {"Options": {"o": "x"}}}},
]  # fmt: skip


@pytest.mark.parametrize("mount", MOUNTS, ids=json.dumps)
def test_objects_of_mount(both: tuple[Engine, Engine], host: Path, mount: dict[str, Any]) -> None:
    ours, theirs = (
        creation(engine, host, {"HostConfig": {"NetworkMode": "none", "Mounts": [mount]}}) for engine in both
    )
    assert ours == theirs


TOGETHER: list[dict[str, Any]] = [
    {"Binds": ["vw:/a", "vx:/a"]}, {"Binds": ["vw:/a", "vx:/a/"]}, {"Binds": ["vw:/a"], "Tmpfs": {"/a": ""}},
    {"Binds": ["vw:/a"], "Mounts": [{"Type": "volume", "Target": "/a"}]}, {"Tmpfs": {"a": ""}}, {"Tmpfs": {"/": ""}},
    {"Tmpfs": {"": ""}}, {"VolumesFrom": ["none"]}, {"VolumesFrom": [""]}, {"VolumesFrom": ["none:ro"]},
    {"VolumesFrom": ["none:foo"]}, {"VolumesFrom": ["none:ro:x"]}, {"Binds": ["vw:/a"], "VolumeDriver": "local"},
    {"Binds": ["vw:/a", "vw:/b:ro"]}, {"Binds": ["/a:/b", "/a"]},
]  # fmt: skip


@pytest.mark.parametrize("facts", TOGETHER, ids=json.dumps)
def test_several_together(both: tuple[Engine, Engine], host: Path, facts: dict[str, Any]) -> None:
    ours, theirs = (
        creation(engine, host, {"HostConfig": {"NetworkMode": "none", **facts}}) for engine in both
    )
    key = lambda points: sorted(map(json.dumps, points)) if isinstance(points, list) else points  # noqa: E731
    assert (ours[0], key(ours[1])) == (theirs[0], key(theirs[1]))


def made(**facts: object) -> tuple[str, str, object]:
    return "POST", "/volumes/create", facts


def filtered(path: str, filters: object) -> tuple[str, str, object]:
    return ("GET" if path == "/volumes" else "POST"), f"{path}?filters={quote(json.dumps(filters))}", None


VERBS: list[tuple[str, str, object]] = [
    made(Name="x"), made(Name="vv"), made(Name="vv", Labels={"z": "y"}), made(Name="vv", Driver="local"),
    made(Name="a/b"), made(Name="-a"), made(Name=".."), made(Name="a b"), made(Name="é"),
    made(Name="vv", DriverOpts={"foo": "x"}), made(Name="vv", DriverOpts={"type": "tmpfs", "device": "tmpfs"}),
    made(Name="v0", DriverOpts={"foo": "x"}), made(Name="v0", DriverOpts={"TYPE": "x"}),
    made(Name="v0", DriverOpts={"type": "tmpfs"}), made(Name="v0", DriverOpts={"device": "tmpfs"}),
    made(Name="v1", DriverOpts={"type": "tmpfs", "device": "tmpfs", "o": "size=1m"}),
    made(Name="v2", DriverOpts={"type": "nfs", "device": ":/x", "o": "addr=1.2.3.4"}),
    made(Name="v3", DriverOpts={"type": "", "device": "", "o": ""}), made(Name="v4", DriverOpts={}),
    made(Name="v5", DriverOpts={"type": "none", "device": "/nope", "o": "bind"}),
    made(Name="v6", DriverOpts={"size": "1g"}), made(Name="v7", Labels={"k": "v", "e": ""}), made(Name="n" * 255),
    ("GET", "/volumes/none", None), ("GET", "/volumes/vv", None), ("GET", "/volumes/v3", None), ("GET", "/volumes/a%2Fb", None),
    ("DELETE", "/volumes/none", None), ("DELETE", "/volumes/none?force=1", None), ("DELETE", "/volumes/a%20b", None),
    ("DELETE", f"/volumes/{'n' * 255}", None), ("DELETE", "/volumes/v4", None), ("DELETE", "/volumes/v4", None),
    ("DELETE", "/volumes/v1", None), ("DELETE", "/volumes/held", None), ("DELETE", "/volumes/held?force=1", None),
    *(filtered("/volumes", filters) for filters in (
        {}, {"dangling": ["true"]}, {"dangling": ["false"]}, {"dangling": ["1"]}, {"dangling": ["foo"]}, {"name": ["v7"]},
        {"name": ["^v[37]$"]}, {"name": ["v7", "held"]}, {"name": ["["]}, {"name": ["7"], "dangling": ["false"]},
        {"driver": ["local"]}, {"driver": ["nope"]}, {"driver": ["local", "nope"]}, {"label": ["k"]}, {"label": ["k=v"]},
        {"label": ["k=w"]}, {"label": ["k=v", "e"]}, {"label": ["k=v", "zz"]}, {"label": ["e="]}, {"label!": ["k"]},
        {"foo": ["x"]}, {"all": ["1"]}, {"until": ["1h"]}, {"name": {"v7": True}})),
    *(filtered("/volumes/prune", filters) for filters in (
        {"foo": ["x"]}, {"dangling": ["true"]}, {"name": ["x"]}, {"until": ["1h"]}, {"driver": ["local"]},
        {"label": ["k=w"]}, {"label": ["k"], "label!": ["e"]}, {"label!": ["k"]}, {"label": ["k=v"]}, {})),
    filtered("/volumes", {}),
]  # fmt: skip


def comparable(answer: Any) -> Any:
    """Without instants, sizes and orders; with a letter that moby has made small since.

    Where quotas lack, ours goes on with what to do.
    """
    if isinstance(answer, dict) and "message" in answer:
        said = re.sub("(no quota support): mount the file system .*", r"\1", answer["message"])
        return said.replace("Invalid filter", "invalid filter")
    if isinstance(answer, dict) and "Volumes" in answer:
        return sorted(volume["Name"] for volume in answer["Volumes"] or ())
    if isinstance(answer, dict) and "VolumesDeleted" in answer:
        return sorted(answer["VolumesDeleted"] or ())
    return {key: value or None for key, value in (answer or {}).items() if key != "CreatedAt"}


def test_verbs_of_volumes(both: tuple[Engine, Engine]) -> None:
    """One script on both, with a stopped container that holds a volume."""
    found = []
    for engine in both:
        empty(engine)
        facts = {"Image": BUSYBOX, "HostConfig": {"NetworkMode": "none", "Binds": ["held:/v"]}}
        engine.api("POST", "/containers/create?name=holder", facts)
        answers = [ask(engine, *verb) for verb in VERBS]
        found.append([(status, comparable(answer)) for status, answer in answers])
        engine.api("DELETE", "/containers/holder")
        engine.api("DELETE", "/volumes/held")
    for verb, ours, theirs in zip(VERBS, *found, strict=True):
        assert ours == theirs, verb


def test_disk_usage_leaves_volumes_with_options_out(both: tuple[Engine, Engine]) -> None:
    for engine in both:
        empty(engine)
        engine.api("POST", "/volumes/create", {"Name": "plain"})
        options = {"type": "tmpfs", "device": "tmpfs"}
        engine.api("POST", "/volumes/create", {"Name": "memory", "DriverOpts": options})
        found = engine.api("GET", VERSION + "/system/df")["Volumes"]
        assert [(one["Name"], one["UsageData"]["RefCount"]) for one in found] == [("plain", 0)], engine.kind
        empty(engine)


def lives(engine: Engine, name: str) -> bool:
    return engine.request("GET", f"/volumes/{name}")[0] == 200


def test_who_takes_anonymous_volumes_away(both: tuple[Engine, Engine]) -> None:
    """`rm -v` and `--rm` take them, the last user's where --volumes-from shares them; names stay."""
    for engine in both:
        none = ("--network", "none")
        empty(engine)
        engine.docker("create", "--name", "first", *none, "-v", "/b", "-v", "named:/n", BUSYBOX)
        points = engine.api("GET", "/containers/first/json")["Mounts"]
        shared = next(point["Name"] for point in points if point["Destination"] == "/b")
        engine.docker("run", "--rm", *none, "--volumes-from", "first", BUSYBOX, "touch", "/b/x")
        assert lives(engine, shared), engine.kind
        engine.docker("create", "--name", "second", *none, "--volumes-from", "first:ro", BUSYBOX)
        engine.docker("rm", "-v", "first")
        assert lives(engine, shared), engine.kind
        engine.docker("rm", "-v", "second")
        assert not lives(engine, shared), engine.kind
        assert lives(engine, "named"), engine.kind
        engine.docker("run", "--rm", *none, "-v", "/c", "--mount", "type=volume,dst=/d", BUSYBOX, "true")
        deadline = time.monotonic() + 30
        while (left := engine.docker("volume", "ls", "-q").split()) != ["named"]:
            assert time.monotonic() < deadline, (engine.kind, left)
        engine.docker("create", "--name", "third", *none, "-v", "/c", BUSYBOX)
        engine.docker("rm", "third")  # without -v it stays, and is dangling
        assert len(engine.docker("volume", "ls", "-qf", "dangling=true").split()) == 2, engine.kind
        engine.api("POST", VERSION + "/volumes/prune")


def test_what_volumes_from_brings(both: tuple[Engine, Engine], host: Path) -> None:
    shown = []
    for engine in both:
        engine.docker(
            "create", "--name", "data", "--network", "none", "-v", f"{host}:/bind:ro", "-v", "vol:/vol", "-v", "/anon",
            "--tmpfs", "/tmpfs", BUSYBOX,
        )  # fmt: skip
        for words in (["--volumes-from", "data"], ["--volumes-from", "data:ro"], ["--volumes-from", "data:rw"],
                      ["--volumes-from", "data", "-v", "other:/vol"]):  # fmt: skip
            engine.docker("create", "--name", "user", "--network", "none", *words, BUSYBOX)
            points = engine.api("GET", "/containers/user/json")["Mounts"]
            engine.docker("rm", "user")
            facts = sorted(
                (p["Type"], p["Destination"], p["RW"], p["Mode"], p["Propagation"]) for p in points
            )
            shown.append((engine.kind, facts))
        engine.docker("rm", "-v", "data")
        engine.docker("volume", "rm", "vol", "other")
    half = len(shown) // 2
    assert [facts for _, facts in shown[:half]] == [facts for _, facts in shown[half:]]


def test_a_source_that_went_away_is_made_again_for_v_alone(
    both: tuple[Engine, Engine], tmp_path: Path
) -> None:
    for engine in both:
        source = tmp_path / engine.kind
        mount = f"type=bind,src={source},dst=/in"
        engine.docker("create", "--name", "words", "--network", "none", "-v", f"{source}:/in", BUSYBOX)
        if source.exists():
            os.rmdir(source)
        engine.docker("start", "-a", "words")
        assert source.is_dir(), engine.kind
        engine.docker("rm", "words")
        engine.docker("create", "--name", "words", "--network", "none", "--mount", mount, BUSYBOX)
        os.rmdir(source)
        assert engine.run("docker", "start", "words", check=False).returncode != 0, engine.kind
        assert not source.exists(), engine.kind
        engine.docker("rm", "words")


@pytest.mark.parametrize("words", ["rshared", "shared", "rslave", "slave"])
def test_propagation_of_a_private_mount_is_refused(
    both: tuple[Engine, Engine], tmp_path: Path, words: str
) -> None:
    place = tmp_path / "private"
    place.mkdir()
    subprocess.run(["mount", "--bind", place, place], check=True)
    subprocess.run(["mount", "--make-private", place], check=True)
    try:
        said = []
        for engine in both:
            flags = ("--rm", "--network", "none", "-v", f"{place}:/in:{words}")
            done = engine.run("docker", "run", *flags, BUSYBOX, "true", check=False)
            assert done.returncode != 0, engine.kind
            said.append(re.search(r"path .* mount\b", done.stderr))
        assert said[0] and said[1] and said[0].group() == said[1].group()
    finally:
        subprocess.run(["umount", place], check=True)


# --- since 20.10 --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mount", "message"),
    [
        ({"Type": "volume", "Source": "vw", "Target": "/a", "BindOptions": {}}, "field BindOptions must not be specified"),
        ({"Type": "bind", "Source": "/", "Target": "/a", "VolumeOptions": {}}, "field VolumeOptions must not be specified"),
        ({"Type": "tmpfs", "Target": "/a", "BindOptions": {}}, "field BindOptions must not be specified"),
        ({"Type": "volume", "Target": "/a", "VolumeOptions": {"Subpath": "x"}},
         "must not set Subpath when using anonymous volumes"),
        ({"Type": "volume", "Source": "vw", "Target": "/a", "VolumeOptions": {"Subpath": "../x"}},
         "subpath must be a relative path within the volume"),
        ({"Type": "volume", "Source": "vw", "Target": "/a", "VolumeOptions": {"Subpath": "/x"}},
         "subpath must be a relative path within the volume"),
        ({"Type": "image", "Target": "/a"}, "field Source must not be empty"),
        ({"Type": "image", "Source": "x", "Target": "/a", "ImageOptions": {"Subpath": "a/../../x"}},
         "subpath must be a relative path within the image"),
    ],
)  # fmt: skip
def test_newer_refusals(onggi: Engine, mount: dict[str, Any], message: str) -> None:
    facts = {"Image": BUSYBOX, "HostConfig": {"NetworkMode": "none", "Mounts": [mount]}}
    status, text = onggi.request("POST", "/containers/create", facts)
    assert status == 400
    assert json.loads(text)["message"] == f'invalid mount config for type "{mount["Type"]}": {message}'


def test_a_wrong_all_prunes_nothing(onggi: Engine) -> None:
    """Also for a client before 1.42, whose prune takes every unused volume."""
    onggi.docker("volume", "create", "dear")
    for version in ("", "/v1.41"):
        _, path, _ = filtered("/volumes/prune", {"all": ["foo"]})
        status, text = onggi.request("POST", version + path)
        assert (status, json.loads(text)["message"]) == (400, "invalid filter 'all=[foo]'")
    assert lives(onggi, "dear")
    onggi.docker("volume", "rm", "dear")


def test_an_anonymous_volume_keeps_its_labels(onggi: Engine) -> None:
    mount = "type=volume,dst=/d,volume-label=a=b,volume-label=bare"
    onggi.docker("create", "--name", "labelled", "--network", "none", "--mount", mount, BUSYBOX)
    (point,) = onggi.api("GET", "/containers/labelled/json")["Mounts"]
    labels = onggi.api("GET", f"/volumes/{point['Name']}")["Labels"]
    assert labels == {"a": "b", "bare": "", "com.docker.volume.anonymous": ""}
    onggi.docker("rm", "-v", "labelled")
