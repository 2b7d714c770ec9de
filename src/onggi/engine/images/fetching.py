"""A blob out of the registry that had it, for images/elsewhere.py."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from onggi.spec.reference import Reference

if TYPE_CHECKING:
    from onggi.engine.engine import Engine


@contextlib.contextmanager
def fetched(engine: Engine, named: Reference, digest: str, size: int) -> Iterator[Iterator[bytes]]:
    """The bytes of a blob, asked for without credentials. Blocking. Raises RegistryFailure, Unreachable."""
    from onggi.registry.credentials import Credentials

    with engine.transfers.registries(engine.config).job(Credentials()) as job:
        repository, _ = job.first(named, lambda one: one.head(named.digest))
        yield repository.blob(digest, size)
