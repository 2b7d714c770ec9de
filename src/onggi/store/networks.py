"""Rows of networks and of their endpoints. Records are the engine's JSON, kept here as bytes."""

from __future__ import annotations

import sqlite3

import msgspec

from onggi.errors import Conflict, InvalidParameter, NoSuchNetwork
from onggi.store.database import Database

COLUMNS = "id, name, driver, created_at, record"
ENDPOINT_COLUMNS = "id, network_id, container_id, record"


class NetworkRow(msgspec.Struct, frozen=True):
    """created_at is in nanoseconds since 1970."""

    id: str
    name: str
    driver: str
    created_at: int
    record: bytes


class EndpointRow(msgspec.Struct, frozen=True):
    """A container's place in a network."""

    id: str
    network_id: str
    container_id: str
    record: bytes


def insert(database: Database, row: NetworkRow) -> None:
    """Add a network. Raises Conflict when the name is taken."""
    try:
        database.write(
            f"INSERT INTO networks ({COLUMNS}) VALUES (?, ?, ?, ?, ?)",
            row.id, row.name, row.driver, row.created_at, row.record,
        )  # fmt: skip
    except sqlite3.IntegrityError:
        raise Conflict(f"network with name {row.name} already exists") from None


def update(database: Database, network_id: str, record: bytes) -> None:
    """Replace the record. Raises NoSuchNetwork."""
    if not database.write("UPDATE networks SET record = ? WHERE id = ?", record, network_id):
        raise NoSuchNetwork(network_id)


def delete(database: Database, network_id: str) -> None:
    """Forget a network and its endpoints; rows that are gone already are no fault."""
    with database.transaction():
        database.write("DELETE FROM endpoints WHERE network_id = ?", network_id)
        database.write("DELETE FROM networks WHERE id = ?", network_id)


def list_(database: Database) -> list[NetworkRow]:
    """All networks, oldest first."""
    rows = database.read(f"SELECT {COLUMNS} FROM networks ORDER BY created_at, id")
    return [NetworkRow(*row) for row in rows]


def resolve(database: Database, reference: str) -> NetworkRow:
    """By full id, then name, then a prefix of one id. Raises NoSuchNetwork, InvalidParameter."""
    row = database.one(
        f"SELECT {COLUMNS} FROM networks WHERE id = ?1 OR name = ?1 ORDER BY id = ?1 DESC LIMIT 1", reference
    )
    if row is not None:
        return NetworkRow(*row)
    found = database.read(
        f"SELECT {COLUMNS} FROM networks WHERE ?1 != '' AND id >= ?1 AND id < ?2",
        reference, reference + "\U0010ffff",
    )  # fmt: skip
    if len(found) > 1:
        raise InvalidParameter(
            f"network {reference} is ambiguous ({len(found)} matches found based on ID prefix)"
        )
    if not found:
        raise NoSuchNetwork(reference)
    return NetworkRow(*found[0])


def attach(database: Database, row: EndpointRow) -> None:
    """Add or replace an endpoint. Raises Conflict when the container has another in that network."""
    try:
        database.write(
            f"INSERT INTO endpoints ({ENDPOINT_COLUMNS}) VALUES (?, ?, ?, ?)"
            " ON CONFLICT (id) DO UPDATE SET record = excluded.record",
            row.id, row.network_id, row.container_id, row.record,
        )  # fmt: skip
    except sqlite3.IntegrityError as error:
        if "FOREIGN KEY" in str(error):
            raise NoSuchNetwork(row.network_id) from None
        raise Conflict(
            f"endpoint with container {row.container_id} already exists in network {row.network_id}"
        ) from None


def detach(database: Database, endpoint_id: str) -> None:
    """Forget an endpoint; a row that is gone already is no fault."""
    database.write("DELETE FROM endpoints WHERE id = ?", endpoint_id)


def endpoints(database: Database, *, network_id: str = "", container_id: str = "") -> list[EndpointRow]:
    """The endpoints of a network, of a container, of both, or all."""
    rows = database.read(
        f"SELECT {ENDPOINT_COLUMNS} FROM endpoints"
        " WHERE (?1 = '' OR network_id = ?1) AND (?2 = '' OR container_id = ?2) ORDER BY id",
        network_id, container_id,
    )  # fmt: skip
    return [EndpointRow(*row) for row in rows]
