"""Filters, parameters and refusals on a real dockerd and on ours: the same status, names and words.

dockerd 20.10 decides, at API 1.41. Where it answers 500 for what is the client's fault, later dockerds and we say
400: these two count as one, as do capital letters, which later ones dropped. What is left out differs on purpose, or
in later versions.
"""

# ruff: noqa: E501 (tables of cases)
from __future__ import annotations

import json
import re
import urllib.parse
from collections.abc import Iterator
from typing import Any

import pytest

from tests import engines
from tests.engines import BUSYBOX, Engine

pytestmark = [pytest.mark.root, pytest.mark.peer]

VOLUMES: list[dict[str, Any]] = [
    {}, {"name": ["alpha"]}, {"name": ["^alpha$"]}, {"name": ["pha"]}, {"name": ["a.*t"]}, {"label": ["a"]}, {"label": ["a=1"]},
    {"label": ["a", "b"]}, {"label": ["zz"]}, {"driver": ["local"]}, {"driver": ["loc"]}, {"dangling": ["true"]},
    {"dangling": ["false"]}, {"dangling": ["0"]}, {"dangling": ["x"]}, {"zz": ["1"]}, {"name": []}, {"label": {"a": True}},
    {"label": {"a": False}},
]  # fmt: skip
NETWORKS: list[dict[str, Any]] = [
    {}, {"name": ["netalpha"]}, {"name": ["^netalpha$"]}, {"name": ["alpha"]}, {"name": ["a.*t"]}, {"label": ["a"]},
    {"label": ["a=2"]}, {"driver": ["bridge"]}, {"driver": ["br"]}, {"driver": ["null"]}, {"scope": ["local"]},
    {"scope": ["swarm"]}, {"scope": ["zz"]}, {"type": ["custom"]}, {"type": ["builtin"]}, {"type": ["zz"]},
    {"type": ["custom", "builtin"]}, {"dangling": ["true"]}, {"dangling": ["false"]}, {"zz": ["1"]}, {"id": ["zz"]},
]  # fmt: skip
CONTAINERS: list[dict[str, Any]] = [
    {}, {"name": ["calpha"]}, {"name": ["^/?calpha$"]}, {"name": ["/calpha"]}, {"name": ["^calpha"]}, {"name": ["pha"]},
    {"name": ["c.*t"]}, {"name": ["["]}, {"label": ["a"]}, {"label": ["a=2"]}, {"label": ["a", "b"]}, {"status": ["exited"]},
    {"status": ["created", "running"]}, {"status": ["zz"]}, {"exited": ["3"]}, {"exited": ["0"]}, {"health": ["none"]},
    {"health": ["starting"]}, {"before": ["calphabet"]}, {"since": ["calphabet"]}, {"volume": ["alpha"]}, {"volume": ["/data"]},
    {"volume": ["zz"]}, {"network": ["none"]}, {"network": ["host"]}, {"network": ["zz"]}, {"ancestor": ["busybox:test"]},
    {"ancestor": ["busybox"]}, {"ancestor": ["zz"]}, {"ancestor": ["other/name:1"]}, {"publish": ["80"]}, {"is-task": ["true"]},
    {"is-task": ["false"]}, {"is-task": ["x"]}, {"isolation": ["default"]}, {"isolation": ["process"]}, {"id": ["zz"]},
    {"zz": ["1"]}, {"task": ["x"]},
]  # fmt: skip
IMAGES: list[dict[str, Any]] = [
    {}, {"reference": ["busybox"]}, {"reference": ["busybox:*"]}, {"reference": ["other/*"]}, {"reference": ["*/*"]},
    {"reference": ["*"]}, {"reference": ["busybox:test"]}, {"reference": ["zz"]}, {"dangling": ["true"]}, {"dangling": ["false"]},
    {"dangling": ["x"]}, {"label": ["im"]}, {"label": ["im=age"]}, {"label": ["im=x"]}, {"before": ["made:x"]},
    {"since": ["busybox:test"]}, {"before": ["zz"]}, {"since": ["zz"]}, {"zz": ["1"]},
]  # fmt: skip
GETS = [
    "/containers/json", "/containers/json?limit=1", "/containers/json?limit=0", "/containers/json?limit=-1",
    "/containers/json?limit=x", "/containers/json?size=1", "/containers/json?all=0", "/containers/json?filters={}",
    "/containers/json?filters=null", "/images/json?all=1", "/images/json?digests=1", "/events?since=1&until=2",
    "/events?since=2&until=1", "/events?since=1&until=2&filters=%7B%22type%22:[%22zz%22]%7D", "/containers/zz/json", "/containers/zz/top",
    "/containers/calphabet/top?ps_args=aux", "/containers/zz/logs", "/containers/calpha/logs",
    "/containers/calpha/logs?stdout=1&tail=x", "/containers/zz/stats", "/containers/calpha/stats?stream=0",
    "/containers/zz/changes", "/containers/zz/export", "/containers/calpha/archive?path=/nope", "/containers/zz/archive?path=/",
    "/exec/zz/json", "/images/zz/history", "/volumes/zz", "/networks/zz", "/networks/host?verbose=x", "/networks/host?scope=zz",
    "/swarm", "/nodes", "/services", "/tasks", "/plugins", "/plugins/zz/json", "/nope", "/info/", "/_ping", "/version/x",
    "/containers/json/", "//containers/json", "/containers//json", "/containers/../images/json", "/containers/./json/?a=b",
]  # fmt: skip
HOSTS: list[dict[str, Any]] = [
    {"NetworkMode": "zz"}, {"Memory": 1}, {"NanoCpus": 10**15}, {"CapAdd": ["zz"]}, {"Isolation": "zz"}, {"ShmSize": -1},
    {"OomScoreAdj": 2000}, {"PortBindings": {"80/tcp": [{"HostPort": "x"}]}}, {"Links": ["zz"]}, {"StorageOpt": {"zz": "1"}},
    {"SecurityOpt": ["zz"]}, {"Binds": ["x"]}, {"AutoRemove": True, "RestartPolicy": {"Name": "always"}},
]  # fmt: skip
CONFIGS: list[dict[str, Any]] = [
    {"WorkingDir": "x"}, {"StopSignal": "zz"}, {"Healthcheck": {"Test": ["CMD", "x"], "Interval": 5}}, {"Env": ["=x"]},
    {"ExposedPorts": {"x": {}}},
]  # fmt: skip
POSTS: list[tuple[str, object]] = [
    ("/containers/create", {"Image": "zz"}), ("/containers/create?name=calpha", {"Image": BUSYBOX}),
    ("/containers/create?name=a/b", {"Image": BUSYBOX}),
    *(("/containers/create", {"Image": BUSYBOX, "HostConfig": host}) for host in HOSTS),
    *(("/containers/create", {"Image": BUSYBOX, **config}) for config in CONFIGS),
    ("/containers/zz/start", None), ("/containers/calphabet/start", None), ("/containers/cbeta/start?checkpoint=x", None),
    ("/containers/zz/stop", None), ("/containers/calpha/stop", None), ("/containers/calphabet/stop?t=x", None),
    ("/containers/calphabet/kill?signal=zz", None), ("/containers/calphabet/kill?signal=0", None),
    ("/containers/calpha/pause", None), ("/containers/zz/restart", None), ("/containers/calpha/rename?name=calpha", None),
    ("/containers/calpha/rename", None), ("/containers/calpha/resize?h=x&w=1", None), ("/containers/zz/wait", None),
    ("/containers/calphabet/exec", {}), ("/containers/zz/exec", {"Cmd": ["x"]}), ("/exec/zz/start", {}),
    ("/exec/zz/resize?h=1&w=1", None), ("/containers/calphabet/update", {"Memory": 1}), ("/containers/zz/update", {}),
    ("/commit?container=zz", None), ("/commit?container=calpha&changes=ZZ", {}), ("/images/zz/tag?repo=x", None),
    ("/images/busybox:test/tag", None), ("/images/busybox:test/tag?repo=x&tag=a/b", None), ("/volumes/create", {"Name": "a/b"}),
    ("/volumes/create", {"Driver": "zz"}), ("/networks/create", {"Name": "host"}), ("/networks/none/connect", {"Container": "zz"}),
    *((f"/{noun}/prune?filters=%7B%22zz%22:[%221%22]%7D", None) for noun in ("containers", "images", "volumes", "networks")),
    ("/images/prune?filters=%7B%22dangling%22:[%22x%22]%7D", None), ("/images/prune?filters=%7B%22until%22:[%221%22,%222%22]%7D", None),
    ("/containers/prune?filters=%7B%22until%22:[%221%22,%222%22]%7D", None), ("/networks/prune?filters=%7B%22until%22:[%221%22,%222%22]%7D", None),
    ("/build?version=9", None),
]  # fmt: skip
DELETES = [
    "/containers/zz", "/containers/zz?force=1", "/images/zz", "/images/busybox:test?force=0", "/volumes/zz", "/volumes/zz?force=1",
    "/volumes/alpha", "/networks/zz", "/networks/host",
]  # fmt: skip


