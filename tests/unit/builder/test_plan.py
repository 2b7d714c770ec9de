"""The planner: what is asked for, what is planned, what the variables are, and what is wrong."""

from __future__ import annotations

import asyncio
import time

import msgspec
import pytest

from onggi.builder.dockerfile.errors import DockerfileError
from onggi.builder.graph import (
    Bind,
    CopyAction,
    Exec,
    FileOp,
    GitSource,
    HttpSource,
    ImageSource,
    LocalSource,
    Merge,
    Plan,
    Vertex,
)
from onggi.builder.options import NamedContext, Options
from onggi.errors import InvalidParameter
from onggi.spec.image import Config
from onggi.spec.platform import Platform
from tests.unit.builder.planning import LINUX, Images, image, plan


def ops(made: Plan, kind: type) -> list[Vertex]:
    return [one for one in made.graph if isinstance(one.op, kind)]


def command(made: Plan, at: int = -1) -> Exec:
    op = ops(made, Exec)[at].op
    assert isinstance(op, Exec)
    return op


def options(**fields: object) -> Options:
    return Options(build_platform=LINUX, **fields)  # type: ignore[arg-type]


async def rules(text: str, opts: Options | None = None, bases: Images | None = None) -> list[str]:
    return [one.rule for one in (await plan(text, opts, bases)).warnings]


# -- stages


async def test_only_what_the_target_needs_is_resolved_and_planned() -> None:
    images = Images()
    text = "FROM one AS a\nRUN a\nFROM missing AS b\nRUN b\nFROM three\nCOPY --from=a /x /\n"
    made = await plan(text, bases=images)
    assert sorted(images.asked) == ["docker.io/library/one:latest", "docker.io/library/three:latest"]
    assert len(ops(made, Exec)) == 1
    assert [step.stage for step in made.steps] == ["a", "a", "2", "2"]


async def test_images_are_resolved_at_the_same_time_and_once() -> None:
    class Slow(Images):
        def __init__(self) -> None:
            super().__init__()
            self.all_here = asyncio.Event()

        async def image(self, reference: str, platform: Platform, resolve: str):  # type: ignore[no-untyped-def]
            found = await super().image(reference, platform, resolve)
            if len(self.asked) == 3:
                self.all_here.set()
            await asyncio.wait_for(self.all_here.wait(), 60)
            return found

    images = Slow()
    await plan(
        "FROM a\nCOPY --from=b /x /\nCOPY --from=b /y /\nRUN --mount=from=c,target=/c true\n", bases=images
    )
    assert len(images.asked) == 3


@pytest.mark.parametrize(
    ("target", "last"), [("a", "one"), ("A", "one"), ("0", "one"), ("", "two"), ("1", "two")]
)
async def test_targets_by_name_and_number(target: str, last: str) -> None:
    made = await plan("FROM busybox AS a\nRUN one\nFROM busybox\nRUN two\n", options(target=target))
    assert command(made).args[-1] == last


async def test_an_unknown_target_suggests_the_nearest() -> None:
    with pytest.raises(
        InvalidParameter, match=r'target stage "biuld" could not be found \(did you mean build\?\)'
    ):
        await plan("FROM busybox AS build\n", options(target="biuld"))


async def test_equal_stages_are_one_vertex() -> None:
    made = await plan(
        "FROM busybox AS a\nRUN x\nFROM busybox AS b\nRUN x\n"
        "FROM scratch\nCOPY --from=a /1 /\nCOPY --from=b /2 /\n"
    )
    assert len(ops(made, Exec)) == 1


