"""The engine dies and another takes over: containers run on, ends are known, what was cut off is gone."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import textwrap
import time

import pytest

from onggi.engine.config import EngineConfig
from onggi.engine.containers import kill, remove, start, wait
from onggi.engine.reconcile import open_engine
from onggi.images.import_ import import_

from .conftest import Bench, busybox_tar

pytestmark = pytest.mark.root

DAEMON = """
import asyncio, sys
from onggi.engine.config import EngineConfig
from onggi.engine.containers import create, kill, pause, remove, start, stop, wait
from onggi.engine.reconcile import open_engine
from onggi.wire.containers import ContainerCreateRequest, HostConfig, RestartPolicy

async def make(engine, name, *command, policy="no"):
    host = HostConfig(network_mode="none", restart_policy=RestartPolicy(name=policy))
    request = ContainerCreateRequest(image="busybox", cmd=list(command), host_config=host)
    return (await create.create(engine, request, name)).id

async def main():
    engine = await open_engine(EngineConfig(root=sys.argv[1], exec_root=sys.argv[2]))
{body}
    print("ready", flush=True)
    await asyncio.sleep(1000)

asyncio.run(main())
"""


def daemon(config: EngineConfig, body: str, failpoint: str = "") -> subprocess.Popen[str]:
    code = DAEMON.replace("{body}", textwrap.indent(textwrap.dedent(body), "    "))
    environment = {**os.environ, "PYTHONPATH": "src", "ONGGI_FAILPOINT": failpoint}
    return subprocess.Popen(
        [sys.executable, "-c", code, config.root, config.exec_root],
        stdout=subprocess.PIPE, env=environment, text=True,
    )  # fmt: skip


def run_and_kill(config: EngineConfig, body: str, failpoint: str = "") -> None:
    """Run the body in an engine of its own and kill that with SIGKILL, afterwards or at the failpoint."""
    with daemon(config, body, failpoint) as process:
        assert process.stdout is not None
        said = process.stdout.readline()
        if failpoint:
            assert said == ""
            assert process.wait() == -9
        else:
            assert said == "ready\n"
            process.kill()


@pytest.fixture
async def image(config: EngineConfig) -> None:
    engine = await open_engine(config)
    import_(engine.images, [busybox_tar()], name="docker.io/library/busybox:latest")
    await engine.close()


async def taken_over(config: EngineConfig) -> Bench:
    return Bench(await open_engine(config))


async def leave(bench: Bench) -> None:
    for container in bench.engine.containers.all():
        await remove.remove(bench.engine, container.id, force=True, volumes=True)
    assert os.listdir(bench.engine.paths.containers_dir) == []
    await bench.engine.close()


async def test_a_running_container_runs_on_and_ends_with_its_code(config: EngineConfig, image: None) -> None:
    run_and_kill(
        config,
        """
        await start.start(engine, await make(
            engine, "jar", "sh", "-c", "trap 'exit 5' TERM; while :; do sleep 0.02; done"))
    """,
    )
    bench = await taken_over(config)
    pid = bench.record("jar").pid
    assert bench.record("jar").status == "running"
    os.kill(pid, 0)
    ended = await wait.wait(bench.engine, "jar")
    await kill.kill(bench.engine, "jar", signal="TERM")
    assert (await asyncio.wait_for(ended, 30)).status_code == 5
    await leave(bench)


async def test_an_exit_while_nobody_looked_is_known(config: EngineConfig, image: None) -> None:
    run_and_kill(
        config, """await start.start(engine, await make(engine, "jar", "sh", "-c", "sleep 0.3; exit 9"))"""
    )
    engine_paths = config.paths
    deadline = time.monotonic() + 30
    directory = f"{engine_paths.containers_dir}/{os.listdir(engine_paths.containers_dir)[0]}"
    while not os.path.exists(f"{directory}/exit.json"):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    bench = await taken_over(config)
    deadline = time.monotonic() + 30  # the shim may be about to tell of it
    while bench.record("jar").status == "running":
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)
    assert (bench.record("jar").status, bench.record("jar").exit_code) == ("exited", 9)
    await leave(bench)


async def test_a_paused_container_stays_paused(config: EngineConfig, image: None) -> None:
    run_and_kill(
        config,
        """
        await start.start(engine, await make(engine, "jar", "sleep", "100"))
        await pause.pause(engine, "jar")
    """,
    )
    bench = await taken_over(config)
    assert bench.record("jar").status == "paused"
    await leave(bench)


async def test_always_comes_back_with_the_engine_and_a_stopped_one_does_not(
    config: EngineConfig, image: None
) -> None:
    run_and_kill(
        config,
        """
        for policy in ("always", "unless-stopped"):
            await start.start(engine, await make(engine, policy, "sleep", "100", policy=policy))
            await stop.stop(engine, policy, timeout=0)
    """,
    )
    bench = await taken_over(config)
    deadline = time.monotonic() + 30
    while bench.record("always").status != "running":
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)
    assert bench.record("unless-stopped").status == "exited"
    await leave(bench)


@pytest.mark.parametrize(
    "point",
    [
        "create.row-written",
        "create.directory-made",
        "create.snapshot-made",
        "create.volumes-made",
    ],
)
async def test_a_create_that_was_cut_off_leaves_nothing(
    config: EngineConfig, image: None, point: str
) -> None:
    run_and_kill(config, """await make(engine, "jar", "true")""", f"{point}=kill")
    bench = await taken_over(config)
    assert bench.engine.containers.all() == []
    assert os.listdir(bench.engine.paths.containers_dir) == []
    await bench.create("true", name="jar")
    await leave(bench)


@pytest.mark.parametrize(
    "point",
    [
        "start.network-attached",
        "start.shim-spawned",
        "start.started",
        "start.row-written",
    ],
)
async def test_a_start_that_was_cut_off_succeeds_the_next_time(
    config: EngineConfig, image: None, point: str
) -> None:
    run_and_kill(
        config, """await start.start(engine, await make(engine, "jar", "sleep", "100"))""", f"{point}=kill"
    )
    bench = await taken_over(config)
    if point in ("start.started", "start.row-written"):
        assert bench.record("jar").status == "running"
    else:
        assert bench.record("jar").status == "created"
        await start.start(bench.engine, "jar")
    await leave(bench)


@pytest.mark.parametrize(
    "point", ["stop.row-written", "stop.signalled", "exit.network-detached", "exit.row-written"]
)
async def test_a_stop_that_was_cut_off(config: EngineConfig, image: None, point: str) -> None:
    run_and_kill(
        config,
        """
        await start.start(engine, await make(engine, "jar", "sleep", "100", policy="always"))
        await stop.stop(engine, "jar", timeout=0, signal="KILL")
    """,
        f"{point}=kill",
    )
    bench = await taken_over(config)
    assert bench.record("jar").status in ("running", "exited", "restarting")
    await leave(bench)


@pytest.mark.parametrize(
    "point",
    [
        "remove.row-written",
        "remove.cgroup-gone",
        "remove.snapshot-gone",
        "remove.directory-gone",
        "remove.volumes-gone",
    ],
)
async def test_a_removal_that_was_cut_off_is_finished(config: EngineConfig, image: None, point: str) -> None:
    run_and_kill(
        config,
        """
        await start.start(engine, await make(engine, "jar", "sleep", "100"))
        await remove.remove(engine, "jar", force=True, volumes=True)
    """,
        f"{point}=kill",
    )
    bench = await taken_over(config)
    assert bench.engine.containers.all() == []
    await leave(bench)


async def test_a_killed_shim_is_a_lost_run(config: EngineConfig, image: None) -> None:
    bench = await taken_over(config)
    container_id = await bench.start("sleep", "100")
    shim = bench.engine.containers.get(container_id).shim
    assert shim is not None
    ended = await wait.wait(bench.engine, container_id)
    init = bench.record(container_id).pid
    os.kill((await shim.state()).shim_pid, 9)
    assert (await asyncio.wait_for(ended, 30)).status_code in (137, 255)
    assert not os.path.exists(f"/proc/{init}/exe") or not os.readlink(f"/proc/{init}/exe")
    await leave(bench)
