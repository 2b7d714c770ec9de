"""What users do with containers, the same with each runtime; first on dockerd."""

from __future__ import annotations

import fcntl
import io
import json
import os
import struct
import subprocess
import tarfile
import termios
import time
from pathlib import Path

import pytest

from tests import engines
from tests.conformance.pairs import IMAGE
from tests.conformance.runtimes.conftest import Under

APPARMOR = "/sys/module/apparmor/parameters/enabled"
pytestmark = [pytest.mark.root, pytest.mark.peer, pytest.mark.slow]


def test_output_exit_code_and_input(under: Under) -> None:
    assert under.once("echo", "hello") == "hello"
    run = ["run", "--rm", "-i", *under.options(), IMAGE, "sh", "-c"]
    done = under.engine.run(under.client, *run, "echo out; echo err >&2; exit 42", check=False)
    assert (done.returncode, done.stdout, done.stderr) == (42, "out\n", "err\n")
    assert under.once("wc", "-c", flags=("-i",), stdin=b"x" * 100_000) == "100000"
    assert under("ps", "-aq") == ""


def test_inspect_names_the_runtime(under: Under) -> None:
    name = under("create", *under.options(), IMAGE)
    assert under.inspect(name, "{{.HostConfig.Runtime}}") == under.runtime


def test_what_cannot_be_executed(under: Under) -> None:
    run = ["run", "--rm", *under.options(), IMAGE]
    code, why = under.fails(*run, "nosuchprogram")
    if under.engine.kind == "dockerd" and under.runtime in ("crun", "runsc"):
        assert "nosuchprogram" in why  # dockerd passes on what they say, and clients do not find their words
        return
    assert code == 127
    assert "executable file not found in $PATH" in why
    assert under.fails(*run, "/no/such/program")[0] == 127
    code, why = under.fails(*run, "/etc")
    assert code == 126
    assert "permission denied" in why


def test_user_directory_environment_hostname(under: Under) -> None:
    flags = ("-u", "app", "-w", "/tmp", "-e", "A=b", "-h", "box")
    said = under.once("sh", "-c", "id -u; id -G; pwd; echo $A $HOME; hostname", flags=flags)
    assert said.split() == ["1000", "1000", "2000", "/tmp", "b", "/home/app", "box"]


def test_init(under: Under) -> None:
    said = under.once("cat", "/proc/1/cmdline", flags=("--init",)) if under.engine.kind == "onggi" else "init"
    assert "init" in said


def test_terminal_and_its_size(under: Under) -> None:
    body = {
        "Image": IMAGE, "Tty": True, "Cmd": ["sh", "-c", "while :; do stty size; sleep 0.1; done"],
        "HostConfig": {"Runtime": under.runtime, "NetworkMode": "none"},
    }  # fmt: skip
    name = under.engine.api("POST", "/containers/create", body)["Id"]
    under.engine.api("POST", f"/containers/{name}/start")
    under.engine.api("POST", f"/containers/{name}/resize?h=33&w=99")
    under.until("33 99", "logs", name)
    exec_id = under.engine.api(
        "POST", f"/containers/{name}/exec", {"Tty": True, "AttachStdout": True, "Cmd": ["test", "-t", "1"]}
    )["Id"]
    status, said = under.engine.request("POST", f"/exec/{exec_id}/start", {"Tty": True})
    assert (status, said) == (200, b"")
    if under.engine.kind == "dockerd":  # it learns of the end after the client
        engines.until(lambda: not under.engine.api("GET", f"/exec/{exec_id}/json")["Running"])
    assert under.engine.api("GET", f"/exec/{exec_id}/json")["ExitCode"] == 0


def test_a_user_at_a_terminal(under: Under) -> None:
    program = str(engines.ONGGI) if under.client == "onggi" else "docker"
    master, slave = os.openpty()
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", 31, 87, 0, 0))
    # the size comes after the start
    script = "until stty size 2>/dev/null | grep -q '^[1-9]'; do sleep 0.1; done; "
    script += "read w; stty size; echo $w; exit 9"
    client = subprocess.Popen(
        [program, "run", "-it", "--rm", *under.options(), IMAGE, "sh", "-c", script],
        stdin=slave, stdout=slave, stderr=slave, env={**os.environ, "DOCKER_HOST": under.engine.host},
        start_new_session=True,
    )  # fmt: skip
    os.close(slave)
    under.until("running", "ps", "--format", "{{.State}}")
    os.write(master, b"typed\n")
    said = b""
    try:
        while data := os.read(master, 4096):
            said += data
    except OSError:  # EIO: nobody has the other end any more (pty(7))
        pass
    os.close(master)
    assert client.wait(60) == 9
    assert said.split()[-3:] == [b"31", b"87", b"typed"]


