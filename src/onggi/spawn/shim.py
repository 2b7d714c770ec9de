"""The shim: the supervisor of one run of one container. Survives its daemon; ends after its container.

    new --start--> running --init ends--> draining --> exit record --> undo steps --> "exit" --> ended

Owns exec_root/shims/ID/ (sock, state), init's pidfd, its streams and log, the execs, and every connection
of a daemon. One thread, one epoll (loop.py). With no daemon connected it does all the same; a daemon that
comes
back connects to `sock`. The order at the end is the promise: what init wrote is in the log, then the exit
record is on disk, then the cgroup is gone, and only then anybody is told; the shim itself stays until every
attached client has the last byte, but its directory is free for the next run before that.

Failpoints: shim.bound, shim.started, shim.init-ended, shim.drained, shim.recorded, shim.undone, shim.told.
Messages: messages.py. Not here: what a process's streams do (streams.py), how it is started (launcher.py).
"""

from __future__ import annotations

import _socket
import os
import time

from onggi import failpoints
from onggi.kernel import processes
from onggi.kernel.namespaces import CLONE_NEWPID
from onggi.spawn import host, messages, record
from onggi.spawn.attach import Client
from onggi.spawn.execs import Exec
from onggi.spawn.launcher import Launcher, Order
from onggi.spawn.log import JsonLog
from onggi.spawn.loop import IN, OUT, PRI, Loop
from onggi.spawn.messages import Channel, Closed, ProtocolError
from onggi.spawn.streams import Streams

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from collections.abc import Callable
    from typing import Any

    from onggi.spawn.oom import OomWatch
    from onggi.spawn.plan import StepFailed
else:
    import _signal as signal  # the signal module imports enum, 6 ms

NEW, STARTING, RUNNING, ENDED = "new", "starting", "running", "ended"
REAP_SECONDS = 10.0
KEPT_EXECS = 16


class Refused(Exception):
    """The request cannot be served now; answered as kind "state"."""


