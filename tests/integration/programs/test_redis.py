"""Redis, reached by its name from other containers, with its log of commands on a volume."""

from __future__ import annotations

import pytest

from tests import programs
from tests.engines import Engine
from tests.programs import IMAGE, inside, start, within

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(300)]
SERVE = (
    "redis-server",
    "--protected-mode",
    "no",
    "--bind",
    "0.0.0.0",
    "--dir",
    "/data",
    "--appendonly",
    "yes",
)
COUNT = (
    "i=0; while [ $i -lt 4000 ]; do echo INCR jars; i=$((i+1)); [ $((i % 40)) = 0 ] && sleep 0.05; "
    "[ $i = 3000 ] && until [ -e /go ]; do sleep 0.1; done; done"
)


def serve(engine: Engine, *flags: str) -> None:
    start(engine, "redis", "-v", "redisdata:/data", *flags, IMAGE, *SERVE, "--appendfsync", "always")
    within(20, lambda: ask(engine, "ping") == "PONG")


def ask(engine: Engine, *words: str, host: str = "redis") -> str:
    return inside(engine, "redis-cli", "-h", host, *words).strip()


def test_it_is_reached_by_name_and_alias(engine: Engine) -> None:
    serve(engine, "--network-alias", "cache", "--hostname", "jar")
    assert ask(engine, "set", "jar", "full") == "OK"
    assert ask(engine, "get", "jar", host="cache") == "full"
    engine.docker("rename", "redis", "renamed")
    assert ask(engine, "get", "jar", host="renamed") == "full"


def test_no_command_is_lost_when_the_engine_dies(engine: Engine) -> None:
    """One connection sends commands all the time; the log of commands is read by the next container."""
    serve(engine)
    start(engine, "load", IMAGE, "sh", "-c", f"({COUNT}) | redis-cli -h redis | tail -1")
    within(20, lambda: int(ask(engine, "get", "jars") or 0) > 200)
    programs.die_and_come_back(engine, 1)
    assert int(ask(engine, "get", "jars")) < 4000
    engine.docker("exec", "load", "touch", "/go")  # the last thousand comes after the engine
    assert engine.docker("wait", "load") == "0\n"
    assert engine.docker("logs", "load") == "4000\n"
    engine.docker("kill", "redis")
    engine.docker("rm", "-v", "redis")
    serve(engine)
    assert ask(engine, "get", "jars") == "4000"
