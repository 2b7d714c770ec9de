"""schemathesis over the read-only operations of the description that the engine serves.

Each operation gets generated requests, right ones and wrong ones, half of them of objects that exist; every
answer must be as described, none may be a fault of the engine, and afterwards no descriptor is left open.
A few seconds as it stands; `make fuzz` sends 150 requests to each operation.
"""

from __future__ import annotations

import contextlib
import gc
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import schemathesis
from docker.transport import UnixHTTPAdapter
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.generation import GenerationMode

from onggi.server.operations import TABLE
from tests import engines
from tests.conformance.api import validator
from tests.engines import BUSYBOX, Engine

pytestmark = [
    pytest.mark.root,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # docker's adapter closes late
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.timeout(1200),
]

FUZZ = os.environ.get("HYPOTHESIS_PROFILE") == "fuzz"
LIMITS = settings(
    max_examples=150 if FUZZ else 12,
    deadline=None,
    database=None,
    derandomize=not FUZZ,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)
READS = sorted({(method, path) for method, path, _ in TABLE if method in ("GET", "HEAD")})
# What would not end by itself, or needs an upgrade: one parameter bounds it.
BOUNDED: dict[str, dict[str, str]] = {
    "/events": {"until": "1"},
    "/containers/{id}/stats": {"stream": "false", "one-shot": "true"},
    "/containers/{id}/logs": {"follow": "false"},
}
# Not done here; no swarm, or offline.
NO_FAULT = frozenset({501, 503})


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with engines.onggi(tmp_path_factory.mktemp("generated"), "--offline") as found:
        engines.import_busybox(found)
        found.docker(
            "run", "-d", "--name", "one", "--network", "none", "-v", "vol:/v", BUSYBOX, "sleep", "9999"
        )
        found.docker("network", "create", "net")
        yield found
        gc.collect()  # what an adapter left open is told of here, where it is expected


@pytest.fixture(scope="module")
def served(engine: Engine) -> Any:
    return schemathesis.openapi.from_dict(engine.api("GET", "/openapi.json"))


@pytest.fixture(scope="module")
def session(engine: Engine) -> Iterator[requests.Session]:
    with requests.Session() as found:
        found.mount("http://engine", UnixHTTPAdapter(f"http+unix://{engine.socket}", timeout=20))
        yield found


@pytest.fixture(scope="module")
def known(engine: Engine) -> dict[str, list[str]]:
    """Names that exist, by the first segment of the path."""
    exec_id = engine.api("POST", "/containers/one/exec", {"Cmd": ["true"]})["Id"]
    engine.api("POST", f"/exec/{exec_id}/start", {"Detach": True})
    engines.until(lambda: engine.api("GET", f"/exec/{exec_id}/json")["ExitCode"] == 0)
    return {
        "containers": ["one", engine.api("GET", "/containers/json")[0]["Id"]],
        "exec": [exec_id],
        "images": [BUSYBOX, engine.api("GET", "/images/json")[0]["Id"]],
        "networks": ["net", "none"],
        "volumes": ["vol"],
    }


def _sent(case: Any, path: str, names: list[str], draw: Any) -> None:
    """Bound a generated case, and let half of them ask for what is there."""
    if path in BOUNDED:
        case.query = {**(case.query if isinstance(case.query, dict) else {}), **BOUNDED[path]}
    for parameter in ("id", "name"):
        if f"{{{parameter}}}" in path and names and draw(st.booleans()):
            case.path_parameters = {**(case.path_parameters or {}), parameter: draw(st.sampled_from(names))}


@pytest.mark.parametrize(("method", "path"), READS, ids=[f"{method} {path}" for method, path in READS])
def test_reads(
    engine: Engine,
    served: Any,
    session: requests.Session,
    known: dict[str, list[str]],
    method: str,
    path: str,
) -> None:
    operation = served[path][method]
    names = known.get(path.split("/")[1], [])
    modes = st.one_of(*(operation.as_strategy(generation_mode=mode) for mode in GenerationMode))

    @LIMITS
    @given(case=modes, data=st.data())
    def one(case: Any, data: Any) -> None:
        _sent(case, path, names, data.draw)
        arguments = case.as_transport_kwargs(base_url="http://engine")
        with session.request(**arguments, stream=True, timeout=20, allow_redirects=False) as answer:
            body = (
                answer.content
                if answer.headers.get("Content-Type", "").startswith("application/json")
                else b""
            )
            _check(engine, method, answer, body)

    one()


def _check(engine: Engine, method: str, answer: requests.Response, body: bytes) -> None:
    target = answer.request.path_url
    assert answer.status_code < 500 or answer.status_code in NO_FAULT, (target, body, engine.log[-3000:])
    if body and answer.status_code not in NO_FAULT:
        assert not validator.faults(method, target, answer.status_code, body), target


def test_nothing_is_left_open(engine: Engine, session: requests.Session) -> None:
    """Run last in this file: after all of it the daemon has as many descriptors as an idle one."""
    session.close()
    assert engine.process is not None
    held = Path(f"/proc/{engine.process.pid}/fd")
    deadline = time.monotonic() + 20
    while len(list(held.iterdir())) > 60 and time.monotonic() < deadline:
        time.sleep(0.1)
    found = []
    for entry in held.iterdir():
        with contextlib.suppress(FileNotFoundError):  # it was closed meanwhile
            found.append(os.readlink(entry))
    assert len(found) <= 60, found
    assert engine.answers()
