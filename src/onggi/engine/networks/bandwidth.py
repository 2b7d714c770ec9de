"""Limits of bandwidth: driver options of an endpoint (`bandwidth-in`, `bandwidth-out`), else of its network.

An endpoint that is connected has in its driver options what holds, so `inspect` shows it. They can be changed
while the container runs (`update`). Not here: how they are held (network/bandwidth.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from onggi.engine.networks.table import host_name
from onggi.errors import InvalidParameter
from onggi.network import bandwidth
from onggi.network.bandwidth import IN, OUT
from onggi.store import networks as rows

if TYPE_CHECKING:
    from onggi.engine.engine import Engine
    from onggi.engine.record import ContainerRecord
    from onggi.wire.containers import ContainerUpdateRequest
    from onggi.wire.networks import EndpointSettings, Network


def check(driver: str, name: str, options: dict[str, str]) -> None:
    """Refuse what is no rate, and networks that cannot hold to one. Raises InvalidParameter."""
    wanted = bandwidth.from_options(options)
    if wanted != bandwidth.Bandwidth() and driver != "bridge":
        raise InvalidParameter(
            f"invalid config for network {name}: {IN} and {OUT} need a network of the driver bridge: "
            f"containers of {driver} have no end on the host"
        )


def settled(network: Network, endpoint: EndpointSettings) -> EndpointSettings:
    """The endpoint with what its network says where it says nothing itself."""
    of_network = {key: network.options[key] for key in (IN, OUT) if key in network.options}
    return msgspec.structs.replace(endpoint, driver_opts={**of_network, **endpoint.driver_opts})


def apply(endpoint: EndpointSettings, owner: str) -> None:
    """Hold a connected endpoint to its options. Blocking. Raises System, OSError."""
    if limited(endpoint):
        bandwidth.apply(host_name(endpoint.endpoint_id), bandwidth.from_options(endpoint.driver_opts), owner)


def limited(endpoint: EndpointSettings) -> bool:
    """Does it say anything of bandwidth?"""
    return bool(endpoint.driver_opts.keys() & {IN, OUT})


def clear(endpoint: EndpointSettings) -> None:
    """What the kernel does not take away with the endpoint's interface. Blocking."""
    if OUT in endpoint.driver_opts:
        bandwidth.clear(host_name(endpoint.endpoint_id))


def changed(engine: Engine, record: ContainerRecord, request: ContainerUpdateRequest) -> dict[str, Any]:
    """Blocking: what `update` changes in a record; of a container that runs the kernel comes first.

    Raises InvalidParameter, System, OSError.
    """
    options = {
        key: value
        for key, value in ((IN, request.bandwidth_in), (OUT, request.bandwidth_out))
        if value is not None
    }
    if not options:
        return {}
    names = [request.bandwidth_network] if request.bandwidth_network else list(record.asked_endpoints)
    if not names:
        raise InvalidParameter(f"container {record.name} has no network of its own to limit")
    if request.bandwidth_network and request.bandwidth_network not in record.asked_endpoints:
        raise InvalidParameter(
            f"container {record.name} is not connected to network {request.bandwidth_network}"
        )
    asked, endpoints = dict(record.asked_endpoints), dict(record.endpoints)
    for name in names:
        network = engine.networks.get(name)
        check(network.driver, name, options)
        asked[name] = _with(asked[name], options)
        if endpoints[name].endpoint_id:
            endpoints[name] = _with(endpoints[name], options)
            apply(endpoints[name], engine.networks.table_name)
            row = rows.EndpointRow(
                endpoints[name].endpoint_id, network.id, record.id, msgspec.json.encode(endpoints[name])
            )
            rows.attach(engine.database, row)
        else:
            endpoints[name] = asked[name]
    return {"asked_endpoints": asked, "endpoints": endpoints}


def _with(endpoint: EndpointSettings, options: dict[str, str]) -> EndpointSettings:
    return msgspec.structs.replace(endpoint, driver_opts={**endpoint.driver_opts, **options})
