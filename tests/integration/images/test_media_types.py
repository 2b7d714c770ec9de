"""OCI layouts whose layers are zstd, encrypted, unknown, or no image at all."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile

import pytest

from onggi.errors import InvalidParameter
from onggi.images import load, media_types, remove, save
from onggi.images.compression import Compressor
from onggi.images.images import Images
from onggi.spec import image as documents
from tests.integration.images.test_images_hostile import tar

pytestmark = [pytest.mark.root]
IMAGE = documents.OCI_CONFIG
LAYER = documents.OCI_LAYER


def layer(content: bytes) -> bytes:
    return tar(("file", content))


def zstd(data: bytes) -> bytes:
    out = io.BytesIO()
    compressor = Compressor(out, "zstd")
    compressor.write(data)
    compressor.close()
    return out.getvalue()


def layout(
    packed: bytes, plain: bytes, layer_type: str, config_type: str = IMAGE, **more: object
) -> dict[str, bytes]:
    """The members of an OCI layout with one manifest of one layer."""
    config = json.dumps(
        {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [digest(plain)]}}
    ).encode()
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": documents.OCI_MANIFEST,
            "config": described(config, config_type),
            "layers": [described(packed, layer_type)],
            **more,
        }
    ).encode()
    top = {
        **described(manifest, documents.OCI_MANIFEST),
        "annotations": {"org.opencontainers.image.ref.name": "typed:1"},
    }
    blobs = {f"blobs/sha256/{digest(data)[7:]}": data for data in (config, manifest, packed)}
    index = json.dumps({"schemaVersion": 2, "manifests": [top]}).encode()
    return {**blobs, "index.json": index, "oci-layout": b'{"imageLayoutVersion":"1.0.0"}'}


def digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def described(data: bytes, media_type: str) -> dict[str, object]:
    return {"mediaType": media_type, "digest": digest(data), "size": len(data)}


def archive(members: dict[str, bytes]) -> io.BytesIO:
    return io.BytesIO(tar(*members.items()))


def test_a_zstd_layer_is_kept_as_it_came(images: Images) -> None:
    plain = layer(b"z" * 5000)
    packed = zstd(plain)
    (image_id,) = load.load(images, archive(layout(packed, plain, LAYER + "+zstd")), lambda _: None)
    image = images.get(image_id)
    assert image is not None and image.repo_tags == ["typed:1"] and image.size == 5000
    with images.blobs.open(digest(packed)) as file:
        assert file.read() == packed


@pytest.mark.parametrize(
    ("layer_type", "config_type", "more", "why"),
    [
        (
            LAYER + "+gzip+encrypted",
            IMAGE,
            {},
            r"layer sha256:\w+ is encrypted \(.*\): this engine has no keys",
        ),
        (
            LAYER + "+lz4",
            IMAGE,
            {},
            r"layer sha256:\w+ has the media type '.*\+lz4', which is not one of an image",
        ),
    ],
)
def test_what_is_no_image_is_refused_by_its_type(
    images: Images,
    layer_type: str,
    config_type: str,
    more: dict[str, object],
    why: str,
) -> None:
    plain = layer(b"x")
    with pytest.raises(InvalidParameter, match=why):
        load.load(images, archive(layout(plain, plain, layer_type, config_type, **more)), lambda _: None)
    assert list(images.blobs.list_()) == []


@pytest.mark.parametrize("more", [{}, {"artifactType": "application/x.model"}])
def test_an_artifact_is_kept_as_it_came(images: Images, more: dict[str, object]) -> None:
    data = b"no layer at all"
    kind = more.get("artifactType", "application/vnd.cncf.helm.config.v1+json")
    config = IMAGE if more else str(kind)
    members = layout(data, data, "application/x.data", config, **more)
    (image_id,) = load.load(images, archive(members), lambda _: None)
    image = images.get(image_id)
    assert image is not None and image.artifact and image.repo_tags == ["typed:1"] and image.layers == []
    assert media_types.artifact_type(images.manifest(image)) == kind
    out = io.BytesIO()
    save.save(images, save.choose(images, ["typed:1"]), out)
    with tarfile.open(fileobj=io.BytesIO(out.getvalue())) as tar:
        names = tar.getnames()
        (found,) = json.loads(tar.extractfile("index.json").read())["manifests"]  # type: ignore[union-attr]
    assert found["digest"] == image_id and f"blobs/sha256/{digest(data)[7:]}" in names
    remove.remove(images, "typed:1", set(), force=False, noprune=False)
    assert list(images.blobs.list_()) == []


def test_a_signature_beside_an_image_does_not_hinder_it(images: Images) -> None:
    one, other = layer(b"1"), layer(b"2")
    image = layout(one, one, LAYER)
    signature = layout(other, other, LAYER, artifactType="application/x.signature")
    both = json.loads(image["index.json"])
    both["manifests"] += json.loads(signature["index.json"])["manifests"]
    del both["manifests"][1]["annotations"]
    members = {**image, **signature, "index.json": json.dumps(both).encode()}
    assert len(load.load(images, archive(members), lambda _: None)) == 1
