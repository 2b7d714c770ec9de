"""Show the resources that containers use: CPU, memory, network, disk, processes.

Each round asks for one sample of every container at the same time; an engine takes about a second for it,
which is the pace of the live table.
"""

from __future__ import annotations

import os
import sys

from onggi.cli import human, listing, table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from onggi.cli.engine import Engine
    from onggi.cli.flags import Flags
    from onggi.cli.session import Session

USAGE = "[CONTAINER...]"
ARGUMENTS = (0, None)
FLAGS = (
    ("all", "a", "bool", False, "Stopped containers too"),
    ("format", "", "string", "", "How to print: table, 'table TEMPLATE', json, or a Go template"),
    ("no-stream", "", "bool", False, "One sample only"),
    ("no-trunc", "", "bool", False, "Show everything in full length"),
)
HEADERS = {
    "BlockIO": "BLOCK I/O",
    "CPUPerc": "CPU %",
    "Container": "CONTAINER",
    "ID": "CONTAINER ID",
    "MemPerc": "MEM %",
    "MemUsage": "MEM USAGE / LIMIT",
    "Name": "NAME",
    "NetIO": "NET I/O",
    "PIDs": "PIDS",
}
COLUMNS = ("ID", "Name", "CPUPerc", "MemUsage", "MemPerc", "NetIO", "BlockIO", "PIDs")


class Sample(listing.Row):
    """One container's figures, computed from the API's counters."""

    template_type = "*container.statsContext"
    fields = tuple(HEADERS)

    def __init__(self, asked: str, found: dict[str, Any], *, full: bool) -> None:
        self._asked = asked
        self._found = found
        self._full = full

    def Container(self) -> str:
        return self._asked

    def Name(self) -> str:
        return str(self._found.get("name", "")).removeprefix("/") or "--"

    def ID(self) -> str:
        identifier = str(self._found.get("id", ""))
        return identifier if self._full else human.short_id(identifier)

    def CPUPerc(self) -> str:
        now, before = self._found.get("cpu_stats") or {}, self._found.get("precpu_stats") or {}
        used = _total(now) - _total(before)
        passed = now.get("system_cpu_usage", 0) - before.get("system_cpu_usage", 0)
        count = now.get("online_cpus") or len((now.get("cpu_usage") or {}).get("percpu_usage") or [])
        share = used / passed * count * 100 if used > 0 and passed > 0 else 0.0
        return f"{share:.2f}%"

    def _memory(self) -> tuple[float, float]:
        """(bytes in use without the page cache that can be dropped, limit)."""
        found = self._found.get("memory_stats") or {}
        usage, details = found.get("usage", 0), found.get("stats") or {}
        for name in ("total_inactive_file", "inactive_file"):  # cgroup v1, v2
            if name in details:
                cache = details[name]
                return (usage - cache if cache < usage else usage), found.get("limit", 0)
        return usage, found.get("limit", 0)

    def MemUsage(self) -> str:
        usage, limit = self._memory()
        return f"{human.binary_size(usage)} / {human.binary_size(limit)}"

    def MemPerc(self) -> str:
        usage, limit = self._memory()
        return f"{usage / limit * 100 if limit else 0:.2f}%"

    def NetIO(self) -> str:
        networks = (self._found.get("networks") or {}).values()
        received = sum(network["rx_bytes"] for network in networks)
        sent = sum(network["tx_bytes"] for network in networks)
        return f"{human.size(received, 3)} / {human.size(sent, 3)}"

    def BlockIO(self) -> str:
        entries = (self._found.get("blkio_stats") or {}).get("io_service_bytes_recursive") or []
        sums = {"r": 0, "w": 0}
        for entry in entries:
            kind = str(entry.get("op", ""))[:1].lower()
            if kind in sums:
                sums[kind] += entry["value"]
        return f"{human.size(sums['r'], 3)} / {human.size(sums['w'], 3)}"

    def PIDs(self) -> str:
        return str((self._found.get("pids_stats") or {}).get("current", 0))


def _total(found: dict[str, Any]) -> int:
    return int((found.get("cpu_usage") or {}).get("total_usage", 0))


def run(session: Session, flags: Flags, args: list[str]) -> int:
    engine = session.engine
    for name in args:  # a wrong name is an error before the first table
        engine.get(f"/containers/{name}/json")
    live = not flags["no-stream"]
    while True:
        rows = _sample(engine, args, every=flags["all"], full=flags["no-trunc"])
        if live and os.isatty(1):
            sys.stdout.write("\x1b[H\x1b[J")
        if flags["format"] in ("", "table"):
            lines = [[HEADERS[name] for name in COLUMNS]]
            lines += [[getattr(row, name)() for name in COLUMNS] for row in rows]
            sys.stdout.write("\n".join(table.align(lines)) + "\n")
        else:
            listing.show(flags["format"], rows, HEADERS, COLUMNS)
        sys.stdout.flush()
        if not live or (args and not rows):
            return 0


def _sample(engine: Engine, args: list[str], *, every: bool, full: bool) -> list[Sample]:
    names = list(args)
    if not names:
        names = [found["Id"] for found in engine.get("/containers/json", all=True if every else None)]
    answers = engine.get_together([f"/containers/{name}/stats?stream=0" for name in names])
    asked = names if args else [human.short_id(name) for name in names]
    return [
        Sample(name, found, full=full)
        for name, found in zip(asked, answers, strict=True)
        if found is not None
    ]
