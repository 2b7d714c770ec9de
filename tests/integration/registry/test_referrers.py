"""What refers to an image: listed, pulled and pushed with it, by the API or by the tag in its place."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests import engines, registries
from tests.engines import Engine
from tests.registries import OCI_INDEX, OCI_MANIFEST, Made, Registry, digest
from tests.scripted_registry import Handler, Scripted, scripted

pytestmark = [pytest.mark.root, pytest.mark.timeout(120)]
IMAGE = registries.image([registries.layer({"app": b"app" * 100})])
SIGNATURE, SBOM = "application/vnd.example.signature", "application/vnd.example.sbom"


def referrer(kind: str, subject: bytes, content: bytes) -> Made:
    """An artifact of one file that refers to a manifest."""
    config = b"{}"
    manifest = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "artifactType": kind,
        "config": described(config, "application/vnd.oci.empty.v1+json"),
        "layers": [described(content, "application/octet-stream")],
        "subject": described(subject, OCI_MANIFEST),
        "annotations": {"of": kind},
    }
    blobs = {digest(config): config, digest(content): content}
    return Made(json.dumps(manifest).encode(), config, blobs, [digest(content)])


def described(data: bytes, kind: str) -> dict[str, object]:
    return {"mediaType": kind, "digest": digest(data), "size": len(data)}


SBOM_OF_IT = referrer(SBOM, IMAGE.manifest, b"parts")
SIGNED = referrer(SIGNATURE, IMAGE.manifest, b"signed")
SBOM_SIGNED = referrer(SIGNATURE, SBOM_OF_IT.manifest, b"the parts, signed")
ALL = (SBOM_OF_IT, SIGNED, SBOM_SIGNED)


def listing(*made: Made) -> bytes:
    entries = []
    for one in made:
        document = json.loads(one.manifest)
        entry = {**described(one.manifest, OCI_MANIFEST), "artifactType": document["artifactType"]}
        entries.append({**entry, "annotations": document["annotations"]})
    return json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}).encode()


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with engines.onggi(tmp_path, "--bridge", "none") as running:
        yield running


@pytest.fixture
def old(tmp_path: Path) -> Iterator[Registry]:
    """Debian's docker-registry knows no referrers: tags stand for them."""
    with registries.registry(tmp_path) as one:
        registries.push(one, "a/app:1", IMAGE)
        for made in ALL:
            registries.push(one, f"a/app:tmp-{made.digest[7:20]}", made)
        for subject, listed in ((IMAGE, (SBOM_OF_IT, SIGNED)), (SBOM_OF_IT, (SBOM_SIGNED,))):
            tag = subject.digest.replace(":", "-")
            registries.put_manifest(one, "a/app", tag, listing(*listed), OCI_INDEX)
        yield one


@pytest.fixture
def new() -> Iterator[Scripted]:
    """A registry with the referrers API."""

    def rule(handler: Handler) -> bool:
        url = urlsplit(handler.path)
        if "/referrers/" not in url.path:
            return False
        found = {IMAGE.digest: (SBOM_OF_IT, SIGNED), SBOM_OF_IT.digest: (SBOM_SIGNED,)}
        listed = found.get(url.path.rpartition("/")[2], ())
        handler.answer(200, listing(*listed), Content_Type=OCI_INDEX)
        return True

    with scripted() as one:
        one.rules.append(rule)
        one.serve("a/app", IMAGE, "1")
        for made in ALL:
            one.serve("a/app", made, made.digest)
        yield one


@pytest.mark.parametrize("which", ["old", "new"])
def test_listed_and_pulled(engine: Engine, which: str, request: pytest.FixtureRequest) -> None:
    one: Registry | Scripted = request.getfixturevalue(which)
    name = f"{one.host}/a/app:1"
    shown = engine.onggi("image", "referrers", "--format", "{{.Digest}} {{.ArtifactType}} {{.Size}}", name)
    assert shown.splitlines() == [
        f"{SBOM_OF_IT.digest} {SBOM} {len(SBOM_OF_IT.manifest)}B",
        f"{SIGNED.digest} {SIGNATURE} {len(SIGNED.manifest)}B",
    ]
    only = engine.onggi("image", "referrers", "--artifact-type", SBOM, name)
    assert SBOM_OF_IT.digest in only and SIGNED.digest not in only
    engine.onggi("pull", name)
    assert len(engine.api("GET", "/images/json")) == 1  # nothing more than what was asked for
    engine.onggi("pull", "--referrers", name)
    ids = {found["Id"] for found in engine.api("GET", "/images/json?all=1")}
    assert ids == {IMAGE.id, *(made.digest for made in ALL)}
    engine.onggi("pull", "--referrers", name)  # again


