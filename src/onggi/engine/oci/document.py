"""A record and the facts of one run -> the whole OCI runtime document (OCI runtime specification 1.2).

Pure: reads no file but device numbers. The caller (engine/run.py) has found out what `Facts` holds.
"""

from __future__ import annotations

import os
from typing import Any

import msgspec

from onggi.engine import rootless
from onggi.engine.config import EngineConfig
from onggi.engine.oci import devices, mounts, namespaces, process, resources, security
from onggi.engine.record import ContainerRecord
from onggi.engine.userns.maps import IdMaps
from onggi.wire.containers import HostConfig


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What a record does not say."""

    rootfs: str
    cgroups_path: str
    user: process.User
    hostname: str  # of the UTS namespace
    etc: tuple[tuple[str, str], ...]  # (host file, target): resolv.conf, hostname, hosts
    mounts: tuple[mounts.Shown, ...]
    linked: tuple[str, ...] = ()  # variables of links, below the record's
    environment: tuple[str, ...] = ()  # over the record's
    joined: namespaces.Joined = namespaces.Joined()
    shm_path: str = ""  # of the container whose IPC namespace is joined, or a shareable one's own
    init: process.Init | None = None  # where --init was asked for
    id_maps: IdMaps | None = None  # of its user namespace
    last_group: int = (1 << 31) - 1  # of the engine's own user namespace (kernel/ids.py)
    apparmor: str = ""  # the profile of the process, engine/apparmor.py
    limited: bool = False  # by a quota: it may not move its files to another project


def document(record: ContainerRecord, facts: Facts, config: EngineConfig) -> dict[str, Any]:
    """The OCI document. Raises InvalidParameter."""
    host = record.host_config
    options = security.options_of(host, config)
    capabilities = security.capabilities(host)
    made: dict[str, Any] = {
        "ociVersion": "1.2.0",
        "process": _process(record, facts, config, capabilities, options),
        "root": {"path": facts.rootfs, "readonly": host.readonly_rootfs},
        "mounts": _mounts(record, facts, config, options),
        "annotations": dict(host.annotations),
        "linux": _linux(record, facts, options),
    }
    if host.uts_mode != "host":
        made["hostname"] = facts.hostname
        if record.config.domainname:
            made["domainname"] = record.config.domainname
    return made


def _process(
    record: ContainerRecord,
    facts: Facts,
    config: EngineConfig,
    capabilities: list[str],
    options: security.SecurityOptions,
) -> dict[str, Any]:
    args = process.arguments(record.config)
    if facts.init is not None:
        args = [facts.init.target, "--", *args]
    env = process.environment(
        record.config, hostname=facts.hostname, home=facts.user.home, linked=facts.linked
    )
    return process.process(
        args=args,
        env=process.merge(env, facts.environment),
        cwd=record.config.working_dir,
        user=facts.user,
        tty=record.config.tty,
        capabilities=capabilities,
        no_new_privileges=options.no_new_privileges,
        rlimits=process.rlimits(record.host_config.ulimits, config.default_ulimits),
        oom_score_adj=_oom_score(record.host_config.oom_score_adj, config),
        console_size=record.host_config.console_size,
        apparmor=facts.apparmor,
    )


def _oom_score(wanted: int, config: EngineConfig) -> int | None:
    """None: as the engine's. A user's engine cannot go below its own (proc_pid_oom_score_adj(5))."""
    if wanted and config.rootless is not None:
        return max(wanted, rootless.oom_score())
    return wanted or None


def _mounts(
    record: ContainerRecord, facts: Facts, config: EngineConfig, options: security.SecurityOptions
) -> list[dict[str, Any]]:
    host = record.host_config
    defaults = mounts.default_mounts(
        host,
        writable_cgroups=options.writable_cgroups,
        tty_group=facts.last_group >= 5 if facts.id_maps is None else facts.id_maps.has_group(5),
    )
    defaults += mounts.shm_mount(host, facts.shm_path)
    if facts.id_maps is not None or config.rootless is not None:
        defaults = _without_the_hosts(defaults, host)
    taken = {mount.target for mount in facts.mounts}
    narrowed = ("ro",) if host.readonly_rootfs else ()
    etc = [
        mounts.mapped(mounts.bind(source, target, *narrowed), facts.id_maps)
        for source, target in facts.etc
        if target not in taken
    ]
    wanted = mounts.user_mounts(facts.mounts)
    if facts.init is not None:
        wanted.append(mounts.bind(facts.init.path, facts.init.target, "ro"))
    if host.readonly_rootfs:
        defaults = mounts.read_only(defaults)
    return mounts.combine(defaults, wanted) + etc


def _without_the_hosts(defaults: list[dict[str, Any]], host: HostConfig) -> list[dict[str, Any]]:
    """Who is not the host's root may mount no proc of its pids, and no queues of its: they are bound."""
    for mode, place in ((host.pid_mode, "/proc"), (host.ipc_mode, "/dev/mqueue")):
        if mode == "host":
            own = [mounts.bind(place, place, "nosuid", "noexec", "nodev")] if os.path.isdir(place) else []
            at = next(i for i, mount in enumerate(defaults) if mount["destination"] == place)
            defaults = [*defaults[:at], *own, *defaults[at + 1 :]]
    return defaults


def _linux(record: ContainerRecord, facts: Facts, options: security.SecurityOptions) -> dict[str, Any]:
    host = record.host_config
    nodes, rules = devices.devices(host)
    limits = resources.resources(host)
    limits["devices"] = rules
    unconfined = host.privileged or options.unconfined_paths
    made: dict[str, Any] = {
        "cgroupsPath": facts.cgroups_path,
        "namespaces": namespaces.namespaces(host, facts.joined, user=facts.id_maps is not None),
        "resources": limits,
        "devices": nodes,
        "maskedPaths": [] if unconfined else _paths(host.masked_paths, security.MASKED_PATHS),
        "readonlyPaths": [] if unconfined else _paths(host.readonly_paths, security.READONLY_PATHS),
    }
    if facts.id_maps is not None:
        made["uidMappings"], made["gidMappings"] = facts.id_maps.document()
    sysctl = _sysctl(record, facts)
    if sysctl:
        made["sysctl"] = sysctl
    capabilities = security.capabilities(host)
    profile = security.seccomp_profile(host, options, capabilities, limited=facts.limited)
    if profile is not None:
        made["seccomp"] = profile
    spread = mounts.propagation(facts.mounts)
    if spread:
        made["rootfsPropagation"] = spread
    return made


def _paths(wanted: list[str] | None, default: tuple[str, ...]) -> list[str]:
    """A record of before create filled them in has none; that must not mean "unprotected"."""
    return list(default) if wanted is None else wanted


def _sysctl(record: ContainerRecord, facts: Facts) -> dict[str, str]:
    """The user's, over Docker's: in a network of its own, port 80 and ping need no capability."""
    host = record.host_config
    own_network = host.network_mode != "host" and not host.network_mode.startswith("container:")
    groups = min(1 << 31, facts.last_group + 1) if facts.id_maps is None else facts.id_maps.groups
    found = {"net.ipv4.ip_unprivileged_port_start": "0", "net.ipv4.ping_group_range": f"0 {groups - 1}"}
    return {**(found if own_network else {}), **(host.sysctls or {})}
