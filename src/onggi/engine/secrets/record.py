"""What the database holds of a secret or a config, how it is found and shown, and who uses it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from onggi.engine import clock
from onggi.errors import Corrupt, InvalidParameter, NotFound
from onggi.store import secrets as rows
from onggi.wire.secrets import Secret, SecretSpec, SecretVersion

if TYPE_CHECKING:
    from onggi.engine.engine import Engine
    from onggi.engine.record import ContainerRecord


class Kind(msgspec.Struct, frozen=True):
    """`word` is in rows, events and errors; `limit_bytes` is Docker's, data has to be shorter."""

    word: str
    limit_bytes: int


SECRET = Kind("secret", 500 << 10)
CONFIG = Kind("config", 1000 << 10)


class SecretRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One of them, without its data. Instants in ns; `version` counts the changes, from 1."""

    id: str
    name: str
    created_at: int
    updated_at: int
    version: int = 1
    labels: dict[str, str] = {}


def all_(engine: Engine, kind: Kind) -> list[SecretRecord]:
    """By name. Raises Corrupt."""
    return [_decoded(kind, record) for record in rows.records(engine.database, kind.word)]


def get(engine: Engine, kind: Kind, reference: str) -> SecretRecord:
    """By id, name, or beginning of an id, in Docker's order. Raises NotFound, InvalidParameter."""
    known = all_(engine, kind)
    for record in known:
        if record.id == reference:
            return record
    for record in known:
        if record.name == reference:
            return record
    found = [record for record in known if record.id.startswith(reference)]
    if not found:
        raise NotFound(f"{kind.word} {reference} not found")
    if len(found) > 1:
        raise InvalidParameter(f"{kind.word} {reference} is ambiguous ({len(found)} matches found)")
    return found[0]


def identity(kind: Kind, id: str) -> str:
    """What the data is sealed to: another row's does not open."""
    return f"{kind.word} {id}"


def data(engine: Engine, kind: Kind, record: SecretRecord) -> bytes:
    """What is in it. Blocking. Raises NotFound (removed meanwhile), Corrupt, System, OSError."""
    sealed = rows.sealed(engine.database, record.id)
    if sealed is None:
        raise NotFound(f"{kind.word} {record.name} not found")
    return engine.sealing.open(sealed, identity(kind, record.id))


def shown(record: SecretRecord, content: bytes = b"") -> Secret:
    """As inspect shows it; a secret without content."""
    return Secret(
        id=record.id,
        version=SecretVersion(index=record.version),
        created_at=clock.rfc3339(record.created_at),
        updated_at=clock.rfc3339(record.updated_at),
        spec=SecretSpec(name=record.name, labels=record.labels, data=content),
    )


def references(record: ContainerRecord, kind: Kind) -> list[str]:
    """Ids of what a container was given."""
    host = record.host_config
    if kind is SECRET:
        return [each.secret_id for each in host.secrets]
    return [each.config_id for each in host.configs]


def users(engine: Engine, kind: Kind, id: str) -> list[str]:
    """Names of the containers that were given it, running or not."""
    return [
        container.name for container in engine.containers.all() if id in references(container.record, kind)
    ]


def _decoded(kind: Kind, record: bytes) -> SecretRecord:
    try:
        return msgspec.json.decode(record, type=SecretRecord)
    except msgspec.DecodeError as error:
        raise Corrupt(f"record of a {kind.word} is corrupt: {error}") from None
