"""Targets that take foreign bytes and give back a value, or one of the errors that are named here.

Any other exception that leaves a target is a bug.
"""

from __future__ import annotations

import io
import json
import re
import struct
import tarfile
from functools import cache
from typing import Any

from onggi.cli.template import Template, TemplateError
from onggi.engine import clock
from onggi.engine import filters as filters_
from onggi.errors import Corrupt, InvalidParameter, NotImplemented_, Unavailable
from onggi.images.tar import BadArchive, Reader, Writer
from onggi.network.resolver import answers
from onggi.network.resolver.zones import Member, View, Zones
from onggi.registry import repository
from onggi.runtime import compile as compiled
from onggi.runtime import example, seccomp
from onggi.runtime.cgroups.layout import Layout
from onggi.signatures import policy
from onggi.spec import dockerignore, reference, timestamp
from onggi.spec import image as documents
from onggi.spec import platform as platforms
from tests.fuzz.feed import Feed, json_bytes

V1 = Layout({name: f"/cg/{name}" for name in ("memory", "cpu", "cpuset", "pids", "blkio", "devices")}, "", ())
V2 = Layout({}, "/cg", ("cpuset", "cpu", "io", "memory", "hugetlb", "pids"))


def references(data: bytes) -> None:
    """Names of images, digests, platforms, instants, filters."""
    text = data.decode("utf-8", "replace")
    try:
        named = reference.parse(text)
        assert reference.parse(str(named)) == named and reference.parse(named.familiar).name == named.name
    except InvalidParameter as error:
        assert error.message
    for read in (platforms.parse, platforms.parse_json, timestamp.parse, clock.parse_instant, clock.duration):
        try:
            read(text)
        except (InvalidParameter, ValueError):
            pass
    try:
        filters_.parse(text)
    except InvalidParameter:
        pass


def expressions(data: bytes) -> None:
    """Values of filters that are regular expressions or patterns of paths, and what they are searched in."""
    values = data.decode("utf-8", "replace").split("\n")
    for make in (filters_.Names, filters_.Patterns):
        try:
            found = make("name", values)
            search = found.find if isinstance(found, filters_.Names) else found.match
            for text in ("", "web-1", "a" * 60 + "!", values[-1]):
                search(text)
        except InvalidParameter as error:
            assert error.message.startswith("invalid filter 'name")


MANIFEST = {
    "schemaVersion": 2,
    "mediaType": documents.OCI_MANIFEST,
    "config": {"mediaType": documents.OCI_CONFIG, "digest": "sha256:" + "a" * 64, "size": 2},
    "layers": [
        {"mediaType": documents.OCI_LAYER_GZIP, "digest": "sha256:" + "b" * 64, "size": 3, "urls": ["u"]}
    ],
    "annotations": {"a": "b"},
}
INDEX = {
    "schemaVersion": 2,
    "manifests": [
        {
            "mediaType": documents.OCI_MANIFEST,
            "digest": "sha256:" + "c" * 64,
            "size": 4,
            "platform": {"os": "linux", "architecture": "amd64", "variant": "v8", "os.features": ["x"]},
        }
    ],
}
IMAGE = {
    "architecture": "amd64",
    "os": "linux",
    "created": "2026-01-01T00:00:00Z",
    "config": {
        "Cmd": ["a"],
        "Env": ["A=b"],
        "ExposedPorts": {"80/tcp": {}},
        "Volumes": {"/v": {}},
        "Labels": {},
        "Healthcheck": {"Test": ["CMD", "x"], "Interval": 1},
    },
    "rootfs": {"type": "layers", "diff_ids": ["sha256:" + "d" * 64]},
    "history": [{"created_by": "x", "empty_layer": True}],
}


def manifests(data: bytes) -> None:
    """What a registry calls a manifest, an index or a configuration; and its headers."""
    feed = Feed(data)
    kind = feed.byte() % 4
    document = feed.rest() if kind == 3 else json_bytes(feed.mutated((MANIFEST, INDEX, IMAGE)[kind]))
    for wanted in (documents.Manifest, documents.Index, documents.Image):
        try:
            found = documents.decode(wanted, document, "it")
            documents.encode(found)
            if isinstance(found, documents.Image):
                found.platform()
        except Corrupt as error:
            assert error.message
    try:
        repository._checked_type(document, documents.OCI_INDEX if kind == 1 else "", "it")
    except InvalidParameter:
        pass
    repository.next_page(document.decode("utf-8", "replace"))