def test_stop_kill_and_wait(under: Under) -> None:
    loop = "trap 'echo bye; exit 3' TERM; trap 'echo usr' USR1; echo up; while :; do sleep 0.1; done"
    name = under.behind("sh", "-c", loop)
    under.until("up", "logs", name)
    under("kill", "-s", "USR1", name)
    under.until("usr", "logs", name)
    under("stop", name)
    assert under.exit_of(name) == 3
    assert under("logs", name).split() == ["up", "usr", "bye"]
    under("start", name)
    under.until("bye\nup", "logs", name)
    under("kill", name)
    assert under.exit_of(name) == 137
    name = under.behind("sleep", "1000")
    under("stop", "-t", "1", name)
    # Linux keeps from pid 1 the signals that it has no handler for (pid_namespaces(7)); gVisor does not.
    assert under.exit_of(name) == (143 if under.runtime == "runsc" else 137)


def test_restart_and_its_policy(under: Under) -> None:
    name = under.behind("sh", "-c", "echo once; exit 5", flags=("--restart", "on-failure:2"))
    under.until("exited-2", "inspect", "-f", "{{.State.Status}}-{{.RestartCount}}", name)
    assert under.inspect(name, "{{.State.ExitCode}} {{.RestartCount}}") == "5 2"
    assert under("logs", name).split() == ["once"] * 3
    name = under.behind("sleep", "1000")
    before = under.inspect(name, "{{.State.Pid}}")
    under("restart", "-t", "0", name)
    assert under.inspect(name, "{{.State.Running}}") == "true"
    assert under.inspect(name, "{{.State.Pid}}") != before


def test_pause(under: Under) -> None:
    name = under.behind("sh", "-c", "while :; do echo x; sleep 0.05; done")
    under.until("x", "logs", name)
    under("pause", name)
    assert under.inspect(name, "{{.State.Status}}") == "paused"

    def still() -> bool:
        """Nothing comes any more, once what was on its way has arrived."""
        before = under("logs", name)
        time.sleep(0.5)
        return under("logs", name) == before

    engines.until(still)
    before = under("logs", name)
    under("unpause", name)
    under.until(before + "\nx", "logs", name)
    under("pause", name)
    if (under.engine.kind, under.runtime) == ("dockerd", "runsc"):
        under("unpause", name)  # dockerd 20.10 does not always hear of the end of gVisor's sandbox otherwise
    under("kill", name)
    assert under.exit_of(name) == 137


def test_exec(under: Under) -> None:
    name = under.behind("sleep", "1000")
    said = under("exec", "-u", "app", "-w", "/tmp", "-e", "A=b", name, "sh", "-c", "id -u; pwd; echo $A")
    assert said.split() == ["1000", "/tmp", "b"]
    assert under("exec", "-i", name, "wc", "-c", stdin=b"y" * 70_000) == "70000"
    assert under.status("exec", name, "sh", "-c", "exit 5") == 5
    assert under.status("exec", name, "sh", "-c", "kill -9 $$") == 137
    under("exec", "-d", name, "sh", "-c", "echo done >/tmp/mark")
    under.until("done", "exec", name, "sh", "-c", "cat /tmp/mark 2>/dev/null || true")
    if under.engine.kind == "onggi":
        code, why = under.fails("exec", name, "nosuchprogram")
        assert code in (126, 127)
        assert "executable file not found in $PATH" in why


def test_attach_and_logs(under: Under) -> None:
    script = "read line; echo got $line >&2; exit 4"
    name = under("create", "-i", *under.options(), IMAGE, "sh", "-c", script)
    done = under.engine.run(under.client, "start", "-a", "-i", name, stdin=b"words\n", check=False)
    assert (done.returncode, done.stderr) == (4, "got words\n")
    assert under.engine.run(under.client, "logs", name).stderr == "got words\n"


def test_top_and_stats(under: Under) -> None:
    name = under.behind("sleep", "1000")
    if under.runtime == "runsc" and under.engine.kind == "dockerd":
        pytest.skip("dockerd looks for the sandbox's pids in the host's ps")
    under.until("sleep", "top", name)
    found = under.engine.api("GET", f"/containers/{name}/stats?stream=0")
    assert found["memory_stats"]["usage"] > 0
    assert found["pids_stats"]["current"] > 0


def test_limits_and_their_update(under: Under) -> None:
    name = under.behind("sleep", "1000", flags=("--memory", "96m", "--pids-limit", "200"))
    assert under.engine.api("GET", f"/containers/{name}/stats?stream=0")["memory_stats"]["limit"] == 96 << 20
    if under.runtime == "runsc" and under.engine.kind == "dockerd":
        pytest.skip("this runsc has no update")
    under("update", "--memory", "128m", "--memory-swap", "-1", name)
    assert under.engine.api("GET", f"/containers/{name}/stats?stream=0")["memory_stats"]["limit"] == 128 << 20


def test_out_of_memory(under: Under) -> None:
    under.lacks("runsc", "its sentry is killed and says so in its log; no exit code of the process")
    name = under.behind("sh", "-c", "tail -c 200m /dev/zero | tail", flags=("--memory", "16m"))
    under.exit_of(name)
    if under.engine.kind == "dockerd":  # it hears of that from containerd, sooner or later
        under.until("true", "inspect", "-f", "{{.State.OOMKilled}}", name)
    assert under.inspect(name, "{{.State.OOMKilled}}") == "true"


