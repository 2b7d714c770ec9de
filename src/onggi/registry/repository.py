"""One repository at one endpoint: manifests, blobs, uploads, tags, referrers.

    GET|HEAD|PUT|DELETE /v2/PATH/manifests/REFERENCE     GET|HEAD /v2/PATH/blobs/DIGEST
    POST /v2/PATH/blobs/uploads/[?mount=DIGEST&from=PATH]  PATCH|PUT|GET its Location
    GET /v2/PATH/tags/list       GET /v2/PATH/referrers/DIGEST

Source: OCI distribution-spec 1.1. Nothing that a registry says is believed before its digest was compared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from urllib.parse import quote, urlencode, urljoin

import msgspec
from urllib3.exceptions import HTTPError
from urllib3.response import BaseHTTPResponse

from onggi.errors import Corrupt, InvalidParameter
from onggi.registry.connections import reason
from onggi.registry.failures import RegistryFailure, Unreachable
from onggi.registry.session import Session, drain
from onggi.spec import digest as digests
from onggi.spec import image as documents

CHUNK_BYTES = 256 << 10
TAGS_MAX = 100_000
TAGS_BYTES = 8 << 20
ACCEPT = ", ".join(
    (documents.OCI_MANIFEST, documents.DOCKER_MANIFEST, documents.OCI_INDEX, documents.DOCKER_INDEX, "*/*")
)
SCHEMA_1 = "application/vnd.docker.distribution.manifest.v1+"
Reader = Callable[[int], Iterable[bytes]]  # a blob's bytes from an offset on


class Manifest(msgspec.Struct, frozen=True):
    """A manifest or index as it came: its bytes, and what they are."""

    media_type: str
    digest: str
    data: bytes

    @property
    def is_index(self) -> bool:
        return self.media_type in documents.INDEXES


class Head(msgspec.Struct, frozen=True):
    """What a HEAD said: not yet believed."""

    media_type: str
    digest: str
    size: int


class _Tags(msgspec.Struct):
    tags: list[str] | None = None


class Repository:
    """`path` at the session's endpoint. Its methods may be called from several threads."""

    def __init__(self, session: Session, path: str) -> None:
        self.session = session
        self.path = path
        self._base = "/" + quote(path)

    @property
    def host(self) -> str:
        return self.session.host

    def scope(self, *actions: str, path: str = "") -> str:
        return f"repository:{path or self.path}:{','.join(actions or ('pull',))}"

    # ------------------------------------------------------------------------------ manifests

    def head(self, reference: str) -> Head | None:
        """What a tag or digest stands for, in one short round trip; None where the registry has no answer
        to HEAD. Raises RegistryFailure.
        """
        answer = self._manifest("HEAD", reference, expect=(200, 405))
        headers = answer.headers
        drain(answer)
        found = headers.get("Docker-Content-Digest", "")
        if answer.status != 200 or not digests.is_digest(found):
            return None
        length = headers.get("Content-Length", "")
        size = int(length) if length.isascii() and length.isdigit() else 0
        return Head(_media_type(headers.get("Content-Type", "")), found, size)

    def manifest(self, reference: str) -> Manifest:
        """By tag or digest. Raises RegistryFailure, Corrupt (not what the digest says)."""
        shown = f"manifest {reference} of {self.host}/{self.path}"
        answer, data = self._whole(
            lambda: self._manifest("GET", reference), documents.DOCUMENT_MAX_BYTES, shown
        )
        digest = digests.of(data)
        said = answer.headers.get("Docker-Content-Digest", "")
        wanted = reference if digests.is_digest(reference) else said if digests.is_digest(said) else digest
        if digest != wanted:
            raise Corrupt(f"{shown} is corrupt: its bytes have digest {digest}, not {wanted}")
        media_type = _media_type(answer.headers.get("Content-Type", ""))
        if media_type.startswith(SCHEMA_1):
            raise InvalidParameter(
                f"{shown} has the media type {media_type}: Docker Image Format v1 and Docker Image manifest "
                "version 2, schema 1 are not supported"
            )
        return Manifest(_checked_type(data, media_type, shown), digest, data)

    def put_manifest(self, reference: str, media_type: str, data: bytes) -> str:
        """The commit point of a push; returns the digest. Raises RegistryFailure.

        A registry that does not say that it knows of `subject` (OCI-Subject) gets the tag that lists what
        refers to it (distribution-spec 1.1, "Pushing Manifests with Subject").
        """
        answer = self.session.request(
            "PUT",
            f"{self._base}/manifests/{quote(reference, safe=':')}",
            scope=self.scope("pull", "push"),
            headers={"Content-Type": media_type, "Content-Length": str(len(data))},
            body=lambda: [data],
            expect=(200, 201, 202),
        )
        known = answer.headers.get("OCI-Subject", "")
        drain(answer)
        subject = _subject(data)
        if subject and not known:
            self._refer(subject, media_type, data)
        return digests.of(data)

    def _refer(self, subject: str, media_type: str, data: bytes) -> None:
        """Add a manifest to the index behind the tag of its subject."""
        tag = subject.replace(":", "-")
        try:
            found = self.manifest(tag)
            index = documents.decode(documents.Index, found.data, f"the referrers of {subject}")
        except RegistryFailure as failure:
            if not failure.absent:
                raise
            index = documents.Index(schema_version=2, media_type=documents.OCI_INDEX, manifests=[])
        made = documents.decode(documents.Manifest, data, "manifest")
        entry = documents.Descriptor(
            media_type=media_type,
            digest=digests.of(data),
            size=len(data),
            artifact_type=made.artifact_type or made.config.media_type,
            annotations=made.annotations,
        )
        if any(one.digest == entry.digest for one in index.manifests):
            return
        listed = msgspec.structs.replace(index, manifests=[*index.manifests, entry])
        self.put_manifest(tag, documents.OCI_INDEX, documents.encode(listed))

    def tags(self) -> list[str]:
        """All tags, page by page. Raises RegistryFailure."""
        found: list[str] = []
        path = f"{self._base}/tags/list"
        while path and len(found) < TAGS_MAX:
            answer = self.session.request("GET", path, scope=self.scope("pull"), headers={})
            data = self.session.read(answer, TAGS_BYTES, f"the list of tags of {self.host}/{self.path}")
            try:
                page = msgspec.json.decode(data, type=_Tags).tags or []
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise RegistryFailure(200, "UNKNOWN", f"the list of tags is no JSON: {error}", path) from None
            following = next_page(answer.headers.get("Link", ""))
            path = urljoin(self.session.url(path), following) if following and page else ""
            found += page
        return found

    def referrers(self, digest: str, artifact_type: str = "") -> documents.Index:
        """What refers to a manifest: an index, empty where there is nothing. Raises RegistryFailure."""
        query = "?" + urlencode({"artifactType": artifact_type}) if artifact_type else ""
        try:
            answer = self.session.request(
                "GET", f"{self._base}/referrers/{digest}{query}", scope=self.scope("pull")
            )
            data = self.session.read(answer, documents.DOCUMENT_MAX_BYTES, f"the referrers of {digest}")
        except RegistryFailure as failure:
            if not failure.absent:
                raise
            try:  # before distribution-spec 1.1: a tag made of the digest
                data = self.manifest(digest.replace(":", "-")).data
            except RegistryFailure as second:
                if not second.absent:
                    raise
                return documents.Index(schema_version=2, manifests=[])
        return documents.decode(documents.Index, data, f"the referrers of {digest}")

    def _manifest(self, method: str, reference: str, expect: tuple[int, ...] = (200,)) -> BaseHTTPResponse:
        return self.session.request(
            method,
            f"{self._base}/manifests/{quote(reference, safe=':')}{self._namespace}",
            scope=self.scope("pull"),
            headers={"Accept": ACCEPT},
            expect=expect,
        )

    @property
    def _namespace(self) -> str:
        """Tells a mirror of several registries which is meant (containerd's docs/hosts.md)."""
        endpoint = self.session.endpoint
        return "?" + urlencode({"ns": endpoint.domain}) if endpoint.mirror and endpoint.domain else ""

    def _blob(self, digest: str) -> str:
        return f"{self._base}/blobs/{digest}{self._namespace}"

    # ------------------------------------------------------------------------------ blobs

    def has_blob(self, digest: str) -> bool:
        """Raises RegistryFailure for anything but yes and no."""
        try:
            answer = self.session.request("HEAD", self._blob(digest), scope=self.scope("pull", "push"))
        except RegistryFailure as failure:
            if failure.status == 404:
                return False
            raise
        drain(answer)
        return True

    def blob_size(self, digest: str) -> int | None:
        """Bytes of a blob, as the registry says; None where it has none. Raises RegistryFailure."""
        try:
            answer = self.session.request("HEAD", self._blob(digest), scope=self.scope("pull"))
        except RegistryFailure as failure:
            if failure.status == 404:
                return None
            raise
        length = answer.headers.get("Content-Length", "")
        drain(answer)
        if not (length.isascii() and length.isdigit() and len(length) < 19):
            raise RegistryFailure(200, "SIZE_INVALID", f"blob {digest}: its size is not told", self.path)
        return int(length)

    def blob(self, digest: str, size: int, offset: int = 0) -> Iterator[bytes]:
        """The bytes from `offset` to `size`, going on after a lost connection from the byte it had reached.

        No more than `size` bytes are ever taken. Raises RegistryFailure, Unreachable when nothing helps.
        """
        attempt = 0
        while offset < size:
            reached = offset
            try:
                for piece in self._pieces(digest, size, offset):
                    offset += len(piece)
                    yield piece
                if offset < size:
                    raise Unreachable(
                        "get", self._blob_url(digest), f"blob {digest} ends after {offset} of {size} bytes"
                    )
            except Unreachable:
                attempt = 1 if offset > reached else attempt + 1  # every byte is new hope
                if attempt >= self.session.attempts:
                    raise
                self.session.pause(attempt)

    def document(self, digest: str, limit: int) -> bytes:
        """A small blob, verified. Raises RegistryFailure, Corrupt."""
        _, data = self._whole(
            lambda: self.session.request("GET", self._blob(digest), scope=self.scope("pull")),
            limit,
            f"blob {digest}",
        )
        if digests.of(data) != digest:
            raise Corrupt(f"blob {digest} is corrupt: its bytes have digest {digests.of(data)}")
        return data

    def _whole(
        self, ask: Callable[[], BaseHTTPResponse], limit: int, shown: str
    ) -> tuple[BaseHTTPResponse, bytes]:
        """An answer with its whole body, asked for again where the body is cut off."""
        attempt = 0
        while True:
            attempt += 1
            answer = ask()
            try:
                return answer, self.session.read(answer, limit, shown)
            except Unreachable:
                if attempt >= self.session.attempts:
                    raise
                self.session.pause(attempt)

    def _blob_url(self, digest: str) -> str:
        return self.session.url(f"{self._base}/blobs/{digest}")

    def _pieces(self, digest: str, size: int, offset: int) -> Iterator[bytes]:
        headers = {"Range": f"bytes={offset}-{size - 1}"} if offset else {}
        answer = self.session.request(
            "GET",
            self._blob(digest),
            scope=self.scope("pull"),
            headers=headers,
            expect=(200, 206, 416),
        )
        if answer.status == 416:
            answer.close()
            raise Corrupt(f"blob {digest} is corrupt: it has {offset} bytes, not {size}")
        skip = offset if answer.status == 200 else 0  # a server without ranges begins anew
        if answer.status == 206 and not _begins(answer.headers.get("Content-Range", ""), offset):
            answer.close()
            raise RegistryFailure(206, "RANGE_INVALID", f"blob {digest}: not from byte {offset}", self.path)
        left = size - offset
        length = answer.headers.get("Content-Length", "")
        if length.isascii() and length.isdigit() and int(length) > left + skip:
            answer.close()
            raise Corrupt(f"blob {digest} is corrupt: it has {int(length) + offset - skip} bytes, not {size}")
        try:
            while left > 0 or skip > 0:
                self.session.connections.check()
                piece = answer.read(min(CHUNK_BYTES, skip or left))
                if not piece:
                    return
                if skip:
                    skip -= len(piece)
                    continue
                left -= len(piece)
                yield piece
            if answer.read(1):
                answer.close()
                raise Corrupt(f"blob {digest} is corrupt: it has more than {size} bytes")
            answer.release_conn()
        except (HTTPError, OSError) as error:
            self.session.connections.check()
            raise Unreachable("get", self._blob_url(digest), reason(error)) from None
        finally:
            if left or skip:
                answer.close()


