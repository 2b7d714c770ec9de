"""Every message between the daemon, the zygote and the shims, and how it lies on the wire.

    daemon --socketpair--> zygote                 spawn
    daemon --socketpair--> shim                   the same requests as below; made with the shim, so that
                                                  `attach` and `start` may be sent before it even runs
    daemon --connect-----> exec_root/shims/ID/sock    a daemon that was started later; begins with `hello`
    shim   --pipe--------> child                  not here: spawn/launch.py

Unix stream sockets. A frame is a length and one marshalled tuple; descriptors ride on its first byte:

    +----------------+----------------------------------------------+
    | length, 4, BE  | marshal of (number, word, body, fd_count)    |
    +----------------+----------------------------------------------+

    request   number > 0   word is the verb     body is a dict of builtins; `fd_count` descriptors come along
    answer    -number      word is "" for yes, else the kind of error; body is the result, or its facts
    event     0            word is its name

Requests to the zygote
    spawn        id, shim_dir, container_dir; fd: the shim's end of a socketpair            -> pid
    namespaces   uid_map, gid_map; fd: one end of a packet socketpair, over which the zygote's child sends
                 ("made",) with a user namespace and a network that it owns, or ("failed", errno, text) -> pid
Requests to a shim
    hello        version                                                                    -> as state
    start        terminal, stdin, stdin_once, rows, columns, log, oom_dir;
                 fd: a file with the marshalled plan                              -> pid, root_pid, started_at
    exec         exec_id, terminal, stdin, rows, columns, attach, capture, timeout, note (bytes for the
                 next daemon, or empty: not his business);
                 fds: the plan, and the client's socket where attach is not None            -> pid, started_at
    attach       stdin, stdout, stderr, framed, detach_keys, early; fd: the client's socket -> nothing
    resize       exec_id ("" is init), rows, columns                                        -> nothing
    signal       exec_id, signal                                                            -> nothing
    close-stdin  exec_id                                                                    -> nothing
    state        -> version, shim_pid, status (new, starting, running, ended), pid, root_pid, started_at;
                 execs: exec_id, note, pid, started_at, of each with a note that runs;
                 ended_execs: the same with exit_code and finished_at, the last sixteen
    log-wait     seen -> written (bytes of log in this run); waits until more than seen, or the end
    quit         ends a shim that has not started anything                                  -> nothing
Events of a shim
    exit         the exit record (record.py); undone: nothing of the run is left on the host
    exec-exit    exec_id, exit_code, output, timed_out, finished_at
    attach-end   attach (number of the request), reason (detached, closed, finished)
    oom          nothing
Kinds of errors
    step         step, argument, errno, text: a step of the plan failed (see StepFailed of spawn/plan.py)
    os           errno, text
    state        text: not now (no such exec, not started, started already)
    version      version: that of the shim

marshal is for trusted peers only: whoever accepts a connection asks the kernel who is at its other end first
(`peer_uid`, SO_PEERCRED of unix(7)). A frame that is no such tuple raises ProtocolError: the connection ends.
"""

from __future__ import annotations

import _socket
import errno
import marshal
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

VERSION = 1
MAX_FRAME_BYTES = 16 << 20  # a plan is some 50 KB; nothing honest comes near
MAX_FDS = 16
_READ_BYTES = 16384
_ANCILLARY_BYTES = _socket.CMSG_SPACE(MAX_FDS * 4)


class ProtocolError(Exception):
    """The peer sent what is no frame, or too much of it."""


class Closed(Exception):
    """The peer is gone: end of file, or a reset."""


def peer_uid(sock: _socket.socket) -> int:
    """User id of the process at the other end (SO_PEERCRED, unix(7)): struct ucred is pid, uid, gid."""
    credentials = sock.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, 12)
    return int.from_bytes(credentials[4:8], sys.byteorder)


def trusted(sock: _socket.socket) -> bool:
    """May what arrives here be unmarshalled: is the peer root, or the user that we are?"""
    return peer_uid(sock) in (0, os.geteuid())


