"""SIGKILL of the daemon at every failpoint: what runs goes on, the same command succeeds, nothing is left.

Every `failpoints.hit("...")` of the source is found by reading it, so a new one is tested by being written.
One long script of steps passes through all of them. At each point in turn the daemon dies there, is started
again without a failpoint, the step that was cut off is asked for again, and the script goes on to its end.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import os
import re
import signal
import socket
import subprocess
import tarfile
import time
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from grpclib.exceptions import GRPCError, StreamTerminatedError

from tests import engines, llb, registries
from tests.engines import Engine
from tests.registries import Registry

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(300)]
SOURCE = engines.TOP / "src" / "onggi"
PREFIX_OF_OTHERS = ("shim.", "zygote.", "launcher.")  # die in another process: test_shim_killed.py


def names() -> list[str]:
    """Every failpoint of the daemon, from its source."""
    found = set()
    for path in SOURCE.rglob("*.py"):
        found |= set(re.findall(r'failpoints\.hit\("([^"]+)"\)', path.read_text()))
    return sorted(name for name in found if not name.startswith(PREFIX_OF_OTHERS))


DOCKERFILE = "FROM busybox:test\nRUN echo built > /built\nCOPY only /copied\n"
WITNESS = (
    "trap 'echo last words; exit 17' USR1; nc -l -p 7 -e cat & "
    "i=0; while :; do i=$((i+1)); echo line $i; sleep 0.05; done"
)


VOLUMES = ("crash-volume", "crash-implicit", "crash-memory")


class Script:
    """The steps, each repeatable: asking again for what was done already is answered, not done twice."""

    def __init__(self, engine: Engine, registry: Registry) -> None:
        self.engine = engine
        self.registry = registry
        self.bridges: set[str] = set()

    def steps(self) -> list[Callable[[], None]]:
        return [
            self.make_volume, self.make_secret,
            self.create, self.start, self.exec, self.rename, self.update, self.pause,
            self.unpause, self.make_network, self.connect, self.restart, self.disconnect, self.remove_network,
            self.commit, self.kill, self.stop, self.remove, self.remove_running,
            self.run_by_another, self.start_in_vain, self.run_and_remove, self.come_back,
            self.import_volume, self.clone_and_rename, self.remove_volume, self.remove_secret,
            self.import_image, self.mend, self.tag, self.save_and_load, self.build, self.build_llb,
            self.fail_a_step, self.build_listed,
            self.cache_elsewhere,
            self.pull, self.push,
            self.mount_image, self.remove_image, self.prune_images, self.prune_builds,
        ]  # fmt: skip

    # Each raises ConnectionError or HTTPException when the daemon dies under it.

    def ask(self, method: str, path: str, body: object = None, good: tuple[int, ...] = ()) -> bytes:
        status, text = self.engine.request(method, path, body)
        allowed = good or (200, 201, 204, 304)
        assert status in allowed, f"{method} {path}: {status} {text!r}\n{self.engine.log[-2500:]}"
        return text

    def make_volume(self) -> None:
        self.ask("POST", "/volumes/create", {"Name": "crash-volume"})

    def make_secret(self) -> None:
        body = {"Name": "crash-secret", "Data": "c2VjcmV0"}
        self.ask("POST", "/secrets/create", body, (201, 409))
        found = json.loads(self.ask("GET", "/secrets/crash-secret"))
        body = {"Name": "crash-secret", "Labels": {"a": "b"}}
        self.ask("POST", f"/secrets/crash-secret/update?version={found['Version']['Index']}", body)

    def remove_secret(self) -> None:
        self.ask("DELETE", "/secrets/crash-secret", None, (204, 404))
        assert json.loads(self.ask("GET", "/secrets")) == []

    def create(self) -> None:
        options = {"DriverConfig": {"Options": {"type": "tmpfs", "device": "tmpfs"}}}
        memory = {"Type": "volume", "Source": "crash-memory", "Target": "/memory", "VolumeOptions": options}
        body = {
            "Image": engines.BUSYBOX,
            "Cmd": ["sleep", "1000"],
            "Volumes": {"/anonymous": {}},
            "HostConfig": {
                "Binds": ["crash-volume:/home", "crash-implicit:/more"],
                "Mounts": [memory],
                "Secrets": [{"SecretName": "crash-secret"}],
            },
        }
        self.ask("POST", "/containers/create?name=crash", body, (201, 409))
        found = json.loads(self.ask("GET", "/containers/crash/json"))
        assert found["State"]["Status"] == "created"

    def start(self) -> None:
        self.ask("POST", "/containers/crash/start")
        self.running(True)

    def running(self, wanted: bool) -> None:
        assert json.loads(self.ask("GET", "/containers/crash/json"))["State"]["Running"] is wanted

    def exec(self) -> None:
        body = {"Cmd": ["true"], "AttachStdout": True}
        exec_id = json.loads(self.ask("POST", "/containers/crash/exec", body))["Id"]
        self.ask("POST", f"/exec/{exec_id}/start", {"Detach": True})
        self.running(True)
        assert self.engine.docker("exec", "crash", "cat", "/run/secrets/crash-secret") == "secret"

    def rename(self) -> None:
        self.ask("POST", "/containers/crash/rename?name=crash-renamed", None, (204, 404))
        self.ask("POST", "/containers/crash-renamed/rename?name=crash", None, (204, 404))
        self.running(True)

    def update(self) -> None:
        ports = {"PublishAdd": {"80/tcp": [{"HostIp": "127.0.0.1"}]}}
        self.ask("POST", "/containers/crash/update", {"Memory": 64 << 20, "MemorySwap": -1, **ports})
        assert json.loads(self.ask("GET", "/containers/crash/json"))["HostConfig"]["Memory"] == 64 << 20

    def pause(self) -> None:
        self.ask("POST", "/containers/crash/pause", None, (204, 409))
        assert json.loads(self.ask("GET", "/containers/crash/json"))["State"]["Paused"] is True

    def unpause(self) -> None:
        self.ask("POST", "/containers/crash/unpause", None, (204, 409, 500))
        assert json.loads(self.ask("GET", "/containers/crash/json"))["State"]["Paused"] is False

    def make_network(self) -> None:
        self.ask("POST", "/networks/create", {"Name": "crash-net"}, (201, 409))

    def connect(self) -> None:
        self.ask("POST", "/networks/crash-net/connect", {"Container": "crash"}, (200, 403))
        assert "crash-net" in self.networks()

    def disconnect(self) -> None:
        self.ask("POST", "/networks/crash-net/disconnect", {"Container": "crash"}, (200, 403))
        assert "crash-net" not in self.networks()

    def remove_network(self) -> None:
        self.ask("DELETE", "/networks/crash-net", None, (204, 404))
        assert not [name for name in links() if name in self.bridges]

    def networks(self) -> dict[str, Any]:
        self.bridges.add("br-" + json.loads(self.ask("GET", "/networks/crash-net"))["Id"][:12])
        found = json.loads(self.ask("GET", "/containers/crash/json"))
        return dict(found["NetworkSettings"]["Networks"])

    def restart(self) -> None:
        self.ask("POST", "/containers/crash/restart?t=0")
        self.running(True)

    def commit(self) -> None:
        self.ask("POST", "/commit?container=crash&repo=crash-image&tag=1", {})
        self.ask("GET", "/images/crash-image:1/json")

    def kill(self) -> None:
        self.ask("POST", "/containers/crash/kill?signal=WINCH")
        self.running(True)

    def stop(self) -> None:
        self.ask("POST", "/containers/crash/stop?t=0")
        self.running(False)

    def remove(self) -> None:
        self.ask("DELETE", "/containers/crash?v=1&force=1", None, (204, 404))
        self.ask("GET", "/containers/crash/json", None, (404,))

    def make(self, name: str, command: list[str], **host_config: object) -> None:
        body = {"Image": engines.BUSYBOX, "Cmd": command, "HostConfig": host_config}
        self.ask("POST", f"/containers/create?name={name}", body, (201, 409))

    def remove_running(self) -> None:
        self.make("crash-busy", ["sleep", "1000"], NetworkMode="none")
        self.ask("POST", "/containers/crash-busy/start", None, (204, 304))
        self.ask("DELETE", "/containers/crash-busy?force=1", None, (204, 404))

    def run_by_another(self) -> None:
        """runc is installed wherever this runs; what it keeps of a container goes with it."""
        self.make("crash-other", ["sleep", "1000"], Runtime="runc")
        self.ask("POST", "/containers/crash-other/start", None, (204, 304))
        assert self.engine.docker("exec", "crash-other", "echo", "inside") == "inside\n"
        self.ask("DELETE", "/containers/crash-other?force=1", None, (204, 404))
        assert list((self.engine.exec_root / "runtimes").glob("*/*")) == []

    def start_in_vain(self) -> None:
        self.make("crash-vain", ["/no/such/program"])
        self.ask("POST", "/containers/crash-vain/start", None, (404, 400))
        self.ask("DELETE", "/containers/crash-vain", None, (204, 404))

    def run_and_remove(self) -> None:
        self.make("crash-rm", ["true"], AutoRemove=True, UsernsMode="auto")
        self.ask("POST", "/containers/crash-rm/start", None, (204, 404))
        self.until("crash-rm", lambda found: found is None)

    def come_back(self) -> None:
        self.make("crash-back", ["sleep", "1000"], RestartPolicy={"Name": "always"})
        self.ask("POST", "/containers/crash-back/start", None, (204, 304))
        pid = json.loads(self.ask("GET", "/containers/crash-back/json"))["State"]["Pid"]
        with contextlib.suppress(ProcessLookupError):  # asked again, it may just have ended
            if pid:
                os.kill(pid, signal.SIGKILL)
        self.until("crash-back", lambda found: found["State"]["Pid"] not in (0, pid))
        self.ask("DELETE", "/containers/crash-back?force=1", None, (204, 404))

    def until(self, name: str, holds: Callable[[Any], bool]) -> None:
        deadline = time.monotonic() + 30
        while True:
            status, text = self.engine.request("GET", f"/containers/{name}/json")
            found = None if status == 404 else json.loads(text)
            if holds(found):
                return
            assert time.monotonic() < deadline, text
            time.sleep(0.02)

    def import_volume(self) -> None:
        self.ask("POST", "/volumes/import?name=crash-imported", small_tar(), (201, 409))
        self.holds("crash-imported")

    def clone_and_rename(self) -> None:
        if b"crash-renamed" not in self.ask("GET", "/volumes"):
            self.ask("POST", "/volumes/crash-imported/clone?name=crash-clone", None, (201, 409))
            self.holds("crash-clone")
            self.ask("POST", "/volumes/crash-clone/rename?name=crash-renamed")
        self.holds("crash-renamed")

    def holds(self, name: str) -> None:
        saved = tarfile.open(fileobj=io.BytesIO(self.ask("GET", f"/volumes/{name}/export")))
        found = saved.extractfile("./only")
        assert found is not None and found.read() == b"small"

    def remove_volume(self) -> None:
        for name in (*VOLUMES, "crash-imported", "crash-clone", "crash-renamed"):
            self.ask("DELETE", f"/volumes/{name}", None, (204, 404))
        assert json.loads(self.ask("GET", "/volumes"))["Volumes"] in ([], None)

    def import_image(self) -> None:
        self.ask("POST", "/images/create?fromSrc=-&repo=crash-imported&tag=1", small_tar())
        self.ask("GET", "/images/crash-imported:1/json")

    def mend(self) -> None:
        """A file that is gone from a layer's tree comes back from its blob."""
        for lost in self.engine.root.glob("snapshots/*/fs/only"):
            lost.unlink()
        self.ask("POST", "/system/check")
        (found,) = self.engine.root.glob("snapshots/*/fs/only")
        assert found.read_bytes() == b"small"

    def tag(self) -> None:
        self.ask("POST", "/images/crash-imported:1/tag?repo=crash-tagged&tag=2")
        self.ask("GET", "/images/crash-tagged:2/json")

    def save_and_load(self) -> None:
        saved = self.ask("GET", "/images/crash-tagged:2/get")
        self.ask("POST", "/images/load?quiet=1", saved)

    def build(self) -> None:
        query = "t=crash-built:1&networkmode=none&nocache=1"
        said = self.ask("POST", f"/build?{query}", small_tar(Dockerfile=DOCKERFILE))
        if b"Successfully tagged" not in said:
            raise http.client.IncompleteRead(said)  # the daemon died under it: the head came before
        self.ask("GET", "/images/crash-built:1/json")

    def build_llb(self) -> None:
        """By BuildKit's door, which keeps a record of it."""
        one = llb.Client()
        definition = one.definition(one.run("echo by llb > /by", one.image("busybox:test")))
        try:
            llb.solve(self.engine, definition, "crash-llb")
        except (GRPCError, StreamTerminatedError, OSError) as error:
            raise ConnectionError(str(error)) from None
        assert self.engine.docker("run", "--rm", "crash-llb", "cat", "/by") == "by llb\n"

    def fail_a_step(self) -> None:
        """It is kept, looked into, and run again."""
        dockerfile = "FROM busybox:test\nRUN echo left > /left; exit 3\n"
        said = self.ask("POST", "/build?networkmode=none&progress=status", small_tar(Dockerfile=dockerfile))
        found = re.search(rb'"onggi.failed","aux":{"ID":"(\w+)"', said)
        if found is None:
            raise http.client.IncompleteRead(said)
        name = found[1].decode()
        said = self.shell(name, b"cat /left; exit\n")
        if b"\nleft" not in said:
            raise ConnectionError(f"the shell said {said!r}")
        said = self.ask("POST", f"/build/failed/{name}/rerun")
        if b"exit code: 3" not in said:
            raise http.client.IncompleteRead(said)

    def shell(self, name: str, words: bytes) -> bytes:
        lines = (
            f"POST /build/failed/{name}/shell HTTP/1.1",
            "Host: x",
            "Connection: Upgrade",
            "Upgrade: tcp",
        )
        head = "\r\n".join((*lines, "", ""))
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(self.engine.socket)  # waits while the queue is full; with a time limit it would fail
            sock.settimeout(20)
            sock.sendall(head.encode())
            said = b""
            while data := sock.recv(4096):
                if b"\r\n\r\n" not in said and b"\r\n\r\n" in said + data:
                    sock.sendall(words)
                said += data
            return said

    def build_listed(self) -> None:
        """The context's names go first, then what of it is wanted; no half tree is used."""
        asked = f"buildid={os.urandom(8).hex()}"
        self.ask("POST", f"/build/context?{asked}&name=crash", b"f 644 0 1 only\0")
        tar = small_tar(Dockerfile="FROM scratch\nCOPY only /\n", **{"context/only": "listed"})
        said = self.ask("POST", f"/build?{asked}&listed=1&t=crash-listed:1", tar)
        if b"Successfully tagged" not in said:
            raise http.client.IncompleteRead(said)

    def cache_elsewhere(self) -> None:
        """A cache that went to a registry comes back, layer by layer."""
        dockerfile = "FROM busybox:test\nRUN echo elsewhere > /elsewhere\n"
        place = f"type=registry,ref={self.registry.host}/crash/cache"
        for query in ({"cacheto": json.dumps([place])}, {"cachefrom": json.dumps([place])}):
            asked = urllib.parse.urlencode({"t": "crash-cached:1", "networkmode": "none", **query})
            said = self.ask("POST", f"/build?{asked}", small_tar(Dockerfile=dockerfile))
            if b"Successfully tagged" not in said:
                raise http.client.IncompleteRead(said)
            self.ask("DELETE", "/images/crash-cached:1?force=1", None, (200, 404))
            self.ask("POST", "/build/prune?all=1")

    def prune_builds(self) -> None:
        self.ask("POST", "/build/prune?all=1")
        assert json.loads(self.ask("GET", "/v1.51/system/df?type=build-cache"))["BuildCache"] == []

    def pull(self) -> None:
        """What a pull that was cut off had brought is gone on with, and nothing of it stays behind."""
        name = f"{self.registry.host}/crash/pulled"
        said = self.ask("POST", f"/images/create?fromImage={name}&tag=1").decode()
        if "Status: " not in said:
            assert '"error"' not in said, said
            raise http.client.IncompleteRead(said.encode())
        self.ask("GET", f"/images/{name}:1/json")

    def push(self) -> None:
        """Again from where the registry is: what it has is skipped. The name by digest goes with prune."""
        name = f"{self.registry.host}/crash/pushed-{time.time_ns()}"
        self.ask("POST", f"/images/crash-imported:1/tag?repo={name}&tag=1")
        said = self.ask("POST", f"/images/{name}/push?tag=1").decode()
        if '"Digest"' not in said:
            assert '"error"' not in said, said
            raise http.client.IncompleteRead(said.encode())  # the daemon died under it: the head came before

    def mount_image(self) -> None:
        path = Path(json.loads(self.ask("POST", "/images/crash-image:1/mount"))["Path"])
        assert path.is_dir() and os.listdir(path)
        self.ask("POST", "/images/crash-image:1/unmount?force=1", None, (204, 409))
        assert json.loads(self.ask("GET", "/images/mounts")) == [] and not path.exists()

    def remove_image(self) -> None:
        for name in ("crash-image:1", "crash-tagged:2", "crash-built:1"):
            self.ask("DELETE", f"/images/{name}?force=1", None, (200, 404))
            self.ask("GET", f"/images/{name}/json", None, (404,))

    def prune_images(self) -> None:
        self.ask("POST", '/images/prune?filters={"dangling":["false"]}')
        self.ask("GET", "/images/crash-imported:1/json", None, (404,))


