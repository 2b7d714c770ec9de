"""`onggi build`: what is sent, what is shown, what is made; against a real engine of ours, and a dockerd."""

from __future__ import annotations

import io
import json
import os
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from onggi.cli.building.context import Context
from tests import engines
from tests.screens import Screen

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[engines.Engine]:
    with engines.onggi(tmp_path_factory.mktemp("builds")) as engine:
        engines.import_busybox(engine)
        yield engine


def members(context: Context) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(b"".join(context))) as tar:
        return {member.name: member for member in tar}


def test_a_context_is_what_tar_reads(tmp_path: Path) -> None:
    long, longest = "n" * 120, "d" * 200
    (tmp_path / longest).mkdir()
    (tmp_path / longest / long).write_bytes(b"x" * 1000)
    (tmp_path / "link").symlink_to("t" * 150)
    (tmp_path / "empty").touch(mode=0o640)
    (tmp_path / os.fsdecode(b"not-\xff-utf8")).write_text("odd")
    os.mkfifo(tmp_path / "fifo")
    found = members(Context(str(tmp_path), "", name=".dockerfile.1", text=b"FROM scratch\n"))
    assert found[f"{longest}/{long}"].size == 1000
    assert found["link"].linkname == "t" * 150
    assert (found["empty"].mode, found["empty"].uid) == (0o640, 0)
    assert found[os.fsdecode(b"not-\xff-utf8")].size == 3
    assert found["fifo"].isfifo() and found[longest].isdir()
    assert found[".dockerfile.1"].size == 13


def test_dockerignore_leaves_out_and_takes_back(tmp_path: Path) -> None:
    (tmp_path / ".dockerignore").write_text("deep\n!deep/kept\n*.md\nDockerfile\n")
    (tmp_path / "deep").mkdir()
    for name in ("deep/kept", "deep/gone", "a.md", "Dockerfile"):
        (tmp_path / name).touch()
    found = members(Context(str(tmp_path), str(tmp_path / "Dockerfile")))
    assert set(found) == {".dockerignore", "Dockerfile", "deep/kept"}
    (tmp_path / "Dockerfile.dockerignore").write_text("deep\n")
    found = members(Context(str(tmp_path), str(tmp_path / "Dockerfile")))
    assert set(found) == {".dockerignore", "Dockerfile", "Dockerfile.dockerignore", "a.md"}


