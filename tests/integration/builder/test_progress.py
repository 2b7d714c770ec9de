"""`onggi build --progress`: what is seen on a real terminal, and what is written where there is none."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import buildx, engines
from tests.screens import Screen

pytestmark = pytest.mark.root
HOSTILE = (
    "FROM busybox:test\n"
    r"RUN printf '\033[31mred\033[0m \033[2J\033]0;title\007\033P1$r\033\\ \233m \302\2331m"
    r" \033[?1049h \b\b\007 \342\200\256evil\n'; printf 'a%%\rb%%\rc%%'; "
    "while ! test -e /c/go; do sleep 0.05; done; exit 4\n"
).replace("RUN ", "RUN --mount=type=cache,id=gate,target=/c ")
PARALLEL = """FROM busybox:test AS left
RUN for i in $(seq 1 12); do echo left says $i; done; while ! test -e /c/go; do sleep 0.05; done
FROM busybox:test AS right
RUN echo 오른쪽 日本語 é; while ! test -e /c/go; do sleep 0.05; done
FROM busybox:test
COPY --from=left /etc/passwd /l
COPY --from=right /etc/passwd /r
""".replace("RUN ", "RUN --mount=type=cache,id=gate,target=/c ")
GATE = b"FROM busybox:test\nARG N\nRUN --mount=type=cache,id=gate,target=/c : $N; "


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[engines.Engine]:
    with engines.onggi(tmp_path_factory.mktemp("builds")) as engine:
        engines.import_busybox(engine)
        yield engine


def gate(engine: engines.Engine, script: bytes) -> None:
    engine.run("onggi", "build", "--no-cache", "-q", "-", stdin=GATE + script + b"\n")


def build(
    engine: engines.Engine, path: Path, *args: str, size: tuple[int, int] = (24, 80), **env: str
) -> Screen:
    return Screen([str(engines.ONGGI), "build", *args, str(path)], {"DOCKER_HOST": engine.host, **env}, *size)


def written(path: Path, text: str) -> Path:
    (path / "Dockerfile").write_text(text)
    return path


def test_parallel_steps_their_words_and_cached_marks(engine: engines.Engine, tmp_path: Path) -> None:
    gate(engine, b"rm -f /c/go")
    written(tmp_path, PARALLEL)

    def both_run(lines: list[str]) -> bool:
        running = [line for line in lines if re.search(r"=> \[(left|right) 2/2\] RUN .* \d+\.\ds$", line)]
        return (
            len(running) == 2
            and any("=> => # left says 12" in line for line in lines)
            and any("=> => # 오른쪽 日本語 é" in line for line in lines)
            and sum("left says" in line for line in lines) == 6  # the last six lines of a step
            and re.fullmatch(r"\[\+\] Building \d+\.\ds \(1/5\) +onggi", lines[0]) is not None
        )

    with build(engine, tmp_path) as screen:
        screen.when(both_run)
        gate(engine, b"touch /c/go")
        assert screen.wait() == 0
        lines = screen.lines()
        assert re.fullmatch(r"\[\+\] Building \d+\.\ds \(5/5\) FINISHED +onggi", lines[0])
        assert not any("says" in line for line in lines), "a step that has ended says nothing more"
        assert all(len(line) < 80 for line in lines) and screen.grid.strange == []
        assert {"34"} <= screen.grid.colors
    with build(engine, tmp_path, NO_COLOR="1") as screen:
        assert screen.wait() == 0
        cached = [line for line in screen.lines() if line.startswith(" => CACHED [")]
        assert len(cached) == 5 and screen.grid.colors <= {"0", ""}


def test_a_narrow_and_low_terminal_and_another_size(engine: engines.Engine, tmp_path: Path) -> None:
    gate(engine, b"rm -f /c/go")
    steps = "".join(f"RUN echo {number} {'long ' * 30}\n" for number in range(20))
    path = written(tmp_path, f"FROM busybox:test\n{steps}RUN --mount=type=cache,id=gate,target=/c "
                             "echo waits; while ! test -e /c/go; do sleep 0.05; done\n")  # fmt: skip
    with build(engine, path, size=(10, 44)) as screen:
        screen.until("=> => # waits")
        frame = [line for line in screen.when(lambda lines: any("…" in line for line in lines)) if line]
        assert len(frame) <= 10 and all(len(line) < 44 for line in frame), frame
        screen.resize(30, 100)
        deadline = time.monotonic() + 60
        while not any(90 < len(line) < 100 for line in screen.lines()):
            assert time.monotonic() < deadline, screen.lines()
            screen.read()
        screen.resize(12, 30)
        while not any(line.startswith("[+]") and len(line) == 29 for line in screen.lines()):
            assert time.monotonic() < deadline, screen.lines()
            screen.read()
        gate(engine, b"touch /c/go")
        assert screen.wait() == 0
        assert sum("RUN" in line for line in screen.lines()) >= 21, "every step is shown at the end"
        assert screen.grid.strange == []


@pytest.mark.parametrize("kind", ["tty", "plain"])
def test_nothing_hostile_reaches_the_terminal(engine: engines.Engine, tmp_path: Path, kind: str) -> None:
    gate(engine, b"rm -f /c/go")
    with build(engine, written(tmp_path, HOSTILE), "--no-cache", "--progress", kind) as screen:
        if kind == "tty":
            screen.until("=> => # c%")
        gate(engine, b"touch /c/go")
        assert screen.wait() == 4
        text = "\n".join(screen.lines())
        assert screen.grid.strange == [] and "\u202e" not in text
        said = re.search(r"\d\.\d{3} red (.*)evil", text)
        assert said is not None and "title" not in said[1] and "31m" not in said[1]
        assert "   2 | >>> RUN --mount" in text and "exit code: 4" in text
        if kind == "tty":
            assert "=> ERROR [2/2] RUN --mount" in text


def test_interrupted(engine: engines.Engine, tmp_path: Path) -> None:
    with build(engine, written(tmp_path, "FROM busybox:test\nRUN echo begun; sleep 600\n")) as screen:
        screen.until("=> => # begun")
        screen.interrupt()
        assert screen.wait() == 130
        assert screen.seen.rstrip().endswith(b"\x1b[?25h") or screen.seen.rfind(
            b"\x1b[?25h"
        ) > screen.seen.rfind(b"\x1b[?25l"), "the cursor is seen again"
    engines.until(lambda: not any("sleep" in engines._cmdline(pid) for pid in engines.processes(engine)))


def test_which_display(engine: engines.Engine, tmp_path: Path) -> None:
    path = written(tmp_path, "FROM busybox:test\nRUN echo shown\n")
    done = engine.run("onggi", "build", "--progress", "tty", str(path), check=False)
    assert done.returncode == 1 and "--progress=tty: standard error is not a terminal" in done.stderr
    done = engine.run("onggi", "build", "--progress", "loud", str(path), check=False)
    assert 'invalid progress "loud": one of auto, plain, tty, quiet, rawjson' in done.stderr
    with build(engine, path, BUILDKIT_PROGRESS="plain") as screen:
        assert screen.wait() == 0
        assert "#1 [1/2] FROM" in "\n".join(screen.lines())
    with build(engine, path, BUILDKIT_PROGRESS="quiet") as screen:
        assert screen.wait() == 0
        assert re.fullmatch(r"\s*sha256:[0-9a-f]{64}\s*", "".join(screen.lines()))
    with build(engine, path, TERM="dumb") as screen:
        assert screen.wait() == 0
        assert "\x1b" not in screen.seen.decode() and "#2 CACHED" in "\n".join(screen.lines())
    with build(engine, path, BUILDKIT_PROGRESS="rawjson") as screen:
        assert screen.wait() == 0
    colors = "run=green:error=light-red:bad=1:cancel=300,1,1"
    with build(engine, path, BUILDKIT_COLORS=colors) as screen:
        assert screen.wait() == 0
        assert "32" in screen.grid.colors and "34" not in screen.grid.colors


@pytest.mark.parametrize("client", ["onggi", "docker"])
def test_a_quiet_build_that_fails_says_why(engine: engines.Engine, tmp_path: Path, client: str) -> None:
    written(tmp_path, "FROM busybox:test\nRUN echo the reason; exit 9\n")
    done = engine.run(client, "build", "-q", "--no-cache", str(tmp_path), check=False)
    assert done.returncode == 9 and done.stdout == ""
    assert "the reason\n" in done.stderr
    written(tmp_path, "FROM busybox:test\nRUN echo no reason\n")
    done = engine.run(client, "build", "-q", "--no-cache", str(tmp_path))
    assert re.fullmatch("sha256:[0-9a-f]{64}\n", done.stdout) and "no reason" not in done.stderr


def test_the_same_words_as_buildx(engine: engines.Engine, tmp_path: Path) -> None:
    """The end of a failed build, after the steps: what a client of BuildKit's prints of the same build."""
    buildx.need()
    context = tmp_path / "context"
    context.mkdir()
    text = "FROM busybox:test\nRUN echo one; echo two >&2; exit 9\nRUN echo never\n"
    written(context, text)
    theirs = buildx.buildx(engine, context, "build", "--progress", "plain", "--no-cache", ".", fails=True)
    ours = engine.run("onggi", "build", "--no-cache", str(context), check=False).stderr

    def end(told: str) -> list[str]:
        found = told[told.index("------\n > ") :].splitlines()
        found = [re.sub(r"^\d+\.\d{3} ", "T ", line.rstrip()) for line in found]
        ours_alone = ("The failed step is kept", "View build", "T onggi: ")
        kept = [line for line in found if not line.startswith(ours_alone)]
        # What the step said came by two pipes, which have no order.
        return sorted(kept, key=lambda line: line if line.startswith("T ") else "")

    assert end(ours) == end(theirs)


def test_raw_statuses_are_lines_of_json(engine: engines.Engine) -> None:
    done = engine.run(
        "onggi", "build", "--progress", "rawjson", "-", stdin=b"FROM busybox:test\nRUN echo raw 2\n"
    )
    assert all(set(json.loads(line)) <= {"vertexes", "logs", "statuses"} for line in done.stderr.splitlines())
