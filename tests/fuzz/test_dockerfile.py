"""Longer property tests of the Dockerfile language: `make fuzz`."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.dockerfile import one

WORDS = (
    'FROM a\n|FROM a AS b\n|RUN |COPY |ENV |ARG |ONBUILD |<<E|\nE\n|\\\n|\n|["a"]|--mount=type=|--from=|$A|'
    "${A:-|}|'|\"|# check=|# escape=`\n| "
)
PIECES = st.sampled_from([word.encode() for word in WORDS.split("|")])


@given(st.lists(st.one_of(PIECES, st.binary(max_size=6))).map(b"".join))
def test_the_language_ends_in_a_value_or_a_reason(data: bytes) -> None:
    one(data)
