"""--userns-remap on both engines: inside, on the host, in archives and images; what is refused.

Each engine runs with an /etc of its own, so that the user dockremap and his ranges are made there.
"""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import engines
from tests.conformance.pairs import IMAGE, Pair

pytestmark = [pytest.mark.root, pytest.mark.peer]
RUN = ("run", "--rm", "--network", "none")
OWN_ETC = 'cp -a /etc "$0" && mount --bind "$0" /etc && rm -f /etc/subuid- /etc/subgid-; exec "$@"'


@pytest.fixture(scope="module", params=["docker-dockerd", "docker-onggi", "onggi-onggi"])
def remapped(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    client, kind = request.param.split("-")
    if client == "docker":
        request.getfixturevalue("docker_client")
    if kind == "dockerd" and not Path("/usr/sbin/dockerd").exists():
        pytest.skip("needs dockerd (Debian: docker.io)")
    tmp = tmp_path_factory.mktemp("remap", numbered=True)
    for parent in (tmp, *tmp.parents):
        if str(parent).startswith("/tmp/"):
            os.chmod(parent, 0o755)
    make = engines.dockerd if kind == "dockerd" else engines.onggi
    with make(tmp) as engine:
        engine.stop()
        if kind == "dockerd":
            engine.root.chmod(0o711)  # its mapped root must reach its own layers; ours are handed to it
        engine.command[:0] = ["unshare", "-m", "sh", "-c", OWN_ETC, str(tmp / "etc")]
        engine.command.append("--userns-remap=default")
        engine.start()
        engines.import_busybox(engine)
        yield Pair(client, engine)


def test_the_user_is_made_with_his_ranges(remapped: Pair) -> None:
    etc = remapped.engine.root.parent / "etc"
    ranges = [line for line in (etc / "subuid").read_text().splitlines() if line.startswith("dockremap:")]
    assert [line.rsplit(":", 1)[1] for line in ranges] == ["65536"]
    assert "name=userns" in json.loads(remapped("info", "-f", "{{json .SecurityOptions}}"))


def first(pair: Pair) -> int:
    lines = (pair.engine.root.parent / "etc/subuid").read_text().splitlines()
    return next(int(line.split(":")[1]) for line in lines if line.startswith("dockremap:"))


def test_inside_and_outside(remapped: Pair) -> None:
    jar = remapped.start("sleep", "1000")
    pid = int(remapped.inspect(jar, "{{.State.Pid}}"))
    # runc's start answers before the execve, up to which the process is nobody's to look into
    engines.until(lambda: os.stat(f"/proc/{pid}").st_uid == first(remapped))
    assert remapped("exec", jar, "id", "-u") == "0"
    assert remapped("exec", "-u", "app", jar, "id", "-u") == "1000"
    assert remapped("exec", jar, "stat", "-c", "%u:%g", "/bin/busybox", "/home/app") == "0:0\n1000:1000"
    assert remapped("exec", jar, "head", "-1", "/proc/self/uid_map").split() == [
        "0",
        str(first(remapped)),
        "65536",
    ]
    assert remapped("exec", jar, "sh", "-c", "echo more >> /etc/hosts && echo written") == "written"
    remapped("rm", "-f", jar)


def test_on_the_hosts_user_namespace(remapped: Pair) -> None:
    got = remapped(*RUN, "--userns", "host", IMAGE, "sh", "-c", "head -1 /proc/self/uid_map").split()
    assert got[:2] == ["0", "0"]
    if remapped.engine.kind == "onggi":  # Debian's dockerd wants capabilities that this machine may not have
        assert remapped(*RUN, "--userns", "host", "--privileged", IMAGE, "id", "-u") == "0"


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--privileged",), "privileged mode is incompatible with user namespaces"),
        (("--pid", "host"), "cannot share the host PID namespace when user namespaces are enabled"),
    ],
)
def test_what_is_refused(remapped: Pair, flags: tuple[str, ...], said: str) -> None:
    code, why = remapped.fails(*RUN, *flags, IMAGE, "true")
    assert code == 125
    assert said in why


def test_the_hosts_network_is_refused(remapped: Pair) -> None:
    code, why = remapped.fails("run", "--rm", "--network", "host", IMAGE, "true")
    assert code == 125
    assert "cannot share the host's network namespace when user namespaces are enabled" in why


