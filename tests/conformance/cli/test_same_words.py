"""The same words to `docker` and to `onggi` on one dockerd: the same stdout, stderr and exit status.

The real client decides: each case is run with both. Only the command's own name is made equal. Left out on purpose:
help texts (ours are our own), `version` and the client's part of `info`.
"""

# ruff: noqa: E501 (tables of cases)
from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import engines

pytestmark = [pytest.mark.root, pytest.mark.peer]
SRC = Path(__file__).parents[3] / "src"
BUSYBOX = engines.BUSYBOX


class Clients:
    """Both commands on one engine, in one directory."""

    def __init__(self, engine: engines.Engine, directory: Path) -> None:
        self.engine = engine
        self.directory = directory
        self.launcher = directory / "onggi"
        self.launcher.write_text(
            f"#!{sys.executable} -IS\nimport sys\nsys.path.insert(0, {str(SRC)!r})\n"
            "from onggi.cli.main import main\nmain()\n"
        )
        self.launcher.chmod(0o755)

    def run(self, client: str, *args: str, stdin: bytes = b"") -> tuple[int, str, str]:
        program = str(self.launcher) if client == "onggi" else "docker"
        env = {**os.environ, "DOCKER_HOST": self.engine.host, "NO_COLOR": "1"}
        done = subprocess.run(
            [program, *args], input=stdin, capture_output=True, env=env, cwd=self.directory, timeout=60
        )
        out, err = done.stdout.decode(), done.stderr.decode()
        return done.returncode, out.replace("onggi", "docker"), err.replace("onggi", "docker")

    def same(self, *args: str, stdin: bytes = b"") -> tuple[int, str, str]:
        """Run both; again where they differ, for an age in a table may step between the two.

        Where it steps each time, ours must be between the ages that the real client tells before and after.
        """
        for _ in range(4):
            wanted = self.run("docker", *args, stdin=stdin)
            got = self.run("onggi", *args, stdin=stdin)
            if got == wanted:
                return wanted
        assert ageless(got) == ageless(wanted)
        later = self.run("docker", *args, stdin=stdin)
        for before, ours, after in zip(ages(wanted), ages(got), ages(later), strict=True):
            assert before <= ours <= after, (wanted, got, later)
        assert ages(got) != []
        return wanted


AGE = re.compile(r"\b(Less than a|About an?|\d+) (second|minute|hour)s?\b")
SECONDS = {"second": 1, "minute": 60, "hour": 3600}


def ages(said: tuple[int, str, str]) -> list[int]:
    """Every age that is told, in seconds."""
    found = AGE.findall(said[1])
    return [(int(number) if number.isdigit() else number[0] == "A") * SECONDS[unit] for number, unit in found]


def ageless(said: tuple[int, str, str]) -> tuple[int, str, str]:
    """Without ages, and the room that a table has for them."""
    return said[0], re.sub(" +", " ", AGE.sub("AGE", said[1])), said[2]


@pytest.fixture(scope="module")
def clients(dockerd: engines.Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clients]:
    """With a running container `up` and a finished one `done`."""
    both = Clients(dockerd, tmp_path_factory.mktemp("clients"))
    both.run("docker", "run", "-d", "--network", "none", "--name", "up", "-l", "x=y", "-l", "z=<w>", "-v",
             "/var/data", BUSYBOX, "sleep", "100000")  # fmt: skip
    both.run(
        "docker",
        "run",
        "--network",
        "none",
        "--name",
        "done",
        BUSYBOX,
        "sh",
        "-c",
        "echo out; echo err >&2; exit 3",
    )
    both.run("docker", "volume", "create", "--label", "a=b", "kept")
    yield both
    both.run("docker", "rm", "-f", "-v", "up", "done")
    both.run("docker", "volume", "rm", "kept")


LISTS = [
    "ps", "ps -a", "ps -aq", "ps -a --no-trunc", "ps -s", "ps -n 1", "ps -l", "ps -a --format json",
    "ps -a --format raw", "ps --format table", "ps -q --format x", "ps -a -f name=done", "ps --filter status=exited",
    "images", "images -a", "images -q", "images --digests", "images --no-trunc", "images --format json",
    "images nosuch", "images --format raw", "image ls", "volume ls", "volume ls -q", "volume ls --format json",
    "volume ls -f dangling=true", "network ls", "network ls -q", "network ls --no-trunc", "network ls --format json",
    f"history {BUSYBOX}", f"history -q {BUSYBOX}", f"history --no-trunc {BUSYBOX}", f"history -H=false {BUSYBOX}",
    "system df", "system df -v", "system df --format json", "context ls", "context show", "context inspect",
    "logs done", "logs -n 1 done", "logs -t done", "port up", "top up -o pid,args", "diff done",
    "inspect up", "inspect -s up", "inspect kept", "inspect none", f"inspect {BUSYBOX}", "container inspect up done",
    "inspect --type container up", "volume inspect kept", "network inspect none host", f"image inspect {BUSYBOX}",
    "inspect -f json up", "stats --no-stream --no-trunc nosuch",
]  # fmt: skip


