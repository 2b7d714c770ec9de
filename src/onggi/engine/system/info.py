"""What `docker info` shows: the engine's and the machine's facts, as they are."""

from __future__ import annotations

import asyncio
import os
import shutil
from typing import TYPE_CHECKING

from onggi import __version__
from onggi.engine import apparmor, clock, rootless, runtimes
from onggi.engine.cdi import catalog
from onggi.engine.status import Status
from onggi.engine.system import host
from onggi.engine.system.identity import engine_id
from onggi.registry import proxies
from onggi.wire.system import (
    AddressPool,
    Commit,
    DeviceInfo,
    IndexInfo,
    PluginsInfo,
    RegistryServiceConfig,
    Runtime,
    SystemInfo,
)

if TYPE_CHECKING:
    from onggi.engine.config import EngineConfig
    from onggi.engine.engine import Engine

OWN_PROGRAM = "onggi-runtime"  # what it is called by others


async def info(engine: Engine) -> SystemInfo:
    """Everything that `info` has. A count or a warning that is wrong here is a bug: nothing is made up."""
    config = engine.config
    limits = host.limits(engine.cgroups)
    system = host.distribution()
    running, paused, stopped = _counts(engine)
    devices = await engine.offload(catalog.read, config.cdi_directories)
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
            volume=["local"],
            network=["bridge", "host", "ipvlan", "macvlan", "null"],
            log=["json-file", "local", "none"],
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
        cgroup_driver="none" if engine.cgroups.mode == "none" else "cgroupfs",
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
        http_proxy=proxies.shown(config.proxies.http_proxy),
        https_proxy=proxies.shown(config.proxies.https_proxy),
        no_proxy=config.proxies.no_proxy,
        name=host.hostname(),
        labels=list(config.labels),
        server_version=__version__,
        runtimes=_runtimes(config),
        default_runtime=config.default_runtime,
        live_restore_enabled=True,
        init_binary=config.init_path or "onggi-init",
        containerd_commit=Commit(),
        runc_commit=Commit(),
        init_commit=Commit(),
        security_options=_security(engine),
        default_address_pools=[
            AddressPool(base=pool.base, size=pool.size) for pool in config.default_address_pools
        ],
        warnings=_warnings(engine, limits) + _cdi_warnings(devices),
        cdi_spec_dirs=list(config.cdi_directories),
        discovered_devices=[DeviceInfo(source="cdi", id=name) for name in devices.devices],
    )


def _runtimes(config: EngineConfig) -> dict[str, Runtime]:
    own = shutil.which(OWN_PROGRAM) or OWN_PROGRAM
    return {
        name: Runtime(path=program.path or own, runtime_args=list(program.runtime_args))
        for name, program in runtimes.programs(config).items()
    }


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
    listed = [name.removeprefix("http://").removeprefix("https://") for name in config.insecure_registries]
    networks = [name for name in listed if "/" in name]
    hosts = [name for name in listed if "/" not in name]
    mirrors = list(dict.fromkeys(f"{url.rstrip('/')}/" for url in config.registry_mirrors))
    indexes = {name: IndexInfo(name=name, mirrors=[], secure=False, official=False) for name in hosts}
    indexes["docker.io"] = IndexInfo(name="docker.io", mirrors=mirrors, secure=True, official=True)
    return RegistryServiceConfig(
        insecure_registry_cidrs=["::1/128", "127.0.0.0/8", *networks],
        index_configs=indexes,
        mirrors=mirrors,
    )


def _security(engine: Engine) -> list[str]:
    options = ["name=apparmor"] if apparmor.is_on() else []
    if host.seccomp_works():
        options.append(f"name=seccomp,profile={engine.config.seccomp_profile or 'builtin'}")
    if engine.config.rootless is not None:
        options.append("name=rootless")
    if engine.remapped is not None:
        options.append("name=userns")
    if host.cgroup_version() == "2" or engine.config.default_cgroupns_mode == "private":
        options.append("name=cgroupns")
    if engine.config.no_new_privileges:
        options.append("name=no-new-privileges")
    return options


def _cdi_warnings(devices: catalog.Catalog) -> list[str]:
    return [
        f"CDI: Error associated with spec file {path}: {text}"
        for path, texts in sorted(devices.errors.items())
        for text in texts
    ]


def _warnings(engine: Engine, limits: host.Limits) -> list[str]:
    checks = (
        *_limit_warnings(engine, limits),
        (host.ipv4_forwarding(), "WARNING: IPv4 forwarding is disabled"),
        (host.seccomp_works(), "WARNING: No seccomp support"),
        (not apparmor.warning(), apparmor.warning()),
    )
    return [text for works, text in checks if not works]


def _limit_warnings(engine: Engine, limits: host.Limits) -> tuple[tuple[bool, str], ...]:
    if engine.cgroups.mode == "none":
        return ((False, rootless.WITHOUT_CGROUPS[limits.version]),)
    return (
        (limits.memory, "WARNING: No memory limit support"),
        (limits.swap, "WARNING: No swap limit support"),
        (limits.cpu_period, "WARNING: No cpu cfs quota support"),
        (limits.cpu_shares, "WARNING: No cpu shares support"),
        (limits.cpuset, "WARNING: No cpuset support"),
        (limits.pids, "WARNING: No pids limit support"),
    )
