"""The reaper, inside containers: status, signals, orphans."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from onggi.kernel import processes
from onggi.runtime import compile
from onggi.spawn import init
from onggi.spawn.launch import launch
from onggi.spawn.plan import StepFailed
from tests.integration.spawn.busybox_containers import Runner, config

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.uname().machine != "x86_64", reason="the reaper is written for x86-64"),
]


@pytest.fixture
def with_init(root: Path, tmp_path: Path) -> Any:
    init.write(str(tmp_path / "init"))

    def make(*args: str) -> dict[str, Any]:
        document = config(root, init.TARGET, "--", *args)
        document["mounts"].append(
            {"destination": init.TARGET, "type": "bind", "source": str(tmp_path / "init"), "options": ["ro"]}
        )
        return document

    return make


def test_status_arguments_and_pid(run: Runner, with_init: Any) -> None:
    code, out = run(with_init("sh", "-c", "echo $$ $0 $1; cat /proc/1/comm; exit 5", "zero", "one"))
    assert (code, out) == (5, "2 zero one\ndocker-init\n")


def test_a_signal_that_ends_the_program(run: Runner, with_init: Any) -> None:
    assert run(with_init("sh", "-c", "kill -9 $$"))[0] == 137


def test_a_missing_command(run: Runner, with_init: Any) -> None:
    with pytest.raises(StepFailed) as failed:
        run(with_init("nothere"))
    assert failed.value.exit_code == 127


def test_orphans_are_reaped(run: Runner, with_init: Any) -> None:
    script = "(sh -c 'sh -c true &' ); n=0; while ls /proc | grep -E '^[0-9]+$' | while read p; do grep -q '(zombie)' /proc/$p/status 2>/dev/null && echo $p; done | grep -q .; do n=$((n+1)); test $n = 3000 && exit 1; done; exit 0"  # fmt: skip  # noqa: E501
    assert run(with_init("sh", "-c", script))[0] == 0


def test_signals_are_forwarded(with_init: Any, root: Path, tmp_path: Path) -> None:
    fifo_in, out = os.pipe()
    plan = compile.container(
        with_init("sh", "-c", "trap 'exit 42' TERM; echo ready; while true; do sleep 0.05; done"),
        container_id="i",
        bundle_dir="/",
    )
    started = launch(plan, 0, out, out)
    os.close(out)
    assert os.read(fifo_in, 6) == b"ready\n"
    processes.pidfd_send_signal(started.pidfd, signal.SIGTERM)
    assert processes.wait_pidfd(started.pidfd) == 42
    os.close(started.pidfd)
    os.close(fifo_in)
