"""Change the limits and the restart policy of a container, running or not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from onggi import failpoints
from onggi.engine import run_paths
from onggi.engine.access import own
from onggi.engine.containers import limits, validate
from onggi.engine.networks import bandwidth, republish
from onggi.engine.oci.resources import resources
from onggi.engine.status import Status
from onggi.errors import Conflict, InvalidParameter
from onggi.wire.containers import ContainerUpdateRequest, ContainerUpdateResponse, HostConfig

if TYPE_CHECKING:
    from onggi.engine.engine import Engine

FIELDS = (
    "cpu_shares", "memory", "memory_reservation", "memory_swap", "blkio_weight", "cpu_period", "cpu_quota",
    "cpu_realtime_period", "cpu_realtime_runtime", "cpuset_cpus", "cpuset_mems", "nano_cpus",
)  # fmt: skip


async def update(engine: Engine, name: str, request: ContainerUpdateRequest) -> ContainerUpdateResponse:
    """Zero and empty mean "as it is". The kernel comes first: what it refuses is not recorded.

    Commit point: the row. Failpoints: update.kernel-changed, update.republished.
    Raises NoSuchContainer, InvalidParameter, Conflict, OSError.
    """
    async with engine.containers.locked(name) as container:
        if container.status in (Status.REMOVING, Status.DEAD):
            raise Conflict(
                f"Cannot update container {container.id}: "
                'container is marked for removal and cannot be "update".'
            )
        before = container.record.host_config
        changed, warnings = limits.discard(engine.cgroups, _merge(before, request))
        validate.resources(changed)
        validate.restart_policy(changed.restart_policy)
        if before.auto_remove and changed.restart_policy.name not in ("", "no"):
            raise InvalidParameter(
                "Restart policy cannot be updated because AutoRemove is enabled for the container"
            )
        wanted = resources(changed)
        if container.running and wanted and wanted != resources(before):
            group = run_paths.group(engine, container.record)
            await engine.offload(group.update, wanted)
            failpoints.hit("update.kernel-changed")
        changes: dict[str, Any] = {}
        own.check_update(engine, request.publish_add)
        if request.publish_add or request.publish_rm:
            bindings = republish.changed(container.record, request)
            if container.running:
                changes = await engine.offload(republish.apply, engine, container.record, request)
                failpoints.hit("update.republished")
            changed = msgspec.structs.replace(changed, port_bindings=bindings)
        changes |= await engine.offload(bandwidth.changed, engine, container.record, request)
        container.update(host_config=changed, **changes)
        engine.events.container("update", container.record)
    return ContainerUpdateResponse(warnings=warnings)


def _merge(before: HostConfig, request: ContainerUpdateRequest) -> HostConfig:
    changes: dict[str, Any] = {name: getattr(request, name) for name in FIELDS if getattr(request, name)}
    if request.pids_limit is not None:
        changes["pids_limit"] = request.pids_limit
    if request.restart_policy.name:
        changes["restart_policy"] = request.restart_policy
    if "nano_cpus" in changes and (before.cpu_period or before.cpu_quota):
        raise InvalidParameter(
            "Conflicting options: Nano CPUs cannot be updated as CPU Period or Quota has already been set"
        )
    if before.nano_cpus and ("cpu_period" in changes or "cpu_quota" in changes):
        raise InvalidParameter(
            "Conflicting options: CPU Period or Quota cannot be updated as NanoCPUs has already been set"
        )
    if "memory" in changes and "memory_swap" not in changes and 0 < before.memory_swap < changes["memory"]:
        raise InvalidParameter(
            "Memory limit should be smaller than already set memoryswap limit, "
            "update the memoryswap at the same time"
        )
    return msgspec.structs.replace(before, **changes)
