"""The unmodified docker client against our daemon: what a user does in the first hour."""

from __future__ import annotations

import io
import json
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import engines
from tests.engines import BUSYBOX, Engine

pytestmark = [pytest.mark.root, pytest.mark.peer]


@pytest.fixture(autouse=True)
def clean(onggi: Engine, docker_client: str) -> Iterator[None]:
    yield
    onggi.remove_all()


def run(engine: Engine, *words: str) -> str:
    """`docker run -d --network none busybox ...`; the container's id."""
    return engine.run("docker", "run", "-d", "--network", "none", *words).stdout.strip()


def test_run_prints_and_returns_the_exit_code(onggi: Engine) -> None:
    done = onggi.run(
        "docker",
        "run",
        "--rm",
        "--network",
        "none",
        BUSYBOX,
        "sh",
        "-c",
        "echo out; echo err >&2; exit 7",
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (7, "out\n", "err\n")
    assert onggi.run("docker", "ps", "-aq").stdout == ""


def test_run_reads_its_input(onggi: Engine) -> None:
    data = b"x" * 300_000
    done = onggi.run("docker", "run", "--rm", "-i", "--network", "none", BUSYBOX, "wc", "-c", stdin=data)
    assert done.stdout.strip() == "300000"


def test_commands_that_are_not_there(onggi: Engine) -> None:
    done = onggi.run("docker", "run", "--rm", "--network", "none", BUSYBOX, "nosuch", check=False)
    assert done.returncode == 127 and "nosuch" in done.stderr
    done = onggi.run("docker", "run", "--rm", "--network", "none", BUSYBOX, "/etc", check=False)
    assert done.returncode == 126


def test_images_import_and_inspect(onggi: Engine, tmp_path: Path) -> None:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("empty"))
    (tmp_path / "a.tar").write_bytes(archive.getvalue())
    image = onggi.run("docker", "import", "-c", "ENV A=b", str(tmp_path / "a.tar"), "made:1").stdout.strip()
    assert image.startswith("sha256:")
    shown = json.loads(onggi.run("docker", "image", "inspect", "made:1").stdout)[0]
    assert shown["Id"] == image and shown["Config"]["Env"] == ["A=b"] and shown["RepoTags"] == ["made:1"]
    assert "made" in onggi.run("docker", "images").stdout
    assert "Untagged: made:1" in onggi.run("docker", "rmi", "made:1").stdout


def test_exec_with_input_output_and_exit_code(onggi: Engine) -> None:
    name = run(onggi, BUSYBOX, "sleep", "100")
    done = onggi.run("docker", "exec", "-i", name, "sh", "-c", "cat; exit 3", stdin=b"hello", check=False)
    assert (done.returncode, done.stdout) == (3, "hello")
    assert (
        onggi.run("docker", "exec", "-e", "X=y", "-w", "/tmp", name, "sh", "-c", "echo $X $PWD").stdout
        == "y /tmp\n"
    )


def test_logs_stop_and_remove(onggi: Engine) -> None:
    name = run(
        onggi,
        "--name",
        "talker",
        BUSYBOX,
        "sh",
        "-c",
        "trap 'exit 5' TERM; echo ready; while :; do sleep 0.1; done",
    )
    engines.until(lambda: onggi.run("docker", "logs", "--tail", "1", name).stdout == "ready\n")
    onggi.run("docker", "stop", "talker")
    assert onggi.run("docker", "logs", "talker").stdout == "ready\n"
    state = json.loads(onggi.run("docker", "inspect", "talker").stdout)[0]["State"]
    assert (state["Status"], state["ExitCode"], state["Running"]) == ("exited", 5, False)
    onggi.run("docker", "rm", "talker")
    gone = onggi.run("docker", "rm", "talker", check=False)
    assert "No such container: talker" in gone.stderr