class Shim:
    """One run. `main` makes it, `run` returns when everything is over."""

    def __init__(self, container_id: str, shim_dir: str, container_dir: str, sock: _socket.socket) -> None:
        self.loop = Loop()
        self.id = container_id
        self.shim_dir = shim_dir
        self.container_dir = container_dir
        self.status = NEW
        self.undo: list[Any] = []
        self.keeps_orphans = False  # without a pid namespace what init leaves behind is ours
        self._request: Any = None  # to start, until init runs
        self.launchers: list[Launcher] = []
        self.pid = 0
        self.root_pid = 0  # whose root is the container's: launcher.py
        self.pidfd = -1
        self.started_at = 0
        self.finished_at = 0
        self.exit_status = 0  # the code, or minus a signal
        self.oom: OomWatch | None = None
        self.oom_kills = 0
        self.execs: dict[str, Exec] = {}
        self.leaving: list[Streams] = []  # of execs that have ended, until their clients have the last byte
        self.ended_execs: list[dict[str, Any]] = []  # whose daemon may have died before it heard of it
        self.channels: list[Channel] = []
        self.log_waits: list[tuple[Channel, int, int]] = []  # channel, request, seen
        self.log: JsonLog | None = None
        self.streams = Streams(self.loop, on_client_end=self.client_ended, on_end=self._drained)
        self.listener: _socket.socket | None = None
        self._add_channel(Channel(sock))

    def run(self) -> None:
        self.loop.run()

    def close(self) -> None:
        """Let go of what is left; a shim's process just ends instead."""
        for channel in self.channels:
            channel.close()
        self.loop.close()

    # --- connections -------------------------------------------------------------------------

    def _begun(self, launcher: Launcher, fd: int) -> None:
        """Init is about to be started, and we can be found at our socket."""
        self.keeps_orphans = not launcher.clone & CLONE_NEWPID
        if self.keeps_orphans:
            processes.set_child_subreaper()  # what init leaves behind becomes ours, and is killed with it
        self.listener = _socket.socket(fileno=fd)
        self.loop.watch(fd, IN, self._accept)
        failpoints.hit("shim.bound")

    def _accept(self, events: int) -> None:
        assert self.listener is not None
        try:
            fd, _ = self.listener._accept()  # type: ignore[attr-defined]
        except BlockingIOError:
            return
        sock = _socket.socket(fileno=fd)
        if messages.trusted(sock):
            self._add_channel(Channel(sock))
        else:
            sock.close()

    def _add_channel(self, channel: Channel) -> None:
        self.channels.append(channel)
        self._watch(channel)

    def _watch(self, channel: Channel) -> None:
        events = IN | OUT if channel.wants_write else IN
        self.loop.watch(channel.fileno(), events, lambda events: self._channel_ready(channel, events))

    def _channel_ready(self, channel: Channel, events: int) -> None:
        try:
            if events & OUT:
                channel.flush()
            if events & ~OUT:
                for number, verb, body, fds in channel.receive():
                    self._serve(channel, number, verb, body, fds)
            if channel in self.channels:
                self._watch(channel)
        except (Closed, ProtocolError):
            self._drop(channel)
        self.maybe_end()

    def _drop(self, channel: Channel) -> None:
        """A daemon went away. A shim that was never told to start anything goes with its only daemon."""
        if channel not in self.channels:
            return
        self.channels.remove(channel)
        self.log_waits = [wait for wait in self.log_waits if wait[0] is not channel]
        self.loop.forget(channel.fileno())
        channel.close()
        if self.status == NEW and not self.channels:
            self._give_up()

    def _send(self, channel: Channel, number: int, word: str, body: Any) -> None:
        if channel not in self.channels:
            return
        try:
            channel.send(number, word, body)
            self._watch(channel)
        except Closed:
            self._drop(channel)

    def tell(self, event: str, body: Any = None) -> None:
        """Send an event to every daemon that is connected."""
        for channel in self.channels.copy():
            self._send(channel, 0, event, body)

    # --- requests ----------------------------------------------------------------------------

    def _serve(self, channel: Channel, number: int, verb: str, body: Any, fds: list[int]) -> None:
        try:
            served = _VERBS[verb](self, channel, number, body, fds)
        except OSError as error:
            self._send(channel, -number, "os", {"errno": error.errno or 0, "text": _describe(error)})
        except Refused as error:
            self._send(channel, -number, "state", {"text": str(error)})
        except (KeyError, TypeError, AttributeError) as error:
            raise ProtocolError(f"{verb}: {error!r}") from None
        else:
            if served is not None:
                self._send(channel, -number, "", served)
        finally:
            for fd in fds:  # what nobody took
                os.close(fd)

    def hello(self, channel: Channel, number: int, body: Any, fds: list[int]) -> Any:
        if body["version"] != messages.VERSION:
            self._send(channel, -number, "version", {"version": messages.VERSION})
            return None
        return self.state(channel, number, body, fds)

    def state(self, channel: Channel, number: int, body: Any, fds: list[int]) -> Any:
        return {
            "version": messages.VERSION,
            "shim_pid": os.getpid(),
            "status": self.status,
            "pid": self.pid,
            "root_pid": self.root_pid,
            "started_at": self.started_at,
            "execs": [instance.facts() for instance in self.execs.values() if instance.note],
            "ended_execs": self.ended_execs,
        }

    def start(self, channel: Channel, number: int, body: Any, fds: list[int]) -> Any:
        """Start init; answered when it runs. After a failure the shim is of no use, and ends."""
        if self.status != NEW:
            raise Refused(f"container {self.id} is already started")
        self._request = body
        self.streams.expect(terminal=body["terminal"], stdin_once=body["stdin_once"], capture=0)
        order = Order(body, fds[0], output=True, shim_dir=self.shim_dir, container_dir=self.container_dir)
        try:
            self.launch(order, lambda launcher: self._started(channel, number, launcher))
        except OSError:
            self._give_up()
            raise
        self.status = STARTING
        return None

    def launch(self, order: Order, on_end: Callable[[Launcher], None]) -> None:
        """Begin to launch; `on_end` tells that the process runs, or why not."""
        order.connections = [channel.fileno() for channel in self.channels]

        def ended(launcher: Launcher) -> None:
            if launcher.failure is None:
                on_end(launcher)
                launcher.reap()
                self.launchers.remove(launcher)
            else:
                launcher.reap()
                self.launchers.remove(launcher)
                self._take_back(launcher)
                on_end(launcher)
            self.maybe_end()

        self.launchers.append(Launcher(self.loop, order, ended, self._begun))

    def _take_back(self, launcher: Launcher) -> None:
        """What a launcher that was killed has left; one that failed has mostly taken back its own."""
        if launcher.killed or launcher.undo:
            if not self.keeps_orphans or self.status == STARTING:
                kill_strays(self._known())
            host.run_all(launcher.undo, host.Parent(0))
        self._reap()

    def _started(self, channel: Channel, number: int, launcher: Launcher) -> None:
        if launcher.failure is not None:
            self._send(channel, -number, *_failure(launcher.failure))
            self._give_up()
            return
        self.started_at = time.time_ns()
        self.pid, self.pidfd, self.oom = launcher.process, launcher.pidfd, launcher.oom
        self.root_pid = launcher.root
        self.undo = launcher.undo
        self.status = RUNNING
        if launcher.log is not None:
            self.log = self.streams.log = JsonLog(**self._request["log"], opened=launcher.log)
        self._request = None
        if self.oom is not None:
            self.loop.watch(self.oom.fd, PRI if self.oom.urgent else IN, self._oom_notice)
        self.loop.watch(self.pidfd, IN, self._init_ended)
        self.streams.running(launcher.ends)
        if self.keeps_orphans:
            self._reap_orphans()
        failpoints.hit("shim.started")
        facts = {"pid": self.pid, "root_pid": self.root_pid, "started_at": self.started_at}
        self._send(channel, -number, "", facts)

    def _known(self) -> set[int]:
        """Our children by name; all others are orphans."""
        return {
            self.pid,
            *(instance.pid for instance in self.execs.values()),
            *(launcher.pid for launcher in self.launchers),
            *(() if self.log is None else (self.log.compressing_pid,)),
        }

    def _reap_orphans(self) -> None:
        """Now and then."""
        self._reap()
        if self.status == RUNNING:
            self.loop.call_later(REAP_SECONDS, self._reap_orphans)

    def _reap(self) -> None:
        """Reap what was left to us and has ended. Ours by name are left alone.

        While somebody launches, what he makes is ours and has no name yet.
        """
        if self.launchers:
            return
        for pid in read_children() - self._known():
            os.waitpid(pid, os.WNOHANG)

    def exec(self, channel: Channel, number: int, body: Any, fds: list[int]) -> Any:
        """Start a process inside."""
        if self.status != RUNNING:
            raise Refused(f"container {self.id} is not running")
        if body["exec_id"] in self.execs:
            raise Refused(f"exec {body['exec_id']} is already running")
        client_fd = fds.pop() if body["attach"] is not None else -1
        instance = Exec(self, body, number, fds[0], client_fd)
        instance.start(lambda: self._exec_started(channel, number, instance))
        return None

    def _exec_started(self, channel: Channel, number: int, instance: Exec) -> None:
        if instance.failure is None:
            facts = {"pid": instance.pid, "started_at": instance.started_at}
            self._send(channel, -number, "", facts)
        elif channel in self.channels:
            self._send(channel, -number, *_failure(instance.failure))
        else:
            self.tell("exec-exit", instance.result(instance.failure.exit_code))

    def attach(self, channel: Channel, number: int, body: Any, fds: list[int]) -> Any:
        # Answered first: whatever the client does at once comes after the answer.
        client = Client(self.loop, fds.pop(), number, body, self.streams)
        self._send(channel, -number, "", {})
        self.streams.attach(client)

    def resize(self, channel: Channel, number: int, body: Any, fds: list[int]) -> Any:
        if not self._streams_of(body).resize(body["rows"], body["columns"]):
            raise Refused(f"container {self.id} has no terminal to resize")
        return {}

    def signal(self, channel: Channel, number: int, body: Any, fds: list[int]) -> Any:
        pidfd = self.execs[body["exec_id"]].pidfd if body["exec_id"] in self.execs else -1
        if not body["exec_id"] and self.status == RUNNING:
            pidfd = self.pidfd
        try:
            if pidfd < 0:
                raise ProcessLookupError
            processes.pidfd_send_signal(pidfd, body["signal"])
        except ProcessLookupError:
            raise Refused(f"container {self.id} is not running") from None
        return {}

    def close_stdin(self, channel: Channel, number: int, body: Any, fds: list[int]) -> Any:
        self._streams_of(body).close_stdin()
        return {}

    def log_wait(self, channel: Channel, number: int, body: Any, fds: list[int]) -> Any:
        log = self.streams.log
        if log is None:
            return {"ended": True, "written": self.log.written if self.log is not None else 0}
        if log.written > body["seen"]:
            return {"ended": False, "written": log.written}
        self.log_waits.append((channel, number, body["seen"]))
        self.streams.on_logged = self._logged
        return None

    def quit(self, channel: Channel, number: int, body: Any, fds: list[int]) -> Any:
        if self.status == NEW:
            self._give_up()  # first: the next run's shim may come as soon as this is answered
        return {}

    def _streams_of(self, body: Any) -> Streams:
        if not body["exec_id"]:
            return self.streams
        if body["exec_id"] not in self.execs:
            raise Refused(f"No such exec instance: {body['exec_id']}")
        return self.execs[body["exec_id"]].streams

    # --- what happens ------------------------------------------------------------------------

    def _logged(self, written: int) -> None:
        """Answer those who wait for more of the log."""
        waits, self.log_waits = self.log_waits, []
        for channel, number, seen in waits:
            if written > seen:
                self._send(channel, -number, "", {"ended": False, "written": written})
            else:
                self.log_waits.append((channel, number, seen))
        if not self.log_waits:
            self.streams.on_logged = None

    def client_ended(self, client: Client, reason: str) -> None:
        self.tell("attach-end", {"attach": client.number, "reason": reason})
        self.maybe_end()

    def _oom_notice(self, events: int) -> None:
        assert self.oom is not None
        if self.oom.acknowledge():
            kills = self.oom.count()
            # Version 1 gives its notice before it kills; version 2 counts several things in one file.
            if not self.oom.urgent or kills > self.oom_kills:
                self.tell("oom")
            self.oom_kills = max(self.oom_kills, kills)
        else:
            self.loop.forget(self.oom.fd)

    def _init_ended(self, events: int) -> None:
        status = processes.wait_pidfd(self.pidfd, block=False)
        if status is None:
            return
        self.exit_status = status
        self.finished_at = time.time_ns()
        self.loop.forget(self.pidfd)
        os.close(self.pidfd)
        self.pidfd = -1
        self.status = ENDED
        failpoints.hit("shim.init-ended")
        for instance in self.execs.values():
            instance.kill()
        if self.keeps_orphans:
            kill_strays(self._known())
        self.streams.process_ended()

    def _drained(self) -> None:
        """Init's output is in the log: record, undo, tell, in this order."""
        failpoints.hit("shim.drained")
        result = self._exit_record()
        try:
            record.write_exit(self.container_dir, result)
        except OSError as error:
            result["error"] = f"the exit record could not be written: {_describe(error)}"
        failpoints.hit("shim.recorded")
        failed = host.run_all(self.undo, host.Parent(self.pid))
        if failed and not result["error"]:
            result["error"] = "; ".join(failed)
        failpoints.hit("shim.undone")
        self._remove_own_files()
        for channel, number, _ in self.log_waits:
            written = self.log.written if self.log is not None else 0
            self._send(channel, -number, "", {"ended": True, "written": written})
        self.log_waits = []
        self.tell("exit", {**result, "undone": not failed})
        failpoints.hit("shim.told")
        self.maybe_end()

    def _exit_record(self) -> dict[str, Any]:
        if self.oom is not None:
            self.oom_kills = max(self.oom_kills, self.oom.count())
            self.loop.forget(self.oom.fd)
            self.oom.close()
            self.oom = None
        status = self.exit_status
        return {
            "exit_code": status if status >= 0 else 128 - status,
            "signal": -status if status < 0 else 0,
            "oom_killed": self.oom_kills > 0,
            "pid": self.pid,
            "started_at": self.started_at,
            "finished_at": self.finished_at,
            "error": "",
        }

    def exec_ended(self, instance: Exec, result: dict[str, Any]) -> None:
        """An exec's process is reaped and its output drained."""
        self.execs.pop(instance.id, None)
        self.leaving = [streams for streams in (*self.leaving, instance.streams) if streams.clients]
        if instance.note:
            ended = {name: result[name] for name in ("exit_code", "finished_at")}
            self.ended_execs = [*self.ended_execs[1 - KEPT_EXECS :], {**instance.facts(), **ended}]
        if self.status == ENDED and self.keeps_orphans:
            kill_strays(self._known())
        self.tell("exec-exit", result)
        self.maybe_end()

    # --- the shim's own end ------------------------------------------------------------------

    def _remove_own_files(self) -> None:
        """Free the directory for the next run: from here on nobody finds this shim any more.

        Without a listener of ours what is in there is another shim's: our daemon may have been gone for long.
        """
        if self.listener is not None:
            self.loop.forget(self.listener.fileno())
            self.listener.close()
            self.listener = None
            for name in (record.SOCKET, record.STATE):
                try:
                    os.unlink(f"{self.shim_dir}/{name}")
                except FileNotFoundError:
                    pass  # another run of ours came in between
        try:
            os.rmdir(self.shim_dir)
        except OSError:
            return  # somebody keeps something in it; the next run uses it again

    def _give_up(self) -> None:
        """Nothing was started, and nobody is going to."""
        self._remove_own_files()
        self.streams.abandon()
        self.status = ENDED

    def maybe_end(self) -> None:
        """End when the run has, and everybody has got everything."""
        if self.status != ENDED or self.listener is not None:
            return
        clients = any(streams.clients for streams in (self.streams, *self.leaving))
        waiting = self.execs or self.launchers or clients
        if not waiting and not any(channel.wants_write for channel in self.channels):
            self.loop.stop()


