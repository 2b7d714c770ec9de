"""Volumes against a real database and real directories; only the containers are made up."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from onggi import failpoints
from onggi.engine.config import EngineConfig
from onggi.engine.events import Events
from onggi.engine.offload import Offload
from onggi.engine.quotas import Quotas
from onggi.engine.record import MountRecord
from onggi.engine.volumes.create import create
from onggi.engine.volumes.inspect import inspect
from onggi.engine.volumes.list_ import list_
from onggi.engine.volumes.mounted import Volumes
from onggi.engine.volumes.prune import prune
from onggi.engine.volumes.reconcile import reconcile
from onggi.engine.volumes.remove import remove
from onggi.errors import Conflict, InvalidParameter, NoSuchVolume, NotFound
from onggi.store.database import Database
from onggi.volumes import local
from onggi.wire.volumes import VolumeCreateRequest


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[SimpleNamespace]:
    config = EngineConfig(root=str(tmp_path), exec_root=str(tmp_path))
    containers: list[SimpleNamespace] = []
    offload = Offload(1)
    with Database(config.paths.database) as database:
        yield SimpleNamespace(
            config=config,
            paths=config.paths,
            database=database,
            events=Events(),
            offload=offload,
            volumes=Volumes(),
            quotas=Quotas(config.paths, database, ()),
            containers=SimpleNamespace(all=lambda: containers, list=containers),
        )
    offload.close()


def use(engine: SimpleNamespace, name: str) -> None:
    mount = MountRecord(type="volume", source="", target="/d", name=name)
    engine.containers.list.append(SimpleNamespace(id="c" * 64, record=SimpleNamespace(mounts=(mount,))))


async def test_create_twice_gives_the_same(engine: SimpleNamespace) -> None:
    made = await create(engine, VolumeCreateRequest(name="data", labels={"a": "b"}))
    again = await create(engine, VolumeCreateRequest(name="data", labels={"x": "y"}))
    assert made == again == await inspect(engine, "data")
    assert made.labels == {"a": "b"} and made.mountpoint == engine.paths.volume_data("data")
    assert os.stat(made.mountpoint).st_mode & 0o777 == 0o755


async def test_a_volume_without_a_name_is_anonymous(engine: SimpleNamespace) -> None:
    made = await create(engine, VolumeCreateRequest())
    assert len(made.name) == 64 and made.labels == {"com.docker.volume.anonymous": ""}


@pytest.mark.parametrize("name", ["a", "../x", "a b", "-x", ".x", "a/b", "é1", "x" * 256, "a\n"])
async def test_names_that_are_none(engine: SimpleNamespace, name: str) -> None:
    with pytest.raises(InvalidParameter, match="create "):
        await create(engine, VolumeCreateRequest(name=name))
    assert local.names(engine.paths) == []


async def test_drivers_and_options(engine: SimpleNamespace) -> None:
    with pytest.raises(NotFound, match='plugin "nfs" not found'):
        await create(engine, VolumeCreateRequest(name="data", driver="nfs"))
    with pytest.raises(InvalidParameter, match='invalid option: "x"'):
        await create(engine, VolumeCreateRequest(name="data", driver_opts={"x": "y"}))
    with pytest.raises(InvalidParameter, match='missing required option: "device"'):
        await create(engine, VolumeCreateRequest(name="data", driver_opts={"type": "tmpfs"}))


async def test_remove(engine: SimpleNamespace) -> None:
    made = await create(engine, VolumeCreateRequest(name="data"))
    Path(made.mountpoint, "file").write_text("x")
    await remove(engine, "data")
    assert local.names(engine.paths) == [] and os.listdir(engine.paths.trash_dir) == []
    with pytest.raises(NoSuchVolume, match="get data: no such volume"):
        await remove(engine, "data")
    await remove(engine, "data", force=True)


async def test_a_volume_in_use_stays(engine: SimpleNamespace) -> None:
    await create(engine, VolumeCreateRequest(name="data"))
    use(engine, "data")
    with pytest.raises(Conflict, match=f"remove data: volume is in use - .{'c' * 64}."):
        await remove(engine, "data", force=True)
    assert (await prune(engine, {}, everything=True)).volumes_deleted == []
    assert local.names(engine.paths) == ["data"]


async def test_prune_takes_the_anonymous_ones_unless_told_otherwise(engine: SimpleNamespace) -> None:
    await create(engine, VolumeCreateRequest(name="named"))
    anonymous = await create(engine, VolumeCreateRequest())
    Path(anonymous.mountpoint, "file").write_bytes(b"x" * 8192)
    report = await prune(engine, {})
    assert report.volumes_deleted == [anonymous.name] and report.space_reclaimed >= 8192
    assert (await prune(engine, {"all": ["true"]})).volumes_deleted == ["named"]


async def test_list_filters(engine: SimpleNamespace) -> None:
    await create(engine, VolumeCreateRequest(name="one", labels={"k": "1"}))
    await create(engine, VolumeCreateRequest(name="two"))
    use(engine, "two")

    async def names(**filters: str) -> list[str]:
        return [v.name for v in (await list_(engine, {k: [v] for k, v in filters.items()})).volumes]

    assert await names() == ["one", "two"]
    assert await names(name="w") == ["two"]
    assert await names(label="k=1") == ["one"] and await names(label="k=2") == []
    assert await names(dangling="true") == ["one"] and await names(dangling="0") == ["two"]
    assert await names(driver="nfs") == []
    with pytest.raises(InvalidParameter, match="invalid filter 'foo'"):
        await names(foo="x")


@pytest.mark.parametrize("place", ["volume.row-written", "volume.row-deleted"])
async def test_a_crash_in_between_heals(engine: SimpleNamespace, place: str) -> None:
    if place == "volume.row-deleted":
        await create(engine, VolumeCreateRequest(name="data"))
    failpoints.configure(f"{place}=raise")
    try:
        with pytest.raises(OSError, match="failpoint"):
            if place == "volume.row-deleted":
                await remove(engine, "data")
            else:
                await create(engine, VolumeCreateRequest(name="data"))
    finally:
        failpoints.configure("")
    orphans = reconcile(engine)
    if place == "volume.row-deleted":
        assert orphans == ["data"] and local.names(engine.paths) == []
    else:
        assert orphans == [] and os.path.isdir((await inspect(engine, "data")).mountpoint)


def test_usage_counts_blocks_once(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 10_000)
    before = local.usage_bytes(str(tmp_path))
    os.link(tmp_path / "a", tmp_path / "b")
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(1 << 30)
    assert before <= local.usage_bytes(str(tmp_path)) < before + 8192
