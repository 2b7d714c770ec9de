"""What a caller of level "own" may ask for when he makes a container: nothing that reaches beyond it.

The list says what may be set; everything else must be as it is without being asked for, so that an option
which is added later is refused until somebody has thought about it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from onggi.engine import runtimes
from onggi.engine.access import callers
from onggi.engine.access.policy import Level
from onggi.errors import Forbidden, NoSuchContainer
from onggi.spec.number import whole
from onggi.wire.containers import ContainerCreateRequest, ExecCreateRequest, HostConfig
from onggi.wire.networks import PortBinding

if TYPE_CHECKING:
    from collections.abc import Mapping

    from onggi.engine.engine import Engine
    from onggi.engine.record import ContainerRecord

# Limits and manners of the container itself.
HARMLESS = frozenset(
    {
        "annotations", "auto_remove", "blkio_weight", "cap_drop", "console_size", "cpu_count", "cpu_period",
        "cpu_quota", "cpu_shares", "cpuset_cpus", "cpuset_mems", "dns", "dns_options", "dns_search",
        "extra_hosts", "group_add", "init", "log_config", "memory", "memory_reservation", "memory_swap",
        "memory_swappiness", "nano_cpus", "oom_kill_disable", "pids_limit", "port_bindings",
        "publish_all_ports", "readonly_rootfs", "restart_policy", "shm_size", "tmpfs", "ulimits",
    }
)  # fmt: skip
MODES = {
    "network_mode": ("", "default", "bridge", "none"),
    "pid_mode": ("",),
    "ipc_mode": ("", "none", "private"),
    "uts_mode": ("",),
    "cgroupns_mode": ("", "private"),
    "isolation": ("", "default"),
    "runtime": (None, "", "runc", "onggi", "io.containerd.runc.v2"),
    "security_opt": ([], ["no-new-privileges"], ["no-new-privileges:true"], ["no-new-privileges=true"]),
}


FIRST_FREE_PORT = 1024


def level(engine: Engine) -> Level:
    """The rights of who asks now."""
    return Level.ALL if engine.access is None else engine.access.level(callers.current())


def owner() -> str:
    """Who a container belongs to that is made now; empty: nobody."""
    caller = callers.current()
    return caller.key if caller is not None else ""


def sees(engine: Engine, record: ContainerRecord) -> bool:
    """May who asks now know of this container?"""
    return level(engine) is not Level.OWN or record.owner == owner()


def refuse_foreign(engine: Engine, record: ContainerRecord, name: str) -> None:
    """Another's container is not there. Raises NoSuchContainer."""
    if not sees(engine, record):
        raise NoSuchContainer(name)


def check_create(engine: Engine, request: ContainerCreateRequest) -> None:
    """Raises Forbidden, which names the field."""
    if level(engine) is not Level.OWN:
        return
    host, default = request.host_config, HostConfig()
    for field in msgspec.structs.fields(HostConfig):
        name, value = field.name, getattr(host, field.name)
        if name in HARMLESS or value == getattr(default, name) or not value or value in MODES.get(name, ()):
            continue
        if name == "userns_mode" and value.partition(":")[0] == "auto" and "mapping" not in value:
            continue
        if name == "userns_mode" and value == "keep-id":
            continue
        if name == "mounts" and all(m.type in ("tmpfs",) for m in value):
            continue
        raise Forbidden(f"access policy: HostConfig.{field.encode_name} = {shown(value)} is not for you")
    _check_annotations(engine, host)
    _check_ports(host.port_bindings)
    networks = set(request.networking_config.endpoints_config or {}) if request.networking_config else set()
    if networks - set(MODES["network_mode"]):
        raise Forbidden(f"access policy: network {', '.join(sorted(networks))} is not for you")
    for name in ("masked_paths", "readonly_paths"):
        if getattr(host, name) is not None:
            raise Forbidden(f"access policy: HostConfig.{name} is not for you")


def _check_annotations(engine: Engine, host: HostConfig) -> None:
    """Other runtimes act on some with the rights of the host: crun writes hooks' output to a path in one."""
    name = host.runtime or engine.config.default_runtime
    if host.annotations and runtimes.command(engine.config, name, engine.paths):
        raise Forbidden(
            f"access policy: HostConfig.Annotations = {shown(host.annotations)} is not for you with {name}"
        )


def check_update(engine: Engine, publish_add: Mapping[str, list[PortBinding] | None]) -> None:
    """Raises Forbidden."""
    if level(engine) is Level.OWN:
        _check_ports(publish_add)


def _check_ports(wanted: Mapping[str, list[PortBinding] | None]) -> None:
    """Ports that only root may bind (ip(7)) are not given away."""
    for bindings in wanted.values():
        for binding in bindings or ():
            if whole(binding.host_port.partition("-")[0], FIRST_FREE_PORT - 1):
                raise Forbidden(f"access policy: port {binding.host_port} of the host is not for you")


def check_exec(engine: Engine, request: ExecCreateRequest) -> None:
    """Raises Forbidden."""
    if level(engine) is Level.OWN and request.privileged:
        raise Forbidden("access policy: a privileged exec is not for you")


def shown(value: object) -> str:
    return repr(msgspec.to_builtins(value))[:200]
