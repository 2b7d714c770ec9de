"""A message broker: what was published arrives once and in order, and what is kept is on a volume."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import programs
from tests.engines import Engine
from tests.programs import IMAGE, inside, start, within

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(300)]
CONF = (
    "listener 1883 0.0.0.0\nallow_anonymous true\npersistence true\npersistence_location /data/\nuser root\n"
    "log_type notice\nlog_type subscribe\n"
)
MESSAGES = 1500


def serve(engine: Engine, place: Path) -> None:
    (place / "conf").write_text(CONF)
    start(
        engine,
        "broker",
        "-v",
        "queue:/data",
        "-v",
        f"{place}/conf:/etc/m.conf:ro",
        IMAGE,
        "mosquitto",
        "-c",
        "/etc/m.conf",
    )
    within(15, lambda: "1" in inside(engine, "sh", "-c", "mosquitto_pub -h broker -t up -m x && echo 1"))


def test_messages_arrive_once_and_in_order_while_the_engine_dies(engine: Engine, tmp_path: Path) -> None:
    """A producer and two consumers, each in a container of its own, with QoS 2: exactly once."""
    serve(engine, tmp_path)
    for name in ("consumer-1", "consumer-2"):
        start(
            engine, name, IMAGE, "mosquitto_sub", "-h", "broker", "-q", "2", "-t", "jars", "-C", str(MESSAGES)
        )
    # consumers tell of themselves through the broker's log: subscribed before the first message
    within(10, lambda: engine.run("docker", "logs", "broker").stderr.count(" 2 jars") == 2)
    numbers = (
        f"i=0; while [ $i -lt {MESSAGES} ]; do echo $i; i=$((i+1)); [ $((i % 30)) = 0 ] && sleep 0.1; done"
    )
    produce = f"({numbers}) | mosquitto_pub -h broker -q 2 -t jars -l"
    start(engine, "producer", IMAGE, "sh", "-c", produce)
    within(20, lambda: len(engine.docker("logs", "consumer-1").splitlines()) > 100)
    programs.die_and_come_back(engine, 1)
    assert engine.docker("wait", "producer") == "0\n"
    for name in ("consumer-1", "consumer-2"):
        assert engine.docker("wait", name) == "0\n"
        assert engine.docker("logs", name).split() == [str(number) for number in range(MESSAGES)]


def test_kept_messages_are_on_the_volume(engine: Engine, tmp_path: Path) -> None:
    serve(engine, tmp_path)
    inside(engine, "mosquitto_pub", "-h", "broker", "-q", "1", "-r", "-t", "kept", "-m", "in the jar")
    engine.docker("stop", "broker")
    engine.docker("rm", "broker")
    serve(engine, tmp_path)
    assert (
        inside(engine, "mosquitto_sub", "-h", "broker", "-t", "kept", "-C", "1", "-W", "10") == "in the jar\n"
    )
