"""User namespaces for real: ids inside and on the host, layers, volumes, archives; attempts to get out."""

from __future__ import annotations

import asyncio
import io
import itertools
import os
import subprocess
import tarfile
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from onggi.engine.access import callers
from onggi.engine.config import EngineConfig
from onggi.engine.containers import (
    archive_get,
    archive_put,
    commit,
    create,
    diff,
    export,
    remove,
    start,
    stop,
    wait,
)
from onggi.engine.exec_ import create as exec_create
from onggi.engine.exec_ import start as exec_start
from onggi.engine.reconcile import open_engine
from onggi.errors import Conflict, InvalidParameter
from onggi.images.import_ import import_
from onggi.server.messages import Hijacked
from onggi.store import id_ranges
from onggi.wire.containers import ContainerCreateRequest, ExecCreateRequest, ExecStartRequest, HostConfig

from .conftest import Bench, busybox_tar, none_network

pytestmark = pytest.mark.root
FIRST = 1 << 31


def auto(**fields: object) -> HostConfig:
    return none_network(userns_mode="auto", **fields)


async def members(stream: AsyncIterator[bytes]) -> dict[str, tarfile.TarInfo]:
    data = b"".join([piece async for piece in stream])
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {member.name.rstrip("/"): member for member in tar}


async def one(data: bytes) -> AsyncIterator[bytes]:
    yield data


def archive(name: str, uid: int, gid: int, text: bytes = b"x\n") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        info = tarfile.TarInfo(name)
        info.uid, info.gid, info.size = uid, gid, len(text)
        tar.addfile(info, io.BytesIO(text))
    return out.getvalue()


def host_ids(pid: int) -> tuple[int, int]:
    facts = os.stat(f"/proc/{pid}")
    return facts.st_uid, facts.st_gid


async def test_root_inside_is_nobody_outside(bench: Bench) -> None:
    script = (
        "id -u; cat /proc/self/uid_map; stat -c %u:%g /bin/busybox /data/seed; touch /new; stat -c %u /new"
    )
    code, output = await bench.run("sh", "-c", script, host=auto())
    words = output.split()
    assert code == 0
    assert words == ["0", "0", str(FIRST), "65536", "0:0", "1000:0", "0"]


@pytest.mark.parametrize("network", ["none", "bridge"])
async def test_ids_on_the_host(bench: Bench, network: str) -> None:
    jar = await bench.start("sleep", "1000", host=HostConfig(userns_mode="auto", network_mode=network))
    other = await bench.start("sleep", "1000", host=HostConfig(userns_mode="auto"), user="ana")
    first, second = bench.record(jar), bench.record(other)
    assert host_ids(first.pid) == (FIRST, FIRST)
    assert host_ids(second.pid) == (FIRST + 65536 + 1000, FIRST + 65536 + 1000)
    assert os.readlink(f"/proc/{first.pid}/ns/user") != os.readlink(f"/proc/{second.pid}/ns/user")


async def test_its_network_is_its_own_to_rule(bench: Bench) -> None:
    """The namespace was made before the container, and its root may set it up all the same."""
    host = HostConfig(userns_mode="auto", cap_add=["NET_ADMIN"], sysctls={"net.ipv4.ip_forward": "1"})
    script = (
        "cat /proc/sys/net/ipv4/ip_forward; ls /sys/class/net; head -c0 /proc/sys/net/ipv4/ping_group_range"
    )
    code, output = await bench.run("sh", "-c", script, host=host)
    assert (code, output.split()) == (0, ["1", "eth0", "lo"])