def small_tar(name: str, content: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        info = tarfile.TarInfo(name)
        info.size = len(content)
        tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


def test_files_in_and_out(under: Under, tmp_path: Path) -> None:
    name = under.behind(
        "sh", "-c", "echo inside >/home/made; sync; echo up; sleep 1000", flags=("-v", "/volume")
    )
    under.until("up", "logs", name)
    under("cp", f"{name}:/home/made", str(tmp_path / "out"))
    assert (tmp_path / "out").read_text() == "inside\n"
    (tmp_path / "in").write_text("outside\n")
    under("cp", str(tmp_path / "in"), f"{name}:/home/fresh")
    under("cp", str(tmp_path / "in"), f"{name}:/volume/fresh")
    assert under("exec", name, "cat", "/home/fresh", "/volume/fresh").split() == ["outside"] * 2
    assert "A /home/made" in under("diff", name)
    under("commit", name, f"kept-{under.runtime}")
    said = under("run", "--rm", *under.options(), f"kept-{under.runtime}", "cat", "/home/made", "/home/fresh")
    assert said.split() == ["inside", "outside"]
    under("rmi", f"kept-{under.runtime}")


def test_health(under: Under) -> None:
    flags = ("--health-cmd", "test -e /tmp/well", "--health-interval", "300ms", "--health-retries", "1")
    name = under.behind("sleep", "1000", flags=flags)
    under.until("unhealthy", "inspect", "-f", "{{.State.Health.Status}}", name)
    under("exec", name, "touch", "/tmp/well")
    under.until("-healthy", "inspect", "-f", "-{{.State.Health.Status}}", name)


def test_volumes_and_binds(under: Under, tmp_path: Path) -> None:
    volume = f"kept-{under.runtime}"
    under.once("sh", "-c", "echo kept >/data/file", flags=("-v", f"{volume}:/data"))
    (tmp_path / "file").write_text("host\n")
    flags = ("-v", f"{volume}:/data", "-v", f"{tmp_path}:/bound:ro", "--tmpfs", "/scratch", "--read-only")
    script = (
        "cat /data/file /bound/file; touch /bound/x 2>/dev/null || echo read-only; "
        "touch /root/x 2>/dev/null || echo read-only; echo y >/scratch/y && echo y >/data/y && echo written"
    )
    assert under.once("sh", "-c", script, flags=flags).split() == [
        "kept", "host", "read-only", "read-only", "written",
    ]  # fmt: skip
    under("volume", "rm", volume)


def test_security(under: Under, tmp_path: Path) -> None:
    profile = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38}],
    }
    (tmp_path / "profile.json").write_text(json.dumps(profile))
    said = under.once("sh", "-c", "grep CapEff /proc/self/status", flags=("--cap-drop", "ALL"))
    assert int(said.split()[1], 16) == 0
    if under.runtime != "runsc" and Path(APPARMOR).exists() and Path(APPARMOR).read_text()[0] == "Y":
        assert "docker-default" in under.once("cat", "/proc/self/attr/current")
    default = int(under.once("grep", "CapEff", "/proc/self/status").split()[1], 16)
    assert default & 1 << 21 == 0  # CAP_SYS_ADMIN
    under.lacks("runsc", "it loads no seccomp filter of the document's (--oci-seccomp is off)")
    flags = ("--security-opt", f"seccomp={tmp_path}/profile.json")
    assert "not implemented" in under.once("sh", "-c", "mkdir /tmp/x 2>&1 || true", flags=flags).lower()
    assert under.once("sh", "-c", "grep Seccomp: /proc/self/status").split() == ["Seccomp:", "2"]
    masked = "cat /proc/keys | wc -c; touch /proc/sys/kernel/domainname 2>/dev/null || echo read-only"
    assert under.once("sh", "-c", masked).split() == ["0", "read-only"]


def test_unknown_name(under: Under) -> None:
    if under.engine.kind == "dockerd" or under.runtime != "runc":
        pytest.skip("one engine, once: 20.10 says it in other words")
    assert "unknown or invalid runtime name: x" in under.fails("run", "--runtime", "x", IMAGE)[1]


def test_info_lists_them(under: Under) -> None:
    found = under.engine.api("GET", "/info")
    assert under.runtime in found["Runtimes"]
    assert found["DefaultRuntime"] == ("runc" if under.engine.kind == "dockerd" else "onggi")
    if under.runtime == "runsc":
        assert found["Runtimes"]["runsc"] == {
            "path": "/usr/bin/runsc", "runtimeArgs": ["--network=host"], **{
                key: value for key, value in found["Runtimes"]["runsc"].items() if key == "status"
            },
        }  # fmt: skip
    assert engines.BUSYBOX == IMAGE
