"""Limits that this engine's cgroups cannot hold to: taken out, with dockerd's warnings.

Source: moby, daemon/daemon_unix.go.

A rootless engine without a delegated cgroup has none at all; a host may lack a single controller.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from onggi.errors import InvalidParameter

if TYPE_CHECKING:
    from onggi.runtime.cgroups.layout import Layout
    from onggi.wire.containers import HostConfig

_WITHOUT = "Your kernel does not support {} or the cgroup is not mounted. {} discarded."
NO_CFS = (
    "NanoCPUs can not be set, as your kernel does not support CPU CFS scheduler or the cgroup is not mounted"
)

# controller -> (fields, their value for "not set", what dockerd says)
_LIMITS: tuple[tuple[str, tuple[str, ...], object, tuple[str, str]], ...] = (
    ("memory", ("memory", "memory_swap"), 0, ("memory limit capabilities", "Limitation")),
    ("memory", ("memory_reservation",), 0, ("memory soft limit capabilities", "Limitation")),
    ("memory", ("memory_swappiness",), None, ("memory swappiness capabilities", "Memory swappiness")),
    ("pids", ("pids_limit",), None, ("pids limit capabilities", "PIDs limit")),
    ("cpu", ("cpu_shares",), 0, ("CPU shares", "Shares")),
    ("cpu", ("cpu_period", "cpu_quota"), 0, ("CPU CFS scheduler", "Period/quota")),
    (
        "cpu",
        ("cpu_realtime_period", "cpu_realtime_runtime"),
        0,
        ("CPU realtime scheduler", "Realtime limits"),
    ),
    ("cpuset", ("cpuset_cpus", "cpuset_mems"), "", ("cpuset", "Cpuset")),
    ("blkio", ("blkio_weight",), 0, ("Block I/O weight", "Weight")),
    ("blkio", ("blkio_weight_device",), [], ("Block I/O weight_device", "Weight-device")),
    ("blkio", ("blkio_device_read_bps",), [], ("BPS Block I/O read limit", "Block I/O BPS read limit")),
    ("blkio", ("blkio_device_write_bps",), [], ("BPS Block I/O write limit", "Block I/O BPS write limit")),
    ("blkio", ("blkio_device_read_iops",), [], ("IOPS Block read limit", "Block I/O IOPS read limit")),
    ("blkio", ("blkio_device_write_iops",), [], ("IOPS Block write limit", "Block I/O IOPS write limit")),
)


def discard(layout: Layout, host: HostConfig) -> tuple[HostConfig, list[str]]:
    """What is left, and a warning for each limit that is not. Raises InvalidParameter for --cpus."""
    if host.nano_cpus and not layout.has("cpu"):
        raise InvalidParameter(NO_CFS)
    changes: dict[str, object] = {}
    warnings = []
    for controller, fields, unset, words in _LIMITS:
        set_ = [field for field in fields if getattr(host, field) not in (unset, 0, -1, None)]
        if set_ and not _has(layout, controller):
            warnings.append(_WITHOUT.format(*words))
            changes.update(dict.fromkeys(fields, unset))
    return msgspec.structs.replace(host, **changes), warnings


def _has(layout: Layout, controller: str) -> bool:
    """v2's io is v1's blkio."""
    return layout.has(controller) or (controller == "blkio" and layout.has("io"))
