"""Large layers are unpacked by processes of their own: the same results, the same errors, nothing left."""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import signal
from pathlib import Path

import pytest

from onggi.errors import Corrupt, System
from onggi.images import load as loading
from onggi.images import workers as workers_
from onggi.images.images import Images
from onggi.images.staging import Staging
from onggi.images.tar.entry import BadArchive
from onggi.images.unpacking import SMALL_BYTES, Unpacking
from tests import engines, registries
from tests.integration.images.test_images_hostile import tar

pytestmark = [pytest.mark.root, pytest.mark.timeout(120)]

LARGE = registries.layer({f"d/{n}": os.urandom(1 << 16) for n in range(SMALL_BYTES // (1 << 16) + 4)})


def workers() -> set[int]:
    """The workers of this process."""
    found = set()
    for task in os.listdir("/proc/self/task"):
        with contextlib.suppress(OSError):  # the thread has ended
            children = Path(f"/proc/self/task/{task}/children").read_text()
            found |= {int(pid) for pid in children.split() if is_worker(pid)}
    return found


def is_worker(pid: str) -> bool:
    try:
        return b"onggi.images.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:  # it has ended
        return False


@pytest.mark.parametrize("packed", [LARGE, gzip.compress(LARGE, 1)], ids=["plain", "gzip"])
def test_a_large_layer_goes_to_a_worker_which_is_used_again(images: Images, packed: bytes) -> None:
    for _ in range(2):
        unpacking = Unpacking(images)
        unpacking.write(packed)
        (pid,) = workers()
        done = unpacking.finish(registries.digest(packed))
        assert done.diff_id == registries.digest(LARGE)
        assert len(os.listdir(images.snapshots.tree(done.key) + "/d")) == SMALL_BYTES // (1 << 16) + 4
        images.snapshots.remove(done.key)
        assert workers() == {pid}
    images.workers.close()
    assert workers() == set()


def test_a_small_one_does_not(images: Images) -> None:
    unpacking = Unpacking(images)
    unpacking.write(registries.layer({"small": b"x"}))
    assert unpacking.finish("sha256:none").size == 1 and workers() == set()


def test_what_a_worker_refuses_is_what_the_engine_refuses(images: Images) -> None:
    hostile = tar(("pad", bytes(2 * SMALL_BYTES)), ("../outside", b"x"))
    unpacking = Unpacking(images)
    unpacking.write(hostile)
    with pytest.raises(BadArchive, match="outside"):
        unpacking.finish("sha256:x")
    images.workers.close()
    if not images.snapshots.stackable:
        return  # a layer is unpacked when the image is published, on its parent
    damaged = bytearray(gzip.compress(LARGE, 1))
    damaged[len(damaged) // 2 : len(damaged) // 2 + 64] = bytes(64)
    with Staging(images) as staging, pytest.raises((BadArchive, Corrupt)):
        blob = staging.blob([bytes(damaged[at : at + 65536]) for at in range(0, len(damaged), 65536)], "")
        staging.layer_of(blob)
    images.workers.close()
    assert workers() == set()


def test_a_worker_that_is_killed_is_an_error_and_the_next_one_works(images: Images) -> None:
    unpacking = Unpacking(images)
    unpacking.write(LARGE)
    (pid,) = workers()
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(System, match="has ended"):
        unpacking.write(LARGE)
        unpacking.write(LARGE)
        unpacking.finish("sha256:x")
    again = Unpacking(images)
    again.write(LARGE)
    done = again.finish("sha256:x")
    images.snapshots.remove(done.key)
    (idle,) = workers()
    os.kill(idle, signal.SIGKILL)
    engines.until(lambda: not images.workers._idle[0].alive)
    third = Unpacking(images)
    third.write(LARGE)
    images.snapshots.remove(third.finish("sha256:x").key)


def test_what_is_given_up_leaves_no_process_and_no_directory(images: Images) -> None:
    unpacking = Unpacking(images)
    unpacking.write(LARGE)
    tree = images.snapshots.tree(unpacking.key)
    unpacking.abandon()
    images.trash.empty()
    assert workers() == set() and not os.path.exists(tree)


def test_an_image_is_loaded_as_before(images: Images) -> None:
    made = registries.image([LARGE])
    index = (
        b'{"schemaVersion":2,"manifests":[{"mediaType":"%s","digest":"%s","size":%d,"annotations":'
        b'{"org.opencontainers.image.ref.name":"big:1"}}]}'
        % (registries.OCI_MANIFEST.encode(), made.digest.encode(), len(made.manifest))
    )
    blobs = {made.digest: made.manifest, **made.blobs}
    members = {f"blobs/sha256/{name[7:]}": data for name, data in blobs.items()} | {"index.json": index}
    ids = loading.load(images, io.BytesIO(tar(*members.items())), lambda _: None)
    assert ids == [made.id]


def test_an_idle_worker_ends_by_itself(images: Images, monkeypatch: pytest.MonkeyPatch) -> None:
    program = workers_.PROGRAM.replace("main()", "import onggi.images.worker as w; w.IDLE_S = 0.2; main()")
    monkeypatch.setattr(workers_, "PROGRAM", program)
    for _ in range(2):
        unpacking = Unpacking(images)
        unpacking.write(LARGE)
        images.snapshots.remove(unpacking.finish("sha256:x").key)
        engines.until(lambda: workers() == set())
