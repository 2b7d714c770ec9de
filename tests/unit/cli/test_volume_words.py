"""-v as the command line reads it."""

# ruff: noqa: E501 (a table)
from __future__ import annotations

import os

import pytest

from onggi.cli.errors import CommandError
from onggi.cli.options import volume


@pytest.mark.parametrize(
    ("word", "wanted"),
    [
        ("/a", ("/a", False)), ("a", ("a", False)), (":", (":", False)), ("c:/b", ("c:/b", False)), ("/a:/b", ("/a:/b", True)),
        ("name:/b:ro,z", ("name:/b:ro,z", True)), ("./a:/b", (os.path.abspath("a") + ":/b", True)),
        ("..:/b", (os.path.abspath("..") + ":/b", True)), ("~/a:/b", ("~/a:/b", True)),
        ("/a:/b:idmap=1:2", ("/a:/b:idmap=1:2", True)), ("/a:/b:ro,idmap=1:2,z", ("/a:/b:ro,idmap=1:2,z", True)),
        ("/x/idmap=1:/b", ("/x/idmap=1:/b", True)),
    ],
)  # fmt: skip
def test_words(word: str, wanted: tuple[str, bool]) -> None:
    assert volume.parse(word) == wanted


@pytest.mark.parametrize("word", ["/a:/b:ro:z", "/a:/b:ro:", "/a:/b:ro:idmap=1:2"])
def test_too_many_colons(word: str) -> None:
    with pytest.raises(CommandError, match="too many colons"):
        volume.parse(word)