def test_ps_filters(onggi: Engine) -> None:
    first = run(onggi, "--name", "first", "-l", "tier=web", "-v", "/data", BUSYBOX, "sleep", "100")
    second = run(onggi, "--name", "second", "-e", "A=b", BUSYBOX, "sh", "-c", "exit 3")
    onggi.run("docker", "wait", second)

    def ps(*filters: str) -> list[str]:
        words = [word for item in filters for word in ("--filter", item)]
        return onggi.run("docker", "ps", "-a", "--format", "{{.Names}}", *words).stdout.split()

    assert ps() == ["second", "first"]
    assert (
        ps(f"id={first[:12]}") == ["first"]
        and ps("name=fir") == ["first"]
        and ps("name=^/second$") == ["second"]
    )
    assert ps("label=tier") == ps("label=tier=web") == ["first"] and ps("label=tier=db") == []
    assert ps("status=exited") == ps("exited=3") == ["second"] and ps("exited=0") == []
    assert ps("status=running", "status=exited") == ["second", "first"]
    assert ps(f"ancestor={BUSYBOX}") == ["second", "first"] and ps("ancestor=nosuch") == []
    assert ps("before=second") == ["first"] and ps("since=first") == ["second"]
    assert ps("volume=/data") == ["first"] and ps("network=none") == ["second", "first"]
    assert ps("network=host") == [] and ps("health=none") == ["second", "first"]
    assert ps("is-task=true") == [] and ps("publish=80") == []
    wrong = onggi.run("docker", "ps", "--filter", "status=zz", check=False)
    assert "invalid filter 'status=zz'" in wrong.stderr
    assert onggi.run("docker", "ps", "-q", "--no-trunc").stdout.split() == [first]
    assert onggi.run("docker", "ps", "-lq", "--no-trunc").stdout.split() == [second]
    assert "virtual" in onggi.run("docker", "ps", "-as").stdout


def test_copy_in_and_out(onggi: Engine, tmp_path: Path) -> None:
    name = run(onggi, BUSYBOX, "sleep", "100")
    (tmp_path / "in").write_text("content")
    onggi.run("docker", "cp", str(tmp_path / "in"), f"{name}:/tmp/in")
    assert onggi.run("docker", "exec", name, "cat", "/tmp/in").stdout == "content"
    onggi.run("docker", "cp", f"{name}:/tmp/in", str(tmp_path / "out"))
    assert (tmp_path / "out").read_text() == "content"
    assert "A /tmp/in" in onggi.run("docker", "diff", name).stdout
    missing = onggi.run("docker", "cp", f"{name}:/nosuch", str(tmp_path), check=False)
    assert missing.returncode == 1 and "/nosuch" in missing.stderr


def test_stats_top_and_export(onggi: Engine, tmp_path: Path) -> None:
    name = run(onggi, "--memory", "64m", BUSYBOX, "sleep", "100")
    stats = json.loads(onggi.run("docker", "stats", "--no-stream", "--format", "json", name).stdout)
    assert stats["MemUsage"].endswith("/ 64MiB") and stats["PIDs"] == "1"
    assert "sleep 100" in onggi.run("docker", "top", name).stdout
    onggi.run("docker", "export", "-o", str(tmp_path / "x.tar"), name)
    with tarfile.open(tmp_path / "x.tar") as tar:
        assert any(entry.startswith("bin/") for entry in tar.getnames())


def test_events_of_a_life(onggi: Engine) -> None:
    connection = engines.UnixHTTP(onggi.socket, timeout=60)
    # `status` and `from` left the answer in 1.52
    connection.request("GET", "/v1.51/events?filters=%7B%22container%22%3A%5B%22living%22%5D%7D")
    answer = connection.getresponse()
    worker = threading.Thread(
        target=lambda: onggi.run(
            "docker", "run", "--rm", "--name", "living", "--network", "none", BUSYBOX, "true"
        )
    )
    worker.start()
    actions = []
    while not actions or actions[-1] != "destroy":
        event = json.loads(answer.readline())
        assert event["status"] == event["Action"] and event["from"] == BUSYBOX
        actions.append(event["Action"])
    worker.join()
    connection.close()
    assert [action for action in actions if action in ("create", "start", "die", "destroy")] == [
        "create", "start", "die", "destroy",
    ]  # fmt: skip


def test_containers_outlive_the_daemon(onggi: Engine) -> None:
    name = run(onggi, BUSYBOX, "sleep", "1000")
    pid = json.loads(onggi.run("docker", "inspect", name).stdout)[0]["State"]["Pid"]
    onggi.stop()
    assert Path(f"/proc/{pid}").exists()
    onggi.start()
    assert json.loads(onggi.run("docker", "inspect", name).stdout)[0]["State"]["Pid"] == pid
    assert onggi.run("docker", "exec", name, "echo", "still").stdout == "still\n"


def test_disk_usage(onggi: Engine) -> None:
    run(onggi, "-v", "used:/v", BUSYBOX, "dd", "if=/dev/zero", "of=/v/f", "bs=1k", "count=64")
    listed = json.loads(onggi.run("docker", "system", "df", "-v", "--format", "json").stdout)
    volume = next(v for v in listed["Volumes"] if v["Name"] == "used")
    assert volume["Links"] == "1"
    assert next(i for i in listed["Images"] if i["Repository"] == BUSYBOX.split(":")[0])["Containers"] == "1"
