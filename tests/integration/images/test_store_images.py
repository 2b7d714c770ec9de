"""Images in and out of a store, hostile archives, crashes, and the peers that read what we write."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from onggi.errors import Conflict, OnggiError
from onggi.images import collect, load, remove, resolve, save, tag
from onggi.images.images import Images
from onggi.images.import_ import import_
from onggi.images.staging import pieces_of
from onggi.paths import Paths
from onggi.store import containers
from onggi.store.database import Database

pytestmark = pytest.mark.root


def layer(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def old_archive(layers: list[bytes], *, extra: dict[str, bytes] | None = None, **config: object) -> bytes:
    """docker save as before version 25: DIR/layer.tar and HEX.json."""
    diff_ids = ["sha256:" + hashlib.sha256(data).hexdigest() for data in layers]
    document = {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": diff_ids}}
    text = json.dumps({**document, **config}).encode()
    name = hashlib.sha256(text).hexdigest()
    files = {f"{n}/layer.tar": data for n, data in enumerate(layers)} | {f"{name}.json": text}
    item = {
        "Config": f"{name}.json",
        "RepoTags": ["old:1"],
        "Layers": [f"{n}/layer.tar" for n in range(len(layers))],
    }
    return layer({**files, "manifest.json": json.dumps([item]).encode(), **(extra or {})})


@pytest.fixture(params=["overlay2", "vfs"])
def images(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Images]:
    paths = Paths(str(tmp_path / "root"), str(tmp_path / "run"))
    os.makedirs(paths.root)
    with Database(paths.database) as database:
        found = Images(paths, database, driver=request.param)
        collect.recover(found)
        yield found


def state(images: Images) -> tuple[object, ...]:
    places = (images.paths.partial_dir, images.paths.blobs_dir, images.paths.snapshots_dir)
    return (*(sorted(os.listdir(place)) for place in places), images.database.read("SELECT id FROM images"))


def load_bytes(images: Images, data: bytes) -> list[str]:
    return load.load(images, io.BytesIO(data), lambda line: None)


def saved(images: Images, *names: str) -> bytes:
    buffer = io.BytesIO()
    save.save(images, save.choose(images, list(names)), buffer)
    return buffer.getvalue()


def test_two_layers_in_and_out_with_whiteouts(images: Images) -> None:
    below = layer({"keep": b"1", "gone": b"2"})
    load_bytes(images, old_archive([below, layer({".wh.gone": b"", "new": b"3"})]))
    image = resolve.resolve(images, "old:1")
    assert image.size == 3 and len(image.layers) == 2
    archive = saved(images, "old:1")
    assert saved(images, "old:1") == archive
    removed = remove.remove(images, "old:1", set(), force=False, noprune=False)
    assert removed.lines[0] == ("old:1", "") and removed.images == [image.id]
    assert state(images) == ([], [], ["empty"], [])
    assert load_bytes(images, archive) == [image.id]
    assert resolve.resolve(images, image.id[7:19]).names == image.names
    names = set(os.listdir(images.snapshots.tree(image.top)))
    assert "new" in names and (images.snapshots.driver != "vfs" or names == {"keep", "new"})


def test_a_layer_that_is_here_is_shared(images: Images) -> None:
    below = layer({"keep": b"1"})
    load_bytes(images, old_archive([below], comment="a"))
    load_bytes(images, old_archive([below], comment="b"))
    assert len(os.listdir(images.paths.snapshots_dir)) == 2  # empty, and one layer
    assert len(images.database.read("SELECT id FROM images")) == 2
    remove.remove(images, "old:1", set(), force=False, noprune=False)
    assert len(os.listdir(images.paths.snapshots_dir)) == 2


HOSTILE = {
    "truncated": lambda data: data[: len(data) // 2],
    "no archive": lambda data: b"x" * 2000,
    "empty": lambda data: b"",
    "outside": lambda data: layer({"../../canary": b"!"}),
    "absolute": lambda data: layer({"/etc/canary": b"!"}),
    "duplicate": lambda data: old_archive([layer({"a": b"1"})], extra={"./manifest.json": b"[]"}),
    "no manifest": lambda data: layer({"a": b"b"}),
    "bad manifest": lambda data: layer({"manifest.json": b"{"}),
    "missing layer": lambda data: layer({"manifest.json": b'[{"Config":"a","Layers":["b"]}]'}),
    "wrong digest": lambda data: layer({"blobs/sha256/" + "a" * 64: b"other"}),
    "wrong diff id": lambda data: old_archive([layer({})], rootfs={"diff_ids": ["sha256:" + "0" * 64]}),
    "layer count": lambda data: old_archive([layer({"a": b"1"})], rootfs={"diff_ids": []}),
    "cut gzip layer": lambda data: old_archive([gzip.compress(layer({"a": bytes(1 << 20)}))[:500]]),
    "windows": lambda data: old_archive([layer({"a": b"1"})], os="windows"),
    "layer leads outside": lambda data: old_archive([layer({"../../../canary": b"!"})]),
}  # fmt: skip


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_archive_is_named_and_leaves_the_store_as_it_was(
    images: Images, kind: str, tmp_path: Path
) -> None:
    load_bytes(images, old_archive([layer({"first": b"1"})]))
    before = state(images)
    with pytest.raises(OnggiError) as caught:
        load_bytes(images, HOSTILE[kind](old_archive([layer({"a": b"1" * 5000})])))
    assert caught.value.message
    assert state(images) == before
    assert not list(tmp_path.glob("canary")) and not os.path.exists("/etc/canary")


def test_conflicts_name_the_container(images: Images) -> None:
    load_bytes(images, old_archive([layer({"a": b"1"})]))
    image = resolve.resolve(images, "old:1")
    images.snapshots.create("c", image.top, "container")
    row = containers.ContainerRow("c" * 64, "web", "exited", image.id, 1, b"{}")
    containers.insert(images.database, row)
    words = f'unable to remove repository reference "old:1" \\(must force\\) - container {"c" * 12} is using'
    with pytest.raises(Conflict, match=words):
        remove.remove(images, "old:1", set(), force=False, noprune=False)
    with pytest.raises(Conflict, match="cannot be forced"):
        remove.remove(images, image.id, {"c" * 64}, force=True, noprune=False)
    remove.remove(images, "old:1", set(), force=True, noprune=False)
    assert images.snapshots.exists(image.top)  # the container still stands on it
    images.snapshots.remove("c")
    collect.collect(images)
    assert not images.snapshots.exists(image.top)


POINTS = ["blob.written", "blob.sealed", "snapshot.row-written", "snapshot.filled", "staging.unpacked",
          "snapshot.commit", "blob.committed", "staging.layer-committed", "staging.blobs-committed",
          "staging.rows-written"]  # fmt: skip
CHILD = """
import sys
from onggi.images import collect, load
from onggi.images.images import Images
from onggi.paths import Paths
from onggi.store.database import Database
images = Images(Paths(sys.argv[1], sys.argv[1] + "/run"), Database(sys.argv[1] + "/onggi.db"))
load.load(images, open(sys.argv[2], "rb"), lambda line: None)
"""


@pytest.mark.parametrize("point", POINTS)
def test_killed_at_any_step_of_load_and_the_same_command_succeeds(tmp_path: Path, point: str) -> None:
    root = tmp_path / "root"
    root.mkdir()
    archive = tmp_path / "a.tar"
    archive.write_bytes(old_archive([layer({"a": b"1"}), layer({"b": b"2"})]))
    environment = {**os.environ, "PYTHONPATH": "src", "ONGGI_FAILPOINT": f"{point}=kill"}
    done = subprocess.run([sys.executable, "-c", CHILD, str(root), str(archive)], env=environment)
    assert done.returncode == -9
    paths = Paths(str(root), str(root / "run"))
    with Database(paths.database) as database:
        images = Images(paths, database)
        collect.recover(images)
        assert state(images) == ([], [], ["empty"], []) and os.listdir(paths.trash_dir) == []
        load_bytes(images, archive.read_bytes())
        assert resolve.resolve(images, "old:1").size == 2


@pytest.mark.peer
def test_skopeo_umoci_and_podman_read_it_and_we_read_theirs(
    images: Images, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    import_(images, pieces_of(io.BytesIO(layer({"hello": b"x" * 100}))), name="docker.io/library/one:1",
            changes=["CMD /hello"])  # fmt: skip
    image = resolve.resolve(images, "one:1")
    ours = tmp_path / "ours.tar"
    ours.write_bytes(saved(images, "one:1"))
    for source in (f"docker-archive:{ours}", f"oci:{images.paths.oci_dir}:one:1", f"oci-archive:{ours}"):
        facts = json.loads(run("skopeo", "inspect", "--config", "--raw", source))
        assert facts["rootfs"]["diff_ids"] == image.document.rootfs.diff_ids
    run("umoci", "stat", "--image", f"{images.paths.oci_dir}:one:1")
    theirs = tmp_path / "theirs.tar"
    run("skopeo", "copy", "-q", f"docker-archive:{ours}", f"docker-archive:{theirs}:two:2")
    load_bytes(images, theirs.read_bytes())
    assert resolve.resolve(images, "two:2").document.rootfs == image.document.rootfs
    layout = tmp_path / "layout.tar"
    run("skopeo", "copy", "-q", f"docker-archive:{ours}", f"oci-archive:{layout}:three:3")
    load_bytes(images, layout.read_bytes())
    assert resolve.resolve(images, "three:3").document.rootfs == image.document.rootfs
    short = tempfile.mkdtemp(prefix="po-")
    request.addfinalizer(lambda: shutil.rmtree(short))
    storage = [
        "--root",
        str(tmp_path / "storage"),
        "--runroot",
        short,
        "--storage-driver",
        "vfs",
    ]
    run("podman", *storage, "load", "-q", "-i", str(ours))
    podman = tmp_path / "podman.tar"
    run("podman", *storage, "save", "-q", "-o", str(podman), "one:1")
    load_bytes(images, podman.read_bytes())


@pytest.mark.peer
def test_a_real_dockerd_reads_it_and_we_read_its(tmp_path: Path) -> None:
    paths = Paths(str(tmp_path / "root"), str(tmp_path / "run"))
    os.makedirs(paths.root)
    host = f"unix://{tmp_path}/docker.sock"
    command = ["dockerd", "--data-root", str(tmp_path / "d"), "--exec-root", str(tmp_path / "e"), "-H", host,
               "--pidfile", str(tmp_path / "p"), "--bridge=none", "--iptables=false"]  # fmt: skip
    with open(tmp_path / "log", "wb") as log, Database(paths.database) as database:
        images = Images(paths, database)
        daemon = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            deadline = time.monotonic() + 40
            while subprocess.run(["docker", "-H", host, "version"], capture_output=True).returncode:
                assert time.monotonic() < deadline and daemon.poll() is None, (tmp_path / "log").read_text()[
                    -500:
                ]
                time.sleep(0.1)
            load_bytes(images, old_archive([layer({"a": b"1"}), layer({"b": b"2"})]))
            tag.tag(images, "old:1", tag.target("again", "2"))
            (tmp_path / "ours.tar").write_bytes(saved(images, "old:1", "again:2"))
            said = run("docker", "-H", host, "load", "-i", str(tmp_path / "ours.tar"))
            assert "Loaded image: old:1" in said and "Loaded image: again:2" in said
            image = resolve.resolve(images, "old:1")
            assert run("docker", "-H", host, "inspect", "-f", "{{.Id}}", "again:2").strip() == image.id
            run("docker", "-H", host, "save", "-o", str(tmp_path / "theirs.tar"), "old:1")
            remove.remove(images, image.id, set(), force=True, noprune=False)
            assert load_bytes(images, (tmp_path / "theirs.tar").read_bytes()) == [image.id]
        finally:
            daemon.terminate()
            daemon.wait(30)
            subprocess.run(["umount", str(tmp_path / "d"), str(tmp_path / "e")], capture_output=True)


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, (command, done.stdout, done.stderr)
    return done.stdout


REMOVAL_POINTS = ["remove.untagged", "remove.row-deleted", "snapshot.removing", "trash.moved",
                  "snapshot.moved", "collect.layer", "collect.blob"]  # fmt: skip
REMOVING = CHILD.rpartition("load.load")[0] + (
    "from onggi.images import remove\nremove.remove(images, 'old:1', set(), force=False, noprune=False)\n"
)


@pytest.mark.parametrize("point", REMOVAL_POINTS)
def test_killed_at_any_step_of_a_removal_the_image_is_whole_or_gone(tmp_path: Path, point: str) -> None:
    paths = Paths(str(tmp_path), str(tmp_path / "run"))
    archive = old_archive([layer({"a": b"1"}), layer({"b": b"2"})])
    with Database(paths.database) as database:
        image_id = load_bytes(Images(paths, database), archive)[0]
    environment = {**os.environ, "PYTHONPATH": "src", "ONGGI_FAILPOINT": f"{point}=kill"}
    assert subprocess.run([sys.executable, "-c", REMOVING, str(tmp_path)], env=environment).returncode == -9
    with Database(paths.database) as database:
        images = Images(paths, database)
        collect.recover(images)
        if images.get(image_id) is not None:
            assert saved(images, image_id) and images.snapshots.exists(resolve.resolve(images, image_id).top)
            remove.remove(images, image_id, set(), force=False, noprune=False)
        assert state(images) == ([], [], ["empty"], []) and os.listdir(paths.trash_dir) == []
