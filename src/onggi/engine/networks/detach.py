"""Take a container out of its networks after its run.

The interfaces need no removal: the kernel takes them with the sandbox when the container's last process is
gone. What is ours is the endpoint row and its address.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from onggi.engine.networks.attach import forget

if TYPE_CHECKING:
    from onggi.engine.engine import Engine
    from onggi.engine.record import ContainerRecord


async def detach(engine: Engine, record: ContainerRecord) -> None:
    """Forget the endpoints of a container; one that has none is no error."""
    if record.endpoints:
        forget(engine, record.id)
