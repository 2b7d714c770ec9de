"""`cachefrom` of a request, and `cacheto`, which is Onggi's own: where results are taken from and go to.

    cachefrom=["app:1"]                     an image that is here: by the cache in it, and by its history
    cachefrom=["type=registry,ref=..."]     a cache in a registry (`onggi build`: also a plain name)
    cachefrom=["type=local,src=NAME,digest=..."]    a directory of `onggi build`'s: directories.py
    cacheto=["type=inline", "type=registry,ref=...,mode=max", "type=local,dest=NAME"]

As dockerd has it, an image that cannot be found makes a build slower, not wrong.
"""

from __future__ import annotations

import csv
import logging
from typing import TYPE_CHECKING

import msgspec

from onggi.builder.classic import directories
from onggi.builder.remote import exporting, history, importing
from onggi.builder.remote.importing import Imported
from onggi.builder.remote.places import Directory, ToDirectory
from onggi.builder.remote.registry import FromRegistry, ToRegistry
from onggi.errors import InvalidParameter, NoSuchImage, OnggiError
from onggi.images.images import Image
from onggi.images.resolve import resolve
from onggi.spec import digest as digests
from onggi.spec import image as documents
from onggi.spec import reference as references

if TYPE_CHECKING:
    import contextlib

    from onggi.builder.graph import Plan
    from onggi.builder.solver.job import Job
    from onggi.builder.solver.results import Stack

log = logging.getLogger(__name__)


class Place(msgspec.Struct, frozen=True):
    """One of either; an `image` by its plain name has no type."""

    type: str
    attrs: dict[str, str]


def places(texts: list[str] | None, *, export: bool) -> tuple[Place, ...]:
    """Raises InvalidParameter."""
    return tuple(_place(text, export=export) for text in texts or () if text)


def _place(text: str, *, export: bool) -> Place:
    if "=" not in text:
        references.parse(text)
        return Place("registry" if export else "", {"ref": text})
    attrs = {}
    for field in next(csv.reader([text])):
        name, equals, value = field.partition("=")
        if not equals:
            raise InvalidParameter(f"invalid cache option {field!r}: not NAME=VALUE")
        attrs[name.strip().lower()] = value
    kind = attrs.pop("type", "")
    known = ("inline", "registry", "local") if export else ("registry", "local")
    if kind not in known:
        raise InvalidParameter(f"cache type {kind!r} is not known here: {', '.join(known)}")
    if kind == "registry":
        references.parse(attrs.get("ref", ""))
    if export:
        exporting.options(attrs, place=("ref", "dest"))
    need = "dest" if export else "src"
    if kind == "local" and not attrs.get(need):
        raise InvalidParameter(f"local cache {'exporter' if export else 'importer'} requires {need}")
    return Place(kind, attrs)


async def begin(job: Job, wanted: tuple[Place, ...], held: contextlib.ExitStack, *, anywhere: bool) -> None:
    """Look at what is asked for. `anywhere`: an image that is not here is looked for in its registry."""
    for place in wanted:
        reference = place.attrs.get("ref") or place.attrs.get("src", "")
        try:
            if place.type == "local":
                job.imported.append(await _directory(job, place, held))
                continue
            image = None if place.type else await job.builder.work(_image, job, reference)
            if image is not None:
                job.cache_images.append(image)
                found = await job.builder.work(_inline, job, image)
                if found is not None:
                    job.imported.append(found)
            elif place.type or anywhere:
                credentials = await job.client.credentials(references.parse(reference).domain)
                source = FromRegistry(job, reference, credentials)
                held.callback(source.close)
                job.imported.append(await importing.read(source))
        except OnggiError as error:
            log.warning("could not look up %s for cache resolution, skipping: %s", reference, error)


async def _directory(job: Job, place: Place, held: contextlib.ExitStack) -> Imported:
    where = directories.key(job.build_id, "src", place.attrs["src"])
    kept = directories.take(job.builder, where)
    held.callback(directories.forget, job.builder, kept)
    source = Directory(kept.path, job.builder.work, top=digests.check(place.attrs.get("digest", "")))
    return await importing.read(source)


def _image(job: Job, reference: str) -> Image | None:
    images = job.engine.images
    with images.lock:
        try:
            found = resolve(images, reference)
        except NoSuchImage:
            return None
        for layer in found.layers:
            job.pin(layer.chain_id)
            if layer.blob:
                job.pin(layer.blob)
        return found


def _inline(job: Job, image: Image) -> Imported | None:
    images = job.engine.images
    layers = images.manifest(image).layers
    results = importing.of_image(images.blobs.read(image.id, documents.CONFIG_MAX_BYTES), layers)
    if results is None:
        return None
    return Imported(Directory(images.blobs.oci_dir, job.builder.work), (results,))


def planned(job: Job, plan: Plan) -> None:
    """What the steps are called in histories."""
    if job.cache_images:
        job.history = history.lines(plan)


async def inlined(
    job: Job, image: documents.Image, stack: Stack, exports: tuple[Place, ...]
) -> documents.Image:
    """The image, with the cache in it where that is asked for."""
    if not any(place.type == "inline" for place in exports):
        return image
    kept = await job.builder.work(exporting.chosen, job, [stack], "min")
    return msgspec.structs.replace(image, cache=exporting.inline(stack, kept))


async def exported(job: Job, stack: Stack, exports: tuple[Place, ...]) -> None:
    """Raises what the registry raises, unless `ignore-error` says otherwise."""
    for place in exports:
        if place.type == "inline":
            continue
        options = exporting.options(place.attrs, place=("ref", "dest"))
        kept = await job.builder.work(exporting.chosen, job, [stack], options.mode)
        try:
            if place.type == "local":
                await _to_directory(job, place, kept, options)
                continue
            reference = place.attrs["ref"]
            credentials = await job.client.credentials(references.parse(reference).domain)
            target = ToRegistry(job, reference, credentials)
            try:
                await exporting.export(job, target, kept, options)
            finally:
                target.close()
        except OnggiError:
            if not options.ignore_error:
                raise


async def _to_directory(
    job: Job, place: Place, kept: list[exporting.Kept], options: exporting.Options
) -> None:
    """A layout that the client fetches after the build."""
    where = directories.key(job.build_id, "dest", place.attrs["dest"])
    made = await job.builder.work(directories.make, job.builder)
    try:
        await exporting.export(job, ToDirectory(made.path, job.builder.work), kept, options)
    except BaseException:
        directories.forget(job.builder, made)
        raise
    directories.keep(job.builder, where, made)
