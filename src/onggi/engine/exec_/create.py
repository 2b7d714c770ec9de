"""Make an exec instance: checked and remembered, not yet started."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from onggi import failpoints
from onggi.engine.access import own
from onggi.engine.attach_options import detach_keys
from onggi.engine.exec_.table import Exec
from onggi.engine.status import Status
from onggi.errors import Conflict, InvalidParameter
from onggi.wire.containers import ExecCreateRequest

if TYPE_CHECKING:
    from onggi.engine.engine import Engine


async def create(engine: Engine, name: str, request: ExecCreateRequest) -> str:
    """The id of a new instance. Raises NoSuchContainer, Conflict (not running, paused), InvalidParameter.

    Failpoint: exec.created.
    """
    container = engine.containers.get(name)
    own.check_exec(engine, request)
    if container.status is Status.RESTARTING:
        raise Conflict(f"Container {container.id} is restarting, wait until the container is running")
    if container.status is Status.PAUSED:
        raise Conflict(f"container {container.id} is paused, unpause the container before exec")
    if not container.running:
        raise Conflict(f"container {container.id} is not running")
    if not request.cmd:
        raise InvalidParameter("No exec command specified")
    detach_keys(request.detach_keys)
    instance = Exec(secrets.token_hex(32), container, request)
    engine.execs.add(instance)
    failpoints.hit("exec.created")
    engine.events.exec_("exec_create", container.record, instance.id, request.cmd)
    return instance.id
