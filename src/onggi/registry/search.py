"""Searching a registry: Docker's protocol of version 1, which Docker Hub and a few others answer.

    GET /v1/search?q=TERM&n=LIMIT   ->   {"results": [{"name", "description", "star_count", ...}]}

Source: Docker Registry API v1, "Search". distribution-spec has no search. A private registry that answers
404 is asked for its catalog instead (`GET /v2/_catalog`, distribution's API), and the names that hold the
term are the results; their description says where they came from. Answers are bounded, and results are
cut to what was asked for.
"""

from __future__ import annotations

from urllib.parse import urlencode, urljoin

import msgspec

from onggi.errors import InvalidParameter
from onggi.registry.endpoints import Endpoint, Settings, direct
from onggi.registry.failures import RegistryFailure
from onggi.registry.repository import next_page
from onggi.registry.session import Session
from onggi.spec.reference import DEFAULT_DOMAIN

HUB_INDEX = "index.docker.io"
ANSWER_BYTES = 4 << 20
PAGE_BYTES = 8 << 20
PAGE_NAMES = 1000
CATALOG_NAMES_MAX = 100_000
TEXT_MAX = 4096


class Result(msgspec.Struct, frozen=True):
    """One repository that was found. `is_automated` is not read: Docker Hub gave it up."""

    name: str
    description: str = ""
    star_count: int = 0
    is_official: bool = False


class _Results(msgspec.Struct):
    results: list[Result] | None = None


class _Catalog(msgspec.Struct):
    repositories: list[str] | None = None


def split(term: str) -> tuple[str, str]:
    """(domain, what is looked for there). Raises InvalidParameter.

    As dockerd splits it: the first part is a registry where it has a dot or a colon, or is localhost.
    """
    if "://" in term:
        raise InvalidParameter(f"invalid repository name: repository name ({term}) should not have a scheme")
    first, slash, rest = term.partition("/")
    if not slash or not ("." in first or ":" in first or first == "localhost"):
        return DEFAULT_DOMAIN, term.removeprefix("library/")
    if first in (DEFAULT_DOMAIN, HUB_INDEX):
        return DEFAULT_DOMAIN, rest.removeprefix("library/")
    return first, rest


def endpoints(domain: str, settings: Settings) -> list[Endpoint]:
    """Who is asked: Docker Hub's index is a host of its own, any other registry answers for itself."""
    if domain != DEFAULT_DOMAIN:
        return direct(domain, settings)
    found = direct(HUB_INDEX, settings)
    return [msgspec.structs.replace(one, domain=domain) for one in found]


def search(session: Session, term: str, limit: int) -> list[Result]:
    """At most `limit` results. Raises RegistryFailure, which says that a registry does not search."""
    try:
        return _version_1(session, term, limit)
    except RegistryFailure as failure:
        if failure.status not in (404, 405, 410, 501) or session.endpoint.domain == DEFAULT_DOMAIN:
            raise
        return _catalog(session, term, limit, failure)


def _version_1(session: Session, term: str, limit: int) -> list[Result]:
    url = f"{session.endpoint.base}/v1/search?{urlencode({'q': term, 'n': limit})}"
    answer = session.request("GET", url, scope="registry:catalog:search", headers={"X-Docker-Token": "true"})
    data = session.read(answer, ANSWER_BYTES, f"the search results of {session.host}")
    try:
        found = msgspec.json.decode(data, type=_Results).results or []
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RegistryFailure(
            200, "UNKNOWN", f"error decoding registry search results of {session.host}: {error}", url
        ) from None
    return [_bounded(one) for one in found[:limit]]


def _catalog(session: Session, term: str, limit: int, refused: RegistryFailure) -> list[Result]:
    found: list[Result] = []
    seen = 0
    path = f"/_catalog?{urlencode({'n': PAGE_NAMES})}"
    while path and len(found) < limit and seen < CATALOG_NAMES_MAX:
        try:
            answer = session.request("GET", path, scope="registry:catalog:*")
        except RegistryFailure as failure:
            if failure.temporary or failure.status == 401:
                raise
            raise RegistryFailure(
                failure.status,
                "UNSUPPORTED",
                f"{session.host} does not answer searches (/v1/search: status {refused.status}) "
                f"and does not list its repositories (/v2/_catalog: status {failure.status})",
                path,
            ) from None
        data = session.read(answer, PAGE_BYTES, f"the catalog of {session.host}")
        try:
            names = msgspec.json.decode(data, type=_Catalog).repositories or []
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise RegistryFailure(
                200, "UNKNOWN", f"the catalog of {session.host} cannot be read: {error}", path
            ) from None
        seen += len(names)
        note = f"(from the catalog of {session.host})"
        found += [_bounded(Result(name, note)) for name in names if term.lower() in name.lower()]
        following = next_page(answer.headers.get("Link", ""))
        path = urljoin(session.url(path), following) if following and names else ""
    return found[:limit]


def _bounded(found: Result) -> Result:
    """A registry's texts, without what would move a terminal's cursor."""
    return Result(_printable(found.name), _printable(found.description), found.star_count, found.is_official)


def _printable(text: str) -> str:
    return "".join(letter for letter in text[:TEXT_MAX] if letter.isprintable() or letter in "\r\n\t")
