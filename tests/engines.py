"""Engines under test: a real dockerd and ours, each with directories, a socket and cgroups of its own.

    with onggi(tmp_path) as engine:  engine.docker("run", "--rm", "busybox", "true")
    with dockerd(tmp_path) as engine: ...

Only what was started here is ended here. `leftovers(engine)` lists what an engine of ours left behind:
processes, mounts, cgroups, links, firewall tables; a test asserts that it is empty.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import io
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tarfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

TOP = Path(__file__).parent.parent
ONGGI = TOP / ".venv" / "bin" / "onggi"
BUSYBOX = "busybox:test"
FLAGS = os.environ.get("ONGGI_TEST_FLAGS", "").split()  # of every engine: --storage-driver=fuse-overlayfs
SLOW = 6 if os.environ.get("ONGGI_V2") else 1  # a machine whose processor is emulated: scripts/test-v2


class UnixHTTP(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str, timeout: float = 60) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.connect(
            self._path
        )  # waits while the queue is full; with a time limit it would fail (EAGAIN)
        self.sock.settimeout(self.timeout)


@dataclass
class Engine:
    """A running engine, whichever it is."""

    kind: str  # onggi or dockerd
    root: Path
    exec_root: Path
    command: list[str]
    env: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    @property
    def socket(self) -> str:
        return str(self.exec_root / "engine.sock")

    @property
    def host(self) -> str:
        return f"unix://{self.socket}"

    @property
    def log(self) -> str:
        path = self.exec_root.parent / f"{self.exec_root.name}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def start(self, *, failpoint: str = "", timeout: float = 40) -> None:
        """Start it and wait until it answers."""
        self.exec_root.mkdir(parents=True, exist_ok=True)
        environment = {**os.environ, **self.env}
        if failpoint:
            environment["ONGGI_FAILPOINT"] = failpoint
        with (self.exec_root.parent / f"{self.exec_root.name}.log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,
            )
        deadline = time.monotonic() + timeout * SLOW
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f"{self.kind} did not start:\n{self.log[-3000:]}")
            time.sleep(0.02)

    def answers(self) -> bool:
        try:
            return self.request("GET", "/_ping")[0] == 200
        except (OSError, http.client.HTTPException):
            return False

    def request(self, method: str, path: str, body: object = None, timeout: float = 60) -> tuple[int, bytes]:
        """One request on a connection of its own: (status, body)."""
        connection = UnixHTTP(self.socket, timeout * SLOW)
        try:
            data, headers = body, {}
            if body is not None and not isinstance(body, bytes):
                data, headers = json.dumps(body).encode(), {"Content-Type": "application/json"}
            connection.request(method, path, data, headers)  # type: ignore[arg-type]
            reply = connection.getresponse()
            return reply.status, reply.read()
        finally:
            connection.close()

    def api(self, method: str, path: str, body: object = None, timeout: float = 60) -> Any:
        """One request that must succeed; the decoded JSON, or text."""
        status, text = self.request(method, path, body, timeout)
        assert status < 400, f"{method} {path}: {status} {text[:500]!r}\n{self.log[-2000:]}"
        try:
            return json.loads(text)
        except ValueError:
            return text.decode(errors="replace")

    def run(
        self, client: str, *args: str, stdin: bytes | None = None, check: bool = True, timeout: float = 120
    ) -> subprocess.CompletedProcess[str]:
        """Run a client command (`docker` or `onggi`) against this engine."""
        program = str(ONGGI) if client == "onggi" else "docker"
        env = {**os.environ, "DOCKER_HOST": self.host, "NO_COLOR": "1", "DOCKER_BUILDKIT": "0"}
        words, env = self.client([program, *args], env)
        done = subprocess.run(words, input=stdin or b"", capture_output=True, timeout=timeout * SLOW, env=env)
        text = subprocess.CompletedProcess(
            done.args,
            done.returncode,
            done.stdout.decode(errors="replace"),
            done.stderr.decode(errors="replace"),
        )
        assert not check or text.returncode == 0, (
            f"{client} {args}: {text.returncode}\n{text.stderr}\n{self.log[-1500:]}"
        )
        return text

    def client(self, words: list[str], env: dict[str, str]) -> tuple[list[str], dict[str, str]]:
        """How a client of this engine is run."""
        return words, env

    def docker(self, *args: str, stdin: bytes | None = None) -> str:
        return self.run("docker", *args, stdin=stdin).stdout

    def onggi(self, *args: str, stdin: bytes | None = None) -> str:
        return self.run("onggi", *args, stdin=stdin).stdout

    def kill(self) -> None:
        """SIGKILL the daemon itself, and wait."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                self.process.kill()
            self.process.wait()
            self.process = None

    def stop(self, timeout: float = 30) -> int:
        """SIGTERM, and wait for its orderly end; the exit status."""
        assert self.process is not None
        self.process.terminate()
        try:
            return self.process.wait(timeout * SLOW)
        except subprocess.TimeoutExpired:
            self.kill()
            raise
        finally:
            self.process = None

    def remove_all(self) -> None:
        """Remove every container; one whose removal is under way (--rm) is waited for."""
        deadline = time.monotonic() + 10 * SLOW
        while containers := self.api("GET", "/containers/json?all=1"):
            for container in containers:
                self.request("DELETE", f"/containers/{container['Id']}?force=1&v=1")
            if time.monotonic() > deadline:
                return
            time.sleep(0.01)


