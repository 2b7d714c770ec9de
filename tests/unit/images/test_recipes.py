"""A plain layer, its tree, and back: the very bytes, or a clear error."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from onggi.errors import Corrupt
from onggi.images import recipes
from onggi.images.apply import apply
from onggi.images.tar.entry import BadArchive

pytestmark = pytest.mark.root

BIG = bytes(range(256)) * 4096


def unpacked(tmp: Path, layer: bytes) -> tuple[int, int, bytes]:
    """The tree's descriptor, the bytes that the recipe takes out of it, the recipe."""
    tree = tmp / "tree"
    tree.mkdir()
    root_fd = os.open(tree, os.O_RDONLY | os.O_DIRECTORY)
    apply(io.BytesIO(layer), root_fd, whiteouts="overlay")
    blob = tmp / "blob"
    blob.write_bytes(layer)
    out = io.BytesIO()
    with open(blob, "rb", buffering=0) as file:
        found = recipes.make(file, root_fd, out)
    return root_fd, found, out.getvalue()


def assembled(root_fd: int, recipe: bytes, layer: bytes) -> recipes.Assembled:
    digest = "sha256:" + hashlib.sha256(layer).hexdigest()
    return recipes.Assembled(io.BytesIO(recipe), root_fd, digest, len(layer))


def archive(*members: tuple[str, bytes], end: bytes = b"") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue() + end


def test_the_very_bytes_come_back(tmp_path: Path) -> None:
    layer = archive(
        ("a/big", BIG), ("small", b"x" * 1000), ("empty", b""), ("a/.wh.gone", b""), ("a/twice", BIG[:2000]),
        ("a/twice", BIG[1:3000]), ("b/" + "n" * 200, BIG[7:5000]), end=b"behind the trailer" * 100,
    )  # fmt: skip
    root_fd, found, recipe = unpacked(tmp_path, layer)
    assert found == len(BIG) + 2999 + 4993, "of two members with one name the second is in the tree"
    assert len(recipe) < len(layer) // 50
    with assembled(root_fd, recipe, layer) as file:
        assert file.read() == layer
        for place in (len(layer) - 5, 0, 513, len(layer)):
            file.seek(place)
            assert file.tell() == place
            assert file.read(9) == layer[place : place + 9]


@pytest.mark.parametrize("harm", ["change", "cut", "remove", "link"])
def test_a_tree_that_changed_is_found_out(tmp_path: Path, harm: str) -> None:
    layer = archive(("a/big", BIG), ("a/other", BIG))
    root_fd, _, recipe = unpacked(tmp_path, layer)
    victim = tmp_path / "tree/a/big"
    if harm == "change":
        with open(victim, "r+b") as file:
            file.seek(70_000)
            file.write(b"!")
    elif harm == "cut":
        os.truncate(victim, 4096)
    else:
        victim.unlink()
        if harm == "link":
            secret = tmp_path / "outside"
            secret.write_bytes(BIG)
            victim.symlink_to(secret)
    with (
        assembled(root_fd, recipe, layer) as file,
        pytest.raises(Corrupt, match="put together out of a layer's tree"),
    ):
        while file.read(1 << 16):
            pass


def test_a_recipe_that_is_cut_off(tmp_path: Path) -> None:
    layer = archive(("a/big", BIG))
    root_fd, _, recipe = unpacked(tmp_path, layer)
    with assembled(root_fd, recipe[: len(recipe) // 2], layer) as file, pytest.raises(Exception) as raised:
        file.read()
    assert "cut off" in str(raised.value) or "ends" in str(raised.value) or "zstd" in str(raised.value)


NAMES = st.sampled_from(["a", "b", "a/c", "d/e", "d", ".wh.a", "d/.wh..wh..opq", "f"])
CONTENT = st.binary(max_size=40).map(lambda seed: seed * 100)


@settings(max_examples=60, deadline=None)
@given(members=st.lists(st.tuples(NAMES, CONTENT), max_size=8), end=st.binary(max_size=600))
def test_any_archive_that_unpacks_comes_back(
    tmp_path_factory: pytest.TempPathFactory, members: list[tuple[str, bytes]], end: bytes
) -> None:
    layer = archive(*members, end=end)
    try:
        root_fd, _, recipe = unpacked(tmp_path_factory.mktemp("layer"), layer)
    except BadArchive:
        reject()
    with assembled(root_fd, recipe, layer) as file:
        assert file.read() == layer