@pytest.mark.parametrize("line", LISTS)
def test_lists(clients: Clients, line: str) -> None:
    clients.same(*line.split(" "))


FORMATS = [
    "{{.ID}} {{.Names}}", "{{json .}}", "{{json .Labels}}", "table {{.ID}}\\t{{.Names}}", "table {{.Names | upper}} {{.Image}}",
    'table {{.ID}}\\t{{.Label "x"}}', '{{.Label "z"}}|{{.Label "none"}}', '{{split .Labels ","}}',
    '{{join (split .Labels ",") "+"}}', '{{printf "%-10s|%5s|%q" .Names .State .Image}}', "{{len .Names}}",
    '{{if eq .State "running"}}up{{else}}down{{end}}', '{{with .Names}}<{{.}}>{{end}}',
    '{{range $i, $x := split .Labels ","}}{{$i}}={{$x}};{{else}}none{{end}}', "{{title .State}} {{lower .ID}}",
    "{{pad .Names 2 3}}|", "{{truncate .ID 4}}", "{{.Names}}{{- /* gone */ -}}", "{{  .Names -}}   |",
    '{{or "" .Names}} {{and .Names .State}} {{not .Names}}', "{{$x := .Names}}{{$x}}{{$x = .State}}{{$x}}",
    '{{println "a" 1 true}}', '{{print "a" 1 2 "b"}}', '{{index (split .Labels ",") 0}}',
    '{{lt 1 2}} {{ge 2.5 1.5}} {{ne "a" "b"}} {{eq 1 2 1}}', "{{html .Labels}}", "{{`raw`}} {{'a'}} {{0x10}} {{1e3}}",
    "{{true}} {{1.50}} {{-3}}", '{{printf "%d %x %05d %t %v %%" 5 255 42 true 1.5}}', "plain", "{{.Names}}\\n--",
    '{{template "t"}}', '{{define "t"}}[{{.}}]{{end}}{{template "t" .Names}}', '{{if .Names}}a{{else if .State}}b{{end}}',
    "{{range 3}}{{end}}", '{{range split "a,b,c" ","}}{{if eq . "b"}}{{continue}}{{end}}{{.}}{{end}}',
    "{{.Foo}}", "{{.ID", "{{foo .ID}}", "{{}}", "{{end}}", "{{if .ID}}", '{{index .ID "x"}}', "{{.ID.Foo}}", "{{$y}}",
    '{{lt 1 "a"}}', "{{nil}}", '{{"abc}}', "{{len 3}}", "{{1 | 2}}", "{{.ID | printf}}", "{{urlquery .Labels}}",
]  # fmt: skip


@pytest.mark.parametrize("form", FORMATS)
def test_templates_of_lists(clients: Clients, form: str) -> None:
    clients.same("ps", "-a", "--format", form)


INSPECTED = [
    "{{.Id}}", "{{.State.Status}} {{.State.Running}} {{.State.ExitCode}}", "{{json .Config.Labels}}", "{{.Config.Labels.x}}",
    '{{index .Config.Labels "x"}}|{{index .Config.Labels "none"}}', "{{.Config.Cmd}} {{.Args}}", "{{.HostConfig.Binds}}",
    "{{range .Mounts}}{{.Type}} {{.Destination}}{{end}}", "{{json .Mounts}}", "{{.HostConfig.Memory}} {{.HostConfig.ShmSize}}",
    "{{range $k, $v := .NetworkSettings.Networks}}{{$k}}{{end}}", "{{.Foo}}", "{{.State.Foo}}", "{{.Foo", "{{len .Args}}",
    "{{.HostConfig.PortBindings}} {{.NetworkSettings.Ports}}", "{{.Config.Env}}", "{{.Config.Entrypoint}}", "{{.Name | upper}}",
    "{{.HostConfig.LogConfig.Type}} {{.HostConfig.RestartPolicy.Name}}", "{{join .Config.Cmd \" \"}}", "{{.Config.Labels}}",
    "{{.Config.Labels.none}}", "{{.HostConfig.PidsLimit}}", "{{if .HostConfig.PidsLimit}}a{{else}}b{{end}}",
]  # fmt: skip


