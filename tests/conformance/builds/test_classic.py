"""Dockerfiles built here and by a real dockerd's classic builder give the same file system, configuration and
history.
"""

from __future__ import annotations

import bz2
import functools
import gzip
import http.server
import io
import json
import lzma
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import engines

FILES = {
    "a.txt": "a\n",
    "b.txt": "b\n",
    "d/one": "1\n",
    "d/sub/two": "2\n",
    "run.sh": "#!/bin/sh\necho ran $1\n",
    ".dockerignore": "ignored\n.dockerignore\n",
}
CASES = {
    "configuration": """
        FROM busybox:test
        ARG VERSION=3
        ENV A=1 B="two words" C=$VERSION
        LABEL one=1 two="second label"
        EXPOSE 80 53/udp
        VOLUME /data
        WORKDIR /home/app/deep
        USER app
        STOPSIGNAL SIGINT
        HEALTHCHECK --interval=3s --retries=2 CMD true || false
        ENTRYPOINT ["/bin/sh", "-c"]
        CMD ["echo hi"]
    """,
    "run": """
        FROM busybox:test
        ARG WHO=world
        RUN echo hello $WHO > /greeting && chmod 640 /greeting
        RUN mkdir -p /x/y && chown 1000:2000 /x/y && ln -s y /x/z && echo f > /x/y/f && chmod 4755 /x/y/f
        RUN rm -r /home/app && rm /etc/group && echo new > /etc/motd
        RUN true
        SHELL ["/bin/sh", "-e", "-c"]
        RUN id -u > /uid; pwd > /pwd; echo $HOME $PATH > /environment
        USER 1000:1000
        WORKDIR /tmp
        RUN id > /tmp/id && umask 077 && echo s > secret
    """,
    "copy": """
        FROM busybox:test
        COPY a.txt /
        COPY a.txt b.txt /many/
        COPY d /tree
        COPY d/ /tree/
        COPY *.txt /glob/
        COPY --chown=app:extra a.txt /home/app/owned
        COPY --chown=1:2 d /numbers/
        WORKDIR /work
        COPY a.txt ./renamed
        COPY b.txt .
        ADD packed.tar /unpacked/
        ADD a.txt /added/
        COPY run.sh /usr/bin/run
        RUN run 1 > /ran
        COPY . /all/
    """,
    "stages": """
        FROM busybox:test AS build
        RUN echo built > /out
        FROM busybox:test
        COPY --from=build /out /result
        COPY --from=0 /out /again
    """,
    "escape": r"""
        # escape=`
        FROM busybox:test
        RUN echo one `
            && echo two\\three > /text
        ENV PATHS=C:\one\two MONEY=`$HOME
        COPY a.txt `
             /copied
    """,
    "argument scopes": """
        ARG TAG=test
        ARG GLOBAL=global
        FROM busybox:${TAG} AS first
        ARG GLOBAL
        ARG LOCAL=one
        RUN echo "$GLOBAL $LOCAL $GIVEN ${TAG-unset}" > /first
        ARG GIVEN=default
        RUN echo "$GIVEN" > /given
        ENV OTHER=environment
        RUN echo "$OTHER" > /local
        FROM busybox:$TAG
        ARG NEVER
        RUN echo "[$GLOBAL] [$LOCAL] [$NEVER]" > /second
        COPY --from=first /first /given /local /from/
    """,
    "expansion": r"""
        FROM busybox:test
        ENV A=value B= C="two words" D='single $A' E=pre-$A-post
        ENV F=${A:-other} G=${B:-other} H=${A:+set} I=${B:+set} J=${NONE:-$A} K=${NONE:-${A:+deep}}
        ENV L=\$A M="\$A" N=$A$A O=${A}x P="quoted \" mark"
        ENV old style value
        ENV SELF=$SELF:more
        ENV A=next Q=$A
        LABEL place=$A.$Q "a label"="with ${C}"
        EXPOSE ${PORT:-8080} 90-92/udp
        WORKDIR /w/${A}
        VOLUME /data/$A
        USER ${WHO:-app}
        COPY $NONE./a.txt ./$A.txt
        STOPSIGNAL ${SIGNAL:-SIGUSR1}
        ONBUILD RUN echo $A
        CMD ["echo", "$A"]
    """,
    "triggers": """
        FROM busybox:test AS parent
        ONBUILD ARG WHEN=child
        ONBUILD RUN echo $WHEN > /triggered
        ONBUILD COPY a.txt /triggered.txt
        ONBUILD ENV TRIGGERED=yes
        RUN test ! -e /triggered
        FROM parent
        RUN cat /triggered > /seen
    """,
    "health": """
        FROM busybox:test AS parent
        HEALTHCHECK --interval=5m --timeout=3s --start-period=1s --retries=7 CMD ["true", "now"]
        STOPSIGNAL 9
        FROM parent AS kept
        STOPSIGNAL SIGRTMIN+3
        FROM kept
        HEALTHCHECK --interval=1m --timeout=1s --start-period=2s --retries=2 CMD true
        FROM busybox:test
        COPY --from=2 /etc/passwd /copied
        HEALTHCHECK NONE
    """,
    "shells": r"""
        FROM busybox:test
        SHELL ["/bin/sh", "-x", "-c"]
        RUN echo shell form > /one
        RUN ["/bin/sh", "-c", "echo exec form > /two"]
        HEALTHCHECK CMD test -e /one
        ENTRYPOINT exec top -b
        CMD echo "$HOME"
    """,
    "entry points": """
        FROM busybox:test AS parent
        ENTRYPOINT ["/bin/echo"]
        CMD ["first"]
        FROM parent
        ENTRYPOINT ["/bin/cat"]
    """,
    "directories": """
        FROM busybox:test
        WORKDIR relative
        WORKDIR ../other/./deep
        RUN pwd > pwd
        WORKDIR /of/app
        USER 12:34
        RUN id -u > /tmp/uid; id -g > /tmp/gid
        USER app
        COPY a.txt b.txt ./
        USER root
        RUN stat -c '%n %u %g %a' /of/app /of/app/a.txt > /listed
        VOLUME ["/one", "/two words"]
        VOLUME /three /four
    """,
    "wildcards": r"""
        FROM busybox:test
        COPY ?.txt /one/
        COPY [a-b]*.txt /two/
        COPY d/* /three/
        COPY d/*/t?o /four/
        COPY *.none a.txt /five/
        COPY odd[[]name].txt /six/
        COPY d /seven
        COPY ["a.txt", "odd[[]name].txt", "/eight/"]
    """,
    "ignored": """
        FROM busybox:test
        COPY . /all
    """,
    "owners": """
        FROM busybox:test
        COPY --chown=app d /a
        COPY --chown=0:extra a.txt /b
        COPY --chown=app:0 run.sh /c
        COPY --chown=77 a.txt b.txt /d/
        ADD --chown=5:6 a.txt /f/g/
    """,
    "archives": """
        FROM busybox:test
        ADD packed.tar packed.tar.gz /gz/
        ADD packed.tar.bz2 /bz2/
        ADD packed.tar.xz /xz
        ADD a.txt.gz /plain/
        COPY packed.tar.gz /copied/
        ADD d /tree/
    """,
    "address": """
        FROM busybox:test
        ARG SERVER
        ADD $SERVER/file.txt /file
        ADD $SERVER/file.txt /into/
        ADD $SERVER/packed.tar /packed/
    """,
    "target": """
        FROM busybox:test AS one
        RUN echo one > /stage
        FROM one AS two
        RUN echo two > /stage
        FROM two
        RUN false
    """,
    "many": """
        FROM busybox:test
        LABEL version="1.0" multi="a \\
            b"
        # a comment
        RUN echo a \\
            # a comment inside
            && echo b > /b

        MAINTAINER someone@example.com
        copy a.txt /lower
        Run echo mixed > /mixed
    """,
    "scratch": """
        FROM scratch
        COPY d /
        CMD ["/one"]
    """,
}
IGNORED = """# what is not sent
*.md
!README.md
**/*.log
d/sub
!d/sub/two
/tmp*
docs/**/secret
many/**
!many/kept
"""
TREE = (
    "x.md", "README.md", "deep/x.md", "deep/README.md", "a.log", "deep/er/b.log", "tmpfile", "deep/tmpfile",
    "docs/secret", "docs/a/secret", "docs/a/b/secret", "docs/a/public", "many/one", "many/kept", "many/d/two",
)  # fmt: skip
FLAGS = {
    "argument scopes": ("--build-arg", "GIVEN=given", "--build-arg", "GLOBAL=from outside"),
    "expansion": ("--build-arg", "A=no such argument"),
    "target": ("--target", "two", "--label", "one=flag"),
}


