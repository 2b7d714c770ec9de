"""PostgreSQL with its data on a volume, under load: the engine's death and the container's end lose nothing."""

# ruff: noqa: E501 (commands of programs)
from __future__ import annotations

import re

import pytest

from tests import programs
from tests.engines import Engine
from tests.programs import IMAGE, inside, start, within

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(400)]
CONF = "/etc/postgresql/15/main"
SERVE = (
    f"echo host all all all trust > {CONF}/pg_hba.conf; echo \"listen_addresses = '*'\" >> {CONF}/postgresql.conf; "
    "exec setpriv --reuid postgres --regid postgres --init-groups "
    f"/usr/lib/postgresql/15/bin/postgres -D /var/lib/postgresql/15/main -c config_file={CONF}/postgresql.conf"
)
PGBENCH = ("/usr/lib/postgresql/15/bin/pgbench", "-h", "db", "-U", "postgres")


def serve(engine: Engine) -> None:
    start(engine, "db", "--stop-signal", "INT", "-v", "pgdata:/var/lib/postgresql", IMAGE, "sh", "-c", SERVE)
    within(40, lambda: query(engine, "select 1") == "1")


def query(engine: Engine, sql: str) -> str:
    """By exec, as an administrator does it."""
    words = ("exec", "db", "psql", "-h", "127.0.0.1", "-U", "postgres", "-Atc", sql)
    return engine.run("docker", *words, check=False).stdout.strip()


def load(engine: Engine, seconds: int) -> None:
    """pgbench in a container of its own: four clients that know the server by its name."""
    start(
        engine, "load", IMAGE, *PGBENCH, "-n", "-c", "4", "-j", "2", "-T", str(seconds), "-P", "1", "postgres"
    )


def consistent(engine: Engine) -> int:
    """pgbench's invariant: all balances add up to the same. The number of its transactions."""
    sums = [
        query(engine, f"select coalesce(sum({column}), 0) from pgbench_{table}")
        for column, table in (("abalance", "accounts"), ("tbalance", "tellers"), ("bbalance", "branches"), ("delta", "history"))
    ]  # fmt: skip
    assert len(set(sums)) == 1, sums
    return int(query(engine, "select count(*) from pgbench_history"))


def test_data_outlives_the_container(engine: Engine) -> None:
    serve(engine)
    query(engine, "create table jars as select generate_series(1, 1000) as n")
    assert (
        inside(engine, "psql", "-h", "db", "-U", "postgres", "-Atc", "select count(*) from jars") == "1000\n"
    )
    engine.docker("stop", "-t", "30", "db")
    assert engine.docker("inspect", "-f", "{{.State.ExitCode}}", "db") == "0\n"
    engine.docker("rm", "-v", "db")
    serve(engine)
    assert query(engine, "select sum(n) from jars") == "500500"


def test_the_engine_dies_in_the_middle_of_the_load(engine: Engine) -> None:
    """No connection is lost and no transaction: pgbench's own count is the database's."""
    serve(engine)
    inside(engine, *PGBENCH, "-i", "-q", "postgres")
    pid = engine.docker("inspect", "-f", "{{.State.Pid}}", "db")
    load(engine, 8)
    within(20, lambda: "progress: 2" in engine.run("docker", "logs", "load", check=False).stderr)
    programs.die_and_come_back(engine, 2)
    assert engine.docker("wait", "load") == "0\n"
    done = engine.run("docker", "logs", "load")
    processed = re.search(r"number of transactions actually processed: (\d+)", done.stdout)
    assert processed, done.stdout + done.stderr
    assert "number of failed transactions: 0" in done.stdout
    assert "aborted" not in done.stdout + done.stderr
    seconds = [int(n) for n in re.findall(r"progress: (\d+)\.", done.stderr)]
    assert seconds == list(range(1, len(seconds) + 1)), "the load stood still"
    assert consistent(engine) == int(processed.group(1)) > 0
    assert engine.docker("inspect", "-f", "{{.State.Pid}}", "db") == pid


def test_the_server_is_killed_in_the_middle_of_the_load(engine: Engine) -> None:
    """SIGKILL of the container: what was committed is on the volume, and the next container recovers it."""
    serve(engine)
    inside(engine, *PGBENCH, "-i", "-q", "postgres")
    load(engine, 60)
    within(20, lambda: "progress: 2" in engine.run("docker", "logs", "load", check=False).stderr)
    engine.docker("kill", "db")
    assert engine.docker("wait", "load") != "0\n"
    engine.docker("rm", "-f", "db", "load")
    serve(engine)
    assert "database system was not properly shut down" in engine.run("docker", "logs", "db").stderr
    assert consistent(engine) > 0


def test_a_clone_of_the_volume_is_a_second_database(engine: Engine) -> None:
    serve(engine)
    query(engine, "create table jars as select generate_series(1, 1000) as n")
    engine.docker("stop", "-t", "30", "db")
    engine.docker("rm", "db")
    engine.onggi("volume", "clone", "pgdata", "pgcopy")
    serve(engine)
    query(engine, "delete from jars")
    engine.docker("stop", "-t", "30", "db")
    engine.docker("rm", "db")
    engine.onggi("volume", "rm", "pgdata")
    engine.onggi("volume", "rename", "pgcopy", "pgdata")
    serve(engine)
    assert query(engine, "select count(*) from jars") == "1000"
