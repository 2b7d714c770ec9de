"""Our engine and a real dockerd on the same work, pair by pair, in one run: `make bench`.

    python -m tests.bench                       every case, as the tables of docs/benchmarks.md
    python -m tests.bench api-run exec          some of them
    python -m tests.bench --rounds 21 ...

Pairs are taken A B A B, so a machine that speeds up or slows down does so for both; the ratio is the median
of the pairs' ratios, below 1.0 ours is ahead. Both engines have their default bridge. A case that fails is
printed as failed, and the exit status is 1. Nothing here is a test: no figure fails CI.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import json
import os
import pty
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests import engines
from tests.engines import BUSYBOX, Engine, UnixHTTP

FOREVER = ["sleep", "100000"]
RUNTIME = engines.TOP / ".venv" / "bin" / "onggi-runtime"


class Client:
    """One kept connection to an engine's socket."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._connection = UnixHTTP(engine.socket, 120)

    def __call__(self, method: str, path: str, body: object = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        self._connection.request(method, f"/v1.41{path}", data, {"Content-Type": "application/json"})
        reply = self._connection.getresponse()
        text = reply.read()
        if reply.status >= 400:
            raise RuntimeError(f"{self.engine.kind}: {method} {path}: {reply.status} {text[:200]!r}")
        return json.loads(text) if text[:1] in (b"{", b"[") else text

    def create(self, command: list[str], **host_config: object) -> str:
        body = {"Image": BUSYBOX, "Cmd": command, "HostConfig": host_config}
        created: str = self("POST", "/containers/create", body)["Id"]
        return created

    def remove(self, ids: list[str]) -> None:
        for cid in ids:
            self("DELETE", f"/containers/{cid}?force=1&v=1")


def timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def docker(engine: Engine, *args: str, client: str = "docker") -> float:
    """Seconds of one client command as a whole process."""
    program = str(engines.ONGGI) if client == "onggi" else "docker"
    env = {**os.environ, "DOCKER_HOST": engine.host}
    return timed(lambda: subprocess.run([program, *args], env=env, check=True, capture_output=True))


# --- cases: seconds of the work on one engine -----------------------------------------------------------


def api_run(engine: Engine, **host_config: object) -> float:
    """create, start, wait, remove over the API"""
    client = Client(engine)

    def work() -> None:
        cid = client.create(["true"], **host_config)
        client("POST", f"/containers/{cid}/start")
        client("POST", f"/containers/{cid}/wait")
        client("DELETE", f"/containers/{cid}")

    return timed(work)


def api_run_runc(engine: Engine) -> float:
    """the same with --runtime runc on both"""
    return api_run(engine, Runtime="runc")


def run(engine: Engine) -> float:
    """docker run --rm on the default bridge"""
    return docker(engine, "run", "--rm", BUSYBOX, "true")


def run_none(engine: Engine) -> float:
    """docker run --rm --network none"""
    return docker(engine, "run", "--rm", "--network", "none", BUSYBOX, "true")


def exec_(engine: Engine) -> float:
    """docker exec in a running container"""
    return docker(engine, "exec", running(engine), "true")


def start_kill(engine: Engine) -> float:
    """start, kill and wait for one container over the API"""
    client = Client(engine)
    cid = client.create(FOREVER)

    def work() -> None:
        client("POST", f"/containers/{cid}/start")
        client("POST", f"/containers/{cid}/kill")
        client("POST", f"/containers/{cid}/wait")

    seconds = timed(work)
    client.remove([cid])
    return seconds


def burst(engine: Engine) -> float:
    """start 50 containers, 10 at a time"""
    client = Client(engine)
    ids = [client.create(FOREVER) for _ in range(50)]
    with concurrent.futures.ThreadPoolExecutor(10) as pool:
        seconds = timed(
            lambda: list(pool.map(lambda i: Client(engine)("POST", f"/containers/{i}/start"), ids))
        )
    client.remove(ids)
    return seconds


def ps(engine: Engine) -> float:
    """list 100 containers, 20 times, over the API"""
    client = Client(engine)
    hundred(engine)
    return timed(lambda: [client("GET", "/containers/json?all=1") for _ in range(20)])


def logs(engine: Engine) -> float:
    """write 200,000 log lines and read them back with docker logs"""
    client = Client(engine)
    lines = (
        "i=0; while [ $i -lt 100 ]; do printf 'line %06d of the log\\n' $i; i=$((i+1)); done >/tmp/lines; "
    )
    script = lines + "i=0; while [ $i -lt 2000 ]; do i=$((i+1)); cat /tmp/lines; done"

    def work() -> None:
        cid = client.create(["sh", "-c", script])
        client("POST", f"/containers/{cid}/start")
        client("POST", f"/containers/{cid}/wait")
        got = engine.docker("logs", cid).count("\n")
        client.remove([cid])
        if got != 200_000:
            raise RuntimeError(f"{engine.kind}: {got} of 200000 lines came back")

    return timed(work)


def cp(engine: Engine) -> float:
    """docker cp of 100 MB in and out again"""
    cid = running(engine)
    with tempfile.TemporaryDirectory(prefix="onggi-bench-cp") as directory:
        source, back = Path(directory) / "blob", Path(directory) / "back"
        source.write_bytes(os.urandom(1 << 20) * 100)
        seconds = docker(engine, "cp", str(source), f"{cid}:/data/blob")
        seconds += docker(engine, "cp", f"{cid}:/data/blob", str(back))
        if back.stat().st_size != source.stat().st_size:
            raise RuntimeError(f"{engine.kind}: docker cp lost bytes")
    return seconds


def ping(engine: Engine) -> float:
    """GET /_ping 200 times on one connection"""
    client = Client(engine)
    return timed(lambda: [client("GET", "/_ping") for _ in range(200)])


def inspect(engine: Engine) -> float:
    """inspect one container 200 times over the API"""
    client, cid = Client(engine), running(engine)
    return timed(lambda: [client("GET", f"/containers/{cid}/json") for _ in range(200)])


CASES: dict[str, tuple[Callable[[Engine], float], float | None]] = {
    "api-run": (api_run, 0.10),
    "api-run-runc": (api_run_runc, None),
    "run-none": (run_none, 0.20),
    "run": (run, 0.15),
    "exec": (exec_, 0.30),
    "start-kill": (start_kill, 0.15),
    "burst": (burst, 0.15),
    "ps": (ps, 0.5),
    "logs": (logs, 0.5),
    "cp": (cp, 0.7),
    "ping": (ping, None),
    "inspect": (inspect, None),
}
SLOW = {"burst", "logs", "cp"}
_running: dict[str, str] = {}
_hundred: dict[str, list[str]] = {}


def running(engine: Engine) -> str:
    """The engine's one long-lived container."""
    if engine.kind not in _running:
        client = Client(engine)
        _running[engine.kind] = client.create(FOREVER)
        client("POST", f"/containers/{_running[engine.kind]}/start")
    return _running[engine.kind]


def hundred(engine: Engine) -> None:
    if engine.kind not in _hundred:
        client = Client(engine)
        _hundred[engine.kind] = [client.create(["true"]) for _ in range(100)]


# --- whole processes of two clients, and of two runtimes -------------------------------------------------


def pairs(rounds: int, first: Callable[[], float], second: Callable[[], float]) -> tuple[float, float, float]:
    """(median of the first, of the second, of the pairs' ratios)."""
    first(), second()
    measured = [(first(), second()) for _ in range(rounds)]
    ours, theirs = zip(*measured, strict=True)
    return statistics.median(ours), statistics.median(theirs), statistics.median(a / b for a, b in measured)


def interactive(engine: Engine) -> float:
    """onggi run -it --rm true, on a terminal, as a whole process"""
    command = [str(engines.ONGGI), "run", "-it", "--rm", BUSYBOX, "true"]
    parent, terminal = pty.openpty()
    try:
        env = {**os.environ, "DOCKER_HOST": engine.host}
        return timed(
            lambda: subprocess.run(
                command, stdin=terminal, stdout=terminal, stderr=terminal, env=env, check=True
            )
        )
    finally:
        os.close(parent)
        os.close(terminal)


def runtime_run(program: str, bundle: Path, root: Path) -> float:
    """One `PROGRAM run` of a bundle as a whole process."""
    command = [program, "--root", str(root), "run", "-b", str(bundle), f"bench-{os.getpid()}"]
    return timed(lambda: subprocess.run(command, check=True, capture_output=True, stdin=subprocess.DEVNULL))


def make_bundle(directory: Path) -> Path:
    """A bundle as `runc spec` writes it, running `true` without a terminal on busybox."""
    rootfs = directory / "rootfs"
    rootfs.mkdir(parents=True)
    subprocess.run(["tar", "-xf", "-", "-C", str(rootfs)], input=engines.busybox_rootfs(), check=True)
    subprocess.run(["runc", "spec"], cwd=directory, check=True)
    config = json.loads((directory / "config.json").read_text())
    config["process"].update(terminal=False, args=["true"])
    (directory / "config.json").write_text(json.dumps(config))
    return directory


# --- memory ---------------------------------------------------------------------------------------------


def memory_mib(engine: Engine) -> float:
    """Proportional memory of the processes of one engine."""
    marks = [str(engine.root), str(engine.exec_root)]
    pattern = re.compile("|".join(map(re.escape, marks)))
    total = 0
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                text = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                if pattern.search(text):
                    rollup = (entry / "smaps_rollup").read_text()
                    found = re.search(r"^Pss:\s+(\d+)", rollup, re.M)
                    total += int(found[1]) if found else 0
            except OSError:
                continue
    return total / 1024


def memory_each(engine: Engine, count: int = 40) -> float:
    """MiB for each of `count` running containers, over the idle engine."""
    client = Client(engine)
    before = memory_mib(engine)
    ids = [client.create(FOREVER) for _ in range(count)]
    for cid in ids:
        client("POST", f"/containers/{cid}/start")
    time.sleep(3)
    each = (memory_mib(engine) - before) / count
    client.remove(ids)
    return each


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("cases", nargs="*", help="default: all")
    parser.add_argument(
        "--rounds", type=int, default=11, help="pairs for a quick case; slow ones take a third"
    )
    args = parser.parse_args()
    failed = False

    def wanted(name: str) -> bool:
        return not args.cases or name in args.cases

    def row(
        name: str, measure: Callable[[], tuple[float, float, float]], goal: float | None, what: str, unit: str
    ) -> None:
        nonlocal failed
        try:
            ours, theirs, ratio = measure()
        except Exception as error:  # a failed case is a result, and the rest still runs
            failed = True
            print(f"| {name} | failed | | | | {str(error)[:200]!r} |", flush=True)
            return
        verdict = "" if goal is None else f"{goal:g} {'reached' if ratio <= goal else 'missed'}"
        scale = 1000 if unit == "ms" else 1
        figures = f"{ours * scale:.1f} {unit} | {theirs * scale:.1f} {unit} | {ratio:.2f}"
        print(f"| {name} | {figures} | {verdict} | {what} |", flush=True)

    tmp = Path(tempfile.mkdtemp(prefix="onggi-bench-"))
    try:
        with (
            engines.own_bridge() as bridge,
            engines.onggi(tmp) as ours,
            engines.dockerd(tmp, f"--bridge={bridge}", network=True) as theirs,
        ):
            for engine in (ours, theirs):
                engines.import_busybox(engine)
            print(
                "| case | onggi | dockerd | ratio | goal | what |\n|---|---:|---:|---:|---|---|", flush=True
            )
            if wanted("idle"):
                row(
                    "idle",
                    lambda: (m := (memory_mib(ours), memory_mib(theirs))) + (m[0] / m[1],),
                    None,
                    "engine memory, idle",
                    "MiB",
                )
            for name, (case, goal) in CASES.items():
                if wanted(name):
                    rounds = max(3, args.rounds // 3) if name in SLOW else args.rounds
                    row(
                        name,
                        lambda c=case, r=rounds: pairs(r, lambda: c(ours), lambda: c(theirs)),
                        goal,
                        case.__doc__ or "",
                        "ms",
                    )  # type: ignore[misc]
            if wanted("memory"):
                row(
                    "memory",
                    lambda: (m := (memory_each(ours), memory_each(theirs))) + (m[0] / m[1],),
                    None,
                    "engine memory for each of 40 running containers",
                    "MiB",
                )
            print(
                "\n| whole process | onggi | peer | ratio | goal | what |\n|---|---:|---:|---:|---|---|",
                flush=True,
            )
            for verb in (("ps",), ("inspect", running(ours))):
                if wanted(f"onggi-{verb[0]}"):
                    row(
                        f"onggi-{verb[0]}",
                        lambda v=verb: pairs(
                            args.rounds * 2,
                            lambda: docker(ours, *v, client="onggi"),
                            lambda: docker(ours, *v),
                        ),
                        1.3,
                        f"onggi {verb[0]} against docker {verb[0]}, same engine",
                        "ms",
                    )  # type: ignore[misc]
            if wanted("interactive"):
                row(
                    "interactive",
                    lambda: pairs(args.rounds, lambda: interactive(ours), lambda: api_run(ours)),
                    None,
                    "onggi run -it --rm true against api-run on the same engine",
                    "ms",
                )
            if wanted("runtime-run") and shutil.which("runc"):
                bundle = make_bundle(tmp / "bundle")
                row(
                    "runtime-run",
                    lambda: pairs(
                        args.rounds,
                        lambda: runtime_run(str(RUNTIME), bundle, tmp / "r1"),
                        lambda: runtime_run("runc", bundle, tmp / "r2"),
                    ),
                    1.2,
                    "onggi-runtime run against runc run, same bundle",
                    "ms",
                )
    finally:
        shutil.rmtree(tmp, ignore_errors=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
