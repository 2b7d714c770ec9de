"""image mount and unmount: read-only, counted, found again by the next engine, in rmi's and prune's way."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import engines
from tests.engines import BUSYBOX, Engine

pytestmark = [pytest.mark.root, pytest.mark.timeout(120)]


@pytest.fixture(params=["overlay2", "vfs"])
def engine(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Engine]:
    with engines.onggi(tmp_path, "--bridge", "none", "--storage-driver", request.param) as running:
        engines.import_busybox(running)
        yield running
        running.onggi("image", "unmount", "--all", "--force")
        assert engines.mounts(str(tmp_path)) == []


def mounted(engine: Engine, *flags: str) -> Path:
    return Path(engine.onggi("image", "mount", *flags, BUSYBOX).strip())


def test_what_is_in_an_image_is_at_the_path(engine: Engine) -> None:
    path = mounted(engine)
    assert (path / "etc/passwd").read_text().startswith("root:")
    done = subprocess.run([str(path / "bin/busybox"), "echo", "ran"], capture_output=True, text=True)
    assert done.stdout == "ran\n"
    with pytest.raises(OSError, match="Read-only"):
        (path / "etc/new").write_text("x")
    options = next(
        line.split()[5] for line in Path("/proc/self/mountinfo").read_text().splitlines() if str(path) in line
    )
    assert {"ro", "nosuid", "nodev"} <= set(options.split(","))
    assert path.parent.stat().st_mode & 0o777 == 0o700, "for root alone"
    listed = engine.onggi("image", "mount")
    assert BUSYBOX in listed and str(path) in listed
    engine.onggi("image", "unmount", BUSYBOX)
    assert not path.exists() and BUSYBOX not in engine.onggi("image", "mount")


def test_mounts_are_counted_and_forced_away(engine: Engine) -> None:
    path = mounted(engine)
    assert mounted(engine) == path
    engine.onggi("image", "unmount", BUSYBOX)
    assert (path / "etc").is_dir()
    with (path / "etc/passwd").open("rb"):
        busy = engine.run("onggi", "image", "unmount", BUSYBOX, check=False)
        assert busy.returncode == 1 and f"is mounted at {path}, and a program uses it there" in busy.stderr
        engine.onggi("image", "unmount", "--force", BUSYBOX)
    assert not path.exists()
    again = engine.run("onggi", "image", "unmount", BUSYBOX, check=False)
    assert again.returncode == 1 and "is not mounted" in again.stderr


@pytest.mark.parametrize("client", ["onggi", "docker"])
def test_a_mounted_image_is_not_removed_unless_forced(engine: Engine, client: str) -> None:
    path = mounted(engine)
    image_id = engine.api("GET", f"/images/{BUSYBOX}/json")["Id"]
    for name in (BUSYBOX, image_id):
        refused = engine.run(client, "rmi", name, check=False)
        assert refused.returncode == 1 and f"(must be forced) - image is mounted at {path}" in refused.stderr
    engine.run(client, "image", "prune", "-af")
    assert (path / "etc").is_dir()
    engine.run(client, "rmi", "-f", BUSYBOX)
    assert not path.exists() and engine.api("GET", "/images/json") == []


def test_a_mount_outlives_the_engine_and_what_is_lost_is_forgotten(engine: Engine) -> None:
    path = mounted(engine)
    engine.kill()
    assert (path / "etc/passwd").exists()
    engine.start()
    assert str(path) in engine.onggi("image", "mount")
    engine.stop()
    subprocess.run(["umount", str(path)], check=True)  # as a boot does it
    stranger = path.parent / ("ab" * 32)
    stranger.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "none", str(stranger)], check=True)
    engine.start()
    assert engine.api("GET", "/images/mounts") == []
    assert os.listdir(path.parent) == []
    assert mounted(engine) == path


@pytest.mark.parametrize("point", ["image-mount.row-written", "image-mount.mounted", "image-mount.unmounted"])
def test_killed_at_any_step(engine: Engine, point: str) -> None:
    engine.stop()
    engine.start(failpoint=f"{point}=kill")
    engine.run("onggi", "image", "mount", BUSYBOX, check=False)
    if point.endswith("unmounted"):
        engine.run("onggi", "image", "unmount", BUSYBOX, check=False)
    engine.kill()
    engine.start()
    assert engine.api("GET", "/images/mounts") == [] and engines.mounts(str(engine.exec_root)) == []
    path = mounted(engine)
    engine.onggi("image", "unmount", BUSYBOX)
    assert not path.exists()


def test_what_cannot_be_mounted(engine: Engine) -> None:
    missing = engine.run("onggi", "image", "mount", "none:1", check=False)
    assert "No such image: none:1" in missing.stderr
    other = engine.run("onggi", "image", "mount", "--platform", "linux/arm64", BUSYBOX, check=False)
    assert "does not match the specified platform (linux/arm64)" in other.stderr
    both = engine.run("onggi", "image", "unmount", "--all", BUSYBOX, check=False)
    assert both.returncode == 1
