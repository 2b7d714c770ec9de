"""Take a container out of its networks after its run.

The interfaces need no removal: the kernel takes them with the sandbox when the container's last process is
gone. What is ours are the endpoint rows, addresses, published ports and names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from onggi.engine.networks import bandwidth
from onggi.engine.networks.attach import forget

if TYPE_CHECKING:
    from onggi.engine.engine import Engine
    from onggi.engine.record import ContainerRecord


async def detach(engine: Engine, record: ContainerRecord) -> None:
    """Forget the endpoints of a container; one that has none is no error. Raises System."""
    if not record.asked_endpoints:
        return
    if engine.networks.filter.ports.has(record.id) or any(map(bandwidth.limited, record.endpoints.values())):
        await engine.offload(forget, engine, record.id)  # the firewall changes, a link goes: that blocks
    else:
        forget(engine, record.id)


def cleared(record: ContainerRecord) -> dict[str, Any]:
    """The changes of a record whose run has ended: networks without addresses, no ports."""
    return {"endpoints": record.asked_endpoints, "ports": {}, "sandbox_id": ""}
