"""Networks: their rows, and endpoints' rows against containers.

network-corrupt     a record that does not decode
network-lost        one of the three predefined networks has no row
endpoint-unowned    an endpoint of a container that is not there or not in that network
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import msgspec

from onggi.engine.clock import rfc3339
from onggi.engine.networks.table import DEFAULT, PREDEFINED, predefined
from onggi.images.check.fault import Checked, Fault
from onggi.store import networks as rows
from onggi.wire.networks import EndpointSettings, Network

if TYPE_CHECKING:
    from onggi.engine.engine import Engine


def faults(engine: Engine, checked: Checked) -> Iterator[Fault]:
    """Rows alone: what is on the host is mended as it is used (networks/watch.py)."""
    names = set()
    for row in rows.list_(engine.database):
        checked.networks += 1
        names.add(row.name)
        try:
            msgspec.json.decode(row.record, type=Network)
        except msgspec.DecodeError as error:
            said = f"its record does not decode: {error}"
            mend = _again(engine, row) if row.name in PREDEFINED else None
            yield Fault("network-corrupt", row.name, said, 0, "write it anew" if mend else "", mend)
    wanted = {name for name in PREDEFINED if name != DEFAULT or engine.config.bridge != "none"}
    for name in sorted(wanted - names):
        yield Fault("network-lost", name, "has no row", 0, "write it", engine.networks.open)
    for endpoint in rows.endpoints(engine.database):
        yield from _endpoint(engine, endpoint)


def _endpoint(engine: Engine, row: rows.EndpointRow) -> Iterator[Fault]:
    shown = f"{row.container_id[:12]} in {row.network_id[:12]}"
    said = ""
    if engine.database.one("SELECT 1 FROM containers WHERE id = ?", row.container_id) is None:
        said = f"container {row.container_id} is not there"
    elif engine.database.one("SELECT 1 FROM networks WHERE id = ?", row.network_id) is None:
        said = f"network {row.network_id} is not there"
    else:
        try:
            msgspec.json.decode(row.record, type=EndpointSettings)
        except msgspec.DecodeError as error:
            yield Fault("endpoint-corrupt", shown, f"its record does not decode: {error}")
    if said and any(one.id == row.id for one in rows.endpoints(engine.database, network_id=row.network_id)):
        yield Fault("endpoint-unowned", shown, said, 0, "delete its row", _detach(engine, row.id))


def _detach(engine: Engine, endpoint_id: str) -> Callable[[], None]:
    def mend() -> None:
        rows.detach(engine.database, endpoint_id)

    return mend


def _again(engine: Engine, row: rows.NetworkRow) -> Callable[[], None]:
    """A predefined network's row as at the first start; endpoints keep their network's id."""

    def mend() -> None:
        network = predefined(row.name, row.driver, rfc3339(row.created_at))
        fresh = msgspec.structs.replace(network, id=row.id)
        rows.update(engine.database, row.id, msgspec.json.encode(fresh))

    return mend
