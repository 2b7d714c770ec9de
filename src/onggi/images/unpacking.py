"""A layer on its way into a snapshot: decompressed, hashed and applied while it comes.

    worker = Unpacking(images)          on an active snapshot of its own
    worker.write(piece) ...             the packed bytes, as they come
    worker.end()                        no more comes; unpacking goes on while the caller does other things
    worker.finish(digest) -> Unpacked   waits; raises what unpacking raised

A small layer is unpacked by a thread: decompression, hashing and write(2) release the interpreter's lock. One
of more than SMALL_BYTES goes to a process of its own (workers.py), whose start is little against it then.
Not here: blobs, and what a layer belongs to (staging.py).
"""

from __future__ import annotations

import os
import secrets
import threading
from typing import TYPE_CHECKING

import msgspec

from onggi.errors import System
from onggi.images.pipe import Pipe
from onggi.images.worker import Answer, unpack
from onggi.images.workers import Worker

if TYPE_CHECKING:
    from onggi.images.images import Images

SMALL_BYTES = 2 << 20


class Unpacked(msgspec.Struct, frozen=True):
    """A layer in an active snapshot of its own."""

    key: str
    diff_id: str
    size: int


class Unpacking:
    """One layer, into an active snapshot of its own. For one thread, which may be another after `end`."""

    def __init__(self, images: Images, parent: str = "") -> None:
        self._images = images
        self._snapshots = images.snapshots
        self.key = f"unpack-{secrets.token_hex(8)}"
        self._head: list[bytes] | None = []  # what came so far, until it is decided where it goes
        self._small = 0
        self._inside: _Thread | None = None
        self._outside: Worker | None = None
        self._error: BaseException | None = None
        self._snapshots.create(self.key, parent, "unpack")

    def write(self, data: bytes) -> None:
        """Some of the packed layer; ignored once unpacking has failed."""
        if self._head is not None:
            self._head.append(data)
            self._small += len(data)
            if self._small <= SMALL_BYTES:
                return
            self._begin(outside=True)
            return
        self._pass(data)

    def _pass(self, data: bytes) -> None:
        if self._inside:
            self._inside.write(data)
        elif self._outside and self._error is None:
            try:
                self._outside.write(data)
            except BrokenPipeError:
                self._hear(self._outside)

    def _begin(self, *, outside: bool) -> None:
        head, self._head = self._head or [], None
        root_fd = os.open(self._snapshots.tree(self.key), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            self._outside = _worker(self._images, root_fd) if outside else None
            if self._outside is None:
                self._inside = _Thread(self.key, os.dup(root_fd), self._snapshots.whiteouts)
        finally:
            os.close(root_fd)
        for piece in head:
            self._pass(piece)

    @property
    def failed(self) -> bool:
        """Whether unpacking has raised something."""
        self._look()
        return self._error is not None

    def check(self) -> None:
        """Raises what unpacking raised so far, so that nobody goes on bringing a layer that is bad."""
        self._look()
        if self._error is not None:
            raise self._error

    def _look(self) -> None:
        """Hear an error that has come before the layer's end."""
        if self._error is not None:
            return
        if self._inside:
            self._error = self._inside.error
        elif self._outside and self._outside.answered:
            self._hear(self._outside)

    def _hear(self, worker: Worker) -> None:
        """Why a worker wants no more of the layer."""
        try:
            worker.finish()
        except Exception as error:
            self._error = error
        else:
            self._error = System("a layer was unpacked before its end")
        worker.end()

    def end(self) -> None:
        """No more comes; unpacking goes on by itself."""
        if self._head is not None:
            self._begin(outside=False)
        if self._inside:
            self._inside.end()
        elif self._outside and self._error is None:
            self._outside.close()

    def finish(self, digest: str) -> Unpacked:
        """Wait for the end. `digest` is that of the packed bytes. Raises what unpacking raised."""
        self.end()
        try:
            answer = self._answer()
        except BaseException:
            self._snapshots.remove(self.key)
            raise
        return Unpacked(self.key, answer.diff_id or digest, answer.size)

    def _answer(self) -> Answer:
        if self._error is not None:
            raise self._error
        if self._inside:
            return self._inside.finish()
        assert self._outside is not None
        try:
            answer = self._outside.finish()
        except BaseException:
            self._outside.end()
            raise
        self._images.workers.give(self._outside)
        return answer

    def abandon(self) -> None:
        """Stop and remove."""
        if self._inside:
            self._inside.abandon()
        elif self._outside:
            self._outside.end()
        self._snapshots.remove(self.key)


def _worker(images: Images, root_fd: int) -> Worker | None:
    """A worker that has begun; None where no process can be had: the engine then does it itself."""
    for _ in range(2):  # one that was idle may end just now
        try:
            worker = images.workers.take()
        except OSError:
            return None
        try:
            worker.begin(root_fd, whiteouts=images.snapshots.whiteouts)
        except OSError:
            worker.end()
        else:
            return worker
    return None


class _Thread:
    """A thread that unpacks one layer. Owns the directory's descriptor."""

    def __init__(self, name: str, root_fd: int, whiteouts: str) -> None:
        self._pipe = Pipe()
        self._root_fd = root_fd
        self._whiteouts = whiteouts
        self._answer: Answer | None = None
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=name)
        self._thread.start()

    def write(self, data: bytes) -> None:
        try:
            self._pipe.write(data)
        except BrokenPipeError:
            return

    def end(self) -> None:
        self._pipe.end()

    def finish(self) -> Answer:
        self._pipe.end()
        self._thread.join()
        if self._answer is None:
            raise self.error or System("a layer was not unpacked")
        return self._answer

    def abandon(self) -> None:
        self._pipe.end(OSError("the layer ended early"))
        self._thread.join()

    def _run(self) -> None:
        try:
            self._answer = unpack(self._pipe, self._root_fd, whiteouts=self._whiteouts)
        except BaseException as error:
            self.error = error
        finally:
            os.close(self._root_fd)
            self._pipe.close()
