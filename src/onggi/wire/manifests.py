"""Manifests of registries in Onggi's own operations, as JSON. Names are those of Docker's client's files."""

from __future__ import annotations

from msgspec import field

from onggi.wire.base import Wire
from onggi.wire.images import OCIDescriptor


class RegistryManifest(Wire, frozen=True, kw_only=True):
    """One image's manifest: where it was found, what it is, its bytes (base64)."""

    ref: str = field(name="Ref", default="")
    descriptor: OCIDescriptor = field(name="Descriptor", default_factory=OCIDescriptor)
    raw: str = field(name="Raw", default="")


class RegistryManifests(Wire, frozen=True, kw_only=True):
    """What a name stands for: one manifest, or those of a list."""

    list_: bool = field(name="List", default=False)
    manifests: list[RegistryManifest] = field(name="Manifests", default_factory=list)


class ManifestListPush(Wire, frozen=True, kw_only=True):
    """A list to push, its bytes (base64), and the manifests that it needs from other repositories."""

    media_type: str = field(name="MediaType", default="")
    raw: str = field(name="Raw", default="")
    manifests: list[RegistryManifest] = field(name="Manifests", default_factory=list)


class PushedManifest(Wire, frozen=True, kw_only=True):
    ref: str = field(name="Ref", default="")
    digest: str = field(name="Digest", default="")


class ManifestListPushed(Wire, frozen=True, kw_only=True):
    digest: str = field(name="Digest", default="")
    pushed: list[PushedManifest] = field(name="Pushed", default_factory=list)
