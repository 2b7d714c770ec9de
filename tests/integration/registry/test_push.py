"""Push to Debian's docker-registry, and what is asked before and after it: login, mount, distribution."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from tests import engines, registries
from tests.engines import BUSYBOX, Engine
from tests.registries import Registry

pytestmark = [pytest.mark.root, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with registries.registry(tmp_path_factory.mktemp("registry")) as one:
        yield one


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with engines.onggi(tmp_path, "--bridge", "none") as running:
        engines.import_busybox(running)
        yield running


@pytest.mark.parametrize("client", ["onggi", "docker"])
def test_what_is_pushed_comes_back_the_same(engine: Engine, registry: Registry, client: str) -> None:
    name = f"{registry.host}/{client}/pushed:1"
    engine.docker("tag", BUSYBOX, name)
    before = engine.api("GET", f"/images/{name}/json")
    shown = engine.run(client, "push", name).stdout.splitlines()
    assert shown[0] == f"The push refers to repository [{registry.host}/{client}/pushed]"
    assert any(line.endswith((": Pushed", f": Mounted from {'onggi'}/pushed")) for line in shown)
    digest = shown[-1].split()[2]
    assert shown[-1].startswith(f"1: digest: {digest} size: ")
    status, headers, data = registry.request(
        "GET", f"/v2/{client}/pushed/manifests/1", headers={"Accept": registries.OCI_MANIFEST}
    )
    assert (status, headers["docker-content-digest"], registries.digest(data)) == (200, digest, digest)
    assert (
        f"{registry.host}/{client}/pushed@{digest}"
        in engine.api("GET", f"/images/{name}/json")["RepoDigests"]
    )
    again = engine.run(client, "push", name).stdout
    assert "Layer already exists" in again
    engine.docker("rmi", "-f", before["Id"])
    engine.docker("pull", name)
    assert engine.api("GET", f"/images/{name}/json")["Id"] == before["Id"]


def test_a_blob_of_a_neighbour_is_mounted(engine: Engine, registry: Registry) -> None:
    registries.push(registry, "near/a:1", registries.image([registries.layer({"x": os.urandom(9000)})]))
    engine.onggi("pull", f"{registry.host}/near/a:1")
    engine.onggi("tag", f"{registry.host}/near/a:1", f"{registry.host}/near/b:1")
    assert ": Mounted from near/a" in engine.onggi("push", f"{registry.host}/near/b:1")
    assert registry.request("GET", "/v2/near/b/tags/list")[0] == 200


def test_all_tags_and_what_is_not_here(engine: Engine, registry: Registry) -> None:
    for tag in ("1", "2"):
        engine.onggi("tag", BUSYBOX, f"{registry.host}/all:{tag}")
    engine.onggi("push", "--all-tags", f"{registry.host}/all")
    assert sorted(json.loads(registry.request("GET", "/v2/all/tags/list")[2])["tags"]) == ["1", "2"]
    for client in ("docker", "onggi"):
        missing = engine.run(client, "push", f"{registry.host}/no:1", check=False)
        assert missing.returncode == 1
        assert f"An image does not exist locally with the tag: {registry.host}/no" in missing.stderr


def test_distribution_inspect(engine: Engine, registry: Registry) -> None:
    amd, arm = registries.image([b"\0" * 1024]), registries.image([b"\0" * 1024], "arm64")
    registries.push(registry, "seen/both:amd", amd)
    registries.push(registry, "seen/both:arm", arm)
    both = registries.index([(amd, "amd64"), (arm, "arm64")])
    registries.put_manifest(registry, "seen/both", "1", both, registries.OCI_INDEX)
    client = docker.DockerClient(base_url=engine.host, timeout=60)
    try:
        data = client.images.get_registry_data(f"{registry.host}/seen/both:1")
        assert data.id == registries.digest(both)
        assert data.has_platform("linux/arm64") and not data.has_platform("linux/s390x")
        single = client.images.get_registry_data(f"{registry.host}/seen/both:arm")
        assert [one["architecture"] for one in single.attrs["Platforms"]] == ["arm64"]
    finally:
        client.close()


def client(engine: Engine, config: Path, program: str, *args: str, given: str = "") -> tuple[int, str]:
    env = {**os.environ, "DOCKER_HOST": engine.host, "DOCKER_CONFIG": str(config)}
    env["PATH"] = f"{config}:{env['PATH']}"
    command = [str(engines.ONGGI) if program == "onggi" else "docker", *args]
    done = subprocess.run(
        command, input=given.encode(), capture_output=True, env=env, timeout=60, check=False
    )
    return done.returncode, (done.stdout + done.stderr).decode()


@pytest.mark.parametrize("program", ["onggi", "docker"])
def test_login_and_logout(engine: Engine, tmp_path: Path, program: str) -> None:
    config = tmp_path / "config"
    config.mkdir()
    with registries.registry(tmp_path, users={"ann": "s3cret:word"}) as private:
        name = f"{private.host}/private:1"
        engine.onggi("tag", BUSYBOX, name)
        status, text = client(engine, config, program, "push", name)
        assert status == 1 and ("unauthorized" in text or "no basic auth" in text)
        login = ("login", "-u", "ann", "--password-stdin", private.host)
        status, text = client(engine, config, program, *login, given="wrong")
        assert status == 1 and "401 Unauthorized" in text
        status, text = client(engine, config, program, *login, given="s3cret:word\n")
        assert status == 0 and "Login Succeeded" in text
        assert list(json.loads((config / "config.json").read_text())["auths"]) == [private.host]
        assert (config / "config.json").stat().st_mode & 0o077 == 0
        other = "docker" if program == "onggi" else "onggi"  # each reads what the other wrote
        assert client(engine, config, program, "push", name)[0] == 0
        assert client(engine, config, other, "pull", name)[0] == 0
        assert client(engine, config, program, "login", private.host)[0] == 0
        assert "s3cret" not in engine.log
        status, text = client(engine, config, program, "logout", private.host)
        assert f"Removing login credentials for {private.host}" in text
        assert client(engine, config, program, "pull", name)[0] == 1


HELPER = """#!/bin/sh
read -r given
echo "$1 $given" >>{log}
case $1 in
get) [ -e {kept} ] && cat {kept} || {{ echo "credentials not found in native keychain"; exit 1; }} ;;
store) echo "$given" >{kept} ;;
erase) rm -f {kept} ;;
esac
"""


def test_a_credential_helper_keeps_the_secret(engine: Engine, tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.mkdir()
    helper = config / "docker-credential-test"
    helper.write_text(HELPER.format(log=tmp_path / "log", kept=tmp_path / "kept"))
    helper.chmod(0o755)
    with registries.registry(tmp_path, users={"ann": "secret"}) as private:
        (config / "config.json").write_text(json.dumps({"credHelpers": {private.host: "test"}}))
        login = ("login", "-u", "ann", "--password-stdin", private.host)
        assert client(engine, config, "onggi", *login, given="secret")[0] == 0
        assert "auth" not in json.loads((config / "config.json").read_text())["auths"][private.host]
        name = f"{private.host}/helped:1"
        engine.onggi("tag", BUSYBOX, name)
        for program in ("onggi", "docker"):
            assert client(engine, config, program, "push", name)[0] == 0
        assert client(engine, config, "onggi", "logout", private.host)[0] == 0
        assert not (tmp_path / "kept").exists()
        assert client(engine, config, "onggi", "push", name)[0] == 1
