"""The life of pasta or slirp4netns: started, watched, started again; the reason where that fails.

Where both are installed and the first cannot be started (pasta asks for a host that is connected), the
other is tried. A killed one takes its link and every connection with it; the next has the same addresses.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import Callable

import msgspec

from onggi.errors import OnggiError
from onggi.kernel.netlink import Route
from onggi.kernel.processes import set_parent_death_signal
from onggi.network.rootless import programs
from onggi.network.rootless.outside import NONE, State
from onggi.network.rootless.programs import Way

_READY_SECONDS = 4.0
_LOOK_SECONDS = 0.01
_LAST_WORDS_SECONDS = 0.5
_PAUSES = (0.0, 0.2, 1.0, 2.0)  # before a new attempt; the last one for ever
_WORDS = 1000  # of what a program said before it ended


class Uplink:
    """`target` gives the pid of a process in the namespaces, 0 for none; `pid_file` is a path of ours."""

    def __init__(self, driver: str, target: Callable[[], int], pid_file: str) -> None:
        self._driver = driver
        self._target = target
        self._pid_file = pid_file
        self._settled = asyncio.Event()
        self._subnet = ""
        self._targeted = 0
        self.state = State()
        self._task = asyncio.get_running_loop().create_task(self._live())

    async def settled(self) -> State:
        """The state after the first attempt."""
        await self._settled.wait()
        return self.state

    async def close(self) -> None:
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._pid_file)

    async def _live(self) -> None:
        failures = 0
        while self._driver != NONE:
            await asyncio.sleep(_PAUSES[min(failures, len(_PAUSES) - 1)])
            names = programs.installed(self._driver)
            if not names:
                self.state = msgspec.structs.replace(self.state, error=programs.lacking(self._driver))
            elif await self._run(names[failures % len(names)]):
                failures = 0
                continue
            elif self._target() != self._targeted:
                await asyncio.sleep(_PAUSES[1])
                continue  # it ended under the program's hands: that says nothing of the program
            failures += 1
            if failures >= len(names):
                self._settled.set()
        self._settled.set()

    async def _run(self, driver: str) -> bool:
        """One program from its start to its end; was its link up? What it said is the error from then on."""
        starts, self._targeted = self.state.starts, self._target()
        try:
            way = self._way_of(driver)
            process = self._start(driver, way)
        except (OSError, OnggiError) as error:
            self.state = State(starts=starts, error=f"{driver}: {error}")
            return False
        words = asyncio.get_running_loop().create_task(_read(process))
        try:
            up = await self._up(driver, process)
            if up:
                self.state = State(driver=driver, pid=process.pid, starts=starts + 1, way=way)
                self._settled.set()
                await _end_of(process.pid)
        finally:
            _kill_group(process.pid)
            code = process.wait()
            said = await _last_words(words)
        how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"
        reason = f"{driver} has ended ({how}){': ' if said else ''}{said}"
        self.state = State(starts=starts + up, error=reason)
        return up

    def _way_of(self, driver: str) -> Way:
        """The subnet stays for the life of the namespace. Raises Unavailable, OSError."""
        if not self._subnet:
            with Route() as route:
                used = [(address, prefix) for _, address, prefix in route.addresses()]
                self._subnet = programs.free_subnet(used + route.destinations())
        return programs.way(driver, self._subnet, six=_leads_out_by_ipv6())

    def _start(self, driver: str, way: Way) -> subprocess.Popen[bytes]:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._pid_file)
        self._ready, ready_fd = os.pipe()
        os.set_blocking(self._ready, False)
        try:
            # Popen gives SIGPIPE back its default: pasta takes an ignored one for a failure.
            return subprocess.Popen(
                programs.command(driver, way, self._targeted, pid_file=self._pid_file, ready_fd=ready_fd),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                pass_fds=(ready_fd,),
                preexec_fn=_end_with_us,
                start_new_session=True,
                cwd="/",
            )
        except BaseException:
            os.close(self._ready)
            raise
        finally:
            os.close(ready_fd)

    async def _up(self, driver: str, process: subprocess.Popen[bytes]) -> bool:
        """Wait until the link is there; False: the program has ended, or takes too long."""
        try:
            async with asyncio.timeout(_READY_SECONDS):
                while process.poll() is None:
                    if os.path.exists(self._pid_file) if driver == "pasta" else _said(self._ready):
                        return True
                    await asyncio.sleep(_LOOK_SECONDS)
        except TimeoutError:
            pass
        finally:
            os.close(self._ready)
        return False


def _end_with_us() -> None:
    """What the outside process had started is not to be left without it (PR_SET_PDEATHSIG)."""
    set_parent_death_signal(signal.SIGKILL)


async def _end_of(pid: int) -> None:
    """Wait for the end of a child. Its words may end later: a child of its own has the same pipe."""
    pidfd = os.pidfd_open(pid)
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(pidfd, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(pidfd)
        os.close(pidfd)


def _kill_group(pid: int) -> None:
    """The program, which is not waited for yet, and children of its own."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


async def _last_words(words: asyncio.Task[str]) -> str:
    with contextlib.suppress(TimeoutError):
        return await asyncio.wait_for(words, _LAST_WORDS_SECONDS)
    return ""


def _said(fd: int) -> bool:
    try:
        return os.read(fd, 1) != b""
    except BlockingIOError:
        return False


async def _read(process: subprocess.Popen[bytes]) -> str:
    """The end of what the program says, when it has ended."""
    assert process.stderr is not None
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), process.stderr)
    said = b""
    try:
        while data := await reader.read(_WORDS):
            said = (said + data)[-_WORDS:]
    finally:
        transport.close()
    lines = said.decode(errors="replace").splitlines()
    return " ".join(line.strip() for line in lines if "to syslog" not in line and "WARNING" not in line)


def _leads_out_by_ipv6() -> bool:
    """Has the host a default route of IPv6? proc(5), /proc/net/ipv6_route."""
    try:
        with open("/proc/net/ipv6_route", encoding="ascii") as file:
            routes = [line.split() for line in file]
    except FileNotFoundError:
        return False
    return any(set(route[0] + route[1]) == {"0"} and route[-1] != "lo" for route in routes)
