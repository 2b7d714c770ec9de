"""What a create request leaves open, filled in: from the image, and with Docker's defaults of the host."""

from __future__ import annotations

from typing import Any

import msgspec

from onggi.engine.config import EngineConfig
from onggi.engine.oci import process, security
from onggi.wire.containers import (
    ContainerConfig,
    ContainerCreateRequest,
    HostConfig,
    HostConfigLogConfig,
    RestartPolicy,
)
from onggi.wire.images import HealthConfig, ImageConfig

_CONFIG_FIELDS = tuple(field.name for field in msgspec.structs.fields(ContainerConfig))


def merge(request: ContainerCreateRequest, image: ImageConfig, container_id: str) -> ContainerConfig:
    """The container's half with the image's values where the request has none (Docker's rules of merging)."""
    values: dict[str, Any] = {name: getattr(request, name) for name in _CONFIG_FIELDS}
    values["user"] = request.user or image.user
    values["working_dir"] = request.working_dir or image.working_dir
    values["exposed_ports"] = {**(image.exposed_ports or {}), **(request.exposed_ports or {})} or None
    values["volumes"] = {**image.volumes, **request.volumes}
    values["labels"] = {**image.labels, **request.labels}
    values["env"] = _environment(request.env, image.env)
    values["stop_signal"] = request.stop_signal or image.stop_signal
    values["shell"] = request.shell or image.shell
    if not request.entrypoint:
        # [""] is how a client takes the image's entrypoint away; its command goes with any other entrypoint.
        values["cmd"] = request.cmd or image.cmd
        if request.entrypoint is None:
            values["entrypoint"] = image.entrypoint
    elif request.entrypoint == [""]:
        values["entrypoint"] = None
        values["cmd"] = request.cmd
    values["healthcheck"] = _healthcheck(request.healthcheck, image.healthcheck)
    if not request.hostname and request.host_config.uts_mode != "host":
        values["hostname"] = container_id[:12]
    return ContainerConfig(**values)


def _environment(wanted: list[str], image: list[str]) -> list[str]:
    """The request's, then those of the image that it does not name."""
    named = {item.partition("=")[0] for item in wanted}
    return wanted + [item for item in image if item.partition("=")[0] not in named]


def _healthcheck(wanted: HealthConfig | None, image: HealthConfig | None) -> HealthConfig | None:
    if wanted is None or image is None:
        return wanted or image
    if wanted.test == ["NONE"]:
        return wanted
    return HealthConfig(
        test=wanted.test or image.test,
        interval=wanted.interval or image.interval,
        timeout=wanted.timeout or image.timeout,
        retries=wanted.retries or image.retries,
        start_period=wanted.start_period or image.start_period,
        start_interval=wanted.start_interval or image.start_interval,
    )


def host(wanted: HostConfig, engine: EngineConfig, *, cgroup_v2: bool) -> HostConfig:
    """The host's half as `inspect` shows it."""
    options = security.parse_options(wanted.security_opt)
    unconfined = wanted.privileged or options.unconfined_paths
    cgroupns = wanted.cgroupns_mode or engine.default_cgroupns_mode
    if not cgroupns:
        cgroupns = "private" if cgroup_v2 and not wanted.privileged else "host"
    network = wanted.network_mode
    changes: dict[str, Any] = {
        "network_mode": "bridge" if network in ("", "default") else network,
        "ipc_mode": wanted.ipc_mode or engine.default_ipc_mode,
        "cgroupns_mode": cgroupns,
        "shm_size": wanted.shm_size or engine.default_shm_bytes,
        "runtime": wanted.runtime or engine.default_runtime,
        "init": wanted.init if wanted.init is not None else (True if engine.init else None),
        "log_config": _log_config(wanted.log_config, engine),
        "restart_policy": wanted.restart_policy
        if wanted.restart_policy.name
        else RestartPolicy(name="no", maximum_retry_count=0),
        "masked_paths": [] if unconfined else _paths(wanted.masked_paths, security.MASKED_PATHS),
        "readonly_paths": [] if unconfined else _paths(wanted.readonly_paths, security.READONLY_PATHS),
    }
    if wanted.memory > 0 and wanted.memory_swap == 0:
        changes["memory_swap"] = wanted.memory * 2
    if wanted.pids_limit is not None and wanted.pids_limit <= 0:
        changes["pids_limit"] = None
    if wanted.memory_swappiness == -1:
        changes["memory_swappiness"] = None
    return msgspec.structs.replace(wanted, **changes)


def _paths(wanted: list[str] | None, default: tuple[str, ...]) -> list[str]:
    """An empty list is `--security-opt systempaths=unconfined` as Docker's client sends it."""
    return list(default) if wanted is None else wanted


def _log_config(wanted: HostConfigLogConfig, engine: EngineConfig) -> HostConfigLogConfig:
    if not wanted.type or wanted.type == engine.log_driver:
        options = {**engine.log_options, **(wanted.config or {})}
        return HostConfigLogConfig(type=engine.log_driver, config=options)
    return HostConfigLogConfig(type=wanted.type, config=wanted.config or {})


def command(config: ContainerConfig) -> tuple[str, list[str]]:
    """Path and Args of `inspect`."""
    args = process.arguments(config)
    return args[0], args[1:]
