"""Make a secret or a config."""

from __future__ import annotations

import re
import secrets
import string
from typing import TYPE_CHECKING

import msgspec

from onggi import failpoints
from onggi.engine import clock
from onggi.engine.secrets.record import Kind, SecretRecord, all_, identity
from onggi.errors import Conflict, InvalidParameter
from onggi.store import secrets as rows
from onggi.wire.secrets import SecretCreateResponse, SecretSpec

if TYPE_CHECKING:
    from onggi.engine.engine import Engine

NAME_LENGTH = 64
ID_LENGTH = 25  # swarm's: 25 digits of base 36
_NAME = re.compile(r"[a-zA-Z0-9]+(?:[a-zA-Z0-9-_.]*[a-zA-Z0-9])?")
_DIGITS = string.digits + string.ascii_lowercase


async def create(engine: Engine, kind: Kind, spec: SecretSpec) -> SecretCreateResponse:
    """Seal the data and keep it.

    Commit point: the row. Failpoints: secret.key-made, secret.row-written.
    Raises InvalidParameter, Conflict (the name is taken), System.
    """
    _check(kind, spec)
    _refuse_taken(engine, kind, spec.name)  # before the work; the row decides
    id = "".join(secrets.choice(_DIGITS) for _ in range(ID_LENGTH))
    sealed = await engine.offload(engine.sealing.seal, spec.data, identity(kind, id))
    now = clock.now()
    record = SecretRecord(id=id, name=spec.name, created_at=now, updated_at=now, labels=spec.labels)
    row = rows.SecretRow(id, kind.word, spec.name, msgspec.json.encode(record), sealed)
    rows.insert(engine.database, row)
    failpoints.hit("secret.row-written")
    engine.events.emit(kind.word, "create", id, {"name": spec.name})
    return SecretCreateResponse(id=id)


def _check(kind: Kind, spec: SecretSpec) -> None:
    if not spec.name:
        raise InvalidParameter("name must be provided")
    if len(spec.name) > NAME_LENGTH or not _NAME.fullmatch(spec.name):
        raise InvalidParameter(
            f"invalid name, only {NAME_LENGTH} [a-zA-Z0-9-_.] characters allowed, and the start and end "
            f"character must be [a-zA-Z0-9]: {spec.name!r}"
        )
    if spec.driver is not None and spec.driver.name:
        raise InvalidParameter(f"{kind.word} {spec.name}: this engine has no {kind.word} drivers")
    if spec.templating is not None and spec.templating.name:
        raise InvalidParameter(f"{kind.word} {spec.name}: this engine has no template drivers")
    if not 0 < len(spec.data) < kind.limit_bytes:
        raise InvalidParameter(
            f"{kind.word} data must be larger than 0 and less than {kind.limit_bytes} bytes"
        )


def _refuse_taken(engine: Engine, kind: Kind, name: str) -> None:
    if any(record.name == name for record in all_(engine, kind)):
        raise Conflict(f"{kind.word} {name} already exists")
