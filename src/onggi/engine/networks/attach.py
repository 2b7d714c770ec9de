"""Give a container its network before it starts.

Commit point: the endpoint row. Before it nothing exists; after it, a crash leaves a row that reconcile
removes with the container's run, and a sandbox that the kernel removes with the last descriptor.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import msgspec

from onggi import failpoints
from onggi.network import bridge
from onggi.network.addresses import mac_text
from onggi.network.sandbox import Sandbox, open_sandbox
from onggi.store import networks as rows
from onggi.wire.networks import EndpointSettings

if TYPE_CHECKING:
    from onggi.engine.engine import Engine
    from onggi.engine.record import ContainerRecord


class Attachment(msgspec.Struct, frozen=True, kw_only=True):
    """What a start needs: the namespace to join, what `inspect` shows. Close the sandbox after the start."""

    sandbox: Sandbox
    endpoints: dict[str, EndpointSettings]

    @property
    def netns_path(self) -> str:
        return self.sandbox.path


async def attach(engine: Engine, record: ContainerRecord) -> Attachment:
    """Connect a container to the default bridge: sandbox, address, interface.

    Raises Unavailable (no address left), Conflict, System, OSError.
    """
    return await engine.offload(_attach, engine, record)


def _attach(engine: Engine, record: ContainerRecord) -> Attachment:
    networks = engine.networks
    default = networks.default_bridge()
    asked = record.endpoints.get("bridge", EndpointSettings())
    forget(engine, record.id)  # of a run that a crash cut off
    address = default.addresses.take()
    endpoint = msgspec.structs.replace(
        asked,
        network_id=default.network_id,
        endpoint_id=secrets.token_hex(32),
        gateway=default.link.gateway,
        ip_address=address,
        ip_prefix_len=default.link.prefix,
        mac_address=mac_text(address),
    )
    try:
        row = rows.EndpointRow(
            endpoint.endpoint_id, default.network_id, record.id, msgspec.json.encode(endpoint)
        )
        rows.attach(engine.database, row)
        failpoints.hit("network.endpoint-written")
        sandbox = open_sandbox()
        try:
            failpoints.hit("network.sandbox-opened")
            bridge.connect(default.link, sandbox, host_name(endpoint.endpoint_id), "eth0", address)
        except BaseException:
            sandbox.close()
            raise
    except BaseException:
        forget(engine, record.id)
        default.addresses.give_back(address)
        raise
    failpoints.hit("network.connected")
    return Attachment(sandbox=sandbox, endpoints={"bridge": endpoint})


def host_name(endpoint_id: str) -> str:
    """The name of the host's end of an endpoint's pair: IFNAMSIZ allows 15 characters."""
    return "og" + endpoint_id[:11]


def forget(engine: Engine, container_id: str) -> None:
    """Delete the endpoint rows of a container and free their addresses."""
    default = engine.networks.known_default()
    for row in rows.endpoints(engine.database, container_id=container_id):
        endpoint = msgspec.json.decode(row.record, type=EndpointSettings)
        rows.detach(engine.database, row.id)
        if default is not None and endpoint.network_id == default.network_id and endpoint.ip_address:
            default.addresses.give_back(endpoint.ip_address)
