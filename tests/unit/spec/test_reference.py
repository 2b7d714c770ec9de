"""References: the grammar and Docker's normalisation."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onggi.errors import InvalidParameter
from onggi.spec import reference

DIGEST = "sha256:" + "a1" * 32


@pytest.mark.parametrize(
    ("text", "canonical", "familiar"),
    [
        ("docker.io/docker.io/c", "docker.io/docker.io/c", "docker.io/docker.io/c"),
        ("docker.io/localhost/c", "docker.io/localhost/c", "docker.io/localhost/c"),
        ("docker.io/reg.example/c", "docker.io/reg.example/c", "docker.io/reg.example/c"),
        ("docker.io/" + "a" * 64, "docker.io/library/" + "a" * 64, "docker.io/library/" + "a" * 64),
        ("debian", "docker.io/library/debian", "debian"),
        ("debian:12", "docker.io/library/debian:12", "debian:12"),
        ("docker.io/debian", "docker.io/library/debian", "debian"),
        ("index.docker.io/library/debian", "docker.io/library/debian", "debian"),
        ("a/b:c", "docker.io/a/b:c", "a/b:c"),
        ("library/a/b", "docker.io/library/a/b", "library/a/b"),
        ("localhost/x", "localhost/x", "localhost/x"),
        ("localhost:5000/x/y:1", "localhost:5000/x/y:1", "localhost:5000/x/y:1"),
        ("Foo/bar", "Foo/bar", "Foo/bar"),
        ("example.com/a__b-c--d.e", "example.com/a__b-c--d.e", "example.com/a__b-c--d.e"),
        ("[::1]:5000/x", "[::1]:5000/x", "[::1]:5000/x"),
        (f"debian@{DIGEST}", f"docker.io/library/debian@{DIGEST}", f"debian@{DIGEST}"),
        (f"debian:12@{DIGEST}", f"docker.io/library/debian:12@{DIGEST}", f"debian:12@{DIGEST}"),
        ("debian:T_a.g-1", "docker.io/library/debian:T_a.g-1", "debian:T_a.g-1"),
    ],
)
def test_normalised(text: str, canonical: str, familiar: str) -> None:
    parsed = reference.parse(text)
    assert str(parsed) == canonical
    assert parsed.familiar == familiar
    assert reference.parse(canonical) == parsed


@pytest.mark.parametrize(
    "text",
    ["", ":tag", "a:", "a:-x", "a//b", "/a", "a/", "-a", "a-", "a..b", "a___b", "a._b", "a@", "a@sha256:aa",
     "a b", "a:" + "x" * 129, "ex ample.com/a", "[::1/x", "a.b:port/x", "é/x", "a@x" + DIGEST + "!"],
)  # fmt: skip
def test_refused(text: str) -> None:
    with pytest.raises(InvalidParameter, match="invalid reference format"):
        reference.parse(text)


def test_dockers_words() -> None:
    with pytest.raises(InvalidParameter, match=r"repository name \(library/Debian\) must be lowercase"):
        reference.parse("Debian")
    with pytest.raises(InvalidParameter, match="cannot specify 64-byte hexadecimal strings"):
        reference.parse("ab" * 32)
    with pytest.raises(InvalidParameter, match="must not be more than 255 characters"):
        reference.parse("a/" + "b" * 255)
    with pytest.raises(InvalidParameter, match="unsupported digest algorithm"):
        reference.parse("a@sha512:" + "a" * 128)


def test_default_tag() -> None:
    assert reference.parse("debian").tagged().familiar == "debian:latest"
    assert reference.parse(f"debian@{DIGEST}").tagged().tag == ""


@given(st.text(max_size=40))
def test_any_text_is_a_reference_or_refused(text: str) -> None:
    try:
        parsed = reference.parse(text)
    except InvalidParameter:
        return
    assert reference.parse(str(parsed)) == parsed
    assert reference.parse(parsed.familiar) == parsed
