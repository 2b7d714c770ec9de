"""Budget: a layer of small files is applied to tmpfs at 35,000 files a second or more."""

from __future__ import annotations

import io
import os
import tempfile
import time

from onggi.images.apply import apply
from onggi.images.tar import Entry, Writer
from onggi.images.tar.entry import DIRECTORY

FILES = 20_000


def archive() -> bytes:
    stream = io.BytesIO()
    writer = Writer(stream)
    for directory in range(FILES // 20):
        writer.add(Entry(b"usr/lib/d%d" % directory, DIRECTORY, mode=0o755))
        for file in range(20):
            writer.add(
                Entry(b"usr/lib/d%d/file%d.py" % (directory, file), size=2000, mtime_ns=10**18), b"x" * 2000
            )
    writer.close()
    return stream.getvalue()


def main() -> None:
    data = archive()
    for _ in range(3):
        with tempfile.TemporaryDirectory(dir="/dev/shm") as target:
            fd = os.open(target, os.O_RDONLY)
            begun = time.perf_counter()
            applied = apply(io.BytesIO(data), fd, whiteouts="overlay")
            print(f"{applied.entries / (time.perf_counter() - begun):,.0f} members/s")
            os.close(fd)


if __name__ == "__main__":
    main()