def links() -> list[str]:
    return os.listdir("/sys/class/net")


def small_tar(**more: str) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, text in {"only": "small", **more}.items():
            info = tarfile.TarInfo(name)
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text.encode()))
    return out.getvalue()


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with engines.onggi(tmp_path) as running:
        engines.import_busybox(running)
        yield running


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with registries.registry(tmp_path_factory.mktemp("registry")) as one:
        layers = [registries.layer({f"part{n}": bytes(1 << 20)}) for n in range(3)]
        registries.push(one, "crash/pulled:1", registries.image(layers))
        yield one


def start_witness(engine: Engine) -> tuple[str, int, socket.socket]:
    """A container on the bridge that must not notice anything: (id, pid of its init, a connection to it)."""
    host = {"PortBindings": {"7/tcp": [{"HostIp": "127.0.0.1"}]}}
    body = {"Image": engines.BUSYBOX, "Cmd": ["sh", "-c", WITNESS], "HostConfig": host}
    cid = engine.api("POST", "/containers/create?name=witness", body)["Id"]
    engine.api("POST", f"/containers/{cid}/start")
    found = engine.api("GET", f"/containers/{cid}/json")
    port = int(found["NetworkSettings"]["Ports"]["7/tcp"][0]["HostPort"])
    return cid, found["State"]["Pid"], connected(port)


