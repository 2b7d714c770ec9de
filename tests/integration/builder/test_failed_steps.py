"""A RUN that failed: a shell in what it left, the step once more, and what becomes of what is kept."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import signal
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import buildx, engines
from tests.screens import Screen

pytestmark = pytest.mark.root
STEP = """FROM busybox:test
ARG SAYS=hello
WORKDIR /work
USER app
RUN --mount=type=secret,id=s,required=true,uid=1000 --mount=type=cache,id=own,target=/c,uid=1000 \
    --mount=type=bind,target=/ctx --mount=type=tmpfs,target=/t --network=none \
    echo left > /tmp/left; touch /c/cached; test -e /c/go
"""
GATED = """FROM busybox:test
RUN --mount=type=cache,id=gate,target=/c echo tries; echo a > /half; test -e /c/go && echo done > /done
"""
MARK = "4711.0815"
GATE = b"FROM busybox:test\nRUN --mount=type=cache,id=gate,target=/c "


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[engines.Engine]:
    with engines.onggi(tmp_path_factory.mktemp("failed")) as engine:
        engines.import_busybox(engine)
        yield engine


@pytest.fixture(autouse=True)
def closed(engine: engines.Engine) -> None:
    """The gate, before each test; and nothing is kept."""
    engine.run("onggi", "build", "--no-cache", "-q", "-", stdin=GATE + b"rm -f /c/go\n")
    engine.api("POST", "/build/prune?all=1&filters=%7B%22type%22%3A%7B%22exec.failed%22%3Atrue%7D%7D")


def open_gate(engine: engines.Engine) -> None:
    engine.run("onggi", "build", "--no-cache", "-q", "-", stdin=GATE + b"touch /c/go\n")


def kept(engine: engines.Engine) -> list[dict[str, object]]:
    records = engine.api("GET", "/v1.51/system/df?type=build-cache")["BuildCache"] or []
    return [one for one in records if one["Type"] == "exec.failed"]


def fail(engine: engines.Engine, dockerfile: str = GATED) -> str:
    """A build that fails; the id under which its step is kept."""
    done = engine.run("onggi", "build", "--no-cache", "-", stdin=dockerfile.encode(), check=False)
    assert done.returncode == 1, done.stderr
    found = re.search(
        r"The failed step is kept: onggi builder shell (\w+), or onggi builder rerun (\w+)\n", done.stderr
    )
    assert found is not None and found[1] == found[2], done.stderr
    return found[1]


def screen(engine: engines.Engine, *words: str) -> Screen:
    return Screen([str(engines.ONGGI), *words], {"DOCKER_HOST": engine.host, "PS1": "$ "}, 30, 120)


def nothing_runs(engine: engines.Engine) -> None:
    """No shim, no directory, no mount of a step."""
    engines.until(lambda: not list((engine.root / "containers").iterdir()))
    engines.until(lambda: not any("onggi-shim" in engines._cmdline(one) for one in engines.processes(engine)))
    assert engines.mounts(str(engine.root)) == []


def no_fault(engine: engines.Engine) -> None:
    """Once what the build made for an image that never came is swept up."""
    engines.until(lambda: engine.api("GET", "/system/check")["Faults"] == [])


def build_failing(engine: engines.Engine, tmp_path: Path) -> Screen:
    (tmp_path / "Dockerfile").write_text(STEP)
    (tmp_path / "value").write_text("hush-0815")
    (tmp_path / ".dockerignore").write_text("value\n")
    secret = f"id=s,src={tmp_path / 'value'}"
    shown = screen(
        engine, "build", "--shell-on-failure", "--secret", secret, "--build-arg", "SAYS=hi", str(tmp_path)
    )
    shown.until("A shell in the file system of the failed step")
    shown.until("/work $")
    return shown


def test_a_shell_has_all_that_the_step_had(engine: engines.Engine, tmp_path: Path) -> None:
    with build_failing(engine, tmp_path) as shown:
        assert "   5 | >>> RUN --mount=type=secret" in "\n".join(shown.lines())
        shown.type(
            "echo $SAYS $(id -un) $PWD $(cat /tmp/left /run/secrets/s) $(ls /c /ctx /t); "
            "ip -o link | wc -l; tty; stty size; echo more > /tmp/more; hostname; echo END$((1+1))\n"
        )
        shown.until("END2")
        text = "\n".join(shown.lines())
        assert "hi app /work left hush-0815 /c: cached /ctx: Dockerfile /t:" in text
        assert re.search(r"^1$", text, re.M), "no network but lo"
        assert "/dev/pts/0" in text and "30 120" in text and "buildkitsandbox" in text
        shown.resize(40, 100)
        os.killpg(shown.process.pid, signal.SIGWINCH)
        deadline = time.monotonic() + 60
        while "40 100" not in "\n".join(shown.lines()):
            assert time.monotonic() < deadline, shown.lines()
            shown.type("stty size\n")
            shown.read(0.3)
        shown.type("exit 77\n")
        assert shown.wait() == 1, "the build fails as the step did"
        text = "\n".join(shown.lines())
        assert "exit code: 1" in text and text.count(">>> RUN --mount=type=secret") == 1
    nothing_runs(engine)
    (record,) = kept(engine)
    with screen(engine, "builder", "shell", str(record["ID"])[:6]) as shown:
        shown.until("secret s: not found")
        assert shown.wait() == 1
    secret = f"id=s,src={tmp_path / 'value'}"
    with screen(engine, "builder", "shell", "--secret", secret, str(record["ID"])) as shown:
        shown.until("/work $")
        shown.type("cat /tmp/left /run/secrets/s; ls -d /tmp/more /ctx; exit\n")
        assert shown.wait() == 0
        text = "\n".join(shown.lines())
        assert "left" in text and "hush-0815" in text
        assert "/tmp/more: No such file" in text, "what a shell changes is thrown away"
        assert "/ctx: No such file" in text, "the context went with its build"
    done = engine.run("onggi", "builder", "rerun", str(record["ID"]), check=False)
    assert done.returncode == 1 and "the files at /ctx came from the client of its build" in done.stderr
    assert "hush-0815" not in engine.log
    for path, data in engines.files(engine.root):
        assert b"hush-0815" not in data, path
    nothing_runs(engine)


def test_without_a_terminal_it_is_refused(engine: engines.Engine) -> None:
    words = ("build", "--shell-on-failure", "-")
    done = engine.run("onggi", *words, stdin=GATED.encode(), check=False)
    assert done.returncode == 1 and "--shell-on-failure: a shell needs a terminal" in done.stderr
    done = engine.run("onggi", "builder", "shell", "abc", check=False)
    assert "builder shell: a shell needs a terminal" in done.stderr
    assert kept(engine) == []


def test_a_step_runs_again_by_id_until_it_succeeds(engine: engines.Engine) -> None:
    name = fail(engine)
    assert [one["ID"] for one in kept(engine)] == [name]
    again = engine.run("onggi", "builder", "rerun", name, check=False)
    assert (
        again.returncode == 1 and "tries" in again.stderr and "did not complete successfully" in again.stderr
    )
    second = re.search(r"onggi builder rerun (\w+)\n", again.stderr)
    assert second is not None and {one["ID"] for one in kept(engine)} == {name, second[1]}
    open_gate(engine)
    done = engine.run("onggi", "builder", "rerun", name[:8])
    assert "tries" in done.stderr
    assert {one["ID"] for one in kept(engine)} == {second[1]}, "a step that has succeeded is no failed one"
    built = engine.run("onggi", "build", "-t", "again:1", "-", stdin=GATED.encode())
    assert "#2 CACHED" in built.stderr, "its result is in the cache, under the step's key"
    assert engine.docker("run", "--rm", "--network=none", "again:1", "cat", "/half", "/done") == "a\ndone\n"


def test_what_is_kept_outlives_the_engine_and_goes_with_the_cache(engine: engines.Engine) -> None:
    name = fail(engine)
    engine.kill()
    engine.start()
    with screen(engine, "builder", "shell", name) as shown:
        shown.until("/ #")
        shown.type("cat /half; ls /done; exit\n")
        assert shown.wait() == 0
        assert "/done: No such file" in "\n".join(shown.lines())
    assert name in engine.onggi("system", "df", "-v") or name[:12] in engine.onggi("system", "df", "-v")
    for number in range(6):
        fail(engine, f"FROM busybox:test\nRUN echo {number} > /n; exit 1\n")
    found = kept(engine)
    assert len(found) == 4 and name not in {one["ID"] for one in found}, "the newest four"
    layers = len(list((engine.root / "snapshots").iterdir()))
    engine.onggi("builder", "prune", "-af")
    assert kept(engine) == []
    assert len(list((engine.root / "snapshots").iterdir())) <= layers - 4
    gone = engine.run("onggi", "builder", "rerun", str(found[0]["ID"]), check=False)
    assert f"no failed step {found[0]['ID']} is kept" in gone.stderr
    no_fault(engine)


def test_a_pruned_base_stays_while_a_failed_step_stands_on_it(engine: engines.Engine) -> None:
    name = fail(
        engine, "FROM busybox:test AS a\nRUN echo under > /under\nRUN cat /under; echo b > /b; exit 1\n"
    )
    filters = "%7B%22type%22%3A%7B%22regular%22%3Atrue%7D%7D"
    engine.api("POST", f"/build/prune?all=1&filters={filters}")
    again = engine.run("onggi", "builder", "rerun", name, check=False)
    assert " under\n" in again.stderr


@pytest.mark.parametrize("killed", ["client", "build"])
def test_a_shell_ends_with_its_client(engine: engines.Engine, tmp_path: Path, killed: str) -> None:
    with build_failing(engine, tmp_path) as shown:
        shown.type(f"sleep {MARK} & sleep {MARK}\n")
        engines.until(lambda: sleepers() >= 2)
        shown.process.send_signal(signal.SIGKILL if killed == "client" else signal.SIGHUP)
        shown.process.wait(60)
    engines.until(lambda: not sleepers())
    nothing_runs(engine)
    no_fault(engine)


@pytest.mark.parametrize("opened", [False, True])
def test_cancelling_a_build_that_waits_for_a_shell(engine: engines.Engine, opened: bool) -> None:
    """It says why it waited, and the shell's client sees the end."""
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as tar:
        entry = tarfile.TarInfo("Dockerfile")
        entry.size = len(GATED)
        tar.addfile(entry, io.BytesIO(GATED.encode()))
    query = "progress=status&shellonfailure=1&buildid=waits&nocache=1"
    with contextlib.ExitStack() as stack:
        connection = stack.enter_context(contextlib.closing(engines.UnixHTTP(engine.socket, 60)))
        connection.request("POST", f"/build?{query}", context.getvalue())
        answer = stack.enter_context(connection.getresponse())
        held = next(line for line in map(json.loads, answer) if line.get("id") == "onggi.failed")
        assert held["aux"]["Held"] is True
        if opened:
            shown = stack.enter_context(screen(engine, "builder", "shell", held["aux"]["ID"]))
            shown.until("/ #")
            shown.type(f"sleep {MARK}\n")
            engines.until(lambda: sleepers() == 1)
        assert engine.request("POST", "/build/cancel?id=waits")[0] == 200
        rest = [json.loads(line) for line in answer if line.strip()]
        assert "did not complete successfully: exit code: 1" in rest[-1]["error"]
        if opened:
            shown.wait()
    assert sleepers() == 0
    nothing_runs(engine)
    no_fault(engine)


