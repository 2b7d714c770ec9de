"""Whole archives that mean harm, through load and import: named, bounded, and the store stays as it was."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import lzma
import os
import subprocess
import sys
import tarfile
import time
import zlib
from pathlib import Path
from typing import Any

import pytest

from onggi.errors import OnggiError
from onggi.images import load, resolve, save
from onggi.images.images import Images
from onggi.images.import_ import import_
from onggi.images.staging import pieces_of
from onggi.images.tar import Entry, Writer
from onggi.images.tar.entry import CHAR, DIRECTORY, HARD_LINK, SYMLINK

pytestmark = pytest.mark.root


def tar(*items: tuple[str, bytes] | Entry) -> bytes:
    out = io.BytesIO()
    writer = Writer(out)
    for item in items:
        if isinstance(item, Entry):
            writer.add(item)
        else:
            writer.add(Entry(os.fsencode(item[0]), size=len(item[1])), item[1])
    writer.close()
    return out.getvalue()


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def archive(
    layers: list[bytes], *, config: dict[str, Any] | None = None, extra: tuple[Any, ...] = (), **item: Any
) -> bytes:
    """docker save with blobs by digest; `config` and `item` replace members of the documents."""
    diff_ids = ["sha256:" + sha(data) for data in layers]
    document = {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": diff_ids}}
    text = json.dumps({**document, **(config or {})}).encode()
    blobs = {f"blobs/sha256/{sha(data)}": data for data in (*layers, text)}
    listed = {
        "Config": f"blobs/sha256/{sha(text)}",
        "RepoTags": ["evil:1"],
        "Layers": [f"blobs/sha256/{sha(data)}" for data in layers],
        **item,
    }
    return tar(*blobs.items(), ("manifest.json", json.dumps([listed]).encode()), *extra)


def state(images: Images) -> tuple[object, ...]:
    places = (images.paths.partial_dir, images.paths.blobs_dir, images.paths.snapshots_dir)
    counts = [
        images.database.read(f"SELECT count(*) FROM {table}") for table in ("images", "layers", "names")
    ]
    return (*(sorted(os.listdir(place)) for place in places), counts, os.listdir(images.paths.trash_dir))


def load_bytes(images: Images, data: bytes) -> list[str]:
    return load.load(images, io.BytesIO(data), lambda line: line.encode() and None)


GOOD = tar(("a", b"1"))
OTHER = tar(("b", b"2"))
DEEP = b"[" * 200_000 + b"]" * 200_000
LINK = Entry(b"blobs/sha256/" + b"e" * 64, SYMLINK, linkname=b"/etc/passwd")
BLOB = "blobs/sha256/"
SELF_INDEX = {
    "schemaVersion": 2,
    "manifests": [
        {"mediaType": "application/vnd.oci.image.index.v1+json", "digest": "sha256:" + "a" * 64, "size": 1}
    ]
    * 3000,
}

ARCHIVES = {
    "second layer is wrong": lambda: archive(
        [GOOD, OTHER], config={"rootfs": {"diff_ids": ["sha256:" + sha(GOOD), "sha256:" + "0" * 64]}}
    ),
    "config outside": lambda: archive([GOOD], Config="../../etc/passwd"),
    "config absolute": lambda: archive([GOOD], Config="/etc/passwd"),
    "layer outside": lambda: archive([GOOD], Layers=["../../../etc/passwd"]),
    "layer is a link to the host": lambda: archive(
        [GOOD], extra=(LINK,), Layers=["blobs/sha256/" + "e" * 64]
    ),
    "link loop": lambda: archive(
        [GOOD], extra=(Entry(b"x", SYMLINK, linkname=b"y"), Entry(b"y", SYMLINK, linkname=b"x")), Layers=["x"]
    ),
    "link with a name that is no text": lambda: tar(
        Entry(b"d\xff/x", SYMLINK, linkname=b"\xfe/../.."), ("manifest.json", b"[]"), ("d\udcff/x", b"1")
    ),
    "name twice that is no text": lambda: tar(("\udcff", b"1"), ("\udcff", b"2")),
    "half a surrogate pair": lambda: tar(("manifest.json", b'[{"Config":"\\ud800","Layers":[]}]')),
    "device as blob": lambda: tar(Entry(b"blobs/sha256/" + b"a" * 64, CHAR, major=1, minor=5)),
    "hard link to the host": lambda: tar(Entry(b"manifest.json", HARD_LINK, linkname=b"/etc/passwd")),
    "deep manifest": lambda: tar(("manifest.json", DEEP)),
    "deep index": lambda: tar(("index.json", DEEP)),
    "deep config": lambda: _raw_config(b'{"config":' + DEEP + b"}"),
    "config is a list": lambda: _raw_config(b"[]"),
    "config is a number": lambda: _raw_config(b"7"),
    "env is a number": lambda: archive([GOOD], config={"config": {"Env": 7}}),
    "rootfs is text": lambda: archive([GOOD], config={"rootfs": "x"}),
    "diff id is no digest": lambda: archive([GOOD], config={"rootfs": {"diff_ids": ["../../x"]}}),
    "created is no instant": lambda: archive([GOOD], config={"created": "yesterday"}),
    "history is no instant": lambda: archive([GOOD], config={"history": [{"created": "x"}]}),
    "tag is a path": lambda: archive([GOOD], RepoTags=["../../etc/passwd:1"]),
    "tag is empty": lambda: archive([GOOD], RepoTags=[""]),
    "tag has a new line": lambda: archive([GOOD], RepoTags=["a\nb:1"]),
    "two of one name": lambda: tar(("manifest.json", b"[]"), ("./manifest.json", b"[]")),
    "millions of images": lambda: tar(
        ("manifest.json", b"[" + b",".join([b'{"Config":""}'] * 100_000) + b"]")
    ),
    "big manifest": lambda: tar(("manifest.json", b" " * (9 << 20))),
    "big config": lambda: _raw_config(b" " * (5 << 20)),
    "too many layers": lambda: archive([tar((str(n), b"")) for n in range(401)]),
    "cut": lambda: archive([GOOD])[:1000],
    "cut gzip": lambda: gzip.compress(archive([os.urandom(50_000)]))[:20_000],
    "gzip with a wrong check sum": lambda: _wrong_crc(archive([GOOD])),
    "cut gzip layer": lambda: archive([gzip.compress(tar(("a", os.urandom(50_000))))[:-20]]),
    "garbage": lambda: os.urandom(100_000),
    "xz that asks for 4 GiB": lambda: _xz_of_large_dictionary(),
    "negative size": lambda: _header(size=b"\xff" * 12),
    "size of 63 bits": lambda: _header(size=b"\x80\0\0\0\x7f" + b"\xff" * 7),
    "huge pax header": lambda: _header(size=b"%011o\0" % (1 << 30), flag=b"x"),
    "index of itself": lambda: tar(("index.json", json.dumps(SELF_INDEX).encode())),
    "index with a short digest": lambda: tar(
        ("index.json", b'{"schemaVersion":2,"manifests":[{"digest":"sha256:a","size":1}]}')
    ),
}


def _raw_config(text: bytes) -> bytes:
    name = BLOB + sha(text)
    item = [{"Config": name, "RepoTags": ["evil:1"], "Layers": [BLOB + sha(GOOD)]}]
    return tar((name, text), (BLOB + sha(GOOD), GOOD), ("manifest.json", json.dumps(item).encode()))


def _wrong_crc(data: bytes) -> bytes:
    packed = bytearray(gzip.compress(data))
    packed[-8] ^= 0xFF
    return bytes(packed)


def _xz_of_large_dictionary() -> bytes:
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 512 << 20}]
    return lzma.compress(archive([GOOD]), filters=filters)


def _header(size: bytes = b"00000000000\0", flag: bytes = b"0") -> bytes:
    block = bytearray(tar(("x", b""))[:512])
    block[124:136], block[156:157] = size, flag
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block) + bytes(4096)


@pytest.mark.parametrize("kind", ARCHIVES)
def test_an_archive_that_means_harm_is_named_and_leaves_nothing(images: Images, kind: str) -> None:
    load_bytes(images, archive([OTHER], RepoTags=["first:1"]))
    before, passwd = state(images), Path("/etc/passwd").read_bytes()
    data = ARCHIVES[kind]()
    begun = time.monotonic()
    with pytest.raises(OnggiError) as caught:
        load_bytes(images, data)
    assert caught.value.message.encode()  # can be sent to a client
    assert "\n" not in caught.value.message
    assert time.monotonic() - begun < 20
    assert state(images) == before and Path("/etc/passwd").read_bytes() == passwd


LAYERS = {
    "outside": [("../../canary", b"!")],
    "through a link": [Entry(b"l", SYMLINK, linkname=b"/etc"), ("l/canary", b"!")],
    "hard link to a host file": [Entry(b"h", HARD_LINK, linkname=b"/etc/passwd"), ("h", b"!")],
    "whiteout of dot dot": [("d/.wh...", b"")],
    "whiteout of nothing": [(".wh.", b"")],
    "size beyond the end": [Entry(b"x", size=1 << 40)],
    "owner out of range": [Entry(b"x", uid=1 << 40)],
    "device out of range": [Entry(b"x", CHAR, major=5000, minor=1)],
    "long name": [("x" * 300, b"")],
    "long path": [("x/" * 3000, b"")],
    "root as a link": [Entry(b"./", SYMLINK, linkname=b"/")],
}


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("way", ["load", "import", "second layer"])
def test_a_layer_that_means_harm(images: Images, kind: str, way: str) -> None:
    try:
        data = tar(*LAYERS[kind])
    except (
        ValueError,
        OnggiError,
    ):  # our own writer refuses to write it whole: cut short, as an attacker has it
        data = tar(*LAYERS[kind][:-1])[:-1024] + _member(LAYERS[kind][-1])
    before, passwd = state(images), Path("/etc/passwd").stat()
    try:
        if way == "import":
            import_(images, pieces_of(io.BytesIO(data)))
        else:
            load_bytes(images, archive([GOOD, data] if way == "second layer" else [data]))
    except OnggiError as error:
        assert error.message.encode()
        assert state(images) == before
    after = Path("/etc/passwd").stat()
    beside = os.listdir(images.paths.root) + os.listdir(os.path.dirname(images.paths.root))
    assert (after.st_nlink, after.st_mtime_ns, after.st_size) == (
        passwd.st_nlink,
        passwd.st_mtime_ns,
        passwd.st_size,
    )
    assert not os.path.exists("/etc/canary") and "canary" not in beside


def _member(item: Any) -> bytes:
    entry = item if isinstance(item, Entry) else Entry(os.fsencode(item[0]))
    info = tarfile.TarInfo("x")
    info.size, info.uid = entry.size, min(entry.uid, 1 << 40)
    return info.tobuf(tarfile.GNU_FORMAT) + bytes(1024)


def test_marks_of_overlayfs_cannot_be_forged(images: Images) -> None:
    """A redirect would show another directory, metacopy another file's bytes; in every spelling."""
    marks = {
        b"trusted.overlay.redirect": b"/etc", b"trusted.overlay.metacopy": b"",
        b"trusted.overlay.opaque": b"y", b"user.overlay.opaque": b"y",
        b"trusted.overlay.whiteout": b"y", b"trusted.overlay.origin": b"x" * 20,
        b"user.fuseoverlayfs.opaque": b"y", b"user.fuseoverlayfs.override_stat": b"0:0:4755",
        b"user.containers.override_stat": b"0:0:4755", b"security.fuseoverlayfs.override_stat": b"0:0:4755",
        b"user.kept": b"1",
    }  # fmt: skip
    members = [Entry(b"d", DIRECTORY, xattrs=marks), Entry(b"f", xattrs=marks)]
    plain = tarfile.TarInfo("p")
    plain.pax_headers = {"LIBARCHIVE.xattr.trusted.%6fverlay.opaque": "eQ=="}
    data = tar(*members)[:-1024].rstrip(b"\0")
    data += bytes(-len(data) % 512) + plain.tobuf(tarfile.PAX_FORMAT) + bytes(1024)
    load_bytes(images, archive([data]))
    tree = images.snapshots.tree(resolve.resolve(images, "evil:1").top)
    for name in "dfp":
        found = set(os.listxattr(f"{tree}/{name}"))
        assert not [key for key in found if ".overlay." in key or "overlayfs" in key or "override" in key]
        assert "user.kept" in found or name == "p"


