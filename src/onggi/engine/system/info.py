"""What `docker info` shows: the engine's and the machine's facts, as they are."""

from __future__ import annotations

import asyncio
import os
import shutil
from typing import TYPE_CHECKING

from onggi import __version__
from onggi.engine import clock
from onggi.engine.status import Status
from onggi.engine.system import host
from onggi.engine.system.identity import engine_id
from onggi.wire.system import (
    AddressPool,
    Commit,
    IndexInfo,
    PluginsInfo,
    RegistryServiceConfig,
    Runtime,
    SystemInfo,
)

if TYPE_CHECKING:
    from onggi.engine.engine import Engine

DEFAULT_RUNTIME = "onggi"


async def info(engine: Engine) -> SystemInfo:
    """Everything that `info` has. A count or a warning that is wrong here is a bug: nothing is made up."""
    config = engine.config
    limits = host.limits()
    system = host.distribution()
    running, paused, stopped = _counts(engine)
    return SystemInfo(
        id=engine_id(engine.database),
        containers=len(engine.containers),
        containers_running=running,
        containers_paused=paused,
        containers_stopped=stopped,
        images=await engine.offload(_images, engine),
        driver=engine.snapshots.driver,
        driver_status=[["Backing Filesystem", await engine.offload(host.filesystem, engine.paths.root)]],
        docker_root_dir=engine.paths.root,
        plugins=PluginsInfo(
            volume=["local"], network=["bridge", "host", "null"], log=["json-file", "local", "none"]
        ),
        memory_limit=limits.memory,
        swap_limit=limits.swap,
        cpu_cfs_period=limits.cpu_period,
        cpu_cfs_quota=limits.cpu_period,
        cpu_shares=limits.cpu_shares,
        cpu_set=limits.cpuset,
        pids_limit=limits.pids,
        oom_kill_disable=limits.oom_kill_disable,
        ipv4_forwarding=host.ipv4_forwarding(),
        debug=config.debug,
        n_fd=len(os.listdir("/proc/self/fd")),
        n_goroutines=len(asyncio.all_tasks()),
        system_time=clock.rfc3339(clock.now()),
        logging_driver=config.log_driver,
        cgroup_driver="cgroupfs" if limits.version else "none",
        cgroup_version=limits.version,
        n_events_listener=engine.events.listeners,
        kernel_version=host.kernel(),
        operating_system=system.name,
        os_version=system.version,
        os_type="linux",
        architecture=host.machine(),
        ncpu=host.cpus(),
        mem_total=host.memory_bytes(),
        index_server_address="https://index.docker.io/v1/",
        registry_config=_registries(engine),
        name=host.hostname(),
        labels=list(config.labels),
        server_version=__version__,
        runtimes={DEFAULT_RUNTIME: Runtime(path=shutil.which("onggi-runtime") or "onggi-runtime")},
        default_runtime=DEFAULT_RUNTIME,
        live_restore_enabled=True,
        init_binary=config.init_path or "onggi-init",
        containerd_commit=Commit(),
        runc_commit=Commit(),
        init_commit=Commit(),
        security_options=_security(engine),
        default_address_pools=[
            AddressPool(base=pool.base, size=pool.size) for pool in config.default_address_pools
        ],
        warnings=_warnings(limits),
    )


def _counts(engine: Engine) -> tuple[int, int, int]:
    """Running, paused, stopped: together all containers."""
    statuses = [container.status for container in engine.containers.all()]
    running = sum(status in (Status.RUNNING, Status.RESTARTING) for status in statuses)
    paused = statuses.count(Status.PAUSED)
    return running, paused, len(statuses) - running - paused


def _images(engine: Engine) -> int:
    rows = engine.database.one("SELECT count(*) FROM images")
    return int(rows[0]) if rows is not None else 0


def _registries(engine: Engine) -> RegistryServiceConfig:
    config = engine.config
    networks = [name for name in config.insecure_registries if "/" in name]
    hosts = [name for name in config.insecure_registries if "/" not in name]
    indexes = {name: IndexInfo(name=name, mirrors=[], secure=False, official=False) for name in hosts}
    indexes["docker.io"] = IndexInfo(
        name="docker.io", mirrors=list(config.registry_mirrors), secure=True, official=True
    )
    return RegistryServiceConfig(
        insecure_registry_cidrs=["::1/128", "127.0.0.0/8", *networks],
        index_configs=indexes,
        mirrors=list(config.registry_mirrors),
    )


def _security(engine: Engine) -> list[str]:
    options = ["name=seccomp,profile=builtin"] if host.seccomp_works() else []
    if host.limits().version == "2" or engine.config.default_cgroupns_mode == "private":
        options.append("name=cgroupns")
    if engine.config.no_new_privileges:
        options.append("name=no-new-privileges")
    return options


def _warnings(limits: host.Limits) -> list[str]:
    checks = (
        (limits.memory, "WARNING: No memory limit support"),
        (limits.swap, "WARNING: No swap limit support"),
        (limits.cpu_period, "WARNING: No cpu cfs quota support"),
        (limits.cpu_shares, "WARNING: No cpu shares support"),
        (limits.cpuset, "WARNING: No cpuset support"),
        (limits.pids, "WARNING: No pids limit support"),
        (host.ipv4_forwarding(), "WARNING: IPv4 forwarding is disabled"),
        (host.seccomp_works(), "WARNING: No seccomp support"),
    )
    return [text for works, text in checks if not works]