async def test_nothing_is_copied_or_chowned(bench: Bench) -> None:
    """The layers are as they were; what the container writes has the ids that it sees, also on disk."""
    jar = await bench.create(
        "sh",
        "-c",
        "touch /mine; chown 1000:29 /mine; chown 7 /data/seed; mkdir /d; rm /etc/group",
        host=auto(),
    )
    record = bench.record(jar)
    lower = bench.engine.snapshots.lowers(record.snapshot)
    before = {path: os.lstat(path) for path in tree_of(lower)}
    ended = await wait.wait(bench.engine, jar, "next-exit")
    await start.start(bench.engine, jar)
    assert (await ended).status_code == 0, bench.log(jar)
    after = {path: os.lstat(path) for path in tree_of(lower)}
    assert {p: (s.st_uid, s.st_gid, s.st_ctime_ns) for p, s in before.items()} == {
        p: (s.st_uid, s.st_gid, s.st_ctime_ns) for p, s in after.items()
    }
    upper = bench.engine.snapshots.tree(record.snapshot)
    mine = os.stat(f"{upper}/mine")
    assert (mine.st_uid, mine.st_gid) == (1000, 29)
    assert os.stat(f"{upper}/d").st_uid == 0
    changes = {change.path: change.kind for change in await diff.diff(bench.engine, jar)}
    assert changes["/mine"] == 1 and changes["/etc/group"] == 2
    assert os.stat(f"{upper}/data/seed").st_uid == 7


def tree_of(directories: list[str]) -> list[str]:
    return [str(path) for directory in directories for path in Path(directory).rglob("*")]


@pytest.mark.parametrize("running", [True, False])
async def test_archives_have_the_ids_inside(bench: Bench, running: bool) -> None:
    jar = await bench.start(
        "sh", "-c", "touch /tmp/mine; chown 1000:29 /tmp/mine; mkdir /made; exec sleep 1000", host=auto()
    )
    while not await has(bench, jar, "made"):
        await asyncio.sleep(0.05)
    if not running:
        await stop.stop(bench.engine, jar, timeout=0)
    _, stream = await archive_get.archive_get(bench.engine, jar, "/tmp")
    got = await members(stream)
    assert (got["tmp/mine"].uid, got["tmp/mine"].gid) == (1000, 29)
    assert (got["tmp"].uid, got["tmp"].gid) == (0, 0)
    whole = await members(await export.export(bench.engine, jar))
    assert (whole["tmp/mine"].uid, whole["data/seed"].uid, whole["bin/busybox"].uid) == (1000, 1000, 0)
    await archive_put.archive_put(bench.engine, jar, "/data", one(archive("put/below", 1000, 29)))
    if not running:
        await start.start(bench.engine, jar)
    assert await inside(bench, jar, "stat -c %u:%g /data/put /data/put/below") == "0:0\n1000:29"
    with pytest.raises(InvalidParameter, match="id 70000 has no mapping"):
        await archive_put.archive_put(bench.engine, jar, "/", one(archive("far", 70000, 0)))
        if not running:
            raise InvalidParameter("id 70000 has no mapping")  # on disk it is only a number


async def has(bench: Bench, jar: str, path: str) -> bool:
    return os.path.exists(f"{bench.engine.snapshots.tree(bench.record(jar).snapshot)}/{path}")


async def never() -> Hijacked:
    raise AssertionError("nobody is attached")


async def inside(bench: Bench, jar: str, script: str, **fields: object) -> str:
    """What a script writes in an exec."""
    path = f"/tmp/said-{os.urandom(4).hex()}"
    request = ExecCreateRequest(cmd=["sh", "-c", f"({script}) >{path} 2>&1"], **fields)
    exec_id = await exec_create.create(bench.engine, jar, request)
    await exec_start.start(bench.engine, exec_id, ExecStartRequest(detach=True), hijack=never)
    said = f"/proc/{bench.record(jar).pid}/root{path}"
    while bench.engine.execs.get(exec_id).running:
        await asyncio.sleep(0.02)
    return Path(said).read_text().strip()


