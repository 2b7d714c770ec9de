"""OCI resources, which speak v1, as files of the v2 hierarchy.

Shares become a weight, memory+swap becomes swap, four throttles become one io.max. What v2 does not have
(realtime, swappiness, switching off the OOM killer, network classes) is refused, not dropped.
Source: OCI runtime specification, config-linux.md; Documentation/admin-guide/cgroup-v2.rst.
"""

from __future__ import annotations

from onggi.errors import InvalidParameter
from onggi.runtime.cgroups import values

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from onggi.runtime.cgroups.layout import Layout

    Write = tuple[str, str, str]


def writes(resources: dict[str, Any], layout: Layout) -> Iterator[Write]:
    """(controller, file, text), everything but devices. Raises InvalidParameter for what v2 does not have."""
    yield from _cpu(values.section(resources, "cpu"))
    yield from _memory(values.section(resources, "memory"))
    limit = values.integer(values.section(resources, "pids"), "limit", "pids")
    if limit:
        yield "pids", "pids.max", values.or_max(limit)
    yield from _io(values.section(resources, "blockIO"), layout)
    for size, bytes_ in values.hugepages(resources):
        yield "hugetlb", f"hugetlb.{size}.max", str(bytes_)
    for device, line in values.rdma(resources):
        yield "rdma", "rdma.max", f"{device} {line}"
    _refuse(values.section(resources, "network"), "network", ("classID", "priorities"))
    for file, text in (resources.get("unified") or {}).items():
        if "/" in file or "." not in file:
            raise InvalidParameter(f"linux.resources.unified: {file!r} is not a file of a cgroup")
        for line in str(text).splitlines():
            yield file.partition(".")[0], file, line


def weight(shares: int) -> int:
    """cpu.shares (2 to 262144) on cpu.weight's scale (1 to 10000), linear as runc and systemd have it."""
    return 1 + (min(max(shares, 2), 262144) - 2) * 9999 // 262142


def _refuse(section: dict[str, Any], name: str, keys: tuple[str, ...]) -> None:
    for key in keys:
        if section.get(key):
            raise InvalidParameter(
                f"linux.resources.{name}.{key}: this machine has cgroup v2, which lacks it"
            )


def _cpu(cpu: dict[str, Any]) -> Iterator[Write]:
    _refuse(cpu, "cpu", ("realtimePeriod", "realtimeRuntime"))
    shares = values.integer(cpu, "shares", "cpu")
    if shares:
        yield "cpu", "cpu.weight", str(weight(shares))
    quota, period = values.integer(cpu, "quota", "cpu"), values.integer(cpu, "period", "cpu")
    if quota or period:
        text = str(quota) if quota and quota > 0 else "max"
        yield "cpu", "cpu.max", f"{text} {period}" if period else text
    burst = values.integer(cpu, "burst", "cpu")
    if burst is not None:
        yield "cpu", "cpu.max.burst", str(burst)
    if cpu.get("idle") is not None:
        yield "cpu", "cpu.idle", str(values.integer(cpu, "idle", "cpu"))
    for key in ("cpus", "mems"):
        if cpu.get(key):
            yield "cpuset", f"cpuset.{key}", str(cpu[key])


def _memory(memory: dict[str, Any]) -> Iterator[Write]:
    _refuse(memory, "memory", ("swappiness", "disableOOMKiller", "kernelTCP"))
    limit, swap = values.memory_and_swap(memory)
    if swap:
        if swap > 0 and limit <= 0:
            raise InvalidParameter("linux.resources.memory.swap: a swap limit needs a memory limit on v2")
        yield "memory", "memory.swap.max", str(swap - limit) if swap > 0 else "max"
    if limit:
        yield "memory", "memory.max", values.or_max(limit)
    reservation = values.integer(memory, "reservation", "memory")
    if reservation:
        yield "memory", "memory.low", values.or_max(reservation)


def _io(block: dict[str, Any], layout: Layout) -> Iterator[Write]:
    _refuse(block, "blockIO", ("leafWeight",))
    share = values.integer(block, "weight", "blockIO")
    if share:
        yield "io", layout.weight_file(), str(_scaled(share, layout))
    for device in block.get("weightDevice") or ():
        number = values.device(device, "blockIO.weightDevice")
        _refuse(device, "blockIO.weightDevice", ("leafWeight",))
        yield "io", layout.weight_file(), f"{number} {_scaled(device['weight'], layout)}"
    for key, (_, word) in values.THROTTLES.items():
        for device in block.get(key) or ():
            number, rate = (
                values.device(device, f"blockIO.{key}"),
                values.integer(device, "rate", f"blockIO.{key}"),
            )
            yield "io", "io.max", f"{number} {word}={rate or 'max'}"


def _scaled(share: int, layout: Layout) -> int:
    """BFQ keeps v1's scale (10 to 1000); io.weight has 1 to 10000."""
    return share if layout.weight_file() == "io.bfq.weight" else 1 + (share - 10) * 9999 // 990
