"""Remove a secret or a config that no container has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onggi import failpoints
from onggi.engine.secrets.record import Kind, get, users
from onggi.errors import InvalidParameter
from onggi.store import secrets as rows

if TYPE_CHECKING:
    from onggi.engine.engine import Engine


async def remove(engine: Engine, kind: Kind, reference: str) -> None:
    """The look at its users and the row's end are one step of the event loop: create.py takes it in another.

    Commit point: the row's end. Failpoint: secret.row-deleted.
    Raises NotFound, InvalidParameter (in use; Docker's kind and words, with containers for services).
    """
    record = get(engine, kind, reference)
    using = users(engine, kind, record.id)
    if using:
        noun = "container" if len(using) == 1 else "containers"
        raise InvalidParameter(
            f"{kind.word} '{record.name}' is in use by the following {noun}: {', '.join(sorted(using))}"
        )
    rows.delete(engine.database, record.id)
    failpoints.hit("secret.row-deleted")
    engine.events.emit(kind.word, "remove", record.id, {"name": record.name})
