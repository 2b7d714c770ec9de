"""Regular expressions of clients: RE2's syntax (google-re2 is the oracle), and bounded work."""

# ruff: noqa: E501 (tables of cases)
from __future__ import annotations

import fnmatch
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onggi.engine import filters
from onggi.engine.regexp import pathpattern
from onggi.engine.regexp.expression import Budget, Expression, TooCostly
from onggi.engine.regexp.syntax import Invalid
from onggi.errors import InvalidParameter

PIECES = r"""
a ab B 1 _ - . ^ $ * + ? | ( ) (?: (?i) (?i: (?m) (?s: (?P<x> (?-i) (?U) (?= [ [^ ] a-z 0-9 \d \W \s \b \B \A \z \Q \E
{2} {1,} {0,2} {01} { } , 2 \. \x41 \x{42} \pL \PN \p{Lu} \p{^N} [:alpha:] [:^digit:] \n \t \07 \1 \101 *? \- / \\ é
""".split()  # noqa: SIM905
TEXTS = (
    "",
    "a",
    "b",
    "ab",
    "aab",
    "A",
    "AB",
    "a1",
    "1a",
    "a_b",
    "a-b",
    "a.b",
    "\n",
    "a\nb",
    "ab\n",
    "a b",
    "/web-1",
)


@given(st.lists(st.sampled_from(PIECES), max_size=9).map("".join))
def test_as_re2(pattern: str) -> None:
    """The same texts are expressions, and the same texts are found."""
    re2 = pytest.importorskip("re2", reason="needs google-re2: wheels of it exist for x86-64 and aarch64")
    options = re2.Options()
    options.log_errors = False
    try:
        theirs = re2.compile(pattern, options)
    except re2.error:
        with pytest.raises(Invalid):
            Expression(pattern)
        return
    ours = Expression(pattern)
    for text in TEXTS:
        assert ours.search(text) == (theirs.search(text) is not None), (pattern, text)


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        ("^/?web-[0-9]+$", "/web-12", True),
        ("^/?web-[0-9]+$", "/web-12x", False),
        ("(?i)WEB|db", "my-web", True),
        (r"a\Q.*\E", "a.*", True),
        (r"a\Q.*\E", "ab", False),
        ("a{2,3}$", "baaaa", True),
        ("^a{2,3}$", "aaaa", False),
        ("[^/]+/x", "é/x", True),
    ],
)
def test_found(pattern: str, text: str, found: bool) -> None:
    assert Expression(pattern).search(text) is found


@pytest.mark.parametrize(
    "pattern",
    [
        "(a+)+$",
        "(a|a)*$",
        "(.*.*.*.*)*x",
        "(a*)*b",
        "(" * 90 + "a" + ")*" * 90 + "b",
        "(.*a){20}c",
        "(x+x+)+y",
    ],
)
def test_work_is_linear_in_the_text(pattern: str) -> None:
    """Four times the text costs the same steps: the states are known by then."""
    budget = Budget()
    expression = Expression(pattern, budget)
    expression.search("a" * 500 + "!")
    left = budget.left
    expression.search("a" * 2000 + "!")
    assert budget.left == left


@pytest.mark.parametrize("pattern", ["(a|b)*a(a|b){500}", "|".join(["(a|b)*a(a|b){80}"] * 7)])
def test_work_has_an_end(pattern: str) -> None:
    names = [f"{number:060b}".replace("0", "a").replace("1", "b") for number in range(7, 10**9, 10**6)]
    expression = Expression(pattern)
    with pytest.raises(TooCostly):
        for name in names:
            expression.search(name)


@pytest.mark.parametrize(
    "pattern",
    ["(" * 200 + ")" * 200, "((a{100}){100}){100}", "a{1001}", "(((((){1000}){1000}){1000}){1000}a{1001})"],
)
def test_too_large(pattern: str) -> None:
    with pytest.raises(Invalid):
        Expression(pattern)


def test_empty_repetitions_cost_nothing() -> None:
    assert Expression("(((((){1000}){1000}){1000}){1000})$").search("x")


def test_a_filter_of_many_expressions_has_one_bound() -> None:
    started = time.process_time()
    with pytest.raises(InvalidParameter, match="invalid filter 'name': its values take too many steps"):
        names = filters.Names("name", [f"(a|b)*{number}(a|b){{9}}" for number in range(3000)])
        names.find("ab" * 100)
    assert time.process_time() - started < 2


def test_what_is_no_expression_finds_itself() -> None:
    names = filters.Names("name", ["[", "web"])
    assert names.find("[") and not names.find("[x") and names.find("my-web-1") and not names.find("db")


@given(st.text("ab/*?", max_size=8), st.text("ab/", max_size=8))
def test_path_patterns(pattern: str, text: str) -> None:
    """As fnmatch on every part between slashes."""
    parts = text.split("/"), pattern.split("/")
    expected = len(parts[0]) == len(parts[1]) and all(map(fnmatch.fnmatchcase, *parts))
    assert Expression(pathpattern.expression(pattern)).search(text) is expected


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        ("[^a]*", "busybox", True),
        ("[a-c]x", "bx", True),
        (r"\*", "*", True),
        (r"\*", "a", False),
        ("[!b]", "!", True),
    ],
)
def test_path_patterns_of_go(pattern: str, text: str, found: bool) -> None:
    assert Expression(pathpattern.expression(pattern)).search(text) is found


@pytest.mark.parametrize("pattern", ["[", "[]", "[]a]", "[a", "a\\", "[a-]", "[-a]", "[\\"])
def test_bad_path_patterns(pattern: str) -> None:
    with pytest.raises(Invalid):
        pathpattern.expression(pattern)