def _media_type(header: str) -> str:
    return header.partition(";")[0].strip().lower()


class _Typed(msgspec.Struct, rename="camel"):
    """What tells an index from a manifest, whatever its header says (CVE-2021-41190)."""

    schema_version: int = 0
    media_type: str = ""
    config: msgspec.Raw = msgspec.Raw()
    layers: msgspec.Raw = msgspec.Raw()
    manifests: msgspec.Raw = msgspec.Raw()


def _checked_type(data: bytes, header: str, shown: str) -> str:
    """The media type that header and document agree on. Raises InvalidParameter."""
    try:
        found = msgspec.json.decode(data, type=_Typed)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidParameter(f"{shown} is not JSON: {error}") from None
    lists, describes = _given(found.manifests), _given(found.config) or _given(found.layers)
    if lists and describes:
        raise InvalidParameter(f"{shown} is ambiguous: it has both manifests and layers")
    known = documents.INDEXES | documents.MANIFESTS
    media_type = header if header in known else found.media_type or header
    if found.media_type and found.media_type != media_type:
        raise InvalidParameter(f"{shown} says that it is {found.media_type}, its header says {media_type}")
    if media_type not in known and found.schema_version == 2:
        media_type = documents.OCI_INDEX if lists else documents.OCI_MANIFEST
    if media_type not in known:
        raise InvalidParameter(f"{shown}: unsupported manifest media type {media_type or 'none'}")
    return media_type


def _subject(data: bytes) -> str:
    """The digest that a manifest refers to; empty for an index and for what refers to nothing."""
    try:
        found = msgspec.json.decode(data, type=_Subject).subject
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
    return found.digest if found is not None and digests.is_digest(found.digest) else ""


class _Subject(msgspec.Struct):
    subject: documents.Descriptor | None = None
    config: documents.Descriptor | None = None


def _given(member: msgspec.Raw) -> bool:
    return bytes(member) not in (b"", b"null")


def next_page(link: str) -> str:
    """The URL of `<...>; rel="next"`, RFC 8288."""
    for part in link.split(","):
        url, _, rest = part.strip().partition(">")
        if url.startswith("<") and 'rel="next"' in rest.replace(" ", ""):
            return url[1:]
    return ""


def _begins(content_range: str, offset: int) -> bool:
    return content_range.strip().lower().startswith(f"bytes {offset}-")