def context(case: str, folder: Path) -> Path:
    folder.mkdir()
    more = dict.fromkeys(TREE, "x\n") | {".dockerignore": IGNORED} if case == "ignored" else {}
    for name, text in {**FILES, "odd[name].txt": "odd\n", **more}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755 if name.endswith(".sh") else 0o644)
    with tarfile.open(folder / "packed.tar", "w") as tar:
        info = tarfile.TarInfo("inside/file")
        info.size, info.uid, info.mtime = 2, 7, 1000
        tar.addfile(info, io.BytesIO(b"x\n"))
    packed = (folder / "packed.tar").read_bytes()
    (folder / "packed.tar.gz").write_bytes(gzip.compress(packed, mtime=0))
    (folder / "packed.tar.bz2").write_bytes(bz2.compress(packed))
    (folder / "packed.tar.xz").write_bytes(lzma.compress(packed))
    (folder / "a.txt.gz").write_bytes(gzip.compress(b"no archive\n", mtime=0))
    text = "\n".join(line.strip() for line in CASES[case].strip().splitlines())
    (folder / "Dockerfile").write_text(text + "\n")
    return folder


def files(engine: engines.Engine, image: str) -> dict[str, tuple[Any, ...]]:
    """Everything of an image, but for what differs from build to build: times of what was made."""
    container = engine.api("POST", "/containers/create", {"Image": image, "Cmd": ["x"]})["Id"]
    status, data = engine.request("GET", f"/containers/{container}/export")
    assert status == 200
    engine.api("DELETE", f"/containers/{container}?v=1")
    found = {}
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        for member in tar:
            content = tar.extractfile(member) if member.isreg() else None
            body = content.read() if content is not None else b""
            name = member.name.strip("/").removeprefix("./")
            found[name] = (
                member.type,
                oct(member.mode & 0o7777),
                member.uid,
                member.gid,
                member.linkname,
                body,
            )
    for name in (
        "",
        ".",
        ".dockerenv",
        "etc",
        "dev/console",
        *(f"etc/{name}" for name in ("hostname", "hosts", "resolv.conf", "mtab")),
    ):
        found.pop(name, None)
    return {name: facts for name, facts in found.items() if name.split("/")[0] not in ("dev", "proc", "sys")}


