"""`.dockerignore`: the documented rules, the walk that agrees with the look-up, and hostile patterns."""

from __future__ import annotations

import time

import pytest

from onggi.errors import InvalidParameter
from onggi.spec.dockerignore import Matched, Matcher, read

CASES = [
    ("*/temp*", {"a/temporary.txt": True, "temp": False, "a/b/temp": False, "a/temp/x": True}),
    ("*/*/temp*", {"a/b/temporary": True, "a/temp": False}),
    ("temp?", {"tempa": True, "temp": False, "tempab": False, "tempa/below": True}),
    ("**/*.go", {"x.go": True, "a/b/x.go": True, "x.c": False}),
    ("**.go", {"x.go": True, "a/x.go": True}),
    ("*.md\n!README.md", {"a.md": True, "README.md": False}),
    ("*.md\n!README*.md\nREADME-secret.md", {"README.md": False, "README-secret.md": True}),
    ("dir\n!dir/keep", {"dir": True, "dir/x": True, "dir/keep": False, "dir/keep/below": False}),
    ("dir/**", {"dir": False, "dir/a": True, "dir/a/b": True}),
    ("/rooted", {"rooted": True, "a/rooted": False}),
    ("[a-c]x\n[^d]y", {"bx": True, "dx": False, "ay": True, "dy": False}),
    ("a\\*b", {"a*b": True, "axb": False}),
    ("#comment\n  spaced  \n\n", {"#comment": False, "spaced": True}),
    ("\ufeffbom", {"bom": True}),
    ("./x/../y/", {"y": True, "x": False}),
    ("**", {"a": True, "a/b": True}),
    ("*\n!a/b", {"a": True, "a/b": False, "a/c": True}),
]


@pytest.mark.parametrize(("text", "paths"), CASES)
def test_rules(text: str, paths: dict[str, bool]) -> None:
    matcher = Matcher(read(text.encode()))
    assert {path: matcher.excludes(path) for path in paths} == paths


@pytest.mark.parametrize(("text", "paths"), CASES)
def test_a_walk_agrees(text: str, paths: dict[str, bool]) -> None:
    matcher = Matcher(read(text.encode()))
    for path, excluded in paths.items():
        state = Matched()
        parts = path.split("/")
        for count in range(1, len(parts) + 1):
            state = matcher.below("/".join(parts[:count]), state)
        assert state.excluded == excluded, path


def test_an_excluded_directory_is_walked_only_for_what_is_taken_back() -> None:
    matcher = Matcher(("*", "!a/b/c"))
    assert matcher.may_keep_below("a") and matcher.may_keep_below("a/b")
    assert not matcher.may_keep_below("x")


@pytest.mark.parametrize("pattern", ["!", "[a", "[z-a]", "a[", "x\\", "[]"])
def test_malformed_patterns_are_errors(pattern: str) -> None:
    with pytest.raises(InvalidParameter):
        Matcher((pattern,))


def test_names_that_are_not_utf8() -> None:
    matcher = Matcher(read(b"caf\xe9"))
    assert matcher.excludes("caf\udce9")


@pytest.mark.parametrize(
    "pattern", ["*a" * 12 + "b", "**a" * 12 + "b", "**/a/" * 20 + "b", "**/" * 100 + "b"]
)
def test_patterns_do_not_backtrack(pattern: str) -> None:
    began = time.process_time()
    matcher = Matcher((pattern,))
    assert not matcher.excludes("a" * 255)
    assert not matcher.excludes("/".join(["a"] * 60))
    assert time.process_time() - began < 5
