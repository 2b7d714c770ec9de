"""Images: OCI image-spec 1.1 and Docker's image manifest v2, schema 2, as frozen values.

    Index ----> Manifest ----> Config (its digest is the image's id) + layers
    (one of many platforms)       blobs named by Descriptor

Both formats share their shapes; only media types differ. What was signed or hashed is kept byte for byte in
the blob store: these values are read from it, and a new document is written once, by `encode`.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec
from msgspec import field

from onggi.errors import Corrupt
from onggi.spec.platform import Platform, normal

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
OCI_LAYER_GZIP = OCI_LAYER + "+gzip"
OCI_LAYER_ZSTD = OCI_LAYER + "+zstd"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar"
DOCKER_LAYER_GZIP = DOCKER_LAYER + ".gzip"
INDEXES = frozenset((OCI_INDEX, DOCKER_INDEX))
MANIFESTS = frozenset((OCI_MANIFEST, DOCKER_MANIFEST))

# compression -> media type of a layer; "xz" has none in either specification and is stored unpacked
LAYER_TYPES = {"none": OCI_LAYER, "gzip": OCI_LAYER_GZIP, "zstd": OCI_LAYER_ZSTD}

DOCUMENT_MAX_BYTES = 4 << 20  # of a manifest or an index (distribution-spec, "Pushing Manifests")
CONFIG_MAX_BYTES = 4 << 20  # of a configuration: a thousand times what a large one takes


class PlatformField(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`platform` of a descriptor in an index."""

    architecture: str = ""
    os: str = ""
    os_version: str = field(name="os.version", default="")
    os_features: list[str] | None = field(name="os.features", default=None)
    variant: str = ""

    def normal(self) -> Platform:
        return normal(self.os, self.architecture, self.variant)


class Descriptor(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """A blob by digest, size and media type."""

    media_type: str = ""
    digest: str
    size: int
    urls: list[str] | None = None
    annotations: dict[str, str] | None = None
    platform: PlatformField | None = None
    artifact_type: str | None = None


class Manifest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """One image for one platform; layers bottom first."""

    schema_version: int
    media_type: str = ""
    artifact_type: str | None = None
    config: Descriptor
    layers: list[Descriptor]
    subject: Descriptor | None = None
    annotations: dict[str, str] | None = None


class Index(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """Several manifests; also index.json of a layout."""

    schema_version: int
    media_type: str = ""
    artifact_type: str | None = None
    manifests: list[Descriptor]
    subject: Descriptor | None = None
    annotations: dict[str, str] | None = None


class Kind(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What a manifest or an index says that it is; those of before OCI 1.1 may not say."""

    schema_version: int
    media_type: str = ""
    artifact_type: str | None = None
    manifests: list[msgspec.Raw] | None = None

    @property
    def kind(self) -> str:
        return self.media_type or (OCI_MANIFEST if self.manifests is None else OCI_INDEX)


class Healthcheck(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="pascal"):
    """Docker's extension of the configuration; durations in nanoseconds."""

    test: list[str] | None = None
    interval: int = 0
    timeout: int = 0
    start_period: int = 0
    start_interval: int = 0
    retries: int = 0


class Config(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="pascal"):
    """`config` of an image: what a container of it starts with. Docker's extensions included."""

    user: str = ""
    exposed_ports: dict[str, dict[str, object]] | None = None
    env: list[str] | None = None
    entrypoint: list[str] | None = None
    cmd: list[str] | None = None
    healthcheck: Healthcheck | None = None
    args_escaped: bool | None = None
    volumes: dict[str, dict[str, object] | None] | None = None
    working_dir: str = ""
    on_build: list[str] | None = None
    labels: dict[str, str] | None = None
    stop_signal: str = ""
    stop_timeout: int | None = None
    shell: list[str] | None = None


class RootFS(msgspec.Struct, frozen=True, kw_only=True):
    """Digests of the unpacked layers, bottom first."""

    type: str = "layers"
    diff_ids: list[str] = []


class History(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a layer came to be; `empty_layer` for a step that changed only the configuration."""

    created: str | None = None
    author: str | None = None
    created_by: str | None = None
    comment: str | None = None
    empty_layer: bool = False


class Image(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The configuration document; the digest of its bytes is the image's id."""

    created: str | None = None
    author: str | None = None
    architecture: str = ""
    os: str = ""
    os_version: str | None = field(name="os.version", default=None)
    os_features: list[str] | None = field(name="os.features", default=None)
    variant: str | None = None
    comment: str | None = None
    container: str | None = None
    docker_version: str | None = None
    config: Config | None = None
    rootfs: RootFS = RootFS()
    history: list[History] | None = None
    cache: str | None = field(name="moby.buildkit.cache.v0", default=None)  # BuildKit's inline cache

    def platform(self) -> Platform:
        return normal(self.os, self.architecture, self.variant or "")


Document = TypeVar("Document", Index, Manifest, Image, Kind)


def decode(kind: type[Document], document: bytes, name: str) -> Document:
    """Read a document; `name` is said when it is not one. Raises Corrupt."""
    try:
        return msgspec.json.decode(document, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        first = error
    try:  # as Go reads it: null is an absent value, whatever the type
        return msgspec.convert(_without_nulls(msgspec.json.decode(document)), kind)
    except (msgspec.ValidationError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Corrupt(f"{name} is not a valid {kind.__name__.lower()}: {first}") from None


def _without_nulls(value: object) -> object:
    """Members of objects that are null are left out; keys that say something by being there (a port, a
    volume) have an empty object then, and stay.
    """
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    if not isinstance(value, dict):
        return value
    kept = {key: _without_nulls(item) for key, item in value.items() if item is not None}
    for key in ("ExposedPorts", "Volumes"):
        if isinstance(value.get(key), dict):
            kept[key] = {name: {} for name in value[key]}
    return kept


def encode(document: Index | Manifest | Image) -> bytes:
    """The bytes of a new document; they are its identity from now on."""
    return msgspec.json.encode(document)
