"""MariaDB: its data directory comes from the image by copy-up, with owners, and stays on the volume."""

# ruff: noqa: E501 (commands of programs)
from __future__ import annotations

import pytest

from tests import programs
from tests.engines import Engine
from tests.programs import IMAGE, inside, start, within

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(300)]
SERVE = (
    "mariadbd",
    "--user=mysql",
    "--bind-address=0.0.0.0",
    "--socket=/tmp/m.sock",
    "--pid-file=/tmp/m.pid",
    "--skip-name-resolve",
)
INSERT = "for i in $(seq 1 1500); do echo 'insert into jars.t (n) values ('$i');'; [ $((i % 30)) = 0 ] && sleep 0.1; done"


def serve(engine: Engine) -> None:
    start(engine, "maria", "-v", "mariadata:/var/lib/mysql", IMAGE, *SERVE)
    within(60, lambda: admin(engine, "select 1") == "1")


def admin(engine: Engine, sql: str) -> str:
    words = ("exec", "maria", "mariadb", "-S", "/tmp/m.sock", "-Ne", sql)
    return engine.run("docker", *words, check=False).stdout.strip()


def test_it_survives_the_engine_its_own_death_and_a_new_container(engine: Engine) -> None:
    serve(engine)
    owner = engine.docker("exec", "maria", "stat", "-c", "%U:%G %a", "/var/lib/mysql").strip()
    assert owner == "mysql:mysql 755"
    admin(engine, "create database jars; create table jars.t (id int auto_increment primary key, n int) engine=innodb;"
          "create user app@'%' identified by 'pw'; grant all on jars.* to app@'%'")  # fmt: skip
    start(engine, "load", IMAGE, "sh", "-c", f"({INSERT}) | mariadb -h maria -uapp -ppw && echo done")
    within(20, lambda: int(admin(engine, "select count(*) from jars.t") or 0) > 100)
    programs.die_and_come_back(engine, 1)
    assert engine.docker("wait", "load") == "0\n"
    assert engine.docker("logs", "load") == "done\n"
    assert admin(engine, "select count(*), sum(n) from jars.t") == f"1500\t{1500 * 1501 // 2}"
    engine.docker("kill", "maria")
    engine.docker("rm", "-v", "maria")
    serve(engine)
    assert admin(engine, "select count(*), sum(n) from jars.t") == f"1500\t{1500 * 1501 // 2}"
    assert (
        inside(engine, "mariadb", "-h", "maria", "-uapp", "-ppw", "-Ne", "select max(id) from jars.t")
        == "1500\n"
    )