def connected(port: int) -> socket.socket:
    """An established connection through a published port, to a server that sends back what it gets."""
    deadline = time.monotonic() + 30
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=30)
        except ConnectionRefusedError:
            assert time.monotonic() < deadline
            time.sleep(0.02)


def check_witness(engine: Engine, cid: str, pid: int, connection: socket.socket) -> None:
    """It runs under the same pid, its connection lives, it ends with its own code, its log has every line."""
    with connection:
        connection.sendall(b"still there")
        assert connection.recv(11, socket.MSG_WAITALL) == b"still there"
    state = engine.api("GET", f"/containers/{cid}/json")["State"]
    assert (state["Running"], state["Pid"]) == (True, pid)
    settings = engine.api("GET", f"/containers/{cid}/json")["NetworkSettings"]
    gateway = settings["Networks"]["bridge"]["Gateway"]
    assert "1 packets received" in engine.docker("exec", cid, "ping", "-c", "1", "-W", "5", gateway)
    engine.api("POST", f"/containers/{cid}/kill?signal=USR1")
    assert engine.api("POST", f"/containers/{cid}/wait")["StatusCode"] == 17
    log = engine.docker("logs", cid).splitlines()
    assert log[-1] == "last words"
    assert log[:-1] == [f"line {n}" for n in range(1, len(log))]
    engine.api("DELETE", f"/containers/{cid}")


