"""OCI resources as files of the v1 controllers.

Each function gives (controller, file, text) in the order in which the kernel takes them: a period before its
quota, memory before memory+swap. Zero means "not set", as in runc.
Source: OCI runtime specification, config-linux.md, "Control groups"; Documentation/admin-guide/cgroup-v1/.
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
    """Everything but devices. Raises InvalidParameter for what v1 does not have."""
    if resources.get("unified"):
        raise InvalidParameter("linux.resources.unified: this machine has cgroup v1")
    yield from _cpu(values.section(resources, "cpu"))
    yield from _memory(values.section(resources, "memory"))
    pids = values.section(resources, "pids")
    limit = values.integer(pids, "limit", "pids")
    if limit:
        yield "pids", "pids.max", values.or_max(limit)
    yield from _blkio(values.section(resources, "blockIO"), layout)
    for size, bytes_ in values.hugepages(resources):
        yield "hugetlb", f"hugetlb.{size}.limit_in_bytes", str(bytes_)
    for device, line in values.rdma(resources):
        yield "rdma", "rdma.max", f"{device} {line}"
    yield from _network(values.section(resources, "network"))


def _cpu(cpu: dict[str, Any]) -> Iterator[Write]:
    for key, file in (
        ("realtimePeriod", "cpu.rt_period_us"),
        ("realtimeRuntime", "cpu.rt_runtime_us"),
        ("shares", "cpu.shares"),
        ("period", "cpu.cfs_period_us"),
        ("quota", "cpu.cfs_quota_us"),
        ("burst", "cpu.cfs_burst_us"),
    ):
        value = values.integer(cpu, key, "cpu")
        if value or (value == 0 and key == "burst"):
            yield "cpu", file, str(value)
    if cpu.get("idle") is not None:
        yield "cpu", "cpu.idle", str(values.integer(cpu, "idle", "cpu"))
    for key in ("cpus", "mems"):
        if cpu.get(key):
            yield "cpuset", f"cpuset.{key}", str(cpu[key])


def _memory(memory: dict[str, Any]) -> Iterator[Write]:
    limit, swap = values.memory_and_swap(memory)
    if limit:
        yield "memory", "memory.limit_in_bytes", str(limit)
    if swap:
        yield "memory", "memory.memsw.limit_in_bytes", str(swap)
    reservation = values.integer(memory, "reservation", "memory")
    if reservation:
        yield "memory", "memory.soft_limit_in_bytes", str(reservation)
    tcp = values.integer(memory, "kernelTCP", "memory")
    if tcp:
        yield "memory", "memory.kmem.tcp.limit_in_bytes", str(tcp)
    if memory.get("useHierarchy"):
        yield "memory", "memory.use_hierarchy", "1"
    if memory.get("disableOOMKiller"):
        yield "memory", "memory.oom_control", "1"
    swappiness = values.swappiness(memory)
    if swappiness is not None:
        yield "memory", "memory.swappiness", str(swappiness)


def _blkio(block: dict[str, Any], layout: Layout) -> Iterator[Write]:
    weight = values.integer(block, "weight", "blockIO")
    if weight:
        yield "blkio", layout.weight_file(), str(weight)
    leaf = values.integer(block, "leafWeight", "blockIO")
    if leaf:
        yield "blkio", "blkio.leaf_weight", str(leaf)
    for device in block.get("weightDevice") or ():
        number = values.device(device, "blockIO.weightDevice")
        if device.get("weight"):
            yield "blkio", f"{layout.weight_file()}_device", f"{number} {device['weight']}"
        if device.get("leafWeight"):
            yield "blkio", "blkio.leaf_weight_device", f"{number} {device['leafWeight']}"
    for key, (file, _) in values.THROTTLES.items():
        for device in block.get(key) or ():
            number, rate = (
                values.device(device, f"blockIO.{key}"),
                values.integer(device, "rate", f"blockIO.{key}"),
            )
            yield "blkio", file, f"{number} {rate or 0}"


def _network(network: dict[str, Any]) -> Iterator[Write]:
    class_id = values.integer(network, "classID", "network")
    if class_id:
        yield "net_cls", "net_cls.classid", str(class_id)
    for entry in network.get("priorities") or ():
        yield "net_prio", "net_prio.ifpriomap", f"{entry['name']} {entry['priority']}"
