"""The command on a terminal: raw mode, resizing, detach keys, signals; on a real dockerd through a real pty."""

# ruff: noqa: E501 (tables of cases)
from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import engines

pytestmark = [pytest.mark.root, pytest.mark.peer]
SRC = Path(__file__).parents[3] / "src"
LAUNCH = f"import sys; sys.path.insert(0, {str(SRC)!r}); sys.argv[0] = 'onggi'; from onggi.cli.main import main; main()"


class Screen:
    """`onggi` on a terminal of its own."""

    def __init__(self, engine: engines.Engine, *args: str) -> None:
        self.master, slave = pty.openpty()
        self.resize(30, 90)
        self.mode = termios.tcgetattr(slave)
        self.seen = b""
        self.slave = slave
        self.process = subprocess.Popen(
            [sys.executable, "-IS", "-c", LAUNCH, *args],
            stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
            env={**os.environ, "DOCKER_HOST": engine.host, "TERM": "xterm"},
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )  # fmt: skip

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, text: bytes) -> None:
        os.write(self.master, text)

    def until(self, wanted: bytes, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while wanted not in self.seen:
            assert time.monotonic() < deadline, f"wanted {wanted!r}, saw {self.seen!r}"
            if select.select([self.master], [], [], 0.2)[0]:
                self.seen += os.read(self.master, 4096)

    def wait(self) -> int:
        return self.process.wait(timeout=60)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.master)
        os.close(self.slave)


@pytest.fixture
def names(dockerd: engines.Engine) -> Iterator[list[str]]:
    made: list[str] = []
    yield made
    for name in made:
        dockerd.run("docker", "rm", "-f", name, check=False)


def test_a_shell_on_a_terminal(dockerd: engines.Engine) -> None:
    screen = Screen(dockerd, "run", "-it", "--rm", "--network", "none", engines.BUSYBOX, "sh")
    try:
        screen.until(b"# ")
        screen.type(b"stty size; echo a$((1+1))b\r")
        screen.until(b"a2b")
        assert b"30 90" in screen.seen
        screen.resize(40, 100)
        os.killpg(screen.process.pid, signal.SIGWINCH)
        deadline = time.monotonic() + 60
        while b"40 100" not in screen.seen:
            assert time.monotonic() < deadline, screen.seen
            screen.type(b"stty size; echo next$((3+4))\r")
            screen.until(b"next7")
            screen.seen = screen.seen.replace(b"next7", b"")
        screen.type(b"exit 9\r")
        assert screen.wait() == 9
        assert termios.tcgetattr(screen.slave) == screen.mode
    finally:
        screen.close()


def test_ctrl_c_reaches_the_process_and_not_the_command(dockerd: engines.Engine) -> None:
    script = "trap 'echo caught; exit 4' INT; echo ready; while :; do sleep 0.1; done"
    screen = Screen(dockerd, "run", "-it", "--rm", "--network", "none", engines.BUSYBOX, "sh", "-c", script)
    try:
        screen.until(b"ready")
        screen.type(b"\x03")
        screen.until(b"caught")
        assert screen.wait() == 4
    finally:
        screen.close()


@pytest.mark.parametrize(("flags", "keys"), [((), b"\x10\x11"), (("--detach-keys", "ctrl-x,x"), b"\x18x")])
def test_detach_keys_leave_it_running(
    dockerd: engines.Engine, names: list[str], flags: tuple[str, ...], keys: bytes
) -> None:
    name = f"detach{len(keys)}{len(flags)}"
    names.append(name)
    screen = Screen(dockerd, "run", "-it", "--name", name, "--network", "none", *flags, engines.BUSYBOX, "sh")
    try:
        screen.until(b"# ")
        screen.type(keys)
        assert screen.wait() == 0
        assert termios.tcgetattr(screen.slave) == screen.mode
    finally:
        screen.close()
    assert dockerd.run("docker", "inspect", "-f", "{{.State.Running}}", name).stdout.strip() == "true"
    again = Screen(dockerd, "attach", name)
    try:
        again.type(b"echo b$((1+1))c; exit 5\r")
        again.until(b"b2c")
        assert again.wait() == 5
    finally:
        again.close()


def test_exec_on_a_terminal(dockerd: engines.Engine, names: list[str]) -> None:
    names.append("terminal")
    dockerd.run(
        "docker", "run", "-d", "--name", "terminal", "--network", "none", engines.BUSYBOX, "sleep", "1000"
    )
    screen = Screen(dockerd, "exec", "-it", "terminal", "sh")
    try:
        screen.until(b"# ")
        screen.type(b"stty size; tty; exit 6\r")
        screen.until(b"/dev/pts")
        assert b"30 90" in screen.seen
        assert screen.wait() == 6
    finally:
        screen.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1])
def test_signals_are_sent_on(dockerd: engines.Engine, number: signal.Signals) -> None:
    script = f"trap 'echo got; exit 7' {number.name[3:]}; echo ready; while :; do sleep 0.1; done"
    process = subprocess.Popen(
        [
            sys.executable,
            "-IS",
            "-c",
            LAUNCH,
            "run",
            "--rm",
            "--network",
            "none",
            engines.BUSYBOX,
            "sh",
            "-c",
            script,
        ],
        stdout=subprocess.PIPE,
        env={**os.environ, "DOCKER_HOST": dockerd.host},
    )
    assert process.stdout is not None
    with process:
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(number)
        assert process.stdout.read() == b"got\n"
        assert process.wait(timeout=60) == 7


def test_a_closed_pipe_ends_quietly(dockerd: engines.Engine, names: list[str]) -> None:
    names.append("endless")  # the client ends, the container does not
    words = f"run --rm --name endless --network none {engines.BUSYBOX} yes"
    command = f'{sys.executable} -IS -c "$LAUNCH" {words} | head -n 1'
    done = subprocess.run(
        ["sh", "-c", command], capture_output=True, timeout=60,
        env={**os.environ, "LAUNCH": LAUNCH, "DOCKER_HOST": dockerd.host},
    )  # fmt: skip
    assert (done.stdout, done.stderr) == (b"y\n", b"")


def test_colours_on_a_terminal_and_none_when_they_are_not_wanted(
    dockerd: engines.Engine, names: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    names.append("tinted")
    dockerd.docker("run", "-d", "--name", "tinted", "--network", "none", engines.BUSYBOX, "sleep", "1000")
    painted = (b"\x1b[32mUp", b"\x1b[1mIMAGE\x1b[0m", b"\x1b[30;106mU\x1b[0m", b"\x1b[31mError")
    commands = (("ps",), ("images", "--tree"), ("images", "--tree"), ("logs", "nosuch"))
    for unwanted in (False, True):
        if unwanted:
            monkeypatch.setenv("NO_COLOR", "1")
        for command, wanted in zip(commands, painted, strict=True):
            screen = Screen(dockerd, *command)
            try:
                screen.until(b"\n" if unwanted else wanted)
                screen.wait()
                assert not unwanted or b"\x1b" not in screen.seen
            finally:
                screen.close()
    piped = dockerd.run("onggi", "images", "--tree").stdout
    assert "\x1b" not in piped and piped.splitlines()[-1].endswith(" U")