def config(engine: engines.Engine, image: str) -> dict[str, Any]:
    """What a container of it starts with, less what dockerd's classic builder adds of its own containers."""
    found = engine.api("GET", f"/images/{image}/json")["Config"]
    dropped = {"Hostname", "Domainname", "Image", "AttachStdin", "AttachStdout", "AttachStderr", "Tty"}
    dropped |= {"OpenStdin", "StdinOnce", "ArgsEscaped"}
    if found.get("WorkingDir") == "/":
        dropped.add("WorkingDir")  # the classic builder leaves FROM scratch without one, BuildKit does not
    return {name: value for name, value in found.items() if value and name not in dropped}


def history(engine: engines.Engine, image: str) -> list[bool]:
    """For each instruction, newest first: did it add a layer?"""
    return [step["Size"] > 0 for step in engine.api("GET", f"/images/{image}/history")]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with (
        engines.dockerd(tmp_path_factory.mktemp("d")) as theirs,
        engines.onggi(tmp_path_factory.mktemp("o")) as ours,
    ):
        engines.import_busybox(theirs)
        engines.import_busybox(ours)
        yield theirs, ours


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """What is at an address."""
    folder = tmp_path / "served"
    folder.mkdir()
    (folder / "file.txt").write_text("served\n")
    with tarfile.open(folder / "packed.tar", "w") as tar:
        tar.addfile(tarfile.TarInfo("inside"))
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever).start()
        yield f"http://127.0.0.1:{running.server_address[1]}"
        running.shutdown()


# The classic builder has entries for ONBUILD, for each trigger and for --label, BuildKit none, nor have we.
OTHER_HISTORY = ("expansion", "triggers", "target")


def looked_at(engine: engines.Engine, image: str) -> list[Any]:
    return [look(engine, image) for look in (files, config, history)]


@pytest.mark.parametrize("case", CASES)
def test_the_same_image(case: str, pair: Any, server: str, docker_client: None, tmp_path: Path) -> None:
    folder = context(case, tmp_path / "context")
    name = f"{case.replace(' ', '-')}:test"
    built = []
    for engine in pair:
        flags = [*FLAGS.get(case, ()), *(["--network", "none"] if engine.kind == "dockerd" else [])]
        if case == "address":
            flags += ["--build-arg", f"SERVER={server}"]
        engine.docker("build", "-t", name, *flags, str(folder))
        built.append(looked_at(engine, name))
    theirs, ours = built
    assert ours[0] == theirs[0]
    assert json.dumps(ours[1], sort_keys=True) == json.dumps(theirs[1], sort_keys=True)
    if case not in OTHER_HISTORY:
        assert ours[2] == theirs[2]


def test_an_image_as_the_cache_of_the_next_build(pair: Any, docker_client: None, tmp_path: Path) -> None:
    """--cache-from after the cache itself has gone: the image's history is what says which step made what."""
    folder = tmp_path / "context"
    folder.mkdir()
    (folder / "file").write_text("1")
    steps = "FROM busybox:test\nENV A=1\nRUN date +%N > /made\nCOPY file /\nRUN cat /made /file > /both\n"
    (folder / "Dockerfile").write_text(steps)
    for engine in pair:
        network = ["--network", "none"] if engine.kind == "dockerd" else []
        engine.docker("build", "-t", "cached:1", *network, str(folder))
        saved = engine.run("docker", "save", "-o", str(tmp_path / engine.kind), "cached:1")
        assert saved.returncode == 0
        engine.docker("rmi", "-f", "cached:1")
        engine.docker("builder", "prune", "-af")
        engine.docker("load", "-i", str(tmp_path / engine.kind))
        said = engine.docker("build", "-t", "cached:2", "--cache-from", "cached:1", *network, str(folder))
        assert said.count("Using cache") >= 3 and "Running in" not in said, said
        made = [
            engine.api("GET", f"/images/{name}/json")["RootFS"]["Layers"] for name in ("cached:1", "cached:2")
        ]
        assert made[0] == made[1]
        (folder / "file").write_text("2")
        said = engine.docker("build", "-t", "cached:3", "--cache-from", "cached:1", *network, str(folder))
        assert "Using cache" in said and said.count("Running in") == 1, said
        (folder / "file").write_text("1")