def test_set_id_bits_and_odd_names_are_kept_as_they_are(images: Images) -> None:
    names = [b"new\nline", b"tab\t", b"\xff\xfe", b"-rf", b"*", b"a" * 255]
    data = tar(*[Entry(name, mode=0o6755, uid=1000) for name in names])
    load_bytes(images, archive([data]))
    tree = os.fsencode(images.snapshots.tree(resolve.resolve(images, "evil:1").top))
    assert sorted(os.listdir(tree)) == sorted(names)
    assert {os.stat(tree + b"/" + name).st_mode & 0o7777 for name in names} == {0o6755}


def test_null_is_an_absent_value_as_in_go(images: Images) -> None:
    config = {"User": None, "Env": None, "WorkingDir": None, "ExposedPorts": {"80/tcp": None}, "Labels": None}
    load_bytes(images, archive([GOOD], config={"config": config, "author": None, "history": None}))
    assert resolve.resolve(images, "evil:1").config.exposed_ports == {"80/tcp": {}}


def test_a_damaged_blob_is_replaced_by_the_next_load(images: Images) -> None:
    load_bytes(images, archive([GOOD]))
    path = images.blobs.path("sha256:" + sha(GOOD))
    os.chmod(path, 0o644)
    Path(path).write_bytes(b"x" * len(GOOD))
    chosen = save.choose(images, ["evil:1"])
    with pytest.raises(OnggiError, match=sha(GOOD)):
        save.verify(images, chosen)
    load_bytes(images, archive([GOOD]))
    save.verify(images, chosen)
    assert os.listdir(images.paths.partial_dir) == []


