"""Change the labels of a secret or a config: all else of it is for ever."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

import msgspec

from onggi import failpoints
from onggi.engine import clock
from onggi.engine.secrets.record import Kind, data, get
from onggi.errors import InvalidParameter, System
from onggi.store import secrets as rows
from onggi.wire.secrets import SecretSpec

if TYPE_CHECKING:
    from onggi.engine.engine import Engine


async def update(engine: Engine, kind: Kind, reference: str, spec: SecretSpec, *, version: int) -> None:
    """`version` is the one that the caller has seen.

    Commit point: the row. Failpoint: secret.row-updated.
    Raises NotFound, InvalidParameter (more than labels differs), System (somebody changed it meanwhile).
    """
    record = get(engine, kind, reference)
    if spec.name != record.name or spec.driver is not None or spec.templating is not None:
        raise InvalidParameter("only updates to Labels are allowed")
    if spec.data:
        now = await engine.offload(data, engine, kind, record)
        if not hmac.compare_digest(now, spec.data):
            raise InvalidParameter("only updates to Labels are allowed")
        record = get(engine, kind, record.id)
    if version != record.version:
        raise System("update out of sequence")
    changed = msgspec.structs.replace(
        record, labels=spec.labels, version=record.version + 1, updated_at=clock.now()
    )
    rows.update(engine.database, record.id, msgspec.json.encode(changed))
    failpoints.hit("secret.row-updated")
    engine.events.emit(kind.word, "update", record.id, {"name": record.name})
