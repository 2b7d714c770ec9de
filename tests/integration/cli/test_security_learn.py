"""run --security-learn: the same container runs under what was learned, and nothing else does."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests import engines
from tests.engines import BUSYBOX, Engine

pytestmark = pytest.mark.root


def learn(engine: Engine, target: Path, *words: str, flags: tuple[str, ...] = ()) -> list[str]:
    """Learn from one run; the flags of the next."""
    done = engine.run(
        "onggi", "run", "--rm", "--network", "none", "--security-learn", str(target), *flags, BUSYBOX, *words
    )
    said = done.stderr.strip().splitlines()[-2:]
    assert said[0] == "To run it with nothing else:"
    return said[1].split()[:-1]


def again(engine: Engine, flags: list[str], *words: str) -> subprocess.CompletedProcess[str]:
    return engine.run("onggi", "run", "--rm", "--network", "none", *flags, BUSYBOX, *words, check=False)


def names(path: Path) -> set[str]:
    profile = json.loads(path.read_text())
    return {name for rule in profile["syscalls"] for name in rule["names"]}


def test_the_same_runs_under_it_and_another_does_not(onggi: Engine, tmp_path: Path) -> None:
    profile = tmp_path / "echo.json"
    words = ("sh", "-c", "echo hello; ls / > /dev/null")
    flags = learn(onggi, profile, *words)
    assert flags == ["--security-opt", f"seccomp={profile}", "--cap-drop", "ALL", "--read-only"]
    done = again(onggi, flags, *words)
    assert (done.returncode, done.stdout) == (0, "hello\n"), done.stderr
    assert len(names(profile)) < 80
    assert {"execve", "write", "exit_group", "rt_sigreturn"} <= names(profile)
    assert not {"mount", "socket", "mkdir", "mkdirat", "chown", "ptrace"} & names(profile)
    assert again(onggi, flags, "mkdir", "/dev/shm/x").returncode != 0
    assert again(onggi, flags, "nc", "-l", "-p", "80").returncode != 0


@pytest.mark.parametrize(
    ("script", "wanted"),
    [
        ("echo x > /tmp/x; chown 1000 /tmp/x", {"CHOWN"}),
        ("chown 1000 /tmp; chown 1000 /home; echo x > /home/new", {"CHOWN", "DAC_OVERRIDE"}),
        ("chown 1000 /data; chmod 700 /data", {"CHOWN", "FOWNER"}),
        ("chroot / true", {"SYS_CHROOT"}),
        ("mknod /tmp/null c 1 3", {"MKNOD"}),
        ("su app -s /bin/sh -c 'id -u'", {"SETUID", "SETGID"}),
        ("id; cat /etc/passwd; ls -l /data", set()),
    ],
)
def test_capabilities(onggi: Engine, tmp_path: Path, script: str, wanted: set[str]) -> None:
    flags = learn(onggi, tmp_path, "sh", "-ec", script)
    document = json.loads((tmp_path / "learned.json").read_text())
    assert set(document["Capabilities"]) == wanted
    done = again(onggi, flags, "sh", "-ec", script)
    assert done.returncode == 0, (flags, done.stderr)
    for name in wanted:  # each is needed
        fewer = list(flags)
        at = fewer.index(name)
        del fewer[at - 1 : at + 1]
        assert again(onggi, fewer, "sh", "-ec", script).returncode != 0, name


def test_an_ordinary_user_needs_none(onggi: Engine, tmp_path: Path) -> None:
    flags = learn(onggi, tmp_path, "sh", "-c", "cat /etc/shadow; id", flags=("-u", "app"))
    assert json.loads((tmp_path / "learned.json").read_text())["Capabilities"] == []
    assert again(onggi, ["-u", "app", *flags], "id", "-u").stdout == "1000\n"


def test_where_it_writes(onggi: Engine, tmp_path: Path) -> None:
    script = "echo x > /tmp/x; mkdir -p /var/lib/app; echo x > /var/lib/app/y; rm /data/* 2>/dev/null; true"
    flags = learn(onggi, tmp_path / "p.json", "sh", "-c", script)
    assert flags[flags.index("--read-only") :] == ["--read-only", "--tmpfs", "/tmp", "-v", "/var/lib/app"]
    assert again(onggi, flags, "sh", "-c", script).returncode == 0


def test_several_processes_signals_and_a_failure(onggi: Engine, tmp_path: Path) -> None:
    """The exit code is the container's; children are followed; it is not slow beyond use."""
    script = "for i in 1 2 3 4 5; do (sleep 0.01; echo $i) & done; wait; trap 'exit 9' TERM; kill $$; sleep 5"
    flags = ("--network", "none", "--security-learn", str(tmp_path / "x.json"))
    done = onggi.run("onggi", "run", *flags, BUSYBOX, "sh", "-c", script, check=False)
    assert done.returncode == 9
    assert sorted(done.stdout.split()) == ["1", "2", "3", "4", "5"]
    onggi.remove_all()


def test_what_is_refused(onggi: Engine, tmp_path: Path) -> None:
    target = ("--security-learn", str(tmp_path / "x.json"))
    done = onggi.run("onggi", "run", "-d", *target, BUSYBOX, "true", check=False)
    assert "cannot specify both --security-learn and --detach" in done.stderr
    done = onggi.run("onggi", "run", "--privileged", *target, BUSYBOX, "true", check=False)
    assert "--security-learn needs a seccomp policy to begin with" in done.stderr
    onggi.remove_all()


def test_with_a_user_namespace_and_a_profile_of_ones_own(onggi: Engine, tmp_path: Path) -> None:
    own = tmp_path / "own.json"
    deny = {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}
    own.write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [deny]}))
    extra = ("--userns", "auto", "--security-opt", f"seccomp={own}")
    flags = learn(onggi, tmp_path / "x.json", "sh", "-c", "mkdir /tmp/x; echo in", flags=extra)
    profile = json.loads((tmp_path / "x.json").read_text())
    assert profile["defaultAction"] == "SCMP_ACT_ERRNO"
    done = again(onggi, ["--userns", "auto", *flags], "echo", "in")
    assert done.stdout == "in\n", done.stderr


def test_no_supervisor_is_left(onggi: Engine, tmp_path: Path) -> None:
    before = set(supervisors(onggi))
    learn(onggi, tmp_path / "x.json", "true")
    engines.until(lambda: set(supervisors(onggi)) <= before)


def supervisors(engine: Engine) -> list[int]:
    return [int(pid) for pid in engines.processes(engine)]
