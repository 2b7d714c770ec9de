"""The daemon's side of zygote and shims: asyncio over unix sockets, no threads.

    zygote = Zygote(paths);  await zygote.start()
    shim = await zygote.spawn(container_id)                     # a shim that waits
    attached = await shim.attach(sock, early, AttachOptions())  # before the start too: nothing is lost
    started = await shim.start(plan, Stdio(), log=LogTarget(path=...))
    record = await shim.exited                                  # ExitRecord, when the record is on disk
    found = await zygote.find(container_id)                     # after a restart: Shim | ExitRecord | None

A socket given to `attach` or `exec` is duplicated into the shim: the caller closes his own afterwards, and
may write an error into it when the call raised. Killing the zygote harms nothing: the next spawn starts
another.
Messages are drawn in spawn/messages.py. Not here: what a run means to a container (engine/run.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import marshal
import os
import select
import socket
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import msgspec

from onggi.engine import descriptors
from onggi.engine.interpreter import spawn_zygote
from onggi.errors import Conflict, Corrupt, System
from onggi.kernel import files
from onggi.spawn import messages, state
from onggi.spawn.messages import Channel, Closed, ProtocolError
from onggi.spawn.plan import StepFailed

if TYPE_CHECKING:
    import _socket

    from onggi.paths import Paths


ZYGOTE_END_MS = 2000  # it ends at its end of file; more than a moment means that it hangs
NAMESPACES_SECONDS = 10.0
BIND_SECONDS = 5.0  # between a shim's directory and its socket; milliseconds on a machine that is not busy


class Stdio(msgspec.Struct, frozen=True, kw_only=True):
    """What a process's standard streams are. `stdin_once`: its end of file comes with the first client's."""

    terminal: bool = False
    stdin: bool = False
    stdin_once: bool = False
    rows: int = 0
    columns: int = 0


class LogTarget(msgspec.Struct, frozen=True, kw_only=True):
    """Where a run's json-file log goes; `attrs` is the JSON object of labels and variables, or empty."""

    path: str
    max_bytes: int = 20_000_000
    max_files: int = 5
    compress: bool = False
    attrs: bytes = b""


class AttachOptions(msgspec.Struct, frozen=True, kw_only=True):
    """`framed`: with Docker's 8-byte stream headers (no terminal). `detach_keys` empty: no detaching."""

    stdin: bool = False
    stdout: bool = True
    stderr: bool = True
    framed: bool = True
    detach_keys: bytes = b"\x10\x11"


class ExitRecord(msgspec.Struct, frozen=True, kw_only=True):
    """How a run ended: containers/ID/exit.json. Instants in ns; `lost`: nobody saw the end."""

    exit_code: int
    signal: int = 0
    oom_killed: bool = False
    pid: int = 0
    started_at: int = 0
    finished_at: int = 0
    error: str = ""
    lost: bool = False


class Started(msgspec.Struct, frozen=True):
    pid: int
    root_pid: int
    started_at: int

    @property
    def other_root(self) -> int:
        """The process whose root is the container's, where that is not init; else 0."""
        return self.root_pid if self.root_pid != self.pid else 0


class ExecExit(msgspec.Struct, frozen=True, kw_only=True):
    """How an exec ended; `output` only where it was asked for with `capture`."""

    exit_code: int
    output: bytes = b""
    timed_out: bool = False
    finished_at: int = 0


class ExecStarted(msgspec.Struct, frozen=True):
    pid: int
    started_at: int
    exited: asyncio.Future[ExecExit]


class ExecFacts(msgspec.Struct, frozen=True, kw_only=True):
    """An exec as the shim knows it; `note` is what its daemon said of it. `exit_code` None: it runs."""

    exec_id: str
    note: bytes
    pid: int
    started_at: int
    exit_code: int | None = None
    finished_at: int = 0


class ShimState(msgspec.Struct, frozen=True, kw_only=True):
    version: int
    shim_pid: int
    status: str  # new, running, ended
    pid: int = 0
    root_pid: int = 0
    started_at: int = 0
    execs: list[ExecFacts] = []
    ended_execs: list[ExecFacts] = []  # oldest first


