"""The database: its pages, its references, and what its leases speak of."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from onggi.images.check.fault import Fault
from onggi.store.database import Database


def faults(database: Database, *, quick: bool) -> Iterator[Fault]:
    """SQLite's own checks, and leases of what is no more."""
    pragma = "quick_check" if quick else "integrity_check"
    for (verdict,) in database.read(f"PRAGMA {pragma}(20)"):
        if verdict != "ok":
            yield Fault("database-corrupt", "onggi.db", " ".join(str(verdict).split()))
    for table, number, parent, _ in database.read("PRAGMA foreign_key_check"):
        said = f"its row {number} refers to a row of {parent} that is not there"
        yield Fault(
            "database-row", f"table {table}", said, 0, "delete that row", _delete(database, table, number)
        )
    dangling = (
        "SELECT owner, target FROM roots WHERE kind = 'snapshot'"
        " AND target NOT IN (SELECT key FROM snapshots)"
        " UNION SELECT owner, target FROM roots WHERE kind = 'image'"
        " AND target NOT IN (SELECT id FROM images)"
    )
    for owner, target in database.read(dangling):
        said = f"{owner} keeps {target}, which is not there"
        yield Fault("lease-dangling", owner, said, 0, "forget it", _forget(database, owner, target))


def _delete(database: Database, table: str, number: int | None) -> Callable[[], None]:
    """Of a table WITHOUT ROWID SQLite gives no number: then its rows that lead nowhere are found by name."""

    def mend() -> None:
        if number is None:
            wanted = "DELETE FROM blobs WHERE image_id NOT IN (SELECT id FROM images)"
            if table == "stacks":
                wanted = (
                    "DELETE FROM stacks WHERE image_id NOT IN (SELECT id FROM images)"
                    " OR chain_id NOT IN (SELECT chain_id FROM layers)"
                )
            database.write(wanted)
        elif table.isidentifier():
            database.write(f"DELETE FROM {table} WHERE rowid = ?", number)

    return mend


def _forget(database: Database, owner: str, target: str) -> Callable[[], None]:
    def mend() -> None:
        database.write("DELETE FROM roots WHERE owner = ? AND target = ?", owner, target)

    return mend
