"""Git repositories as contexts and as sources of ADD: honest, hostile, and with a password."""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import engines
from tests.buildx import buildx
from tests.repositories import commit, daemon, git, repository, served

pytestmark = [
    pytest.mark.root, pytest.mark.timeout(240),
    pytest.mark.skipif(shutil.which("git") is None, reason="git is missing"),
]  # fmt: skip
# The agent's list of identities: SSH_AGENTC_REQUEST_IDENTITIES of draft-ietf-sshm-ssh-agent.
ASKER = r"""
#include <sys/socket.h>
#include <sys/un.h>
#include <string.h>
#include <unistd.h>
int main(int c, char **v) {
    struct sockaddr_un a = {AF_UNIX};
    unsigned char b[4096];
    int s = socket(AF_UNIX, SOCK_STREAM, 0), n = 0, more;
    strcpy(a.sun_path, v[1]);
    if (connect(s, (void *)&a, sizeof a) || write(s, "\0\0\0\1\13", 5) != 5) return 1;
    do {
        more = read(s, b + n, sizeof b - n);
        if (more <= 0) return 1;
        n += more;
    } while (n < 4 || n < 4 + (b[2] << 8) + b[3]);
    return write(1, b, n) != n;
}
"""
DOCKERFILE = "FROM scratch\nCOPY . /\n"


@pytest.fixture(scope="module")
def engine(engine: engines.Engine) -> Iterator[engines.Engine]:
    yield engine
    assert not [name for name in os.listdir(engine.exec_root) if name.startswith("git-")]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    where = tmp_path / "served"
    repository(
        where, "app", {"Dockerfile": DOCKERFILE, "f": "one", "sub/Dockerfile": DOCKERFILE, "sub/g": "deep"}
    )
    return where


def add(engine: engines.Engine, context: Path, line: str, *args: str, fails: bool = False, **env: str) -> str:
    """A build of one ADD whose result is below `made`."""
    shutil.rmtree(context / "made", ignore_errors=True)
    (context / "Dockerfile").write_text(f"FROM scratch\n{line}\n")
    return buildx(engine, context, "build", "--progress=plain", "-o", "made", *args, ".", fails=fails, **env)


def test_a_repository_is_a_context(engine: engines.Engine, place: Path, context: Path) -> None:
    with served(place) as host:
        address = f"http://{host}/app.git"
        out = buildx(engine, context, "build", "--progress=plain", "-o", "made", address)
        assert sorted(os.listdir(context / "made")) == ["Dockerfile", "f", "sub"]
        assert f"load git source {address}" in out
        again = buildx(engine, context, "build", "--progress=plain", "-o", "made", address)
        assert "COPY . /\n" in again and again.count("CACHED") >= 1
        buildx(engine, context, "build", "-o", "deep", f"{address}#main:sub")
        assert sorted(os.listdir(context / "deep")) == ["Dockerfile", "g"]
        commit(place / "app", {"f": "two"})
        git(place / "app", "push", "-q", "served", "main")
        buildx(engine, context, "build", "-o", "made", address)
        assert (context / "made/f").read_text() == "two"


def test_the_classic_door_and_onggi_build(engine: engines.Engine, place: Path, context: Path) -> None:
    with served(place) as host:
        engine.onggi("build", "-t", "from-git", f"http://{host}/app.git#main:sub")
        status, body = engine.request("POST", f"/build?t=classic-git&remote=http://{host}/app.git")
        assert status == 200 and b"Successfully tagged" in body, body
        status, body = engine.request("POST", f"/build?remote=http://{host}/none.git")
        assert status in (404, 500, 503) and b"failed" in body
    layers = engine.api("GET", "/v1.51/images/from-git/json")["RootFS"]["Layers"]
    assert len(layers) == 1 and engine.api("GET", "/v1.51/images/classic-git/json")["Id"]


def test_references(engine: engines.Engine, place: Path, context: Path) -> None:
    app = place / "app"
    first = git(app, "rev-parse", "HEAD")
    git(app, "tag", "-a", "-m", "t", "v1")
    git(app, "checkout", "-q", "-b", "side")
    second = commit(app, {"f": "side"})
    git(app, "push", "-q", "served", "main", "side", "v1")
    with daemon(place) as host:
        address = f"git://{host}/app.git"
        for ref, text in (
            ("v1", "one"),
            ("side", "side"),
            (first, "one"),
            (second, "side"),
            ("refs/heads/side", "side"),
        ):
            add(engine, context, f"ADD {address}#{ref} /")
            assert (context / "made/f").read_text() == text, ref
        add(engine, context, f"ADD --checksum={second[:9]} {address}#side /")
        assert "expected checksum" in add(
            engine, context, f"ADD --checksum={first} {address}#side /", fails=True
        )
        assert "does not contain ref none" in add(engine, context, f"ADD {address}#none /", fails=True)
        assert "invalid reference" in add(engine, context, f"ADD {address}#--upload-pack=x /", fails=True)
        add(engine, context, f"ADD --keep-git-dir=true {address}#side /")
        assert git(context / "made", "rev-parse", "HEAD") == second
        assert git(context / "made", "remote", "get-url", "origin") == address


