"""Many small DATA frames of HTTP/2 as few large ones (RFC 9113, 4.1 and 6.1).

A client sends each name of a directory as a message, and each message as a frame: 50,000 of them cost the
protocol's state machine and its acknowledgements seconds. Runs of one stream's frames without flags are
joined before it sees them; their lengths add up, and so does what flow control counts.
"""

from __future__ import annotations

HEAD = 9
DATA = 0
JOINED_MAX = 16384  # SETTINGS_MAX_FRAME_SIZE, as long as we ask for no other


class Joiner:
    """For one direction of one connection, after the preface."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> bytes:
        """The same frames, as far as they are whole; the rest waits for what follows."""
        if self._rest:
            data = self._rest + data
        out: list[bytes] = []
        run: list[bytes] = []
        stream, size, at, end = b"", 0, 0, len(data)
        while at + HEAD <= end:
            length = data[at] << 16 | data[at + 1] << 8 | data[at + 2]
            after = at + HEAD + length
            if after > end and length <= JOINED_MAX:
                break
            plain = data[at + 3] == DATA and data[at + 4] == 0
            own = data[at + 5 : at + HEAD]
            if run and (not plain or own != stream or size + length > JOINED_MAX):
                out += _frame(stream, size, run)
                run, size = [], 0
            if plain:
                stream = own
                run.append(data[at + HEAD : after])
                size += length
            else:
                out.append(data[at:after])
            at = min(after, end)
            if after > end:
                break  # longer than a frame may be: h2 says so
        if run:
            out += _frame(stream, size, run)
        self._rest = data[at:]
        return b"".join(out)


def _frame(stream: bytes, size: int, payloads: list[bytes]) -> list[bytes]:
    return [size.to_bytes(3, "big") + bytes((DATA, 0)) + stream, *payloads]
