"""The language beyond the golden folders: mounts, git addresses, INCLUDE, checks, and bad input's cost."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onggi.builder.dockerfile import gitrefs, typed
from onggi.builder.dockerfile.checks import Checks, config
from onggi.builder.dockerfile.errors import DockerfileError
from onggi.builder.dockerfile.gitrefs import GitRef
from onggi.builder.dockerfile.read.run import device, mount
from onggi.builder.instructions import BindMount, CacheMount, Device, SecretMount, SshMount, TmpfsMount
from onggi.errors import InvalidParameter

MOUNTS = [
    ("target=/x", BindMount(target="/x")),
    (
        "type=bind,from=base,src=/a,dst=/b,rw",
        BindMount(target="/b", from_="base", source="/a", read_write=True),
    ),
    ("type=bind,target=/b,readonly=false", BindMount(target="/b", read_write=True)),
    ("type=cache,target=/c", CacheMount(target="/c")),
    (
        "type=cache,target=/c,id=i,sharing=LOCKED,mode=0700,uid=1,gid=2,ro",
        CacheMount(target="/c", id="i", sharing="locked", mode=0o700, uid=1, gid=2, read_only=True),
    ),
    ("type=tmpfs,target=/t,size=10m", TmpfsMount(target="/t", size_bytes=10 << 20)),
    ("type=secret,id=s,required", SecretMount(id="s", required=True)),
    ("type=secret,target=/run/key.pem,env=KEY", SecretMount(id="key.pem", target="/run/key.pem", env="KEY")),
    ("type=ssh", SshMount()),
    ('type=bind,"source=a,b",target=/x', BindMount(target="/x", source="a,b")),
    ("type=$T,target=/x", TmpfsMount(target="/x")),
]

BAD_MOUNTS = [
    ("type=bnd,target=/x", 'unsupported mount type "bnd" (did you mean bind?)'),
    ("type=cache,sharing=lokced,target=/x", 'unsupported sharing value "lokced" (did you mean locked?)'),
    ("type=bind,tagret=/x", "unexpected key 'tagret' in 'tagret=/x' (did you mean target?)"),
    ("target", "invalid field 'target' must be a key=value pair"),
    ("type=bind,mode=0700", 'mode not allowed for "bind" type mounts'),
    ("type=bind,size=3", "unexpected key 'size' for mount type 'bind'"),
    ("type=secret,from=x,id=a", "secret mount should not have a from"),
    ("type=secret", "invalid secret mount. one of source, target required"),
    ("type=secret,id=a,source=b", "both source and id can't be set"),
    ("type=bind,sharing=shared", "invalid cache sharing set for bind mount"),
    ("type=cache,uid=x,target=/a", "invalid value x for uid"),
    ("type=bind,ro=maybe", "invalid value for ro: maybe"),
    ("", "failed to parse csv mounts: EOF"),
]


@pytest.mark.parametrize(("text", "made"), MOUNTS)
def test_mounts(text: str, made: object) -> None:
    assert mount(text, lambda word: word.replace("$T", "tmpfs")) == made


@pytest.mark.parametrize(("text", "message"), BAD_MOUNTS)
def test_wrong_mounts(text: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        mount(text, str)
    assert str(caught.value) == message


def test_devices() -> None:
    assert device("vendor.com/gpu=0") == Device("vendor.com/gpu=0", required=False)
    assert device("name=vendor.com/gpu=0,required=true") == Device("vendor.com/gpu=0", required=True)
    with pytest.raises(ValueError, match="already set to a/b"):
        device("a/b,name=c/d")


GIT = [
    ("https://example.com/a/b.git", GitRef(remote="https://example.com/a/b.git")),
    ("https://example.com/b.git#v1:sub", GitRef(remote="https://example.com/b.git", ref="v1", subdir="sub")),
    ("git@example.com:a/b.git?branch=x", GitRef(remote="git@example.com:a/b.git", ref="refs/heads/x")),
    ("ssh://git@example.com/b?keep-git-dir", GitRef(remote="ssh://git@example.com/b", keep_git_dir=True)),
    (
        "git://example.com/b?tag=v2&subdir=s&checksum=abc&submodules=false",
        GitRef(
            remote="git://example.com/b", ref="refs/tags/v2", subdir="s", checksum="abc", submodules=False
        ),
    ),
    ("https://example.com/b.git#:../../x", GitRef(remote="https://example.com/b.git", subdir="x")),
]


@pytest.mark.parametrize(("text", "made"), GIT)
def test_git_addresses(text: str, made: GitRef) -> None:
    assert gitrefs.parse(text) == made


@pytest.mark.parametrize(
    "text", ["./a.git", "a.git", "https://example.com/a", "ftp://example.com/a.git", "dir"]
)
def test_other_sources_are_no_repositories(text: str) -> None:
    assert gitrefs.parse(text) is None


def test_a_bare_github_address_only_as_a_context() -> None:
    assert gitrefs.parse("github.com/a/b") is None
    assert gitrefs.parse("github.com/a/b", context=True) == GitRef(remote="https://github.com/a/b")


@pytest.mark.parametrize(
    "query", ["tag=a&branch=b", "nonsense=1", "ref=", "keep-git-dir=maybe", "ref=a&ref=b"]
)
def test_wrong_git_queries(query: str) -> None:
    with pytest.raises(InvalidParameter):
        gitrefs.parse(f"git://example.com/b?{query}")


EXTENDED = b"# syntax=onggi\nFROM busybox\nINCLUDE a\n"


def test_include_is_unknown_unless_it_was_asked_for() -> None:
    with pytest.raises(DockerfileError, match="line 2: unknown instruction: INCLUDE"):
        typed.read(b"FROM busybox\nINCLUDE a\n", files={"a": b"RUN x\n"})


def test_include_says_which_file_it_needs() -> None:
    with pytest.raises(typed.MissingInclude) as caught:
        typed.read(EXTENDED, files={})
    assert caught.value.path == "a"


def test_errors_in_an_included_file_point_into_it() -> None:
    with pytest.raises(DockerfileError) as caught:
        typed.read(EXTENDED, files={"a": b"RUN x\nRNU y\n"})
    assert (
        caught.value.message
        == "dockerfile parse error on line 2: unknown instruction: RNU (did you mean RUN?)"
    )
    assert caught.value.excerpt.startswith("a:2\n")


@pytest.mark.parametrize("path", ["/etc/passwd", "../x", "..", "a/../../x"])
def test_include_stays_below_the_dockerfile(path: str) -> None:
    with pytest.raises(DockerfileError, match="outside of the Dockerfile's directory"):
        typed.read(b"# syntax=onggi\nFROM busybox\nINCLUDE %s\n" % path.encode(), files={})


def test_include_of_itself_ends() -> None:
    with pytest.raises(DockerfileError, match="includes itself"):
        typed.read(EXTENDED, files={"a": b"INCLUDE b\n", "b": b"INCLUDE ./a\n"})


def test_include_bombs_end() -> None:
    files = {f"d{n}": b"INCLUDE d%d\n" % (n + 1) * 20 for n in range(20)}
    with pytest.raises(DockerfileError, match=r"deep|more than"):
        typed.read(b"# syntax=onggi\nFROM busybox\nINCLUDE d0\n", files=files)


def rules(text: bytes) -> list[str]:
    checks = Checks()
    typed.read(text, checks=checks)
    return [one.rule for one in checks.found]


def test_checks_of_the_tree() -> None:
    assert rules(b"FROM a as b\nRUN x\nRUN y\nrun z\nMAINTAINER m\n") == [
        "FromAsCasing", "MaintainerDeprecated", "ConsistentInstructionCasing",
    ]  # fmt: skip
    assert rules(b"FROM a AS Context\nFROM a AS x\nFROM b AS x\n") == [
        "StageNameCasing", "ReservedStageName", "DuplicateStageName",
    ]  # fmt: skip
    assert rules(b"FROM a\nRUN a \\\n\n b\n") == ["NoEmptyContinuation"]


def test_checks_are_switched_off() -> None:
    assert rules(b"# check=skip=FromAsCasing,MaintainerDeprecated\nFROM a as b\nMAINTAINER m\n") == []
    assert rules(b"# check=skip=all\nFROM a as B\nMAINTAINER m\n") == []
    assert rules(b"# check=skip=FromAsCasing\nFROM a as b\nMAINTAINER m\n") == ["MaintainerDeprecated"]
    assert rules(b"FROM a\n# check=skip=all\nMAINTAINER m\nMAINTAINER n\n") == ["MaintainerDeprecated"]


def test_experimental_checks_are_switched_on() -> None:
    text = b"FROM a\n# something\nARG x\n"
    assert rules(text) == []
    assert rules(b"# check=experimental=all\n" + text) == ["InvalidDefinitionDescription"]


def test_error_true_fails_the_build() -> None:
    checks = Checks()
    typed.read(b"# check=error=true\nFROM a as b\n", checks=checks)
    with pytest.raises(InvalidParameter, match="lint violation found for rules: FromAsCasing"):
        checks.stop_if_asked()


@pytest.mark.parametrize("text", ["skip", "nonsense=1", "error=maybe"])
def test_wrong_check_options(text: str) -> None:
    with pytest.raises(InvalidParameter, match="failed to parse check options"):
        config(text)


BIG = [
    b"FROM a\nRUN " + b"echo hello world && \\\n" * 450_000 + b"x\n",
    b"FROM a\nENV " + b'A="b c" D=e \\\n' * 350_000,
    b"FROM a\n" + b"\n" * 9_000_000,
    b"FROM a\nRUN <<E\n" + b"x\n" * 4_000_000 + b"E\n",
    b"FROM a\n" + b"# comment\n" * 900_000,
]


@pytest.mark.parametrize("text", BIG)
def test_ten_megabytes_take_seconds(text: bytes) -> None:
    began = time.process_time()
    typed.read(text)
    assert time.process_time() - began < 30


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"FROM a\n" + b"#" * (11 << 20), "more than"),
        (b"FROM a\nRUN " + b"x" * 70_000, "line greater than max allowed size"),
        (b"FROM a\n" * 2000, "more than 1000 stages"),
        (b"FROM a\n" + b"RUN x\n" * 110_000, "more than 100000 instructions"),
    ],
)
def test_bounds(text: bytes, message: str) -> None:
    with pytest.raises(DockerfileError, match=message):
        typed.read(text)


@given(st.binary())
def test_any_bytes_are_a_dockerfile_or_a_reason(data: bytes) -> None:
    try:
        typed.read(b"FROM a\n" + data)
    except DockerfileError as error:
        assert error.location.start >= 1 and error.excerpt


@pytest.mark.parametrize(
    "syntax",
    [
        "docker/dockerfile:1", "docker/dockerfile:1.7-labs", "docker.io/docker/dockerfile-upstream:master",
        "mirror.example/hub/docker/dockerfile:1@sha256:" + "0" * 64, "onggi", "onggi:1",
        "docker/dockerfile:1 with words",
    ],
)  # fmt: skip
def test_front_ends_that_are_this_one(syntax: str) -> None:
    text = b"FROM busybox\n"
    assert typed.read(b"# syntax=" + syntax.encode() + b"\n" + text).stages
    assert typed.read(b"# syntax=other/one\n" + text, syntax=syntax).stages  # the client's word comes first


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (b"# syntax=some/other:image\nFROM busybox\n", 1),
        (b"# escape=`\n# syntax=some/other:image with=words\nFROM busybox\n", 2),
        (b"#!/usr/bin/x\n#syntax = some/other:image\nFROM busybox\n", 2),
        (b"// syntax=some/other:image\n{}", 1),
        (b'{"syntax": "some/other:image", "x": 1}', 1),
        (b"\xef\xbb\xbf# syntax=some/other:image\nFROM busybox\n", 1),
    ],
)
def test_a_file_for_another_front_end_is_refused_by_name(data: bytes, line: int) -> None:
    with pytest.raises(DockerfileError, match="syntax=some/other:image: this engine reads") as caught:
        typed.read(data)
    assert caught.value.location.start == line and "docker/dockerfile" in caught.value.message
    with pytest.raises(InvalidParameter, match="some/other:image"):
        typed.read(b"FROM busybox\n", syntax="some/other:image")


def test_a_comment_further_down_asks_for_nothing() -> None:
    assert typed.read(b"# a comment\n# syntax=some/other:image\nFROM busybox\n").stages
