"""Changes of import and commit; the pipe between two threads."""

from __future__ import annotations

import threading

import pytest

from onggi.errors import InvalidParameter
from onggi.images import instructions
from onggi.images.pipe import Pipe
from onggi.spec.image import Config


def test_every_instruction() -> None:
    changed = instructions.apply(
        Config(env=["A=0", "B=1"], working_dir="/srv"),
        ['CMD ["a", "b"]', "ENTRYPOINT run it", 'ENV A=1 C="x y"', "ENV D the rest", "EXPOSE 80 53/udp",
         "LABEL k=v", "ONBUILD RUN x", "STOPSIGNAL SIGINT", "USER me", 'VOLUME ["/d"]', "WORKDIR sub/../www"],
    )  # fmt: skip
    assert changed.cmd == ["a", "b"] and changed.entrypoint == ["/bin/sh", "-c", "run it"]
    assert changed.env == ["A=1", "B=1", "C=x y", "D=the rest"]
    assert changed.exposed_ports == {"80/tcp": {}, "53/udp": {}}
    assert changed.labels == {"k": "v"} and changed.on_build == ["RUN x"] and changed.volumes == {"/d": {}}
    assert (changed.stop_signal, changed.user, changed.working_dir) == ("SIGINT", "me", "/srv/www")


@pytest.mark.parametrize(
    "change", ["FROM x", "RUN x", "CMD", "EXPOSE x", "EXPOSE 70000", "ENV A=1 B", 'ENV A="']
)
def test_what_is_refused(change: str) -> None:
    with pytest.raises(InvalidParameter):
        instructions.apply(Config(), [change])


def test_a_pipe_is_bounded_and_ends_with_the_writers_error() -> None:
    pipe = Pipe(bound=10)

    def write() -> None:
        for _ in range(100):
            pipe.write(b"x" * 10)
        pipe.end(OSError("cut off"))

    thread = threading.Thread(target=write)
    thread.start()
    received = 0
    with pytest.raises(OSError, match="cut off"):
        while data := pipe.read(7):
            received += len(data)
    thread.join()
    assert received == 1000


def test_a_writer_that_must_not_wait_is_told_when_to() -> None:
    pipe = Pipe(bound=10)
    assert pipe.offer(b"x" * 10) and not pipe.offer(b"x")
    assert pipe.read(5) == b"x" * 5
    drained = threading.Thread(target=pipe.drain)
    drained.start()
    assert pipe.read(5) == b"x" * 5
    drained.join(30)
    assert not drained.is_alive() and pipe.read(5) == b"x"


def test_a_reader_that_leaves_stops_the_writer() -> None:
    pipe = Pipe(bound=10)
    pipe.close()
    pipe.drain()
    for write in (pipe.write, pipe.offer):
        with pytest.raises(BrokenPipeError):
            write(b"x")


@pytest.mark.parametrize("size", [1, 3, 4, 7, 100])
def test_what_is_read_in_other_pieces_is_what_was_written(size: int) -> None:
    pipe = Pipe()
    for part in (b"abcd", b"e", b"fghijkl", b"mn"):
        pipe.write(part)
    pipe.end()
    pieces = list(iter(lambda: pipe.read(size), b""))
    assert b"".join(pieces) == b"abcdefghijklmn"
    assert max(map(len, pieces)) <= size
    assert pipe._waiting == 0
