"""The document of an exported build cache, in BuildKit's format (cache/remotecache/v1/spec.go).

    index or manifest --> layers' blobs, and one application/vnd.buildkit.cacheconfig.v0:

    {"layers":  [{"blob": "sha256:...", "parent": -1}, {"blob": ..., "parent": 0}],  no parent: 0
     "records": [{"digest": KEY, "layers": [{"layer": 1, "createdAt": ...}]},        a layer with all below it
                 {"digest": KEY, "chains": [{"layers": [4, 7]}]}],                   these and no others
     "mounts":  [{"id": "apt", "layer": 2}]}                                         Onggi's own: cache mounts

A record's digest is the key under which the result was found; decision 0013 says what that means for other
builders. The document is hostile: sizes, indexes and depths are checked before they are used.
"""

from __future__ import annotations

import base64
import binascii
import hashlib

import msgspec
from msgspec import field

from onggi.errors import InvalidParameter
from onggi.spec import digest as digests
from onggi.spec.image import Descriptor

MEDIA_TYPE = "application/vnd.buildkit.cacheconfig.v0"
DIFF_ID = "containerd.io/uncompressed"  # annotation of a layer's descriptor
DOCUMENT_MAX_BYTES = 16 << 20
ENTRIES_MAX = 100_000
DEPTH_MAX = 127  # layers of one result, as of an image


class Layer(msgspec.Struct, frozen=True, omit_defaults=True):
    """`parent` is an index, -1 for none; Go leaves a 0 out."""

    blob: str
    parent: int = 0


class Result(msgspec.Struct, frozen=True, rename="camel"):
    """`layer` is an index; None of them stands for an empty tree."""

    layer: int
    created_at: str = ""


class Chain(msgspec.Struct, frozen=True, rename="camel"):
    layers: list[int]
    created_at: str = ""


class Record(msgspec.Struct, frozen=True, omit_defaults=True):
    """What other builders link by `inputs`; ours need none, for their keys hold all of it."""

    digest: str = ""
    layers: list[Result] = []
    chains: list[Chain] = []
    inputs: list[list[dict[str, object]]] = []


class Mount(msgspec.Struct, frozen=True):
    id: str
    layer: int


class Config(msgspec.Struct, frozen=True, omit_defaults=True):
    layers: list[Layer] = []
    records: list[Record] = []
    mounts: list[Mount] = []


class Blob(msgspec.Struct, frozen=True):
    """A layer as it lies elsewhere. `diff_id` is what it has to be when it is unpacked."""

    digest: str
    size: int
    diff_id: str


class Known(msgspec.Struct, frozen=True):
    """A result that can be had: layers bottom first, none for the empty tree."""

    layers: tuple[Blob, ...]
    created_at: str = ""


def record_digest(key: str, output: int) -> str:
    """The name of one output of a result, as BuildKit makes it (solver/cachekey.go, outputKey)."""
    return "sha256:" + hashlib.sha256(f"{key}@{output}".encode()).hexdigest()


def decode(data: bytes) -> Config:
    """Raises InvalidParameter."""
    try:
        found = msgspec.json.decode(data, type=Config)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidParameter(f"invalid cache configuration: {error}") from None
    if max(len(found.layers), len(found.records), len(found.mounts)) > ENTRIES_MAX:
        raise InvalidParameter(f"invalid cache configuration: more than {ENTRIES_MAX} entries")
    return found


def inline(text: str) -> list[Record]:
    """`moby.buildkit.cache.v0` of an image's configuration. Raises InvalidParameter."""
    try:
        data = base64.b64decode(text, validate=True)
        return msgspec.json.decode(data, type=list[Record])
    except (binascii.Error, ValueError, msgspec.DecodeError, RecursionError) as error:
        raise InvalidParameter(f"invalid inline cache: {error}") from None


class Results:
    """Of one cache: by record digest, and its cache mounts by id."""

    def __init__(self, config: Config, descriptors: dict[str, Descriptor]) -> None:
        self._config = config
        self._blobs = [_blob(layer, descriptors) for layer in config.layers]
        self._records = {record.digest: record for record in config.records}
        self.mounts = {
            mount.id: self._blobs[mount.layer] for mount in config.mounts if self._has(mount.layer)
        }

    def _has(self, index: int) -> bool:
        return 0 <= index < len(self._blobs)

    def get(self, key: str, output: int) -> Known | None:
        """A result all of whose layers are described."""
        record = self._records.get(record_digest(key, output))
        if record is None:
            return None
        for chain in record.chains:
            if len(chain.layers) <= DEPTH_MAX and all(map(self._has, chain.layers)):
                return _known([self._blobs[index] for index in chain.layers], chain.created_at)
        for result in record.layers:
            found = self._stack(result.layer)
            if found is not None:
                return _known(found, result.created_at)
        return None

    def _stack(self, index: int) -> list[Blob | None] | None:
        """A layer and those below it, bottom first; None for a circle, or an index that leads nowhere."""
        found: list[Blob | None] = []
        while index != -1:
            if not self._has(index) or len(found) == DEPTH_MAX:
                return None
            found.append(self._blobs[index])
            index = self._config.layers[index].parent
        return found[::-1]


def _known(layers: list[Blob | None], created_at: str) -> Known | None:
    whole = tuple(one for one in layers if one is not None)
    return Known(whole, created_at) if len(whole) == len(layers) else None


def _blob(layer: Layer, descriptors: dict[str, Descriptor]) -> Blob | None:
    """None for one whose descriptor is missing, or does not say what it is unpacked."""
    found = descriptors.get(layer.blob)
    diff_id = (found.annotations or {}).get(DIFF_ID, "") if found is not None else ""
    if found is None or not digests.is_digest(layer.blob) or not digests.is_digest(diff_id) or found.size < 0:
        return None
    return Blob(layer.blob, found.size, diff_id)


class RootFS(msgspec.Struct, frozen=True):
    diff_ids: list[str] = []


class InlineImage(msgspec.Struct, frozen=True):
    """What is read of an image's configuration."""

    rootfs: RootFS
    cache: str = field(name="moby.buildkit.cache.v0", default="")