@contextlib.contextmanager
def onggi(tmp: Path, *flags: str, failpoint: str = "") -> Iterator[Engine]:
    """Our engine under `tmp`; at the end its containers are removed, it is stopped and its directories go."""
    root, exec_root = tmp / "onggi-root", tmp / "onggi-run"
    command = [str(ONGGI), "daemon", "--data-root", str(root), "--exec-root", str(exec_root)]
    engine = Engine(
        "onggi", root, exec_root, [*command, "-H", f"unix://{exec_root}/engine.sock", *FLAGS, *flags]
    )
    engine.start(failpoint=failpoint)
    try:
        yield engine
    finally:
        end(engine)


@contextlib.contextmanager
def running(engine: Engine) -> Iterator[Engine]:
    """One of ours that was prepared otherwise, with the busybox image, to its end."""
    engine.start()
    try:
        import_busybox(engine)
        yield engine
    finally:
        end(engine)


def end(engine: Engine) -> None:
    """Remove what an engine of ours runs and end it, however a test left it."""
    with contextlib.suppress(Exception):
        if not engine.answers():
            engine.kill()
            engine.start()
        engine.remove_all()
    if engine.process is not None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            engine.stop()
    for pid in processes(engine):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    if engine.kind == "onggi":
        _remove_network(engine)
    for directory in (engine.root, engine.exec_root):
        shutil.rmtree(directory, ignore_errors=True)


@contextlib.contextmanager
def dockerd(tmp: Path, *flags: str, network: bool = False) -> Iterator[Engine]:
    """Debian's dockerd under `tmp`, without a bridge unless asked."""
    root, exec_root = tmp / "docker-root", tmp / "docker-run"
    command = ["/usr/sbin/dockerd", "--data-root", str(root), "--exec-root", str(exec_root)]
    command += ["-H", f"unix://{exec_root}/engine.sock", "--pidfile", str(exec_root / "docker.pid")]
    if not network:
        command += ["--bridge=none", "--iptables=false", "--ip6tables=false"]
    path = "/usr/sbin:/usr/bin:/sbin:/bin:" + os.environ.get("PATH", "")
    engine = Engine("dockerd", root, exec_root, [*command, *flags], {"PATH": path})
    policy = forward_policy() if network else ""
    try:
        engine.start()
        yield engine
    finally:
        with contextlib.suppress(Exception):
            engine.remove_all()
        if engine.process is not None:  # it did not fail to start
            engine.stop()
        if policy:  # dockerd leaves DROP behind, which a dockerd without iptables does not live with
            subprocess.run(["iptables", "-P", "FORWARD", policy], check=True)
        for mount in reversed(mounts(str(tmp))):
            subprocess.run(["umount", "-l", mount], capture_output=True)
        shutil.rmtree(root, ignore_errors=True)


def forward_policy() -> str:
    """ACCEPT or DROP: what iptables does with packets that this machine only forwards."""
    done = subprocess.run(["iptables", "-S", "FORWARD"], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[0].split()[-1]


@contextlib.contextmanager
def own_bridge() -> Iterator[str]:
    """A bridge for one dockerd (`--bridge=NAME`): docker0 is every dockerd's of this machine."""
    name = f"dk{secrets.token_hex(5)}"
    address = f"172.29.{secrets.randbelow(256)}.1/24"
    try:
        for words in (
            ("link", "add", name, "type", "bridge"),
            ("addr", "add", address, "dev", name),
            ("link", "set", name, "up"),
        ):
            subprocess.run(["ip", *words], check=True)
        yield name
    finally:
        subprocess.run(["ip", "link", "del", name], check=False)


def busybox_rootfs() -> bytes:
    """A root file system as a tar: static busybox with its applets as links, users, some directories."""
    binary = shutil.which("busybox") or "/bin/busybox"
    applets = subprocess.run([binary, "--list"], capture_output=True, text=True, check=True).stdout.split()
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name in ("bin", "etc", "tmp", "root", "data", "home", "home/app", "var", "var/log"):
            info = tarfile.TarInfo(name)
            info.type, info.mode = tarfile.DIRTYPE, 0o1777 if name == "tmp" else 0o755
            if name == "home/app":
                info.uid = info.gid = 1000
            tar.addfile(info)
        tar.add(binary, "bin/busybox")
        for applet in applets:
            if applet != "busybox":
                link = tarfile.TarInfo(f"bin/{applet}")
                link.type, link.linkname = tarfile.SYMTYPE, "busybox"
                tar.addfile(link)
        passwd = b"root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000:app:/home/app:/bin/sh\n"
        group = b"root:x:0:\napp:x:1000:\nextra:x:2000:app\n"
        for name, content in (("etc/passwd", passwd), ("etc/group", group)):
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), 0o644
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