def test_submodules_come_along_and_leave_no_trace(engine: engines.Engine, place: Path, context: Path) -> None:
    repository(place, "part", {"p": "part"})
    git(place / "app", "submodule", "add", "-q", "../part.git", "part")
    commit(place / "app", {"x": "x"})
    git(place / "app", "push", "-q", "served", "main")
    with served(place) as host:
        add(engine, context, f"ADD http://{host}/app.git /")
    assert (context / "made/part/p").read_text() == "part" and not (context / "made/part/.git").exists()


def test_hostile_repositories(engine: engines.Engine, place: Path, context: Path) -> None:
    app = place / "app"
    secret = place / "secret"
    repository(place, "secret", {"hidden": "of the host"})
    (app / "out").symlink_to("/etc")
    (app / ".gitmodules").write_text(f'[submodule "s"]\n\tpath = s\n\turl = file://{secret}\n')
    git(app, "update-index", "--add", "--cacheinfo", f"160000,{git(secret, 'rev-parse', 'HEAD')},s")
    git(app, "add", ".gitmodules", "out")
    git(app, "commit", "-q", "-m", "hostile")
    git(app, "push", "-q", "served", "main")
    with served(place) as host:
        address = f"http://{host}/app.git"
        out = add(engine, context, f"ADD {address} /", fails=True)
        assert "transport 'file' not allowed" in out
        assert "no such directory" in add(
            engine, context, f"ADD {address}?submodules=0&subdir=out/ssh /", fails=True
        )
        assert "no such directory" in add(
            engine, context, f"ADD {address}?submodules=0&subdir=out /", fails=True
        )
        add(engine, context, f"ADD {address}?submodules=0 /")
        assert os.readlink(context / "made/out") == "/etc"
    for address in ("ext::sh -c id.git", "file:///etc/x.git"):
        add(engine, context, f'ADD ["{address}", "/"]', fails=True)
    assert not os.path.exists(context / "made/hidden")


def test_a_repository_that_wants_a_password(engine: engines.Engine, place: Path, context: Path) -> None:
    header = "basic " + base64.b64encode(b"x-access-token:hush").decode()
    with served(place, authorization=header) as host:
        line = f"ADD http://{host}/app.git /"
        out = add(engine, context, line, fails=True)
        assert "git ls-remote failed" in out
        out = add(engine, context, line, "--secret", "id=GIT_AUTH_TOKEN,env=T", T="hush")
        assert "hush" not in out and (context / "made/f").exists()
        named = f"id=GIT_AUTH_TOKEN.{host},env=T"
        add(engine, context, f"{line}b", "--secret", named, T="hush")
    with served(place) as host:
        out = add(engine, context, f"ADD http://user:pass-word@{host}/none.git /", fails=True)
        said = [line for line in out.splitlines() if "fatal: " in line]
        assert said and "pass-word" not in "".join(said)


def test_ssh_is_forwarded(engine: engines.Engine, context: Path, tmp_path: Path) -> None:
    if shutil.which("ssh-agent") is None:
        pytest.skip("ssh-agent is missing")
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "key-of-test", "-f", tmp_path / "key"],
        check=True,
    )
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", tmp_path / "agent"], stdout=subprocess.DEVNULL)
    try:
        engines.until(lambda: engines.listens(tmp_path / "agent"))
        env = {"SSH_AUTH_SOCK": str(tmp_path / "agent")}
        subprocess.run(["ssh-add", "-q", tmp_path / "key"], env={**os.environ, **env}, check=True)
        asker = context / "ask.c"
        asker.write_text(ASKER)
        subprocess.run(["gcc", "-static", "-o", context / "ask", asker], check=True)
        (context / "Dockerfile").write_text(
            "FROM busybox:test\nCOPY ask /bin/\nRUN --mount=type=ssh ask $SSH_AUTH_SOCK > /said\n"
            "FROM scratch\nCOPY --from=0 /said /\n"
        )
        out = buildx(engine, context, "build", "--ssh", "default", "-o", "made", ".", **env, fails=False)
        assert b"key-of-test" in (context / "made/said").read_bytes(), out
        out = add(engine, context, "ADD git@127.0.0.1:app.git /", fails=True)
        assert "ssh agent default" in out
    finally:
        agent.kill()
        agent.wait()
