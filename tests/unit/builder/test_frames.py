"""Joined frames carry what the single ones did, however the bytes are cut."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from onggi.builder.buildkit.frames import JOINED_MAX, Joiner

Frame = tuple[int, int, int, bytes]  # type, flags, stream, payload
FRAMES = st.lists(
    st.tuples(
        st.sampled_from((0, 0, 0, 1, 6, 8)),
        st.sampled_from((0, 0, 1, 8)),
        st.sampled_from((1, 1, 3)),
        st.binary(max_size=40) | st.integers(0, JOINED_MAX).map(bytes),
    ),
    max_size=30,
)


def encoded(frames: list[Frame]) -> bytes:
    return b"".join(
        len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload
        for kind, flags, stream, payload in frames
    )


def decoded(data: bytes) -> list[Frame]:
    found = []
    while data:
        end = 9 + int.from_bytes(data[:3], "big")
        assert end <= 9 + JOINED_MAX
        found.append((data[3], data[4], int.from_bytes(data[5:9], "big"), data[9:end]))
        data = data[end:]
    return found


def meaning(frames: list[Frame]) -> list[Frame]:
    """Runs of plain data joined, whatever their frames were."""
    made: list[Frame] = []
    for kind, flags, stream, payload in frames:
        if made and (kind, flags) == (0, 0) and made[-1][:3] == (0, 0, stream):
            payload = made.pop()[3] + payload
        made.append((kind, flags, stream, payload))
    return made


@given(FRAMES, st.lists(st.integers(1, 3000), max_size=20))
def test_nothing_is_lost_or_moved(frames: list[Frame], cuts: list[int]) -> None:
    data, joiner, out = encoded(frames), Joiner(), b""
    for cut in cuts:
        out += joiner.feed(data[:cut])
        data = data[cut:]
    out += joiner.feed(data)
    assert meaning(decoded(out)) == meaning(frames)


def test_names_become_few_frames() -> None:
    joined = decoded(Joiner().feed(encoded([(0, 0, 1, bytes(100))] * 50_000)))
    assert len(joined) <= 50_000 * 100 / JOINED_MAX * 1.01


def test_a_frame_that_is_too_long_is_for_the_protocol_to_refuse() -> None:
    head = (JOINED_MAX + 1).to_bytes(3, "big") + bytes((0, 0, 0, 0, 0, 1))
    assert Joiner().feed(head + b"begun") == head + b"begun"
