"""The json-file log: what is written, what comes back, through rotation, compression and full disks."""

from __future__ import annotations

import errno
import json
import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onggi.engine.containers import log_files
from onggi.engine.containers.log_files import LogReader, Selection, files
from onggi.spawn import log as log_module
from onggi.spawn.log import JsonLog, escape, instant


def make(path: Path, **options: object) -> JsonLog:
    settings: dict[str, object] = {"max_bytes": 0, "max_files": 5, "compress": False, "attrs": b""}
    return JsonLog(str(path), **{**settings, **options})  # type: ignore[arg-type]


def read(path: Path, **options: object) -> bytes:
    reader = LogReader(str(path), Selection(framed=False, **options))  # type: ignore[arg-type]
    try:
        return b"".join(reader.chunks())
    finally:
        reader.close()


def wait_for_compression(path: Path) -> None:
    """Its process takes the plain file away last."""
    deadline = time.monotonic() + 30
    while os.path.exists(f"{path}.1"):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def go_decode(data: bytes) -> str:
    """One U+FFFD for each byte that is not UTF-8, as Go decodes."""
    out, at = [], 0
    while at < len(data):
        for size in (1, 2, 3, 4):
            try:
                out.append(data[at : at + size].decode())
            except UnicodeDecodeError:
                continue
            break
        else:
            out.append("\ufffd")
            size = 1
        at += size
    return "".join(out)


@given(st.binary())
def test_escaped_bytes_are_json_and_decode_as_go_does(data: bytes) -> None:
    data = data.replace(b"\n", b"")
    assert json.loads(b'"' + escape(data) + b'"') == go_decode(data)


def test_escapes_are_dockers() -> None:
    assert escape(b'a"\\\t\r<>&\x00') == rb"a\"\\\u0009\r\u003c\u003e\u0026\u0000"
    assert escape("\u2028".encode()) == rb"\u2028"


@given(
    st.lists(st.sampled_from([b"a", b"line\n", b"\n", b'"q"', b"x" * 17000, "\u20ac".encode()]), max_size=12)
)
def test_joined_entries_are_the_output(tmp_path_factory: pytest.TempPathFactory, writes: list[bytes]) -> None:
    path = tmp_path_factory.mktemp("log") / "c-json.log"
    log = make(path)
    for data in writes:
        log.write(1, data)
    log.finish()
    entries = [json.loads(line) for line in path.read_bytes().splitlines()]
    assert "".join(entry["log"] for entry in entries) == b"".join(writes).decode()
    assert all(len(entry["log"].encode()) <= log_module.PIECE_BYTES + 1 for entry in entries)
    assert read(path) == b"".join(writes)


def test_streams_attributes_and_instants(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "c-json.log"
    log = make(path, attrs=b'{"tag":"x"}')
    clock = iter([2_000_000_000, 1_000_000_000, 3_000_000_000])
    monkeypatch.setattr(log_module.time, "time_ns", lambda: next(clock))
    log.write(1, b"one\n")
    log.write(2, b"two\n")  # the clock went back
    log.write(1, b"three\n")
    log.finish()
    first, second, third = [json.loads(line) for line in path.read_bytes().splitlines()]
    assert first == {
        "log": "one\n", "stream": "stdout", "attrs": {"tag": "x"}, "time": "1970-01-01T00:00:02.000000000Z",
    }  # fmt: skip
    assert (second["stream"], second["time"]) == ("stderr", first["time"])
    assert third["time"] == "1970-01-01T00:00:03.000000000Z"
    assert read(path, stdout=False) == b"two\n"
    assert read(path, timestamps=True, details=True).splitlines()[0] == (
        b"1970-01-01T00:00:02.000000000Z tag=x one"
    )


def test_a_torn_line_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "c-json.log"
    path.write_bytes(b'{"log":"a\\n","stream":"stdout","time":"2030-01-01T00:00:00Z"}\n{"log":"torn')
    log = make(path)
    log.write(1, b"b\n")
    log.finish()
    assert read(path) == b"a\nb\n"
    assert json.loads(path.read_bytes().splitlines()[1])["time"] == "2030-01-01T00:00:00.000000000Z"


@pytest.mark.parametrize("compress", [False, True])
def test_rotation_keeps_the_newest_and_readers_go_through_all_files(tmp_path: Path, compress: bool) -> None:
    path = tmp_path / "c-json.log"
    log = make(path, max_bytes=20_000, max_files=4, compress=compress)
    for number in range(2000):
        log.write(1, b"%d\n" % number)
    log.finish()
    if compress:
        wait_for_compression(path)
    names = [name.rpartition("json.log")[2] for name in files(str(path))]
    assert names == ([".3.gz", ".2.gz", ".1.gz", ""] if compress else [".3", ".2", ".1", ""])
    kept = [int(line) for line in read(path).splitlines()]
    assert kept == list(range(kept[0], 2000)) and len(kept) > 600
    for wanted in (0, 1, 300, len(kept), 5000):
        assert [int(line) for line in read(path, tail=wanted).splitlines()] == (
            kept[-wanted:] if wanted else []
        )


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("tail", [None, 9999])
def test_what_rotates_while_it_is_looked_for_is_not_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compress: bool, tail: int | None
) -> None:
    """Each time a reader has the names of the files, these are renamed and compressed before he opens one."""
    path = tmp_path / "c-json.log"
    log = make(path, max_bytes=20_000, max_files=50, compress=compress)
    written, turns = iter(range(20_000)), []

    def write(count: int) -> None:
        for _ in range(count):
            log.write(1, b"%d\n" % next(written))

    def rotating(where: str) -> list[str]:
        found = files(where)
        if len(turns) < 6 and not turns.append(0):  # type: ignore[func-returns-value]
            write(700)
            if compress:
                wait_for_compression(path)
        return found

    write(800)
    monkeypatch.setattr(log_files, "files", rotating)
    reader = LogReader(str(path), Selection(framed=False, tail=tail))
    assert len(turns) > 1
    turns.clear()
    try:
        found = [int(line) for chunk in reader.chunks() for line in chunk.split()]
    finally:
        reader.close()
    assert found == list(range(next(written))) and len(found) > 8000
    log.finish()


