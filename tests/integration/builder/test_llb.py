"""LLB of clients: operations from a client of our own, linked and remote bake targets, hostile frames."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from grpclib.client import UnaryUnaryMethod
from grpclib.exceptions import GRPCError, StreamTerminatedError

from onggi.builder.buildkit.messages import kind
from tests import engines
from tests.buildx import buildx, need
from tests.llb import Client, solve, upgraded, with_client
from tests.repositories import repository, served

pytestmark = [pytest.mark.root, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[engines.Engine]:
    with engines.onggi(tmp_path_factory.mktemp("llb")) as engine:
        engines.import_busybox(engine)
        yield engine


def shown(engine: engines.Engine, command: str) -> str:
    return engine.onggi("run", "--rm", "llb", "sh", "-c", command)


def test_exec_file_merge_and_diff(engine: engines.Engine) -> None:
    one = Client()
    base = one.image("busybox:test")
    copy, action = kind("FileActionCopy"), kind("FileAction")
    made = one.run("echo one > /one; rm /bin/true", base)
    difference = one.add(base, made, diff=kind("DiffOp")(
        lower=kind("NumberedInput")(input=0), upper=kind("NumberedInput")(input=1)
    ))  # fmt: skip
    written = one.add(base, difference, file=kind("FileOp")(actions=[
        action(input=0, secondaryInput=-1, output=-1, mkdir=kind("FileActionMkDir")(
            path="/d", mode=0o750, timestamp=-1)),
        action(input=2, secondaryInput=-1, output=-1, mkfile=kind("FileActionMkFile")(
            path="/d/f", mode=0o640, data=b"data", timestamp=-1)),
        action(input=3, secondaryInput=1, output=0, copy=copy(
            src="/one", dest="/copied", mode=-1, timestamp=-1)),
    ]))  # fmt: skip
    merged = one.add(written, difference, merge=kind("MergeOp")(
        inputs=[kind("NumberedInput")(input=0), kind("NumberedInput")(input=1)]
    ))  # fmt: skip
    assert solve(engine, one.definition(merged))["containerimage.config.digest"].startswith("sha256:")
    assert shown(engine, "cat /d/f /copied /one; stat -c %a /d; ls /bin/true 2>&1; :") == (
        "dataone\none\n750\nls: /bin/true: No such file or directory\n"
    )


def test_mounts_and_trees_without_common_layers(engine: engines.Engine) -> None:
    one = Client()
    base = one.image("busybox:test")
    other = one.run("mkdir /x; echo of-other > /x/f", base)
    bind = kind("Mount")(input=1, selector="x", dest="/m", output=-1, readonly=True)
    cache = kind("Mount")(
        input=-1, dest="/c", output=-1, mountType=3, cacheOpt=kind("CacheOpt")(ID="llb", sharing=2)
    )
    both = one.run("cat /m/f > /c/kept; cp /c/kept /out; rm /bin/false", base, bind, cache, inputs=(other,))
    difference = one.add(other, both, diff=kind("DiffOp")(
        lower=kind("NumberedInput")(input=0), upper=kind("NumberedInput")(input=1)
    ))  # fmt: skip
    merged = one.add(other, difference, merge=kind("MergeOp")(
        inputs=[kind("NumberedInput")(input=0), kind("NumberedInput")(input=1)]
    ))  # fmt: skip
    solve(engine, one.definition(merged))
    assert shown(engine, "cat /out; ls -d /x /bin/false 2>&1; :") == (
        "of-other\nls: /x: No such file or directory\nls: /bin/false: No such file or directory\n"
    )


def refused(engine: engines.Engine, definition: Any) -> str:
    with pytest.raises(GRPCError) as caught:
        solve(engine, definition)
    return str(caught.value.message)


def test_hostile_definitions(engine: engines.Engine) -> None:
    one = Client()
    missing = kind("Input")(digest="sha256:" + "0" * 64)
    assert "is missing" in refused(engine, one.definition(missing))
    definition = kind("Definition")
    assert "LLB" in refused(engine, definition(**{"def": [b"\xff\xff\xff"]}))
    assert "names no result" in refused(engine, definition(**{"def": [kind("Op")().SerializeToString()]}))
    one = Client()
    assert "sources of kind 'git+evil'" in refused(
        engine, one.definition(one.add(source=kind("SourceOp")(identifier="git+evil://x")))
    )
    one = Client()
    odd = one.add(one.image("busybox:test"), merge=kind("MergeOp")(inputs=[kind("NumberedInput")(input=7)]))
    assert "input 7 of 1" in refused(engine, one.definition(odd))
    one = Client()
    base = one.image("busybox:test")
    no_root = one.add(base, exec=kind("ExecOp")(meta=kind("ExecMeta")(args=["/bin/true"])))
    assert "exactly one root" in refused(engine, one.definition(no_root))
    one = Client()
    built = one.add(one.image("busybox:test"), build=kind("Empty")())
    assert "operation build" in refused(engine, one.definition(built))
    one = Client()
    last = one.image("busybox:test")
    for number in range(3000):  # a long chain needs no recursion
        action = kind("FileAction")(
            input=0, output=0, mkfile=kind("FileActionMkFile")(path="/no/where", mode=number, timestamp=-1)
        )
        last = one.add(last, file=kind("FileOp")(actions=[action]))
    assert "no such file or directory" in refused(engine, one.definition(last))
    assert engine.api("GET", "/v1.51/info")["ServerVersion"]


ACTIONS = {
    "mkfile": "FileActionMkFile", "copy": "FileActionCopy", "mkdir": "FileActionMkDir",
    "symlink": "FileActionSymlink", "rm": "FileActionRm",
}  # fmt: skip


def acted(one: Client, name: str, *, second: int = 0, **fields: Any) -> Any:
    """A file operation of one action on busybox."""
    said = kind(ACTIONS[name])(**fields)
    action = kind("FileAction")(input=0, secondaryInput=second, output=0, **{name: said})
    return one.add(one.image("busybox:test"), file=kind("FileOp")(actions=[action]))


@pytest.mark.parametrize(
    ("name", "fields", "said"),
    [
        ("mkfile", {"path": "/a\0c"}, "invalid path"),
        ("mkfile", {"path": "/"}, "the root of a tree cannot be replaced"),
        ("mkfile", {"path": "/" + "a" * 300}, "File name too long"),
        ("mkfile", {"path": "/bin/sh/x"}, "not a directory"),
        ("mkfile", {"path": "/bin"}, "bin: Is a directory"),
        ("mkdir", {"path": "/bin"}, "file exists"),
        ("rm", {"path": "/../.."}, "the root of a tree cannot be replaced"),
        ("rm", {"path": "/[", "allowWildcard": True}, "syntax error in pattern"),
        ("copy", {"src": "/bin/sh", "dest": "/x", "modeStr": "u+q"}, "invalid chmod parameter"),
        ("copy", {"src": "/a", "dest": "/x", "second": -1}, '"/a": not found'),
        ("copy", {"src": "/a\0", "dest": "/x"}, "invalid path"),
        ("symlink", {"oldpath": "x" * 5000, "newpath": "/l"}, "File name too long"),
    ],
)
def test_hostile_actions(engine: engines.Engine, name: str, fields: dict[str, Any], said: str) -> None:
    one = Client()
    told = refused(engine, one.definition(acted(one, name, **fields)))
    assert said in told and "internal error" not in told and not told.startswith("b'") and len(told) < 1000


@pytest.mark.parametrize(
    ("identifier", "said"),
    [
        ("local://", "invalid name of a directory"),
        ("https://[::1", "invalid address"),
        ("git://h/r.git#--upload-pack=x", "invalid reference '--upload-pack=x'"),
        ("file:///etc/passwd", "sources of kind 'file'"),
        ("docker-image://a@sha256:zz", "invalid reference format"),
        ("onggi-result://nope", "no such result 'nope'"),
    ],
)
def test_hostile_sources(engine: engines.Engine, identifier: str, said: str) -> None:
    one = Client()
    source = one.add(source=kind("SourceOp")(identifier=identifier))
    assert said in refused(engine, one.definition(source))


def test_outputs_that_there_are_not(engine: engines.Engine) -> None:
    for index in (5, -1, 1 << 40):
        one = Client()
        other = kind("Input")(digest=one.image("busybox:test").digest, index=index)
        assert f"has no output {index}" in refused(engine, one.definition(other))
    one = Client()
    other = kind("Input")(digest=one.run("true", one.image("busybox:test")).digest, index=1)
    assert "has no output 1" in refused(engine, one.definition(other))


def test_mounts_at_places_of_the_engines_own(engine: engines.Engine) -> None:
    """Over /dev, which the tree does not have, and two at one place: the last one is seen."""
    one = Client()
    tmpfs = [kind("Mount")(input=-1, dest=at, output=-1, mountType=4) for at in ("/dev", "/o", "/o")]
    solve(engine, one.definition(one.run("ls -A /o > /seen; touch /o/x", one.image("busybox:test"), *tmpfs)))
    assert shown(engine, "cat /seen") == ""


def test_the_empty_tree_can_be_copied(engine: engines.Engine) -> None:
    one = Client()
    made = acted(one, "copy", second=-1, src="/", dest="/x/", createDestPath=True, dirCopyContents=True)
    solve(engine, one.definition(made))
    assert shown(engine, "ls -A /x") == ""


def test_linked_targets_of_bake(engine: engines.Engine, tmp_path: Path) -> None:
    need()
    context = tmp_path / "context"
    context.mkdir()
    (context / "base.Dockerfile").write_text("FROM busybox:test\nENV A=linked\nCOPY f /f\n")
    (context / "Dockerfile").write_text("FROM base\nRUN echo $A > /a\nCOPY --from=base /f /g\n")
    (context / "f").write_text("file")
    (context / "docker-bake.json").write_text(json.dumps({"target": {
        "base": {"dockerfile": "base.Dockerfile"},
        "app": {"contexts": {"base": "target:base"}, "tags": ["linked:1"]},
    }}))  # fmt: skip
    buildx(engine, context, "bake", "app")
    assert engine.onggi("run", "--rm", "linked:1", "cat", "/a", "/f", "/g") == "linked\nfilefile"


def test_a_bake_file_in_a_repository(engine: engines.Engine, tmp_path: Path) -> None:
    need()
    context = tmp_path / "context"
    context.mkdir()
    bake = json.dumps({"target": {"default": {"tags": ["remote-bake:1"]}}})
    files = {"docker-bake.json": bake, "Dockerfile": "FROM busybox:test\nCOPY f /f\n", "f": "of git"}
    repository(tmp_path / "served", "app", files)
    with served(tmp_path / "served") as host:
        buildx(engine, context, "bake", f"http://{host}/app.git")
    assert engine.onggi("run", "--rm", "remote-bake:1", "cat", "/f") == "of git"


PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def frame(type_: int, flags: int, stream: int, body: bytes) -> bytes:
    return len(body).to_bytes(3, "big") + bytes((type_, flags)) + stream.to_bytes(4, "big") + body


def resident(engine: engines.Engine) -> int:
    assert engine.process is not None
    status = Path(f"/proc/{engine.process.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\n\r\n" * 100,
        PREFACE + b"\xff" * 65536,
        PREFACE + frame(4, 0, 0, b"") + frame(0, 0, 1, b"data of no stream"),
        PREFACE + frame(4, 0, 0, b"") + frame(1, 4, 1, b"\xff" * 200),
        PREFACE + frame(4, 0, 0, b"") + frame(9, 0, 1, b"continuation of nothing"),
        PREFACE + frame(4, 0, 0, b"") + frame(6, 0, 0, b"12345678") * 50_000,
        PREFACE + frame(4, 0, 0, b"") + frame(4, 0, 0, b"\0\x04\0\0\xff\xff") * 50_000,
        PREFACE + frame(4, 0, 0, b"") + b"\xff\xff\xff\x00\x00\x00\x00\x00\x01",
    ],
)
@pytest.mark.parametrize("path", ["/grpc", "/session"])
def test_hostile_frames(engine: engines.Engine, path: str, sent: bytes) -> None:
    before = resident(engine)
    id = os.urandom(8).hex()
    sock, _ = upgraded(engine, path, f"X-Docker-Expose-Session-Uuid: {id}\r\n")
    sock.settimeout(5)
    try:
        sock.sendall(sent)
        sock.shutdown(socket.SHUT_WR)
        while sock.recv(65536):
            pass
    except OSError:
        pass  # it was cut off
    finally:
        sock.close()
    assert engine.api("GET", "/v1.51/info")["ServerVersion"]
    assert resident(engine) - before < 64 << 10


def test_a_message_that_is_too_long(engine: engines.Engine) -> None:
    """A message says its length before it comes; nobody waits for four gigabytes."""

    async def work(channel: Any) -> None:
        method = UnaryUnaryMethod(
            channel, "/moby.buildkit.v1.Control/Solve", kind("SolveRequest"), kind("SolveResponse")
        )
        big = kind("SolveRequest")(Ref="x", Definition=kind("Definition")(**{"def": [bytes(1 << 20)] * 80}))
        with pytest.raises((GRPCError, StreamTerminatedError, ConnectionError)) as caught:
            await method(big)
        if isinstance(caught.value, GRPCError):
            assert "more than 16777216 are not taken" in str(caught.value.message)

    before = resident(engine)
    with_client(engine, work)
    assert engine.api("GET", "/v1.51/info")["ServerVersion"]
    assert resident(engine) - before < 64 << 10
