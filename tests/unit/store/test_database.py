"""The database: durable, named when corrupt, migrated by number, safe from threads."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from onggi.errors import Conflict, Corrupt, InvalidParameter, NoSpace, NoSuchContainer, NoSuchNetwork, System
from onggi.store import containers, images, indexes, migrations, networks, volumes
from onggi.store.containers import ContainerRow
from onggi.store.database import Database


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with Database(str(tmp_path / "onggi.db")) as opened:
        yield opened


def container(container_id: str, name: str, created_at: int = 1) -> ContainerRow:
    return ContainerRow(container_id, name, "created", "sha256:aa", created_at, b"{}")


def test_rows_survive_a_close(tmp_path: Path) -> None:
    path = str(tmp_path / "onggi.db")
    with Database(path) as first:
        containers.insert(first, container("a" * 64, "one"))
    with Database(path) as second:
        assert containers.get(second, "a" * 64).name == "one"


@pytest.mark.parametrize("version", range(len(migrations.STEPS)))
def test_each_step_takes_an_older_file_to_the_newest_schema(tmp_path: Path, version: int) -> None:
    path = str(tmp_path / "old.db")
    old = sqlite3.connect(path, isolation_level=None)
    for number, step in enumerate(migrations.STEPS[:version], 1):
        old.executescript(f"{step}; PRAGMA user_version = {number}; PRAGMA application_id = 0x4F4E4747;")
    old.close()
    with Database(path) as database, Database(str(tmp_path / "new.db")) as fresh:
        schema = "SELECT name, sql FROM sqlite_master ORDER BY name"
        assert database.read(schema) == fresh.read(schema)
        assert database.one("PRAGMA user_version") == (len(migrations.STEPS),)


def test_names_of_a_store_of_one_platform_stand_for_their_image(tmp_path: Path) -> None:
    path = str(tmp_path / "old.db")
    old = sqlite3.connect(path, isolation_level=None)
    for number, step in enumerate(migrations.STEPS[:3], 1):
        old.executescript(f"{step}; PRAGMA user_version = {number}; PRAGMA application_id = 0x4F4E4747;")
    old.execute("INSERT INTO images VALUES ('sha256:c', 'sha256:m', NULL, 5, 6, 7)")
    for name in ("docker.io/library/a:1", "docker.io/library/a@sha256:i"):
        old.execute("INSERT INTO names VALUES (?, 'sha256:c', 'sha256:m')", (name,))
    old.execute("INSERT INTO blobs VALUES ('sha256:c', 'sha256:m')")
    old.close()
    with Database(path) as database:
        assert images.get(database, "sha256:c") == images.ImageRow("sha256:c", "sha256:m", None, 5, 6, 7)
        assert [(row.name, row.target) for row in images.names(database, "sha256:c")] == [
            ("docker.io/library/a:1", ""),
            ("docker.io/library/a@sha256:i", ""),
        ]
        assert indexes.forget_unnamed(database) == [] and images.known_blobs(database) == {"sha256:m"}
        assert images.unneeded_blobs(database, ["sha256:m", "sha256:x"]) == ["sha256:x"]


def test_a_newer_schema_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "onggi.db"
    Database(str(path)).close()
    raw = sqlite3.connect(path)
    raw.execute("PRAGMA user_version = 99")
    raw.close()
    with pytest.raises(System, match="schema 99"):
        Database(str(path))


def test_a_killed_process_loses_nothing_and_the_next_open_checks(tmp_path: Path) -> None:
    path = tmp_path / "onggi.db"
    code = (
        "import os, sys; from onggi.store import volumes; from onggi.store.database import Database\n"
        "d = Database(sys.argv[1])\n"
        "volumes.insert(d, volumes.VolumeRow('v', 'local', 1, b'{}'))\n"
        "os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], env={**os.environ, "PYTHONPATH": "src"})
    assert done.returncode == -9
    with Database(str(path)) as database:
        assert [row.name for row in volumes.list_(database)] == ["v"]


def test_a_broken_page_is_named_at_open(tmp_path: Path) -> None:
    path = tmp_path / "onggi.db"
    with Database(str(path)) as database:
        for number in range(200):
            containers.insert(database, container(f"{number:064x}", f"name{number}"))
    broken = bytearray(path.read_bytes())
    broken[4096 * 3 : 4096 * 6] = b"\xa5" * (4096 * 3)
    path.write_bytes(broken)
    with pytest.raises(Corrupt, match=r"onggi\.db is corrupt"):
        Database(str(path))


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    path = tmp_path / "onggi.db"
    path.write_bytes(b"not a database at all" * 100)
    with pytest.raises(Corrupt, match=r"onggi\.db is corrupt"):
        Database(str(path))


def test_a_full_disk_is_a_clear_error_and_the_file_stays_whole(tmp_path: Path) -> None:
    path = str(tmp_path / "onggi.db")
    with Database(path) as database:
        database.write("PRAGMA max_page_count = 90")
        with pytest.raises(NoSpace, match="no space left"):
            for number in range(1000):
                row = ContainerRow(f"{number:064x}", f"n{number}", "created", "i", 1, b"x" * 1000)
                containers.insert(database, row)
    with Database(path) as database:
        assert database.one("PRAGMA integrity_check") == ("ok",)
        assert len(containers.list_(database)) > 10


def test_a_transaction_is_whole_or_not_at_all(database: Database) -> None:
    with pytest.raises(Conflict), database.transaction(durable=True):
        containers.insert(database, container("a" * 64, "one"))
        containers.insert(database, container("b" * 64, "one"))
    assert containers.list_(database) == []
    assert database.one("PRAGMA synchronous") == (1,)


def test_threads_write_at_once(database: Database) -> None:
    def work(number: int) -> None:
        for count in range(50):
            containers.insert(database, container(f"{number}{count:063x}", f"{number}-{count}"))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(containers.list_(database)) == 200


def test_a_container_is_found_by_id_then_name_then_prefix(database: Database) -> None:
    first, second = "ab" * 32, "ac" * 32
    containers.insert(database, container(first, "web"))
    containers.insert(database, container(second, first, 2))  # a name that is another one's id
    assert containers.resolve(database, first) == first
    assert containers.resolve(database, "/web") == first
    assert containers.resolve(database, "ac") == second
    with pytest.raises(InvalidParameter, match="multiple IDs found with provided prefix: a"):
        containers.resolve(database, "a")
    with pytest.raises(NoSuchContainer, match="No such container: zz"):
        containers.resolve(database, "zz")
    with pytest.raises(NoSuchContainer):
        containers.resolve(database, "%")
    assert [row.id for row in containers.list_(database)] == [second, first]


def test_a_taken_name_is_a_conflict_in_dockers_words(database: Database) -> None:
    containers.insert(database, container("a" * 64, "web"))
    containers.insert(database, container("b" * 64, "other"))
    wanted = f'Conflict. The container name "/web" is already in use by container "{"a" * 64}"'
    with pytest.raises(Conflict, match=wanted):
        containers.insert(database, container("c" * 64, "web"))
    with pytest.raises(Conflict, match=wanted):
        containers.rename(database, "b" * 64, "web", b"{}")
    containers.rename(database, "b" * 64, "free", b"[]")
    assert containers.get(database, "b" * 64).record == b"[]"


def test_networks_and_their_endpoints(database: Database) -> None:
    networks.insert(database, networks.NetworkRow("ab" * 32, "front", "bridge", 1, b"{}"))
    networks.insert(database, networks.NetworkRow("ac" * 32, "back", "bridge", 2, b"{}"))
    assert networks.resolve(database, "front").id == "ab" * 32
    assert networks.resolve(database, "ac").name == "back"
    with pytest.raises(InvalidParameter, match="ambiguous"):
        networks.resolve(database, "a")
    with pytest.raises(NoSuchNetwork):
        networks.resolve(database, "")
    with pytest.raises(Conflict, match="network with name front already exists"):
        networks.insert(database, networks.NetworkRow("ad" * 32, "front", "bridge", 3, b"{}"))
    networks.attach(database, networks.EndpointRow("e1", "ab" * 32, "c1", b"{}"))
    with pytest.raises(Conflict):
        networks.attach(database, networks.EndpointRow("e2", "ab" * 32, "c1", b"{}"))
    with pytest.raises(NoSuchNetwork):
        networks.attach(database, networks.EndpointRow("e3", "none", "c1", b"{}"))
    assert [row.id for row in networks.endpoints(database, container_id="c1")] == ["e1"]
    networks.delete(database, "ab" * 32)
    assert networks.endpoints(database) == []
