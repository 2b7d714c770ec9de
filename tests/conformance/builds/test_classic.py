"""Dockerfiles built here and by a real dockerd's classic builder give the same file system, configuration and
history.
"""

from __future__ import annotations

import io
import json
import tarfile
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
    "scratch": """
        FROM scratch
        COPY d /
        CMD ["/one"]
    """,
}


def context(case: str, folder: Path) -> Path:
    folder.mkdir()
    for name, text in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755 if name.endswith(".sh") else 0o644)
    with tarfile.open(folder / "packed.tar", "w") as tar:
        info = tarfile.TarInfo("inside/file")
        info.size, info.uid, info.mtime = 2, 7, 1000
        tar.addfile(info, io.BytesIO(b"x\n"))
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


@pytest.mark.parametrize("case", CASES)
def test_the_same_image(case: str, pair: Any, docker_client: None, tmp_path: Path) -> None:
    folder = context(case, tmp_path / "context")
    built = []
    for engine in pair:
        network = ["--network", "none"] if engine.kind == "dockerd" else []
        engine.docker("build", "-t", f"{case}:test", *network, str(folder))
        built.append([look(engine, f"{case}:test") for look in (files, config, history)])
    theirs, ours = built
    assert ours[0] == theirs[0]
    assert json.dumps(ours[1], sort_keys=True) == json.dumps(theirs[1], sort_keys=True)
    assert ours[2] == theirs[2]