def test_archives_and_images(remapped: Pair, tmp_path: Path) -> None:
    jar = remapped.start("sh", "-c", "touch /mine; chown 1000:2000 /mine; touch /done; exec sleep 1000")
    remapped.until("done", "exec", jar, "ls", "/")
    raw = remapped.engine.request("GET", f"/containers/{jar}/archive?path=/mine")[1]
    with tarfile.open(fileobj=io.BytesIO(raw)) as tar:
        member = tar.next()
    host = first(remapped) if remapped.engine.kind == "dockerd" else 0  # dockerd 20.10 tells the host's ids
    assert member is not None and (member.uid, member.gid) == (host + 1000, host + 2000)
    (tmp_path / "file").write_text("x")
    remapped("cp", str(tmp_path / "file"), f"{jar}:/tmp/file")
    assert remapped("exec", jar, "stat", "-c", "%u:%g", "/tmp/file") == "0:0"
    assert "/mine" in remapped("diff", jar)
    remapped("commit", jar, "remapped:1")
    assert remapped(*RUN, "remapped:1", "stat", "-c", "%u:%g", "/mine") == "1000:2000"
    remapped("rm", "-f", jar)
    remapped("rmi", "remapped:1")


def test_volumes(remapped: Pair) -> None:
    mount = ("-v", "remapped-volume:/home/app")
    assert remapped(*RUN, *mount, IMAGE, "stat", "-c", "%u", "/home/app") == "1000"
    remapped(*RUN, *mount, "-u", "app", IMAGE, "touch", "/home/app/x")
    assert remapped(*RUN, *mount, IMAGE, "stat", "-c", "%u", "/home/app/x") == "1000"
    remapped("volume", "rm", "remapped-volume")


def test_a_build(remapped: Pair, tmp_path: Path) -> None:
    if remapped.engine.kind == "dockerd":
        pytest.skip("dockerd 20.10 with userns-remap cannot bind a step's root on this kernel")
    (tmp_path / "Dockerfile").write_text(
        f"FROM {IMAGE}\nRUN touch /made && chown 1000:2000 /made && head -1 /proc/self/uid_map > /map\n"
        "USER app\nRUN id -u > /tmp/id\n"
    )
    remapped("build", "--network", "none", "-t", "remapped:build", str(tmp_path))
    got = remapped(*RUN, "remapped:build", "sh", "-c", "stat -c %u:%g /made; cat /tmp/id /map").split()
    assert got == ["1000:2000", "1000", "0", str(first(remapped)), "65536"]
    remapped("rmi", "remapped:build")


def test_secrets_caches_and_stages_of_a_build(remapped: Pair, tmp_path: Path) -> None:
    if (remapped.client, remapped.engine.kind) != ("onggi", "onggi"):
        pytest.skip("the classic builder has no RUN --mount")
    (tmp_path / "secret").write_text("hush\n")
    (tmp_path / "Dockerfile").write_text(
        f"FROM {IMAGE} AS first\nRUN echo stage > /made && chown 1000:1000 /made\n"
        f"FROM {IMAGE}\n"
        "RUN --mount=type=secret,id=s,target=/s,uid=1000,mode=0400 "
        "stat -c %u:%a /s > /facts && cat /s >> /facts\n"
        "RUN --mount=type=bind,from=first,source=/made,target=/m "
        "stat -c %u /m >> /facts && cat /m >> /facts\n"
        "RUN --mount=type=cache,target=/cache chown 1000 /cache && touch /cache/x\n"
        "USER app\nRUN --mount=type=cache,target=/cache stat -c %u /cache > /tmp/cached && touch /cache/y\n"
    )
    words = ("build", "--network", "none", "--secret", f"id=s,src={tmp_path}/secret", "-t", "remapped:mounts")
    remapped(*words, str(tmp_path))
    got = remapped(*RUN, "remapped:mounts", "cat", "/facts", "/tmp/cached").split()
    assert got == ["1000:400", "hush", "1000", "stage", "1000"]
    remapped("rmi", "remapped:mounts")


def test_secrets_of_a_container(remapped: Pair) -> None:
    if (remapped.client, remapped.engine.kind) != ("onggi", "onggi"):
        pytest.skip("secrets without a swarm are the onggi engine's own")
    remapped("secret", "create", "quiet", "-", stdin=b"hush")
    flags = ("--secret", "quiet,target=/s,uid=1000,mode=0400", "-u", "app")
    got = remapped(*RUN, *flags, IMAGE, "sh", "-c", "stat -c %u:%a /s; cat /s")
    assert got == "1000:400\nhush"
    remapped("secret", "rm", "quiet")