class Channel:
    """Frames over one non-blocking unix stream socket. Owns the socket and descriptors not yet sent or taken.

    `send` queues and writes what the kernel takes; while `wants_write`, call `flush` when the socket is
    writable. `receive` returns the frames that have arrived. Both raise Closed.
    """

    __slots__ = ("_arrived", "_in_fds", "_out", "sock")

    def __init__(self, sock: _socket.socket) -> None:
        sock.setblocking(False)
        self.sock = sock
        self._arrived = bytearray()
        self._in_fds: list[int] = []
        self._out: list[tuple[bytes | memoryview, tuple[int, ...]]] = []

    def fileno(self) -> int:
        return self.sock.fileno()

    @property
    def wants_write(self) -> bool:
        return bool(self._out)

    def send(self, number: int, word: str, body: Any, fds: tuple[int, ...] = ()) -> None:
        """Queue one frame; `fds` are duplicated, so the caller keeps (and closes) his own.

        Raises ProtocolError where the frame is larger than the peer would take.
        """
        document = marshal.dumps((number, word, body, len(fds)))
        if len(document) > MAX_FRAME_BYTES:
            raise ProtocolError(f"message {word!r} of {len(document)} bytes is larger than {MAX_FRAME_BYTES}")
        self._out.append((len(document).to_bytes(4, "big") + document, tuple(map(_duplicate, fds))))
        self.flush()

    def flush(self) -> None:
        """Write as much of the queue as the kernel takes now."""
        while self._out:
            data, fds = self._out[0]
            try:
                sent = self._write(data, fds)
            except BlockingIOError:
                return
            except OSError as error:
                raise Closed(os.strerror(error.errno or errno.EPIPE)) from None
            for fd in fds:
                os.close(fd)
            if sent == len(data):
                del self._out[0]
            else:
                self._out[0] = (memoryview(data)[sent:], ())

    def _write(self, data: bytes | memoryview, fds: tuple[int, ...]) -> int:
        if not fds:
            return self.sock.send(data, _socket.MSG_NOSIGNAL)
        rights = b"".join(fd.to_bytes(4, sys.byteorder) for fd in fds)
        ancillary = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, rights)]
        return self.sock.sendmsg([data], ancillary, _socket.MSG_NOSIGNAL)

    def receive(self) -> list[tuple[int, str, Any, list[int]]]:
        """The frames that are here: (number, word, body, descriptors). The caller owns the descriptors.

        Raises Closed at the peer's end, ProtocolError for nonsense. Returns [] when nothing is whole yet.
        """
        try:
            data, ancillary, flags, _ = self.sock.recvmsg(
                _READ_BYTES, _ANCILLARY_BYTES, _socket.MSG_CMSG_CLOEXEC
            )
        except BlockingIOError:
            return []
        except OSError as error:
            raise Closed(os.strerror(error.errno or errno.ECONNRESET)) from None
        for level, kind, rights in ancillary:
            if level == _socket.SOL_SOCKET and kind == _socket.SCM_RIGHTS:
                whole = len(rights) - len(rights) % 4
                self._in_fds += [int.from_bytes(rights[i : i + 4], sys.byteorder) for i in range(0, whole, 4)]
        if flags & _socket.MSG_CTRUNC:
            raise ProtocolError(f"more than {MAX_FDS} descriptors in one message")
        if not data:
            raise Closed("end of file")
        self._arrived += data
        return self._frames()

    def _frames(self) -> list[tuple[int, str, Any, list[int]]]:
        frames: list[tuple[int, str, Any, list[int]]] = []
        arrived = self._arrived
        start = 0
        try:
            while len(arrived) - start >= 4:
                length = int.from_bytes(arrived[start : start + 4], "big")
                if length > MAX_FRAME_BYTES:
                    raise ProtocolError(f"message of {length} bytes is larger than {MAX_FRAME_BYTES}")
                if len(arrived) - start - 4 < length:
                    break
                frames.append(self._decode(bytes(arrived[start + 4 : start + 4 + length])))
                start += 4 + length
        except ProtocolError:
            for frame in frames:  # nobody gets them now: `close` has their descriptors
                self._in_fds += frame[3]
            raise
        if start == len(arrived):
            self._arrived = bytearray()  # gives the memory of a large frame back
        elif start:
            del arrived[:start]
        return frames

    def _decode(self, document: bytes) -> tuple[int, str, Any, list[int]]:
        try:
            number, word, body, count = marshal.loads(document)
        except (ValueError, TypeError, EOFError) as error:
            raise ProtocolError(f"not a message: {error}") from None
        shaped = isinstance(number, int) and isinstance(word, str) and isinstance(count, int)
        if not shaped or not 0 <= count <= len(self._in_fds):
            raise ProtocolError(f"not a message: {number!r} {word!r} with {count!r} descriptors")
        fds, self._in_fds = self._in_fds[:count], self._in_fds[count:]
        return number, word, body, fds

    def close(self) -> None:
        """Close the socket and every descriptor that was not sent or not taken."""
        self.sock.close()
        for fd in self._in_fds:
            os.close(fd)
        for _, fds in self._out:
            for fd in fds:
                os.close(fd)
        self._in_fds, self._out = [], []


def _duplicate(fd: int) -> int:
    return os.dup(fd)  # with close-on-exec, as all of Python's


def bind_at(dir_fd: int, name: str) -> _socket.socket:
    """Listen at `name` in an open directory; /proc/self/fd keeps sun_path short (108 bytes, unix(7))."""
    sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC, 0)
    before = os.umask(0o177)  # the socket is 0600 from its first moment
    try:
        sock.bind(f"/proc/self/fd/{dir_fd}/{name}")
    finally:
        os.umask(before)
    sock.listen(16)
    sock.setblocking(False)
    return sock


def connect(directory: str, name: str) -> _socket.socket:
    """Connect to the socket `name` in `directory`, however long the path is. Raises OSError."""
    dir_fd = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC, 0)
    try:
        sock.connect(f"/proc/self/fd/{dir_fd}/{name}")
    except OSError:
        sock.close()
        raise
    finally:
        os.close(dir_fd)
    return sock
