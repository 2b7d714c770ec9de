"""Filters with wrong names and values on a real dockerd and on ours; and which events filters let through.

dockerd 20.10 decides, at API 1.41. Words are compared where dockerd has its own; of what Go's JSON package or its
number parser says, and where later dockerds say it otherwise, only that it is refused.
"""

# ruff: noqa: E501 (tables of cases)
from __future__ import annotations

import json
import time
import urllib.parse
from collections.abc import Iterator
from typing import Any

import pytest

from tests import engines
from tests.conformance.api.test_same_answers import fill, said
from tests.engines import Engine

pytestmark = [pytest.mark.root, pytest.mark.peer]

LISTS = ("/containers/json?all=1&", "/images/json?", "/volumes?", "/networks?", "/events?since=1&until=2&")
MALFORMED = (
    "{", "[]", "null", "1", '"x"', '{"a":1}', '{"label":"x"}', '{"label":["a",1]}', '{"label":{"a":1}}', '{"label":{"a":null}}',
    '{"label":null}', '{"label":[null]}', " ", "{}x", "\0", '{"label":{"a":true},"name":["b"]}', '{"":["x"]}', '{"label":[]}',
    '{"label":{}}', '{"zz":[]}', '{"zz":{}}', '{"LABEL":["a"]}',
)  # fmt: skip
VALUES = {
    "/containers/json?all=1&": (
        '{"id":[""]}', '{"name":[""]}', '{"name":["("]}', '{"name":["(?i)CALPHA"]}', '{"name":["calpha(?=b)"]}', '{"name":["^.alpha"]}',
        '{"name":["a{2"]}', '{"name":["calpha","zz"]}', '{"name":{"calpha":false}}', '{"name":["^/calpha$"]}', '{"name":["^/calpha$|beta"]}',
        '{"status":["Exited"]}', '{"status":[""]}', '{"status":["dead","removing","restarting","paused"]}', '{"health":["zz"]}',
        '{"exited":["x"]}', '{"exited":["-1"]}', '{"exited":["+3"]}', '{"exited":["0x3"]}', '{"exited":[" 3"]}', '{"publish":["x"]}',
        '{"publish":["80-"]}', '{"publish":["80/zz"]}', '{"publish":["0"]}', '{"publish":["99999"]}', '{"expose":["90-80"]}',
        '{"expose":["80/tcp"]}', '{"expose":[""]}', '{"network":["no"]}', '{"network":[""]}', '{"volume":[""]}', '{"volume":["alph"]}',
        '{"ancestor":[""]}', '{"ancestor":["a b"]}', '{"is-task":[""]}', '{"isolation":["x"]}', '{"label":["a=1","a=2"]}',
        '{"label":[""]}', '{"label":["=x"]}',
    ),
    "/images/json?": (
        '{"dangling":["TRUE"]}', '{"dangling":["t"]}', '{"dangling":[""]}', '{"reference":["["]}', '{"reference":["[^a]*"]}',
        '{"reference":["b?sybox"]}', '{"reference":["b[a-z]sybox"]}', '{"reference":["b[!z]sybox"]}', '{"reference":["BUSYBOX"]}',
        '{"reference":["docker.io/library/busybox"]}', '{"reference":["busybox@sha256:*"]}', '{"reference":["\\\\\\\\busybox"]}',
        '{"reference":[""]}', '{"label":["im=age","zz"]}',
    ),
    "/volumes?": (
        '{"dangling":["TRUE"]}', '{"dangling":["yes"]}', '{"driver":[""]}', '{"name":["^alpha|beta$"]}', '{"name":["alpha\\\\\\\\b"]}',
        '{"name":[""]}', '{"name":["("]}',
    ),
    "/networks?": (
        '{"scope":[""]}', '{"scope":["local","swarm"]}', '{"type":[""]}', '{"type":["custom","zz"]}', '{"driver":[""]}', '{"name":["^net.*t$"]}',
        '{"id":["["]}', '{"dangling":["yes"]}', '{"dangling":["true","false"]}',
    ),
}  # fmt: skip
PRUNES = (
    '{"until":["x"]}', '{"until":[""]}', '{"until":["1e5"]}', '{"until":["99999999999999999999"]}', '{"dangling":["x"]}', "{",
    '{"label":"x"}', '{"zz":[]}', '{"name":["x"]}', '{"label":["zz"],"until":["-1h"]}', '{"label!":["zz"],"label":["zz"]}',
)  # fmt: skip
ONLY_REFUSED = ("exited", "expose", "reference", "dangling", "until", "99999")


def cases() -> Iterator[tuple[str, str]]:
    yield from (("GET", f"{path}filters={urllib.parse.quote(text)}") for path in LISTS for text in MALFORMED)
    for path, texts in VALUES.items():
        yield from (("GET", f"{path}filters={urllib.parse.quote(text)}") for text in texts)
    for noun in ("containers", "images", "volumes", "networks"):
        yield from (("POST", f"/{noun}/prune?filters={urllib.parse.quote(text)}") for text in PRUNES)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Engine, Engine]]:
    tmp = tmp_path_factory.mktemp("filters")
    with engines.onggi(tmp) as ours, engines.dockerd(tmp) as real:
        for engine in (ours, real):
            engines.import_busybox(engine)
            fill(engine)
        yield ours, real
        for engine in (ours, real):
            engine.remove_all()
            for name in ("alpha", "alphabet", "beta"):
                engine.request("DELETE", f"/networks/net{name}")


