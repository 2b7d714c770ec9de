# ruff: noqa: E501
"""A handle on a real group: freezing, killing, figures, removal; and the device program in the kernel."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from onggi.errors import InvalidParameter
from onggi.kernel import bpf
from onggi.runtime import cgroups
from onggi.runtime.cgroups import devices
from onggi.spawn import host

pytestmark = pytest.mark.root


@pytest.fixture
def group(request: pytest.FixtureRequest) -> Iterator[tuple[cgroups.Cgroup, subprocess.Popen[bytes]]]:
    layout = cgroups.detect()
    path = f"/onggi-test-{os.getpid()}/one"
    steps = cgroups.compile(
        layout, path, {"memory": {"limit": 1 << 26}, "pids": {"limit": 30}}, cgroups.DEFAULT_RULES
    )
    host.run(steps.host, host.Parent(0))
    process = subprocess.Popen(["sleep", "1000"])
    for directory in steps.directories:
        host.write_file(f"{directory}/cgroup.procs", str(process.pid))
    found = cgroups.open(layout, path)
    yield found, process
    process.kill()
    process.wait()
    cgroups.open(layout, os.path.dirname(path)).remove()
    assert not found.exists()


def test_life(group: tuple[cgroups.Cgroup, subprocess.Popen[bytes]]) -> None:
    handle, process = group
    assert handle.pids() == [process.pid]
    handle.freeze()
    assert handle.frozen()
    handle.thaw()
    assert not handle.frozen()
    figures = handle.stats()
    assert (figures.pids, figures.pids_limit, figures.memory.limit) == (1, 30, 1 << 26)
    handle.update({"memory": {"limit": 1 << 27}, "pids": {"limit": 31}})
    assert (handle.stats().pids_limit, handle.stats().memory.limit) == (31, 1 << 27)
    handle.freeze()
    handle.kill()
    assert process.wait(30) == -9
    assert handle.empty()


def test_the_oom_killer_is_noticed(group: tuple[cgroups.Cgroup, subprocess.Popen[bytes]]) -> None:
    handle, _ = group
    with handle.oom_events() as watch:
        join = "".join(f"echo $$ > {directory}/cgroup.procs;" for directory in handle.directories())
        eater = subprocess.run(
            ["sh", "-c", f"{join} exec {sys.executable} -c 'b\"x\" * (200 << 20)'"],
            timeout=60,
            capture_output=True,
        )
        assert eater.returncode == -9
        deadline = time.monotonic() + 30
        while watch.read() == 0:
            assert time.monotonic() < deadline
            time.sleep(0.01)
    assert handle.oom_kills() == 1


def test_the_kernel_takes_the_device_program() -> None:
    os.close(bpf.load_device_filter(devices.program(cgroups.DEFAULT_RULES)))
    layout = cgroups.detect()
    if layout.unified is None:
        pytest.skip("needs a mounted cgroup v2 hierarchy")
    directory = f"{layout.unified}/onggi-bpf-{os.getpid()}"
    os.mkdir(directory)
    try:
        bpf.attach_device_filter(directory, devices.program(cgroups.DEFAULT_RULES))
        probe = "for d in null zero full random; do : < /dev/$d || exit 1; done; true < /dev/kmsg && exit 2; exit 0"
        script = f"echo $$ > {directory}/cgroup.procs; {probe}"
        done = subprocess.run(["sh", "-c", script], capture_output=True, text=True)
        assert done.returncode == 0 and "not permitted" in done.stderr, done.stderr
        bpf.replace_device_filter(directory, devices.program([{"allow": True, "type": "a"}]))
        fd = os.open(directory, os.O_RDONLY)
        assert len(bpf.attached_device_filters(fd)) == 1
        os.close(fd)
    finally:
        os.rmdir(directory)


def test_nothing_outside_the_path() -> None:
    with pytest.raises(InvalidParameter):
        cgroups.open(cgroups.detect(), "/onggi/../..")
