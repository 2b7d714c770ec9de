"""A walk through the API: one request after the other, good ones and bad ones, on any engine.

`walk(engine)` yields each exchange; what is validated, or compared between engines, is the caller's business.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

from tests.engines import BUSYBOX, Engine, import_busybox

SLEEPER = "trap 'exit 3' TERM; echo out; echo err >&2; while :; do sleep 0.1; done"
CREATE = {
    "Image": BUSYBOX,
    "Cmd": ["sh", "-c", SLEEPER],
    "Labels": {"a": "b"},
    "Healthcheck": {"Test": ["CMD-SHELL", "true"], "Interval": 100_000_000},
    "HostConfig": {
        "Binds": ["walked:/data"],
        "Tmpfs": {"/t": "size=1m"},
        "Mounts": [{"Type": "tmpfs", "Target": "/t2", "TmpfsOptions": {"SizeBytes": 4096}}],
    },
}

# What only reads. ONE is the running container, EXEC a finished exec instance.
READS = [
    "/_ping",
    "/info",
    "/version",
    "/system/df",
    "/system/df?verbose=1",
    "/system/df?type=volume",
    "/system/df?type=nope",
    "/containers/json",
    "/containers/json?all=1",
    "/containers/json?all=1&size=1",
    "/containers/json?limit=1",
    "/containers/json?filters={",
    '/containers/json?filters={"nope":["x"]}',
    '/containers/json?filters={"status":["x"]}',
    "/containers/ONE/json",
    "/containers/ONE/json?size=1",
    "/containers/nope/json",
    "/containers/ONE/top",
    "/containers/ONE/top?ps_args=-o+pid,comm",
    "/containers/nope/top",
    "/containers/ONE/logs",
    "/containers/ONE/logs?stdout=1&stderr=1",
    "/containers/ONE/logs?stdout=1&tail=x",
    "/containers/nope/logs?stdout=1",
    "/containers/ONE/logs?stdout=1&since=x",
    "/containers/ONE/stats?stream=0",
    "/containers/ONE/stats?stream=0&one-shot=1",
    "/containers/nope/stats",
    "/containers/ONE/changes",
    "/containers/nope/changes",
    "/containers/nope/export",
    "/containers/ONE/archive?path=/etc/passwd",
    "/containers/ONE/archive?path=/nope",
    "/containers/ONE/archive",
    "/containers/nope/archive?path=/",
    "/containers/ONE/attach/ws",
    "/exec/EXEC/json",
    "/exec/nope/json",
    "/images/json",
    "/images/json?all=1",
    "/images/json?filters={",
    '/images/json?filters={"nope":["x"]}',
    '/images/json?filters={"dangling":["x"]}',
    "/images/BUSYBOX/json",
    "/images/nope/json",
    "/images/BUSYBOX/history",
    "/images/nope/history",
    "/images/nope/get",
    "/images/get",
    "/volumes",
    "/volumes/walked",
    "/volumes/nope",
    '/volumes?filters={"nope":["x"]}',
    "/networks",
    "/networks/none",
    "/networks/nope",
    '/networks?filters={"nope":["x"]}',
    "/events?since=1&until=2",
    "/events?since=1&until=NOW",
    "/events?since=x&until=NOW",
    '/events?until=NOW&filters={"nope":["x"]}',
    '/events?since=1&until=NOW&filters={"type":["container"]}',
    "/plugins",
    "/plugins/nope/json",
    "/swarm",
    "/swarm/unlockkey",
    "/nodes",
    "/nodes/x",
    "/services",
    "/services/x",
    "/tasks",
    "/tasks/x",
    "/services/x/logs",
    "/tasks/x/logs",
    "/nope",
    "/containers",
    "/v1.24/_ping",
    "/v1.24/info",
    "/v1.23/info",
    "/v9.99/info",
]

# What changes something, in order; BODY of None is none.
ACTS: tuple[tuple[str, str, Any], ...] = (
    ("POST", "/exec/EXEC/start", {"Detach": True}),
    ("POST", "/exec/EXEC/resize?h=1&w=1", None),
    ("POST", "/exec/nope/start", {}),
    ("POST", "/exec/nope/resize?h=1&w=1", None),
    ("POST", "/containers/nope/exec", {"Cmd": ["x"]}),
    ("POST", "/containers/ONE/exec", {}),
    ("POST", "/containers/ONE/exec", {"Cmd": ["x"], "DetachKeys": "nope-x"}),
    ("POST", "/containers/ONE/start", None),
    ("POST", "/containers/nope/start", None),
    ("POST", "/containers/ONE/pause", None),
    ("POST", "/containers/ONE/pause", None),
    ("POST", "/containers/ONE/exec", {"Cmd": ["x"]}),
    ("POST", "/containers/ONE/attach?stream=1", None),
    ("POST", "/containers/ONE/unpause", None),
    ("POST", "/containers/ONE/unpause", None),
    ("POST", "/containers/ONE/rename?name=two", None),
    ("POST", "/containers/two/rename?name=two", None),
    ("POST", "/containers/two/rename?name=", None),
    ("POST", "/containers/two/rename?name=!", None),
    ("POST", "/containers/two/update", {"Memory": 100_000_000, "MemorySwap": -1}),
    ("POST", "/containers/two/update", {"Memory": 1}),
    ("POST", "/containers/two/resize?h=10&w=10", None),
    ("POST", "/containers/two/resize?h=x&w=10", None),
    ("POST", "/containers/two/kill?signal=NOPE", None),
    ("POST", "/containers/two/kill?signal=0", None),
    ("POST", "/containers/two/kill?signal=WINCH", None),
    ("POST", "/containers/two/restart?t=1", None),
    ("POST", "/containers/two/restart?t=x", None),
    ("DELETE", "/containers/two", None),
    ("POST", "/commit?container=two&repo=walked", {}),
    ("POST", "/commit?container=nope", {}),
    ("POST", "/containers/two/stop?t=1", None),
    ("POST", "/containers/two/stop?t=1", None),
    ("POST", "/containers/two/kill", None),
    ("POST", "/containers/two/pause", None),
    ("POST", "/containers/two/exec", {"Cmd": ["x"]}),
    ("GET", "/containers/two/top", None),
    ("POST", "/containers/two/resize?h=10&w=10", None),
    ("GET", "/containers/two/stats?stream=0", None),
    ("POST", "/containers/two/wait", None),
    ("POST", "/containers/nope/wait", None),
    ("POST", "/containers/two/wait?condition=x", None),
    ("POST", "/images/BUSYBOX/tag?repo=walked&tag=bar", None),
    ("POST", "/images/BUSYBOX/tag?repo=WALKED", None),
    ("POST", "/images/nope/tag?repo=x", None),
    ("DELETE", "/images/walked:bar", None),
    ("DELETE", "/images/walked", None),
    ("DELETE", "/images/nope", None),
    ("DELETE", "/images/BUSYBOX", None),
    ("POST", "/volumes/create", {"Name": "walked2", "Labels": {"x": "y"}}),
    ("POST", "/volumes/create", {"Name": "walked2", "Driver": "nope"}),
    ("POST", "/volumes/create", {"Name": "!x"}),
    ("DELETE", "/volumes/walked", None),
    ("DELETE", "/volumes/walked2", None),
    ("DELETE", "/volumes/nope", None),
    ("POST", "/containers/create", {}),
    ("POST", "/containers/create", {"Image": "nope"}),
    ("POST", "/containers/create?name=two", {"Image": BUSYBOX}),
    ("POST", "/containers/create?name=%20", {"Image": BUSYBOX}),
    ("POST", "/containers/create?name=three", {"Image": BUSYBOX, "Cmd": ["nope"]}),
    ("POST", "/containers/three/start", None),
    ("HEAD", "/containers/nope/archive?path=/", None),
    ("HEAD", "/containers/two/archive?path=/etc", None),
    ("PUT", "/containers/nope/archive?path=/", b""),
    ("PUT", "/containers/two/archive?path=/nope", b""),
    ("POST", "/images/load", b"xx"),
    ("POST", "/swarm/leave", {}),
    ("POST", "/services/create", {}),
    ("DELETE", "/nodes/x", None),
    ("DELETE", "/plugins/nope", None),
    ("POST", "/plugins/nope/enable", None),
    ("POST", "/containers/prune?filters={\"nope\":[\"x\"]}", None),
    ("POST", "/containers/prune", None),
    ("POST", "/containers/prune", None),
    ("POST", "/volumes/prune", None),
    ("POST", "/images/prune", None),
    ("GET", "/events?since=1&until=NOW", None),
)  # fmt: skip


class Exchange(NamedTuple):
    method: str
    target: str
    status: int
    body: bytes
    pattern: str  # the target as it stands in the table

    @property
    def message(self) -> str:
        """The error's words; empty where it is none."""
        try:
            document = json.loads(self.body)
        except ValueError:
            return ""
        return str(document.get("message", "")).strip() if isinstance(document, dict) else ""


