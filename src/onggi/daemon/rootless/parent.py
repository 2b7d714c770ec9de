"""The outer process of an ordinary user's engine: `onggi daemon` where the user is not root.

    parent (the host's namespaces)                child
    lock exec_root/rootless.lock
    fork                                     ---> make namespaces, or join those that are still lived in
    map ids (newuidmap, newgidmap)           <--- made
    ids                                      ---> furnish, note
    outside process, uplink                  <--- furnished
    surroundings, as JSON                    ---> execve: daemon/process.py, uid 0 inside
    wait; SIGTERM, SIGINT, SIGHUP go on to the child
    end with its status

The two live and die together: the child is killed with its parent (PR_SET_PDEATHSIG), the parent ends with
its child; so there is no half of an engine to take care of. What a start of an engine left alive in the
namespaces (shims and their containers, resolver, relay) outlives both, as it outlives root's engine.
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import signal
import socket
import sys
import time

from onggi import jsontext, paths
from onggi.cli import interpreter
from onggi.cli.errors import FlagError
from onggi.cli.flags import Flags, HelpWanted, parse
from onggi.daemon import reaper
from onggi.daemon.flags import FLAGS
from onggi.daemon.rootless import SURROUNDINGS, ids, namespaces
from onggi.errors import Conflict, OnggiError, System
from onggi.kernel import processes
from onggi.network.rootless.outside import Starter
from onggi.runtime.cgroups import layout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

_PATIENCE_S = 5.0
_LOOK_MS = 2000
_FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def main(argv: list[str]) -> int:
    """Run the engine; its exit status."""
    try:
        flags, _ = parse(FLAGS, argv)
        only_says_something = flags["version"] or flags["validate"]
    except (HelpWanted, FlagError):
        only_says_something = True
    try:
        places = _places(None if only_says_something else flags)
        if only_says_something:
            _become_engine(argv, places)
        reaper.stand_aside()
        return _run(argv, places)
    except OnggiError as error:
        sys.stderr.write(f"failed to start the engine: {error.message}\n")
    except OSError as error:
        sys.stderr.write(f"failed to start the engine: {error}\n")
    return 1


def _places(flags: Flags | None) -> dict[str, Any]:
    """Where this user's engine lives: what it is told, in the words of engine/rootless.py."""
    uid, gid = os.geteuid(), os.getegid()
    environment = dict(os.environ)
    environment.setdefault("HOME", os.path.expanduser(f"~{ids.user_name(uid)}"))
    standard, config_file = paths.rootless(environment, uid)
    exec_root, network = standard.exec_root, ""
    if flags is not None:
        exec_root = _setting(flags, config_file, "exec-root", exec_root)
        network = _setting(flags, config_file, "rootless-network", network)
    return {
        "uid": uid,
        "gid": gid,
        "root": standard.root,
        "exec_root": os.path.abspath(exec_root),
        "config_file": config_file,
        "network": network,
        "single_id": "",
    }


def _setting(flags: Flags, standard: str, key: str, otherwise: str) -> str:
    """A flag, or a key of the configuration file; what is wrong in there is the engine's to say."""
    if key in flags.given:
        return str(flags[key])
    path = flags["config-file"] if "config-file" in flags.given else standard
    try:
        with open(path, "rb") as file:
            return str(jsontext.loads(file.read()).get(key) or otherwise)
    except (OSError, ValueError, AttributeError):
        return otherwise


def _run(argv: list[str], places: dict[str, Any]) -> int:
    where = paths.Paths(places["root"], places["exec_root"])
    os.makedirs(where.exec_root, mode=0o700, exist_ok=True)
    os.chmod(where.exec_root, 0o700)
    lock_fd = _lock(where.rootless_lock)
    layout.enter_own()
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    found = namespaces.find(where.namespaces_note)
    mapped = ids.of_user(places["uid"], places["gid"], ids.user_name(places["uid"]))
    places["single_id"] = mapped.why_single if found is None or found.single else ""
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        here.close()
        _child(there, argv, where, found, single=bool(places["single_id"]), parent=parent)
    there.close()
    _forward_signals(pid)
    try:
        if found is None:
            _expect(here, b"made")
            ids.write(pid, mapped)
            here.send(b"ids")
        _expect(here, b"furnished")
        outside = Starter(where.outside_socket, places["network"])
        outside.ensure(pid)
        here.send(jsontext.dumps(places).encode())
        here.close()
        status = _wait(pid, outside)
    except BaseException:
        _end(pid)
        raise
    if namespaces.find(where.namespaces_note) is None:
        _forget(where)
    os.close(lock_fd)
    return status


def _lock(path: str) -> int:
    """Held by both processes of an engine: the next one begins when the last is gone. Raises Conflict."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise Conflict(f"another engine of yours runs: {path} is locked") from None
            time.sleep(0.02)
        else:
            return fd


def _forget(where: paths.Paths) -> None:
    """Nobody lives in the namespaces any more."""
    try:
        os.unlink(where.namespaces_note)
    except FileNotFoundError:
        return


def _forward_signals(pid: int) -> None:
    def forward(number: int, frame: object) -> None:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return  # it has ended, and so will we

    for number in _FORWARDED:
        signal.signal(number, forward)


def _expect(sock: socket.socket, word: bytes) -> None:
    """Raises System with what the child says instead."""
    got = sock.recv(4096)
    if got != word:
        raise System(got.decode(errors="replace") or "the process inside the namespaces ended at once")


def _wait(pid: int, outside: Starter) -> int:
    """The engine's exit status; the process that is outside for it is started again where it was killed."""
    pidfd = processes.pidfd_open(pid)
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    while not poll.poll(_LOOK_MS):
        try:
            outside.ensure(pid)
        except (OnggiError, OSError) as error:
            sys.stderr.write(f"no process outside of the engine's network namespace: {error}\n")
    os.close(pidfd)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return status if status >= 0 else 128 - status


def _end(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    except (ProcessLookupError, ChildProcessError):
        return


def _child(
    sock: socket.socket,
    argv: list[str],
    where: paths.Paths,
    found: namespaces.Found | None,
    *,
    single: bool,
    parent: int,
) -> NoReturn:
    """From the fork to execve."""
    try:
        if found is not None:
            namespaces.join(found)
        else:
            namespaces.make()
            sock.send(b"made")
            if sock.recv(16) != b"ids":
                os._exit(1)
        if found is None or not found.whole:
            namespaces.furnish()
            namespaces.note(where.namespaces_note, single=single)
        processes.set_parent_death_signal(signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
        sock.send(b"furnished")
        text = sock.recv(1 << 16)
        if not text:
            os._exit(1)
        if os.environ.get("LISTEN_PID") == str(parent):
            os.environ["LISTEN_PID"] = str(os.getpid())  # sd_listen_fds(3): the sockets are the engine's
        os.setgid(0)
        os.setuid(0)
        _become_engine(argv, jsontext.loads(text))
    except OnggiError as error:
        sock.send(error.message.encode())
    except OSError as error:
        sock.send(f"{errno.errorcode.get(error.errno or 0, '')}: {error}".encode())
    finally:
        os._exit(1)
    raise AssertionError("unreachable")


def _become_engine(argv: list[str], places: dict[str, Any]) -> None:
    os.environ[SURROUNDINGS] = jsontext.dumps(places)
    interpreter.become_daemon(argv)
