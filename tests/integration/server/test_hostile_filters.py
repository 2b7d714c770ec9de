"""Filters that mean harm: whatever a client asks to be searched for, others are answered meanwhile."""

# ruff: noqa: E501 (tables of cases)
from __future__ import annotations

import json
import threading
import time
import urllib.parse
from collections.abc import Iterator

import pytest

from tests import engines
from tests.engines import BUSYBOX, Engine

pytestmark = pytest.mark.root
CONTAINERS = 40
MOST_S = 10  # a ping on a busy machine; an expression that stalls does so for minutes
HOSTILE = {
    "nested": "(a+)+$",
    "alternatives": "(a|a)*$",
    "stars": "(.*.*.*.*.*.*)*x",
    "lookback": "(a|b)*a(a|b){500}",
    "deep": "(" * 99 + "a" + ")*" * 99 + "!",
    "copies": "((a{30}){30}){30}",
}


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """With forty containers, volumes and networks whose names a bad expression takes long to refuse."""
    with engines.onggi(tmp_path_factory.mktemp("filters")) as found:
        engines.import_busybox(found)
        for number in range(CONTAINERS):
            name = "a" * 40 + "b" * 20 + str(number)
            body = {"Image": BUSYBOX, "HostConfig": {"NetworkMode": "none"}}
            found.api("POST", f"/containers/create?name={name}", body)
            found.api("POST", "/volumes/create", {"Name": name})
        found.api("POST", f"/images/{BUSYBOX}/tag?repo={'a' * 60}&tag=b")
        yield found


def _longest_ping(engine: Engine, path: str) -> tuple[int, float]:
    """The status of a request, and the longest time that a ping took meanwhile."""
    done = threading.Event()
    status: list[int] = []

    def ask() -> None:
        status.append(engine.request("GET", path, timeout=60)[0])
        done.set()

    asking = threading.Thread(target=ask)
    asking.start()
    longest = 0.0
    while not done.is_set():
        started = time.monotonic()
        assert engine.request("GET", "/_ping")[0] == 200
        longest = max(longest, time.monotonic() - started)
    asking.join()
    return status[0], longest


@pytest.mark.parametrize("path", ["/containers/json?all=1", "/volumes?x=", "/networks?x=", "/images/json?x="])
@pytest.mark.parametrize("pattern", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_filter_does_not_stall_others(engine: Engine, path: str, pattern: str) -> None:
    name, value = ("reference", "*a" * 300 + "!") if "images" in path else ("name", pattern)
    wanted = urllib.parse.quote(json.dumps({name: [value]}))
    status, longest = _longest_ping(engine, f"{path}&filters={wanted}")
    assert status in (200, 400)
    assert longest < MOST_S, f"a ping took {longest:.1f} s"


def test_many_hostile_values(engine: Engine) -> None:
    wanted = urllib.parse.quote(json.dumps({"name": [f"(a|b)*{n}(a|b){{9}}$" for n in range(2000)]}))
    status, longest = _longest_ping(engine, f"/containers/json?all=1&filters={wanted}")
    assert (status, longest < MOST_S) == (400, True)


@pytest.mark.parametrize(
    "path",
    [
        "/events?since=N", "/events?until=N", "/containers/json?limit=N", "/containers/x/logs?stdout=1&since=N",
        "/containers/json?filters={\"exited\":[\"N\"]}", "/containers/json?filters={\"publish\":[\"N\"]}",
        "/images/json?filters={\"until\":[\"Nh\"]}", "/images/prune?dry-run=1&filters={\"keep\":[\"N\"],\"dangling\":[\"0\"]}",
        "/images/prune?dry-run=1&filters={\"unused-for\":[\"Nd\"]}", "/containers/prune?dry-run=1&filters={\"until\":[\"N\"]}",
    ],
)  # fmt: skip
@pytest.mark.parametrize("digits", [19, 400, 5000])
def test_long_numbers(engine: Engine, path: str, digits: int) -> None:
    """Python refuses texts of more than 4300 digits in a way of its own, and floats end."""
    target = urllib.parse.quote(path.replace("N", "9" * digits), safe="/?=&")
    status, answer = engine.request("POST" if "prune" in path else "GET", target, timeout=60)
    assert status in (400, 404), (status, answer[:200])
