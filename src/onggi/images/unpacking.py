"""A layer on its way into a snapshot: a thread that decompresses, hashes and applies what is written to it.

    worker = Unpacking(images)          the thread runs, on an active snapshot of its own
    worker.write(piece) ...             the packed bytes, as they come
    worker.end()                        no more comes; the thread goes on while the caller does other things
    worker.finish(digest) -> Unpacked   waits; raises what unpacking raised

Several run at a time: decompression, hashing and write(2) release the GIL.
Not here: blobs, and what a layer belongs to (staging.py).
"""

from __future__ import annotations

import os
import secrets
import threading
from typing import TYPE_CHECKING

import msgspec

from onggi.errors import System
from onggi.images.apply import apply
from onggi.images.compression import DigestReader, decompress
from onggi.images.pipe import Pipe

if TYPE_CHECKING:
    from onggi.images.images import Images


class Unpacked(msgspec.Struct, frozen=True):
    """A layer in an active snapshot of its own."""

    key: str
    diff_id: str
    size: int


class Unpacking:
    """A thread that decompresses, hashes and applies one layer to an active snapshot of its own."""

    def __init__(self, images: Images, parent: str = "") -> None:
        self._snapshots = images.snapshots
        self.key = f"unpack-{secrets.token_hex(8)}"
        self._pipe = Pipe()
        self._result: Unpacked | None = None
        self._error: BaseException | None = None
        self._snapshots.create(self.key, parent, "unpack")
        self._thread = threading.Thread(target=self._run, name=self.key)
        self._thread.start()

    def write(self, data: bytes) -> None:
        """Some of the packed layer; ignored once unpacking has failed."""
        try:
            self._pipe.write(data)
        except BrokenPipeError:
            return

    @property
    def failed(self) -> bool:
        """Whether unpacking has raised something."""
        return self._error is not None

    def check(self) -> None:
        """Raises what unpacking raised so far, so that nobody goes on bringing a layer that is bad."""
        if self._error is not None:
            raise self._error

    def end(self) -> None:
        """No more comes; the thread goes on by itself."""
        self._pipe.end()

    def finish(self, digest: str) -> Unpacked:
        """Wait for the end. `digest` is that of the packed bytes. Raises what unpacking raised."""
        self._pipe.end()
        self._thread.join()
        if self._result is None:
            self._snapshots.remove(self.key)
            raise self._error or System(f"layer {digest} was not unpacked")
        return self._result if self._result.diff_id else msgspec.structs.replace(self._result, diff_id=digest)

    def abandon(self) -> None:
        """Stop and remove."""
        self._pipe.end(OSError("the layer ended early"))
        self._thread.join()
        self._snapshots.remove(self.key)

    def _run(self) -> None:
        try:
            plain = decompress(self._pipe)
            packed = plain.compression != "plain"
            stream = DigestReader(plain) if packed else plain
            root_fd = os.open(self._snapshots.tree(self.key), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                applied = apply(stream, root_fd, overlay_whiteouts=self._snapshots.whiteouts == "overlay")
            finally:
                os.close(root_fd)
            while stream.read(1 << 20):
                pass  # the digest is of all bytes, also of those behind the archive's trailer
            diff_id = stream.digest if isinstance(stream, DigestReader) else ""
            self._result = Unpacked(self.key, diff_id, applied.size)
        except BaseException as error:
            self._error = error
        finally:
            self._pipe.close()