class Attached:
    """One client's connection in the shim; `ended` resolves to "detached", "closed" or "finished"."""

    def __init__(self, ended: asyncio.Future[str]) -> None:
        self.ended = ended


class ShimGone(System):
    """The shim ended, or its connection broke, before it answered."""


class _Link:
    """One connection: requests with answers, and events. Owns the channel."""

    def __init__(
        self, sock: socket.socket, on_event: Callable[[str, Any], None], on_end: Callable[[], None]
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._channel = Channel(sock)
        self._on_event, self._on_end = on_event, on_end
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._number = 0
        self.open = True
        self._writing = False
        self._loop.add_reader(sock, self._readable)

    def request(
        self, verb: str, body: dict[str, Any], fds: tuple[int, ...] = ()
    ) -> tuple[int, asyncio.Future[Any]]:
        """Send now; the future has the answer's body. Raises ShimGone where the link is closed."""
        if not self.open:
            raise ShimGone(f"{verb}: the shim is gone")
        self._number += 1
        answer: asyncio.Future[Any] = self._loop.create_future()
        self._answers[self._number] = answer
        try:
            self._channel.send(self._number, verb, body, fds)
        except Closed:
            self._broken()
        except ProtocolError as error:
            del self._answers[self._number]
            raise System(str(error)) from None
        self._watch_writing()
        return self._number, answer

    def _watch_writing(self) -> None:
        wants = self.open and self._channel.wants_write
        if wants and not self._writing:
            self._loop.add_writer(self._channel.sock, self._writable)
        elif self._writing and not wants and self.open:
            self._loop.remove_writer(self._channel.sock)
        self._writing = wants

    def _writable(self) -> None:
        try:
            self._channel.flush()
        except Closed:
            self._broken()
        self._watch_writing()

    def _broken(self) -> None:
        """Nothing can be sent any more: what the other side said before it went still counts."""
        poll = select.poll()
        poll.register(self._channel.sock, select.POLLIN)
        while self.open and poll.poll(0):
            self._readable()
        self.close()

    def _readable(self) -> None:
        try:
            frames = self._channel.receive()
        except (Closed, ProtocolError):
            self.close()
            return
        for number, word, body, fds in frames:
            for fd in fds:  # nothing that we ask for is answered with descriptors
                os.close(fd)
            if number == 0:
                self._on_event(word, body)
            else:
                self._answer(-number, word, body)

    def _answer(self, number: int, word: str, body: Any) -> None:
        answer = self._answers.pop(number, None)
        if answer is None or answer.done():
            return
        if word == "":
            answer.set_result(body)
        else:
            answer.set_exception(_error(word, body))

    def close(self) -> None:
        """Close the connection; whoever waits for an answer gets ShimGone."""
        if not self.open:
            return
        self.open = False
        self._loop.remove_reader(self._channel.sock)
        if self._writing:
            self._loop.remove_writer(self._channel.sock)
        self._channel.close()
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(ShimGone("the shim went away before it answered"))
        self._answers.clear()
        self._on_end()


def _error(kind: str, facts: dict[str, Any]) -> Exception:
    """The exception that an answer of some kind stands for; the kinds are listed in spawn/messages.py."""
    if kind == "step":
        return StepFailed(facts["step"], facts["argument"], facts["errno"], facts["text"])
    if kind == "os":
        return OSError(facts["errno"], facts["text"])
    if kind == "state":
        return Conflict(facts["text"])
    if kind == "version":
        return System(f"the shim speaks version {facts['version']}, this engine {messages.VERSION}")
    return System(f"shim: {kind}: {facts!r}")


class Shim:
    """The supervisor of one run of one container, as the daemon sees it."""

    def __init__(self, container_id: str, sock: socket.socket, record_path: str) -> None:
        loop = asyncio.get_running_loop()
        self.id = container_id
        self.pid = 0  # of init, once started
        self.undone = False  # what the run had on the host is gone: its undo steps have been run, none failed
        self.exited: asyncio.Future[ExitRecord] = loop.create_future()
        self.ended: asyncio.Future[None] = loop.create_future()  # the shim's own end: clients have all bytes
        self.on_oom: Callable[[], None] | None = None
        self._record_path = record_path
        self._execs: dict[str, asyncio.Future[ExecExit]] = {}
        self._unclaimed: dict[str, asyncio.Future[ExecExit]] = {}  # told before adopt() asked
        self._attached: dict[int, asyncio.Future[str]] = {}
        self._link = _Link(sock, self._event, self._gone)

    async def start(
        self, plan: dict[str, Any], stdio: Stdio, *, log: LogTarget | None = None, oom_dir: str = ""
    ) -> Started:
        """Run a plan's process: returns when its execve has happened.

        `oom_dir` is the cgroup directory with memory.oom_control (v1) or memory.events (v2).
        Raises StepFailed, after which the shim is gone; ShimGone.
        """
        body = {**msgspec.structs.asdict(stdio), "oom_dir": oom_dir}
        body["log"] = None if log is None else msgspec.structs.asdict(log)
        with _plan_file(plan) as plan_fd:
            _, answer = self._link.request("start", body, (plan_fd,))
        started = Started(**await answer)
        self.pid = started.pid
        return started

    async def exec(
        self,
        exec_id: str,
        plan: dict[str, Any],
        stdio: Stdio,
        *,
        sock: socket.socket | None = None,
        early: bytes = b"",
        options: AttachOptions | None = None,
        capture: int = 0,
        timeout: float = 0.0,  # noqa: ASYNC109 - the shim keeps it, whatever becomes of this daemon
        note: bytes = b"",
    ) -> ExecStarted:
        """Run a process inside; `sock` is its client. `capture` keeps that many bytes of its output (health
        checks), `timeout` kills it after so many seconds. `note` is handed to a later daemon that asks for
        the state; without one it is not told of this exec. Raises StepFailed, Conflict, ShimGone.
        """
        exited: asyncio.Future[ExecExit] = asyncio.get_running_loop().create_future()
        self._execs[exec_id] = exited
        attach = None if sock is None else _attach_body(early, options or AttachOptions())
        body = {
            **msgspec.structs.asdict(stdio),
            "exec_id": exec_id, "attach": attach, "capture": capture, "timeout": timeout,
            "note": note,
        }  # fmt: skip
        try:
            with _plan_file(plan) as plan_fd:
                fds = (plan_fd,) if sock is None else (plan_fd, sock.fileno())
                _, answer = self._link.request("exec", body, fds)
            started = await answer
        except BaseException:
            self._execs.pop(exec_id, None)
            raise
        return ExecStarted(started["pid"], started["started_at"], exited)

    async def attach(self, sock: socket.socket, early: bytes, options: AttachOptions) -> Attached:
        """Connect a client to init's streams, from now on; `early` are bytes that he has sent already."""
        number, answer = self._link.request("attach", _attach_body(early, options), (sock.fileno(),))
        ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._attached[number] = ended
        try:
            await answer
        except BaseException:
            self._attached.pop(number, None)
            raise
        return Attached(ended)

    async def resize(self, rows: int, columns: int, exec_id: str = "") -> None:
        """Set the size of the terminal of init, or of an exec. Raises Conflict where there is none."""
        await self._link.request("resize", {"exec_id": exec_id, "rows": rows, "columns": columns})[1]

    async def signal(self, number: int, exec_id: str = "") -> None:
        """Signal init, or an exec's process, by pidfd. Raises Conflict where it has ended."""
        await self._link.request("signal", {"exec_id": exec_id, "signal": int(number)})[1]

    async def close_stdin(self, exec_id: str = "") -> None:
        await self._link.request("close-stdin", {"exec_id": exec_id})[1]

    async def state(self) -> ShimState:
        return msgspec.convert(await self._link.request("state", {})[1], ShimState)

    async def log_grown(self, seen: int) -> int | None:
        """Wait until more than `seen` bytes of log were written in this run; how many, None at its end.

        -1 answers at once.
        """
        try:
            answer = await self._link.request("log-wait", {"seen": seen})[1]
        except ShimGone:
            return None
        return None if answer["ended"] else int(answer["written"])

    async def quit(self) -> None:
        """End a shim that was not started; one that was started goes on."""
        try:
            await self._link.request("quit", {})[1]
        except ShimGone:
            return

    def disconnect(self) -> None:
        """Let go of the shim, which goes on by itself; `exited` is cancelled."""
        self.exited.cancel()
        self._link.close()

    async def hello(self) -> ShimState:
        """Greet a shim that an earlier daemon left, and learn where it is. Raises ShimGone, System."""
        answer = await self._link.request("hello", {"version": messages.VERSION})[1]
        state = msgspec.convert(answer, ShimState)
        self.pid = state.pid
        return state

    def adopt(self, exec_id: str) -> asyncio.Future[ExecExit]:
        """The end of an exec that an earlier daemon started (ShimState.execs)."""
        if exec_id in self._unclaimed:
            return self._unclaimed.pop(exec_id)
        return self._execs.setdefault(exec_id, asyncio.get_running_loop().create_future())

    def _event(self, name: str, body: Any) -> None:
        if name == "exit" and not self.exited.done():
            self.undone = body["undone"]
            self.exited.set_result(msgspec.convert(body, ExitRecord))
        elif name == "exec-exit":
            exited = self._execs.pop(body["exec_id"], None)
            if exited is None:  # of an earlier daemon: its end overtook our question for the state
                exited = self._unclaimed[body["exec_id"]] = asyncio.get_running_loop().create_future()
            if not exited.done():
                exited.set_result(msgspec.convert(body, ExecExit))
        elif name == "attach-end":
            ended = self._attached.pop(body["attach"], None)
            if ended is not None and not ended.done():
                ended.set_result(body["reason"])
        elif name == "oom" and self.on_oom is not None:
            self.on_oom()

    def _gone(self) -> None:
        """The connection ended: everything that was awaited has an answer now."""
        if not self.exited.done():
            self.exited.set_result(read_exit_record(self._record_path) or lost_record(self.pid))
        for exited in self._execs.values():
            if not exited.done():
                exited.set_result(ExecExit(exit_code=137, finished_at=time.time_ns()))
        for ended in self._attached.values():
            if not ended.done():
                ended.set_result("closed")
        self._execs.clear()
        self._attached.clear()
        if not self.ended.done():
            self.ended.set_result(None)


@contextlib.contextmanager
def _plan_file(plan: dict[str, Any]) -> Iterator[int]:
    """A plan as a file in memory, for the launcher alone: it never enters the shim's memory."""
    fd = files.memfd("onggi-plan", marshal.dumps(plan))
    try:
        yield fd
    finally:
        os.close(fd)


def _attach_body(early: bytes, options: AttachOptions) -> dict[str, Any]:
    return {**msgspec.structs.asdict(options), "early": bytes(early)}


def read_exit_record(path: str) -> ExitRecord | None:
    """The exit record at a path; None where there is none. Raises Corrupt where it is none.

    An empty file is what a power cut may leave (spawn/record.py): no record.
    """
    try:
        with open(path, "rb") as file:
            document = file.read()
    except FileNotFoundError:
        return None
    if not document:
        return None
    try:
        return msgspec.json.decode(document, type=ExitRecord)
    except msgspec.DecodeError as error:
        raise Corrupt(f"exit record {path} is corrupt: {error}") from None


def lost_record(pid: int = 0, error: str = "the container's shim was lost") -> ExitRecord:
    """What is said of a run whose end nobody saw; 255 is what dockerd says then."""
    return ExitRecord(exit_code=255, pid=pid, finished_at=time.time_ns(), lost=True, error=error)


class Zygote:
    """Starts shims, and finds those that run. Owns the zygote process, which ends with this daemon."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._link: _Link | None = None
        self._starting = asyncio.Lock()
        self._pidfd: int | None = None  # of the zygote, until it is reaped
        self.pid = 0

    async def start(self) -> None:
        """Start the zygote process, unless it runs. Raises OSError."""
        async with self._starting:
            if self._link is not None and self._link.open:
                return
            os.makedirs(self._paths.shims_dir, 0o711, exist_ok=True)
            ours, theirs = socket.socketpair()
            with theirs:
                try:
                    self.pid = spawn_zygote(theirs.fileno(), self._paths.exec_root)
                    descriptors.give_back(self.pid)
                except OSError:
                    ours.close()
                    raise
            self._reap()
            self._link = _Link(ours, _ignore_event, _ignore_end)

    def _reap(self) -> None:
        """Wait for our child's end without a thread, by pidfd."""
        loop = asyncio.get_running_loop()
        pid, pidfd = self.pid, os.pidfd_open(self.pid)
        self._pidfd = pidfd

        def ended() -> None:
            loop.remove_reader(pidfd)
            if self._pidfd == pidfd:
                self._pidfd = None
            os.close(pidfd)
            os.waitpid(pid, 0)

        loop.add_reader(pidfd, ended)

    async def spawn(self, container_id: str) -> Shim:
        """Fork a shim for one run of a container. Starts another zygote where it died. Raises ShimGone."""
        for attempt in (1, 2):
            await self.start()
            assert self._link is not None
            ours, theirs = socket.socketpair()
            body = {
                "id": container_id,
                "shim_dir": self._paths.shim_dir(container_id),
                "container_dir": self._paths.container_dir(container_id),
            }
            try:
                # Before the shim is there: a daemon that finds the directory without a socket waits for it.
                os.makedirs(body["shim_dir"], 0o700, exist_ok=True)
                with theirs:
                    await self._link.request("spawn", body, (theirs.fileno(),))[1]
                return Shim(container_id, ours, self._paths.exit_record(container_id))
            except ShimGone:
                ours.close()
                if attempt == 2:
                    raise
            except BaseException:
                ours.close()
                raise
        raise AssertionError("unreachable")

    async def namespaces(self, uid_map: str, gid_map: str) -> tuple[int, int]:
        """Descriptors of a new user namespace with these maps, and of a network namespace that it owns.

        Made there because this process has threads: one that has may neither fork nor enter a user namespace
        (setns(2)). The caller closes them. Raises ShimGone, OSError.
        """
        await self.start()
        assert self._link is not None
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours:
            with theirs:
                body = {"uid_map": uid_map, "gid_map": gid_map}
                await self._link.request("namespaces", body, (theirs.fileno(),))[1]
            ours.settimeout(NAMESPACES_SECONDS)
            message, fds = await asyncio.to_thread(state.receive, ours)
        if message is None:
            raise ShimGone("the zygote ended before it had made a user namespace")
        if message[0] != "made":
            raise OSError(message[1], f"user namespace: {message[2]}")
        return fds[0], fds[1]

    async def find(self, container_id: str) -> Shim | ExitRecord | None:
        """What has become of a run that an earlier daemon started.

        The Shim where it lives; else the exit record that it wrote; else None: the run is lost, and whoever
        asks kills what is left in its cgroup. Raises Corrupt for an exit record that is none.
        """
        record_path = self._paths.exit_record(container_id)
        try:
            sock = await self._connect(self._paths.shim_dir(container_id))
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ECONNREFUSED):
                raise
            return read_exit_record(record_path)
        connection = socket.socket(fileno=sock.detach())
        if not messages.trusted(connection):
            connection.close()
            raise System(f"the shim of {container_id} is not ours: its socket belongs to another user")
        shim = Shim(container_id, connection, record_path)
        try:
            await shim.hello()
        except ShimGone:
            return read_exit_record(record_path)
        return shim

    async def _connect(self, shim_dir: str) -> _socket.socket:
        """Connect to a shim. A directory without a socket: it is about to start, or ended before (or a run is
        just over); so it gets a moment. Raises OSError.
        """
        deadline = time.monotonic() + BIND_SECONDS
        while True:
            try:
                return messages.connect(shim_dir, "sock")
            except FileNotFoundError:
                if not os.path.isdir(shim_dir) or time.monotonic() > deadline:
                    raise
            await asyncio.sleep(0.01)

    def shims(self) -> list[str]:
        """Ids of the containers whose shim directory exists; `find` says what is behind each."""
        try:
            return os.listdir(self._paths.shims_dir)
        except FileNotFoundError:
            return []

    def close(self) -> None:
        """End the zygote, and see it end; shims go on."""
        if self._link is not None:
            self._link.close()
        if self._pidfd is not None:
            poll = select.poll()
            poll.register(self._pidfd, select.POLLIN)
            poll.poll(ZYGOTE_END_MS)


def _ignore_event(name: str, body: Any) -> None:
    """The zygote sends no events."""


def _ignore_end() -> None:
    """The next spawn sees that the link is closed."""
