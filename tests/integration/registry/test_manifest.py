"""`onggi manifest` beside Docker's own client, on one registry and with one directory of local lists."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import engines, registries
from tests.engines import Engine
from tests.registries import Registry

pytestmark = [pytest.mark.root, pytest.mark.timeout(120)]
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with registries.registry(tmp_path_factory.mktemp("manifests")) as one:
        fill(one)
        yield one


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with engines.onggi(tmp_path_factory.mktemp("engine"), "--bridge", "none") as running:
        yield running


def fill(one: Registry) -> None:
    """app:amd64, app:arm64 (OCI), app:both (an index), old:amd64, old:list (Docker's), lib:amd64."""
    made = {arch: image(arch) for arch in ("amd64", "arm64")}
    for arch, found in made.items():
        registries.push(one, f"team/app:{arch}", found)
    both = registries.index([(found, arch) for arch, found in made.items()])
    registries.put_manifest(one, "team/app", "both", both, registries.OCI_INDEX)
    registries.push(one, "team/lib:amd64", image("amd64", b"lib <&>"))
    old = schema_2(image("amd64", b"old"))
    registries.push(one, "team/old:amd64", old, DOCKER_MANIFEST)
    listed = registries.index([(old, "amd64")]).decode()
    listed = listed.replace(registries.OCI_INDEX, DOCKER_LIST).replace(
        registries.OCI_MANIFEST, DOCKER_MANIFEST
    )
    registries.put_manifest(one, "team/old", "list", listed.encode(), DOCKER_LIST)


def image(architecture: str, content: bytes = b"app") -> registries.Made:
    made = registries.image([registries.layer({architecture: content})], architecture)
    document = json.loads(made.manifest)
    document["annotations"] = {"note": "a <b> & c", "empty": ""}
    made.manifest = json.dumps(document, indent=2).encode()  # whitespace that must be kept
    return made


def schema_2(made: registries.Made) -> registries.Made:
    text = made.manifest.decode().replace(registries.OCI_MANIFEST, DOCKER_MANIFEST)
    text = text.replace(registries.OCI_CONFIG, "application/vnd.docker.container.image.v1+json")
    text = text.replace(registries.OCI_GZIP, "application/vnd.docker.image.rootfs.diff.tar.gzip")
    made.manifest = text.encode()
    return made


def manifest(engine: Engine, client: str, config: Path, *args: str) -> tuple[int, str, str]:
    """`manifest ...` of one of the clients: (status, stdout, stderr)."""
    config.mkdir(exist_ok=True)
    program = str(engines.ONGGI) if client == "onggi" else "docker"
    env = {**os.environ, "DOCKER_HOST": engine.host, "DOCKER_CONFIG": str(config), "NO_COLOR": "1"}
    done = subprocess.run([program, "manifest", *args], capture_output=True, env=env, timeout=60, text=True)
    return done.returncode, done.stdout, done.stderr


def both(engine: Engine, tmp: Path, *args: str) -> tuple[int, str, str]:
    """The same on both clients, each with a directory of its own: the answer must be the same.

    Docker's client wants --insecure for plain HTTP on loopback too; an engine speaks it there unasked.
    """
    if args[0] in ("inspect", "create"):
        args = (args[0], "--insecure", *args[1:])
    ours = manifest(engine, "onggi", tmp / "onggi", *args)
    theirs = manifest(engine, "docker", tmp / "docker", *args)
    assert ours == theirs, args
    return ours


@pytest.mark.parametrize("name", ["app:amd64", "app:both", "old:amd64", "old:list"])
def test_inspect_prints_what_dockers_prints(
    engine: Engine, registry: Registry, tmp_path: Path, name: str
) -> None:
    for flags in ([], ["--verbose"], ["-v"]):
        status, text, _ = both(engine, tmp_path, "inspect", *flags, f"{registry.host}/team/{name}")
        assert status == 0 and json.loads(text)
    status, text, _ = both(engine, tmp_path, "inspect", f"{registry.host}/team/{name}")
    assert registry.host not in text  # nothing but the manifest


def test_by_digest(engine: Engine, registry: Registry, tmp_path: Path) -> None:
    name = f"{registry.host}/team/app@{image('arm64').digest}"
    status, text, _ = both(engine, tmp_path, "inspect", "-v", name)
    assert status == 0 and json.loads(text)["Descriptor"]["platform"]["architecture"] == "arm64"


def test_what_is_wrong_is_said_in_the_same_words(engine: Engine, registry: Registry, tmp_path: Path) -> None:
    app = f"{registry.host}/team/app"
    for args in (
        ["inspect", f"{app}:no"],
        ["inspect", "BAD"],
        ["inspect", f"{app}:mine", f"{app}:amd64"],
        ["create", f"{app}:mine", f"{app}:both"],
        ["create", f"{app}:mine", f"{app}:no"],
        ["create", "BAD", f"{app}:amd64"],
        ["annotate", f"{app}:mine", f"{app}:amd64", "--os", "linux"],
        ["annotate", "BAD", f"{app}:amd64"],
        ["annotate", f"{app}:mine", "BAD"],
        ["push", f"{app}:mine"],
        ["push", "BAD"],
        ["rm", f"{app}:mine", "BAD", f"{app}:other"],
    ):
        status, _, text = both(engine, tmp_path, *args)
        assert status == 1 and text


def test_a_list_from_its_making_to_its_end(engine: Engine, registry: Registry, tmp_path: Path) -> None:
    app, lib = f"{registry.host}/team/app", f"{registry.host}/team/lib"
    mine = f"{registry.host}/team/app:mine"
    _, text, _ = both(engine, tmp_path, "create", mine, f"{app}:amd64", f"{app}:arm64")
    assert text == f"Created manifest list {mine}\n"
    status, _, text = both(engine, tmp_path, "create", mine, f"{lib}:amd64")
    assert status == 1 and "refusing to amend" in text
    both(engine, tmp_path, "create", "--amend", mine, f"{lib}:amd64")
    both(engine, tmp_path, "inspect", "-v", mine)
    for flags in (
        ["--variant", "v8", "--os-version", "1.2"],
        ["--os-features", "a,b", "--os-features", "b,c"],
        ["--os", "freebsd", "--arch", "arm"],
    ):
        assert both(engine, tmp_path, "annotate", *flags, mine, f"{lib}:amd64")[0] == 0
    assert both(engine, tmp_path, "annotate", "--arch", "nothing", mine, f"{lib}:amd64")[0] == 1
    assert "freebsd" in both(engine, tmp_path, "inspect", mine, f"{lib}:amd64", "-v")[1]
    both(engine, tmp_path, "inspect", mine)
    files = [sorted((tmp_path / client / "manifests").rglob("*")) for client in ("onggi", "docker")]
    ours, theirs = ([one.relative_to(tmp_path).parts[1:] for one in found] for found in files)
    assert ours == theirs
    for mine_file, theirs_file in zip(*files, strict=True):
        assert mine_file.is_dir() or mine_file.read_text() == theirs_file.read_text()
    status, text, error = manifest(engine, "onggi", tmp_path / "onggi", "push", mine)
    assert status == 0, error
    pushed = registry.request("GET", "/v2/team/app/manifests/mine", headers={"Accept": registries.OCI_INDEX})
    theirs = manifest(engine, "docker", tmp_path / "docker", "push", "--purge", mine)
    assert (status, text, error) == theirs
    assert text.splitlines()[-1] == registries.digest(pushed[2]) == pushed[1]["docker-content-digest"]
    assert f"Pushed ref {app}@sha256:" in text  # the library's, mounted
    assert not list((tmp_path / "docker" / "manifests").iterdir())
    assert manifest(engine, "onggi", tmp_path / "onggi", "rm", mine) == (0, "", "")
    assert both(engine, tmp_path, "rm", mine)[0] == 1


def test_each_goes_on_with_what_the_other_began(engine: Engine, registry: Registry, tmp_path: Path) -> None:
    app = f"{registry.host}/team/app"
    for first, second in (("onggi", "docker"), ("docker", "onggi")):
        name, config = f"{app}:{first}", tmp_path / first
        assert manifest(engine, first, config, "create", "--insecure", name, f"{app}:amd64")[0] == 0
        more = ["--variant", "v2", name, f"{app}:amd64"]
        assert manifest(engine, second, config, "annotate", *more)[0] == 0
        assert manifest(engine, first, config, "push", name)[0] == 0
        found = json.loads(manifest(engine, second, tmp_path / "none", "inspect", "--insecure", name)[1])
        assert found["manifests"][0]["platform"]["variant"] == "v2"


def test_plain_http_only_where_it_is_asked_for(engine: Engine, tmp_path: Path) -> None:
    address = registries.own_address()
    with registries.registry(tmp_path, address=address) as one:
        fill(one)
        name = f"{address}:{one.port}/team/app"
        status, _, text = manifest(engine, "onggi", tmp_path / "c", "inspect", f"{name}:amd64")
        assert status == 1 and "HTTP response to HTTPS client" in text
        both(engine, tmp_path, "inspect", f"{name}:amd64")
        both(engine, tmp_path, "create", f"{name}:mine", f"{name}:amd64")
        config = tmp_path / "onggi"
        assert manifest(engine, "onggi", config, "push", f"{name}:mine")[0] == 1
        assert manifest(engine, "onggi", config, "push", "--insecure", f"{name}:mine")[0] == 0
        # asked for once is not allowed for ever
        assert manifest(engine, "onggi", tmp_path / "c", "inspect", f"{name}:amd64")[0] == 1


def test_an_engine_without_these_operations_is_named(
    dockerd: Engine, registry: Registry, tmp_path: Path
) -> None:
    status, _, text = manifest(dockerd, "onggi", tmp_path / "c", "inspect", f"{registry.host}/team/app:amd64")
    assert status == 1 and "needs an Onggi engine" in text


def test_a_request_that_means_harm(engine: Engine, registry: Registry) -> None:
    target = f"/distribution/{registry.host}/team/app:evil/manifest"
    for body, words in (
        ({}, "is no type of a list"),
        ({"MediaType": registries.OCI_INDEX, "Raw": "%%"}, "Raw is not base64"),
        ({"MediaType": registries.OCI_INDEX, "Raw": ""}, "0 bytes are no manifest"),
        ({"MediaType": registries.OCI_INDEX, "Raw": "e30="}, "is not a valid index"),
    ):
        status, data = engine.request("POST", target, body)
        assert status in (400, 500) and words in json.loads(data)["message"], data
    listed = "eyJzY2hlbWFWZXJzaW9uIjoyLCJtYW5pZmVzdHMiOltdfQ=="
    for member, words in (
        ({"Ref": "example.com/a:1", "Raw": "e30="}, "different registry"),
        ({"Ref": f"{registry.host}/b:1", "Raw": "e30="}, "internal digest mismatch"),
        (
            {
                "Ref": f"{registry.host}/b:1",
                "Raw": "e30=",
                "Descriptor": {"digest": registries.digest(b"{}")},
            },
            "is no type of a manifest",
        ),
    ):
        body = {"MediaType": registries.OCI_INDEX, "Raw": listed, "Manifests": [member]}
        status, data = engine.request("POST", target, body)
        assert status == 400 and words in json.loads(data)["message"], data
    assert registry.request("GET", "/v2/team/app/manifests/evil")[0] == 404
