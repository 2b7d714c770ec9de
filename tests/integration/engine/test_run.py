"""Containers run for real: exit codes, output, settings."""

from __future__ import annotations

import time

import pytest

from onggi.engine.containers import start, wait
from onggi.errors import StartFailed
from onggi.wire.containers import HostConfig

from .conftest import Bench, none_network

pytestmark = pytest.mark.root


async def test_exit_code_and_output(bench: Bench) -> None:
    code, output = await bench.run("sh", "-c", "echo hello; echo error >&2; exit 3")
    assert code == 3
    assert sorted(output.split()) == ["error", "hello"]


async def test_speed(bench: Bench) -> None:
    await bench.run("true")
    begin = time.monotonic()
    for _ in range(10):
        await bench.run("true")
    print(f"create+start+wait+remove: {(time.monotonic() - begin) * 100:.1f} ms")


async def test_command_not_found_is_127(bench: Bench) -> None:
    container_id = await bench.create("nonsense")
    with pytest.raises(StartFailed, match='exec: "nonsense": executable file not found in \\$PATH') as caught:
        await start.start(bench.engine, container_id)
    assert caught.value.exit_code == 127
    assert bench.record(container_id).exit_code == 127
    assert bench.record(container_id).status == "created"


async def test_not_executable_is_126(bench: Bench) -> None:
    container_id = await bench.create("/etc/passwd")
    with pytest.raises(StartFailed, match="permission denied") as caught:
        await start.start(bench.engine, container_id)
    assert caught.value.exit_code == 126


async def test_user_by_name_with_groups_and_home(bench: Bench) -> None:
    code, output = await bench.run("sh", "-c", "id; echo $HOME; pwd", user="ana", working_dir="/tmp")
    assert code == 0
    assert "uid=1000(ana) gid=1000(ana) groups=1000(ana),29(audio)" in output or "29(audio)" in output
    assert "/home/ana" in output
    assert output.endswith("/tmp\n")


async def test_own_hostname_environment_and_pid_1(bench: Bench) -> None:
    code, output = await bench.run("sh", "-c", "echo $$; hostname; echo $A", hostname="jar", env=["A=b"])
    assert code == 0
    assert output == "1\njar\nb\n"


async def test_memory_limit_is_the_cgroups(bench: Bench) -> None:
    code, output = await bench.run(
        "sh",
        "-c",
        "cat /sys/fs/cgroup/memory/memory.limit_in_bytes 2>&- || cat /sys/fs/cgroup/memory.max",
        host=none_network(memory=64 << 20),
    )
    assert (code, output) == (0, f"{64 << 20}\n")


async def test_read_only_root_and_tmpfs(bench: Bench) -> None:
    host = none_network(readonly_rootfs=True, tmpfs={"/run": "size=1m"})
    code, output = await bench.run("sh", "-c", "touch /x; touch /run/x && echo done", host=host)
    assert "Read-only file system" in output
    assert "done\n" in output  # two pipes: which comes first is nobody's promise
    assert code == 0


async def test_named_volume_copies_up_and_stays(bench: Bench) -> None:
    host = none_network(binds=["jar:/data"])
    code, output = await bench.run(
        "sh", "-c", "cat /data/seed; stat -c %u:%a /data/seed; echo x > /data/new", host=host
    )
    assert (code, output) == (0, "seed\n1000:640\n")
    code, output = await bench.run("cat", "/data/new", host=host)
    assert (code, output) == (0, "x\n")


async def test_bind_mount(bench: Bench, directory: str) -> None:
    host = none_network(binds=[f"{directory}/shared:/mnt/shared", f"{directory}/shared:/mnt/ro:ro"])
    code, output = await bench.run(
        "sh", "-c", "echo hi > /mnt/shared/f; touch /mnt/ro/g || cat /mnt/ro/f", host=host
    )
    assert code == 0
    assert "hi\n" in output  # stdout and stderr are two pipes: they have no order
    assert "Read-only file system" in output


async def test_privileged_and_dropped_capabilities(bench: Bench) -> None:
    command = ("sh", "-c", "grep CapEff /proc/self/status")
    _, default = await bench.run(*command)
    _, none = await bench.run(*command, host=none_network(cap_drop=["ALL"]))
    _, some = await bench.run(*command, host=none_network(cap_drop=["all"], cap_add=["net_admin"]))
    assert default.split()[1] == "00000000a80425fb"
    assert int(none.split()[1], 16) == 0
    assert int(some.split()[1], 16) == 1 << 12


async def test_masked_paths(bench: Bench) -> None:
    code, output = await bench.run("sh", "-c", "ls /sys/firmware | wc -l; echo x > /proc/sys/kernel/hostname")
    assert "0" in output.splitlines()  # stdout and stderr are two pipes
    assert "Read-only file system" in output
    assert code != 0


async def test_auto_remove(bench: Bench) -> None:
    container_id = await bench.create("true", host=none_network(auto_remove=True))
    gone = await wait.wait(bench.engine, container_id, "removed")
    await start.start(bench.engine, container_id)
    assert (await gone).status_code == 0
    assert bench.engine.containers.find(container_id) is None


async def test_host_network(bench: Bench) -> None:
    code, _ = await bench.run("true", host=HostConfig(network_mode="host"))
    assert code == 0


async def test_bridge_network_has_an_address(bench: Bench) -> None:
    code, output = await bench.run("sh", "-c", "cat /etc/hosts /proc/net/dev", host=HostConfig())
    assert code == 0
    assert "eth0" in output


async def test_a_failed_start_is_auto_removed(bench: Bench) -> None:
    container_id = await bench.create("nonsense", host=none_network(auto_remove=True))
    gone = await wait.wait(bench.engine, container_id, "removed")
    with pytest.raises(StartFailed):
        await start.start(bench.engine, container_id)
    assert bench.engine.containers.find(container_id) is None, "who is told may use what it had"
    assert (await gone).status_code == 127
