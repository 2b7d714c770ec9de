"""Which manifest of an index serves a platform, and whether a manifest can be an image of ours."""

from __future__ import annotations

from onggi.errors import InvalidParameter, NotFound
from onggi.images import media_types
from onggi.images.staging import LAYERS_MAX
from onggi.spec import digest as digests
from onggi.spec import image as documents
from onggi.spec import platform as platforms
from onggi.spec.reference import Reference


def check(manifest: documents.Manifest, digest: str) -> None:
    """What can be said of a manifest before a byte of its blobs is asked for. Raises InvalidParameter."""
    if len(manifest.layers) > LAYERS_MAX:
        raise InvalidParameter(f"max depth exceeded: {len(manifest.layers)} layers, {LAYERS_MAX} at most")
    for layer in manifest.layers:
        digests.check(layer.digest)
        if layer.size < 0:
            raise InvalidParameter(f"layer {layer.digest} has the size {layer.size}")
    digests.check(manifest.config.digest)
    media_types.check(manifest, digest)


def choose(index: documents.Index, wanted: platforms.Platform, named: Reference) -> documents.Descriptor:
    """The entry that serves a platform: exactly, else the usual variant, else one that names no platform.

    Raises NotFound in dockerd's words.
    """
    known = documents.INDEXES | documents.MANIFESTS | {""}
    fitting = [
        entry
        for entry in index.manifests
        if entry.media_type in known
        and (entry.platform is None or platforms.matches(entry.platform.normal(), wanted))
    ]
    fitting.sort(key=lambda entry: _rank(entry, wanted))
    if not fitting:
        raise NotFound(f"no matching manifest for {wanted} in the manifest list entries of {named.familiar}")
    return fitting[0]


def _rank(entry: documents.Descriptor, wanted: platforms.Platform) -> int:
    if entry.platform is None:
        return 2
    return 0 if entry.platform.normal() == wanted else 1