async def test_exec_is_in_the_same_namespace(bench: Bench) -> None:
    jar = await bench.start("sleep", "1000", host=HostConfig(userns_mode="auto"))
    assert await inside(bench, jar, "id -u; cat /proc/self/uid_map") == f"0\n         0 {FIRST}      65536"
    assert await inside(bench, jar, "id -u", user="ana") == "1000"
    assert "Read-only" in await inside(bench, jar, "echo x > /proc/sys/kernel/core_pattern", privileged=True)


async def test_a_committed_layer_holds_the_ids_inside(bench: Bench) -> None:
    script = "touch /made; chown 1000:29 /made; mv /made /mine; exec sleep 1000"
    jar = await bench.start("sh", "-c", script, host=auto())
    while not await has(bench, jar, "mine"):
        await asyncio.sleep(0.05)
    await commit.commit(bench.engine, jar, repository="committed", tag="1")
    wanted = ContainerCreateRequest(
        image="committed:1", cmd=["stat", "-c", "%u:%g", "/mine"], host_config=none_network()
    )
    made = await create.create(bench.engine, wanted)
    ended = await wait.wait(bench.engine, made.id, "next-exit")
    await start.start(bench.engine, made.id)
    await ended
    assert bench.log(made.id).strip() == "1000:29"


async def test_volumes_are_shared_between_ranges(bench: Bench) -> None:
    """Copied up from the image with the image's owners, written by one range, read by another and by none."""
    host = auto(binds=["shared:/data"])
    code, output = await bench.run(
        "sh", "-c", "stat -c %u /data/seed; touch /data/a; chown 1000 /data/a", host=host
    )
    assert (code, output.strip()) == (0, "1000"), output
    code, output = await bench.run("sh", "-c", "stat -c %u:%g /data/a; rm /data/a", host=host, user="ana")
    assert (code, output.strip()) == (0, "1000:0"), output
    code, output = await bench.run("stat", "-c", "%u", "/data", host=none_network(binds=["shared:/data"]))
    assert output.strip() == "1000"


async def test_a_bind_keeps_the_hosts_owners(bench: Bench, tmp_path: Path) -> None:
    os.chmod(tmp_path, 0o755)
    for parent in tmp_path.parents:
        if str(parent).startswith("/tmp/"):
            os.chmod(parent, 0o755)
    (tmp_path / "secret").write_text("secret\n")
    (tmp_path / "secret").chmod(0o600)
    host = auto(binds=[f"{tmp_path}:/host"])
    script = "stat -c %u /host/secret; cat /host/secret; echo x > /host/new; echo x >> /host/secret; "
    script += "chown 0 /host/secret"
    _, output = await bench.run("sh", "-c", script, host=host)
    assert "65534" in output.splitlines()  # stdout and stderr are two pipes
    assert output.lower().count("permission denied") == 3
    assert "not permitted" in output
    assert (tmp_path / "secret").read_text() == "secret\n"
    assert not (tmp_path / "new").exists()


