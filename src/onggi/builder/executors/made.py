"""What an executor hands back."""

from __future__ import annotations

import msgspec

from onggi.builder.solver.results import EMPTY, Result


class Made(msgspec.Struct, frozen=True):
    """A vertex's outputs by number, and the bytes on disk that they newly take. `record_id`: the cache
    record that keeps them; an instant in nanoseconds since 1970.
    """

    outputs: dict[int, Result]
    disk_bytes: int = 0
    record_id: str = ""
    created_at: int = 0
    cached: bool = False

    def output(self, number: int) -> Result:
        """An output; one that nobody wrote to is empty."""
        return self.outputs.get(number, EMPTY)
