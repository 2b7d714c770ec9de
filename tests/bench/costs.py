"""What the unpacker's time goes to, for each file: `PYTHONPATH=src python -m tests.bench.costs [--alone]`.

Reading, headers, the system calls alone, all together, and `tar -x`, on tmpfs; the last two on a disk, with
and without sync(2), against one file of as many bytes. Microseconds a file, medians of five.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from onggi.images.apply import apply
from onggi.images.tar.reader import Reader
from tests.bench.images import FILES, big
from tests.bench.registry import alone

DIRECTORIES = 97
NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC


def each(work: Callable[[str], float], place: str) -> float:
    """Microseconds a file of work in a directory of its own, which says how long it took."""
    taken = []
    for _ in range(5):
        with tempfile.TemporaryDirectory(dir=place) as directory:
            taken.append(work(directory))
    return statistics.median(taken) * 1e6 / FILES


def clocked(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def read(archive: Path) -> None:
    with archive.open("rb", buffering=0) as file:
        while file.read(256 << 10):
            pass


def parse(archive: Path) -> None:
    with archive.open("rb", buffering=0) as file:
        reader = Reader(file)
        while reader.next() is not None:
            pass


def calls(directory: str, *, write: bool) -> float:
    """The system calls of the unpacker, with nothing around them."""
    data = memoryview(bytes(65600))
    for number in range(DIRECTORIES):
        os.mkdir(f"{directory}/d{number}")
    fds = [os.open(f"{directory}/d{number}", os.O_RDONLY) for number in range(DIRECTORIES)]

    def work() -> None:
        for number in range(FILES):
            fd = os.open(f"f{number}", NEW, 0o600, dir_fd=fds[number % DIRECTORIES])
            if write:
                os.write(fd, data[: (number * 7919) % 65536 + 64])
            os.fchown(fd, 0, 0)
            os.fchmod(fd, 0o644)
            os.utime(fd, ns=(1, 1))
            os.close(fd)

    taken = clocked(work)
    for fd in fds:
        os.close(fd)
    return taken


def unpack(archive: Path, directory: str) -> None:
    root_fd = os.open(directory, os.O_RDONLY)
    with archive.open("rb", buffering=0) as file:
        apply(file, root_fd, whiteouts="overlay")
    os.close(root_fd)


def tar(archive: Path, directory: str) -> None:
    subprocess.run(["tar", "-xf", str(archive), "-C", directory], check=True)


def copy(archive: Path, directory: str) -> None:
    shutil.copyfile(archive, f"{directory}/copy")


def synced(work: Callable[[Path, str], None], archive: Path, directory: str) -> float:
    os.sync()
    return clocked(lambda: (work(archive, directory), os.sync()))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--alone", action="store_true", help="as in registry.py")
    parser.add_argument("--disk", default="/var/tmp")
    given = parser.parse_args()
    if given.alone:
        alone(os.getpid())
    memory = "/dev/shm"
    with tempfile.TemporaryDirectory(dir=memory) as name:
        archive = Path(name) / "big.tar"
        big(archive)
        print(f"reading {each(lambda _: clocked(lambda: read(archive)), memory):.1f}")
        print(f"reading and headers {each(lambda _: clocked(lambda: parse(archive)), memory):.1f}")
        print(f"system calls without write {each(lambda one: calls(one, write=False), memory):.1f}")
        print(f"system calls {each(lambda one: calls(one, write=True), memory):.1f}")
        for place in (memory, given.disk):
            for label, work in (("unpacker", unpack), ("tar -x", tar)):
                taken = each(lambda one, w=work: clocked(lambda: w(archive, one)), place)  # type: ignore[misc]
                print(f"{label} in {place} {taken:.1f}")
        for label, work in (("unpacker", unpack), ("tar -x", tar), ("one file", copy)):
            taken = each(lambda one, w=work: synced(w, archive, one), given.disk)  # type: ignore[misc]
            print(f"{label} in {given.disk}, with sync {taken:.1f}")


if __name__ == "__main__":
    main()