async def test_a_bind_with_idmap_is_the_users_own(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    os.chown(tmp_path / "file", 4321, 4321)
    os.chown(tmp_path, 4321, 4321)
    host = auto(binds=[f"{tmp_path}:/host:idmap"])
    code, output = await bench.run(
        "sh", "-c", "stat -c %u /host/file; touch /host/new", host=host, user="ana"
    )
    assert (code, output.strip()) == (0, "1000"), output
    assert os.stat(tmp_path / "new").st_uid == 4321


async def test_attacks(bench: Bench) -> None:
    """Root inside has its rights over nothing of the host, and over no other container."""
    victim = await bench.start("sleep", "1000", host=auto())
    pid = bench.record(victim).pid
    host = auto(
        cap_add=["ALL"], security_opt=["seccomp=unconfined", "apparmor=unconfined", "systempaths=unconfined"]
    )
    attacks = {
        "echo x > /proc/sys/kernel/core_pattern": "denied",
        "echo 3 > /proc/sys/vm/drop_caches": "denied",
        "busybox mknod /dev/disk b 254 0": "not permitted",
        "mount -t ext4 /dev/vda /tmp": "",
        "cat /proc/kcore": "",
        "dd if=/dev/mem count=1": "",
        "hostname evil && hostname": "evil",
    }
    for attack, said in attacks.items():
        code, output = await bench.run("sh", "-c", attack, host=host)
        assert (code == 0) is (said == "evil"), (attack, output)
        assert said in output
    assert os.uname().nodename != "evil"
    first = bench.record(victim).id_maps.uids[0][1]
    jar = await bench.start("sleep", "1000", host=auto())
    own = bench.record(jar)
    for path in (
        f"/proc/{pid}/root/etc/passwd",
        f"/proc/{pid}/environ",
    ):  # from a process with the other's ids
        ids = own.id_maps.outside(0, 0)
        done = subprocess.run(
            ["setpriv", f"--reuid={ids[0]}", f"--regid={ids[1]}", "--clear-groups", "cat", path],
            capture_output=True,
        )
        assert b"denied" in done.stderr or done.returncode, path
    assert own.id_maps.uids[0][1] >= first + 65536


async def test_ranges_do_not_collide_and_are_given_back(bench: Bench) -> None:
    jars = await asyncio.gather(*(bench.create("true", host=auto()) for _ in range(20)))
    ranges = sorted(id_ranges.owners(bench.engine.database).values())
    assert len(ranges) == 20
    assert all(a[0] + a[1] <= b[0] for a, b in itertools.pairwise(ranges))
    for jar in jars:
        await remove.remove(bench.engine, jar)
    assert id_ranges.owners(bench.engine.database) == {}
    again = await bench.create("true", host=auto())
    assert bench.record(again).id_maps.uids[0][1] >= ranges[-1][0] + 65536  # not at once somebody else's


async def test_sizes_and_mappings(bench: Bench) -> None:
    code, output = await bench.run(
        "sh", "-c", "cat /proc/self/uid_map; cat /proc/self/gid_map",
        host=none_network(userns_mode="auto:size=2000,uidmapping=1500:4242:1"),
    )  # fmt: skip
    first = FIRST
    assert code == 0, output
    numbers = [tuple(map(int, line.split())) for line in output.splitlines()]
    assert numbers == [(0, first, 1500), (1500, 4242, 1), (1501, first + 1501, 499), (0, first, 2000)]
    with pytest.raises(InvalidParameter, match="user 2000:2000: id 2000 has no mapping"):
        jar = await bench.create("true", host=none_network(userns_mode="auto:size=2000"), user="2000:2000")
        await start.start(bench.engine, jar)
    taken = await bench.create("true", host=auto())
    host = bench.record(taken).id_maps.uids[0][1]
    with pytest.raises(Conflict, match="are those of container"):
        await bench.create("true", host=none_network(userns_mode=f"auto:uidmapping=0:{host}:1"))


async def test_keep_id(bench: Bench, tmp_path: Path) -> None:
    os.chown(tmp_path, 1234, 1235)
    callers.enter(callers.Caller(uid=1234, gid=1235, pid=1))
    try:
        host = none_network(userns_mode="keep-id", binds=[f"{tmp_path}:/home"])
        code, output = await bench.run("sh", "-c", "id -u; id -g; touch /home/x", host=host, user="1234:1235")
        assert (code, output.split()) == (0, ["1234", "1235"]), output
        assert (os.stat(tmp_path / "x").st_uid, os.stat(tmp_path / "x").st_gid) == (1234, 1235)
        host = none_network(userns_mode="keep-id:uid=1000,gid=1000", binds=[f"{tmp_path}:/home"])
        code, output = await bench.run("sh", "-c", "id -u; touch /home/y", host=host, user="ana")
        assert (code, output.strip()) == (0, "1000")
        assert os.stat(tmp_path / "y").st_uid == 1234
        code, _ = await bench.run("touch", "/home/z", host=host)  # root inside may, and is not he
        assert (code, os.stat(tmp_path / "z").st_uid >= FIRST) == (0, True)
        callers.enter(callers.Caller(uid=0, gid=0, pid=1))
        with pytest.raises(InvalidParameter, match="for callers other than root"):
            await bench.create("true", host=none_network(userns_mode="keep-id"))
        callers.enter(callers.Caller(address="10.0.0.1"))
        with pytest.raises(InvalidParameter, match="does not know who you are"):
            await bench.create("true", host=none_network(userns_mode="keep-id"))
    finally:
        callers.enter(None)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"privileged": True}, "privileged mode is incompatible with user namespaces"),
        (
            {"network_mode": "host"},
            "cannot share the host's network namespace when user namespaces are enabled",
        ),
        ({"pid_mode": "host"}, "cannot share the host PID namespace when user namespaces are enabled"),
        ({"userns_mode": "auto:size=0"}, "a size is from 1"),
        ({"userns_mode": "auto:colour=red"}, "unknown option 'colour'"),
        ({"userns_mode": "auto:uidmapping=1:2"}, "'1:2' is not INSIDE:HOST:COUNT"),
        ({"userns_mode": "auto:uidmapping=0:5:9,uidmapping=3:50:1"}, "overlap"),
        ({"userns_mode": "nonsense"}, "invalid user namespace mode: nonsense"),
    ],
)
async def test_what_is_refused(bench: Bench, fields: dict[str, object], said: str) -> None:
    host = msgspec.structs.replace(auto(), **fields)
    with pytest.raises(InvalidParameter, match=said):
        await bench.create("true", host=host)
    assert id_ranges.owners(bench.engine.database) == {}


