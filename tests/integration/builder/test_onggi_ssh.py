"""`onggi build --ssh`: a real ssh-agent of the client's, asked by steps of a build."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import engines
from tests.integration.builder.test_git import ASKER
from tests.screens import Screen

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(shutil.which("ssh-agent") is None, reason="ssh-agent is missing"),
]
STEPS = """FROM busybox:test AS one
COPY ask /bin/
RUN --mount=type=ssh,required=true for i in 1 2 3 4 5; do ask $SSH_AUTH_SOCK; done > /said
FROM busybox:test AS two
COPY ask /bin/
RUN --mount=type=ssh,id=other,required=true ask $SSH_AUTH_SOCK > /said
FROM scratch
COPY --from=one /said /one
COPY --from=two /said /two
"""


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[engines.Engine]:
    with engines.onggi(tmp_path_factory.mktemp("builds")) as engine:
        engines.import_busybox(engine)
        yield engine


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The socket of an agent that holds a key with the comment key-of-test."""
    place = tmp_path_factory.mktemp("agent")
    key = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "key-of-test", "-f", place / "key"]
    subprocess.run(key, check=True)
    process = subprocess.Popen(["ssh-agent", "-D", "-a", place / "agent"], stdout=subprocess.DEVNULL)
    try:
        engines.until(lambda: engines.listens(place / "agent"))
        env = {**os.environ, "SSH_AUTH_SOCK": str(place / "agent")}
        subprocess.run(["ssh-add", "-q", place / "key"], env=env, check=True)
        yield place / "agent"
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("context")
    source = place.parent / "ask.c"
    source.write_text(ASKER)
    subprocess.run(["gcc", "-static", "-o", place / "ask", source], check=True)
    return place


def sockets(engine: engines.Engine) -> int:
    assert engine.process is not None
    place = f"/proc/{engine.process.pid}/fd"
    found = 0
    for name in os.listdir(place):
        with contextlib.suppress(FileNotFoundError):  # it was closed meanwhile
            found += os.readlink(f"{place}/{name}").startswith("socket:")
    return found


def test_steps_ask_the_clients_agents(
    engine: engines.Engine, agent: Path, context: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (context / "Dockerfile").write_text(STEPS)
    monkeypatch.setenv("SSH_AUTH_SOCK", str(agent))
    before = sockets(engine)
    for _ in range(3):
        out = tmp_path / "out"
        words = ("--ssh", "default", "--ssh", f"other={agent}", "-o", str(out))
        engine.onggi("build", "--no-cache", *words, str(context))
        assert (out / "one").read_bytes().count(b"key-of-test") == 5
        assert (out / "two").read_bytes().count(b"key-of-test") == 1
    engines.until(lambda: sockets(engine) <= before)


def test_what_is_not_there_is_named(
    engine: engines.Engine, agent: Path, context: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (context / "Dockerfile").write_text(STEPS)
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    for words, said in (
        (("--ssh", "default"), "ssh default: SSH_AUTH_SOCK is not set"),
        (("--ssh", "default=/nowhere"), "ssh default: /nowhere: no such file or directory"),
        (("--ssh", f"default={context / 'ask'}"), "is no agent's socket"),
        (("--ssh", f"default={agent}"), "ssh agent other: not found"),
        ((), "the classic API leads to none"),
    ):
        done = engine.run("onggi", "build", "--no-cache", *words, str(context), check=False)
        assert done.returncode == 1 and said in done.stderr, (words, done.stderr)
    (context / "Dockerfile").write_text(
        'FROM busybox:test\nRUN --mount=type=ssh,required=false test -z "$(ls $SSH_AUTH_SOCK)"\n'
    )
    engine.onggi("build", "--no-cache", str(context))


def test_an_agent_that_goes_away_ends_its_connections_only(
    engine: engines.Engine, context: Path, tmp_path: Path
) -> None:
    gone = subprocess.Popen(["ssh-agent", "-D", "-a", tmp_path / "gone"], stdout=subprocess.DEVNULL)
    try:
        engines.until(lambda: engines.listens(tmp_path / "gone"))
        waits = "touch /c/in; until test -e /c/go; do sleep 0.05; done"
        mounts = "--mount=type=ssh --mount=type=cache,target=/c"
        dockerfile = f"FROM busybox:test\nCOPY ask /bin/\nRUN {mounts} {waits}; ask $SSH_AUTH_SOCK | wc -c\n"
        (context / "Dockerfile").write_text(dockerfile)
        words = [
            str(engines.ONGGI),
            "build",
            "--no-cache",
            "--ssh",
            f"default={tmp_path / 'gone'}",
            str(context),
        ]
        env = {"DOCKER_HOST": engine.host}
        with Screen(words, {**env, "BUILDKIT_PROGRESS": "plain"}) as shown:
            shown.until("RUN --mount=type=ssh")
            gone.kill()
            gone.wait()
            open_gate = b"FROM busybox:test\nRUN --mount=type=cache,target=/c touch /c/go\n"
            engine.run("onggi", "build", "--no-cache", "-", stdin=open_gate)
            shown.wait()
            assert "ssh agent" in "\n".join(shown.lines()) and " 0\n" in "\n".join(shown.lines())
    finally:
        gone.kill()
        gone.wait()


def test_a_shell_in_a_failed_step_has_the_agent(engine: engines.Engine, agent: Path, context: Path) -> None:
    (context / "Dockerfile").write_text("FROM busybox:test\nCOPY ask /bin/\nRUN --mount=type=ssh false\n")
    ssh = ("--ssh", f"default={agent}")
    words = [str(engines.ONGGI), "build", "--no-cache", "--shell-on-failure", *ssh, str(context)]
    with Screen(words, {"DOCKER_HOST": engine.host}, 40, 120) as shown:
        shown.until("/ #")
        shown.type("ask $SSH_AUTH_SOCK | grep -c key-of-test; echo; exit\n")
        assert shown.wait() == 1
        assert "\n1\n" in "\n".join(shown.lines())
    records = engine.api("GET", "/v1.51/system/df?type=build-cache")["BuildCache"]
    kept = sorted((one["CreatedAt"], one["ID"]) for one in records if one["Type"] == "exec.failed")
    words = [str(engines.ONGGI), "builder", "shell", *ssh, kept[-1][1]]
    with Screen(words, {"DOCKER_HOST": engine.host}, 40, 120) as shown:
        shown.until("/ #")
        shown.type("ask $SSH_AUTH_SOCK | grep -c key-of-test; echo; exit\n")
        assert shown.wait() == 0
        assert "\n1\n" in "\n".join(shown.lines())


def test_bad_requests(engine: engines.Engine) -> None:
    assert engine.request("POST", "/build/ssh?id=a")[0] == 400
    status, said = engine.request("POST", "/build/ssh?id=a&buildid=gone&again=1")
    assert status == 404 and b"build gone has ended" in said
