"""Every answer of the running daemon is as the facts of the API say; statuses are dockerd's."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from onggi.server.description import facts
from tests import engines
from tests.conformance.api import validator
from tests.conformance.api.walk import Exchange, walk

pytestmark = pytest.mark.root

# Statuses that are not dockerd 20.10's, on purpose: today's dockerd says the same, or dockerd faults itself.
OTHERWISE = {
    "/system/df?type=nope": "since 1.42 dockerd checks the types",
    "/containers/json?filters={": "dockerd calls it a fault of its own",
    "/images/json?filters={": "dockerd calls it a fault of its own",
    "/containers/ONE/logs?stdout=1&since=x": "dockerd calls it a fault of its own",
    "/events?since=x&until=NOW": "dockerd calls it a fault of its own",
    "/events?until=NOW&filters={%22nope%22:[%22x%22]}": "dockerd 20.10 does not check these filters",
    "/images/get": "dockerd saves nothing as an empty archive",
    "/services/x/logs": "dockerd looks at the streams first",
    "/tasks/x/logs": "dockerd looks at the streams first",
    "/v1.23/info": "today's dockerd begins with 1.24",
    "/exec/EXEC/resize?h=1&w=1": "dockerd forgets the process before the instance",
    "/containers/ONE/exec": "detach keys that are wrong are the client's fault",
    "/containers/ONE/unpause": "a conflict, as pausing twice is",
    "/containers/two/restart?t=x": "dockerd calls it a fault of its own",
    "/containers/two/resize?h=x&w=10": "dockerd calls it a fault of its own",
    "/containers/two/wait?condition=x": "since 1.42 dockerd checks the condition",
    "/images/BUSYBOX/tag?repo=WALKED": "dockerd calls it a fault of its own",
    "/images/load": "dockerd 20.10 tells it in the stream",
    "/plugins/nope/enable": "dockerd calls it a fault of its own",
}


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Exchange]]:
    with engines.onggi(tmp_path_factory.mktemp("walk")) as engine:
        yield list(walk(engine))


def test_every_answer_is_as_described(walked: list[Exchange]) -> None:
    newest = [e for e in walked if not e.target.startswith(("/v1", "/v9"))]
    assert len(newest) > 100
    found = [fault for e in newest for fault in validator.faults(e.method, e.target, e.status, e.body)]
    assert not found, "\n".join(found)


def test_a_wrong_answer_is_noticed() -> None:
    good = json.dumps({"Id": "x", "Warnings": []}).encode()
    assert not validator.faults("POST", "/v1.55/containers/create", 201, good)
    for status, body in (
        (201, b"{}"),
        (201, b'{"Id":1,"Warnings":[]}'),
        (202, good),
        (404, b'{"error":"x"}'),
    ):
        assert validator.faults("POST", "/containers/create", status, body), (status, body)


def test_statuses_are_dockerds() -> None:
    """The version is one that both speak. Directories are short: containerd's socket is deep below them."""
    if not shutil.which("dockerd", path="/usr/sbin"):
        pytest.skip("needs dockerd (Debian: docker.io)")
    directory = Path(tempfile.mkdtemp(prefix="walk"))
    try:
        with engines.dockerd(directory) as theirs:
            expected = list(walk(theirs, "/v1.41"))
        with engines.onggi(directory) as ours:
            got = list(walk(ours, "/v1.41"))
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    assert len(expected) == len(got)
    differences = [
        f"{e.method} {e.pattern}: {e.status} {e.message} / {g.status} {g.message}"
        for e, g in zip(expected, got, strict=True)
        if e.status != g.status and e.pattern not in OTHERWISE
    ]
    assert not differences, "\n".join(differences)


def test_the_description_is_served_and_whole(onggi: engines.Engine) -> None:
    described = onggi.api("GET", "/openapi.json")
    operations = [(m.upper(), path) for path, methods in described["paths"].items() for m in methods]
    known = facts.load().operations
    assert len(operations) > 100
    assert not [operation for operation in operations if operation not in known]
    text = json.dumps(described)
    for name in described["components"]["schemas"]:
        assert f'"{name}"' in text
    create = described["paths"]["/containers/create"]["post"]
    assert {"name", "platform"} <= {parameter["name"] for parameter in create["parameters"]}
    assert "201" in create["responses"]