def walk(engine: Engine, prefix: str = "") -> Iterator[Exchange]:
    """Every exchange; an image, a container, an exec are made first. `prefix` is `/v1.41` for a version."""
    import_busybox(engine)
    created = engine.api("POST", "/containers/create?name=one", CREATE)["Id"]
    engine.api("POST", f"/containers/{created}/start")
    exec_id = engine.api("POST", f"/containers/{created}/exec", {"Cmd": ["true"], "AttachStdout": True})["Id"]
    engine.api("POST", f"/exec/{exec_id}/start", {"Detach": True})
    _until(lambda: not engine.api("GET", f"/exec/{exec_id}/json")["Running"])
    _until(lambda: engine.api("GET", f"/containers/{created}/json")["State"]["Health"]["Status"] == "healthy")
    words = {"ONE": created, "EXEC": exec_id, "BUSYBOX": BUSYBOX, "NOW": str(int(time.time()) + 1)}
    acts = [("GET", target, None) for target in READS] + list(ACTS)
    for method, pattern, body in acts:
        target = pattern
        words["NOW"] = str(int(time.time()))
        for word, value in words.items():
            target = target.replace(word, value)
        if not target.startswith(("/v1", "/v9")):
            target = prefix + target
        status, answer = engine.request(method, target.replace('"', "%22"), body)
        yield Exchange(method, target, status, answer, pattern.replace('"', "%22"))


def _until(holds: Any) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)
