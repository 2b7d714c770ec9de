"""Provenance and lists of packages, attached as BuildKit attaches them: archive, store, registry."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
import tarfile
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from onggi.builder.outputs import sbom
from tests import engines
from tests.buildx import buildx
from tests.integration.builder.test_outputs import blobs
from tests.registries import OCI_INDEX, registry

pytestmark = [pytest.mark.root, pytest.mark.timeout(240)]
SLSA, SPDX = "https://slsa.dev/provenance/v0.2", "https://spdx.dev/Document"
STATUS = (
    "Package: libc6\nStatus: install ok installed\nArchitecture: amd64\nSource: glibc (2.36)\n"
    "Version: 2.36-9+deb12u1\n\n"
    "Package: gone\nStatus: deinstall ok config-files\nVersion: 1\n"
)
DOCKERFILE = """FROM busybox:test
ARG SECRETLESS=1
LABEL told=label
COPY status /var/lib/dpkg/status
COPY <<EOF /etc/os-release
ID=debian
VERSION_ID="12"
EOF
COPY <<EOF /lib/apk/db/installed
P:musl
V:1.2.5-r0
A:x86_64
L:MIT

EOF
COPY <<EOF /usr/lib/python3.11/site-packages/Some_Thing-1.0.dist-info/METADATA
Metadata-Version: 2.1
Name: Some_Thing
Version: 1.0

Name: not-this
EOF
RUN echo step
"""


@pytest.fixture
def context(context: Path) -> Path:
    (context / "Dockerfile").write_text(DOCKERFILE)
    (context / "status").write_text(STATUS)
    return context


def statements(archive: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The inner index, and statements by the kind of their predicate."""
    index, found = blobs(archive)
    inner = json.loads(found[f"blobs/sha256/{index['manifests'][0]['digest'][7:]}"])
    said = {}
    for entry in inner["manifests"]:
        if (entry.get("annotations") or {}).get("vnd.docker.reference.type") == "attestation-manifest":
            assert entry["platform"] == {"architecture": "unknown", "os": "unknown"}
            for layer in json.loads(found[f"blobs/sha256/{entry['digest'][7:]}"])["layers"]:
                said[layer["annotations"]["in-toto.io/predicate-type"]] = json.loads(
                    found[f"blobs/sha256/{layer['digest'][7:]}"]
                )
    return inner, said


def test_both_kinds_in_an_archive(engine: engines.Engine, context: Path) -> None:
    args = ("--provenance=mode=max", "--sbom=true", "--build-arg", "SECRETLESS=2", "-t", "attested:1")
    buildx(engine, context, "build", *args, "-o", "type=oci,dest=made.tar", ".")
    inner, said = statements(context / "made.tar")
    image, attested = inner["manifests"]
    assert attested["annotations"]["vnd.docker.reference.digest"] == image["digest"]
    provenance = said["https://slsa.dev/provenance/v0.2"]
    (subject,) = provenance["subject"]
    assert subject["digest"] == {"sha256": image["digest"][7:]}
    assert subject["name"] == "pkg:docker/attested@1?platform=linux%2Famd64"
    predicate = provenance["predicate"]
    assert [one["uri"] for one in predicate["materials"]] == [
        "pkg:docker/busybox@test?platform=linux%2Famd64"
    ]
    assert predicate["invocation"]["parameters"]["args"]["build-arg:SECRETLESS"] == "2"
    steps = predicate["buildConfig"]["llbDefinition"]
    assert any("echo step" in json.dumps(step) for step in steps)
    packages = {one["name"]: one for one in said["https://spdx.dev/Document"]["predicate"]["packages"]}
    assert set(packages) == {"libc6", "musl", "some-thing"}
    locator = packages["libc6"]["externalRefs"][0]["referenceLocator"]
    assert locator == "pkg:deb/debian/libc6@2.36-9%2Bdeb12u1?arch=amd64&distro=debian-12"


def test_the_least_tells_no_values(engine: engines.Engine, context: Path) -> None:
    args = ("--provenance=true", "--build-arg", "SECRETLESS=hush", "--label", "a=hush")
    buildx(engine, context, "build", *args, "-o", "type=oci,dest=made.tar", ".")
    _, said = statements(context / "made.tar")
    assert list(said) == ["https://slsa.dev/provenance/v0.2"] and "hush" not in json.dumps(said)


