"""`docker manifest push`: a list, after what it needs from other repositories of the same registry.

Blobs are mounted, manifests put by digest, then the list, which is the commit point: before it the
repository has blobs and manifests that no tag names.
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING

from onggi.errors import InvalidParameter
from onggi.spec import digest as digests
from onggi.spec import image as documents
from onggi.spec import reference as references
from onggi.spec.reference import Reference
from onggi.wire.manifests import ManifestListPush, ManifestListPushed, PushedManifest, RegistryManifest

if TYPE_CHECKING:
    from onggi.engine.engine import Engine
    from onggi.registry.repository import Repository

MEMBERS_MAX = 1000


async def manifest_push(
    engine: Engine, name: str, given: ManifestListPush, *, insecure: bool = False, auth: str = ""
) -> ManifestListPushed:
    """Raises InvalidParameter, RegistryFailure."""
    from onggi.registry.credentials import from_header
    from onggi.registry.endpoints import PUSH

    named = references.parse(name).tagged()
    index, members = _list(named, given), [_member(named, one) for one in given.manifests]
    if len(members) > MEMBERS_MAX:
        raise InvalidParameter(f"manifest list {named} has {len(members)} manifests, more than {MEMBERS_MAX}")
    registries = engine.transfers.registries(engine.config)
    job = registries.job(from_header(auth), insecure=named.domain if insecure else "")

    def push(repository: Repository) -> ManifestListPushed:
        for member in members:
            member.mount(repository)
        pushed = [member.put(repository, named) for member in members]
        digest = repository.put_manifest(named.digest or named.tag, given.media_type, index)
        return ManifestListPushed(digest=digest, pushed=pushed)

    def work() -> ManifestListPushed:
        with job:
            return job.first(named, push, need=PUSH)[1]

    return await engine.offload(work)


class _Member:
    """A manifest of another repository."""

    def __init__(self, at: Reference, given: RegistryManifest, data: bytes, windows: bool) -> None:
        self._at = at
        self._given = given
        self._data = data
        self._windows = windows

    def mount(self, repository: Repository) -> None:
        """Its blobs, from its repository. Raises InvalidParameter where the registry will not."""
        from onggi.registry import uploads

        manifest = documents.decode(documents.Manifest, self._data, f"manifest {self._given.ref}")
        for digest in dict.fromkeys(one.digest for one in (manifest.config, *manifest.layers)):
            if repository.has_blob(digest) or uploads.mount(repository, digest, self._at.path):
                continue
            if not self._windows:  # its base layers may not be on registries at all
                raise InvalidParameter(
                    f"error mounting {self._at.path}@{digest} to {repository.host}/{repository.path}"
                )

    def put(self, repository: Repository, target: Reference) -> PushedManifest:
        descriptor = self._given.descriptor
        digest = repository.put_manifest(descriptor.digest, descriptor.media_type, self._data)
        return PushedManifest(ref=f"{target.name}@{descriptor.digest}", digest=digest)


def _list(named: Reference, given: ManifestListPush) -> bytes:
    if given.media_type not in documents.INDEXES:
        raise InvalidParameter(f"manifest list {named}: {given.media_type or 'nothing'} is no type of a list")
    data = _decoded(given.raw, f"manifest list {named}")
    documents.decode(documents.Index, data, f"manifest list {named}")
    return data


def _member(named: Reference, given: RegistryManifest) -> _Member:
    at = references.parse(given.ref)
    if at.domain != named.domain:
        raise InvalidParameter(
            "cannot use source images from a different registry than the target image: "
            f"{at.domain} != {named.domain}"
        )
    data = _decoded(given.raw, f"manifest {given.ref}")
    digest, media_type = given.descriptor.digest, given.descriptor.media_type
    if digests.of(data) != digest:
        raise InvalidParameter(
            f"internal digest mismatch for {given.ref}: expected {digest}, got {digests.of(data)}"
        )
    if media_type not in documents.MANIFESTS:
        raise InvalidParameter(f"manifest {given.ref}: {media_type or 'nothing'} is no type of a manifest")
    platform = given.descriptor.platform
    return _Member(at, given, data, platform is not None and platform.os == "windows")


def _decoded(text: str, shown: str) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidParameter(f"{shown}: Raw is not base64") from None
    if not data or len(data) > documents.DOCUMENT_MAX_BYTES:
        raise InvalidParameter(f"{shown}: {len(data)} bytes are no manifest")
    return data