@pytest.mark.parametrize("compress", [False, True])
def test_files_of_one_clock_tick_are_told_apart(tmp_path: Path, compress: bool) -> None:
    path = tmp_path / "c-json.log"
    log = make(path, max_bytes=20_000, max_files=4, compress=compress)
    for number in range(2000):
        log.write(1, b"%d\n" % number)
    log.finish()
    if compress:
        wait_for_compression(path)
    for name in files(str(path)):
        os.utime(name, ns=(1, 1))
    kept = [int(line) for line in read(path).splitlines()]
    assert kept == list(range(kept[0], 2000))


def test_since_and_until(tmp_path: Path) -> None:
    path = tmp_path / "c-json.log"
    lines = [
        b'{"log":"%d\\n","stream":"stdout","time":"2026-01-02T%02d:%02d:%02d.5Z"}\n'
        % (n, n // 3600, n // 60 % 60, n % 60)
        for n in range(20000)
    ]
    path.write_bytes(b"".join(lines))
    midnight = instant(b"2026-01-02T00:00:00")
    for at in (0, 1, 9999, 19999):
        since = midnight + at * 10**9 + 1
        assert read(path, since=since).split() == [b"%d" % n for n in range(at, 20000)]
        assert read(path, until=since + 10**9).split() == [b"%d" % n for n in range(at + 1)]
    assert read(path, since=midnight + 10**15) == b""


def test_a_full_disk_drops_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "c-json.log"
    log = make(path)
    log.write(1, b"before\n")
    real, room = os.write, [10]

    def full(fd: int, data: bytes) -> int:
        if not room[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        taken, room[0] = real(fd, bytes(data)[: room[0]]), 0
        return taken

    monkeypatch.setattr(log_module.os, "write", full)
    log.write(1, b"lost\nlost\n")
    log.write(1, b"lost\n")
    monkeypatch.setattr(log_module.os, "write", real)
    log.write(1, b"after\n")
    log.finish()
    assert read(path) == b"before\nonggi: 3 log entries were lost: No space left on device\nafter\n"


def test_each_line_is_a_frame_of_its_own(tmp_path: Path) -> None:
    """Clients take a frame for a line (aiodocker), as dockerd's are."""
    path = tmp_path / "log"
    log = make(path)
    log.write(1, b"one\ntwo\n")
    log.write(2, b"bad\n")
    reader = LogReader(str(path), Selection())
    frames = [(1, b"one\n"), (1, b"two\n"), (2, b"bad\n")]
    assert b"".join(reader.chunks()) == b"".join(
        bytes([stream, 0, 0, 0]) + len(text).to_bytes(4, "big") + text for stream, text in frames
    )
    reader.close()
