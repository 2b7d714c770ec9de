"""onggi-runtime events ID: a line of JSON with the container's figures, now and then, and for each OOM.

The document is runc's (`events.go`): containerd and cadvisor read it.
"""

from __future__ import annotations

import select
import sys

from onggi.errors import Conflict, InvalidParameter
from onggi.jsontext import dumps
from onggi.runtime import cgroups, state
from onggi.runtime.cgroups.stats import MemoryUse, Stats
from onggi.runtime.options import Option
from onggi.runtime.verbs import line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from onggi.runtime.command import Runtime

OPTIONS = {
    "stats": Option(None, "show the figures once and exit"),
    "interval": Option("duration", "time between two readings", default="5s"),
}
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def run(runtime: Runtime, words: list[str]) -> int:
    options, container_id = line.one_container("events", OPTIONS, words)
    seconds = duration(options["interval"])
    container = state.load(runtime.root, container_id)
    if container.status() == state.STOPPED:
        raise Conflict(f"container with id {container_id} is not running")
    group = container.cgroup()
    if options["stats"]:
        _tell("stats", container_id, data(group.stats()))
        return 0
    _follow(container, group, seconds)
    return 0


def _follow(container: state.Container, group: cgroups.Cgroup, seconds: float) -> None:
    poll = select.poll()
    with group.oom_events() as oom:
        poll.register(oom.fd, select.POLLIN)
        while container.alive():
            if poll.poll(seconds * 1000):
                oom.read()
                if container.alive():
                    _tell("oom", container.id, None)
            elif container.alive():
                _tell("stats", container.id, data(group.stats()))


def duration(text: str) -> float:
    """5s, 100ms, 1m."""
    for unit in ("ms", "s", "m", "h"):
        digits = text.removesuffix(unit)
        if digits != text and digits.replace(".", "", 1).isdigit() and float(digits) > 0:
            return float(digits) * _UNITS[unit]
    raise InvalidParameter("duration interval must be greater than 0")


def _tell(kind: str, container_id: str, figures: dict[str, Any] | None) -> None:
    document: dict[str, Any] = {"type": kind, "id": container_id}
    if figures is not None:
        document["data"] = figures
    sys.stdout.write(dumps(document) + "\n")
    sys.stdout.flush()


def data(stats: Stats) -> dict[str, Any]:
    """runc's document of one reading."""
    return {
        "cpu": {
            "usage": {
                "total": stats.cpu_total,
                "percpu": stats.percpu,
                "kernel": stats.cpu_kernel,
                "user": stats.cpu_user,
            },
            "throttling": {
                "periods": stats.throttling_periods,
                "throttledPeriods": stats.throttled_periods,
                "throttledTime": stats.throttled_ns,
            },
        },
        "cpuset": {},
        "memory": {
            "cache": stats.memory_stat.get("cache", stats.memory_stat.get("file", 0)),
            "usage": use(stats.memory),
            "swap": use(stats.swap),
            "kernel": use(stats.kernel),
            "kernelTCP": use(stats.kernel_tcp),
            "raw": stats.memory_stat,
        },
        "pids": {"current": stats.pids, "limit": stats.pids_limit},
        "blkio": {
            name: [{"major": a, "minor": b, "op": op, "value": value} for a, b, op, value in rows]
            for name, rows in (
                ("ioServiceBytesRecursive", stats.blkio.get("io_service_bytes_recursive", [])),
                ("ioServicedRecursive", stats.blkio.get("io_serviced_recursive", [])),
            )
            if rows
        },
        "hugetlb": {
            size: {"usage": found.usage, "max": found.max_usage, "failcnt": found.failcnt}
            for size, found in stats.hugetlb.items()
        },
        "intel_rdt": {},
        "network_interfaces": None,
    }


def use(found: MemoryUse) -> dict[str, int]:
    return {"limit": found.limit, "usage": found.usage, "max": found.max_usage, "failcnt": found.failcnt}
