"""The image that the engine carries with it, put into the store like any other; no network is asked.

It is `onggi/hello`, and `hello` for short. Not here: its bytes (hello.py).
"""

from __future__ import annotations

from onggi.errors import NotFound
from onggi.images import hello
from onggi.images.images import Images
from onggi.images.staging import NewImage, NewIndex, Staging
from onggi.spec import image as documents
from onggi.spec import platform as platforms
from onggi.spec import reference

NAMES = frozenset(str(reference.parse(text)) for text in (hello.REFERENCE, "hello:latest"))


def is_embedded(named: reference.Reference) -> bool:
    """Whether this name (with its tag) is one of the embedded image."""
    return str(named.tagged()) in NAMES


def install(images: Images, named: reference.Reference, platform: platforms.Platform | None = None) -> str:
    """Store the image for a platform, this machine's by default, under that name; returns its id.

    Raises NotFound for a platform that it is not made for, NoSpace.
    """
    wanted = platform or platforms.host()
    embedded = hello.build()
    index = documents.decode(documents.Index, embedded.blobs[embedded.index], "embedded index")
    for descriptor in index.manifests:
        if descriptor.platform is None or not platforms.matches(descriptor.platform.normal(), wanted):
            continue
        manifest = documents.decode(
            documents.Manifest, embedded.blobs[descriptor.digest], "embedded manifest"
        )
        with Staging(images) as staging:
            needed = [descriptor.digest, manifest.config.digest, *(layer.digest for layer in manifest.layers)]
            for digest in needed:
                if not staging.known(digest):
                    staging.blob([embedded.blobs[digest]], digest)
            if not staging.known(embedded.index):
                staging.document(embedded.blobs[embedded.index])
            blobs = [layer.digest for layer in manifest.layers]
            new = NewImage(manifest.config.digest, blobs, [], descriptor.digest)
            entries = [one.digest for one in index.manifests]
            whole = NewIndex(embedded.index, entries, [embedded.index], [str(named.tagged())])
            return staging.publish([new], [whole])[0].id
    raise NotFound(f"no matching manifest for {wanted} in the manifest list entries of {named.familiar}")