def directories(engine: Engine) -> dict[str, set[str]]:
    """What lies in the engine's directories, by directory."""
    wanted = ("containers", "build", "snapshots", "volumes", "trash", "oci/partial", "oci/blobs/sha256")
    return {name: {path.name for path in (engine.root / name).glob("*")} for name in wanted}


def test_there_are_failpoints() -> None:
    assert len(names()) >= 20


@pytest.mark.parametrize("failpoint", names())
def test_killed(engine: Engine, registry: Registry, failpoint: str) -> None:
    before = directories(engine)
    cid, pid, connection = start_witness(engine)
    engine.stop()
    reached = False
    try:
        engine.start(failpoint=f"{failpoint}=kill")
    except RuntimeError:  # the point lies on the way of the start itself
        reached = True
        engine.start()
    for step in Script(engine, registry).steps():
        try:
            step()
        except (OSError, http.client.HTTPException, AssertionError):  # the last is a client's, which was told
            assert not reached, f"the engine died twice\n{engine.log[-3000:]}"
            assert engine.process is not None
            with contextlib.suppress(subprocess.TimeoutExpired):
                engine.process.wait(10)
            if engine.process.returncode is None:
                raise
            engine.kill()
            engine.start()
            reached = True
            step()
    check_witness(engine, cid, pid, connection)
    if engine.stop() == -signal.SIGKILL:  # the point lies on the way of the orderly end
        assert not reached
        reached = True
        engine.start()
        engine.stop()
    assert reached, f"no step passes {failpoint}"
    engine.start()  # once more: what was put off to the next start is done by it
    assert engine.api("GET", "/containers/json?all=1") == []
    deadline = time.monotonic() + 30
    while (after := directories(engine)) != before:
        assert time.monotonic() < deadline, {key: after[key] ^ before[key] for key in before}
        time.sleep(0.02)
    assert engine.api("GET", "/system/check")["Faults"] == []
    engine.stop()
    assert engines.leftovers(engine) == []
