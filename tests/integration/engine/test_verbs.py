"""Every verb of containers and exec instances on a real engine."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from onggi.engine.containers import (
    attach,
    commit,
    create,
    kill,
    pause,
    prune,
    remove,
    rename,
    resize,
    restart,
    start,
    stop,
    unpause,
    update,
    wait,
)  # fmt: skip
from onggi.engine.exec_ import create as exec_create
from onggi.engine.exec_ import inspect as exec_inspect
from onggi.engine.exec_ import start as exec_start
from onggi.engine.images import inspect as image_inspect
from onggi.errors import Conflict, InvalidParameter, NoSuchContainer, NotModified, StartFailed
from onggi.wire.containers import (
    ContainerCreateRequest,
    ContainerUpdateRequest,
    ExecCreateRequest,
    ExecStartRequest,
    RestartPolicy,
)  # fmt: skip
from onggi.wire.images import HealthConfig

from .conftest import Bench, hijacked, none_network

pytestmark = pytest.mark.root
TRAPPED = ("sh", "-c", "trap 'exit 7' TERM; echo up; while :; do sleep 0.05; done")


async def never() -> None:
    raise AssertionError("a detached exec takes no connection")


async def until(true: Callable[[], object], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "did not come true"
        await asyncio.sleep(0.01)


async def test_stop_sends_term_and_waits(bench: Bench) -> None:
    container_id = await bench.start(*TRAPPED)
    await until(lambda: "up" in bench.log(container_id))
    await stop.stop(bench.engine, container_id)
    assert bench.record(container_id).exit_code == 7
    assert bench.record(container_id).status == "exited"
    with pytest.raises(NotModified):
        await stop.stop(bench.engine, container_id)


async def test_stop_kills_after_its_patience(bench: Bench) -> None:
    container_id = await bench.start("sleep", "100")
    begin = time.monotonic()
    await stop.stop(bench.engine, container_id, timeout=0)
    assert bench.record(container_id).exit_code == 137
    assert time.monotonic() - begin < 8  # a stop without a timeout waits for ten


async def test_kill_with_a_signal_and_its_errors(bench: Bench) -> None:
    container_id = await bench.start(*TRAPPED, name="victim")
    await until(lambda: "up" in bench.log(container_id))
    with pytest.raises(InvalidParameter, match="invalid signal: FOO"):
        await kill.kill(bench.engine, "victim", signal="FOO")
    ended = await wait.wait(bench.engine, "victim")
    await kill.kill(bench.engine, "victim", signal="TERM")
    assert (await ended).status_code == 7
    with pytest.raises(
        Conflict, match=f"cannot kill container: victim: container {container_id} is not running"
    ):
        await kill.kill(bench.engine, "victim")


async def test_kill_ends_always(bench: Bench) -> None:
    host = none_network(restart_policy=RestartPolicy(name="always"))
    container_id = await bench.start("sleep", "100", host=host)
    await kill.kill(bench.engine, container_id)
    assert bench.record(container_id).status == "exited"
    assert bench.record(container_id).exit_code == 137


async def test_restart(bench: Bench) -> None:
    container_id = await bench.start("sleep", "100")
    before = bench.record(container_id).pid
    await restart.restart(bench.engine, container_id, timeout=0)
    assert bench.record(container_id).pid != before
    assert bench.record(container_id).status == "running"


async def test_pause_and_unpause(bench: Bench) -> None:
    container_id = await bench.start("sleep", "100")
    await pause.pause(bench.engine, container_id)
    assert bench.record(container_id).status == "paused"
    with pytest.raises(Conflict, match="already paused"):
        await pause.pause(bench.engine, container_id)
    with pytest.raises(Conflict, match="cannot start a paused container"):
        await start.start(bench.engine, container_id)
    await unpause.unpause(bench.engine, container_id)
    assert bench.record(container_id).status == "running"
    await pause.pause(bench.engine, container_id)
    await kill.kill(bench.engine, container_id)
    assert bench.record(container_id).exit_code == 137


async def test_remove_refuses_what_runs(bench: Bench) -> None:
    container_id = await bench.start("sleep", "100", name="busy")
    with pytest.raises(Conflict, match='cannot remove container "/busy": container is running: stop the'):
        await remove.remove(bench.engine, "busy")
    await remove.remove(bench.engine, "busy", force=True)
    with pytest.raises(NoSuchContainer, match=f"No such container: {container_id}"):
        bench.engine.containers.get(container_id)


async def test_names(bench: Bench) -> None:
    first = await bench.create("true", name="one")
    with pytest.raises(
        Conflict, match=f'Conflict. The container name "/one" is already in use by container "{first}"'
    ):
        await bench.create("true", name="one")
    await bench.create("true", name="two")
    with pytest.raises(Conflict):
        await rename.rename(bench.engine, "one", "two")
    await rename.rename(bench.engine, "one", "three")
    assert bench.record("three").id == first
    with pytest.raises(InvalidParameter, match="Invalid container name"):
        await bench.create("true", name="_no")


async def test_update_changes_the_kernel_and_the_record(bench: Bench) -> None:
    container_id = await bench.start("sleep", "100", host=none_network(memory=64 << 20))
    request = ContainerUpdateRequest(memory=32 << 20, memory_swap=-1)
    await update.update(bench.engine, container_id, request)
    assert bench.record(container_id).host_config.memory == 32 << 20
    path = bench.engine.cgroups.directory("memory", f"{bench.engine.config.cgroup_root}/{container_id}")
    v2 = os.path.exists(f"{path}/memory.max")
    with open(f"{path}/{'memory.max' if v2 else 'memory.limit_in_bytes'}") as file:
        assert int(file.read()) == 32 << 20
    with pytest.raises(InvalidParameter, match="Minimum memory limit allowed is 6MB"):
        await update.update(bench.engine, container_id, ContainerUpdateRequest(memory=1 << 20))


async def test_attach_before_start_sees_everything(bench: Bench) -> None:
    container_id = await bench.create("cat", open_stdin=True, stdin_once=True)
    take, client = hijacked()
    with client:
        await attach.attach(bench.engine, container_id, hijack=take, stdin=True)
        await start.start(bench.engine, container_id)
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(client, b"hello\n")
        client.shutdown(1)
        received = b""
        while chunk := await loop.sock_recv(client, 100):
            received += chunk
    assert received == b"\x01\0\0\0\0\0\0\x06hello\n"


async def test_exec_attached_detached_and_failing(bench: Bench) -> None:
    container_id = await bench.start("sleep", "100")
    loop = asyncio.get_running_loop()
    request = ExecCreateRequest(cmd=["sh", "-c", "echo in; exit 4"], attach_stdout=True, attach_stderr=True)
    exec_id = await exec_create.create(bench.engine, container_id, request)
    take, client = hijacked()
    with client:
        await exec_start.start(bench.engine, exec_id, ExecStartRequest(), hijack=take)
        received = b""
        while chunk := await loop.sock_recv(client, 100):
            received += chunk
    assert received == b"\x01\0\0\0\0\0\0\x03in\n"
    await until(lambda: bench.engine.execs.get(exec_id).exit_code is not None)
    assert (await exec_inspect.inspect(bench.engine, exec_id)).exit_code == 4

    exec_id = await exec_create.create(bench.engine, container_id, ExecCreateRequest(cmd=["nonsense"]))
    with pytest.raises(StartFailed, match='exec: "nonsense": executable file not found'):
        await exec_start.start(bench.engine, exec_id, ExecStartRequest(detach=True), hijack=take)
    await stop.stop(bench.engine, container_id, timeout=0)
    with pytest.raises(Conflict, match=f"container {container_id} is not running"):
        await exec_create.create(bench.engine, container_id, ExecCreateRequest(cmd=["true"]))


async def test_resize_of_a_terminal(bench: Bench) -> None:
    command = "trap 'stty size' WINCH; echo up; while :; do sleep 0.05; done"
    container_id = await bench.start("sh", "-c", command, tty=True)
    await resize.resize(bench.engine, container_id, rows=33, columns=77)


async def test_on_failure_gives_up(bench: Bench) -> None:
    host = none_network(restart_policy=RestartPolicy(name="on-failure", maximum_retry_count=2))
    container_id = await bench.start("false", host=host)
    await until(lambda: bench.record(container_id).status == "exited")
    assert bench.record(container_id).restart_count == 2


async def test_always_restarts_until_it_is_stopped(bench: Bench) -> None:
    host = none_network(restart_policy=RestartPolicy(name="always"))
    container_id = await bench.start("true", host=host)
    await until(lambda: bench.record(container_id).restart_count >= 2)
    await until(lambda: bench.record(container_id).status == "restarting")
    await stop.stop(bench.engine, container_id)
    assert bench.record(container_id).status == "exited"


async def test_health(bench: Bench) -> None:
    check = HealthConfig(test=["CMD-SHELL", "echo probed; test -e /ok"], interval=50_000_000, retries=2)
    container_id = await bench.start("sleep", "100", healthcheck=check)
    assert bench.record(container_id).health.status == "starting"
    await until(lambda: bench.record(container_id).health.status == "unhealthy")
    assert bench.record(container_id).health.log[-1].output == "probed\n"
    exec_id = await exec_create.create(bench.engine, container_id, ExecCreateRequest(cmd=["touch", "/ok"]))
    await exec_start.start(bench.engine, exec_id, ExecStartRequest(detach=True), hijack=never)
    await until(lambda: bench.record(container_id).health.status == "healthy")
    assert len(bench.record(container_id).health.log) <= 5


async def test_out_of_memory_is_told(bench: Bench) -> None:
    host = none_network(memory=8 << 20, memory_swap=8 << 20)
    container_id = await bench.start("sh", "-c", "dd if=/dev/zero of=/dev/null bs=100M", host=host)
    await until(lambda: bench.record(container_id).status == "exited")
    assert bench.record(container_id).exit_code in (137, int(signal.SIGKILL))
    assert bench.record(container_id).oom_killed


async def test_prune_takes_only_what_is_stopped(bench: Bench) -> None:
    running = await bench.start("sleep", "100")
    stopped = await bench.create("true")
    answer = await prune.prune(bench.engine, {})
    assert answer.containers_deleted == [stopped]
    assert bench.record(running).status == "running"


async def test_events(bench: Bench) -> None:
    seen = []

    async def listen() -> None:
        async for event in bench.engine.events.subscribe({"type": ["container"]}):
            seen.append(event.action)

    listener = asyncio.create_task(listen())
    await asyncio.sleep(0)
    await bench.run("true", name="heard")
    await until(lambda: "destroy" in seen)
    listener.cancel()
    assert seen == ["create", "start", "die", "destroy"]


async def test_commit_keeps_files_and_changes(bench: Bench) -> None:
    container_id = await bench.start("sh", "-c", "echo kept > /kept; sleep 100", name="source")
    kept = Path(bench.engine.snapshots.tree(container_id), "kept")
    await until(lambda: kept.exists() and kept.read_text() == "kept\n")
    image_id = await commit.commit(
        bench.engine, "source", repository="kept", tag="1", changes=['CMD ["cat", "/kept"]']
    )
    assert bench.record("source").status == "running"
    shown = await image_inspect.inspect(bench.engine, image_id)
    assert shown.parent == bench.record("source").image_id
    request = ContainerCreateRequest(image="kept:1", host_config=none_network())
    made = await create.create(bench.engine, request)
    assert bench.record(made.id).image_id == image_id
    ended = await wait.wait(bench.engine, made.id, "next-exit")
    await start.start(bench.engine, made.id)
    assert (await ended).status_code == 0
    assert bench.log(made.id) == "kept\n"
