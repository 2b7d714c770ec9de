"""At the engine's start: endpoints without a running container go, interfaces without an endpoint go."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onggi.engine.networks.attach import forget, host_name
from onggi.network import bridge

if TYPE_CHECKING:
    from onggi.engine.engine import Engine


def reconcile(engine: Engine, running_ids: set[str]) -> None:
    """Blocking; called before the first request is served, with the ids of the containers that run on."""
    for container_id, _ in engine.networks.endpoints():
        if container_id not in running_ids:
            forget(engine, container_id)
    owned = {host_name(endpoint.endpoint_id) for _, endpoint in engine.networks.endpoints()}
    link = bridge.Bridge(name=engine.networks.bridge_name, gateway="", prefix=0)
    for name in bridge.interfaces(link):
        if name.startswith("og") and name not in owned:
            bridge.disconnect(name)