def test_nothing_is_attached_unless_it_is_asked_for(engine: engines.Engine, context: Path) -> None:
    buildx(engine, context, "build", "-o", "type=oci,dest=made.tar", ".")
    index, _ = blobs(context / "made.tar")
    assert index["manifests"][0]["mediaType"].endswith("manifest.v1+json")
    (context / "Dockerfile").write_text("FROM scratch\nCOPY status /\n")
    both = ("--platform", "linux/amd64,linux/arm64")
    buildx(engine, context, "build", *both, "-o", "type=oci,dest=made.tar", ".")
    inner, said = statements(context / "made.tar")
    assert len(inner["manifests"]) == 4 and len(said) == 1
    buildx(engine, context, "build", *both, "--provenance=false", "-o", "type=oci,dest=made.tar", ".")
    assert len(statements(context / "made.tar")[0]["manifests"]) == 2


def test_in_the_store_and_the_registry(engine: engines.Engine, context: Path, tmp_path: Path) -> None:
    if shutil.which("docker-registry") is None:
        pytest.skip("docker-registry is missing")
    with registry(tmp_path) as place:
        name = f"{place.host}/attested:1"
        buildx(engine, context, "build", "--sbom=true", "--push", "-t", name, ".")
        status, _, body = place.request("GET", "/v2/attested/manifests/1", headers={"Accept": OCI_INDEX})
        assert status == 200 and len(json.loads(body)["manifests"]) == 2
        assert engine.onggi("run", "--rm", name, "cat", "/var/lib/dpkg/status").startswith("Package: libc6")
        engine.onggi("tag", name, f"{place.host}/attested:2")
        engine.onggi("push", f"{place.host}/attested:2")
        _, _, again = place.request("GET", "/v2/attested/manifests/2", headers={"Accept": OCI_INDEX})
        assert again == body
    engine.onggi("rmi", "-f", name, f"{place.host}/attested:2")
    done = engine.run("onggi", "system", "check", check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_by_the_api(engine: engines.Engine, context: Path) -> None:
    """GET /images/NAME/attestations: by name and by id, by platform, by type, with the statements."""
    (context / "Dockerfile").write_text(
        "FROM scratch\nARG TARGETARCH\nENV FOR=$TARGETARCH\nCOPY status /var/lib/dpkg/\n"
    )
    both = ("--platform", "linux/amd64,linux/arm64", "--sbom=true", "--provenance=mode=max")
    buildx(engine, context, "build", *both, "-t", "attested:3", ".")
    path = "/v1.55/images/attested:3/attestations"
    told = engine.api("GET", path)
    assert {one["PredicateType"] for one in told} == {SPDX, SLSA}
    assert all(set(one) == {"Descriptor", "PredicateType"} for one in told)
    assert {one["Descriptor"]["mediaType"] for one in told} == {"application/vnd.in-toto+json"}
    shown = engine.api("GET", "/v1.55/images/attested:3/json?manifests=1")
    assert engine.api("GET", f"/v1.55/images/{shown['Id']}/attestations") == told
    (sbom_,) = engine.api("GET", f"{path}?statement=1&type={SPDX}&type=none")
    assert sbom_["PredicateType"] == sbom_["Statement"]["predicateType"] == SPDX
    subjects = {}
    for architecture in ("amd64", "arm64"):
        platform = quote(json.dumps({"os": "linux", "architecture": architecture}))
        (one,) = engine.api("GET", f"{path}?type={SLSA}&statement=true&platform={platform}")
        subjects[architecture] = "sha256:" + one["Statement"]["subject"][0]["digest"]["sha256"]
    images = [one for one in shown["Manifests"] if one["Kind"] == "image"]
    assert subjects == {one["ImageData"]["Platform"]["architecture"]: one["ID"] for one in images}
    missing = quote(json.dumps({"os": "linux", "architecture": "s390x"}))
    for query, status in (
        (f"platform={missing}", 404),
        (f"platform={missing}&platform={missing}", 400),
        ("platform=amd64", 400),
    ):
        assert engine.request("GET", f"{path}?{query}")[0] == status, query
    assert engine.request("GET", "/v1.55/images/nowhere/attestations")[0] == 404
    assert engine.api("GET", "/v1.55/images/busybox:test/attestations") == []
    engine.onggi("rmi", "attested:3")


def test_beside_plain_files(engine: engines.Engine, context: Path) -> None:
    """In each platform's directory; about every file; in the place of a file of that name."""
    (context / "Dockerfile").write_text("FROM scratch\nCOPY status provenance.json /\nCOPY status /d/\n")
    (context / "provenance.json").write_text("the tree's own")
    both = ("--sbom=true", "--provenance=mode=max")
    buildx(engine, context, "build", *both, "-o", "made", ".")
    said = json.loads((context / "made/provenance.json").read_text())
    assert said["predicateType"] == "https://slsa.dev/provenance/v0.2" and said["predicate"]["buildConfig"]
    digest = {"sha256": hashlib.sha256(STATUS.encode()).hexdigest()}
    assert said["subject"] == [{"name": name, "digest": digest} for name in ("d/status", "status")]
    assert json.loads((context / "made/sbom.spdx.json").read_text())["predicateType"].endswith("/Document")
    assert stat.S_IMODE((context / "made/provenance.json").stat().st_mode) == 0o600
    platforms = ("--platform", "linux/amd64,linux/arm64")
    buildx(engine, context, "build", *both, *platforms, "-o", "several", ".")
    buildx(engine, context, "build", *both, *platforms, "-o", "type=tar,dest=several.tar", ".")
    names = {"d", "d/status", "provenance.json", "sbom.spdx.json", "status"}
    wanted = {f"{one}/{name}" for one in ("linux_amd64", "linux_arm64") for name in names}
    found = {str(one.relative_to(context / "several")) for one in (context / "several").rglob("*")}
    assert found == wanted | {"linux_amd64", "linux_arm64"}
    with tarfile.open(context / "several.tar") as tar:
        assert {one.name.rstrip("/") for one in tar} == found
        file = tar.extractfile("linux_arm64/provenance.json")
        assert file is not None and json.loads(file.read())["subject"][0]["name"] == "d/status"


def test_names_of_statements(engine: engines.Engine, context: Path) -> None:
    (context / "Dockerfile").write_text("FROM scratch\nCOPY status /\n")
    output = "type=local,dest=made,platform-split=false,attestation-prefix=a-"
    attest = "type=provenance,mode=min,filename=of/x.json"
    buildx(engine, context, "build", "--attest", attest, "-o", output, ".")
    assert sorted(os.listdir(context / "made")) == ["a-x.linux_amd64.json", "status"]
    buildx(engine, context, "build", "-o", "none", ".")  # buildx's own wish is for indexes alone
    assert os.listdir(context / "none") == ["status"]
    twice = ("--sbom=true", "--attest", "type=provenance,filename=sbom.spdx.json", "-o", "twice")
    assert "duplicate attestation" in buildx(engine, context, "build", *twice, ".", fails=True)
    out = ("--sbom=true", "-o", "type=local,dest=out,attestation-prefix=../")
    assert "no beginning of a name" in buildx(engine, context, "build", *out, ".", fails=True)


def test_imagetools_reads_what_was_pushed(engine: engines.Engine, context: Path, tmp_path: Path) -> None:
    if shutil.which("docker-registry") is None:
        pytest.skip("docker-registry is missing")
    (context / "Dockerfile").write_text("FROM scratch\nCOPY status /var/lib/dpkg/status\n")
    with registry(tmp_path) as place:
        name = f"{place.host}/attested:1"
        args = ("--platform", "linux/amd64,linux/arm64", "--sbom=true", "--provenance=mode=max", "--push")
        buildx(engine, context, "build", *args, "-t", name, ".")
        inspect = ("imagetools", "inspect", name)
        assert buildx(engine, context, *inspect).count("attestation-manifest") == 2
        said = json.loads(buildx(engine, context, *inspect, "--format", "{{json .Provenance}}"))
        steps = said["linux/arm64"]["SLSA"]["buildConfig"]["llbDefinition"]
        assert any("copy" in json.dumps(step) for step in steps)
        packages = "{{range .SBOM}}{{range .SPDX.packages}}{{.name}} {{end}}{{end}}"
        assert "libc6" in buildx(engine, context, *inspect, "--format", packages)
        buildx(engine, context, "imagetools", "create", "-t", f"{place.host}/attested:2", name)


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("--sbom=generator=scanner/of:others",), "runs no scanner image"),
        (("--provenance=mode=some",), "invalid provenance mode"),
        (("--attest", "type=odd"), "odd"),
    ],
)
def test_what_cannot_be_stated_is_refused(
    engine: engines.Engine, context: Path, args: tuple[str, ...], said: str
) -> None:
    assert said in buildx(engine, context, "build", *args, ".", fails=True)


def test_hostile_trees_say_nothing_of_this_machine(tmp_path: Path) -> None:
    (tmp_path / "var/lib").mkdir(parents=True)
    (tmp_path / "var/lib/dpkg").symlink_to("/var/lib/dpkg")
    (tmp_path / "lib/apk/db").mkdir(parents=True)
    os.mkfifo(tmp_path / "lib/apk/db/installed")
    (tmp_path / "usr/lib").mkdir(parents=True)
    (tmp_path / "usr/lib/python3").symlink_to("/usr/lib/python3")
    deep = tmp_path / "usr/lib/a/b/c/d/e/f/g/site-packages/x.dist-info"
    deep.mkdir(parents=True)
    (deep / "METADATA").write_bytes(b"\xff\xfe\nName: x\n")
    fd = os.open(tmp_path, os.O_PATH | os.O_DIRECTORY)
    try:
        assert list(sbom.packages(fd)) == []
    finally:
        os.close(fd)