async def test_circles_are_found() -> None:
    with pytest.raises(DockerfileError, match=r"circular dependency detected on stage: [ab]"):
        await plan("FROM busybox AS a\nCOPY --from=b /x /\nFROM busybox AS b\nCOPY --from=a /x /\n")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "FROM a\nCOPY --from=b /x /\nFROM c AS b\nFROM scratch\nCOPY --from=0 / /\n",
            'cannot copy from stage "b"',
        ),
        ("FROM a\nCOPY --from=7 /x /\n", "invalid stage index 7"),
        ("FROM a\nCOPY --from=$X /x /\n", "variable expansion is not supported for --from"),
        (
            "FROM a\nRUN --mount=from=b,target=/x y\nFROM c AS b\nFROM scratch\nCOPY --from=0 / /\n",
            "cannot mount from stage",
        ),
        ("FROM a\nRUN --mount=type=cache,target=/ x\n", 'invalid mount target "/"'),
        ("FROM $X\n", r"base name \(\$X\) should not be blank"),
        ("FROM A:b:c\n", "failed to parse stage name"),
        ("FROM missing\n", "missing: docker.io/library/missing:latest: not found"),
        ("FROM --platform=$X a\n", "empty platform value from expression"),
        ("FROM --platform=a/b/c/d a\n", "failed to parse platform"),
        ("FROM a\nCOPY --chmod=9 a b\n", "invalid chmod parameter: '9'"),
        ("FROM a\nCOPY --chmod=77777 a b\n", "invalid chmod parameter"),
        ("FROM a\nCOPY https://example.com/x /\n", "source can't be a URL for COPY"),
        ("FROM a\nCOPY https://example.com/x.git /\n", "source can't be a git ref for COPY"),
        ("FROM a\nADD --checksum=sha256:1 x /\n", "checksum requires"),
        (
            "FROM a\nADD --checksum=sha256:1 https://a/x https://a/y /\n",
            "checksum can't be specified for multiple",
        ),
        ("FROM a\nEXPOSE x\n", "invalid containerPort: x"),
        ("FROM a\nEXPOSE 70000\n", "invalid containerPort: 70000"),
        ("FROM a\nEXPOSE 80/icmp\n", "invalid proto: icmp"),
        ("FROM a\nSTOPSIGNAL SIGNONE\n", "invalid signal: SIGNONE"),
        ("FROM a\nENV X=${Y?must}\n", "Y: must"),
        ("FROM a\nENV X=${Y\n", "missing '}'"),
    ],
)
async def test_errors_point_at_the_line(text: str, message: str) -> None:
    with pytest.raises(DockerfileError, match=message) as caught:
        await plan(text)
    assert ">>>" in caught.value.excerpt


# -- arguments and variables


async def test_scopes_of_arguments() -> None:
    text = (
        "ARG ONE=1\nARG TWO=${ONE}2\nFROM busybox:$TWO AS a\nARG TWO\nARG THREE=$TWO\nRUN first $ONE\n"
        "FROM a\nRUN second\nFROM busybox\nRUN third\nFROM scratch\nCOPY --from=1 / /\nCOPY --from=2 / /\n"
    )
    images = Images()
    made = await plan(text, options(build_args={"THREE": "given", "NOBODY": "asks"}), images)
    assert "docker.io/library/busybox:12" in images.asked
    assert command(made, 0).env == ("PATH=/bin", "TWO=12", "THREE=given")
    assert command(made, 1).env == ("PATH=/bin",)  # what an image of the stage above has in its configuration
    assert command(made, 2).env == ("PATH=/bin",)
    assert made.build_args == (("THREE", "given"),)


async def test_an_argument_is_in_the_history_and_in_no_configuration() -> None:
    made = await plan("FROM busybox\nARG V=1\nENV W=2\nRUN make\n")
    assert (made.image.history or [])[-1].created_by == "RUN |1 V=1 /bin/sh -c make # buildkit"
    assert made.image.config is not None and made.image.config.env == ["PATH=/bin", "W=2"]


async def test_platform_arguments() -> None:
    opts = options(platforms=(Platform("linux", "arm64"),))
    text = "FROM busybox\nARG BUILDPLATFORM TARGETPLATFORM TARGETARCH TARGETSTAGE\nRUN x\n"
    from onggi.builder.dockerfile import typed
    from onggi.builder.plan.planner import plan as plan_

    made = await plan_(typed.read(text.encode()), opts, Platform("linux", "arm64"), Images())
    assert command(made).env[1:] == (
        "BUILDPLATFORM=linux/amd64", "TARGETPLATFORM=linux/arm64", "TARGETARCH=arm64", "TARGETSTAGE=default",
    )  # fmt: skip
    assert made.image.architecture == "arm64"


