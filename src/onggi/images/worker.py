"""The program of a worker: it unpacks one layer after the other, outside of the engine's interpreter.

    socket (fd 3)   engine -> worker   {"whiteouts"} with two descriptors: the directory, a pipe
                    worker -> engine   {"diff_id", "size"} or {"kind", "message"}
    pipe            the packed layer; its end is the layer's end

A worker ends when nothing was asked of it for IDLE_S, and when the engine is gone: the pipe ends then, and
the answer finds nobody. What is half unpacked has an owner row, and goes when the engine starts again.
Not here: who starts workers and hands layers out (workers.py).
"""

from __future__ import annotations

import os
import select
import signal
import socket
import traceback

import msgspec

from onggi.errors import OnggiError
from onggi.images.apply import apply
from onggi.images.compression import DigestReader, decompress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class Source(Protocol):
        def read(self, size: int, /) -> bytes: ...


CHANNEL_FD = 3
IDLE_S = 10.0
REQUEST_BYTES = 4096


class Order(msgspec.Struct, frozen=True):
    """How a layer is to be unpacked (images/apply.py)."""

    whiteouts: str


class Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    """`diff_id` is empty for a layer that came unpacked. `kind` names an error's class; empty for none."""

    diff_id: str = ""
    size: int = 0
    kind: str = ""
    message: str = ""


class _Packed:
    """The pipe as something to read from."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def read(self, size: int, /) -> bytes:
        return os.read(self._fd, size)


def main() -> None:
    """Serve until nobody asks. Never raises what a layer raises."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C is the engine's to act on
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    channel = socket.socket(fileno=CHANNEL_FD)
    last = False
    while not last:
        last = not select.select([channel], [], [], IDLE_S)[0]
        if last:  # from here on the engine cannot ask; what it has just asked is still done
            channel.shutdown(socket.SHUT_RD)
        data, fds, _, _ = socket.recv_fds(channel, REQUEST_BYTES, 2)
        if not data:
            return
        for fd in fds:
            os.set_inheritable(fd, False)
        answer = _answer(msgspec.json.decode(data, type=Order), *fds)
        try:
            channel.sendall(msgspec.json.encode(answer))
        except OSError:
            return


def _answer(order: Order, root_fd: int, pipe_fd: int) -> Answer:
    try:
        return unpack(_Packed(pipe_fd), root_fd, whiteouts=order.whiteouts)
    except OnggiError as error:
        return Answer(kind=type(error).__name__, message=error.message)
    except Exception:
        return Answer(kind="System", message=f"internal error: {traceback.format_exc()}")
    finally:
        os.close(root_fd)
        os.close(pipe_fd)


def unpack(packed: Source, root_fd: int, *, whiteouts: str) -> Answer:
    """Decompress, hash and apply in one pass. Raises BadArchive, TooLarge, NoSpace, System."""
    plain = decompress(packed)
    stream = DigestReader(plain) if plain.compression != "plain" else plain
    applied = apply(stream, root_fd, whiteouts=whiteouts)
    while stream.read(1 << 20):
        pass  # the digest is of all bytes, also of those behind the archive's trailer
    return Answer(stream.digest if isinstance(stream, DigestReader) else "", applied.size)
