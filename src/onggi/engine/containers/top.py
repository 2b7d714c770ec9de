"""`docker top`: the processes of a container, by the host's ps, filtered by the container's pids.

The default, `-ef`, is read from /proc directly: it needs no ps and no process. Other arguments are given to
the host's ps, whose output must have a PID column (dockerd's rule, and its wording).
"""

from __future__ import annotations

import asyncio
import os
import pwd
import time
from typing import TYPE_CHECKING

from onggi.engine import run_paths, runtimes
from onggi.engine.status import Status
from onggi.errors import Conflict, InvalidParameter, System
from onggi.wire.containers import ContainerTopResponse

if TYPE_CHECKING:
    from onggi.engine.engine import Engine

_TITLES = ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]
ARGUMENT_BYTES = 4096  # far below what execve(2) takes
_TICKS = os.sysconf("SC_CLK_TCK")


async def top(engine: Engine, name: str, *, ps_args: str = "-ef") -> ContainerTopResponse:
    """Titles and rows. Raises NoSuchContainer, Conflict where it does not run, InvalidParameter, System."""
    container = engine.containers.get(name)
    if container.status == Status.RESTARTING:
        raise Conflict(f"Container {container.id} is restarting, wait until the container is running")
    if not container.running:
        raise Conflict(f"container {container.id} is not running")
    group = run_paths.group(engine, container.record)
    pids = await engine.offload(group.pids)
    if container.record.runtime:
        table = await engine.offload(runtimes.sandboxed, container.record, tuple(pids))
        if table:
            return sandboxed(table)
    if ps_args.strip() in ("", "-ef"):
        return await engine.offload(default, pids)
    return filtered(await _ps(ps_args), set(pids))


def sandboxed(output: str) -> ContainerTopResponse:
    """Of a sandbox, whose processes the host does not see: what its runtime shows."""
    lines = output.splitlines()
    titles = lines[0].split() if lines else []
    rows = [line.split(None, len(titles) - 1) for line in lines[1:]]
    return ContainerTopResponse(titles=titles, processes=rows)


def default(pids: list[int]) -> ContainerTopResponse:
    """What `ps -ef` says of these processes; those that have ended meanwhile are left out."""
    rows = [row for pid in sorted(pids) if (row := _row(pid)) is not None]
    return ContainerTopResponse(titles=_TITLES, processes=rows)


def _row(pid: int) -> list[str] | None:
    """proc_pid_stat(5): 4 ppid, 7 tty, 14 utime, 15 stime, 22 starttime (numbered from 1)."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            stat = file.read()
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            arguments = file.read()
        uid = os.stat(f"/proc/{pid}").st_uid
    except (FileNotFoundError, ProcessLookupError):
        return None
    name, _, rest = stat.rpartition(b")")
    fields = rest.split()
    cpu = (int(fields[11]) + int(fields[12])) // _TICKS
    age = time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields[19]) / _TICKS
    command = arguments.rstrip(b"\0").replace(b"\0", b" ").decode("utf-8", "replace")
    return [
        _user(uid),
        str(pid),
        fields[1].decode(),
        str(int(min(99, 100 * cpu / age)) if age >= 1 else 0),
        _start(time.time() - age),
        _terminal(int(fields[4])),
        f"{cpu // 3600:02}:{cpu // 60 % 60:02}:{cpu % 60:02}",
        command or f"[{name.partition(b'(')[2].decode('utf-8', 'replace')}]",
    ]


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _start(at: float) -> str:
    """The hour today, else the day, as ps(1) shows STIME."""
    started, today = time.localtime(at), time.localtime()
    return time.strftime("%H:%M" if started[:3] == today[:3] else "%b%d", started)


def _terminal(device: int) -> str:
    """A tty's name by its number: 136 to 143 are pseudo-terminals (Documentation/admin-guide/devices.txt)."""
    major, minor = os.major(device), os.minor(device)
    if device == 0:
        return "?"
    if 136 <= major <= 143:
        return f"pts/{(major - 136) * 256 + minor}"
    return f"tty{minor}" if major == 4 else "?"


async def _ps(ps_args: str) -> str:
    if "\0" in ps_args or len(ps_args) > ARGUMENT_BYTES:
        raise InvalidParameter(f"ps {ps_args[:40]!r}: arguments of ps have no null bytes, and are shorter")
    try:
        process = await asyncio.create_subprocess_exec(
            "ps", *ps_args.split(), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
    except FileNotFoundError:
        raise System(f"ps {ps_args}: ps is not installed on this host") from None
    output, error = await process.communicate()
    if process.returncode:
        first = error.decode("utf-8", "replace").strip().partition("\n")[0]
        raise InvalidParameter(f"ps {ps_args}: {first.removeprefix('error: ')}")
    return output.decode("utf-8", "replace")


def filtered(output: str, pids: set[int]) -> ContainerTopResponse:
    """The rows of a ps output that belong to `pids`; the last column keeps its spaces.

    Raises InvalidParameter where there is no PID column.
    """
    lines = output.splitlines()
    titles = lines[0].split() if lines else []
    if "PID" not in titles:
        raise InvalidParameter("Couldn't find PID field in ps output")
    column = titles.index("PID")
    rows = []
    for line in lines[1:]:
        fields = line.split(None, len(titles) - 1)
        if len(fields) > column and fields[column].isdigit() and int(fields[column]) in pids:
            rows.append(fields)
    return ContainerTopResponse(titles=titles, processes=rows)
