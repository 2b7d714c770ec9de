"""One pull, in threads: manifest, then layers at once, then one commit.

    HEAD tag -> known and here: done          one round trip
    GET manifest (an index leads to the platform's) -> configuration -> layers side by side -> Staging.publish

The commit point is that of `Staging.publish`. Before it nothing changes but partial blobs, which the next
pull of any image goes on from. What a registry sends is judged in registry/ (bytes) and here (what fits).
Failpoints: pull.manifest-read, pull.layers-here, and those of incoming.py and staging.py.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import msgspec

from onggi import failpoints
from onggi.engine.images import referrers
from onggi.engine.images.fitting import check, choose
from onggi.engine.images.refusals import explained
from onggi.engine.images.side_by_side import Watched, all_of
from onggi.engine.images.transfers import Say
from onggi.errors import Corrupt, InvalidParameter, NotFound
from onggi.images import media_types
from onggi.images.images import Image, Images
from onggi.images.indexes import peers, serving
from onggi.images.progress import Detail, Progress
from onggi.images.staging import NewImage, NewIndex, Published, Staging
from onggi.registry.failures import RegistryFailure
from onggi.registry.registries import Job
from onggi.registry.repository import Manifest, Repository
from onggi.signatures import check as signed
from onggi.signatures.attached import attached
from onggi.signatures.policy import Policy
from onggi.spec import digest as digests
from onggi.spec import image as documents
from onggi.spec import platform as platforms
from onggi.spec.reference import Reference
from onggi.store import images as rows

T = TypeVar("T")
INDEX_DEPTH = 4
INDEX_ENTRIES = 1000


class Pulled(msgspec.Struct, frozen=True):
    """What a pull found: the image, the digest that the name stands for, and whether anything changed."""

    id: str
    digest: str
    manifest: str
    changed: bool
    moved: dict[str, str] = {}


class Pull:
    """One image of one platform. `wanted` None stands for this machine's."""

    def __init__(
        self,
        images: Images,
        job: Job,
        say: Say,
        *,
        wanted: platforms.Platform | None,
        downloads: int,
        policy: Policy | None,
        as_artifact: bool = False,
    ) -> None:
        """`as_artifact`: keep what is pulled as it is, though it says that it is an image (cosign's do)."""
        self._images = images
        self._job = job
        self._say = say
        self._wanted = wanted
        self._downloads = downloads
        self._policy = policy
        self._as_artifact = as_artifact

    def one(self, named: Reference) -> Pulled:
        """By tag or digest. Raises NotFound, RegistryFailure, Corrupt, InvalidParameter, NoSpace."""
        repository, found = self._find(named)
        what = named.digest or named.tag
        if isinstance(found, Pulled):
            self._accept(named, repository, found.manifest, found.digest)
            self._said(named, what, found)
            return found
        top = found.digest
        self._say(Progress(status=f"Pulling from {named.path}", id=what))
        manifest, through = self._for_platform(repository, named, found)
        self._accept(named, repository, manifest.digest, top)
        failpoints.hit("pull.manifest-read")
        names = [str(Reference(named.domain, named.path, "", top))]
        names += [str(Reference(named.domain, named.path, named.tag))] if named.tag else []
        published = self._bring(named, repository, manifest, names, through)
        result = Pulled(published.id, top, manifest.digest, changed=True, moved=published.moved)
        self._left_behind(named, result)
        self._last(named, result)
        return result

    def referring(self, named: Reference, pulled: Pulled) -> None:
        """The artifacts that refer to what was pulled, signatures among them; they are not judged themselves.

        Raises as `one`.
        """
        plain = Pull(
            self._images,
            self._job,
            self._say,
            wanted=None,
            downloads=self._downloads,
            policy=None,
            as_artifact=True,
        )

        def listed(digest: str) -> list[str]:
            _, index = self._asked(named, lambda repository: repository.referrers(digest))
            return [digests.check(one.digest) for one in index.manifests]

        found = list(dict.fromkeys((pulled.digest, pulled.manifest)))
        for one in referrers.each(named, found, listed):
            plain.one(one)
        for tag in referrers.cosign_tags(found):
            try:
                plain.one(named.with_tag(tag))
            except NotFound:
                continue  # most images have none

    def tags(self, named: Reference) -> list[str]:
        """Of the whole repository. Raises NotFound, RegistryFailure."""
        return self._asked(named, lambda repository: repository.tags())[1]

    # ------------------------------------------------------------------------------ manifest

    def _find(self, named: Reference) -> tuple[Repository, Manifest | Pulled]:
        what = named.digest or named.tag

        def ask(repository: Repository) -> Manifest | Pulled:
            digest = named.digest
            if not digest:
                digest = self._head(repository, named.tag)
            here = self._here(named, digest) if digest else None
            return here or repository.manifest(what)

        return self._asked(named, ask)

    def _asked(self, named: Reference, ask: Callable[[Repository], T]) -> tuple[Repository, T]:
        try:
            return self._job.first(named, ask)
        except RegistryFailure as failure:
            raise explained(failure, named) from None

    @staticmethod
    def _head(repository: Repository, tag: str) -> str:
        """What a tag stands for; empty where only GET can tell, or say why not."""
        try:
            head = repository.head(tag)
        except RegistryFailure as failure:
            if 400 <= failure.status < 500 and failure.status != 429:
                return ""
            raise
        return head.digest if head else ""

    def _here(self, named: Reference, digest: str) -> Pulled | None:
        """The image that this digest brought before, under the tag's name too."""
        images, database = self._images, self._images.database
        with images.lock:
            by_digest = rows.get_name(database, str(Reference(named.domain, named.path, "", digest)))
            image = self._present(by_digest) if by_digest else None
            if by_digest is None or image is None:
                return None
            if not named.tag:
                return Pulled(image.id, digest, image.manifest, changed=False)
            tagged = str(Reference(named.domain, named.path, named.tag))
            before = rows.get_name(database, tagged)
            same = before is not None and msgspec.structs.replace(before, name=by_digest.name) == by_digest
            if not same:
                rows.set_name(database, msgspec.structs.replace(by_digest, name=tagged), time.time_ns())
            lost = before is not None and before.image_id not in peers(images, by_digest.image_id)
            moved = {tagged: before.image_id} if before and lost else {}
        return Pulled(image.id, digest, image.manifest, changed=not same, moved=moved)

    def _present(self, row: rows.NameRow) -> Image | None:
        """The image of a name that is of the platform that is wanted."""
        wanted = self._wanted or platforms.host()
        if row.target:
            return self._images.get(serving(self._images, row.target, wanted))
        image = self._images.get(row.image_id)
        if image is None or image.artifact or platforms.matches(image.document.platform(), wanted):
            return image
        return None

    def _accept(self, named: Reference, repository: Repository, *found: str) -> None:
        """Ask the policy of signatures. Raises Forbidden."""
        if self._policy is not None:
            place = Beside(repository)
            signed.check(
                self._policy, named, tuple(dict.fromkeys(found)), lambda digest: attached(place, digest)
            )

    def _for_platform(
        self, repository: Repository, named: Reference, found: Manifest
    ) -> tuple[Manifest, list[Manifest]]:
        """The platform's manifest, and the indexes that led to it."""
        seen = set()
        through: list[Manifest] = []
        for _ in range(INDEX_DEPTH):
            if not found.is_index:
                return found, through
            through.append(found)
            if found.digest in seen:
                raise InvalidParameter(f"index {found.digest} of {named.familiar} leads to itself")
            seen.add(found.digest)
            index = documents.decode(documents.Index, found.data, f"index {found.digest}")
            if len(index.manifests) > INDEX_ENTRIES:
                raise InvalidParameter(
                    f"index {found.digest} of {named.familiar} has {len(index.manifests)} entries, "
                    f"{INDEX_ENTRIES} at most"
                )
            chosen = choose(index, self._wanted or platforms.host(), named)
            found = repository.manifest(digests.check(chosen.digest))
        if found.is_index:
            raise InvalidParameter(f"index in index of {named.familiar} is deeper than {INDEX_DEPTH}")
        return found, through

    # ------------------------------------------------------------------------------ blobs

    def _bring(
        self,
        named: Reference,
        repository: Repository,
        found: Manifest,
        names: list[str],
        through: list[Manifest],
    ) -> Published:
        manifest = documents.decode(documents.Manifest, found.data, f"manifest {found.digest}")
        if not self._as_artifact:
            check(manifest, found.digest)
        if self._as_artifact or not media_types.is_image(manifest):
            return self._artifact(named, repository, found, manifest, names)
        with Staging(self._images) as staging:
            self._configuration(staging, named, repository, manifest)
            if not staging.known(found.digest):
                staging.document(found.data)
            self._layers(staging, named, repository, manifest)
            failpoints.hit("pull.layers-here")
            blobs = [layer.digest for layer in manifest.layers]
            if not through:
                return staging.publish([NewImage(manifest.config.digest, blobs, names, found.digest)])[0]
            image = NewImage(manifest.config.digest, blobs, [], found.digest)
            brought, named_by = staging.publish([image], [self._index(staging, through, names, found.digest)])
            return msgspec.structs.replace(brought, moved=named_by.moved)

    def _index(self, staging: Staging, through: list[Manifest], names: list[str], judged: str) -> NewIndex:
        """The index that a name stands for, with the ones in it that were read. What is of it already goes by
        the name, too; under a policy of signatures only what was judged for this name.
        """
        entries = [judged]
        for one in through:
            if not staging.known(one.digest):
                staging.document(one.data)
            index = documents.decode(documents.Index, one.data, f"index {one.digest}")
            if self._policy is None:
                entries += [entry.digest for entry in index.manifests if digests.is_digest(entry.digest)]
        return NewIndex(through[0].digest, entries, [one.digest for one in through], names)

    def _artifact(
        self,
        named: Reference,
        repository: Repository,
        found: Manifest,
        manifest: documents.Manifest,
        names: list[str],
    ) -> Published:
        """All its blobs, as they are. One that an index led to is known by its own digest, too."""
        blobs = {one.digest: one for one in (manifest.config, *manifest.layers)}
        with Staging(self._images) as staging:
            if not staging.known(found.digest):
                staging.document(found.data)
            self._blobs(staging, named, repository, {digest: (one, False) for digest, one in blobs.items()})
            failpoints.hit("pull.layers-here")
            new = NewImage(found.digest, list(blobs), names, found.digest, artifact=True)
            return staging.publish([new])[0]

    def _configuration(
        self, staging: Staging, named: Reference, repository: Repository, manifest: documents.Manifest
    ) -> None:
        digest = digests.check(manifest.config.digest)
        if not staging.known(digest):
            data = repository.document(digest, documents.CONFIG_MAX_BYTES)
            if len(data) != manifest.config.size:
                raise Corrupt(
                    f"configuration {digest} is corrupt: it has {len(data)} bytes, not {manifest.config.size}"
                )
            staging.document(data)
        document = self._document(staging, digest)
        found = document.platform()
        if self._wanted is not None and not platforms.matches(found, self._wanted):
            raise NotFound(
                f"image with reference {named.familiar} was found but its platform ({found}) "
                f"does not match the specified platform ({self._wanted})"
            )
        if len(document.rootfs.diff_ids) != len(manifest.layers):
            raise InvalidParameter(
                f"invalid manifest, layers length mismatch: expected {len(document.rootfs.diff_ids)}, "
                f"got {len(manifest.layers)}"
            )

    @staticmethod
    def _document(staging: Staging, digest: str) -> documents.Image:
        data = staging.read(digest, documents.CONFIG_MAX_BYTES)
        return documents.decode(documents.Image, data, f"configuration {digest}")

    def _layers(
        self, staging: Staging, named: Reference, repository: Repository, manifest: documents.Manifest
    ) -> None:
        """All of them, a few at a time; the first failure ends the others."""
        diff_ids = self._document(staging, manifest.config.digest).rootfs.diff_ids
        chain_ids = digests.chain_ids([digests.check(diff_id) for diff_id in diff_ids])
        missing: dict[str, tuple[documents.Descriptor, bool]] = {}
        for layer, chain_id in zip(manifest.layers, chain_ids, strict=True):
            unpacked = rows.get_layer(self._images.database, chain_id) is not None
            if unpacked and staging.known(layer.digest):
                self._say(
                    Progress(
                        status="Already exists", id=digests.short(layer.digest), progress_detail=Detail()
                    )
                )
            elif layer.digest not in missing:
                missing[layer.digest] = (layer, not unpacked)
                self._say(
                    Progress(
                        status="Pulling fs layer", id=digests.short(layer.digest), progress_detail=Detail()
                    )
                )
        self._blobs(staging, named, repository, missing)

    def _blobs(
        self,
        staging: Staging,
        named: Reference,
        repository: Repository,
        missing: dict[str, tuple[documents.Descriptor, bool]],
    ) -> None:
        sources = self._sources(named, repository)
        with ThreadPoolExecutor(self._downloads, thread_name_prefix="pull") as pool:
            futures = [
                pool.submit(self._layer, staging, sources, layer, unpack)
                for layer, unpack in missing.values()
            ]
            all_of(futures, self._job)

    def _layer(
        self, staging: Staging, sources: list[Repository], layer: documents.Descriptor, unpack: bool
    ) -> None:
        watch = Watched(self._job, self._say, digests.short(layer.digest), layer.size)

        def reader(offset: int) -> Generator[bytes, None, None]:
            for position, source in enumerate(sources):
                try:
                    for piece in source.blob(layer.digest, layer.size, offset):
                        offset += len(piece)
                        yield piece
                    return
                except RegistryFailure:
                    self._job.connections.check()
                    if position + 1 == len(sources):
                        raise

        watch.check()
        staging.fetch(layer.digest, layer.size, reader, watch, layer=unpack)
        staging.layer_of(layer.digest)
        self._of_layer(layer, "Pull complete")

    def _sources(self, named: Reference, chosen: Repository) -> list[Repository]:
        """Where blobs come from: the manifest's source, and the ones behind it where that is a mirror."""
        if not chosen.session.endpoint.mirror:
            return [chosen]
        listed = self._job.repositories(named)
        bases = [one.session.endpoint.base for one in listed]
        return [chosen, *listed[bases.index(chosen.session.endpoint.base) + 1 :]]

    # ------------------------------------------------------------------------------ words

    def _of_layer(self, layer: documents.Descriptor, status: str) -> None:
        self._say(Progress(status=status, id=digests.short(layer.digest), progress_detail=Detail()))

    def _said(self, named: Reference, what: str, pulled: Pulled) -> None:
        self._say(Progress(status=f"Pulling from {named.path}", id=what))
        self._last(named, pulled)

    def _left_behind(self, named: Reference, pulled: Pulled) -> None:
        """Say what the name no longer stands for: another platform that the new index has not brought."""
        for before in pulled.moved.values():
            image = self._images.get(before)
            if image is None or image.artifact:
                continue
            platform = image.document.platform()
            if not platforms.matches(platform, self._wanted or platforms.host()):
                kept = next((name for name in image.repo_digests), digests.short(before))
                self._say(Progress(status=f"{named.familiar} was for {platform} before: that is {kept} now"))

    def _last(self, named: Reference, pulled: Pulled) -> None:
        self._say(Progress(status=f"Digest: {pulled.digest}"))
        text = "Downloaded newer image for" if pulled.changed else "Image is up to date for"
        self._say(Progress(status=f"Status: {text} {named.familiar}"))


class Beside:
    """A repository as signatures/ needs it."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository

    def manifest(self, reference: str) -> bytes | None:
        try:
            return self._repository.manifest(reference).data
        except RegistryFailure as failure:
            if failure.absent:
                return None
            raise

    def referrers(self, digest: str) -> documents.Index:
        return self._repository.referrers(digest)

    def blob(self, digest: str, size: int) -> Iterator[bytes]:
        return self._repository.blob(digest, size)
