"""`docker stats`: what a container uses, in Docker's JSON, once or every second.

One sampler for each container, however many read: it runs while somebody does. `precpu_stats` is the reading
before, which clients need for a percentage; a single reading that is not `one-shot` waits for a second one.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import msgspec

from onggi.engine import clock, run_paths
from onggi.errors import OnggiError
from onggi.wire.containers import (
    ContainerBlkioStatEntry,
    ContainerBlkioStats,
    ContainerCPUStats,
    ContainerCPUUsage,
    ContainerMemoryStats,
    ContainerPidsStats,
    ContainerStatsResponse,
    ContainerThrottlingData,
)

if TYPE_CHECKING:
    from onggi.engine.containers.table import Container
    from onggi.engine.engine import Engine
    from onggi.runtime.cgroups.stats import Stats

INTERVAL_SECONDS = 1.0
_COUNTERS = [f"{way}_{what}" for way in ("rx", "tx") for what in ("bytes", "packets", "errors", "dropped")]
_TICK_NS = clock.SECOND // os.sysconf("SC_CLK_TCK")
_samplers: WeakKeyDictionary[Container, _Sampler] = WeakKeyDictionary()


async def stats(
    engine: Engine, name: str, *, stream: bool = True, one_shot: bool = False
) -> AsyncIterator[ContainerStatsResponse]:
    """Readings. Raises NoSuchContainer. A container that does not run has zeros."""
    container = engine.containers.get(name)
    return _stream(engine, container) if stream else _once(engine, container, one_shot)


async def _once(
    engine: Engine, container: Container, one_shot: bool
) -> AsyncIterator[ContainerStatsResponse]:
    reading = await _read(engine, container)
    if not one_shot and container.running:
        await asyncio.sleep(INTERVAL_SECONDS)
        reading = _joined(await _read(engine, container), reading)
    yield reading


async def _stream(engine: Engine, container: Container) -> AsyncIterator[ContainerStatsResponse]:
    sampler = _samplers.get(container)
    if sampler is None:
        sampler = _samplers[container] = _Sampler(engine, container)
    sampler.readers += 1
    try:
        while not container.removed:
            yield await sampler.next()
    finally:
        sampler.readers -= 1
        if not sampler.readers:
            sampler.stop()
            _samplers.pop(container, None)


class _Sampler:
    """Reads once a second and gives every reader the same value. Owns its task."""

    def __init__(self, engine: Engine, container: Container) -> None:
        self.readers = 0
        self._engine, self._container = engine, container
        self._waiters: list[asyncio.Future[ContainerStatsResponse]] = []
        self._failure: Exception | None = None  # that has ended it
        self._task = engine.task(self._run(), f"stats {container.id[:12]}")

    async def next(self) -> ContainerStatsResponse:
        if self._failure is not None:
            raise self._failure
        waiter: asyncio.Future[ContainerStatsResponse] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        return await waiter

    async def _run(self) -> None:
        before: ContainerStatsResponse | None = None
        while True:
            try:
                reading = await _read(self._engine, self._container)
            except (OnggiError, OSError) as error:
                self._failure = error
                self._give(error)
                return
            self._give(reading if before is None else _joined(reading, before))
            before = reading
            await asyncio.sleep(INTERVAL_SECONDS)

    def _give(self, outcome: ContainerStatsResponse | Exception) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if waiter.done():
                continue
            if isinstance(outcome, Exception):
                waiter.set_exception(outcome)
            else:
                waiter.set_result(outcome)

    def stop(self) -> None:
        self._task.cancel()


async def _read(engine: Engine, container: Container) -> ContainerStatsResponse:
    """One reading; only names where the container does not run, or ends while it is looked at."""
    names = ContainerStatsResponse(
        id=container.id,
        name=f"/{container.name}",
        os_type="linux",
        read=clock.GO_ZERO,
        preread=clock.GO_ZERO,
    )
    if not container.running:
        return names
    group = run_paths.group(engine, container.record)
    try:
        counted = await engine.offload(group.stats)
    except (OnggiError, OSError):
        if await engine.offload(group.exists):
            raise
        return names
    host_network = container.record.host_config.network_mode == "host"
    networks = None if host_network else await engine.offload(network_counters, container.record.pid)
    return msgspec.structs.replace(
        names,
        read=clock.rfc3339(clock.now()),
        cpu_stats=_cpu(counted),
        memory_stats=_memory(counted, v2=engine.cgroups.mode == "v2"),
        pids_stats=ContainerPidsStats(current=counted.pids, limit=counted.pids_limit or None),
        blkio_stats=_blkio(counted),
        networks=networks or None,
    )


def _joined(reading: ContainerStatsResponse, before: ContainerStatsResponse) -> ContainerStatsResponse:
    return msgspec.structs.replace(reading, precpu_stats=before.cpu_stats, preread=before.read)


def _cpu(counted: Stats) -> ContainerCPUStats:
    return ContainerCPUStats(
        cpu_usage=ContainerCPUUsage(
            total_usage=counted.cpu_total,
            percpu_usage=counted.percpu or None,
            usage_in_kernelmode=counted.cpu_kernel,
            usage_in_usermode=counted.cpu_user,
        ),
        system_cpu_usage=system_cpu(),
        online_cpus=os.cpu_count(),
        throttling_data=ContainerThrottlingData(
            periods=counted.throttling_periods,
            throttled_periods=counted.throttled_periods,
            throttled_time=counted.throttled_ns,
        ),
    )


def system_cpu() -> int:
    """CPU time of the whole host in ns: the first seven columns of /proc/stat, as dockerd adds them."""
    with open("/proc/stat", "rb") as file:
        return sum(int(ticks) for ticks in file.readline().split()[1:8]) * _TICK_NS


def _memory(counted: Stats, *, v2: bool) -> ContainerMemoryStats:
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return ContainerMemoryStats(
        usage=counted.memory.usage,
        max_usage=None if v2 else counted.memory.max_usage,
        failcnt=None if v2 else counted.memory.failcnt,
        stats=counted.memory_stat,
        limit=min(counted.memory.limit or total, total),
    )


def _blkio(counted: Stats) -> ContainerBlkioStats:
    def table(name: str) -> list[ContainerBlkioStatEntry]:
        rows = counted.blkio.get(name, [])
        return [ContainerBlkioStatEntry(major=a, minor=b, op=op, value=value) for a, b, op, value in rows]

    return ContainerBlkioStats(
        io_service_bytes_recursive=table("io_service_bytes_recursive"),
        io_serviced_recursive=table("io_serviced_recursive") or None,
    )


def network_counters(pid: int) -> dict[str, dict[str, int]]:
    """Counters of each interface but lo in a process's network namespace (/proc/PID/net/dev)."""
    try:
        with open(f"/proc/{pid}/net/dev") as file:
            lines = file.read().splitlines()[2:]
    except OSError:
        return {}  # it ended while we looked
    found = {}
    for line in lines:
        name, _, counters = line.partition(":")
        values = [int(word) for word in counters.split()]
        if name.strip() != "lo" and len(values) >= 12:
            found[name.strip()] = dict(zip(_COUNTERS, values[0:4] + values[8:12], strict=True))
    return found
