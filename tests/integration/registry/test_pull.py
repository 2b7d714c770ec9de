"""Pull from Debian's docker-registry: by our command, by Docker's client, by docker-py, and by run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from tests import engines, registries
from tests.engines import Engine
from tests.registries import Registry

pytestmark = [pytest.mark.root, pytest.mark.timeout(120)]

BUSY = engines.busybox_rootfs()
MORE = registries.layer({"more": b"more"})


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with registries.registry(tmp_path_factory.mktemp("registry")) as one:
        amd, arm = registries.image([BUSY, MORE]), registries.image([MORE], "arm64")
        registries.push(one, "a/busy:1", amd)
        registries.push(one, "a/busy:2", registries.image([BUSY], packed=False))
        registries.push(one, "a/arm:1", arm)
        registries.push(one, "a/both:amd", amd)
        registries.push(one, "a/both:arm", arm)
        both = registries.index([(arm, "arm64"), (amd, "amd64")])
        registries.put_manifest(one, "a/both", "1", both, registries.OCI_INDEX)
        yield one


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with engines.onggi(tmp_path, "--bridge", "none") as running:
        yield running


def test_our_command_prints_what_dockers_prints(engine: Engine, registry: Registry) -> None:
    name = f"{registry.host}/a/busy:1"
    made = registries.image([BUSY, MORE])
    shown = engine.onggi("pull", name).splitlines()
    assert shown[0] == "1: Pulling from a/busy"
    for layer in made.layers:
        steps = [line.partition(": ")[2] for line in shown if line.startswith(layer[7:19])]
        assert steps == ["Pulling fs layer", "Download complete", "Pull complete"]
    status = f"Status: Downloaded newer image for {name}"
    assert shown[-3:] == [f"Digest: {made.digest}", status, name]
    found = engine.api("GET", f"/images/{name}/json")
    assert (found["Id"], found["RepoTags"]) == (made.id, [name])
    assert found["RepoDigests"] == [f"{registry.host}/a/busy@{made.digest}"]
    again = engine.onggi("pull", name).splitlines()
    assert again[-2] == f"Status: Image is up to date for {name}"
    assert engine.onggi("run", "--rm", "--net", "none", name, "cat", "/more") == "more"


def test_dockers_client(engine: Engine, registry: Registry) -> None:
    name = f"{registry.host}/a/busy:1"
    shown = engine.docker("pull", name)
    assert f"Status: Downloaded newer image for {name}" in shown
    assert f"Image is up to date for {name}" in engine.docker("pull", name)
    assert engine.docker("images", "-q", "--no-trunc").split() == [registries.image([BUSY, MORE]).id]


def test_docker_py(engine: Engine, registry: Registry) -> None:
    client = docker.DockerClient(base_url=engine.host, timeout=60)
    try:
        pulled = client.images.pull(f"{registry.host}/a/both", tag="1")
        assert pulled.id == registries.image([BUSY, MORE]).id
        everything = client.images.pull(f"{registry.host}/a/busy", all_tags=True)
        assert len(everything) == 2
        with pytest.raises(docker.errors.NotFound, match="manifest unknown"):
            client.images.pull(f"{registry.host}/a/busy", tag="none")
    finally:
        client.close()


def test_run_pulls_what_is_missing(engine: Engine, registry: Registry) -> None:
    name = f"{registry.host}/a/busy:2"
    never = engine.run("onggi", "run", "--pull", "never", name, "true", check=False)
    assert never.returncode == 125 and "No such image" in never.stderr
    for client in ("onggi", "docker"):
        done = engine.run(client, "run", "--rm", "--net", "none", name, "echo", "ran")
        assert done.stdout == "ran\n"
        assert f"Unable to find image '{name}' locally" in done.stderr
        assert engine.run(client, "run", "--rm", "--net", "none", name, "true").stderr == ""
        always = engine.run(client, "run", "--rm", "--net", "none", "--pull", "always", name, "true")
        assert f"Image is up to date for {name}" in always.stdout + always.stderr
        engine.onggi("rmi", name)


def test_platforms(engine: Engine, registry: Registry) -> None:
    name = f"{registry.host}/a/both:1"
    engine.onggi("pull", name)
    assert engine.api("GET", f"/images/{name}/json")["Architecture"] == "amd64"
    engine.onggi("pull", "--platform", "linux/arm64", name)
    assert engine.api("GET", f"/images/{name}/json")["Architecture"] == "amd64", "not in the place of ours"
    refused = engine.run("docker", "pull", "--platform", "linux/s390x", name, check=False)
    assert refused.returncode == 1
    assert "no matching manifest for linux/s390x in the manifest list entries" in refused.stderr
    single = engine.run("onggi", "pull", "--platform", "linux/amd64", f"{registry.host}/a/arm:1", check=False)
    assert "does not match the specified platform (linux/amd64)" in single.stderr


def test_by_digest_and_all_tags(engine: Engine, registry: Registry) -> None:
    made = registries.image([BUSY, MORE])
    name = f"{registry.host}/a/busy@{made.digest}"
    assert engine.onggi("pull", name).splitlines()[-1] == name
    assert engine.api("GET", f"/images/{name}/json")["RepoTags"] == []
    engine.onggi("pull", "--all-tags", f"{registry.host}/a/busy")
    tags = sorted(tag for one in engine.api("GET", "/images/json") for tag in one["RepoTags"])
    assert tags == [f"{registry.host}/a/busy:1", f"{registry.host}/a/busy:2"]


def test_two_clients_share_one_pull(engine: Engine, registry: Registry) -> None:
    from concurrent.futures import ThreadPoolExecutor

    path = f"/images/create?fromImage={registry.host}/a/busy&tag=1"
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: engine.request("POST", path), range(4)))
    for status, text in answers:
        lines = [json.loads(line) for line in text.splitlines()]
        assert status == 200 and "Status: " in lines[-1]["status"]
    assert len(engine.api("GET", "/images/json")) == 1


def test_what_is_not_there(engine: Engine, registry: Registry) -> None:
    done = engine.run("onggi", "pull", f"{registry.host}/no/such:1", check=False)
    assert done.returncode == 1
    assert f"manifest for {registry.host}/no/such:1 not found: manifest unknown" in done.stderr
    closed = registries.free_port()
    refused = engine.run("docker", "pull", f"127.0.0.1:{closed}/x:1", check=False)
    assert refused.returncode == 1 and "connection refused" in refused.stderr