def _members() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, kind in (
            ("a/" + "x" * 120, tarfile.REGTYPE),
            ("d", tarfile.DIRTYPE),
            ("l", tarfile.SYMTYPE),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.linkname, info.pax_headers = (
                kind,
                "t" * 110,
                {"SCHILY.xattr.user.a": "b", "mtime": "1.5"},
            )
            info.size = 3 if kind == tarfile.REGTYPE else 0
            tar.addfile(info, io.BytesIO(b"abc"))
    return out.getvalue()


def _gnu() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as tar:
        info = tarfile.TarInfo("n" * 140)
        info.size, info.uid = 2, 1 << 40
        tar.addfile(info, io.BytesIO(b"hi"))
    return out.getvalue()


def archives(data: bytes) -> None:
    """A tar; its first byte says whether checksums are put right first, so that headers are read at all."""
    if data[:1] > b"\x40":
        data = _with_checksums(data[1:])
    reader = Reader(io.BytesIO(data[1:] if data[:1] <= b"\x40" else data))
    total = 0
    try:
        for entry in reader:
            size = 0
            while piece := reader.piece():
                size += len(piece)
            assert size == entry.stored
            total += size
            Writer(io.BytesIO())
    except BadArchive as error:
        assert error.message
    assert total <= len(data)


def _with_checksums(data: bytes) -> bytes:
    found = bytearray(data)
    for at in range(0, len(found) - 511, 512):
        block = found[at : at + 512]
        if block[257:262] == b"ustar":
            block[148:156] = b" " * 8
            found[at + 148 : at + 156] = b"%06o\0 " % sum(block)
    return bytes(found)


def profiles(data: bytes) -> None:
    """A seccomp profile of a user."""
    feed = Feed(data)
    raw = feed.byte() % 4 == 0
    try:
        profile = json.loads(feed.rest()) if raw else feed.mutated(PROFILE)
    except (ValueError, RecursionError):
        return
    if not isinstance(profile, dict):
        return
    try:
        seccomp.compile(profile, arch=None)
    except InvalidParameter as error:
        assert error.message


PROFILE: dict[str, Any] = {
    "defaultAction": "SCMP_ACT_ERRNO",
    "defaultErrnoRet": 1,
    "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"],
    "flags": ["SECCOMP_FILTER_FLAG_LOG"],
    "syscalls": [
        {"names": ["read", "write", "nosuch"], "action": "SCMP_ACT_ALLOW"},
        {
            "names": ["personality"],
            "action": "SCMP_ACT_ALLOW",
            "args": [
                {"index": 0, "value": 8, "valueTwo": 0, "op": "SCMP_CMP_EQ"},
                {"index": 1, "value": 4096, "valueTwo": 255, "op": "SCMP_CMP_MASKED_EQ"},
            ],
        },
        {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38},
    ],
}


@cache
def _config() -> dict[str, Any]:
    found = example.config()
    found["linux"] |= {
        "seccomp": PROFILE,
        "sysctl": {"net.ipv4.ip_forward": "1"},
        "uidMappings": [{"containerID": 0, "hostID": 1000, "size": 10}],
        "gidMappings": [{"containerID": 0, "hostID": 1000, "size": 10}],
        "devices": [
            {"path": "/dev/x", "type": "c", "major": 1, "minor": 3, "fileMode": 438, "uid": 0, "gid": 0}
        ],
        "resources": {
            "memory": {"limit": 1 << 20, "swap": 1 << 21, "reservation": 1, "swappiness": 5},
            "cpu": {"shares": 5, "quota": 1000, "period": 100000, "cpus": "0-1", "mems": "0"},
            "pids": {"limit": 5},
            "blockIO": {"weight": 10, "throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 5}]},
            "devices": [{"allow": True, "type": "c", "major": 1, "minor": 3, "access": "rwm"}],
            "unified": {"memory.high": "5"},
            "hugepageLimits": [{"pageSize": "2MB", "limit": 5}],
        },
    }
    found["hooks"] = {"prestart": [{"path": "/bin/true", "args": ["x"], "env": ["A=b"], "timeout": 3}]}
    return found


def configurations(data: bytes) -> None:
    """An OCI runtime document: compiled, never run."""
    feed = Feed(data)
    kind = feed.byte() % 8
    try:
        document = json.loads(feed.rest()) if kind == 0 else feed.mutated(_config())
    except (ValueError, RecursionError):
        return
    if not isinstance(document, dict):
        return
    layout = (None, V1, V2)[kind % 3]
    try:
        compiled.container(document, container_id="x", bundle_dir="/b", layout=layout)
    except (InvalidParameter, Unavailable) as error:
        assert error.message
    process = document.get("process")
    if isinstance(process, dict):
        try:
            compiled.process(process, container=document, container_id="x", init_pid=1)
        except (InvalidParameter, Unavailable) as error:
            assert error.message


@cache
def _zones() -> Zones:
    found = Zones()
    for name, address in (("web", "10.0.0.2"), ("six", "fd00::5")):
        found.join(
            Member(
                network="n1", network_name="front", container=name, names=(name, "www"), addresses=(address,)
            )
        )
    return found


def packets(data: bytes) -> None:
    """A DNS question."""
    view = View(container="me", networks=("n1",), links=(("n1", "database", "web"),))
    found = answers.answer(_zones(), view, data[1:], udp=bool(data[:1] > b"\x80"))
    assert found is None or isinstance(found, bytes)
    if found and data[:1] > b"\x80":
        assert len(found) <= answers.MOST_BYTES


def question(name: str, kind: int) -> bytes:
    labels = b"".join(bytes([len(part)]) + part.encode() for part in name.split("."))
    return struct.pack("!6H", 7, 0x100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!HH", kind, 1)


VALUE = {
    "Name": "/x",
    "Labels": {"a": "b"},
    "List": [1, "two", None, {"a": [3]}],
    "Number": 5,
    "Truth": True,
    "Empty": {},
    "Nothing": None,
    "Float": 1.5,
}


def templates(data: bytes) -> None:
    """A Go template of `--format`. It may count as far as its writer likes, but not here."""
    if re.search(rb"[0-9]{5}", data):
        return
    try:
        Template(data.decode("utf-8", "replace"), "").execute(VALUE)
    except TemplateError as error:
        assert str(error)


def policies(data: bytes) -> None:
    """A signature policy, and patterns of .dockerignore."""
    try:
        policy.parse(data, "policy.json")
    except (InvalidParameter, Corrupt, NotImplemented_) as error:
        assert error.message
    try:
        dockerignore.Matcher(dockerignore.read(data)).excludes("a/b.c")
    except InvalidParameter as error:
        assert error.message


ARCHIVE_SEEDS = (b"\xff" + _members(), b"\xff" + _gnu(), b"\0" + _members())