def cases() -> Iterator[tuple[str, str, object]]:
    for path, wanted in (
        ("/volumes?", VOLUMES),
        ("/networks?", NETWORKS),
        ("/containers/json?all=1&", CONTAINERS),
        ("/images/json?", IMAGES),
    ):
        for filters in wanted:
            yield "GET", f"{path}filters={urllib.parse.quote(json.dumps(filters))}", None
    yield from (("GET", path, None) for path in GETS)
    yield from (("POST", path, body) for path, body in POSTS)
    yield from (("DELETE", path, None) for path in DELETES)


def fill(engine: Engine) -> None:
    """The same objects on each, and nothing else of such names."""
    for name, labels in (("alpha", {"a": "1"}), ("alphabet", {"a": "2", "b": ""}), ("beta", {})):
        engine.api("POST", "/v1.41/volumes/create", {"Name": name, "Labels": labels})
        engine.api("POST", "/v1.41/networks/create", {"Name": f"net{name}", "Labels": labels})
    create(engine, "calpha", ["sh", "-c", "exit 3"], {"NetworkMode": "host"}, Labels={"a": "1"})
    engine.api("POST", "/v1.41/containers/calpha/start")
    engine.api("POST", "/v1.41/containers/calpha/wait")
    labels = {"a": "2", "b": ""}
    create(
        engine,
        "calphabet",
        ["sleep", "1000"],
        {"Binds": ["alpha:/data"], "NetworkMode": "none"},
        Labels=labels,
    )
    engine.api("POST", "/v1.41/containers/calphabet/start")
    health = {"Test": ["CMD", "true"], "Interval": 3600 * 10**9}
    create(engine, "cbeta", ["sleep", "1000"], {"NetworkMode": "host"}, Healthcheck=health)
    engine.api("POST", "/v1.41/images/busybox:test/tag?repo=other/name&tag=1")
    engine.api("POST", "/v1.41/commit?container=calpha&repo=made&tag=x", {"Labels": {"im": "age"}})


