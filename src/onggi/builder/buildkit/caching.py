"""`--cache-from` and `--cache-to` of a BuildKit client: its entries as places, told as BuildKit tells it.

A cache that cannot be imported makes a build slower, not wrong: it is said, and the build goes on. One that
cannot be exported fails the build, unless `ignore-error=true`.
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any

import msgspec

from onggi.builder.buildkit.content import ToStore
from onggi.builder.remote import exporting, importing
from onggi.builder.remote.importing import Imported
from onggi.builder.remote.registry import FromRegistry, ToRegistry
from onggi.builder.solver.results import Stack
from onggi.errors import InvalidParameter, NotImplemented_, OnggiError
from onggi.spec import reference as references
from onggi.spec.image import Descriptor

if TYPE_CHECKING:
    from onggi.builder.buildkit.exporters import Part
    from onggi.builder.buildkit.sessions import Session
    from onggi.builder.buildkit.status import Teller
    from onggi.builder.solver.job import Job

KINDS = ("inline", "registry", "local")
PLACES = {"inline": (), "registry": ("ref",), "local": ("dest", "tag")}


class Entry(msgspec.Struct, frozen=True, rename="pascal"):
    """One `--cache-from` or `--cache-to`."""

    type: str = ""
    attrs: dict[str, str] = {}


def entries(sent: Any) -> list[Entry]:
    """Of CacheOptionsEntries."""
    return [Entry(one.Type, dict(one.Attrs)) for one in sent]


def check(imports: list[Entry], exports: list[Entry]) -> None:
    """Before the build begins. Raises NotImplemented_, InvalidParameter."""
    for one in imports:
        if one.type not in ("registry", "local"):
            raise NotImplemented_(f"cache import {one.type!r}: this engine imports registry and local ones")
        need = "ref" if one.type == "registry" else "src"
        if not one.attrs.get(need):
            raise InvalidParameter(f"{one.type} cache importer requires {need}")
    for one in exports:
        if one.type not in KINDS:
            raise NotImplemented_(f"cache export {one.type!r}: this engine exports {', '.join(KINDS)} ones")
        exporting.options(one.attrs, place=PLACES[one.type])
        need = {"registry": "ref", "local": "dest"}.get(one.type, "")
        if need and not one.attrs.get(need):
            raise InvalidParameter(f"{one.type} cache exporter requires {need}")


def of_attributes(attributes: dict[str, str]) -> list[Entry]:
    """`cache-imports` (JSON) and `cache-from` (references) of a front end. Raises InvalidParameter."""
    found = [Entry("registry", {"ref": one}) for one in attributes.get("cache-from", "").split(",") if one]
    if attributes.get("cache-imports"):
        try:
            found += msgspec.json.decode(attributes["cache-imports"], type=list[Entry])
        except msgspec.DecodeError as error:
            raise InvalidParameter(f"failed to unmarshal cache-imports: {error}") from None
    return found


async def imported(
    job: Job, session: Session, teller: Teller, wanted: list[Entry], held: contextlib.ExitStack
) -> list[Imported]:
    """Those that are there. `held` is closed when the build ends."""
    found = []
    for one in wanted:
        place = one.attrs.get("ref") or one.attrs.get("src", "")
        with contextlib.suppress(OnggiError), teller.work(f"importing cache manifest from {place}"):
            if one.type == "registry":
                domain = references.parse(place).domain
                source: Any = FromRegistry(job, place, await session.credentials(domain))
            else:
                top = one.attrs.get("digest", "")
                source = session.content(f"local:{place}", top=top)
            held.callback(source.close)
            found.append(await importing.read(source))
    return found


async def inlined(job: Job, part: Part) -> Part:
    """The image with the cache in it."""
    kept = await job.builder.work(exporting.chosen, job, [part.stack], "min")
    image = msgspec.structs.replace(part.image, cache=exporting.inline(part.stack, kept))
    return msgspec.structs.replace(part, image=image)


async def exported(
    job: Job, session: Session, teller: Teller, entry: Entry, stacks: list[Stack]
) -> dict[str, str]:
    """Bring the cache there; what the client is answered. Raises what the place raises."""
    options = exporting.options(entry.attrs, place=PLACES[entry.type])
    name = "registry" if entry.type == "registry" else "client directory"
    try:
        with teller.work(f"exporting cache to {name}") as work:
            at = time.time_ns()
            kept = await job.builder.work(exporting.chosen, job, stacks, options.mode)
            work.step("preparing build cache for export", at)
            target = await _target(job, session, entry)
            try:
                found = await exporting.export(job, target, kept, options)
            finally:
                target.close()
            if found is None:
                work.step("skipping cache export for empty result", at)
                return {}
            work.step(f"writing cache manifest {found.digest}", at)
    except (OnggiError, OSError):
        if not options.ignore_error:
            raise
        return {}
    return {"cache.manifest": _text(found)} if entry.type == "local" else {}


def _text(found: Descriptor) -> str:
    return msgspec.json.encode(found).decode()


async def _target(job: Job, session: Session, entry: Entry) -> ToRegistry | ToStore:
    if entry.type == "local":
        return ToStore(session.content(f"local:{entry.attrs['dest']}"))
    reference = entry.attrs["ref"]
    return ToRegistry(job, reference, await session.credentials(references.parse(reference).domain))