@pytest.mark.parametrize("form", INSPECTED)
def test_templates_of_inspect(clients: Clients, form: str) -> None:
    clients.same("inspect", "--format", form, "up")


FAULTS = [
    "container foo", "ps --foo", "ps -x", "ps foo", "run", "rename a", "tag a b c", "rm", "volume rm", "--nope",
    "run --memory", "run -e", "run --detach=foo x", "run --cpus a x", "run --pids-limit a x", "run --health-interval 5 x",
    "run --blkio-weight 99999 x", "run --memory=3x x", "run --memory= x", "ps --filter x", "ps --filter x=y", "help nosuch",
    "stop -t x up", "exec up", "exec nosuch true", "exec up nosuch", "attach nosuch", "attach done", "logs nosuch",
    "logs --tail x up", "logs --since x up", "start nosuch", "start -a nosuch", "start -a up done", "stop nosuch nosuch2",
    "rm nosuch", "rm up", "wait nosuch", "cp nosuch:/x .", "cp up:/nosuch .", "cp a b", "cp up:/b up:/c", "inspect nosuch",
    "inspect --type foo up", "inspect --type container nosuch", "container inspect nosuch", "image inspect nosuch",
    "volume inspect nosuch", "network inspect nosuch", "rmi nosuch", "tag nosuch x", "kill nosuch", "top nosuch",
    "port nosuch", "port up 80", "diff nosuch", "rename nosuch a", "update up", "pause nosuch", "unpause up",
    "history nosuch", "save nosuch", "export nosuch", "load -i /nosuch", "import /nosuch", "events --since x --until y",
    "volume rm nosuch", "commit nosuch", "-H unix:///nosuch ps", "-H tcp://127.0.0.1:1 ps", "kill done", "pause done",
    "kill -s NOPE up", "restart nosuch", "stats --no-stream nosuch", "export -o /no/such/x up", f"save -o /no/such/x {BUSYBOX}",
    "container prune", "plugin ls", "plugin ls -q", "plugin ls --format json", "plugin rm nosuch", "plugin enable nosuch",
    "plugin disable nosuch", "plugin inspect nosuch", "plugin set nosuch a=b",
    "network prune", "network rm none", "network rm nosuch", "system prune", "image prune", "volume prune", "tag up UPPER",
]  # fmt: skip


@pytest.mark.parametrize("line", FAULTS)
def test_faults(clients: Clients, line: str) -> None:
    clients.same(*line.split(" "))


RUNS = [
    "--name up", "--rm --restart always", "--rm -d -a stdin", "--mount type=foo", "--mount foo", "--mount type=bind,source=/tmp",
    "--mount type=tmpfs,target=/x,tmpfs-size=a", "--mount type=volume,target=/x,bind-propagation=slave",
    "--mount type=bind,target=/x,foo=bar", "-v a:b:c:d", "-p foo", "-p 99999:80", "-p 1-2:3-5", "-p 80/foo", "--dns x",
    "--link x", "--ulimit x", "--ulimit foo=1", "--ulimit nofile=5:1", "--device-read-bps x", "--device-read-bps /dev/x:a",
    "--device-read-iops /dev/x:a", "--blkio-weight-device x", "--pull foo", "--memory-swappiness 200", "--add-host x",
    "--add-host x:y", "--env-file /nonexist", "--log-driver none --log-opt a=b", "--restart foo", "--restart always:3",
    "--restart on-failure:x", "--attach x", "--mac-address x", "--health-cmd x --no-healthcheck", "--health-retries -1",
    "--health-interval -1s", "--storage-opt x", "--sysctl x", "--device x", "--device /dev/null:/x:abc", "--gpus x",
    "--gpus all,foo=bar", "--pid x", "--uts x", "--userns x", "--cgroupns x", "--network-alias x", "--ip 1.2.3.4",
    "--device-cgroup-rule x", "--shm-size x", "--label-file x", "--cidfile /etc/passwd", "--security-opt x",
    "--security-opt seccomp=/nonexist", "--stop-timeout x", "--expose x", "-it", "-w x", "--tmpfs x", "--memory 1",
    "--network foo=bar", "--cpus 0.0000000001", "-l =x", "--user nosuch", "--cap-add NOPE",
    "--network-alias x --network none", "--memory-swap 1m", "--cpuset-cpus 99", "--oom-score-adj 5000",
]  # fmt: skip


@pytest.mark.parametrize("flags", RUNS)
def test_faults_of_run(clients: Clients, flags: str) -> None:
    clients.same("run", "--network", "none", *flags.split(" "), BUSYBOX, "true")


