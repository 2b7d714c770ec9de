"""Source policies: rules on identifiers, in BuildKit's order and words; patterns that cannot run for ever."""

from __future__ import annotations

import time
from typing import Any

import pytest

from onggi.builder.buildkit.messages import kind
from onggi.builder.buildkit.policies import ALLOW, CONVERT, DENY, EXACT, REGEX, WILDCARD, Policies, wildcard
from onggi.builder.patterns import TEXT_MAX, Pattern, Replacing
from onggi.errors import Forbidden, InvalidParameter

BUSYBOX = "docker-image://docker.io/library/busybox:latest"
ALPINE = "docker-image://docker.io/library/alpine:latest"


def rule(action: int, identifier: str, to: str = "", match: int = WILDCARD, **attributes: str) -> Any:
    found = kind("PolicyRule")(
        action=action, selector=kind("PolicySelector")(identifier=identifier, match_type=match)
    )
    if to or attributes:
        attrs = {name.replace("_", "."): value for name, value in attributes.items()}
        found.updates.CopyFrom(kind("PolicyUpdate")(identifier=to, attrs=attrs))
    return found


def policies(*rules: Any) -> Policies:
    return Policies([kind("SourcePolicy")(version=1, rules=rules)])


def test_the_last_of_allow_and_deny_wins() -> None:
    words = f'source "{BUSYBOX}" denied by policy: source denied by policy'
    with pytest.raises(Forbidden, match="source denied by policy") as caught:
        policies(rule(DENY, "*")).evaluate(BUSYBOX, {})
    assert caught.value.message == words
    with pytest.raises(Forbidden):
        policies(rule(ALLOW, BUSYBOX), rule(DENY, BUSYBOX)).evaluate(BUSYBOX, {})
    allowed = policies(rule(DENY, "*"), rule(ALLOW, "docker-image://docker.io/library/*"))
    assert allowed.evaluate(BUSYBOX, {}) == (BUSYBOX, {})
    with pytest.raises(Forbidden):
        allowed.evaluate("https://example.com/x", {})


def test_conversions_are_asked_again() -> None:
    chained = policies(
        rule(CONVERT, BUSYBOX, ALPINE), rule(CONVERT, ALPINE, "docker-image://docker.io/library/debian:12")
    )
    assert chained.evaluate(BUSYBOX, {})[0].endswith("debian:12")
    with pytest.raises(Forbidden, match="alpine"):
        policies(rule(CONVERT, BUSYBOX, ALPINE), rule(DENY, ALPINE)).evaluate(BUSYBOX, {})
    with pytest.raises(InvalidParameter, match="too many operations"):
        policies(rule(CONVERT, BUSYBOX, ALPINE), rule(CONVERT, ALPINE, BUSYBOX)).evaluate(BUSYBOX, {})


@pytest.mark.parametrize(
    ("match", "selector", "to", "wanted"),
    [
        (WILDCARD, "docker-image://docker.io/*:*", "docker-image://m/$1:${2}-a", "docker-image://m/library/busybox:latest-a"),
        (WILDCARD, "docker-image://*/busybox:*", "docker-image://$2/${1}$$", "docker-image://latest/docker.io/library$"),
        (EXACT, BUSYBOX, ALPINE, ALPINE),
        (REGEX, r"docker-image://docker\.io/(?:library/)?(.*):(.*)", "docker-image://m/$1:$2", "docker-image://m/busybox:latest"),
    ],
)  # fmt: skip
def test_formats(match: int, selector: str, to: str, wanted: str) -> None:
    # m/... would be converted without end by the second form: asked once
    assert policies(rule(CONVERT, selector, to, match))._once(BUSYBOX, {})[0] == wanted


def test_attributes() -> None:
    url = "https://example.com/f"
    found = policies(rule(CONVERT, url, http_checksum="sha256:12")).evaluate(url, {"http.filename": "f"})
    assert found == (url, {"http.filename": "f", "http.checksum": "sha256:12"})
    wanted = rule(DENY, "*")
    wanted.selector.constraints.add(key="http.checksum", value="", condition=0)
    with pytest.raises(Forbidden):
        policies(wanted).evaluate(url, {})
    assert policies(wanted).evaluate(url, {"http.checksum": "sha256:12"})[0] == url
    wanted.selector.constraints[0].condition = 2
    wanted.selector.constraints[0].value = "^sha1"
    with pytest.raises(Forbidden):
        policies(wanted).evaluate(url, {"http.checksum": "sha1:12"})


def test_wildcards_take_time_linear_in_the_text() -> None:
    assert wildcard("a*c*e", "abcde") == ["b", "d"] and wildcard("a*a", "a") is None
    assert wildcard("*x*", "axbxc") == ["axb", "c"]  # the first as much as it can
    assert wildcard("same", "same") == [] and wildcard("", "") == []
    began = time.process_time()
    assert wildcard("*a" * 200 + "b", "a" * 100_000) is None
    assert time.process_time() - began < 1


@pytest.mark.parametrize(
    "text",
    ["(a+)+$", "(a|aa)*b", "a?" * 30 + "a" * 30, ".*" * 5, "a{0,9}" * 9, r"(a)\1", "(?=a)b", "(", "x" * 600],
)
def test_patterns_that_could_run_for_ever_are_refused(text: str) -> None:
    with pytest.raises(InvalidParameter, match="invalid regex"):
        Replacing(text)


def test_the_worst_pattern_that_is_taken_ends() -> None:
    began = time.process_time()
    assert Replacing("a*a*a*b").replace("a" * TEXT_MAX, "x") == "a" * TEXT_MAX
    assert not Pattern("(a|aa)*b").search("a" * 100_000)
    assert time.process_time() - began < 5
    with pytest.raises(InvalidParameter, match="more than"):
        Replacing("a").replace("a" * (TEXT_MAX + 1), "")
    assert Replacing(r"[*+?{}()]+x\*\(").search("((x*(") and Replacing("^https?://").search("http://x")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (kind("PolicyRule")(action=DENY), "invalid nil selector"),
        (rule(7, "*"), "unknown type"),
        (rule(DENY, "*", match=9), "unknown match type"),
        (rule(DENY, "a**"), 'invalid wildcard: "\\*\\*"'),
        (rule(CONVERT, "*"), "missing destination"),
    ],
)
def test_wrong_rules(wrong: Any, said: str) -> None:
    with pytest.raises(InvalidParameter, match=said):
        policies(wrong)
    with pytest.raises(InvalidParameter, match="more than"):
        policies(*[rule(DENY, "*")] * 1001)
