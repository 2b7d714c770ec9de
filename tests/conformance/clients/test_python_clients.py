"""docker-py, testcontainers, python-on-whales and aiodocker do real work, on dockerd and on ours."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import io
import os
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiodocker
import docker
import pytest
import python_on_whales
from docker.utils.socket import read_exactly
from testcontainers.core.container import DockerContainer
from testcontainers.core.network import Network
from testcontainers.core.wait_strategies import LogMessageWaitStrategy

from tests import engines
from tests.engines import BUSYBOX, Engine

pytestmark = [
    pytest.mark.root,
    pytest.mark.peer,
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # docker-py leaves the socket of a stream open
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

# It says that it is ready before it listens: engines.page waits for that.
SERVE = ["sh", "-c", "mkdir /www; echo page > /www/index.html; echo ready; exec httpd -f -p 8080 -h /www"]


@pytest.fixture(params=["dockerd", "onggi"])
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    found: Engine = request.getfixturevalue(request.param)
    for name in [name for name in os.environ if name.startswith("DOCKER_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("DOCKER_HOST", found.host)
    monkeypatch.setenv("TESTCONTAINERS_RYUK_DISABLED", "true")  # its image is on a registry
    yield found
    found.remove_all()
    found.request("POST", "/networks/prune")
    found.request("POST", '/volumes/prune?filters={"all":["true"]}')
    gc.collect()  # what a client left open is told of here, where it is expected, and not in another test


def _tar(name: str, content: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        entry = tarfile.TarInfo(name)
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
    return out.getvalue()


def test_docker_py(engine: Engine) -> None:
    client = docker.from_env()
    network = client.networks.create("py-net")
    volume = client.volumes.create("py-vol")
    web = client.containers.run(
        BUSYBOX, SERVE, detach=True, name="web", network="py-net", ports={"8080/tcp": ("127.0.0.1", None)},
        init=True, volumes={"py-vol": {"bind": "/keep", "mode": "rw"}}, labels={"a": "b"},
        environment={"X": "1"},
    )  # fmt: skip
    assert next(iter(web.logs(stream=True, follow=True))) == b"ready\n"
    web.reload()
    assert engines.page(f"127.0.0.1:{web.ports['8080/tcp'][0]['HostPort']}") == b"page\n"
    assert web.exec_run(["sh", "-c", "echo $X; echo bad >&2; exit 4"], demux=True) == (4, (b"1\n", b"bad\n"))
    assert web.put_archive("/keep", _tar("file", b"content"))
    chunks, stat = web.get_archive("/keep/file")
    with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as archive:
        member = archive.extractfile("file")
        assert member is not None and member.read() == b"content"
    assert stat["name"] == "file" and stat["size"] == 7
    assert (
        client.containers.run(BUSYBOX, ["wget", "-qO-", "http://web:8080"], network="py-net", remove=True)
        == b"page\n"
    )
    assert [found.name for found in client.containers.list(filters={"label": "a=b"})] == ["web"]
    usage = web.stats(stream=False)
    assert usage["memory_stats"]["usage"] > 0 and usage["cpu_stats"]["cpu_usage"]["total_usage"] > 0
    image = web.commit(repository="made", tag="1")
    assert client.images.get("made:1").id == image.id
    client.images.remove("made:1")
    with pytest.raises(docker.errors.ContainerError, match="non-zero exit status 7"):
        client.containers.run(BUSYBOX, ["sh", "-c", "exit 7"], network_mode="none", remove=True)
    with pytest.raises(docker.errors.NotFound, match="No such container: none"):
        client.containers.get("none")
    web.stop(timeout=0)
    assert web.wait()["StatusCode"] in (137, 143)
    web.remove()
    network.remove()
    volume.remove()
    client.close()


def test_docker_py_sockets_and_events(engine: Engine) -> None:
    client = docker.from_env()
    events = client.events(decode=True)
    seen: list[dict[str, Any]] = []
    reader = threading.Thread(target=lambda: seen.extend(events), daemon=True)
    reader.start()
    engines.until(lambda: client.info()["NEventsListener"] > 0)
    echo = client.containers.create(BUSYBOX, "cat", stdin_open=True, tty=False, network_mode="none")
    sock = echo.attach_socket(params={"stdin": 1, "stdout": 1, "stream": 1})
    engines.until(lambda: "attach" in [event["Action"] for event in seen])  # dockerd answers before it tells
    echo.start()
    sock._sock.sendall(b"there and back\n")
    assert read_exactly(sock, 8 + 15) == b"\x01\0\0\0\0\0\0\x0fthere and back\n"
    echo.kill()  # before its input ends, and it with it
    echo.wait()
    sock._sock.close()
    sock.close()
    actions = ["create", "attach", "start", "kill", "die"]
    engines.until(lambda: [event["Action"] for event in seen if event["Type"] == "container"] == actions)
    events.close()
    reader.join(10)
    assert not reader.is_alive()
    client.close()


def test_testcontainers(engine: Engine) -> None:
    with Network() as network:
        web = DockerContainer(BUSYBOX).with_command(SERVE).with_exposed_ports(8080).with_network(network)
        web = web.with_network_aliases("web").waiting_for(LogMessageWaitStrategy("ready"))
        with web:
            address = f"{web.get_container_host_ip()}:{web.get_exposed_port(8080)}"
            assert engines.page(address) == b"page\n"
            assert web.exec(["cat", "/www/index.html"]).output == b"page\n"
            out, _ = web.get_logs()
            assert out == b"ready\n"
            client = (
                DockerContainer(BUSYBOX).with_command("sleep 30").with_network(network).with_kwargs(init=True)
            )
            with client:
                assert client.exec(["wget", "-qO-", "http://web:8080"]).output == b"page\n"
    assert engine.api("GET", "/containers/json?all=1") == []


def test_python_on_whales(engine: Engine, docker_client: str, tmp_path: Path) -> None:
    whales = python_on_whales.DockerClient(host=engine.host)
    network = whales.network.create("whales")
    volume = whales.volume.create("whales-data")
    web = whales.run(
        BUSYBOX, SERVE, detach=True, name="web", networks=[network], volumes=[(volume, "/keep")],
        publish=[("127.0.0.1:0", 8080)], init=True, healthcheck=True, health_cmd="test -e /www/index.html",
        health_interval=1,
    )  # fmt: skip
    engines.until(lambda: whales.container.inspect(web).state.health.status == "healthy")
    assert web.state.running and web.name == "web"
    port = web.network_settings.ports["8080/tcp"][0]["HostPort"]
    assert engines.page(f"127.0.0.1:{port}") == b"page\n"
    assert whales.execute(web, ["cat", "/www/index.html"]) == "page"
    engines.until(lambda: "ready" in whales.logs(web))
    (tmp_path / "in").write_text("copied")
    whales.copy(tmp_path / "in", (web, "/keep/in"))
    whales.copy((web, "/keep/in"), tmp_path / "out")
    assert (tmp_path / "out").read_text() == "copied"
    assert (
        whales.run(BUSYBOX, ["cat", "/keep/in"], volumes=[(volume, "/keep")], networks=["none"], remove=True)
        == "copied"
    )
    assert [found.id for found in whales.ps(filters=[("name", "web")])] == [web.id]
    with pytest.raises(python_on_whales.exceptions.NoSuchContainer):
        whales.container.inspect("nowhere")
    image = whales.commit(web, tag="whales:1")
    assert image.repo_tags == ["whales:1"]
    whales.image.remove("whales:1")
    whales.container.remove(web, force=True)
    whales.network.remove(network)
    whales.volume.remove(volume)


async def test_aiodocker(engine: Engine) -> None:
    async with aiodocker.Docker(url=engine.host) as client:
        host = {"NetworkMode": "none", "Init": True}
        made = await client.containers.create_or_replace(
            "job", {"Image": BUSYBOX, "Cmd": SERVE, "HostConfig": host}
        )
        await made.start()
        async with contextlib.aclosing(made.log(stdout=True, follow=True)) as lines:
            assert await anext(lines) == "ready\n"
        run = await made.exec(["sh", "-c", "read line; echo got $line"], stdin=True)
        async with run.start(detach=False) as stream:
            await stream.write_in(b"it\n")
            message = await stream.read_out()
            assert message is not None and message.data == b"got it\n"
        while (ended := await run.inspect())["Running"]:  # dockerd learns of the end after the client
            await asyncio.sleep(0.01)
        assert ended["ExitCode"] == 0
        await made.put_archive("/tmp", _tar("a", b"1"))
        archive = await made.get_archive("/tmp/a")
        member = archive.extractfile("a")
        assert member is not None and member.read() == b"1"
        stats = await made.stats(stream=False)
        assert stats[0]["pids_stats"]["current"] >= 1
        await made.delete(force=True)
        with pytest.raises(aiodocker.DockerError, match="No such container"):
            await client.containers.get("job")
