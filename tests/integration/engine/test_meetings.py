"""Verbs that meet each other, or the end of a run, each meeting staged."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest

from onggi.engine import reconcile
from onggi.engine.containers import attach, kill, logs, remove, start, stats, stop, wait
from onggi.engine.exec_ import create as exec_create
from onggi.engine.exec_ import inspect as exec_inspect
from onggi.engine.exec_ import resize as exec_resize
from onggi.engine.exec_ import start as exec_start
from onggi.engine.networks import unlink
from onggi.engine.shims import Shim
from onggi.errors import Conflict, StartFailed, System
from onggi.server.messages import Hijacked
from onggi.spawn.messages import Channel
from onggi.wire.containers import ExecCreateRequest, ExecStartRequest, RestartPolicy

from .conftest import Bench, hijacked, none_network

pytestmark = pytest.mark.root


async def until(true: Callable[[], object], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "did not come true"
        await asyncio.sleep(0.01)


async def never() -> Any:
    raise AssertionError("a detached exec takes no connection")


async def everything(sock: socket.socket) -> bytes:
    data = b""
    while piece := await asyncio.wait_for(asyncio.get_running_loop().sock_recv(sock, 65536), 10):
        data += piece
    return data


async def test_a_wait_ends_with_the_restarts_that_are_given_up(bench: Bench) -> None:
    policy = RestartPolicy(name="always")
    container_id = await bench.start("sh", "-c", "exit 3", host=none_network(restart_policy=policy))
    container = bench.engine.containers.get(container_id)
    await until(lambda: container.record.restart_count >= 3)  # from now on it sleeps for most of a second
    await until(lambda: container.status == "restarting" and container.restart_task is not None)
    waiting = await wait.wait(bench.engine, container_id)
    await stop.stop(bench.engine, container_id)
    assert (await asyncio.wait_for(waiting, 5)).status_code == 3


async def test_rm_force_removes_what_somebody_starts_again_meanwhile(bench: Bench) -> None:
    container_id = await bench.start("sleep", "100")
    container = bench.engine.containers.get(container_id)
    first_end = container.next_exit()  # told before the remover is

    async def start_again() -> None:
        await first_end
        await start.start(bench.engine, container_id)

    starting = asyncio.create_task(start_again())
    await asyncio.sleep(0)
    await asyncio.wait_for(remove.remove(bench.engine, container_id, force=True), 30)
    await starting
    assert container.removed and bench.engine.containers.all() == []


async def test_the_name_of_an_rm_container_that_did_not_start_is_free_at_once(bench: Bench) -> None:
    for _ in range(2):
        container_id = await bench.create("nonesuch", name="jar", host=none_network(auto_remove=True))
        removed = await wait.wait(bench.engine, container_id, "removed")
        with pytest.raises(StartFailed):
            await start.start(bench.engine, container_id)
        assert bench.engine.containers.named("jar") is None
        assert (await removed).status_code == 127


async def test_a_client_that_does_not_read_the_log_holds_nobody_up(bench: Bench) -> None:
    command = "i=0; while [ $i -lt 20000 ]; do echo $i-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa; i=$((i+1)); done"
    container_id = await bench.start("sh", "-c", f"{command}; exec sleep 100")
    await until(lambda: "19999-" in bench.log(container_id))
    take, client = hijacked()
    attaching = asyncio.create_task(attach.attach(bench.engine, container_id, hijack=take, logs=True))
    done, _ = await asyncio.wait([attaching], timeout=0.3)
    assert not done
    async with asyncio.timeout(10):
        await kill.kill(bench.engine, container_id)
    assert bench.record(container_id).exit_code == 137
    assert b"19999-" in await everything(client)
    await attaching
    client.close()


async def test_an_exec_whose_container_ends_before_it_begins_says_so(bench: Bench) -> None:
    container_id = await bench.start("sleep", "100")
    wanted = ExecCreateRequest(cmd=["true"], attach_stdout=True, attach_stderr=True)
    exec_id = await exec_create.create(bench.engine, container_id, wanted)
    take, client = hijacked()

    async def take_late() -> Any:
        await kill.kill(bench.engine, container_id)
        return await take()

    await exec_start.start(bench.engine, exec_id, ExecStartRequest(), hijack=take_late)
    said = await everything(client)
    assert said[:1] == b"\x02" and b"is not running" in said
    found = await exec_inspect.inspect(bench.engine, exec_id)
    assert (found.running, found.exit_code) == (False, 128)
    client.close()


async def test_a_client_that_goes_before_its_exec_begins_leaves_it_ended(bench: Bench) -> None:
    container_id = await bench.start("sleep", "100")
    exec_id = await exec_create.create(bench.engine, container_id, ExecCreateRequest(cmd=["true"]))

    async def gone() -> Hijacked:
        raise ConnectionError

    with pytest.raises(ConnectionError):
        await exec_start.start(bench.engine, exec_id, ExecStartRequest(), hijack=gone)
    found = await exec_inspect.inspect(bench.engine, exec_id)
    assert (found.running, found.exit_code) == (False, 126)


async def test_an_exec_that_is_just_begun_gets_its_terminals_size(bench: Bench) -> None:
    container_id = await bench.start("sleep", "100")
    wanted = ExecCreateRequest(cmd=["cat"], tty=True, attach_stdin=True, attach_stdout=True)
    exec_id = await exec_create.create(bench.engine, container_id, wanted)
    take, client = hijacked()
    resizing: list[asyncio.Task[None]] = []

    async def take_and_resize() -> Any:
        """As a client does that has read the answer's head."""
        work = exec_resize.resize(bench.engine, exec_id, rows=33, columns=77)
        resizing.append(asyncio.create_task(work))
        await asyncio.sleep(0.02)
        return await take()

    await exec_start.start(bench.engine, exec_id, ExecStartRequest(tty=True), hijack=take_and_resize)
    await resizing[0]
    client.send(b"\x04")
    await until(lambda: not bench.engine.execs.get(exec_id).running)
    with pytest.raises(Conflict):
        await exec_resize.resize(bench.engine, exec_id, rows=1, columns=1)
    client.close()