@pytest.mark.parametrize("image", ["UPPER", "a b", "nosuch", ":x", "a//b"])
def test_names_of_images(clients: Clients, image: str) -> None:
    clients.same("run", "--pull", "never", "--network", "none", image, "true")


COMMANDS = [
    ("", "echo hi", b""), ("--rm", "sh -c echo;exit", b""), ("--rm -i", "cat", b"piped\nlines"), ("-i --rm", "wc -c", b"x" * 300_000),
    ("--rm", "nosuch", b""), ("--rm", "/etc", b""), ("--rm -e A=b -e C", "env", b""), ("--rm -w /tmp", "pwd", b""),
    ("--rm -h name", "hostname", b""), ("--rm -u 1000:1000", "id", b""), ("--rm --read-only", "touch /x", b""),
    ("--rm --tmpfs /t:size=1m", "df -m /t", b""), ("--rm --entrypoint echo", "entry", b""), ("--rm --init", "cat /proc/1/comm", b""),
    ("--rm --ulimit nofile=100:200", "sh -c ulimit -n", b""), ("--rm -a stderr", "sh -c echo a;echo b >&2", b""),
    ("--rm --cap-drop ALL", "grep Cap /proc/self/status", b""), ("--rm --network none --add-host x:1.2.3.4", "cat /etc/hosts", b""),
    ("--rm --mount type=tmpfs,target=/x,tmpfs-size=1m", "df -m /x", b""), ("--rm -v /etc:/host:ro", "ls /host/hostname", b""),
    ("--rm --cap-add ALL --cap-drop CHOWN --cap-drop NET_RAW", "grep Cap /proc/self/status", b""),("--rm --cap-add net_admin --cap-drop NET_ADMIN", "grep Cap /proc/self/status", b""),("--rm --pids-limit 50", "true", b""), ("--rm -t", "tty", b""), ("--rm --sysctl kernel.msgmax=9000", "cat /proc/sys/kernel/msgmax", b""),
]  # fmt: skip


@pytest.mark.parametrize(("flags", "command", "stdin"), COMMANDS)
def test_commands_in_containers(clients: Clients, flags: str, command: str, stdin: bytes) -> None:
    words = command.split(" ", 2) if command.startswith("sh -c ") else command.split(" ")
    clients.same("run", "--network", "none", "-h", "same", *flags.split(), BUSYBOX, *words, stdin=stdin)


@pytest.mark.parametrize("status", [0, 1, 42, 126, 127, 255])
def test_exit_statuses(clients: Clients, status: int) -> None:
    assert (
        clients.same("run", "--rm", "--network", "none", BUSYBOX, "sh", "-c", f"exit {status}")[0] == status
    )
    assert clients.same("exec", "up", "sh", "-c", f"exit {status}")[0] == status


def test_exec(clients: Clients) -> None:
    assert clients.same("exec", "-i", "up", "cat", stdin=b"abc")[1] == "abc"
    assert clients.same(
        "exec", "-e", "A=b", "-w", "/tmp", "-u", "1000", "up", "sh", "-c", "echo $A; pwd; id -u; echo e >&2"
    )
    assert clients.same("exec", "-d", "up", "true")[0] == 0


