"""Sources: images that are here, the client's directories; git and http in modules of their own."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

from onggi.builder.cache.cache import LOCAL
from onggi.builder.executors.made import Made
from onggi.builder.graph import GitSource, HttpSource, ImageSource, LocalSource, OciLayoutSource, Vertex
from onggi.builder.solver.results import Folder, Stack
from onggi.errors import NoSuchImage, NotImplemented_
from onggi.images.resolve import resolve

if TYPE_CHECKING:
    from onggi.builder.solver.job import Job


async def fetch(job: Job, vertex: Vertex) -> Made:
    """The tree of a source. Raises NotFound, Unavailable, InvalidParameter."""
    match vertex.op:
        case ImageSource():
            return await job.builder.work(_image, job, vertex.op)
        case LocalSource():
            return await _local(job, vertex.op)
        case HttpSource():
            from onggi.builder.executors import http  # urllib3 is wanted by few builds

            return await http.fetch(job, vertex, vertex.op)
        case GitSource():
            raise NotImplemented_(f"{vertex.op.remote}: this engine clones no repositories yet")
        case OciLayoutSource():
            raise NotImplemented_(f"oci-layout://{vertex.op.reference}: this engine reads no layouts yet")
    raise NotImplemented_(f"{type(vertex.op).__name__} is no source")


def _image(job: Job, op: ImageSource) -> Made:
    """An image that is here: whoever resolved its reference has brought it."""
    images = job.engine.images
    with images.lock:
        image = job.bases.get(op.reference)
        found = images.get(image) if image else resolve(images, op.reference)
        if found is None:
            raise NoSuchImage(op.reference)
        count = len(found.layers) if op.layer_limit is None else op.layer_limit
        stack = Stack(tuple(found.layers[:count]))
        job.hold(stack)
    return Made(outputs={0: stack}, cached=True)


async def _local(job: Job, op: LocalSource) -> Made:
    """A directory of the client's, as it is now."""
    here = job.folders.get(op.name)
    if here is not None:
        return Made(outputs={0: here})
    tree = await job.builder.work(_kept_tree, job, op)
    os.makedirs(f"{tree}/fs", exist_ok=True)
    await job.client.directory(op, f"{tree}/fs")
    return Made(outputs={0: Folder(f"{tree}/fs")})


def _kept_tree(job: Job, op: LocalSource) -> str:
    """A directory for a transfer: the one that an earlier transfer of the same kind left, unless a build is
    at it now. Blocking.
    """
    name = hashlib.sha256(f"{op.shared_key}\0{op.name}\0{op.follow}\0{op.excludes}".encode()).hexdigest()[:32]
    tree = job.builder.cache.own_tree(LOCAL, f"context-{name}")
    job.owns(tree.record_id)
    return tree.path