async def test_an_execs_end_is_asked_of_the_shim_of_its_run(bench: Bench) -> None:
    """The container has let go of the shim: what that told of the exec may not have been read yet."""
    container_id = await bench.start("sleep", "100")
    exec_id = await exec_create.create(bench.engine, container_id, ExecCreateRequest(cmd=["sleep", "100"]))
    await exec_start.start(bench.engine, exec_id, ExecStartRequest(detach=True), hijack=never)
    asked = []
    shim = bench.engine.containers.get(container_id).shim
    assert shim is not None
    state = shim.state

    async def ask() -> Any:
        asked.append(1)
        return await state()

    shim.state = ask  # type: ignore[method-assign]
    await kill.kill(bench.engine, container_id)
    instance = bench.engine.execs.get(exec_id)
    instance.exit_code = None
    await exec_inspect.inspect(bench.engine, exec_id)
    assert asked


async def test_statistics_of_a_container_that_ends_while_they_are_read(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    container_id = await bench.start("sleep", "100")
    there = True

    class Group:
        def stats(self) -> None:
            raise System("cgroup /x does not exist")

        def exists(self) -> bool:
            return there

    monkeypatch.setattr(stats.run_paths, "group", lambda engine, record: Group())
    readings = await stats.stats(bench.engine, container_id)
    other = await stats.stats(bench.engine, container_id)
    with pytest.raises(System):
        await asyncio.wait_for(anext(readings), 5)  # a real fault ends it for everybody
    with pytest.raises(System):
        await asyncio.wait_for(anext(other), 5)
    there = False
    fresh = await stats.stats(bench.engine, container_id)
    reading = await asyncio.wait_for(anext(fresh), 5)
    assert reading.pids_stats is None or not reading.pids_stats.current
    await fresh.aclose()  # type: ignore[attr-defined]
    monkeypatch.undo()


async def test_a_log_that_nobody_began_to_read_is_closed(bench: Bench) -> None:
    container_id = await bench.start("echo", "hello")
    await (await wait.wait(bench.engine, container_id))
    found = await logs.logs(bench.engine, container_id, stdout=True, stderr=True)
    reader = found._inner.ag_frame.f_locals["reader"]  # type: ignore[attr-defined]
    assert reader._file is not None
    await found.aclose()  # type: ignore[attr-defined]
    assert reader._file is None


async def test_a_start_is_not_undone_by_a_container_that_links_to_it_and_goes(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    container_id = await bench.create("sleep", "100")
    other = bench.engine.containers.get(await bench.create("true"))
    monkeypatch.setattr(unlink.links, "linking", lambda engine, container: [other])

    write = unlink.hosts.write

    def vanished(engine: Any, directory: str, record: Any, *, resolver: bool) -> None:
        if record.id == other.id:
            raise FileNotFoundError(2, "No such file or directory")
        write(engine, directory, record, resolver=resolver)

    monkeypatch.setattr(unlink.hosts, "write", vanished)
    await start.start(bench.engine, container_id)
    assert bench.record(container_id).status == "running"
    monkeypatch.undo()


async def test_a_shim_in_the_middle_of_a_start_is_waited_for(tmp_path: Any) -> None:
    ours, theirs = socket.socketpair()
    shim = Shim("c", ours, str(tmp_path / "exit.json"))
    peer = Channel(theirs)
    facts = {"version": 1, "shim_pid": 1, "pid": 0, "root_pid": 0, "started_at": 0}
    facts |= {"execs": [], "ended_execs": []}
    settled = asyncio.create_task(reconcile._settled(shim))
    for status in ("starting", "starting", "running"):
        received: list[Any] = []
        while not received:
            await asyncio.sleep(0.005)
            received = peer.receive()
        peer.send(-received[0][0], "", {**facts, "status": status, "pid": 7 if status == "running" else 0})
    state = await settled
    assert state is not None and (state.status, state.pid) == ("running", 7)
    peer.close()
    assert await reconcile._settled(shim) is None  # gone
