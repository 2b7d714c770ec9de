"""Indexes that mean harm: what they name is looked at within bounds, and hides no other image."""

from __future__ import annotations

import io
import json
import time

import pytest

from onggi.images import indexes, save
from onggi.images.images import Images
from onggi.images.resolve import resolve
from onggi.images.staging import NewImage, NewIndex, Staging
from onggi.spec import platform as platforms
from tests import registries

pytestmark = [pytest.mark.root, pytest.mark.timeout(120)]

MADE = registries.image([registries.layer({"file": b"x"})])
STRANGE = ("sha256:../../../../etc/passwd", "sha512:" + "a" * 128, "", "sha256:" + "A" * 64)


def index(entries: list[dict[str, object]]) -> bytes:
    return json.dumps({"schemaVersion": 2, "mediaType": registries.OCI_INDEX, "manifests": entries}).encode()


def entry(digest: str, kind: str = registries.OCI_MANIFEST) -> dict[str, object]:
    return {
        "mediaType": kind,
        "digest": digest,
        "size": 1,
        "platform": {"os": "linux", "architecture": "s390x"},
    }


GOOD = json.loads(registries.index([(MADE, "amd64")]))["manifests"]


def publish(images: Images, top: bytes, *inner: bytes) -> str:
    with Staging(images) as staging:
        for data in (MADE.manifest, *MADE.blobs.values(), top, *inner):
            if not staging.known(registries.digest(data)):
                staging.blob([data], "")
        image = NewImage(MADE.id, MADE.layers, [], MADE.digest)
        blobs = [registries.digest(one) for one in (top, *inner)]
        whole = NewIndex(blobs[0], [MADE.digest], blobs, ["docker.io/library/many:1"])
        staging.publish([image], [whole])
    return blobs[0]


def test_digests_that_are_none_are_passed_over(images: Images) -> None:
    top = index([*map(entry, STRANGE), *(entry(one, registries.OCI_INDEX) for one in STRANGE), *GOOD])
    target = publish(images, top)
    assert [one.descriptor.digest for one in indexes.entries(images, target)] == [MADE.digest]
    assert indexes.inner(images, target) == []
    assert resolve(images, "many:1", platforms.host()).id == MADE.id
    save.save(images, save.choose(images, ["many:1"]), io.BytesIO())


def test_indexes_that_multiply_are_gone_through_once(images: Images) -> None:
    lowest = index(GOOD * 100)
    middle = index([entry(registries.digest(lowest), registries.OCI_INDEX)] * 1000)
    above = index([entry(registries.digest(middle), registries.OCI_INDEX)] * 1000)
    top = index([*GOOD, *[entry(registries.digest(above), registries.OCI_INDEX)] * 1000])
    began = time.monotonic()
    target = publish(images, top, above, middle, lowest)
    assert len(indexes.entries(images, target)) <= indexes.ENTRIES_MAX
    assert indexes.inner(images, target) == [registries.digest(one) for one in (lowest, middle, above)]
    assert time.monotonic() - began < 10
