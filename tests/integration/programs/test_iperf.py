"""Throughput between containers and through a published port: it works at the kernel's speed.

The figures of docs/benchmarks.md come from `python -m pytest -s` of this file on a machine that does nothing else.
"""

# ruff: noqa: E501 (commands of programs)
from __future__ import annotations

import json

import pytest

from tests.engines import Engine
from tests.programs import IMAGE, inside, port_of, start, within

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(200)]
LEAST = 1e9  # bits per second: a tenth of what a veth pair does on one slow core


def received(report: str) -> float:
    return float(json.loads(report)["end"]["sum_received"]["bits_per_second"])


@pytest.mark.parametrize("reverse", [False, True], ids=["to", "from"])
def test_between_containers_and_through_a_port(engine: Engine, reverse: bool) -> None:
    start(engine, "iperf", "-p", "127.0.0.1::5201", IMAGE, "iperf3", "-s")
    way = ("-R",) if reverse else ()
    within(15, lambda: "bits/sec" in inside(engine, "iperf3", "-c", "iperf", "-t", "1"))
    between = received(inside(engine, "iperf3", "-J", "-c", "iperf", "-t", "3", *way))
    port = str(port_of(engine, "iperf"))
    words = (
        "run",
        "--rm",
        "--network",
        "host",
        IMAGE,
        "iperf3",
        "-J",
        "-c",
        "127.0.0.1",
        "-p",
        port,
        "-t",
        "3",
        *way,
    )
    published = received(engine.docker(*words))
    print(f"\niperf3: between containers {between / 1e9:.1f} Gbit/s, published {published / 1e9:.1f} Gbit/s")
    assert between > LEAST
    assert published > LEAST
