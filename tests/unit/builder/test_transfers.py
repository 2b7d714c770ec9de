"""fsutil's protocol against clients that do not keep to it, and a whole transfer."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from onggi.builder.buildkit import files
from onggi.builder.buildkit.messages import kind
from onggi.errors import InvalidParameter

DIRECTORY, LINK = files.GO_DIRECTORY | 0o755, files.GO_LINK | 0o777


class Stream:
    """A client that sends these packets and hears what is asked."""

    def __init__(self, *packets: Any) -> None:
        self.packets = list(packets)
        self.sent: list[Any] = []

    async def recv_message(self) -> Any:
        return self.packets.pop(0) if self.packets else None

    async def send_message(self, message: Any, *, end: bool = False) -> None:
        self.sent.append(message)


async def work(function: Callable[..., Any], *args: Any) -> Any:
    return function(*args)


def name(path: str, mode: int = 0o644, **more: Any) -> Any:
    stat = kind("Stat")(path=path, mode=mode, uid=os.getuid(), gid=os.getgid(), **more)
    return kind("Packet")(type=files.STAT, stat=stat)


def data(number: int, content: bytes) -> Any:
    return kind("Packet")(type=files.DATA, ID=number, data=content)


END = kind("Packet")(type=files.STAT)
FIN = kind("Packet")(type=files.FIN)


async def test_only_what_differs_is_asked_for(tmp_path: Path) -> None:
    names = [
        name("a", size=3, modTime=1_000_000_007),
        name("d", DIRECTORY, modTime=5_000_000_000),
        name("d/hard", linkname="a"),
        name("d/l", LINK, linkname="../a"),
        name("e"),
    ]
    stream = Stream(*names, END, data(0, b"ab"), data(4, b""), data(0, b"c"), data(0, b""), FIN)
    await files.receive(stream, str(tmp_path), work)
    assert [(packet.type, packet.ID) for packet in stream.sent] == [
        (files.REQ, 0),
        (files.REQ, 4),
        (files.FIN, 0),
    ]
    assert (tmp_path / "d/l").read_text() == "abc" and (tmp_path / "a").stat().st_mtime_ns == 1_000_000_007
    assert (tmp_path / "d/hard").samefile(tmp_path / "a")
    assert (tmp_path / "d").stat().st_mtime_ns == 5_000_000_000

    again = Stream(name("e"), name("new", size=1), END, data(1, b"n"), data(1, b""), FIN)
    await files.receive(again, str(tmp_path), work)
    assert [packet.ID for packet in again.sent if packet.type == files.REQ] == [1]
    assert sorted(os.listdir(tmp_path)) == ["e", "new"]


async def test_a_file_takes_the_place_of_a_directory_and_back(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "in").write_text("")
    await files.receive(Stream(name("x"), END, data(0, b""), FIN), str(tmp_path), work)
    assert (tmp_path / "x").is_file()
    (tmp_path / "x").unlink()
    (tmp_path / "x").symlink_to("/")
    await files.receive(Stream(name("x", DIRECTORY), END, FIN), str(tmp_path), work)
    assert (tmp_path / "x").is_dir() and not (tmp_path / "x").is_symlink()


@pytest.mark.parametrize(
    "packets",
    [
        [name("../out"), END],
        [name("/out"), END],
        [name("a//b"), END],
        [name("a/../b"), END],
        [name("no\0pe"), END],
        [name("nowhere/f"), END],
        [name("l", LINK, linkname="/"), name("l/f"), END],
        [name("d", DIRECTORY), name("d", LINK, linkname="/"), name("d/f"), END],
        [name("h", linkname="../../etc/passwd"), END],
        [name("l", LINK, linkname="/etc/passwd"), name("h", linkname="l"), END],
        [name("f", size=1), END, data(1, b"x")],
        [name("f", size=1), END, data(0, b"x"), FIN],
        [name("f", size=1), END, data(0, b"x")],
        [name("f"), FIN],
        [name("f"), kind("Packet")(type=files.ERR, data=b"gone \xff")],
        [name("f"), kind("Packet")(type=77)],
        [],
    ],
)
async def test_frames_that_do_not_fit(tmp_path: Path, packets: list[Any]) -> None:
    root = tmp_path / "root"
    root.mkdir()
    with pytest.raises(InvalidParameter):
        await files.receive(Stream(*packets), str(root), work)
    assert os.listdir(tmp_path) == ["root"]
