"""A record and the facts of one run -> the whole OCI runtime document (OCI runtime specification 1.2).

Pure: reads no file but device numbers. The caller (engine/run.py) has found out what `Facts` holds.
"""

from __future__ import annotations

from typing import Any

import msgspec

from onggi.engine.config import EngineConfig
from onggi.engine.oci import devices, mounts, namespaces, process, resources, security
from onggi.engine.record import ContainerRecord


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What a record does not say."""

    rootfs: str
    cgroups_path: str
    user: process.User
    hostname: str  # of the UTS namespace
    etc: tuple[tuple[str, str], ...]  # (host file, target): resolv.conf, hostname, hosts
    mounts: tuple[mounts.Shown, ...]
    joined: namespaces.Joined = namespaces.Joined()
    shm_path: str = ""  # of the container whose IPC namespace is joined, or a shareable one's own
    init: process.Init | None = None  # where --init was asked for


def document(record: ContainerRecord, facts: Facts, config: EngineConfig) -> dict[str, Any]:
    """The OCI document. Raises InvalidParameter."""
    host = record.host_config
    options = security.parse_options(host.security_opt, no_new_privileges=config.no_new_privileges)
    capabilities = security.capabilities(host)
    made: dict[str, Any] = {
        "ociVersion": "1.2.0",
        "process": _process(record, facts, config, capabilities, options),
        "root": {"path": facts.rootfs, "readonly": host.readonly_rootfs},
        "mounts": _mounts(record, facts, options),
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
    return process.process(
        args=args,
        env=process.environment(record.config, hostname=facts.hostname, home=facts.user.home),
        cwd=record.config.working_dir,
        user=facts.user,
        tty=record.config.tty,
        capabilities=capabilities,
        no_new_privileges=options.no_new_privileges,
        rlimits=process.rlimits(record.host_config.ulimits, config.default_ulimits),
        oom_score_adj=record.host_config.oom_score_adj or None,
        console_size=record.host_config.console_size,
        apparmor=security.apparmor_profile(options),
    )


def _mounts(record: ContainerRecord, facts: Facts, options: security.SecurityOptions) -> list[dict[str, Any]]:
    host = record.host_config
    defaults = mounts.default_mounts(host, writable_cgroups=options.writable_cgroups)
    defaults += mounts.shm_mount(host, facts.shm_path)
    taken = {mount.target for mount in facts.mounts}
    narrowed = ("ro",) if host.readonly_rootfs else ()
    etc = [mounts.bind(source, target, *narrowed) for source, target in facts.etc if target not in taken]
    wanted = mounts.user_mounts(facts.mounts)
    if facts.init is not None:
        wanted.append(mounts.bind(facts.init.path, facts.init.target, "ro"))
    if host.readonly_rootfs:
        defaults = mounts.read_only(defaults)
    return mounts.combine(defaults, wanted) + etc


def _linux(record: ContainerRecord, facts: Facts, options: security.SecurityOptions) -> dict[str, Any]:
    host = record.host_config
    nodes, rules = devices.devices(host)
    limits = resources.resources(host)
    limits["devices"] = rules
    unconfined = host.privileged or options.unconfined_paths
    made: dict[str, Any] = {
        "cgroupsPath": facts.cgroups_path,
        "namespaces": namespaces.namespaces(host, facts.joined),
        "resources": limits,
        "devices": nodes,
        "maskedPaths": [] if unconfined else _paths(host.masked_paths, security.MASKED_PATHS),
        "readonlyPaths": [] if unconfined else _paths(host.readonly_paths, security.READONLY_PATHS),
    }
    sysctl = _sysctl(record, facts)
    if sysctl:
        made["sysctl"] = sysctl
    profile = security.seccomp_profile(host, options, security.capabilities(host))
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
    found = {"net.ipv4.ip_unprivileged_port_start": "0", "net.ipv4.ping_group_range": "0 2147483647"}
    return {**(found if own_network else {}), **(host.sysctls or {})}
