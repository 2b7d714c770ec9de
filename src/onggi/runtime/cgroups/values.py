"""Values of an OCI `linux.resources` object, checked; errors carry the value's path.

Source: OCI runtime specification 1.2, config-linux.md, "Control groups".
"""

from __future__ import annotations

from onggi.errors import InvalidParameter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

# OCI key: (v1 file, word of v2's io.max)
THROTTLES = {
    "throttleReadBpsDevice": ("blkio.throttle.read_bps_device", "rbps"),
    "throttleWriteBpsDevice": ("blkio.throttle.write_bps_device", "wbps"),
    "throttleReadIOPSDevice": ("blkio.throttle.read_iops_device", "riops"),
    "throttleWriteIOPSDevice": ("blkio.throttle.write_iops_device", "wiops"),
}


def section(resources: dict[str, Any], name: str) -> dict[str, Any]:
    found = resources.get(name)
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise InvalidParameter(f"linux.resources.{name}: {found!r} is not an object")
    return found


def integer(owner: dict[str, Any], key: str, where: str) -> int | None:
    value = owner.get(key)
    if value is not None and type(value) is not int:
        raise InvalidParameter(f"linux.resources.{where}.{key}: {value!r} is not a whole number")
    return value


def or_max(limit: int) -> str:
    return "max" if limit < 0 else str(limit)


def memory_and_swap(memory: dict[str, Any]) -> tuple[int, int]:
    """(limit, memory+swap limit); 0 is not set, -1 no limit. Without a memory limit there is none on both."""
    limit, swap = integer(memory, "limit", "memory") or 0, integer(memory, "swap", "memory") or 0
    for key, value in (("limit", limit), ("swap", swap)):
        if value < -1:
            raise InvalidParameter(f"linux.resources.memory.{key}: {value} is not a limit")
    if limit == -1 and swap == 0:
        swap = -1
    if swap > 0 and limit > swap:
        raise InvalidParameter(f"linux.resources.memory.swap: {swap} is less than the memory limit {limit}")
    return limit, swap


def swappiness(memory: dict[str, Any]) -> int | None:
    value = integer(memory, "swappiness", "memory")
    if value is None or value in (-1, (1 << 64) - 1):
        return None
    if not 0 <= value <= 100:
        raise InvalidParameter(f"linux.resources.memory.swappiness: {value} is not between 0 and 100")
    return value


def device(entry: dict[str, Any], where: str) -> str:
    """ "major:minor"."""
    major, minor = integer(entry, "major", where), integer(entry, "minor", where)
    if major is None or minor is None:
        raise InvalidParameter(f"linux.resources.{where}: a device needs a major and a minor number")
    return f"{major}:{minor}"


def hugepages(resources: dict[str, Any]) -> Iterator[tuple[str, int]]:
    """(page size in the kernel's words, bytes)."""
    for entry in resources.get("hugepageLimits") or ():
        size = entry.get("pageSize")
        if not isinstance(size, str) or not size[:-2].isdigit() or size[-2:] not in ("KB", "MB", "GB"):
            raise InvalidParameter(f"linux.resources.hugepageLimits: {size!r} is not a page size")
        limit = integer(entry, "limit", "hugepageLimits")
        if limit is not None:
            yield size, limit


def rdma(resources: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """(device, words of rdma.max)."""
    for name, limits in (resources.get("rdma") or {}).items():
        words = [
            f"{word}={limits[key]}"
            for key, word in (("hcaHandles", "hca_handle"), ("hcaObjects", "hca_object"))
            if limits.get(key) is not None
        ]
        if words:
            yield name, " ".join(words)
