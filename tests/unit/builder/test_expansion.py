"""Shell words: BuildKit's documented rules as a table, a shell as the oracle, and what hostile words cost."""

from __future__ import annotations

import shlex
import subprocess
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onggi.builder.dockerfile.expansion import Budget, Failed, expand

ENV = {"PWD": "/home", "SHELL": "bash", "NULL": "", "F": "a/b/c.tar.gz", "KOREAN": "한국어", "S": "x y  z"}

GOOD = [
    ("hello", "hello"), ("he'll'o", "hello"), ("he\\'llo", "he'llo"), ("\"a\\tb\"", "a\\tb"),
    ("a\\tb", "atb"), ("'a\\\\tb'", "a\\\\tb"), ("hello\\", "hello"), ("hello\\\\", "hello\\"),
    ("$.", "$."), ("he$1x", "hex"), ("he$PWD", "he/home"), ("he\\$PWD", "he$PWD"),
    ("he\\\\$PWD", "he\\/home"), ("\"he\\$PWD\"", "he$PWD"), ("'$PWD'", "$PWD"),
    ("\"'$PWD'\"", "'/home'"), ("${PWD}x", "/homex"), ("${hi}x", "x"), ("\\${}", "${}"),
    ("${X:-000}", "000"), ("${PWD:-0}", "/home"), ("${NULL:-0}", "0"), ("${NULL-0}", ""),
    ("${X-${PWD}}", "/home"), ("${X:-${Y:-y}}", "y"), ("${PWD:+${SHELL}}", "bash"), ("${X:+1}", ""),
    ("${NULL:+1}", ""), ("${NULL+1}", "1"), ("${PWD?}", "/home"), ("${NULL?}", ""),
    ("${F#*/}", "b/c.tar.gz"), ("${F##*/}", "c.tar.gz"), ("${F%.*}", "a/b/c.tar"),
    ("${F%%.*}", "a/b/c"), ("${F/\\//-}", "a-b/c.tar.gz"), ("${F//\\//-}", "a-b-c.tar.gz"),
    ("${F/b*r/X}", "a/X.gz"), ("${F//?/x}", "xxxxxxxxxxxx"), ("${KOREAN#?}", "국어"),
    ("${KOREAN}", "한국어"), ("$KOREAN!", "한국어!"), ("안'녕'하세요", "안녕하세요"), ("${X:-\\}}", "}"),
    ("${X:-'}'}", "}"), ("${X:-\"a}\"}", "a}"), ("$$", ""), ("a$", "a$"), ("${F%%/*}", "a"),
    ("<<EOF", "<<EOF"), ("${S}", "x y  z"),
]  # fmt: skip

WRONG = [
    ("he'llo", "unexpected end of statement while looking for matching single-quote"),
    ('"hello\\"', "unexpected end of statement while looking for matching double-quote"),
    ("${}", "syntax error: bad substitution"), ("he${PWD", "syntax error: missing '}'"),
    ("${X:Y}", "unsupported modifier (:Y) in substitution"), ("${PWD:=0}", "unsupported modifier (:=)"),
    ("${X?}", "X: is not allowed to be unset"), ("${NULL:?}", "NULL: is not allowed to be empty"),
    ("${X:?say this}", "X: say this"), ("${F:#a}", "unsupported modifier (:#)"),
    ("${F/a}", "syntax error: missing '/' in ${}"), ("${F/a/b", "syntax error: missing '}'"),
    ("${F#\\q}", "invalid pattern (\\q) in substitution: invalid escape '\\q'"),
]  # fmt: skip


@pytest.mark.parametrize(("word", "text"), GOOD)
def test_words_expand(word: str, text: str) -> None:
    assert expand(word, ENV).text == text


@pytest.mark.parametrize(("word", "message"), WRONG)
def test_wrong_words_say_why(word: str, message: str) -> None:
    with pytest.raises(Failed) as caught:
        expand(word, ENV)
    assert message in str(caught.value)


def test_a_backtick_may_be_the_escape_character() -> None:
    assert expand("c:\\dir`$PWD", ENV, escape="`").text == "c:\\dir$PWD"


def test_here_documents_know_no_quotes() -> None:
    assert expand("'$PWD' \"$PWD\" \\$PWD", ENV, quotes=False).text == "'/home' \"/home\" $PWD"


def test_unset_variables_may_stay() -> None:
    assert expand("$A ${B} ${C:-x} $PWD", ENV, keep_unset=True).text == "$A ${B} ${C:-x} /home"


def test_words_are_cut_where_no_quote_protects() -> None:
    assert expand("80 $S '9 9'", ENV).words == ("80", "x", "y", "z", "9 9")


def test_what_was_asked_for_is_known() -> None:
    found = expand("$PWD ${X:-$Y}", ENV)
    assert (found.matched, found.unmatched) == ({"PWD"}, {"X", "Y"})


PATTERN_TEXT = st.text("ab/.", max_size=12)
PATTERN = st.text("ab/.*?", max_size=6).map(lambda text: text.replace("/", "\\/"))


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(st.sampled_from(["#", "##", "%", "%%", "/", "//"]), PATTERN, PATTERN_TEXT), max_size=40
    )
)
def test_patterns_are_a_shells(cases: list[tuple[str, str, str]]) -> None:
    """bash is the oracle, on what both have: no classes, no empty pattern of a replacement."""
    cases = [case for case in cases if case[1] and not (case[0] == "/" and case[1].startswith("\\/"))]
    words = [f"${{V{sign}{pattern}{'/X' if '/' in sign else ''}}}" for sign, pattern, _ in cases]
    script = "".join(
        f"V={shlex.quote(value)}; printf '%s\\n' \"{word}\"\n"
        for word, (_, _, value) in zip(words, cases, strict=True)
    )
    said = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True).stdout.split(
        "\n"
    )
    for word, (_, _, value), expected in zip(words, cases, said, strict=False):
        assert expand(word, {"V": value}).text == expected, (word, value)


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")))
def test_a_quoted_text_is_itself(text: str) -> None:
    assert expand(shlex.quote(text), {}).text == text


@given(st.lists(st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1), max_size=5))
def test_quoted_words_are_words(words: list[str]) -> None:
    assert list(expand(" ".join(map(shlex.quote, words)), {}).words) == words


@given(st.text("${}ab:-+?#%/\\'\"<* \n"))
def test_any_word_ends_in_a_text_or_a_reason(word: str) -> None:
    try:
        expand(word, {"a": "x/y", "b": ""})
    except Failed as error:
        assert str(error)


def test_an_argument_bomb_is_an_error() -> None:
    value = "x" * 64
    with pytest.raises(Failed, match="expands to more than"):
        for _ in range(40):
            value = expand("$A$A", {"A": value}).text


def test_all_words_of_a_build_have_one_budget() -> None:
    budget = Budget(1000)
    with pytest.raises(Failed, match="too many characters"):
        for _ in range(100):
            expand("$A", {"A": "x" * 100}, budget=budget)


def test_deep_nesting_is_an_error() -> None:
    with pytest.raises(Failed, match="nested more than"):
        expand("${a:-" * 5000 + "}" * 5000, {})


@pytest.mark.parametrize(
    "word", ["${A//*a*a*a*a*b/x}", "${A##*a*a*a*a*b}", "${A%%b*a*a*a*a*}", "${A//a?*b/}"]
)
def test_patterns_do_not_backtrack(word: str) -> None:
    """Each of them takes a minute and more with a backtracking matcher; the bound is generous for a busy
    machine.
    """
    began = time.process_time()
    expand(word, {"A": "a" * 200_000})
    assert time.process_time() - began < 5