def test_plain_progress_numbers_the_steps(engine: engines.Engine, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM busybox:test\nARG A=1\nRUN echo said $A; printf rest\n")
    done = engine.run("onggi", "build", "--build-arg", "A=7", "-t", "plain:1", str(tmp_path))
    assert "#2 [2/2] RUN echo said 7; printf rest\n" in done.stderr
    assert " said 7\n" in done.stderr and " rest\n" in done.stderr and "#2 DONE " in done.stderr
    again = engine.run("onggi", "build", "--build-arg", "A=7", "-t", "plain:1", str(tmp_path))
    assert "#2 CACHED" in again.stderr


def test_a_failure_shows_the_line_and_exits_with_its_code(engine: engines.Engine) -> None:
    dockerfile = b"FROM busybox:test\nRUN echo why; exit 5\n"
    done = engine.run("onggi", "build", "-", stdin=dockerfile, check=False)
    assert done.returncode == 5
    assert "   2 | >>> RUN echo why; exit 5\n" in done.stderr
    assert re.search(r"------\n > \[2/2\] RUN echo why; exit 5:\n\d+\.\d{3} why\n------\n", done.stderr)
    assert done.stderr.endswith(
        'ERROR: failed to solve: process "/bin/sh -c echo why; exit 5" did not complete successfully: '
        "exit code: 5\n"
    )


def test_quiet_and_iidfile_give_the_id(engine: engines.Engine, tmp_path: Path) -> None:
    dockerfile = b"FROM busybox:test\nLABEL quiet=1\n"
    done = engine.run("onggi", "build", "-q", "--iidfile", str(tmp_path / "id"), "-", stdin=dockerfile)
    assert done.stdout.strip() == (tmp_path / "id").read_text()
    assert engine.api("GET", f"/images/{done.stdout.strip()}/json")["Config"]["Labels"] == {"quiet": "1"}


def test_rawjson_is_one_status_a_line(engine: engines.Engine) -> None:
    done = engine.run(
        "onggi", "build", "--progress", "rawjson", "-", stdin=b"FROM busybox:test\nRUN echo raw\n"
    )
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert {name for line in lines for name in line} == {"vertexes", "logs"}


def test_a_secret_is_seen_by_its_step_and_nowhere_else(engine: engines.Engine, tmp_path: Path) -> None:
    value = "hush-4711-hush"
    (tmp_path / "secret").write_text(value)
    (tmp_path / "Dockerfile").write_text(
        "FROM busybox:test\nRUN --mount=type=secret,id=s,required=true test -s /run/secrets/s && "
        "wc -c < /run/secrets/s && mount | grep '/run/secrets/s type tmpfs'\n"
    )
    (tmp_path / ".dockerignore").write_text("secret\n")
    secret = f"id=s,src={tmp_path / 'secret'}"
    done = engine.run("onggi", "build", "--secret", secret, "-t", "secret:1", str(tmp_path))
    assert " 14\n" in done.stderr
    for path, data in engines.files(engine.root):
        assert value.encode() not in data, path
    assert value not in engine.log and value not in done.stderr
    found = engine.docker("run", "--rm", "secret:1", "ls", "-A", "/")
    assert "run" not in found.split()
    (tmp_path / "Dockerfile").write_text((tmp_path / "Dockerfile").read_text() + "# changed\n")
    without = engine.run("onggi", "build", "--no-cache", str(tmp_path), check=False)
    assert without.returncode == 1 and "secret s: not found" in without.stderr


def test_outputs(engine: engines.Engine, tmp_path: Path) -> None:
    dockerfile = b"FROM scratch\nCOPY <<EOF /dir/file\ntext\nEOF\n"
    before = len(engine.api("GET", "/images/json?all=1"))
    engine.run("onggi", "build", "-o", str(tmp_path / "out"), "-", stdin=dockerfile)
    assert (tmp_path / "out" / "dir" / "file").read_text() == "text\n"
    engine.run("onggi", "build", "-o", f"type=tar,dest={tmp_path / 'a.tar'}", "-", stdin=dockerfile)
    with tarfile.open(tmp_path / "a.tar") as tar:
        assert {name.strip("./") for name in tar.getnames()} >= {"dir", "dir/file"}
    engine.run("onggi", "build", "-o", f"type=oci,dest={tmp_path / 'oci.tar'}", "-", stdin=dockerfile)
    with tarfile.open(tmp_path / "oci.tar") as tar:
        assert {"oci-layout", "index.json", "manifest.json"} <= set(tar.getnames())
    assert len(engine.api("GET", "/images/json?all=1")) == before


def test_cache_mounts_outlive_builds(engine: engines.Engine) -> None:
    dockerfile = (
        b"FROM busybox:test\nRUN --mount=type=cache,target=/c,id=outlive echo x >> /c/f; wc -l < /c/f\n"
    )
    for count in (1, 2):
        done = engine.run("onggi", "build", "--no-cache", "-", stdin=dockerfile)
        assert f" {count}\n" in done.stderr


def test_builder_prune_and_system_df(engine: engines.Engine) -> None:
    engine.run("onggi", "build", "-", stdin=b"FROM busybox:test\nRUN echo pruned > /pruned\n")
    engine.run("onggi", "image", "prune", "-f")
    shown = engine.onggi("system", "df")
    assert "Build Cache" in shown and "Build Cache     0 " not in shown
    assert "Total reclaimed space: " in engine.onggi("builder", "prune", "-a", "-f")
    assert engine.api("GET", "/v1.41/system/df")["BuildCache"] == []


def test_why_a_step_ran(engine: engines.Engine, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM busybox:test\nCOPY source.c /why.c\nRUN wc /why.c\n")
    for text in ("one", "one", "two"):
        (tmp_path / "source.c").write_text(text)
        engine.onggi("build", str(tmp_path))
    copied = engine.onggi("builder", "why", "COPY source.c /why.c")
    assert "changed since the run before: files of /source.c\n" in copied
    assert "changed since the run before: file system\n" in engine.onggi("builder", "why", "RUN wc /why.c")
    engine.onggi("build", "--no-cache", str(tmp_path))
    assert "it was asked to run in spite of the cache" in engine.onggi("builder", "why", "RUN wc /why.c")
    engine.onggi("build", str(tmp_path))
    assert "came out of the cache 1 times since" in engine.onggi("builder", "why", "RUN wc /why.c")
    assert engine.run("onggi", "builder", "why", "no such step", check=False).returncode == 1


def test_against_a_dockerd(dockerd: engines.Engine) -> None:
    dockerfile = b"FROM busybox:test\nRUN echo said\n"
    done = dockerd.run("onggi", "build", "--network", "none", "-t", "theirs:1", "-", stdin=dockerfile)
    assert "said\n" in done.stdout and "Successfully tagged theirs:1" in done.stdout
    failed = dockerd.run(
        "onggi", "build", "--network", "none", "-", stdin=b"FROM busybox:test\nRUN exit 3\n", check=False
    )
    assert failed.returncode == 3
    out = "type=oci,dest=/tmp/no-such-archive,rewrite-timestamp=true"
    refused = dockerd.run("onggi", "build", "-o", out, "-", stdin=dockerfile, check=False)
    assert "rewrite-timestamp: only an Onggi engine does this" in refused.stderr
    words = [str(engines.ONGGI), "build", "--shell-on-failure", "/nowhere"]
    with Screen(words, {"DOCKER_HOST": dockerd.host}) as shown:
        assert shown.wait() == 1
        assert "--shell-on-failure: only an Onggi engine does this" in "\n".join(shown.lines())


def test_a_compressed_context_and_flags_of_other_engines(engine: engines.Engine, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text(f"FROM {engines.BUSYBOX}\nCOPY data /packed\n")
    (tmp_path / "data").write_bytes(b"x" * 100_000)
    flags = ("--compress", "--rm=false", "--force-rm", "--isolation", "default")
    engine.run("onggi", "build", *flags, "-t", "packed", str(tmp_path))
    assert (
        engine.docker("run", "--rm", "--network", "none", "packed", "wc", "-c", "/packed").split()[0]
        == "100000"
    )
    for flag, words in (
        ("--squash", "squash is only supported with experimental mode"),
        ("--isolation=hyperv", "Unsupported isolation"),
        ("--disable-content-trust=false", "content trust"),
    ):
        done = engine.run("onggi", "build", flag, str(tmp_path), check=False)
        assert done.returncode == 1 and words in done.stderr, done.stderr