def create(engine: Engine, name: str, command: list[str], host: dict[str, object], **more: object) -> None:
    body = {"Image": BUSYBOX, "Cmd": command, "HostConfig": host, **more}
    engine.api("POST", f"/v1.41/containers/create?name={name}", body)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Engine, Engine]]:
    tmp = tmp_path_factory.mktemp("answers")
    with engines.onggi(tmp) as ours, engines.dockerd(tmp) as real:
        for engine in (ours, real):
            engines.import_busybox(engine)
            fill(engine)
        yield ours, real
        for engine in (ours, real):  # a dockerd that ends leaves the bridges of its networks on the host
            engine.remove_all()
            for name in ("alpha", "alphabet", "beta"):
                engine.api("DELETE", f"/networks/net{name}")


def said(engine: Engine, method: str, path: str, body: object) -> str:
    """Status and what matters of the answer, with ids made equal."""
    status, text = engine.request(method, f"/v1.41{path}", body, timeout=30)
    try:
        answer = shown(json.loads(text))
    except ValueError:
        answer = text.decode(errors="replace") if status >= 400 else bool(text)
    words = json.dumps([400 if status == 500 else status, answer]).lower()
    return re.sub(r"[0-9a-f]{64}|[0-9a-f]{12}", "id", words)


def shown(answer: Any) -> Any:
    """Names of a list, keys of an object, the words of an error."""
    if isinstance(answer, dict):
        if "Volumes" in answer:
            return sorted(one["Name"] for one in answer["Volumes"] or [])
        return answer["message"] if set(answer) == {"message"} else sorted(answer)
    if isinstance(answer, list) and answer and isinstance(answer[0], dict):
        if "Names" in answer[0]:
            return [one["Names"] for one in answer]
        if "RepoTags" in answer[0]:
            return sorted(str(one["RepoTags"]) for one in answer)
        if "Name" not in answer[0]:
            return sorted({key for one in answer for key in one})
        if "Name" not in answer[0]:
            return sorted({key for one in answer for key in one})
        return sorted(one["Name"] for one in answer if one["Name"] != "bridge")  # the peer has none
    return answer


@pytest.mark.parametrize(("method", "path", "body"), list(cases()))
def test_same_answer(both: tuple[Engine, Engine], method: str, path: str, body: object) -> None:
    ours, real = both
    assert said(ours, method, path, body) == said(real, method, path, body)
