"""Zygote and shims with real processes: runs, clients, execs, and the death of everybody in turn."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from onggi.engine.shims import (
    AttachOptions,
    ExitRecord,
    LogTarget,
    Shim,
    ShimGone,
    Stdio,
    Zygote,
    read_exit_record,
)
from onggi.kernel.namespaces import CLONE_NEWPID, CLONE_NEWUTS
from onggi.paths import Paths
from onggi.spawn import plan as plans
from onggi.spawn.messages import Channel

pytestmark = pytest.mark.root
ENV = ["PATH=/usr/bin:/bin", "HOME=/"]


def plan_of(*command: str, init_pid: int = 0) -> plans.Plan:
    plan = plans.new("c")
    plan["child"] = [("find", command[0]), ("exec", list(command), ENV)]
    if init_pid:
        plan["exec_join"] = (init_pid, CLONE_NEWUTS | CLONE_NEWPID)
    else:
        plan["clone"] = CLONE_NEWUTS | CLONE_NEWPID
    return plan


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    found = Paths(str(tmp_path / "root"), str(tmp_path / "run"))
    os.makedirs(found.container_dir("c"))
    return found


class KeptZygote(Zygote):
    """Lets go of every shim at the test's end, whether or not the test waited for the shim's own."""

    def __init__(self, paths: Paths) -> None:
        super().__init__(paths)
        self.made: list[Shim] = []

    async def spawn(self, container_id: str) -> Shim:
        self.made.append(await super().spawn(container_id))
        return self.made[-1]


@pytest.fixture
async def zygote(paths: Paths) -> AsyncIterator[Zygote]:
    zygote = KeptZygote(paths)
    await zygote.start()
    yield zygote
    for shim in zygote.made:
        shim.disconnect()
    zygote.close()
    await until(lambda: not alive(zygote.pid))


async def until(true: object, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not true():  # type: ignore[operator]
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)


def alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


async def received(sock: socket.socket) -> bytes:
    sock.setblocking(False)
    data = b""
    loop = asyncio.get_running_loop()
    while piece := await asyncio.wait_for(loop.sock_recv(sock, 65536), 30):
        data += piece
    return data


async def sleeper(zygote: Zygote, paths: Paths) -> Shim:
    shim = await zygote.spawn("c")
    await shim.start(plan_of("sleep", "1000"), Stdio(), log=LogTarget(path=paths.log("c")))
    return shim


async def test_a_run_leaves_its_log_and_its_record(zygote: Zygote, paths: Paths) -> None:
    shim = await zygote.spawn("c")
    command = plan_of("sh", "-c", "echo out; echo err >&2; exit 3")
    started = await shim.start(command, Stdio(), log=LogTarget(path=paths.log("c")))
    record = await shim.exited
    assert (record.exit_code, record.pid, record.lost) == (3, started.pid, False)
    assert read_exit_record(paths.exit_record("c")) == record
    log = Path(paths.log("c")).read_text()
    assert '"log":"out\\n","stream":"stdout"' in log and '"log":"err\\n","stream":"stderr"' in log
    await shim.ended
    assert zygote.shims() == []


async def test_a_signal_is_128_and_its_number(zygote: Zygote, paths: Paths) -> None:
    shim = await sleeper(zygote, paths)
    await shim.signal(signal.SIGKILL)
    record = await shim.exited
    assert (record.exit_code, record.signal) == (137, 9)


async def test_a_failed_start_names_the_step_and_ends_the_shim(zygote: Zygote) -> None:
    shim = await zygote.spawn("c")
    with pytest.raises(plans.StepFailed) as caught:
        await shim.start(plan_of("nonesuch"), Stdio())
    assert (caught.value.step, caught.value.exit_code) == ("find", 127)
    await shim.ended
    assert zygote.shims() == []


async def test_the_reason_of_a_failed_start_still_goes_to_its_client(zygote: Zygote) -> None:
    shim = await zygote.spawn("c")
    mine, theirs = socket.socketpair()
    attached = await shim.attach(theirs, b"", AttachOptions(stdin=True))
    with pytest.raises(plans.StepFailed):
        await shim.start(plan_of("nonesuch"), Stdio(stdin=True))
    await shim.ended  # the shim has let go of the connection, and has not ended it
    theirs.send(b"nonesuch: no such file\n")
    theirs.close()
    assert await received(mine) == b"nonesuch: no such file\n"
    assert await attached.ended == "closed"
    mine.close()


async def test_clients_get_every_byte_and_half_close_ends_stdin(zygote: Zygote) -> None:
    shim = await zygote.spawn("c")
    mine, theirs = socket.socketpair()
    attached = await shim.attach(theirs, b"early\n", AttachOptions(stdin=True))
    theirs.close()
    await shim.start(plan_of("cat"), Stdio(stdin=True, stdin_once=True))
    mine.send(b"later\n")
    mine.shutdown(socket.SHUT_WR)
    data = await received(mine)
    assert data.replace(b"\x01\0\0\0\0\0\0\x06", b"") in (
        b"early\nlater\n",
        b"\x01\0\0\0\0\0\0\x0cearly\nlater\n",
    )
    assert await attached.ended == "finished"
    assert (await shim.exited).exit_code == 0
    mine.close()


async def test_a_slow_client_loses_nothing_and_a_vanished_one_blocks_nobody(zygote: Zygote) -> None:
    shim = await zygote.spawn("c")
    slow, theirs = socket.socketpair()
    gone, theirs_too = socket.socketpair()
    await shim.attach(theirs, b"", AttachOptions(framed=False))
    await shim.attach(theirs_too, b"", AttachOptions(framed=False))
    theirs.close()
    theirs_too.close()
    gone.close()
    await shim.start(plan_of("head", "-c", "3000000", "/dev/zero"), Stdio())
    await asyncio.sleep(0.1)
    assert not shim.exited.done()  # back-pressure
    assert len(await received(slow)) == 3_000_000
    assert (await shim.exited).exit_code == 0
    slow.close()


async def test_exec_with_client_capture_and_timeout(zygote: Zygote, paths: Paths) -> None:
    shim = await sleeper(zygote, paths)
    mine, theirs = socket.socketpair()
    run = await shim.exec(
        "e1", plan_of("sh", "-c", "cat; exit 5", init_pid=shim.pid), Stdio(stdin=True), sock=theirs,
        early=b"hello", options=AttachOptions(stdin=True),
    )  # fmt: skip
    theirs.close()
    mine.shutdown(socket.SHUT_WR)
    assert await received(mine) == b"\x01\0\0\0\0\0\0\x05hello"
    assert (await run.exited).exit_code == 5
    mine.close()
    probe = await shim.exec(
        "e2",
        plan_of("sh", "-c", "echo 12345678; exec sleep 100", init_pid=shim.pid),
        Stdio(),
        capture=4,
        timeout=3,  # long enough for its first words on a busy machine
    )
    ended = await probe.exited
    assert (ended.exit_code, ended.output, ended.timed_out) == (137, b"1234", True)
    mine, theirs = socket.socketpair()
    with pytest.raises(plans.StepFailed):
        await shim.exec("e3", plan_of("nonesuch", init_pid=shim.pid), Stdio(), sock=theirs)
    theirs.send(b"the daemon still can say why")
    theirs.close()
    assert await received(mine) == b"the daemon still can say why"
    mine.close()
    await shim.signal(signal.SIGKILL)
    await shim.ended


async def test_a_slow_client_of_an_exec_gets_its_last_bytes_though_the_run_is_over(
    zygote: Zygote, paths: Paths
) -> None:
    shim = await sleeper(zygote, paths)
    slow, theirs = socket.socketpair()
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)  # so that the shim has to keep most of it
    run = await shim.exec(
        "e", plan_of("head", "-c", "100000", "/dev/zero", init_pid=shim.pid), Stdio(), sock=theirs,
        options=AttachOptions(framed=False),
    )  # fmt: skip
    theirs.close()
    assert (await run.exited).exit_code == 0
    await shim.signal(signal.SIGKILL)
    assert (await shim.exited).exit_code == 137
    assert len(await received(slow)) == 100_000
    await shim.ended
    slow.close()


async def test_what_a_shim_said_before_it_went_counts(paths: Paths) -> None:
    ours, theirs = socket.socketpair()
    shim = Shim("c", ours, paths.exit_record("c"))
    exec_exited = shim.adopt("e")
    peer = Channel(theirs)
    ended = {"exit_code": 3, "output": b"", "timed_out": False, "finished_at": 1}
    peer.send(0, "exec-exit", {"exec_id": "e", **ended})
    peer.send(0, "exit", {"exit_code": 4, "undone": True})
    peer.close()
    with pytest.raises(ShimGone):  # asked before what came was read: it cannot be sent any more
        await shim.signal(signal.SIGTERM)
    assert (await exec_exited).exit_code == 3
    assert (await shim.exited).exit_code == 4 and shim.undone
    assert shim.ended.done()


async def test_a_stray_that_holds_the_pipe_does_not_hold_the_end(zygote: Zygote) -> None:
    shim = await zygote.spawn("c")
    plan = plan_of("sh", "-c", "echo x; setsid sleep 100 & exit 0")
    plan["clone"] = CLONE_NEWUTS  # the host's pid namespace: what is left behind is killed by the shim
    await shim.start(plan, Stdio())
    assert (await asyncio.wait_for(shim.exited, 30)).exit_code == 0


async def test_the_daemon_dies_and_the_next_one_goes_on(zygote: Zygote, paths: Paths) -> None:
    shim = await sleeper(zygote, paths)
    pid = shim.pid
    shim.disconnect()
    zygote.close()
    successor = Zygote(paths)
    found = await successor.find("c")
    assert isinstance(found, Shim) and found.pid == pid
    await found.signal(signal.SIGTERM)
    await found.signal(signal.SIGKILL)
    record = await found.exited
    assert record.exit_code == 137
    await found.ended
    assert await successor.find("c") == record  # and when it ended while nobody looked


async def test_the_shim_dies(zygote: Zygote, paths: Paths) -> None:
    shim = await sleeper(zygote, paths)
    state = await shim.state()
    os.kill(state.shim_pid, signal.SIGKILL)
    record = await shim.exited
    assert record.lost and record.exit_code == 255
    assert await zygote.find("c") is None
    os.kill(state.pid, signal.SIGKILL)  # the engine does it by cgroup
    again = await sleeper(zygote, paths)  # its directory can be used again
    await again.signal(signal.SIGKILL)
    assert isinstance(await again.exited, ExitRecord)
    await again.ended


async def test_the_zygote_dies(zygote: Zygote, paths: Paths) -> None:
    first = zygote.pid
    shim = await sleeper(zygote, paths)
    os.kill(first, signal.SIGKILL)
    await until(lambda: not alive(first))
    other = await zygote.spawn("other")
    assert zygote.pid != first
    await other.quit()
    await shim.signal(signal.SIGKILL)
    assert (await shim.exited).exit_code == 137
    await shim.ended


async def test_log_grown_tells_of_more_and_of_the_end(zygote: Zygote, paths: Paths) -> None:
    shim = await zygote.spawn("c")
    mine, theirs = socket.socketpair()
    await shim.attach(theirs, b"", AttachOptions(stdin=True))
    theirs.close()
    await shim.start(plan_of("cat"), Stdio(stdin=True, stdin_once=True), log=LogTarget(path=paths.log("c")))
    assert await shim.log_grown(-1) == 0
    waiting = asyncio.ensure_future(shim.log_grown(0))
    mine.send(b"line\n")
    grown = await asyncio.wait_for(waiting, 30)
    assert grown == os.path.getsize(paths.log("c"))
    waiting = asyncio.ensure_future(shim.log_grown(grown))
    mine.close()
    assert await asyncio.wait_for(waiting, 30) is None
    await shim.ended


async def test_the_interpreter_cannot_be_opened_for_writing(zygote: Zygote, paths: Paths) -> None:
    for flags in (os.O_WRONLY, os.O_RDWR):
        with pytest.raises(OSError):
            os.close(os.open(f"/proc/{zygote.pid}/exe", flags))
    shown = Path(f"/proc/{zygote.pid}/cmdline")
    await until(lambda: shown.read_bytes().startswith(b"onggi-zygote"))


@pytest.mark.parametrize("point", ["init-ended", "drained", "recorded", "undone", "told"])
async def test_a_shim_killed_at_each_step_of_the_end(
    paths: Paths, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    monkeypatch.setenv("ONGGI_FAILPOINT", f"shim.{point}=kill")
    zygote = Zygote(paths)
    shim = await zygote.spawn("c")
    await shim.start(plan_of("sh", "-c", "echo out; exit 3"), Stdio(), log=LogTarget(path=paths.log("c")))
    record = await shim.exited
    written = point not in ("init-ended", "drained")
    assert (record.lost, record.exit_code) == ((False, 3) if written else (True, 255))
    assert await zygote.find("c") == (record if written else None)
    zygote.close()
    await until(lambda: not alive(zygote.pid))
    monkeypatch.delenv("ONGGI_FAILPOINT")
    again = Zygote(paths)
    shim = await again.spawn("c")
    await shim.start(plan_of("sh", "-c", "exit 4"), Stdio(), log=LogTarget(path=paths.log("c")))
    assert (await shim.exited).exit_code == 4
    await shim.ended
    assert again.shims() == []
    again.close()
    await until(lambda: not alive(again.pid))


async def test_a_shim_that_is_about_to_listen_is_found(zygote: Zygote, paths: Paths) -> None:
    shim = await zygote.spawn("c")
    starting = asyncio.create_task(shim.start(plan_of("sleep", "1000"), Stdio()))
    found = await zygote.find("c")  # its directory is there already, its socket comes with the start
    assert isinstance(found, Shim)
    await starting
    await found.signal(signal.SIGKILL)
    assert (await found.exited).exit_code == 137
    await shim.ended


async def test_a_directory_without_a_shim_is_no_shim(zygote: Zygote, paths: Paths) -> None:
    os.makedirs(paths.shim_dir("c"))
    assert await zygote.find("c") is None
    os.rmdir(paths.shim_dir("c"))


@pytest.mark.parametrize(
    "point", ["begun", "host-done", "cloned", "attached", "executed", "launched", "told"]
)
async def test_a_launcher_killed_at_each_step(
    paths: Paths, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    monkeypatch.setenv("ONGGI_FAILPOINT", f"launcher.{point}=kill")
    zygote = Zygote(paths)
    shim = await zygote.spawn("c")
    starting = shim.start(plan_of("sleep", "1234.5"), Stdio(), log=LogTarget(path=paths.log("c")))
    if point == "told":  # the shim knows all that it needs
        await starting
        await shim.signal(signal.SIGKILL)
        assert (await shim.exited).exit_code == 137
    else:
        with pytest.raises(plans.StepFailed, match="launcher was killed"):
            await starting
    await shim.ended
    assert zygote.shims() == []
    assert not any(b"1234.5" in _cmdline(pid) for pid in os.listdir("/proc") if pid.isdigit())
    zygote.close()
    await until(lambda: not alive(zygote.pid))


def _cmdline(pid: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


async def test_many_execs_leave_nothing_in_the_shim(zygote: Zygote, paths: Paths) -> None:
    shim = await sleeper(zygote, paths)
    shim_pid = (await shim.state()).shim_pid
    figures = []
    for rounds in range(1000):
        run = await shim.exec(f"e{rounds}", plan_of("true", init_pid=shim.pid), Stdio(), capture=100)
        assert (await run.exited).exit_code == 0
        if rounds in (99, 999):
            children = Path(f"/proc/{shim_pid}/task/{shim_pid}/children")
            await until(lambda path=children: len(path.read_text().split()) == 1)  # init alone
            await shim.state()
            memory = int(Path(f"/proc/{shim_pid}/statm").read_text().split()[1])
            figures.append((len(os.listdir(f"/proc/{shim_pid}/fd")), memory))
    assert figures[0][0] == figures[1][0]
    assert figures[1][1] - figures[0][1] < 64, figures  # pages
    await shim.signal(signal.SIGKILL)
    await shim.ended