_VERBS = {
    "hello": Shim.hello,
    "state": Shim.state,
    "start": Shim.start,
    "exec": Shim.exec,
    "attach": Shim.attach,
    "resize": Shim.resize,
    "signal": Shim.signal,
    "close-stdin": Shim.close_stdin,
    "log-wait": Shim.log_wait,
    "quit": Shim.quit,
}


def _failure(error: StepFailed) -> tuple[str, dict[str, Any]]:
    """The answer that a failed step is."""
    return "step", {"step": error.step, "argument": error.argument, "errno": error.errno, "text": error.text}


def kill_strays(spared: set[int]) -> None:
    """Without a pid namespace, what init leaves behind is our child (subreaper): kill and reap it.

    Descendants of a killed process become our children in turn, so this ends when none is left but the
    spared, and what serves the root: it ends with that, by itself.
    """
    while children := {pid for pid in read_children() - spared if not _serves(pid)}:
        for pid in children:
            os.kill(pid, signal.SIGKILL)  # not reaped yet, so the number is still its own
        for pid in children:
            os.waitpid(pid, 0)


def _serves(pid: int) -> bool:
    """Is it a program of fuse.py's? Nothing of a container is in our own mount namespace."""
    try:
        with open(f"/proc/{pid}/comm", "rb", buffering=0) as file:
            name = file.read(16).rstrip()
        return name == b"fuse-overlayfs" and os.path.samefile(f"/proc/{pid}/ns/mnt", "/proc/self/ns/mnt")
    except OSError:
        return False


def read_children() -> set[int]:
    """Our children, zombies too (proc_pid_children(5))."""
    with open(f"/proc/self/task/{os.getpid()}/children", "rb", buffering=0) as file:
        return {int(pid) for pid in file.read(1 << 20).split()}


def _describe(error: OSError) -> str:
    text = error.strerror or str(error)
    return f"{error.filename}: {text}" if error.filename else text
