"""One name, several platforms: pulled one by one, listed, inspected, saved, loaded, pushed, removed; by our
command and by Docker's client.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests import engines, registries
from tests.engines import Engine
from tests.registries import Registry

pytestmark = [pytest.mark.root, pytest.mark.timeout(120)]

BUSY = engines.busybox_rootfs()
AMD = registries.image([BUSY, registries.layer({"who": b"amd64\n"})])
ARM = registries.image([registries.layer({"who": b"arm64\n"})], "arm64")
RISCV = registries.image([registries.layer({"who": b"riscv64\n"})], "riscv64")
EMPTY = b"{}"


def attestation(subject: str) -> tuple[dict[str, object], registries.Made]:
    """What buildkit puts beside an image: an entry of no platform, and its manifest."""
    statement = b'{"_type":"https://in-toto.io/Statement/v0.1"}'
    config = json.dumps(
        {
            "architecture": "unknown",
            "os": "unknown",
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": [registries.digest(statement)]},
        }
    ).encode()
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": registries.OCI_MANIFEST,
            "config": described(config, registries.OCI_CONFIG),
            "layers": [described(statement, "application/vnd.in-toto+json")],
        }
    ).encode()
    blobs = {registries.digest(one): one for one in (config, statement)}
    entry = described(manifest, registries.OCI_MANIFEST) | {
        "platform": {"os": "unknown", "architecture": "unknown"},
        "annotations": {
            "vnd.docker.reference.type": "attestation-manifest",
            "vnd.docker.reference.digest": subject,
        },
    }
    return entry, registries.Made(manifest, config, blobs, [registries.digest(statement)])


def described(data: bytes, kind: str) -> dict[str, object]:
    return {"mediaType": kind, "digest": registries.digest(data), "size": len(data)}


INDEX = registries.index([(ARM, "arm64"), (AMD, "amd64"), (RISCV, "riscv64")])
ENTRY, ATTESTATION = attestation(AMD.digest)
ATTESTED = json.dumps(
    {**json.loads(registries.index([(AMD, "amd64")])), "manifests": [
        *json.loads(registries.index([(AMD, "amd64")]))["manifests"], ENTRY
    ]}
).encode()  # fmt: skip


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with registries.registry(tmp_path_factory.mktemp("registry")) as one:
        for made, tag in ((AMD, "amd"), (ARM, "arm"), (RISCV, "riscv"), (ATTESTATION, "attestation")):
            registries.push(one, f"a/many:{tag}", made)
        registries.put_manifest(one, "a/many", "1", INDEX, registries.OCI_INDEX)
        registries.put_manifest(one, "a/many", "attested", ATTESTED, registries.OCI_INDEX)
        yield one


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with engines.onggi(tmp_path, "--bridge", "none") as running:
        yield running


@pytest.fixture(params=["onggi", "docker"])
def client(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def pulled(engine: Engine, registry: Registry, client: str, *platforms: str) -> str:
    name = f"{registry.host}/a/many:1"
    for platform in platforms:
        engine.run(client, "pull", "-q", "--platform", f"linux/{platform}", name)
    return name


def here(engine: Engine, name: str) -> dict[str, bool]:
    """Architecture -> is it here, of every entry of the index."""
    found = engine.api("GET", f"/images/{name}/json?manifests=1")["Manifests"]
    return {one["ImageData"]["Platform"]["architecture"]: one["Available"] for one in found}


def inspected(engine: Engine, client: str, name: str, platform: str) -> dict[str, object]:
    done = engine.run(client, "image", "inspect", "--platform", f"linux/{platform}", name)
    (found,) = json.loads(done.stdout)
    return dict(found)


def test_a_second_platform_does_not_take_the_place_of_the_first(
    engine: Engine, registry: Registry, client: str
) -> None:
    name = pulled(engine, registry, client, "arm64")
    assert engine.api("GET", f"/images/{name}/json")["Id"] == ARM.id, "the only one that is here"
    pulled(engine, registry, client, "amd64")
    assert engine.api("GET", f"/images/{name}/json")["Id"] == AMD.id, "this machine's"
    pulled(engine, registry, client, "riscv64", "arm64")
    assert engine.api("GET", f"/images/{name}/json")["Id"] == AMD.id
    assert here(engine, name) == {"arm64": True, "amd64": True, "riscv64": True}
    (listed,) = engine.api("GET", "/images/json")
    assert (listed["Id"], listed["RepoTags"]) == (AMD.id, [name])
    assert listed["RepoDigests"] == [f"{registry.host}/a/many@{registries.digest(INDEX)}"]
    run = engine.run(client, "run", "--rm", "--net", "none", name, "cat", "/who")
    assert run.stdout == "amd64\n"
    again = engine.onggi("pull", "--platform", "linux/arm64", name)
    assert "Image is up to date" in again


def test_each_platform_is_looked_at_by_itself(engine: Engine, registry: Registry, client: str) -> None:
    name = pulled(engine, registry, client, "amd64", "arm64")
    found = inspected(engine, client, name, "arm64")
    assert (found["Id"], found["Architecture"], found["RepoTags"]) == (ARM.id, "arm64", [name])
    assert found["Descriptor"]["digest"] == ARM.digest  # type: ignore[index]
    assert inspected(engine, client, AMD.id, "arm64")["Id"] == ARM.id, "by the id of the image beside it"
    missing = engine.run(client, "image", "inspect", "--platform", "linux/riscv64", name, check=False)
    assert missing.returncode == 1
    assert "was found but does not provide the specified platform (linux/riscv64)" in missing.stderr
    history = engine.run(client, "history", "-q", "--no-trunc", "--platform", "linux/arm64", name)
    assert history.stdout.split()[0] == ARM.id
    assert engine.api("GET", f"/images/{ARM.digest}/json")["Id"] == ARM.id, "by its manifest"
    tree = engine.run(client, "images", "--tree").stdout
    assert "linux/amd64" in tree and "linux/arm64" in tree


def test_run_takes_the_platform_that_is_asked_for(engine: Engine, registry: Registry, client: str) -> None:
    name = pulled(engine, registry, client, "amd64", "arm64")
    made = engine.run(
        client, "create", "--net", "none", "--platform", "linux/arm64", name, "/x"
    ).stdout.strip()
    assert engine.api("GET", f"/containers/{made}/json")["Image"] == ARM.id
    got = engine.run(client, "cp", f"{made}:/who", "-")
    assert "arm64" in got.stdout
    never = engine.run(
        client, "create", "--pull", "never", "--platform", "linux/riscv64", name, "/x", check=False
    )
    assert "does not provide the specified platform (linux/riscv64)" in never.stderr
    fetched = engine.run(client, "create", "--net", "none", "--platform", "linux/riscv64", name, "/x")
    assert "Unable to find image" in fetched.stderr
    assert here(engine, name)["riscv64"]
    engine.remove_all()


def test_an_archive_keeps_the_index(engine: Engine, registry: Registry, client: str, tmp_path: Path) -> None:
    name = pulled(engine, registry, client, "amd64", "arm64")
    path = tmp_path / "both.tar"
    engine.run(client, "save", "-o", str(path), name)
    with tarfile.open(path) as tar:
        (found,) = json.loads(tar.extractfile("index.json").read())["manifests"]  # type: ignore[union-attr]
        assert tar.extractfile(f"blobs/sha256/{found['digest'][7:]}").read() == INDEX  # type: ignore[union-attr]
    alone = tmp_path / "arm.tar"
    engine.run(client, "save", "--platform", "linux/arm64", "-o", str(alone), name)
    engine.run(client, "rmi", name)
    assert engine.api("GET", "/images/json") == []
    assert f"Loaded image: {name}" in engine.run(client, "load", "-i", str(path)).stdout
    assert here(engine, name) == {"arm64": True, "amd64": True, "riscv64": False}
    engine.run(client, "rmi", name)
    engine.run(client, "load", "--platform", "linux/arm64", "-i", str(path))
    assert here(engine, name) == {"arm64": True, "amd64": False, "riscv64": False}
    pulled(engine, registry, client, "amd64")
    assert here(engine, name)["arm64"], "what was loaded stays beside what was pulled"
    engine.run(client, "rmi", name)
    engine.run(client, "load", "-i", str(alone))
    assert engine.api("GET", f"/images/{name}/json")["Id"] == ARM.id
    refused = engine.run(client, "load", "--platform", "linux/s390x", "-i", str(path), check=False)
    assert refused.returncode == 1 and "linux/s390x" in refused.stderr
    engine.run(client, "rmi", name)
    assert list((engine.root / "oci/blobs/sha256").iterdir()) == []


def test_a_platform_is_removed_and_the_rest_stays(engine: Engine, registry: Registry, client: str) -> None:
    name = pulled(engine, registry, client, "amd64", "arm64", "riscv64")
    gone = engine.run(client, "rmi", "--platform", "linux/arm64", name).stdout
    assert f"Deleted: {ARM.id}" in gone and "Untagged" not in gone
    assert here(engine, name) == {"arm64": False, "amd64": True, "riscv64": True}
    engine.run(client, "rmi", "--platform", "linux/amd64", name)
    assert engine.api("GET", f"/images/{name}/json")["Id"] == RISCV.id
    missing = engine.run(client, "rmi", "--platform", "linux/arm64", name, check=False)
    assert missing.returncode == 1 and "(linux/arm64)" in missing.stderr
    engine.onggi("create", "--name", "uses", "--platform", "linux/riscv64", name, "/x")
    used = engine.run(client, "rmi", "--platform", "linux/riscv64", name, check=False)
    assert "image is being used by stopped container" in used.stderr
    engine.onggi("rm", "uses")
    last = engine.run(client, "rmi", "--platform", "linux/riscv64", name).stdout
    assert f"Untagged: {name}" in last
    assert engine.api("GET", "/images/json") == []


def test_prune_spares_what_a_name_keeps_and_tags_keep_the_index(
    engine: Engine, registry: Registry, client: str
) -> None:
    name = pulled(engine, registry, client, "amd64", "arm64")
    engine.run(client, "tag", name, "mine:1")
    engine.run(client, "image", "prune", "-f")
    assert here(engine, "mine:1") == {"arm64": True, "amd64": True, "riscv64": False}
    engine.run(client, "rmi", name)
    assert here(engine, "mine:1")["arm64"]
    engine.onggi("create", "--name", "uses", "--platform", "linux/arm64", "mine:1", "/x")
    engine.run(client, "image", "prune", "-af")
    assert here(engine, "mine:1") == {"arm64": True, "amd64": True, "riscv64": False}
    engine.onggi("rm", "uses")
    engine.run(client, "image", "prune", "-af")
    assert engine.api("GET", "/images/json") == []
    assert list((engine.root / "oci/blobs/sha256").iterdir()) == []


def test_push_sends_the_index_or_what_is_here_of_it(engine: Engine, registry: Registry, client: str) -> None:
    name = pulled(engine, registry, client, "amd64")
    copy = f"{registry.host}/b/{client}:1"
    engine.run(client, "tag", name, copy)
    part = engine.run(client, "push", copy)
    assert "Not all multiplatform-content is present" in part.stdout + part.stderr
    assert f"1: digest: {AMD.digest}" in part.stdout
    pulled(engine, registry, client, "arm64", "riscv64")
    whole = engine.run(client, "push", copy)
    assert f"1: digest: {registries.digest(INDEX)}" in whole.stdout
    accept = {"Accept": registries.OCI_INDEX}
    assert registry.request("GET", f"/v2/b/{client}/manifests/1", headers=accept)[2] == INDEX
    one = engine.run(client, "push", "--platform", "linux/arm64", copy)
    assert f"1: digest: {ARM.digest}" in one.stdout
    refused = engine.run(client, "push", "--platform", "linux/s390x", copy, check=False)
    assert refused.returncode == 1 and "(linux/s390x)" in refused.stderr


def test_attestations_are_told_from_images(
    engine: Engine, registry: Registry, client: str, tmp_path: Path
) -> None:
    name = f"{registry.host}/a/many:attested"
    engine.run(client, "pull", "-q", name)
    kinds = [(one["Kind"], one["Available"]) for one in manifests(engine, name)]
    assert kinds == [("image", True), ("attestation", False)]
    layout = tmp_path / "layout.tar"
    subprocess.run(
        ["skopeo", "copy", "--all", "--src-tls-verify=false", f"docker://{name}",
         f"oci-archive:{layout}:whole:1"],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    engine.run(client, "load", "-i", str(layout))
    kinds = [(one["Kind"], one["Available"]) for one in manifests(engine, "whole:1")]
    assert kinds == [("image", True), ("attestation", True)]
    assert engine.api("GET", f"/images/{name}/attestations") == []  # it is not here
    copy = f"{registry.host}/c/{client}:1"
    engine.run(client, "tag", "whole:1", copy)
    assert f"1: digest: {registries.digest(ATTESTED)}" in engine.run(client, "push", copy).stdout


def manifests(engine: Engine, name: str) -> list[dict[str, object]]:
    return list(engine.api("GET", f"/images/{name}/json?manifests=1")["Manifests"])


def test_a_tag_that_moves_says_which_platform_it_left(engine: Engine, registry: Registry) -> None:
    path = f"moving/{engine.root.name}"
    for made, tag in ((AMD, "amd"), (ARM, "arm"), (RISCV, "riscv")):
        registries.push(registry, f"{path}:{tag}", made)
    first, second = registries.index([(AMD, "amd64")]), registries.index([(ARM, "arm64")])
    registries.put_manifest(registry, path, "1", first, registries.OCI_INDEX)
    name = f"{registry.host}/{path}:1"
    engine.onggi("pull", name)
    registries.put_manifest(registry, path, "1", second, registries.OCI_INDEX)
    shown = engine.onggi("pull", "--platform", "linux/arm64", name)
    by_digest = f"{registry.host}/{path}@{registries.digest(first)}"
    assert f"{name} was for linux/amd64 before: that is {by_digest} now" in shown
    assert engine.api("GET", f"/images/{by_digest}/json")["Id"] == AMD.id


def test_platforms_that_are_pulled_at_once_all_stay(engine: Engine, registry: Registry) -> None:
    name = f"{registry.host}/a/many:1"
    wanted = ("amd64", "arm64", "riscv64") * 2
    with ThreadPoolExecutor(len(wanted)) as pool:
        list(pool.map(lambda one: engine.onggi("pull", "-q", "--platform", f"linux/{one}", name), wanted))
    assert here(engine, name) == {"arm64": True, "amd64": True, "riscv64": True}
    assert engine.api("GET", f"/images/{name}/json")["Id"] == AMD.id
    removals = [("rmi", "--platform", f"linux/{one}", name) for one in ("arm64", "riscv64")]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda words: engine.run("onggi", *words, check=False), removals * 2))
    assert here(engine, name) == {"arm64": False, "amd64": True, "riscv64": False}
    assert "no fault" in engine.onggi("system", "check").lower()


def test_the_embedded_image_has_both(engine: Engine, client: str) -> None:
    engine.run(client, "pull", "-q", "onggi/hello:latest")
    engine.run(client, "pull", "-q", "--platform", "linux/arm64", "onggi/hello:latest")
    assert here(engine, "onggi/hello") == {"amd64": True, "arm64": True}


def test_what_is_kept_outlives_the_engine(engine: Engine, registry: Registry) -> None:
    name = pulled(engine, registry, "onggi", "amd64", "arm64")
    engine.kill()
    engine.start()
    assert here(engine, name) == {"arm64": True, "amd64": True, "riscv64": False}
    assert "no fault" in engine.onggi("system", "check").lower()
    blob = engine.root / "oci/blobs/sha256" / registries.digest(INDEX)[7:]
    blob.unlink()
    broken = engine.run("onggi", "system", "check", check=False)
    assert broken.returncode == 1 and "index" in broken.stdout
    assert engine.api("GET", "/images/json")[0]["Id"] == AMD.id, "listed, though its index is lost"


def command(*words: str) -> str:
    done = subprocess.run(words, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, f"{words}: {done.stderr[-2000:]}"
    return done.stdout


@pytest.mark.peer
def test_skopeo_and_umoci_read_the_store_and_the_archive(
    engine: Engine, registry: Registry, tmp_path: Path
) -> None:
    name = pulled(engine, registry, "onggi", "arm64", "amd64", "riscv64")
    engine.onggi("tag", name, "many:1")
    layout = f"oci:{engine.root}/oci:many:1"
    config = json.loads(command("skopeo", "inspect", "--config", "--raw", layout))
    assert config["architecture"] == "amd64", "the leading one, which is whole"
    command("umoci", "unpack", "--image", f"{engine.root}/oci:many:1", str(tmp_path / "unpacked"))
    assert (tmp_path / "unpacked/rootfs/who").read_text() == "amd64\n"
    archive = tmp_path / "many.tar"
    engine.onggi("save", "-o", str(archive), "many:1")
    target = f"{registry.host}/skopeo/{engine.root.parent.name}:1"
    both = ("--dest-tls-verify=false", f"oci-archive:{archive}:1", f"docker://{target}")
    command("skopeo", "copy", "-q", "--all", *both)
    path = target.partition("/")[2].rpartition(":")[0]
    accept = {"Accept": registries.OCI_INDEX}
    assert registry.request("GET", f"/v2/{path}/manifests/1", headers=accept)[2] == INDEX
    engine.onggi("rmi", "--platform", "linux/arm64", "many:1")
    engine.onggi("save", "-o", str(archive), "many:1")
    config = json.loads(command("skopeo", "inspect", "--config", "--raw", f"oci-archive:{archive}:1"))
    assert config["architecture"] == "amd64", "also out of an archive that lacks a platform"


@pytest.mark.peer
def test_podman_reads_ours_and_we_read_podmans(
    engine: Engine, registry: Registry, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    short = tempfile.mkdtemp(prefix="po-")
    request.addfinalizer(lambda: shutil.rmtree(short))
    podman = ("podman", "--root", str(tmp_path / "storage"), "--runroot", short, "--storage-driver", "vfs")
    name = pulled(engine, registry, "onggi", "amd64", "arm64")
    archive = tmp_path / "ours.tar"
    engine.onggi("save", "-o", str(archive), name)
    command(*podman, "load", "-q", "-i", str(archive))
    assert command(*podman, "image", "inspect", "-f", "{{.Architecture}}", AMD.id).strip() == "amd64"
    theirs = tmp_path / "theirs.tar"
    command(*podman, "save", "-q", "--format", "oci-archive", "-o", str(theirs), AMD.id)
    assert "Loaded image" in engine.onggi("load", "-i", str(theirs))
    command(*podman, "manifest", "create", "list")
    for tag in ("amd", "arm"):
        source = f"docker://{registry.host}/a/many:{tag}"
        command(*podman, "manifest", "add", "--tls-verify=false", "list", source)
    made = f"{registry.host}/podman/{engine.root.parent.name}:1"
    command(*podman, "manifest", "push", "-q", "--all", "--tls-verify=false", "list", f"docker://{made}")
    for platform in ("arm64", "amd64"):
        engine.onggi("pull", "--platform", f"linux/{platform}", made)
    assert here(engine, made) == {"amd64": True, "arm64": True}


@pytest.mark.peer
def test_a_real_dockerd_loads_an_archive_with_an_index(
    engine: Engine, registry: Registry, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    name = pulled(engine, registry, "onggi", "amd64", "arm64")
    archive = tmp_path / "both.tar"
    engine.onggi("save", "-o", str(archive), name)
    short = Path(tempfile.mkdtemp(prefix="pe-"))  # a socket's path has 107 bytes at most
    request.addfinalizer(lambda: shutil.rmtree(short, ignore_errors=True))
    with engines.dockerd(short) as peer:
        assert f"Loaded image: {name}" in peer.docker("load", "-i", str(archive))
        assert peer.docker("image", "inspect", "-f", "{{.Id}}", name).strip() == AMD.id


@pytest.mark.parametrize("judged", [False, True])
def test_under_a_policy_only_what_was_judged_goes_by_a_name(
    registry: Registry, tmp_path: Path, judged: bool
) -> None:
    """Another image of the index may be here, out of a repository that the policy trusts less."""
    policy = tmp_path / "policy.json"
    policy.write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
    flags = ("--signature-policy", str(policy)) if judged else ()
    with engines.onggi(tmp_path, "--bridge", "none", *flags) as engine:
        engine.onggi("pull", "--platform", "linux/arm64", f"{registry.host}/a/many:arm")
        name = pulled(engine, registry, "onggi", "amd64")
        assert here(engine, name)["arm64"] is not judged
        pulled(engine, registry, "onggi", "arm64")
        assert here(engine, name) == {"arm64": True, "amd64": True, "riscv64": False}


def test_a_store_from_before_indexes_were_kept_gets_them_with_the_next_pull(
    engine: Engine, registry: Registry
) -> None:
    name = pulled(engine, registry, "onggi", "amd64")
    engine.stop()
    with sqlite3.connect(engine.root / "onggi.db") as old:  # as the step to this schema leaves a store
        old.execute("UPDATE names SET target = ''")
        old.execute("DELETE FROM members")
        old.execute("DELETE FROM indexes")
    engine.start()
    assert engine.api("GET", f"/images/{name}/json")["Id"] == AMD.id
    pulled(engine, registry, "onggi", "arm64")
    assert here(engine, name) == {"arm64": True, "amd64": True, "riscv64": False}
