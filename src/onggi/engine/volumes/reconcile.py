"""At start: volumes' rows and directories are brought together again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onggi.engine.volumes.record import all_
from onggi.store.trash import delete_tree
from onggi.volumes import filling, local

if TYPE_CHECKING:
    from onggi.engine.engine import Engine


def reconcile(engine: Engine) -> list[str]:
    """Give every row its directory, and throw away directories that no row owns; returns those names.

    A directory without a row is what a removal left that was cut off after its commit point. Fillings that
    were cut off are taken up.
    Blocking; before the first verb.
    """
    owned = {record.name for record in all_(engine)}
    found = set(local.names(engine.paths))
    for name in owned - found:
        local.make(engine.paths, name)
    for name in owned & found:
        filling.finish(engine.paths, name)
    orphans = sorted(found - owned)
    for name in orphans:
        away = local.move_away(engine.paths, name)
        if away is not None:
            delete_tree(away)
    return orphans