def test_pushed_with_the_tag_that_lists_them(engine: Engine, old: Registry, tmp_path: Path) -> None:
    engine.onggi("pull", "--referrers", f"{old.host}/a/app:1")
    with registries.registry(tmp_path) as other:
        name = f"{other.host}/b/app:2"
        engine.onggi("tag", f"{old.host}/a/app:1", name)
        engine.onggi("push", name)
        tag = IMAGE.digest.replace(":", "-")
        assert other.request("GET", f"/v2/b/app/manifests/{tag}")[0] == 404
        shown = engine.onggi("push", "--referrers", name)
        assert shown.count(f"refers to {name}") == 3
        for subject, listed in ((IMAGE, (SBOM_OF_IT, SIGNED)), (SBOM_OF_IT, (SBOM_SIGNED,))):
            status, _, data = other.request(
                "GET",
                f"/v2/b/app/manifests/{subject.digest.replace(':', '-')}",
                headers={"Accept": OCI_INDEX},
            )
            entries = json.loads(data)["manifests"]
            assert status == 200 and {one["digest"] for one in entries} == {one.digest for one in listed}
            assert all(one["annotations"] == {"of": one["artifactType"]} for one in entries)
        engine.onggi("push", "--referrers", name)  # again: nothing is listed twice
        data = other.request("GET", f"/v2/b/app/manifests/{tag}", headers={"Accept": OCI_INDEX})[2]
        assert len(json.loads(data)["manifests"]) == 2
        assert SIGNED.digest in engine.onggi("image", "referrers", name)


def test_what_means_harm(engine: Engine, new: Scripted) -> None:
    """Circles end, crowds are refused, nonsense is named."""
    name = f"{new.host}/a/app:1"

    def circle(handler: Handler) -> bool:
        if "/referrers/" in handler.path:
            handler.answer(200, listing(SBOM_OF_IT, SIGNED), Content_Type=OCI_INDEX)
            return True
        return False

    new.rules.insert(0, circle)
    engine.onggi("pull", "--referrers", name)
    crowd = [referrer(SBOM, IMAGE.manifest, str(number).encode()) for number in range(120)]
    for made in crowd:
        new.serve("a/app", made, made.digest)

    def many(handler: Handler) -> bool:
        if "/referrers/" in handler.path:
            handler.answer(200, listing(*crowd), Content_Type=OCI_INDEX)
            return True
        return False

    new.rules.insert(0, many)
    done = engine.run("onggi", "pull", "--referrers", name, check=False)
    assert done.returncode == 1 and "more than 100 artifacts refer to" in done.stderr + done.stdout
    for body in (b"[]", b"{", json.dumps({"schemaVersion": 2, "manifests": [{"digest": "../x"}]}).encode()):
        new.rules.insert(
            0,
            lambda handler, body=body: (
                "/referrers/" in handler.path  # type: ignore[misc]
                and (handler.answer(200, body, Content_Type=OCI_INDEX) or True)
            ),
        )
        assert engine.run("onggi", "pull", "--referrers", name, check=False).returncode == 1


def test_signatures_of_cosign_by_their_tag(engine: Engine, tmp_path: Path) -> None:
    """Their manifests say that they are images; they are kept as they are, and go along."""
    payload = b'{"critical": {}}'
    config = json.dumps({"rootfs": {"type": "layers", "diff_ids": [digest(payload)]}}).encode()
    manifest = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": described(config, registries.OCI_CONFIG),
        "layers": [described(payload, "application/vnd.dev.cosign.simplesigning.v1+json")],
    }
    blobs = {digest(config): config, digest(payload): payload}
    signature = Made(json.dumps(manifest).encode(), config, blobs, [digest(payload)])
    tag = IMAGE.digest.replace(":", "-") + ".sig"
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    with registries.registry(first) as one, registries.registry(second) as other:
        registries.push(one, "a/app:1", IMAGE)
        registries.push(one, f"a/app:{tag}", signature)
        engine.onggi("pull", "--referrers", f"{one.host}/a/app:1")
        assert f"{one.host}/a/app:{tag}" in json.dumps(engine.api("GET", "/images/json"))
        engine.onggi("tag", f"{one.host}/a/app:1", f"{other.host}/b/app:1")
        engine.onggi("push", "--referrers", f"{other.host}/b/app:1")
        found = other.request("GET", f"/v2/b/app/manifests/{tag}", headers={"Accept": OCI_MANIFEST})
        assert found[2] == signature.manifest
        assert other.request("GET", f"/v2/b/app/blobs/{digest(payload)}")[2] == payload
        assert engine.api("GET", "/system/check")["Faults"] == []
