"""What a BuildKit client wants done with a result: `--output`, `--push`, `--load`.

    moby, image    into the store, under names; with push=true from there to the registry
    oci, docker    an archive to the client; tar=false: the blobs into a directory of the client's
    local, tar     the files alone

Attributes are checked before the build begins: one that is not known here is refused by name.
"""

from __future__ import annotations

import base64
import logging
import time
from typing import TYPE_CHECKING, Any

import msgspec
from grpclib.exceptions import GRPCError, StreamTerminatedError

from onggi.builder import epoch
from onggi.builder.buildkit import sending
from onggi.builder.graph import Plan
from onggi.builder.outputs import archive, attestations, plain, provenance, sbom
from onggi.builder.outputs import image as store
from onggi.builder.outputs.attestations import Wanted
from onggi.builder.outputs.bundle import COMPRESSIONS, Annotation, Bundle, Settings, annotation
from onggi.builder.remote.exporting import truth
from onggi.builder.remote.registry import ToRegistry
from onggi.builder.solver.results import Stack
from onggi.errors import InvalidParameter, NotImplemented_, Unavailable
from onggi.images.commit import packed
from onggi.images.tag import target
from onggi.spec import reference as references
from onggi.spec.image import Descriptor, Image

if TYPE_CHECKING:
    from onggi.builder.buildkit.sessions import Session
    from onggi.builder.buildkit.status import Teller
    from onggi.builder.solver.job import Job

EPOCH, REWRITE = "source-date-epoch", "rewrite-timestamp"
STORES = ("moby", "image")
ARCHIVES = ("oci", "docker")
FILES = ("local", "tar")
# Names that say nothing more about a result that is kept here: it is always unpacked and always stored.
SILENT = (
    "load",
    "unpack",
    "store",
    "prefer-image-digest",
    "dangling-name-prefix",
    "name-canonical",
    "context",
)
OFF = (
    "push-by-digest", "registry.insecure", "prefer-nondist-layers", "oci-artifact",
    "attestation-inline", "buildinfo", "danging-name-empty-only",
)  # fmt: skip

log = logging.getLogger(__name__)


class Part(msgspec.Struct, frozen=True):
    """One platform's result."""

    image: Image
    stack: Stack
    plan: Plan


class Attested(msgspec.Struct, frozen=True):
    """What is to be stated about a result, and the front end's attributes that it was made with."""

    wanted: Wanted = Wanted()
    attributes: dict[str, str] = {}


class Export(msgspec.Struct, frozen=True, kw_only=True):
    """One exporter, checked. `number` is the client's name for it; `names` are canonical. `epoch`: its own
    SOURCE_DATE_EPOCH in seconds, before the build's; `rewrite`: also of the files in layers.
    """

    number: int
    kind: str
    names: tuple[str, ...] = ()
    push: bool = False
    tar: bool = True
    split: bool = True
    attestation_prefix: str = ""
    settings: Settings = Settings()
    epoch: int | None = None
    rewrite: bool = False

    def epoch_of(self, part: Part) -> int | None:
        return part.plan.epoch if self.epoch is None else self.epoch

    def dated(self, part: Part) -> Part:
        """The image with no time of the build's after the epoch."""
        at = self.epoch_of(part)
        if at is None:
            return part
        image = epoch.dated(part.image, part.plan.base, at * epoch.NANO)
        return msgspec.structs.replace(part, image=image, plan=msgspec.structs.replace(part.plan, epoch=at))


def exports(sent: Any) -> list[Export]:
    """Raises NotImplemented_, InvalidParameter."""
    return [_export(number, one.Type, dict(one.Attrs)) for number, one in enumerate(sent)]


def _export(number: int, kind: str, attrs: dict[str, str]) -> Export:
    at = epoch.seconds(EPOCH, attrs.pop(EPOCH, ""))
    if kind in FILES:
        split = truth("platform-split", attrs.pop("platform-split", "true"))
        prefix = attrs.pop("attestation-prefix", "")
        if "/" in prefix or "\0" in prefix:
            raise InvalidParameter(f"exporter {kind}: attestation-prefix={prefix} is no beginning of a name")
        _refuse(kind, attrs)
        return Export(number=number, kind=kind, split=split, attestation_prefix=prefix, epoch=at)
    if kind not in STORES + ARCHIVES:
        raise NotImplemented_(f"exporter {kind!r}: this engine has {', '.join(STORES + ARCHIVES + FILES)}")
    notes: list[Annotation] = []
    for name in sorted(attrs):
        note = annotation(name, attrs[name])
        if note is not None:
            notes.append(note)
            del attrs[name]
    names = tuple(str(target(name)) for name in attrs.pop("name", "").split(",") if name and name != "*")
    compression = attrs.pop("compression", "uncompressed")
    if compression not in COMPRESSIONS:
        raise InvalidParameter(f"unsupported compression {compression!r}: {', '.join(COMPRESSIONS)}")
    found = Export(
        number=number, kind=kind, names=names,
        push=truth("push", attrs.pop("push", "")),
        tar=truth("tar", attrs.pop("tar", "true")),
        epoch=at,
        rewrite=truth(REWRITE, attrs.pop(REWRITE, "")),
        settings=Settings(
            oci=truth("oci-mediatypes", attrs.pop("oci-mediatypes", "true")),
            compression=COMPRESSIONS[compression],
            force=truth("force-compression", attrs.pop("force-compression", "")),
            annotations=tuple(notes),
        ),
    )  # fmt: skip
    if found.push and not names:
        raise InvalidParameter("tag is needed when pushing to registry")
    if notes and not found.settings.oci:
        raise InvalidParameter("annotations need oci-mediatypes=true")
    _refuse(kind, {name: value for name, value in attrs.items() if name not in SILENT})
    return found