@pytest.mark.parametrize(("method", "path"), list(cases()))
def test_same_filter(both: tuple[Engine, Engine], method: str, path: str) -> None:
    ours, real = (said(engine, method, path, None) for engine in both)
    if ours == real:
        return
    refused, text = json.loads(real)
    assert (refused, json.loads(ours)[0]) == (400, 400), (ours, real)
    by_go = "json:" in text or text.startswith(
        ("unexpected end", "error reading volume filters", "invalid character")
    )
    assert by_go or any(word in path for word in ONLY_REFUSED), (ours, real)


EVENTS: tuple[dict[str, Any], ...] = (
    {}, {"type": ["container"]}, {"type": ["zz"]}, {"type": ["volume", "network"]}, {"event": ["start"]}, {"event": ["exec_create"]},
    {"event": ["exec_start", "die"]}, {"event": ["exec_create: true"]}, {"event": ["exec"]}, {"event": ["star"]}, {"container": ["evcon"]},
    {"container": ["evc"]}, {"container": ["zz"]}, {"volume": ["evvol"]}, {"network": ["evnet"]}, {"network": ["none"]},
    {"image": ["ev/img"]}, {"image": ["ev/img:1"]}, {"image": ["busybox"]}, {"image": ["ev"]}, {"label": ["k"]}, {"label": ["k=v"]},
    {"label": ["k=x"]}, {"label": ["k", "zz"]}, {"label": ["e="]}, {"scope": ["local"]}, {"scope": ["swarm"]}, {"daemon": ["x"]},
    {"plugin": ["x"]}, {"zz": ["1"]}, {"name": ["x"]}, {"type": []}, {"container": [""]}, {"type": ["container"], "event": ["start"]},
    {"type": ["image"], "container": ["evcon"]}, {"node": ["x"]}, {"service": ["x"]}, {"secret": ["x"]}, {"config": ["x"]},
)  # fmt: skip


def play(engine: Engine) -> tuple[float, float]:
    """A life of each kind of object; the instants before and after it."""
    started = time.time()
    engine.api("POST", "/v1.41/volumes/create", {"Name": "evvol"})
    engine.api("POST", "/v1.41/networks/create", {"Name": "evnet"})
    engine.api("POST", "/v1.41/images/busybox:test/tag?repo=ev/img&tag=1")
    host = {"NetworkMode": "none", "Binds": ["evvol:/v"]}
    body = {"Image": "ev/img:1", "Cmd": ["sleep", "1000"], "Labels": {"k": "v", "e": ""}, "HostConfig": host}
    engine.api("POST", "/v1.41/containers/create?name=evcon", body)
    engine.api("POST", "/v1.41/containers/evcon/start")
    made = engine.api("POST", "/v1.41/containers/evcon/exec", {"Cmd": ["true"]})["Id"]
    engine.api("POST", f"/v1.41/exec/{made}/start", {"Detach": True})
    engines.until(lambda: engine.api("GET", f"/exec/{made}/json")["ExitCode"] == 0)
    engine.api("DELETE", "/v1.41/containers/evcon?force=1")
    for path in ("/volumes/evvol", "/networks/evnet", "/images/ev/img:1"):
        engine.api("DELETE", f"/v1.41{path}")
    return started, time.time()


@pytest.fixture(scope="module")
def lives(both: tuple[Engine, Engine]) -> dict[str, tuple[float, float]]:
    return {engine.kind: play(engine) for engine in both}


def told(engine: Engine, between: tuple[float, float], wanted: dict[str, Any]) -> list[tuple[str, ...]]:
    """Each event's type, action and what is said of its object; in any order.

    An untagged image is called by its tag here and by its id by dockerd; and dockerd says twice that a volume was
    made that it had.
    """
    query = f"since={between[0]:.9f}&until={between[1]:.9f}&filters={urllib.parse.quote(json.dumps(wanted))}"
    text = engine.api("GET", f"/v1.41/events?{query}")
    lines = [text] if isinstance(text, dict) else map(json.loads, text.splitlines())
    ours = ("caller", "execDuration")
    return sorted(
        {
            (event["Type"], event["Action"], *sorted(set(event["Actor"]["Attributes"]) - set(ours)))
            for event in lines
            if event["Action"] != "untag"
        }
    )


@pytest.mark.parametrize("wanted", EVENTS, ids=json.dumps)
def test_same_events(
    both: tuple[Engine, Engine], lives: dict[str, tuple[float, float]], wanted: dict[str, Any]
) -> None:
    ours, real = (told(engine, lives[engine.kind], wanted) for engine in both)
    assert ours == real
    assert ours or wanted  # without a filter there is something