async def test_env_sees_the_variables_before_it() -> None:
    made = await plan("FROM busybox\nENV abc=hello\nENV abc=bye def=$abc\nENV ghi=$abc\n")
    assert made.image.config is not None
    assert made.image.config.env == ["PATH=/bin", "abc=bye", "def=hello", "ghi=bye"]


async def test_proxies_reach_the_process_and_nothing_else() -> None:
    text = "FROM busybox\nRUN x\n"
    made = await plan(text, options(build_args={"HTTP_PROXY": "http://user:pass@proxy"}))
    plain = await plan(text)
    assert made.result == plain.result and made.image == plain.image
    assert ("http_proxy", "http://user:pass@proxy") in command(made).proxy
    assert made.build_args == ()


async def test_bombs_of_variables_end() -> None:
    text = "FROM busybox\nARG A0=" + "x" * 1000 + "\n"
    text += "".join(f"ARG A{n}=$A{n - 1}$A{n - 1}\n" for n in range(1, 40))
    with pytest.raises(DockerfileError, match="expands to more than"):
        await plan(text)
    with pytest.raises(DockerfileError, match="too many characters"):
        await plan("FROM busybox\nARG A=" + "x" * 60_000 + "\n" + ("ENV B=" + "$A" * 15 + "\n") * 100)


async def test_many_instructions_are_planned_in_seconds() -> None:
    began = time.process_time()
    made = await plan("FROM busybox\n" + "RUN x\n" * 5_000)
    assert len(made.layers) == 5_000
    assert time.process_time() - began < 20


# -- instructions


async def test_a_link_is_laid_over_the_stage() -> None:
    made = await plan("FROM busybox\nCOPY --link a /b\n")
    last = ops(made, Merge)[-1]
    copied = ops(made, FileOp)[-1]
    assert [ref.vertex for ref in last.inputs if ref] == [ops(made, ImageSource)[0].digest, copied.digest]
    assert [ref.vertex for ref in copied.inputs if ref] == [ops(made, LocalSource)[0].digest]
    assert isinstance(copied.op, FileOp) and copied.op.actions[0].input == -1


async def test_a_link_does_not_depend_on_the_base() -> None:
    one = await plan("FROM busybox\nCOPY --link a /b\n")
    two = await plan("FROM debian\nCOPY --link a /b\n")
    assert ops(one, FileOp)[0].digest == ops(two, FileOp)[0].digest


@pytest.mark.parametrize(
    ("instructions", "follow"),
    [
        ("COPY a/b c/ /x/\n", ("a/b", "c")),
        ("COPY . /\n", ()),
        ("COPY /a ../b /x/\nRUN --mount=target=/c,source=d y\n", ("a", "b", "d")),
        ("COPY a /\nRUN --mount=target=/c y\n", ()),
        ("ADD *.txt https://example.com/z /\n", ("*.txt",)),
    ],
)
async def test_only_the_paths_that_are_used_are_sent(instructions: str, follow: tuple[str, ...]) -> None:
    made = await plan("FROM busybox\n" + instructions, options(excludes=("*.o",)))
    (source,) = [one.op for one in ops(made, LocalSource)]
    assert isinstance(source, LocalSource)
    assert (source.follow, source.excludes) == (follow, ("*.o",))


async def test_a_build_without_a_context_sends_none() -> None:
    assert ops(await plan("FROM busybox\nRUN x\n"), LocalSource) == []


async def test_targets_of_copies() -> None:
    made = await plan("FROM busybox\nWORKDIR /w\nCOPY a b\nCOPY a .\nCOPY a ./d/\nCOPY a /abs/../e/.\n")
    targets = [
        action.target for one in ops(made, FileOp) if isinstance(one.op, FileOp)
        for action in one.op.actions if isinstance(action, CopyAction)
    ]  # fmt: skip
    assert targets == ["/w/b", "/w/", "/w/d/", "/e/."]