def test_what_create_sends(clients: Clients) -> None:
    """Both clients' requests, as the engine then tells them back."""
    flags = ["--network", "none", "-e", "A=b", "-l", "c=d", "--memory", "64m", "--memory-swap", "128m", "--cpus", "1.5", "--cpu-shares", "512", "--pids-limit", "99", "--restart", "on-failure:3", "--stop-signal", "INT", "--stop-timeout", "7", "--ulimit", "nofile=10:20", "--cap-add", "NET_ADMIN", "--cap-drop", "CHOWN", "--device", "/dev/null:/dev/zip:rw", "--tmpfs", "/t:size=1m", "-v", "/etc:/e:ro", "-v", "/anon", "--mount", "type=tmpfs,target=/m,tmpfs-mode=700", "--health-cmd", "true", "--health-interval", "5s", "--health-retries", "2", "--health-timeout", "1s", "--health-start-period", "9s", "--shm-size", "32m", "--read-only", "--init", "--privileged", "-w", "/tmp", "-u", "1:2", "--expose", "80-82", "--expose", "53/udp", "-p", "127.0.0.1:8080:80", "-p", "9000-9001:9000-9001/udp", "--add-host", "a:1.2.3.4", "--dns", "8.8.8.8", "--dns-search", "x.y", "--dns-opt", "ndots:2", "--group-add", "5", "--log-opt", "max-size=1m", "--oom-score-adj", "100", "--pid", "host", "--uts", "host", "--ipc", "private", "--security-opt", "no-new-privileges", "--sysctl", "kernel.msgmax=9000", "--entrypoint", "/bin/sh", "--blkio-weight", "0", "--cpuset-cpus", "0", "--device-cgroup-rule", "c_1:3_r", "--no-healthcheck=false", "--volume-driver", "local", "-it", "--domainname", "dom", "--cpu-period", "0", "--memory-reservation", "32m", "--cgroupns", "host", "--label-file", "/dev/null", "--env-file", "/dev/null", "--publish-all", "--isolation", "default"]  # fmt: skip
    flags = [word.replace("c_1:3_r", "c 1:3 r") for word in flags]
    told = {}
    for client in ("docker", "onggi"):
        status, out, err = clients.run(client, "create", *flags, BUSYBOX, "-c", "true")
        assert status == 0, err
        identifier = out.strip()
        found = clients.engine.api("GET", f"/containers/{identifier}/json")
        clients.run("docker", "rm", "-v", identifier)
        config = found["Config"]
        host = found["HostConfig"]
        config.pop("Hostname")
        config["Image"] = ""
        told[client] = {"Config": config, "HostConfig": host, "Path": found["Path"], "Args": found["Args"]}
    for part in ("Config", "HostConfig"):
        ours, theirs = told["onggi"][part], told["docker"][part]
        assert {
            key: ours.get(key) for key in ours.keys() | theirs.keys() if ours.get(key) != theirs.get(key)
        } == {key: theirs.get(key) for key in ours.keys() | theirs.keys() if ours.get(key) != theirs.get(key)}
    assert told["onggi"]["Args"] == told["docker"]["Args"]


def test_copies(clients: Clients, tmp_path: Path) -> None:
    """A tree there and back with each client, compared with what the other one made."""
    tree = tmp_path / "tree"
    (tree / "sub").mkdir(parents=True)
    (tree / "file").write_text("text")
    (tree / "sub" / "link").symlink_to("../file")
    (tree / "sub" / "hard").hardlink_to(tree / "file")
    (tree / "file").chmod(0o640)
    for sender in ("docker", "onggi"):
        assert clients.run(sender, "cp", str(tree), f"up:/tmp/{sender}")[0] == 0
        for receiver in ("docker", "onggi"):
            back = tmp_path / f"{sender}-{receiver}"
            assert clients.run(receiver, "cp", f"up:/tmp/{sender}", str(back))[0] == 0
            assert (back / "file").read_text() == "text"
            assert (back / "file").stat().st_mode & 0o777 == 0o640
            assert os.readlink(back / "sub" / "link") == "../file"
            assert (back / "sub" / "hard").stat().st_ino == (back / "file").stat().st_ino


def test_life(clients: Clients) -> None:
    """Every verb once; what is printed is a name, so both clients must print the same."""
    for client in ("docker", "onggi"):
        run = clients.run
        assert run(client, "create", "--network", "none", "--name", "life", BUSYBOX, "sleep", "1000")[0] == 0
        steps = [
            ("start",),
            ("pause",),
            ("unpause",),
            ("stop", "-t", "0"),
            ("start",),
            ("restart", "-t", "0"),
            ("kill",),
        ]
        for verb, *words in steps:
            assert run(client, verb, *words, "life") == (0, "life\n", ""), verb
        assert run(client, "wait", "life") == (0, "137\n", "")
        assert run(client, "update", "--memory", "64m", "--memory-swap", "128m", "life") == (0, "life\n", "")
        assert run(client, "rename", "life", "other") == (0, "", "")
        assert run(client, "commit", "-m", "words", "other", "made:by")[0] == 0
        assert run(client, "rmi", "made:by")[0] == 0
        assert run(client, "rm", "-f", "other") == (0, "other\n", "")


@pytest.mark.parametrize(
    "words",
    ["", ":::", "/b:", ":/b", "/b::", "a:::/b", "/a:/b::", "/a:/b:", "/a:/b:ro:", "/a:/b:ro:z", "~/x:/b", "~root:/b", "b/c:/d"],
)  # fmt: skip
def test_words_of_v_that_are_refused(clients: Clients, words: str) -> None:
    clients.same("create", "-v", words, BUSYBOX)


@pytest.mark.parametrize(
    "line", ["rm ''", "rm none", "inspect none kept", "create --label =x", "create --opt foo oo", "ls -f foo", "ls x", "prune x"]
)  # fmt: skip
def test_refusals_of_volume_commands(clients: Clients, line: str) -> None:
    clients.same("volume", *shlex.split(line))
