"""Limits of reading and writing a device hold: a loop device of our own, past the page cache."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engines import BUSYBOX, Engine

V1 = "/sys/fs/cgroup/blkio/blkio.throttle.read_bps_device"
V2 = "/sys/fs/cgroup/cgroup.controllers"


def throttles() -> bool:
    """Has this kernel blkio.throttle of cgroup v1, or the controller io of v2?"""
    if os.path.exists(V1):
        return True
    return os.path.exists(V2) and "io" in Path(V2).read_text().split()


pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(
        not throttles(), reason="needs CONFIG_BLK_DEV_THROTTLING: cgroup v1's blkio or v2's io"
    ),
]
MEBIBYTE = 1 << 20
RUN = ("run", "--rm", "--network", "none")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[str]:
    image = tmp_path / "disk"
    image.write_bytes(os.urandom(4 * MEBIBYTE))
    made = subprocess.run(
        ["losetup", "--find", "--show", "--direct-io=off", str(image)], capture_output=True, text=True
    )
    if made.returncode:
        pytest.skip(f"no loop device: {made.stderr.strip()}")
    yield made.stdout.strip()
    subprocess.run(["losetup", "-d", made.stdout.strip()], check=True)


READ = "dd if={} of=/dev/null bs=%s count=%s iflag=direct"
WRITE = "dd if=/dev/zero of={} bs=%s count=%s oflag=direct"


@pytest.mark.parametrize(
    ("flag", "limit", "words"),
    [
        ("--device-read-bps", "1mb", READ % ("256k", 12)),
        ("--device-write-bps", "1mb", WRITE % ("256k", 12)),
        ("--device-read-iops", "20", READ % ("4k", 60)),
        ("--device-write-iops", "20", WRITE % ("4k", 60)),
    ],
)
def test_a_device_is_no_faster_than_told(onggi: Engine, disk: str, flag: str, limit: str, words: str) -> None:
    """3 MiB at 1 MiB/s, or 60 requests at 20 a second: the first second may come at once."""

    def lasted(*given: str) -> float:
        """Seconds of dd alone: what else a run takes is not the device's."""
        script = f"time -f 'took %e' {words.format(disk)}"
        done = onggi.run("onggi", *RUN, "--device", disk, *given, BUSYBOX, "sh", "-c", script)
        return float(done.stderr.rpartition("took ")[2])

    free = min(lasted() for _ in range(3))  # a busy machine may be slow, and is not fast
    assert lasted(flag, f"{disk}:{limit}") - free > 1.3, free


@pytest.mark.parametrize(("weight", "v2"), [(10, 1), (500, 4950), (1000, 10000)])
def test_the_weight_is_the_groups(
    onggi: Engine, weight: int, v2: int, request: pytest.FixtureRequest
) -> None:
    """v1 and BFQ have 10 to 1000, io.weight of v2 has 1 to 10000."""
    request.addfinalizer(onggi.remove_all)
    name = onggi.docker(
        "run", "-d", "--network", "none", "--blkio-weight", str(weight), BUSYBOX, "sleep", "1000"
    ).strip()
    files = [
        path
        for pattern in ("blkio.bfq.weight", "blkio.weight", "io.bfq.weight", "io.weight")
        for path in Path("/sys/fs/cgroup").glob(f"**/onggi-*/{name}/{pattern}")
    ]
    if not files:
        pytest.skip(
            "needs BFQ or a scheduler with weights (CONFIG_BFQ_GROUP_IOSCHED, CONFIG_BLK_CGROUP_IOCOST)"
        )
    wanted = v2 if files[0].name == "io.weight" else weight
    assert str(wanted) in files[0].read_text().split()
    onggi.docker("update", "--blkio-weight", "300", name)
    assert str(wanted) not in files[0].read_text().split()
