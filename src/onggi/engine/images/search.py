"""`docker search`: what a registry finds, passed through the user's filters as dockerd does it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onggi.engine import filters
from onggi.errors import InvalidParameter
from onggi.wire.images import SearchResult

if TYPE_CHECKING:
    from onggi.engine.engine import Engine
    from onggi.registry.search import Result

KNOWN = frozenset(("is-automated", "is-official", "stars"))
LIMIT, LIMIT_MAX = 25, 100


async def search(
    engine: Engine, term: str, *, wanted: filters.Filters, limit: int = 0, auth: str = ""
) -> list[SearchResult]:
    """Raises InvalidParameter, RegistryFailure."""
    from onggi.registry import search as protocol
    from onggi.registry.credentials import from_header

    filters.check(wanted, KNOWN)
    automated, official = filters.truth(wanted, "is-automated"), filters.truth(wanted, "is-official")
    least = _stars(wanted)
    if not 1 <= (limit or LIMIT) <= LIMIT_MAX:
        raise InvalidParameter(f"limit {limit} is outside the range of [1, {LIMIT_MAX}]")
    if automated:
        return []  # nothing is: Docker Hub gave the mark up
    domain, rest = protocol.split(term)
    registries = engine.transfers.registries(engine.config)
    listed = protocol.endpoints(domain, registries.settings)
    job = registries.job(from_header(auth))

    def work() -> list[Result]:
        with job:
            return job.at(listed, lambda session: protocol.search(session, rest, limit or LIMIT))

    found = await engine.offload(work)
    return [
        SearchResult(
            name=one.name, description=one.description, star_count=one.star_count, is_official=one.is_official
        )
        for one in found
        if one.star_count >= least and official in (None, one.is_official)
    ]


def _stars(wanted: filters.Filters) -> int:
    """The largest of the wanted numbers."""
    least = 0
    for text in wanted.get("stars", ()):
        try:
            least = max(least, int(text))
        except ValueError:
            raise InvalidParameter(
                f"invalid filter 'stars={text}': strconv.Atoi: parsing \"{text}\": invalid syntax"
            ) from None
    return least
