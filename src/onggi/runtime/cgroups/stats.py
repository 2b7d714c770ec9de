"""What the kernel has counted for one cgroup, v1 and v2 in the same words.

Times are nanoseconds, sizes bytes; a limit that is not set is UNLIMITED (v1's own word for it). The block
tables have v1's shape: (major, minor, operation, value).
Source: Documentation/admin-guide/cgroup-v1/{cpuacct,memory,blkio-controller}.rst, cgroup-v2.rst.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from onggi.runtime.cgroups.layout import Layout

    BlockTable = list[tuple[int, int, str, int]]

UNLIMITED = (1 << 63) - 1 & ~4095
_TICK = 1_000_000_000 // os.sysconf("SC_CLK_TCK")


class MemoryUse:
    """One counter of the memory controller."""

    __slots__ = ("failcnt", "limit", "max_usage", "usage")

    def __init__(self, usage: int = 0, max_usage: int = 0, limit: int = 0, failcnt: int = 0) -> None:
        self.usage = usage
        self.max_usage = max_usage
        self.limit = limit
        self.failcnt = failcnt


class Stats:
    """One reading; what the machine does not count is 0 or empty."""

    __slots__ = (
        "blkio", "cpu_kernel", "cpu_total", "cpu_user", "hugetlb", "kernel", "kernel_tcp", "memory",
        "memory_stat", "oom_kills", "percpu", "pids", "pids_limit", "swap", "throttled_ns",
        "throttled_periods",
        "throttling_periods",
    )  # fmt: skip

    def __init__(self) -> None:
        self.cpu_total = self.cpu_user = self.cpu_kernel = 0
        self.percpu: list[int] = []
        self.throttling_periods = self.throttled_periods = self.throttled_ns = 0
        self.memory = MemoryUse()
        self.swap = MemoryUse()  # memory+swap
        self.kernel = MemoryUse()
        self.kernel_tcp = MemoryUse()
        self.memory_stat: dict[str, int] = {}
        self.oom_kills = 0
        self.pids = 0
        self.pids_limit = 0  # 0: none
        self.blkio: dict[str, BlockTable] = {}  # io_service_bytes_recursive, io_serviced_recursive
        self.hugetlb: dict[str, MemoryUse] = {}


def read(layout: Layout, path: str) -> Stats:
    """Read every controller that the machine has."""
    found = Stats()
    if layout.mode == "v2":
        _read_v2(f"{layout.unified}{path}", found)
        return found
    for controller, reader in (
        ("cpuacct", _cpuacct), ("cpu", _cpu), ("memory", _memory), ("pids", _pids), ("blkio", _blkio),
    ):  # fmt: skip
        if controller in layout.v1:
            reader(layout.v1[controller] + path, found)
    if layout.has("hugetlb"):
        _hugetlb(layout.directory("hugetlb", path), found, v1="hugetlb" in layout.v1)
    return found


def table(path: str) -> dict[str, int]:
    """A file of "name value" lines; empty where the file is missing."""
    found = {}
    for line in _text(path).splitlines():
        name, _, value = line.partition(" ")
        if value.isdigit():
            found[name] = int(value)
    return found


def _text(path: str) -> str:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return ""
    try:
        chunks = []
        while chunk := os.read(fd, 16384):
            chunks.append(chunk)
    except OSError:
        return ""  # ENODEV: the group went away while it was read; EOPNOTSUPP: not counted by this kernel
    finally:
        os.close(fd)
    return b"".join(chunks).decode("ascii", "replace")


def _number(path: str) -> int:
    text = _text(path).strip()
    if text == "max":
        return UNLIMITED
    return int(text) if text.isdigit() else 0


def _cpuacct(directory: str, found: Stats) -> None:
    found.cpu_total = _number(f"{directory}/cpuacct.usage")
    found.percpu = [int(word) for word in _text(f"{directory}/cpuacct.usage_percpu").split()]
    ticks = table(f"{directory}/cpuacct.stat")
    found.cpu_user, found.cpu_kernel = ticks.get("user", 0) * _TICK, ticks.get("system", 0) * _TICK


def _cpu(directory: str, found: Stats) -> None:
    counted = table(f"{directory}/cpu.stat")
    found.throttling_periods = counted.get("nr_periods", 0)
    found.throttled_periods = counted.get("nr_throttled", 0)
    found.throttled_ns = counted.get("throttled_time", 0)


def _memory(directory: str, found: Stats) -> None:
    found.memory_stat = table(f"{directory}/memory.stat")
    found.memory = _use(f"{directory}/memory.")
    found.swap = _use(f"{directory}/memory.memsw.")
    found.kernel = _use(f"{directory}/memory.kmem.")
    found.kernel_tcp = _use(f"{directory}/memory.kmem.tcp.")
    found.oom_kills = table(f"{directory}/memory.oom_control").get("oom_kill", 0)


def _use(prefix: str) -> MemoryUse:
    return MemoryUse(
        _number(f"{prefix}usage_in_bytes"),
        _number(f"{prefix}max_usage_in_bytes"),
        _number(f"{prefix}limit_in_bytes"),
        _number(f"{prefix}failcnt"),
    )


def _pids(directory: str, found: Stats) -> None:
    found.pids = _number(f"{directory}/pids.current")
    limit = _number(f"{directory}/pids.max")
    found.pids_limit = 0 if limit == UNLIMITED else limit


def _blkio(directory: str, found: Stats) -> None:
    """BFQ's tables where they count, else the throttle's."""
    for name in ("io_service_bytes_recursive", "io_serviced_recursive"):
        for prefix in ("blkio.bfq.", "blkio.", "blkio.throttle."):
            rows: BlockTable = []
            for line in _text(f"{directory}/{prefix}{name}").splitlines():
                words = line.split()
                if len(words) == 3 and ":" in words[0]:
                    major, _, minor = words[0].partition(":")
                    rows.append((int(major), int(minor), words[1], int(words[2])))
            if rows:
                break
        found.blkio[name] = rows


def _hugetlb(directory: str, found: Stats, *, v1: bool) -> None:
    try:
        names = os.listdir(directory)
    except FileNotFoundError:
        return
    usage, most = (".usage_in_bytes", ".limit_in_bytes") if v1 else (".current", ".max")
    for name in names:
        if name.startswith("hugetlb.") and name.endswith(usage) and "rsvd" not in name:
            size = name[len("hugetlb.") : -len(usage)]
            prefix = f"{directory}/hugetlb.{size}"
            found.hugetlb[size] = MemoryUse(
                _number(prefix + usage),
                _number(prefix + ".max_usage_in_bytes"),
                _number(prefix + most),
                _number(prefix + ".failcnt") if v1 else table(prefix + ".events").get("max", 0),
            )


def _read_v2(directory: str, found: Stats) -> None:
    cpu = table(f"{directory}/cpu.stat")
    found.cpu_total = cpu.get("usage_usec", 0) * 1000
    found.cpu_user, found.cpu_kernel = cpu.get("user_usec", 0) * 1000, cpu.get("system_usec", 0) * 1000
    found.throttling_periods = cpu.get("nr_periods", 0)
    found.throttled_periods = cpu.get("nr_throttled", 0)
    found.throttled_ns = cpu.get("throttled_usec", 0) * 1000
    found.memory_stat = table(f"{directory}/memory.stat")
    events = table(f"{directory}/memory.events")
    found.oom_kills = events.get("oom_kill", 0)
    found.memory = MemoryUse(
        _number(f"{directory}/memory.current"), _number(f"{directory}/memory.peak"),
        _number(f"{directory}/memory.max"), events.get("max", 0),
    )  # fmt: skip
    swap_limit = _number(f"{directory}/memory.swap.max")
    found.swap = MemoryUse(
        found.memory.usage + _number(f"{directory}/memory.swap.current"), 0,
        min(UNLIMITED, found.memory.limit + swap_limit),
        table(f"{directory}/memory.swap.events").get("fail", 0),
    )  # fmt: skip
    _pids(directory, found)
    _io_v2(directory, found)
    _hugetlb(directory, found, v1=False)


def _io_v2(directory: str, found: Stats) -> None:
    sizes: BlockTable = []
    counts: BlockTable = []
    words = {
        "rbytes": (sizes, "Read"),
        "wbytes": (sizes, "Write"),
        "rios": (counts, "Read"),
        "wios": (counts, "Write"),
    }
    for line in _text(f"{directory}/io.stat").splitlines():
        device, *pairs = line.split()
        major, _, minor = device.partition(":")
        for pair in pairs:
            word, _, value = pair.partition("=")
            if word in words and major.isdigit() and value.isdigit():
                rows, operation = words[word]
                rows.append((int(major), int(minor), operation, int(value)))
    found.blkio = {"io_service_bytes_recursive": sizes, "io_serviced_recursive": counts}