CHILD = """
import resource, sys
from onggi.errors import OnggiError
from onggi.images import collect, load
from onggi.images.images import Images
from onggi.images.import_ import import_
from onggi.images.staging import pieces_of
from onggi.paths import Paths
from onggi.store.database import Database
images = Images(Paths(sys.argv[1], sys.argv[1] + "/run"), Database(sys.argv[1] + "/onggi.db"))
collect.recover(images)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    if sys.argv[2] == "import":
        import_(images, pieces_of(open(sys.argv[3], "rb")))
    else:
        load.load(images, open(sys.argv[3], "rb"), lambda line: None)
    print("done")
except OnggiError as error:
    print(error.message)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def measured(tmp_path: Path, way: str, data: bytes) -> tuple[str, int, float]:
    """What one load or import in a process of its own says, the mebibytes it took, and the seconds."""
    source = tmp_path / "archive"
    source.write_bytes(data)
    root = tmp_path / "root"
    root.mkdir()
    begun = time.monotonic()
    command = [sys.executable, "-c", CHILD, str(root), way, str(source)]
    environment = {**os.environ, "PYTHONPATH": "src"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    said, mebibytes = done.stdout.strip().rsplit("\n", 1)
    assert os.listdir(root / "oci" / "partial") == [] and os.listdir(root / "trash") == []
    return said, int(mebibytes), time.monotonic() - begun


def ten_gigabytes_of_zeroes() -> bytes:
    """A layer of 10 GiB in 10 MiB: one compressed mebibyte of zeroes, again and again."""
    head = tarfile.TarInfo("zeroes")
    head.size = 10 << 30
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    return packer.compress(head.tobuf()) + b"".join(
        [packer.compress(bytes(1 << 20)) for _ in range(1 << 10)] + [packer.flush()]
    ) + gzip.compress(bytes(1 << 20)) * (9 << 10)  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("way", ["import", "load"])
def test_ten_gigabytes_in_ten_megabytes(tmp_path: Path, way: str) -> None:
    data = ten_gigabytes_of_zeroes()
    said, mebibytes, seconds = measured(tmp_path, way, data if way == "import" else archive([data]))
    assert "over the limit of 500 to 1" in said
    assert mebibytes < 64 and seconds < 30
    taken = subprocess.run(["du", "-sm", str(tmp_path / "root")], capture_output=True, text=True, check=True)
    assert int(taken.stdout.split()[0]) < 64


@pytest.mark.slow
def test_a_hundred_thousand_tiny_members(tmp_path: Path) -> None:
    said, mebibytes, seconds = measured(
        tmp_path, "import", tar(*[(f"d{n % 100}/{n}", b"x") for n in range(100_000)])
    )
    assert said == "done" and mebibytes < 64 and seconds < 60


@pytest.mark.slow
def test_many_tiny_members_beside_an_image(tmp_path: Path) -> None:
    """Old archives have three files for each layer; nobody has this many. Bounded work, nothing left."""
    said, mebibytes, _ = measured(tmp_path, "load", tar(*[(f"{n}/json", b"%d" % n) for n in range(20_000)]))
    assert "neither manifest.json nor index.json" in said and mebibytes < 128


def test_pax_headers_without_end(tmp_path: Path) -> None:
    """Only the last of many extended headers in a row counts, so they take no memory."""
    info = tarfile.TarInfo("x")
    one = []
    for number in range(300):
        info.pax_headers = {f"key{number}": "v" * 500_000}
        one.append(info.tobuf(tarfile.PAX_FORMAT)[:-512])
    said, mebibytes, _ = measured(tmp_path, "import", b"".join(one) + info.tobuf() + bytes(1024))
    assert said == "done" and mebibytes < 64
