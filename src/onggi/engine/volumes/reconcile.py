"""At start: volumes' rows and directories are brought together again."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import msgspec

from onggi.engine.volumes.create import make_directory
from onggi.engine.volumes.record import VolumeRecord, all_, users
from onggi.engine.volumes.rename import finish as finish_rename
from onggi.errors import OnggiError
from onggi.store import volumes as rows
from onggi.store.trash import delete_tree
from onggi.volumes import filling, local

if TYPE_CHECKING:
    from onggi.engine.engine import Engine

log = logging.getLogger(__name__)


def reconcile(engine: Engine) -> list[str]:
    """Give every row its directory, and throw away directories that no row owns; returns those names.

    A directory without a row is what a removal left that was cut off after its commit point. Fillings that
    were cut off are taken up.
    Blocking; before the first verb.
    """
    for record in all_(engine):
        if record.moved_from:
            finish_rename(engine, record)
        if record.making:
            _unfinished(engine, record)
    records = {record.name: record for record in all_(engine)}
    owned = set(records)
    found = set(local.names(engine.paths))
    for name in owned - found:
        try:
            make_directory(engine, records[name])
        except OnggiError as error:  # its file system has no quotas any more
            log.error("volume %s has no directory: %s", name, error.message)
    for name in owned & found:
        filling.finish(engine.paths, name)
    orphans = sorted(found - owned)
    for name in orphans:
        away = local.move_away(engine.paths, name)
        if away is not None:
            delete_tree(away)
    return orphans


def _unfinished(engine: Engine, record: VolumeRecord) -> None:
    """A clone or import that was cut off: taken away with its directory, unless a container has it."""
    if users(engine, record.name):
        whole = msgspec.structs.replace(record, making=False)
        rows.update(engine.database, record.name, msgspec.json.encode(whole))
    else:
        rows.delete(engine.database, record.name)