async def test_git_and_http_are_sources() -> None:
    made = await plan("FROM busybox\nADD https://e.com/r.git#v1:d /r\nADD https://e.com/f /f\n")
    git, http = ops(made, GitSource)[0].op, ops(made, HttpSource)[0].op
    assert isinstance(git, GitSource) and (git.remote, git.ref, git.subdir) == (
        "https://e.com/r.git",
        "v1",
        "d",
    )
    assert isinstance(http, HttpSource) and (http.url, http.filename) == ("https://e.com/f", "f")


async def test_a_script_in_a_here_document_is_a_file() -> None:
    made = await plan("FROM busybox\nRUN <<E\n#!/bin/python\nprint()\nE\n")
    assert command(made).args == ("/bin/sh", "-c", "/dev/pipes/E")
    assert any(
        isinstance(one, Bind) and one.target == "/dev/pipes" and one.read_only for one in command(made).mounts
    )


async def test_a_copied_here_document_keeps_its_bytes() -> None:
    made = await plan(b"FROM busybox\nCOPY <<'E' /f\n\xff\xfe\nE\n")
    data = [action.data for one in ops(made, FileOp) for action in one.op.actions if hasattr(action, "data")]
    assert data == [b"\xff\xfe\n"]


async def test_secrets_are_stars_in_what_is_shown() -> None:
    made = await plan("FROM busybox\nRUN --mount=type=secret,id=t,env=TOKEN curl $TOKEN\n")
    assert ops(made, Exec)[0].meta.name.endswith("curl ****")
    assert command(made).secret_env[0].name == "TOKEN"


async def test_no_cache_and_its_filter() -> None:
    text = "FROM busybox AS a\nRUN x\nFROM busybox AS b\nRUN y\nCOPY --from=a / /\n"
    some = await plan(text, options(no_cache_filter=("a",)))
    assert [one.meta.ignore_cache for one in ops(some, Exec)] == [True, False]
    every = await plan(text, options(no_cache=True))
    assert all(one.meta.ignore_cache for one in ops(every, Exec))


async def test_the_epoch_is_in_history_and_directories() -> None:
    made = await plan("FROM busybox\nWORKDIR /x\n", options(build_args={"SOURCE_DATE_EPOCH": "1000"}))
    assert (made.image.history or [])[-1].created == "1970-01-01T00:16:40Z"
    assert made.epoch == 1000
    with pytest.raises(InvalidParameter, match="invalid SOURCE_DATE_EPOCH: yesterday"):
        await plan("FROM busybox\n", options(build_args={"SOURCE_DATE_EPOCH": "yesterday"}))


# -- ONBUILD and named contexts


async def test_triggers_of_a_base_image_come_first_and_are_used_up() -> None:
    base = image(Config(env=["PATH=/bin"], on_build=["COPY . /app", "RUN make"]))
    made = await plan("FROM base\nRUN own\n", bases=Images(base=base))
    assert [step.text for step in made.steps] == ["FROM base", "COPY . /app", "RUN make", "RUN own"]
    assert made.image.config is not None and made.image.config.on_build is None
    assert ops(made, Exec)[0].meta.name == "[3/4] ONBUILD RUN make"


async def test_triggers_may_take_from_stages_and_images() -> None:
    base = image(Config(on_build=["COPY --from=tools /t /t", "COPY --from=other /o /o"]))
    images = Images(base=base)
    made = await plan("FROM busybox AS tools\nRUN tools\nFROM base\n", bases=images)
    assert "docker.io/library/other:latest" in images.asked
    assert len(ops(made, Exec)) == 1


async def test_triggers_of_a_stage() -> None:
    made = await plan("FROM busybox AS a\nONBUILD RUN later\nFROM a\nRUN now\n")
    assert [op.args[-1] for one in ops(made, Exec) if isinstance(op := one.op, Exec)] == ["later", "now"]


@pytest.mark.parametrize("trigger", ["FROM x", "RUN a\nRUN b", "NOTHING", ""])
async def test_hostile_triggers_are_errors(trigger: str) -> None:
    with pytest.raises(DockerfileError):
        await plan("FROM base\n", bases=Images(base=image(Config(on_build=[trigger]))))


