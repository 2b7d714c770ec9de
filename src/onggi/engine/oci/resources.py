"""HostConfig's limits -> `linux.resources` of the OCI document, for a start and for `docker update`."""

from __future__ import annotations

import os
from typing import Any

from onggi.errors import InvalidParameter
from onggi.wire.containers import HostConfig, ThrottleDevice

CPU_PERIOD_US = 100_000


def resources(host: HostConfig) -> dict[str, Any]:
    """Everything but device rules; what is not set is absent."""
    found: dict[str, Any] = {
        "memory": _memory(host),
        "cpu": _cpu(host),
        "blockIO": _block_io(host),
    }
    if host.pids_limit is not None:
        found["pids"] = {"limit": host.pids_limit if host.pids_limit > 0 else -1}
    return {key: value for key, value in found.items() if value}


def _memory(host: HostConfig) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if host.memory > 0:
        found["limit"] = host.memory
    if host.memory_reservation > 0:
        found["reservation"] = host.memory_reservation
    if host.memory_swap != 0:
        found["swap"] = host.memory_swap
    if host.memory_swappiness is not None and host.memory_swappiness >= 0:
        found["swappiness"] = host.memory_swappiness
    if host.oom_kill_disable:
        found["disableOOMKiller"] = True
    return found


def _cpu(host: HostConfig) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if host.cpu_shares:
        # The kernel's range; Docker corrects silently in the same way.
        found["shares"] = min(max(host.cpu_shares, 2), 262_144)
    if host.nano_cpus > 0:
        found["period"] = CPU_PERIOD_US
        found["quota"] = host.nano_cpus * CPU_PERIOD_US // 1_000_000_000
    if host.cpu_period:
        found["period"] = host.cpu_period
    if host.cpu_quota:
        found["quota"] = host.cpu_quota
    if host.cpuset_cpus:
        found["cpus"] = host.cpuset_cpus
    if host.cpuset_mems:
        found["mems"] = host.cpuset_mems
    if host.cpu_realtime_period:
        found["realtimePeriod"] = host.cpu_realtime_period
    if host.cpu_realtime_runtime:
        found["realtimeRuntime"] = host.cpu_realtime_runtime
    return found


def _block_io(host: HostConfig) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if host.blkio_weight:
        found["weight"] = host.blkio_weight
    if host.blkio_weight_device:
        found["weightDevice"] = [
            {**_numbers(device.path), "weight": device.weight} for device in host.blkio_weight_device
        ]
    throttles = {
        "throttleReadBpsDevice": host.blkio_device_read_bps,
        "throttleWriteBpsDevice": host.blkio_device_write_bps,
        "throttleReadIOPSDevice": host.blkio_device_read_iops,
        "throttleWriteIOPSDevice": host.blkio_device_write_iops,
    }
    found.update({key: _throttle(devices) for key, devices in throttles.items() if devices})
    return found


def _throttle(devices: list[ThrottleDevice]) -> list[dict[str, int]]:
    return [{**_numbers(device.path), "rate": device.rate} for device in devices]


def _numbers(path: str) -> dict[str, int]:
    try:
        number = os.stat(path).st_rdev
    except OSError as error:
        raise InvalidParameter(f"stat {path}: {(error.strerror or 'error').lower()}") from None
    return {"major": os.major(number), "minor": os.minor(number)}
