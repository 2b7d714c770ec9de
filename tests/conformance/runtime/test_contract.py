# ruff: noqa: E501
"""One suite for runc and onggi-runtime: the same bundles, the same results. A test that runc fails is wrong."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.engines import until

SRC = Path(__file__).parents[3] / "src"
pytestmark = [pytest.mark.root, pytest.mark.peer]


class Runtime:
    def __init__(self, command: list[str], bundle: Path, name: str) -> None:
        self.command = command
        self.bundle = bundle
        self.id = f"contract-{name}-{os.getpid()}"

    def __call__(self, *words: str, ok: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [*self.command, *words],
            cwd=self.bundle,
            capture_output=True,
            text=True,
            timeout=60,
            stdin=subprocess.DEVNULL,
        )
        assert not ok or done.returncode == 0, done.stderr
        return done

    def config(self, *args: str, **changes: Any) -> dict[str, Any]:
        document = json.loads((self.bundle / "base.json").read_text())
        document["process"]["args"] = list(args)
        document["process"]["terminal"] = False
        document["linux"]["cgroupsPath"] = f"/onggi-contract/{self.id}"
        for key, value in changes.items():
            document[key].update(value)
        (self.bundle / "config.json").write_text(json.dumps(document))
        return document

    def start(self) -> None:
        # create's stdio is the container's: a pipe of ours would stay open
        with open(self.bundle / "out", "wb") as out:
            subprocess.run([*self.command, "create", self.id], cwd=self.bundle, stdin=subprocess.DEVNULL, stdout=out,
                           stderr=out, check=True, timeout=60)  # fmt: skip
        self("start", self.id)

    def state(self) -> dict[str, Any]:
        return json.loads(self("state", self.id).stdout)

    def until(self, status: str) -> None:
        deadline = time.monotonic() + 30
        while self.state()["status"] != status:
            assert time.monotonic() < deadline, self.state()
            time.sleep(0.01)


@pytest.fixture(params=["runc", "onggi"])
def runtime(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Runtime]:
    busybox = shutil.which("busybox")
    if busybox is None or (request.param == "runc" and shutil.which("runc") is None):
        pytest.skip("needs runc and busybox-static from Debian")
    binaries = tmp_path / "rootfs" / "bin"
    binaries.mkdir(parents=True)
    shutil.copy(busybox, binaries / "busybox")
    for name in ("sh", "id", "cat", "sleep", "echo", "true", "grep", "mkdir", "kill"):
        (binaries / name).symlink_to("busybox")
    launcher = tmp_path / "onggi-runtime"
    launcher.write_text(
        f"#!{os.path.realpath(sys.executable)} -IS\nimport sys\nsys.path.insert(0, {str(SRC)!r})\n"
        "from onggi.runtime.command import main\nsys.exit(main())\n"
    )
    launcher.chmod(0o755)
    program = "runc" if request.param == "runc" else str(launcher)
    found = Runtime([program, "--root", str(tmp_path / "state")], tmp_path, request.param)
    subprocess.run(["runc", "spec"], cwd=tmp_path, check=True)
    (tmp_path / "config.json").rename(tmp_path / "base.json")
    yield found
    found("delete", "--force", found.id, ok=False)
    for parent in Path("/sys/fs/cgroup").glob("*/onggi-contract"):
        for inner in parent.iterdir():
            if inner.is_dir():
                assert found.id not in inner.name, f"left behind: {inner}"
        try:
            parent.rmdir()
        except OSError:
            pass  # another test's container is in it


def test_run_gives_the_exit_code_and_output(runtime: Runtime) -> None:
    runtime.config("sh", "-c", "echo $$; exit 42")
    done = runtime("run", runtime.id, ok=False)
    assert (done.returncode, done.stdout) == (42, "1\n")
    assert "does not exist" in runtime("state", runtime.id, ok=False).stderr


def test_a_signal_ends_with_128_and_its_number(runtime: Runtime) -> None:
    runtime.config("sh", "-c", "kill -USR1 $$; trap 'exit 7' TERM; sleep 0; exit 3")
    assert runtime("run", runtime.id, ok=False).returncode == 3  # pid 1 ignores what it does not handle


def test_life(runtime: Runtime) -> None:
    runtime.config("sleep", "1000")
    runtime.start()
    state = runtime.state()
    assert state["status"] == "running" and state["id"] == runtime.id and state["pid"] > 0
    assert state["bundle"] == str(runtime.bundle)
    assert runtime("start", runtime.id, ok=False).returncode == 1
    refused = runtime("delete", runtime.id, ok=False)
    assert refused.returncode == 1 and "that is not stopped: running" in refused.stderr
    runtime("kill", runtime.id, "KILL")
    runtime.until("stopped")
    assert "container not running" in runtime("kill", runtime.id, "TERM", ok=False).stderr
    runtime("delete", runtime.id)
    assert runtime("delete", runtime.id, ok=False).returncode == 1
    runtime("delete", "--force", runtime.id)


def test_create_waits(runtime: Runtime) -> None:
    runtime.config("sh", "-c", "echo ran > /tmp-marker; sleep 1000", root={"readonly": False})
    marker = runtime.bundle / "rootfs" / "tmp-marker"
    with open(runtime.bundle / "out", "wb") as out:
        subprocess.run([*runtime.command, "create", "--pid-file", "pid", runtime.id], cwd=runtime.bundle, check=True,
                       stdin=subprocess.DEVNULL, stdout=out, stderr=out)  # fmt: skip
    assert runtime.state()["status"] == "created"
    assert int((runtime.bundle / "pid").read_text()) == runtime.state()["pid"]
    assert not marker.exists()
    assert runtime("create", runtime.id, ok=False).returncode == 1
    runtime("start", runtime.id)
    until(marker.exists)


def test_exec(runtime: Runtime) -> None:
    runtime.config("sleep", "1000")
    runtime.start()
    shown = runtime(
        "exec",
        "-u",
        "1000:1001",
        "-e",
        "A=b",
        "--cwd",
        "/bin",
        runtime.id,
        "sh",
        "-c",
        "id -u; id -g; echo $A; pwd",
    )
    assert shown.stdout.split() == ["1000", "1001", "b", "/bin"]
    assert runtime("exec", runtime.id, "sh", "-c", "exit 9", ok=False).returncode == 9
    missing = runtime("exec", runtime.id, "nosuch", ok=False)
    assert missing.returncode == 255 and "executable file not found in $PATH" in missing.stderr
    runtime("pause", runtime.id)
    assert runtime.state()["status"] == "paused"
    assert "paused" in runtime("exec", runtime.id, "true", ok=False).stderr
    runtime("resume", runtime.id)
    assert runtime.state()["status"] == "running"
    assert json.loads(runtime("ps", "--format", "json", runtime.id).stdout) == [runtime.state()["pid"]]


def test_what_the_process_sees(runtime: Runtime) -> None:
    document = runtime.config(
        "sh", "-c", "grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status; cat /proc/self/mountinfo | sort"
    )
    document["linux"]["seccomp"] = {
        "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95}],
    }  # fmt: skip
    (runtime.bundle / "config.json").write_text(json.dumps(document))
    lines = runtime("run", runtime.id).stdout.splitlines()
    facts = dict(line.split(":\t") for line in lines if ":\t" in line)
    assert facts == {
        "CapInh": "0000000000000000", "CapPrm": "0000000020000420", "CapEff": "0000000020000420",
        "CapBnd": "0000000020000420", "CapAmb": facts["CapAmb"], "NoNewPrivs": "1", "Seccomp": "2",
    }  # fmt: skip
    targets = {line.split()[4] for line in lines if " - " in line}
    assert {
        "/",
        "/proc",
        "/dev",
        "/dev/pts",
        "/dev/shm",
        "/dev/mqueue",
        "/sys",
        "/proc/bus",
        "/proc/sys",
    } <= targets
    document["process"]["args"] = ["mkdir", "/dev/shm/x"]
    (runtime.bundle / "config.json").write_text(json.dumps(document))
    assert "not supported" in runtime("run", runtime.id, ok=False).stderr.lower()


LIMITS_V1 = (
    "memory/{}/memory.limit_in_bytes", "pids/{}/pids.max", "cpu/{}/cpu.shares", "cpu/{}/cpu.cfs_quota_us",
)  # fmt: skip
LIMITS_V2 = ("{}/memory.max", "{}/pids.max", "{}/cpu.weight", "{}/cpu.max")


def test_limits_and_update(runtime: Runtime) -> None:
    document = runtime.config("sleep", "1000")
    document["linux"]["resources"].update(
        {
            "memory": {"limit": 64 << 20},
            "pids": {"limit": 40},
            "cpu": {"shares": 512, "quota": 50000, "period": 100000},
        }
    )
    (runtime.bundle / "config.json").write_text(json.dumps(document))
    runtime.start()
    path = f"onggi-contract/{runtime.id}"
    v1 = Path("/sys/fs/cgroup/memory").is_dir()
    files = LIMITS_V1 if v1 else LIMITS_V2

    def limits() -> list[str]:
        return [Path(f"/sys/fs/cgroup/{file.format(path)}").read_text().strip() for file in files]

    # The weight of 512 shares: 1 + (512 - 2) * 9999 / 262142, as runc and the kernel's documentation have it.
    assert limits() == [str(64 << 20), "40", *(["512", "50000"] if v1 else ["20", "50000 100000"])]
    if v1:
        devices = Path(f"/sys/fs/cgroup/devices/{path}/devices.list").read_text().split("\n")
        assert {"c 1:3 rwm", "c 136:* rwm", "b *:* m"} <= set(devices) and "a *:* rwm" not in devices
    runtime("update", "--memory", "96m", "--pids-limit", "50", "--cpu-quota", "60000", runtime.id)
    assert limits() == [str(96 << 20), "50", *(["512", "60000"] if v1 else ["20", "60000 100000"])]

    def figures() -> dict[str, Any]:
        return json.loads(runtime("events", "--stats", runtime.id).stdout)["data"]

    until(lambda: figures()["pids"]["current"] == 1)  # runc's own threads go with its execve
    assert figures()["memory"]["usage"]["limit"] == 96 << 20


def test_hooks_run_in_order(runtime: Runtime) -> None:
    log = runtime.bundle / "hooks"
    kinds = ["createRuntime", "createContainer", "startContainer", "poststart", "poststop"]
    hook = {"path": "/bin/sh"}
    document = runtime.config("sleep", "1000")
    document["hooks"] = {
        kind: [{**hook, "args": ["sh", "-c", f"echo {kind} >> {log}"]}]
        for kind in kinds
        if kind != "startContainer"
    }
    (runtime.bundle / "config.json").write_text(json.dumps(document))
    runtime.start()
    runtime("delete", "--force", runtime.id)
    assert log.read_text().split() == [kind for kind in kinds if kind != "startContainer"]


@pytest.mark.parametrize(
    "verb", ["start", "state", "kill", "delete", "pause", "resume", "exec", "ps", "events", "update"]
)
def test_a_container_that_does_not_exist(runtime: Runtime, verb: str) -> None:
    done = runtime(verb, "nosuch", *(["true"] if verb == "exec" else []), ok=False)
    assert done.returncode != 0 and "does not exist" in done.stderr


@pytest.mark.parametrize(("uid", "home"), [(0, "/root"), (1000, "/home/ana"), (4711, "/")])
def test_a_process_without_home_gets_the_one_of_its_user(runtime: Runtime, uid: int, home: str) -> None:
    etc = runtime.bundle / "rootfs/etc"
    etc.mkdir(exist_ok=True)
    (etc / "passwd").write_text("root:x:0:0::/root:/bin/sh\nana:x:1000:1000::/home/ana:/bin/sh\n")
    runtime.config(
        "/bin/sh", "-c", "echo $HOME", process={"user": {"uid": uid, "gid": 0}, "env": ["PATH=/bin"]}
    )
    assert runtime("run", runtime.id).stdout == f"{home}\n"
    runtime.config("/bin/sh", "-c", "echo $HOME", process={"env": ["PATH=/bin", "HOME=/given"]})
    assert runtime("run", runtime.id).stdout == "/given\n"


def test_a_passwd_that_is_no_file_is_not_waited_for(runtime: Runtime) -> None:
    etc = runtime.bundle / "rootfs/etc"
    etc.mkdir(exist_ok=True)
    (etc / "passwd").unlink(missing_ok=True)
    os.mkfifo(etc / "passwd")
    runtime.config("/bin/sh", "-c", "echo $HOME", process={"env": ["PATH=/bin"]})
    if runtime.command[0] == "runc":
        pytest.skip("runc opens the fifo and waits for a writer")
    assert runtime("run", runtime.id).stdout == "/\n"