async def test_a_named_context_takes_the_place_of_an_image_or_a_stage() -> None:
    contexts = {
        "busybox": NamedContext(value="docker-image://debian:12"),
        "b": NamedContext(value="local:b", excludes=("x",)),
        "c": NamedContext(value="https://e.com/r.git"),
    }
    images = Images()
    text = "FROM busybox\nRUN x\nFROM missing AS b\nRUN never\nFROM scratch\nCOPY --from=0 / /\n"
    made = await plan(text + "COPY --from=b /d /\nCOPY --from=c / /\n", options(contexts=contexts), images)
    assert images.asked == ["docker.io/library/debian:12"]
    (local,) = [one.op for one in ops(made, LocalSource)]
    assert isinstance(local, LocalSource) and (local.name, local.follow, local.excludes) == (
        "b",
        ("d",),
        ("x",),
    )
    assert len(ops(made, GitSource)) == 1 and len(ops(made, Exec)) == 1


async def test_a_tree_of_another_build_is_a_context() -> None:
    other = await plan("FROM busybox\nRUN other\n")
    given = NamedContext(input=other.result, graph=other.graph, image=other.image)
    made = await plan("FROM base\nRUN own\n", options(contexts={"base": given}))
    assert [op.args[-1] for one in ops(made, Exec) if isinstance(op := one.op, Exec)] == ["other", "own"]
    assert (
        made.image.history is not None
        and made.image.history[-2].created_by == "RUN /bin/sh -c other # buildkit"
    )


# -- checks


async def test_checks_of_the_plan() -> None:
    assert await rules("ARG AB=1\nFROM busybox$AA\n") == ["UndefinedArgInFrom"]
    assert await rules("FROM busybox\nRUN x $Y\nENV A=$FOO\n") == ["UndefinedVar"]
    assert await rules("FROM busybox\nENV A b\nLABEL c d\n") == ["LegacyKeyValueFormat"] * 2
    assert (
        await rules("FROM busybox\nARG GITHUB_TOKEN\nENV API_KEY=1 PUBLIC_KEY=2\n")
        == ["SecretsUsedInArgOrEnv"] * 2
    )
    assert await rules("FROM busybox\nCMD a\nENTRYPOINT b\n") == ["JSONArgsRecommended"] * 2
    assert await rules('FROM busybox\nCMD ["a"]\nCMD ["b"]\n') == ["MultipleInstructionsDisallowed"]
    assert await rules("FROM busybox\nWORKDIR a\nWORKDIR b\n") == ["WorkdirRelativePath"]
    assert await rules("FROM --platform=$TARGETPLATFORM busybox\n") == ["RedundantTargetPlatform"]
    assert await rules("FROM --platform=linux/amd64 busybox\n") == ["FromPlatformFlagConstDisallowed"]
    assert await rules("FROM --platform=linux/amd64 busybox AS build-amd64\n") == []
    assert await rules("FROM busybox\nEXPOSE 80/TCP 127.0.0.1:80:80\n") == [
        "ExposeInvalidFormat",
        "ExposeProtoCasing",
    ]
    assert await rules("FROM busybox\nCOPY a.o /\n", options(excludes=("*.o",))) == ["CopyIgnoredFile"]
    assert await rules("ARG T\nFROM busybox:$T\n", options(build_args={"T": "1"})) == [
        "InvalidDefaultArgInFrom"
    ]
    other = msgspec.structs.replace(image(), architecture="arm64")
    found = await rules("FROM --platform=$BUILDPLATFORM other\n", bases=Images(other=other))
    assert found == ["InvalidBaseImagePlatform"]


async def test_a_comment_switches_a_check_off() -> None:
    assert await rules("FROM busybox\n# check=skip=UndefinedVar\nENV A=$FOO\nENV B=$BAR\n") == [
        "UndefinedVar"
    ]


async def test_error_true_fails() -> None:
    with pytest.raises(InvalidParameter, match="lint violation found for rules: UndefinedVar"):
        await plan("# check=error=true\nFROM busybox\nENV A=$FOO\n")