def sleepers() -> int:
    pids = (int(one) for one in os.listdir("/proc") if one.isdigit())
    return sum(engines._cmdline(pid) == f"sleep {MARK} " for pid in pids)


def test_an_engine_that_is_killed_under_a_shell(engine: engines.Engine, tmp_path: Path) -> None:
    with build_failing(engine, tmp_path) as shown:
        engine.kill()
        engine.start()
        assert shown.wait() == 1, "the shim holds the terminal; the next engine ends what has no owner"
    nothing_runs(engine)
    assert len(kept(engine)) == 1
    no_fault(engine)


def test_one_shell_at_a_time_and_one_without_a_program(engine: engines.Engine) -> None:
    name = fail(engine)
    with screen(engine, "builder", "shell", name) as first:
        first.until("/ #")
        with screen(engine, "builder", "shell", name) as second:
            assert second.wait() == 1
            assert f"a shell runs already in failed step {name}" in "\n".join(second.lines())
        first.type("exit\n")
        assert first.wait() == 0
    other = fail(
        engine,
        'FROM busybox:test AS b\nFROM scratch\nCOPY --from=b /bin/busybox /\nRUN ["/busybox", "false"]\n',
    )
    with screen(engine, "builder", "shell", other) as shown:
        assert shown.wait() in (0, 1)
        assert "/bin/sh" in "\n".join(shown.lines()) and "no such file" in "\n".join(shown.lines())
    nothing_runs(engine)


def test_buildx_is_told_the_id(engine: engines.Engine, tmp_path: Path) -> None:
    buildx.need()
    context = tmp_path / "context"
    context.mkdir()
    (context / "Dockerfile").write_text(GATED)
    told = buildx.buildx(engine, context, "build", "--no-cache", "--progress", "plain", ".", fails=True)
    name = re.search(r"onggi: the step is kept: onggi builder shell (\w+), onggi builder rerun \1\n", told)
    assert name is not None, told
    open_gate(engine)
    engine.onggi("builder", "rerun", name[1])
    assert "CACHED" in buildx.buildx(engine, context, "build", "--progress", "plain", ".")


def test_nothing_is_left(engine: engines.Engine) -> None:
    engine.remove_all()
    engine.stop()
    assert engines.leftovers(engine) == []
    engine.start()