async def test_another_containers_network_brings_its_user_namespace(bench: Bench) -> None:
    donor = await bench.start("sleep", "1000", host=HostConfig(userns_mode="auto"))
    jar = await bench.start("sleep", "1000", host=HostConfig(network_mode=f"container:{donor}"))
    one, other = bench.record(donor), bench.record(jar)
    assert os.readlink(f"/proc/{one.pid}/ns/user") == os.readlink(f"/proc/{other.pid}/ns/user")
    assert await inside(bench, jar, "stat -c %u /bin/busybox; touch /x && stat -c %u /x") == "0\n0"
    with pytest.raises(InvalidParameter, match="that container's user namespace comes with it"):
        await bench.create("true", host=HostConfig(network_mode=f"container:{donor}", userns_mode="auto"))


async def test_a_range_without_its_container_is_given_back_at_the_next_start(config: EngineConfig) -> None:
    engine = await open_engine(config)
    id_ranges.take(engine.database, "nobody", 65536, [(FIRST, 1 << 32)], [])
    await engine.close()
    engine = await open_engine(config)
    try:
        assert id_ranges.owners(engine.database) == {}
    finally:
        await engine.close()


async def test_on_the_copying_snapshotter(config: EngineConfig) -> None:
    engine = await open_engine(msgspec.structs.replace(config, storage_driver="native"))
    try:
        import_(engine.images, [busybox_tar()], name="docker.io/library/busybox:latest")
        bench = Bench(engine)
        script = "stat -c %u:%g /data/seed /bin/busybox; touch /new; chown 1000 /new"
        jar = await bench.create("sh", "-c", script, host=auto())
        ended = await wait.wait(engine, jar, "next-exit")
        await start.start(engine, jar)
        assert (await ended).status_code == 0, bench.log(jar)
        assert bench.log(jar).split() == ["1000:0", "0:0"]
        assert os.stat(f"{engine.snapshots.tree(bench.record(jar).snapshot)}/new").st_uid == 1000
        await remove.remove(engine, jar)
    finally:
        await engine.close()


async def test_with_the_hosts_ipc(bench: Bench) -> None:
    code, output = await bench.run("sh", "-c", "id -u; ls -d /dev/shm", host=auto(ipc_mode="host"))
    assert (code, output.split()) == (0, ["0", "/dev/shm"])