def _refuse(kind: str, left: dict[str, str]) -> None:
    for name, value in left.items():
        if name in OFF and value.lower() in ("", "false", "0"):
            continue
        raise NotImplemented_(f"exporter {kind}: attribute {name}={value} is not known here")


class Exported(msgspec.Struct, frozen=True):
    """What one exporter has put out: the descriptor that leads, and documents by digest."""

    number: int
    top: Descriptor
    documents: dict[str, bytes]


class Exporter:
    """Of one build. Its methods raise what went wrong, naming it."""

    def __init__(
        self, job: Job, session: Session, teller: Teller, attested: Attested, exported: list[Exported]
    ) -> None:
        self._attested = attested
        self._exported = exported
        self.said: dict[str, list[tuple[str, Any]]] = {}  # by platform: predicates, with their kinds
        self._job = job
        self._session = session
        self._teller = teller
        self._work = job.builder.work

    async def run(self, export: Export, parts: list[Part], *, index: bool) -> dict[str, str]:
        """The answer's map."""
        if export.kind in STORES:
            return await self._store(export, parts, index=index)
        if export.kind in ARCHIVES:
            return await self._archive(export, parts, index=index)
        await self._files(export, parts, index=index)
        return {}

    async def _bundled(self, bundle: Bundle, parts: list[Part], export: Export, *, index: bool) -> Descriptor:
        """All images, and behind them the statements about them."""
        wanted, names = self._attested.wanted, list(export.names)
        parts = [export.dated(part) for part in parts]
        described = [await self._work(self._added, bundle, part, export) for part in parts]
        index = index or wanted.needs_index
        if index and wanted:
            pairs = list(zip(parts, described, strict=True))
            described += [await self._work(self._stated, bundle, part, one, names) for part, one in pairs]
        return bundle.top(described, index=index)

    def _added(self, bundle: Bundle, part: Part, export: Export) -> Descriptor:
        """Blocking."""
        at = part.plan.epoch if export.rewrite else None
        if export.rewrite and at is None:
            log.warning("build %s: %s without %s changes no time", self._job.id, REWRITE, epoch.NAME)
        latest_ns = None if at is None else at * epoch.NANO
        return bundle.add(part.image, part.stack, base=part.plan.base, latest_ns=latest_ns)

    def _stated(self, bundle: Bundle, part: Part, target: Descriptor, names: list[str]) -> Descriptor:
        """Blocking."""
        about = attestations.subjects(target, names, part.image.platform())
        named = references.parse(names[0]).familiar if names else target.digest
        statements = [
            (kind, attestations.statement(kind, body, about)) for kind, body in self._predicates(part, named)
        ]
        return attestations.manifest(bundle, target, statements)

    def _predicates(self, part: Part, named: str) -> list[tuple[str, Any]]:
        """What is wanted to be said of one platform's result, by kind. Blocking."""
        wanted = self._attested.wanted
        found: list[tuple[str, Any]] = []
        if wanted.sbom:
            root_fd = self._job.views.root(part.stack)
            found.append((attestations.SPDX, sbom.document(root_fd, part.image, named)))
        if wanted.provenance:
            said = provenance.predicate(self._job, part.plan, wanted, self._attested.attributes)
            found.append((attestations.PROVENANCE, said))
        self.said[str(part.image.platform())] = found
        return found

    # -- the store

    async def _store(self, export: Export, parts: list[Part], *, index: bool) -> dict[str, str]:
        names = list(export.names)
        with Bundle(self._job, export.settings) as bundle:
            with self._teller.work("exporting to image") as work:
                at = time.time_ns()
                top = await self._bundled(bundle, parts, export, index=index)
                image_id = await self._work(store.publish, self._job, bundle, top, names)
                work.step("exporting layers", at)
                work.step(f"writing image {image_id}", at)
                for name in names:
                    work.step(f"naming to {name}", at)
            for name in names:
                told = {"name": references.parse(name).familiar}
                self._job.engine.events.emit("image", "tag", image_id, told)
            if export.push:
                await self._push(bundle, top, image_id, names)
            self._exported.append(Exported(export.number, top, bundle.documents))
        answer = _answer(top, image_id, names)
        return answer if export.push else answer | {"containerimage.digest": image_id}

    async def _push(self, bundle: Bundle, top: Descriptor, image_id: str, names: list[str]) -> None:
        """Out of the bundle: an image that is here already may have come with another manifest."""
        for name in names:
            named = references.parse(name)
            with self._teller.work(f"pushing {named.familiar}") as work:
                at = time.time_ns()
                credentials = await self._session.credentials(named.domain)
                place = ToRegistry(self._job, name, credentials)
                try:
                    for digest, size in bundle.blobs():
                        if digest not in bundle.manifests:
                            await place.blob(digest, size, bundle.opener(digest))
                    work.step("pushing layers", at)
                    for one in bundle.manifests.values():
                        await place.manifest(
                            one.media_type, bundle.documents[one.digest], tag=one.digest == top.digest
                        )
                finally:
                    place.close()
                work.step(f"pushing manifest for {named.familiar}@{top.digest}", at)
            await self._work(store.known_there, self._job, named, image_id, top.digest)
            self._job.engine.events.emit("image", "push", named.familiar, {"name": named.familiar_name})

    # -- archives

    async def _archive(self, export: Export, parts: list[Part], *, index: bool) -> dict[str, str]:
        names = list(export.names)
        shown = "OCI" if export.kind == "oci" else "docker"
        with Bundle(self._job, export.settings) as bundle:
            with self._teller.work(f"exporting to {shown.lower()} image format") as work:
                at = time.time_ns()
                top = await self._bundled(bundle, parts, export, index=index)
                bundle.leave()
                if export.kind == "docker" and top.digest not in bundle.images:
                    raise InvalidParameter(
                        "docker exporter does not support exporting manifest lists, use oci"
                    )
                work.step("exporting layers", at)
                work.step(f"exporting manifest {top.digest}", at)
                answer = _answer(top, next(iter(bundle.images.values())), names)
                self._exported.append(Exported(export.number, top, bundle.documents))
                if not export.tar:
                    await self._layout(bundle)
                    work.step("copying blobs", at)
                    return answer

                def write(pipe: archive.Sink) -> None:
                    archive.write(bundle, top, names, pipe, docker=export.kind == "docker")

                await self._send(export, answer, write)
                work.step("sending tarball", at)
            return answer

    async def _layout(self, bundle: Bundle) -> None:
        """Into the client's content store; the client writes index.json."""
        content = self._session.content("export")
        for digest, size in bundle.blobs():
            await content.put(digest, size, bundle.opener(digest))

    async def _send(self, export: Export, told: dict[str, str], write: Any) -> None:
        pieces = packed(write)
        try:
            await sending.send_file(self._session.channel, export.number, told, pieces, self._work)
        except (GRPCError, StreamTerminatedError, ConnectionError) as error:
            raise self._told(error) from None
        finally:
            await self._work(pieces.close)  # type: ignore[attr-defined]

    # -- files

    async def _files(self, export: Export, parts: list[Part], *, index: bool) -> None:
        apart = index and (export.split or export.kind == "tar")
        if len(parts) > 1 and not apart:
            raise InvalidParameter(
                f"{export.kind}: the files of {len(parts)} platforms need directories of their own"
            )
        trees = [await self._work(self._tree, export, part, apart) for part in parts]
        if export.kind == "tar":
            with self._teller.work("exporting to client tarball") as work:
                at = time.time_ns()
                await self._send(export, {}, lambda pipe: plain.pack(trees, pipe))
                work.step("sending tarball", at)
            return
        with self._teller.work("exporting to client directory") as work:
            at = time.time_ns()
            try:
                await sending.send_trees(self._session.channel, export.number, trees, self._work)
            except (GRPCError, StreamTerminatedError, ConnectionError) as error:
                raise self._told(error) from None
            work.step("copying files", at)

    def _tree(self, export: Export, part: Part, apart: bool) -> plain.Tree:
        """Blocking."""
        platform = str(part.image.platform())
        root_fd = self._job.views.root(part.stack)
        statements = {}
        wanted = self._attested.wanted
        if wanted.needs_index:
            said = {}
            for kind, body in self._predicates(part, platform):
                name = attestations.SBOM_NAME if kind == attestations.SPDX else wanted.filename
                name = plain.named(name, export.attestation_prefix, platform, split=export.split)
                if name in said:
                    raise InvalidParameter(f"duplicate attestation path name {name}")
                said[name] = (kind, body)
            about = [one for one in plain.subjects(root_fd) if one["name"] not in said]
            for name, (kind, body) in said.items():
                stated = attestations.statement(kind, body, about)
                statements[name] = msgspec.json.format(stated, indent=2)
        seconds = export.epoch_of(part)
        at_ns = None if seconds is None else seconds * epoch.NANO
        return plain.Tree(root_fd, platform.replace("/", "_") if apart else "", statements, at_ns)

    def _told(self, error: BaseException) -> Exception:
        said = error.message if isinstance(error, GRPCError) and error.message else str(error)
        return Unavailable(f"the client did not take the result: {said or type(error).__name__}")


def _answer(top: Descriptor, image_id: str, names: list[str]) -> dict[str, str]:
    """What `--metadata-file` says."""
    found = {
        "containerimage.config.digest": image_id,
        "containerimage.digest": top.digest,
        "containerimage.descriptor": base64.b64encode(msgspec.json.encode(top)).decode(),
    }
    return found | ({"image.name": ",".join(names)} if names else {})