def import_busybox(engine: Engine, name: str = BUSYBOX) -> str:
    """Make the busybox image in an engine by the API."""
    repository, _, tag = name.partition(":")
    path = f"/images/create?fromSrc=-&repo={repository}&tag={tag}&changes=CMD%20%5B%22sh%22%5D"
    engine.api("POST", path, busybox_rootfs())
    return name


def free_port() -> int:
    """A port that nobody has, and that the kernel gives to nobody who did not ask for it by its number."""
    first = 10_000
    given = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    while True:
        port = first + secrets.randbelow(max(given - first, first))
        with contextlib.suppress(OSError), socket.socket() as sock:
            sock.bind(("", port))
            return port


def until(true: Callable[[], object], seconds: float = 30) -> None:
    """Wait for what the engine does behind its answer; AssertionError when it does not come."""
    deadline = time.monotonic() + seconds * SLOW
    while not true():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.01)


def page(address: str) -> bytes:
    """What a web server has that may only be starting; `address` is HOST:PORT/PATH."""
    found: list[bytes] = []

    def asked() -> bool:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"http://{address}", timeout=10) as answer:
            found.append(answer.read())
        return bool(found)

    until(asked)
    return found[0]


# --- what is left behind ------------------------------------------------------------------------------


def own_suffix(engine: Engine) -> str:
    return hashlib.sha256(str(engine.root).encode()).hexdigest()[:8]


def leftovers(engine: Engine) -> list[str]:
    """What an engine of ours, ended and without containers, still has on this machine after half a minute.

    The zygote ends at the end of its daemon's connection, so a moment after the daemon.
    """
    deadline = time.monotonic() + 30
    while (found := _left(engine)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return found


def _left(engine: Engine) -> list[str]:
    found = [f"process {pid}: {_cmdline(pid)}" for pid in processes(engine)]
    found += [f"mount {target}" for target in mounts(str(engine.root)) + mounts(str(engine.exec_root))]
    found += [f"cgroup {path}" for path in cgroups(engine)]
    found += [f"link {name}" for name in links(engine)]
    tables = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True).stdout.splitlines()
    found += [table for table in tables if table.endswith(f"onggi_{own_suffix(engine)}")]
    return found


def links(engine: Engine) -> list[str]:
    """The engine's bridge, and what is in it."""
    bridge = f"og{own_suffix(engine)}"
    found = json.loads(subprocess.run(["ip", "-j", "link"], capture_output=True, check=True).stdout)
    return [link["ifname"] for link in found if bridge in (link["ifname"], link.get("master"))]


def processes(engine: Engine) -> list[int]:
    """Processes that name this engine's directories on their command line, or in their environment."""
    marks = [str(engine.root).encode(), str(engine.exec_root).encode()]
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            text = (entry / "cmdline").read_bytes()
            if any(mark in text for mark in marks):
                found.append(int(entry.name))
    return found


def process_of(engine: Engine, mark: str) -> int:
    """The process of this engine's that has a text on its command line, or 0."""
    return next((pid for pid in processes(engine) if mark in _cmdline(pid)), 0)


def listens(path: Path) -> bool:
    """Does somebody listen on a Unix socket? Its file is there a moment before (bind(2), listen(2))."""
    rows = [line.split() for line in Path("/proc/net/unix").read_text().splitlines()]
    return any(row[3] == "00010000" and row[7:] == [str(path)] for row in rows)  # __SO_ACCEPTCON


def files(root: Path) -> Iterator[tuple[Path, bytes]]:
    """Every regular file below a directory and what is in it; what goes meanwhile is passed over."""
    for above, _, names in os.walk(root):
        for path in (Path(above, name) for name in names):
            try:
                data = path.read_bytes() if path.is_file() and not path.is_symlink() else None
            except FileNotFoundError:
                continue
            if data is not None:
                yield path, data


def mounts(prefix: str) -> list[str]:
    """Mounts of this mount namespace below a directory."""
    with open("/proc/self/mounts") as file:
        return [line.split()[1] for line in file if line.split()[1].startswith(prefix + "/")]


def cgroups(engine: Engine) -> list[str]:
    """This engine's cgroup parent and the directories below it, in every hierarchy."""
    found = []
    base = Path("/sys/fs/cgroup")
    for hierarchy in [base, *(path for path in base.iterdir() if path.is_dir())]:
        parent = hierarchy / f"onggi-{own_suffix(engine)}"
        with contextlib.suppress(OSError):  # it went while we looked
            found += [str(parent), *(str(path) for path in parent.iterdir() if path.is_dir())]
    return found


def _cmdline(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    return ""


def _remove_network(engine: Engine) -> None:
    subprocess.run(["ip", "link", "del", f"og{own_suffix(engine)}"], capture_output=True)
    subprocess.run(["nft", "delete", "table", "inet", f"onggi_{own_suffix(engine)}"], capture_output=True)
