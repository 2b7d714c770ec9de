"""Two clients, two engines, one suite: what works with `docker` on dockerd works with each other pair.

A scenario is a function that drives one client against one engine and asserts what a user would see. A
scenario that fails on (docker, dockerd) is a wrong scenario.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import tarfile
import threading
import time
from pathlib import Path

import pytest

from tests import engines
from tests.conformance.pairs import IMAGE, Pair, client_env

pytestmark = [pytest.mark.root, pytest.mark.peer]


# --- run ----------------------------------------------------------------------------------------------


def test_run_prints_and_gives_the_exit_code(pair: Pair) -> None:
    assert pair("run", "--rm", "--network", "none", IMAGE, "echo", "hello") == "hello"
    assert pair.status("run", "--rm", "--network", "none", IMAGE, "sh", "-c", "exit 42") == 42
    assert (
        pair.status("run", "--rm", "--network", "none", IMAGE, "sh", "-c", "sh -c 'kill -9 $$'; exit $?")
        == 137
    )


def test_run_exit_codes_for_commands_that_cannot_start(pair: Pair) -> None:
    code, why = pair.fails("run", "--rm", "--network", "none", IMAGE, "/no/such/program")
    assert code == 127
    assert "no such file or directory" in why
    code, why = pair.fails("run", "--rm", "--network", "none", IMAGE, "nosuchprogram")
    assert code == 127
    assert "executable file not found in $PATH" in why
    code, why = pair.fails("run", "--rm", "--network", "none", IMAGE, "/etc")
    assert code == 126
    assert "permission denied" in why
    assert pair.fails("run", "--rm", "--nosuchflag", IMAGE)[0] == 125
    assert "PS1" not in pair("ps", "-a")


def test_run_stdin_stdout_stderr(pair: Pair) -> None:
    assert pair("run", "-i", "--rm", "--network", "none", IMAGE, "wc", "-c", stdin=b"x" * 100_000) == "100000"
    done = pair.engine.run(
        pair.client, "run", "--rm", "--network", "none", IMAGE, "sh", "-c", "echo out; echo err >&2"
    )
    assert (done.stdout, done.stderr) == ("out\n", "err\n")


def test_run_environment_workdir_user_hostname(pair: Pair, tmp_path: Path) -> None:
    env_file = tmp_path / "env"
    env_file.write_text("# a comment\nFROM_FILE=one two\n")
    flags = ["--rm", "--network", "none", "-e", "A=1", "--env-file", str(env_file)]
    assert pair("run", *flags, IMAGE, "sh", "-c", 'echo "$A $FROM_FILE"') == "1 one two"
    flags = ["--rm", "--network", "none"]
    assert pair("run", *flags, "-w", "/made/here", IMAGE, "pwd") == "/made/here"
    assert (
        pair("run", *flags, "-u", "app", IMAGE, "id")
        == "uid=1000(app) gid=1000(app) groups=1000(app),2000(extra)"
    )
    assert pair("run", *flags, "-u", "1234:5678", IMAGE, "sh", "-c", "id -u; id -g").split() == [
        "1234",
        "5678",
    ]
    assert "unable to find user nobody-here" in pair.fails("run", *flags, "-u", "nobody-here", IMAGE, "id")[1]
    assert pair("run", *flags, "-h", "jar", IMAGE, "hostname") == "jar"
    assert pair("run", *flags, "--entrypoint", "echo", IMAGE, "as", "entrypoint") == "as entrypoint"


def test_run_is_isolated(pair: Pair) -> None:
    flags = ["--rm", "--network", "none"]
    assert pair("run", *flags, IMAGE, "sh", "-c", "echo $$") == "1"
    assert pair("run", *flags, IMAGE, "ls", "/sys/class/net") == "lo"
    assert pair.status("run", *flags, IMAGE, "mount", "-t", "tmpfs", "none", "/tmp") != 0
    assert pair.status("run", *flags, IMAGE, "sh", "-c", "echo 1 >/proc/sys/kernel/sysrq") != 0
    caps = pair("run", *flags, IMAGE, "grep", "CapEff", "/proc/self/status")
    assert caps.split()[1] == "00000000a80425fb"
    assert pair("run", *flags, IMAGE, "grep", "Seccomp:", "/proc/self/status").split()[1] == "2"
    both = "--cap-drop=ALL", "--cap-add=CHOWN"
    assert (
        pair("run", *flags, *both, IMAGE, "grep", "CapEff", "/proc/self/status").split()[1]
        == "0000000000000001"
    )


def test_run_read_only_tmpfs_and_shm(pair: Pair) -> None:
    flags = ["--rm", "--network", "none", "--read-only", "--tmpfs", "/scratch:size=1m,mode=700"]
    script = (
        "touch /x 2>/dev/null || echo refused; touch /scratch/x && stat -c %a /scratch; df /scratch | tail -1"
    )
    lines = pair("run", *flags, IMAGE, "sh", "-c", script).splitlines()
    assert lines[:2] == ["refused", "700"]
    assert lines[2].split()[1] == "1024"
    shm = pair(
        "run", "--rm", "--network", "none", "--shm-size", "8m", IMAGE, "sh", "-c", "df /dev/shm | tail -1"
    )
    assert shm.split()[1] == "8192"


@pytest.mark.cgroups
def test_run_limits(pair: Pair) -> None:
    flags = [
        "--rm",
        "--network",
        "none",
        "-m",
        "64m",
        "--pids-limit",
        "50",
        "--cpus",
        "0.5",
        "--ulimit",
        "nofile=77:99",
    ]
    script = (
        "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null; ulimit -n"
    )
    assert pair("run", *flags, IMAGE, "sh", "-c", script).split() == [str(64 << 20), "77"]
    name = pair.start(flags=("--name", "oom", "-m", "16m"), *("sh", "-c", "x=a; while :; do x=$x$x; done"))
    assert pair("wait", name) == "137"
    if pair.engine.kind == "dockerd":  # it hears of that from containerd, sooner or later
        pair.until("true", "inspect", "-f", "{{.State.OOMKilled}}", "oom")
    assert pair.inspect("oom", "{{.State.OOMKilled}}") == "true"
    assert "Minimum memory limit" in pair.fails("run", "-m", "1m", IMAGE, "true")[1]


def test_run_init_and_signals(pair: Pair) -> None:
    script = "trap 'echo got; exit 3' TERM; echo ready; while :; do sleep 0.05; done"
    cid = pair.start("sh", "-c", script, flags=("--init",))
    pair.until("ready", "logs", cid)
    pair("stop", "-t", "30", cid)
    assert pair("logs", cid) == "ready\ngot"
    assert pair.inspect(cid, "{{.State.ExitCode}}") == "3"


def test_run_binds_and_volumes(pair: Pair, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("from the host\n")
    flags = ["--rm", "--network", "none"]
    assert pair("run", *flags, "-v", f"{tmp_path}:/host:ro", IMAGE, "cat", "/host/file") == "from the host"
    assert pair.status("run", *flags, "-v", f"{tmp_path}:/host:ro", IMAGE, "touch", "/host/x") != 0
    pair("run", *flags, "--mount", f"type=bind,src={tmp_path},dst=/host", IMAGE, "touch", "/host/made")
    assert (tmp_path / "made").exists()
    pair("volume", "create", "kept")
    pair("run", *flags, "-v", "kept:/data", IMAGE, "sh", "-c", "echo kept >/data/f")
    assert pair("run", *flags, "-v", "kept:/data", IMAGE, "cat", "/data/f") == "kept"
    copied = pair("run", *flags, "-v", "copied:/home/app", IMAGE, "stat", "-c", "%u", "/home/app")
    assert copied == "1000"
    assert "kept" in pair("volume", "ls", "-q").split()
    pair("volume", "rm", "kept", "copied")
    assert (
        "bind source path does not exist"
        in pair.fails("run", *flags, "--mount", "type=bind,src=/no/such/dir,dst=/x", IMAGE, "true")[1]
    )


def test_volume_in_use_cannot_be_removed(pair: Pair) -> None:
    pair("volume", "create", "used")
    cid = pair.start(flags=("-v", "used:/data"))
    assert "volume is in use" in pair.fails("volume", "rm", "used")[1]
    pair("rm", "-f", cid)
    pair("volume", "rm", "used")
    assert pair.status("volume", "inspect", "used") != 0


def test_cidfile_labels_and_names(pair: Pair, tmp_path: Path) -> None:
    cidfile = tmp_path / "cid"
    pair.start(flags=("--name", "first", "--cidfile", str(cidfile), "--label", "tier=web", "-l", "empty"))
    cid = cidfile.read_text()
    assert pair.inspect("first", "{{.Id}}") == cid
    assert pair.inspect(cid[:12], '{{index .Config.Labels "tier"}}') == "web"
    code, why = pair.fails("run", "--name", "first", IMAGE, "true")
    assert code == 125
    assert 'The container name "/first" is already in use by container' in why
    assert "Invalid container name" in pair.fails("create", "--name", "a b", IMAGE)[1]


# --- life cycle ------------------------------------------------------------------------------------------


def test_create_start_stop_restart_rm(pair: Pair) -> None:
    cid = pair("create", "--network", "none", "--name", "one", IMAGE, "sleep", "1000")
    assert len(cid) == 64
    assert pair.inspect("one", "{{.State.Status}} {{.State.Running}}") == "created false"
    assert pair("start", "one") == "one"
    assert pair.inspect("one", "{{.State.Status}} {{.State.Running}}") == "running true"
    pid = pair.inspect("one", "{{.State.Pid}}")
    assert Path(f"/proc/{pid}").exists()
    assert pair("restart", "-t", "0", "one") == "one"
    assert pair.inspect("one", "{{.State.Pid}}") != pid
    assert "stop the container before" in pair.fails("rm", "one")[1].lower()
    assert pair("stop", "-t", "0", "one") == "one"
    assert pair.inspect("one", "{{.State.Status}} {{.State.ExitCode}}") == "exited 137"
    assert pair("rm", "one") == "one"
    assert "No such container: one" in pair.fails("start", "one")[1]


def test_kill_and_wait(pair: Pair) -> None:
    cid = pair.start("sh", "-c", "trap 'exit 7' USR1; echo ready; while :; do sleep 0.05; done")
    pair.until("ready", "logs", cid)
    codes: list[str] = []
    waiter = threading.Thread(target=lambda: codes.append(pair("wait", cid)))
    waiter.start()
    pair("kill", "-s", "USR1", cid)
    waiter.join(60)
    assert codes == ["7"]
    assert "is not running" in pair.fails("kill", cid)[1]
    other = pair.start()
    assert "invalid signal" in pair.fails("kill", "-s", "NOSUCH", other)[1].lower()


@pytest.mark.cgroups
def test_pause_unpause(pair: Pair) -> None:
    cid = pair.start()
    pair("pause", cid)
    assert pair.inspect(cid, "{{.State.Status}} {{.State.Paused}}") == "paused true"
    assert "(Paused)" in pair("ps")
    assert "is paused" in pair.fails("exec", cid, "true")[1]
    pair("unpause", cid)
    assert pair.inspect(cid, "{{.State.Status}} {{.State.Paused}}") == "running false"
    assert "is not paused" in pair.fails("unpause", cid)[1]


def test_rename_and_update(pair: Pair) -> None:
    cid = pair.start(flags=("--name", "before"))
    pair("rename", "before", "after")
    assert pair.inspect(cid, "{{.Name}}") == "/after"
    pair("update", "--restart", "on-failure:3", "after")
    assert pair.inspect("after", "{{.HostConfig.RestartPolicy.Name}}") == "on-failure"


@pytest.mark.cgroups
def test_update_of_limits(pair: Pair) -> None:
    pair.start(flags=("--name", "after", "-m", "64m", "--memory-swap", "-1"))
    pair("update", "--memory", "96m", "--memory-swap", "-1", "--restart", "on-failure:3", "after")
    assert pair.inspect("after", "{{.HostConfig.Memory}}") == str(96 << 20)
    assert pair.inspect("after", "{{.HostConfig.RestartPolicy.Name}}") == "on-failure"
    limit = pair(
        "exec",
        "after",
        "sh",
        "-c",
        "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>&-; true",
    )
    assert limit == str(96 << 20)


def test_restart_policy(pair: Pair) -> None:
    cid = pair.start("sh", "-c", "exit 9", flags=("--restart", "on-failure:2"))
    pair.until("exited", "inspect", "-f", "{{.State.Status}}:{{.RestartCount}}", cid)
    pair.until(":2", "inspect", "-f", "{{.State.Status}}:{{.RestartCount}}", cid)
    pair.until("exited", "inspect", "-f", "{{.State.Status}}", cid)
    always = pair.start("sh", "-c", "sleep 0.2", flags=("--restart", "always"))
    engines.until(lambda: int(pair.inspect(always, "{{.RestartCount}}")) >= 2)
    pair("stop", "-t", "0", always)
    assert pair.inspect(always, "{{.State.Status}}") == "exited"


def test_health_check(pair: Pair) -> None:
    health = ("--health-cmd", "test -e /tmp/ok", "--health-retries", "1")
    unchecked = pair.start(flags=(*health, "--health-interval", "1h"))
    assert pair.inspect(unchecked, "{{.State.Health.Status}}") == "starting"
    cid = pair.start(flags=(*health, "--health-interval", "1s"))
    pair.until("unhealthy", "inspect", "-f", "{{.State.Health.Status}}", cid)
    pair("exec", cid, "touch", "/tmp/ok")
    pair.until("(healthy)", "ps", "--format", "{{.Status}}")
    assert json.loads(pair("inspect", cid))[0]["State"]["Health"]["Log"]


def test_the_log_driver_local(pair: Pair) -> None:
    flags = ("--log-driver", "local", "--log-opt", "max-size=10k", "--log-opt", "max-file=3")
    script = "for i in $(seq 2000); do echo line $i; done"
    cid = pair.start("sh", "-c", script, flags=flags)
    pair("wait", cid)
    told = pair("logs", cid).splitlines()
    assert 10 < len(told) < 2000
    assert told == [f"line {number}" for number in range(2001 - len(told), 2001)]
    assert pair("logs", "--tail", "1", cid) == "line 2000"
    assert pair.inspect(cid, "{{.HostConfig.LogConfig.Type}} <{{.LogPath}}>") == "local <>"
    code, why = pair.fails("create", "--log-driver", "local", "--log-opt", "labels=a", IMAGE)
    assert code == 1
    assert "unknown log opt 'labels' for log driver local" in why


@pytest.mark.cgroups
def test_a_probe_that_was_frozen_counts_for_nothing(pair: Pair) -> None:
    times = ("--health-interval", "1s", "--health-timeout", "4s", "--health-retries", "1")
    cid = pair.start(flags=("--health-cmd", "touch /tmp/began; sleep 2", *times))
    engines.until(lambda: pair.status("exec", cid, "test", "-e", "/tmp/began") == 0)
    pair("pause", cid)
    time.sleep(6)
    assert pair.inspect(cid, "{{.State.Health.FailingStreak}}") == "0"
    pair("unpause", cid)
    pair.until("<healthy>", "inspect", "-f", "<{{.State.Health.Status}}>", cid)


def test_auto_remove(pair: Pair) -> None:
    cid = pair.start("true", flags=("--rm",))
    engines.until(lambda: pair.status("inspect", cid) != 0)


def test_rm_force_and_prune(pair: Pair) -> None:
    running = pair.start()
    stopped = pair.start("true")
    pair("wait", stopped)
    why = pair.fails("rm", running)[1]
    assert "running" in why
    assert stopped in pair("container", "prune", "-f")
    assert pair("ps", "-aq", "--no-trunc").split() == [running]
    pair("rm", "-f", running)
    assert pair("ps", "-aq") == ""


# --- exec, attach, logs ----------------------------------------------------------------------------------


def test_exec(pair: Pair) -> None:
    cid = pair.start(flags=("-e", "A=container"))
    assert pair("exec", cid, "echo", "inside") == "inside"
    assert pair("exec", "-i", cid, "cat", stdin=b"through") == "through"
    assert pair.status("exec", cid, "sh", "-c", "exit 5") == 5
    assert pair("exec", "-e", "B=exec", cid, "sh", "-c", 'echo "$A $B"') == "container exec"
    assert pair("exec", "-u", "app", "-w", "/home/app", cid, "sh", "-c", "whoami; pwd").split() == [
        "app",
        "/home/app",
    ]
    code, why = pair.fails("exec", cid, "nosuchprogram")
    assert code in (126, 127)
    assert "executable file not found" in why
    code, why = pair.fails("exec", "-u", "nobody-here", cid, "id")
    assert code == 126
    assert "unable to find user nobody-here: no matching entries in passwd file" in why
    code, why = pair.fails("exec", "-w", "/nowhere", cid, "pwd")
    assert code in (126, 127)
    assert 'chdir to cwd ("/nowhere") set in config.json failed: no such file or directory' in why
    assert pair.status("exec", cid, "test", "-e", "/nowhere") == 1
    pair("exec", "-d", cid, "touch", "/tmp/detached")
    pair.until("detached", "exec", cid, "ls", "/tmp")
    pair("stop", "-t", "0", cid)
    assert "is not running" in pair.fails("exec", cid, "true")[1]


def test_exec_code_is_known_as_soon_as_its_output_ends(pair: Pair) -> None:
    cid = pair.start()
    assert [pair.status("exec", cid, "sh", "-c", "exit 5") for _ in range(40)] == [5] * 40


def test_attach_gets_what_comes(pair: Pair) -> None:
    cid = pair("create", "--network", "none", "-i", IMAGE, "cat")
    assert pair("start", "-a", "-i", cid, stdin=b"to the container\n") == "to the container"
    assert pair.status("attach", cid) != 0


def test_logs(pair: Pair) -> None:
    cid = pair.start("sh", "-c", "for i in 1 2 3 4 5; do echo line $i; done; echo wrong >&2")
    pair("wait", cid)
    assert pair("logs", cid).splitlines() == [f"line {n}" for n in range(1, 6)]
    done = pair.engine.run(pair.client, "logs", cid)
    assert done.stderr == "wrong\n"
    assert "line 5" in pair("logs", "--tail", "2", cid) and "line 4" not in pair("logs", "--tail", "1", cid)
    stamped = pair("logs", "-t", cid).splitlines()[0]
    assert stamped.endswith(" line 1") and stamped[:2] == "20" and "T" in stamped
    assert pair("logs", "--since", "2999-01-01", cid) == ""
    assert pair("logs", "--until", "2001-01-01", cid) == ""


def test_logs_follow(pair: Pair) -> None:
    cid = pair.start("sh", "-c", "echo one; sleep 0.5; echo two; sleep 0.5; echo three")
    assert pair("logs", "-f", cid).split() == ["one", "two", "three"]


def test_terminal(pair: Pair) -> None:
    program = str(engines.ONGGI) if pair.client == "onggi" else "docker"
    command = f"{program} run --rm -t --network none {IMAGE} sh -c 'tty; stty size; echo $TERM'"
    done = subprocess.run(
        ["script", "-qec", f"stty rows 33 cols 77; {command}", "/dev/null"],
        capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL,
        env=client_env(pair),
    )  # fmt: skip
    lines = done.stdout.split()
    assert lines[0] == "/dev/pts/0"
    assert lines[-1] == "xterm"
    assert done.returncode == 0


# --- looking -----------------------------------------------------------------------------------------------


def test_ps_and_filters(pair: Pair) -> None:
    running = pair.start(flags=("--name", "alpha", "-l", "k=v"))
    stopped = pair.start("sh", "-c", "exit 3", flags=("--name", "beta"))
    pair("wait", stopped)
    assert pair("ps", "-q", "--no-trunc") == running
    assert set(pair("ps", "-aq", "--no-trunc").split()) == {running, stopped}
    names = ("ps", "-a", "--format", "{{.Names}}", "--filter")
    assert pair(*names, "name=alp") == "alpha"
    assert pair(*names, "label=k=v") == "alpha"
    assert pair(*names, "status=exited") == "beta"
    assert pair(*names, "exited=3") == "beta"
    assert set(pair(*names, f"ancestor={IMAGE}").split()) == {"alpha", "beta"}
    assert pair(*names, "before=beta") == "alpha"
    header = pair("ps").splitlines()[0].split()
    assert header == ["CONTAINER", "ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "PORTS", "NAMES"]
    assert "Exited (3)" in pair("ps", "-a")
    assert "invalid filter" in pair.fails("ps", "--filter", "nosuch=x")[1].lower()


def test_inspect_top_stats_port(pair: Pair) -> None:
    cid = pair.start("sh", "-c", "sleep 1000; true")
    document = json.loads(pair("inspect", cid))[0]
    assert document["Id"] == cid
    assert document["Path"] == "sh"
    assert document["Args"] == ["-c", "sleep 1000; true"]
    assert document["State"]["Running"] is True
    engines.until(lambda: len(pair("top", cid).splitlines()) == 3)  # the head, the shell and its child
    assert "sleep 1000" in pair("top", cid).splitlines()[-1]
    assert pair("top", cid, "-o", "pid,comm").splitlines()[0].split() == ["PID", "COMMAND"]
    stats = json.loads(pair("stats", "--no-stream", "--format", "json", cid))
    assert stats["PIDs"] == "2"
    assert pair("port", cid) == ""
    assert "No such" in pair.fails("inspect", "nosuchobject")[1]


def test_a_copy_replaces_no_device(pair: Pair, tmp_path: Path) -> None:
    """`docker cp c:/file /dev/null`, as root: the machine needs that device."""
    if pair.engine.kind == "rootless":
        pytest.skip("makes a device, as root alone may")
    device = tmp_path / "device"
    os.mknod(device, 0o20666, os.makedev(1, 3))
    cid = pair.start()
    code, why = pair.fails("cp", f"{cid}:/etc/passwd", str(device))
    assert code == 1
    assert f'invalid output path: "{device}" must be a directory or a regular file: got a device' in why
    (tmp_path / "file").write_text("x")
    pair("exec", cid, "mknod", "/tmp/device", "c", "1", "3")
    code, why = pair.fails("cp", str(tmp_path / "file"), f"{cid}:/tmp/device")
    assert code == 1
    assert f'destination "{cid}:/tmp/device" must be a directory or a regular file: got a device' in why
    assert device.is_char_device()
    assert pair("exec", cid, "stat", "-c", "%F", "/tmp/device") == "character special file"


def test_what_the_engine_puts_into_a_root_is_no_change_of_it(pair: Pair) -> None:
    """Places for its mounts, /.dockerenv, /etc/mtab; but the place of a user's mount is the container's."""
    cid = pair.start("sh", "-c", "sleep 1000; true", flags=("-v", "/newly/made"))
    assert pair("diff", cid).split("\n") == ["A /newly", "A /newly/made"]
    assert pair("exec", cid, "stat", "-c", "%a %s %F", "/.dockerenv") == "755 0 regular empty file"
    assert pair("exec", cid, "readlink", "/etc/mtab") == "/proc/mounts"
    pair("kill", cid)
    pair("commit", cid, "committed:2")
    created = pair("create", IMAGE, "true")
    exported = pair.engine.request("GET", f"/containers/{created}/export")[1]
    with tarfile.open(fileobj=io.BytesIO(exported)) as tar:
        names = {name.removeprefix("./").rstrip("/") for name in tar.getnames()}
    assert {
        ".dockerenv", "proc", "sys", "dev/console", "dev/pts", "dev/shm", "etc/hosts", "etc/hostname",
        "etc/resolv.conf", "etc/mtab",
    } <= names  # fmt: skip
    with tarfile.open(fileobj=io.BytesIO(pair.engine.request("GET", "/images/committed:2/get")[1])) as tar:
        layers = json.load(tar.extractfile("manifest.json"))[0]["Layers"]  # type: ignore[arg-type]
        inner = tar.extractfile(layers[-1])
        assert inner is not None
        with tarfile.open(fileobj=inner) as layer:
            assert {name.rstrip("/") for name in layer.getnames()} == {"newly", "newly/made"}


def test_diff_and_commit(pair: Pair) -> None:
    cid = pair.start("sh", "-c", "echo made >/tmp/made; rm /etc/group; sleep 1000")
    pair.until("D /etc/group", "diff", cid)
    assert set(pair("diff", cid).splitlines()) == {"C /etc", "D /etc/group", "C /tmp", "A /tmp/made"}
    pair("commit", "-m", "a message", "-a", "an author", "-c", 'CMD ["cat", "/tmp/made"]', cid, "committed:1")
    assert pair("run", "--rm", "--network", "none", "committed:1") == "made"
    assert pair.status("run", "--rm", "--network", "none", "committed:1", "test", "-e", "/etc/group") == 1
    assert pair.inspect("committed:1", "{{.Author}} {{.Comment}}") == "an author a message"
    pair("rmi", "committed:1")


def test_cp_in_and_out(pair: Pair, tmp_path: Path) -> None:
    cid = pair.start()
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "file").write_text("content\n")
    (tmp_path / "in" / "link").symlink_to("file")
    pair("cp", str(tmp_path / "in"), f"{cid}:/data/tree")
    assert pair("exec", cid, "cat", "/data/tree/link") == "content"
    pair("cp", f"{cid}:/data/tree", str(tmp_path / "out"))
    assert (tmp_path / "out" / "file").read_text() == "content\n"
    assert (tmp_path / "out" / "link").is_symlink()
    pair("cp", f"{cid}:/data/tree/file", str(tmp_path / "single"))
    assert (tmp_path / "single").read_text() == "content\n"
    out = subprocess.run(
        [str(engines.ONGGI) if pair.client == "onggi" else "docker", "cp", f"{cid}:/data/tree/file", "-"],
        capture_output=True, env=client_env(pair),
    )  # fmt: skip
    with tarfile.open(fileobj=io.BytesIO(out.stdout)) as tar:
        assert tar.getnames() == ["file"]
    pair("stop", "-t", "0", cid)
    pair("cp", f"{cid}:/data/tree/file", str(tmp_path / "stopped"))
    assert (tmp_path / "stopped").read_text() == "content\n"
    assert "Could not find the file /nosuch" in pair.fails("cp", f"{cid}:/nosuch", str(tmp_path))[1]


def test_cp_cannot_leave_the_container(pair: Pair, tmp_path: Path) -> None:
    cid = pair.start("sh", "-c", "ln -s / /data/out; ln -s ../../../../../etc /data/up; sleep 1000")
    pair.until("up", "exec", cid, "ls", "/data")
    (tmp_path / "canary").write_text("x")
    pair("cp", str(tmp_path / "canary"), f"{cid}:/data/out/tmp/canary-onggi")
    assert not Path("/tmp/canary-onggi").exists()
    assert pair("exec", cid, "cat", "/tmp/canary-onggi") == "x"
    pair("cp", str(tmp_path / "canary"), f"{cid}:/data/up/canary-onggi")
    assert not Path("/etc/canary-onggi").exists()


def test_export_and_import(pair: Pair, tmp_path: Path) -> None:
    cid = pair.start("sh", "-c", "echo exported >/marker")
    pair("wait", cid)
    archive = tmp_path / "fs.tar"
    pair("export", "-o", str(archive), cid)
    with tarfile.open(archive) as tar:
        assert "marker" in tar.getnames()
    pair("import", "-c", "CMD cat /marker", "-m", "imported here", str(archive), "imported:1")
    assert pair("run", "--rm", "--network", "none", "imported:1") == "exported"
    assert "imported here" in pair("history", "imported:1")
    pair("rmi", "imported:1")


def test_save_and_load(pair: Pair, tmp_path: Path) -> None:
    pair("tag", IMAGE, "saved:1")
    identity = pair.inspect("saved:1", "{{.Id}}")
    archive = tmp_path / "image.tar"
    pair("save", "-o", str(archive), "saved:1")
    pair("rmi", "saved:1")
    assert pair("load", "-i", str(archive)) == "Loaded image: saved:1"
    assert pair.inspect("saved:1", "{{.Id}}") == identity
    pair("rmi", "saved:1")


def test_images_tag_history_rmi(pair: Pair) -> None:
    pair("tag", IMAGE, "other/name:tagged")
    listed = pair("images", "--format", "{{.Repository}}:{{.Tag}}").splitlines()
    assert IMAGE in listed
    assert "other/name:tagged" in listed
    assert pair("images", "-q", "other/name").strip()
    assert pair("images", "--filter", "reference=other/*", "--format", "{{.Tag}}") == "tagged"
    assert pair("history", "-q", "other/name:tagged")
    assert pair("rmi", "other/name:tagged") == "Untagged: other/name:tagged"
    assert "No such image: other/name:tagged" in pair.fails("rmi", "other/name:tagged")[1]
    cid = pair.start()
    assert "conflict: unable to" in pair.fails("rmi", pair.inspect(IMAGE, "{{.Id}}"))[1]
    pair("rm", "-f", cid)


def test_events(pair: Pair) -> None:
    before = str(int(time.time()) - 1)
    cid = pair.start("true", flags=("--name", "eventful"))
    pair("wait", cid)
    pair("rm", cid)
    after = str(int(time.time()) + 1)
    flags = ("--since", before, "--until", after, "--filter", f"container={cid}", "--format", "{{.Action}}")
    actions = pair("events", *flags).split()
    assert [action for action in actions if action in ("create", "start", "die", "destroy")] == [
        "create", "start", "die", "destroy",
    ]  # fmt: skip


def test_version_and_info(pair: Pair) -> None:
    assert pair("version", "--format", "{{.Server.Os}}") == "linux"
    assert int(pair("info", "--format", "{{.NCPU}}")) >= 1
    assert pair("info", "--format", "{{.CgroupVersion}}") in ("1", "2")


def test_errors_name_the_object(pair: Pair) -> None:
    for verb in ("start", "stop", "rm", "logs", "top", "diff", "port", "wait", "pause", "kill", "restart"):
        assert "No such container: nosuch" in pair.fails(verb, "nosuch")[1], verb
    assert "nosuch" in pair.fails("run", "--pull", "never", "nosuch:latest")[1]
    assert "requires" in pair.fails("rename", "only-one")[1].lower()
