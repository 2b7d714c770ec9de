"""Digests, platforms, instants and image documents."""

from __future__ import annotations

import pytest

from onggi.errors import Corrupt, InvalidParameter
from onggi.spec import digest, image, platform, timestamp


def test_chain_ids_follow_the_specification() -> None:
    a, b = digest.of(b"a"), digest.of(b"b")
    assert digest.chain_ids([a, b]) == [a, digest.of(f"{a} {b}".encode())]
    assert digest.chain_ids([]) == []


@pytest.mark.parametrize("text", ["", "sha256:", "sha256:" + "A" * 64, "sha256:" + "a" * 63, "a" * 64])
def test_what_is_no_digest(text: str) -> None:
    with pytest.raises(InvalidParameter):
        digest.check(text)


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("linux/x86_64", "linux/amd64"),
        ("linux/arm64/v8", "linux/arm64"),
        ("linux/armhf", "linux/arm/v7"),
        ("linux/arm/v6", "linux/arm/v6"),
        ("linux/arm", "linux/arm/v7"),
        ("arm64", "linux/arm64"),
        ("linux", str(platform.host())),
    ],
)
def test_platforms(text: str, normal: str) -> None:
    assert str(platform.parse(text)) == normal


@pytest.mark.parametrize("text", ["", "a/b/c/d", "linux//x", "li nux", "foo", "x86"])
def test_platforms_refused(text: str) -> None:
    with pytest.raises(InvalidParameter):
        platform.parse(text)


def test_platform_as_json() -> None:
    wanted = platform.parse_json('{"os":"linux","architecture":"arm64","variant":"v8"}')
    assert platform.parse_json('{"OS":"linux","architecture":"amd64","variant":null}').variant == ""
    assert str(wanted) == "linux/arm64"
    with pytest.raises(InvalidParameter):
        platform.parse_json("linux/arm64")


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("1970-01-01T00:00:01Z", 1_000_000_000),
        ("2022-02-04T21:20:12.497794809Z", 1644009612_497794809),
        ("2022-02-04T22:20:12.5+01:00", 1644009612_500000000),
        ("0001-01-01T00:00:00Z", 0),
        ("", 0),
    ],
)
def test_instants(text: str, instant: int) -> None:
    assert timestamp.parse(text) == instant
    assert timestamp.parse(timestamp.text(instant)) == instant


def test_documents_keep_what_they_know_and_name_what_is_broken() -> None:
    text = b'{"architecture":"amd64","os":"linux","config":{"Env":["A=1"],"Healthcheck":{"Test":["NONE"]}},'
    text += b'"rootfs":{"type":"layers","diff_ids":["sha256:x"]},"history":[{"created_by":"x"}],"new":1}'
    document = image.decode(image.Image, text, "config sha256:abc")
    assert document.config is not None and document.config.env == ["A=1"]
    assert image.decode(image.Image, image.encode(document), "again") == document
    with pytest.raises(Corrupt, match="config sha256:abc is not a valid image"):
        image.decode(image.Image, b"{", "config sha256:abc")
