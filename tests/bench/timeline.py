"""Where the time of a run goes: what passes between request and answer, phase by phase.

    python -m tests.bench.timeline [rounds] [--network none] [--publish] [--exec]

Starts an engine with `ONGGI_FAILPOINT=timeline=FILE` (failpoints.py) and prints, in the order in which they
are passed, each named place: who passes it, the median time since the request before, and since the place
before. The figures are for comparing phases with each other: writing the file costs some 20 us for each line.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from tests import engines
from tests.bench.__main__ import FOREVER, Client

Mark = tuple[int, int, str]


def marked(
    client: Client, marks: list[Mark], name: str, method: str, path: str, body: object = None
) -> object:
    """One request, with its beginning and its answer among the marks."""
    marks.append((time.monotonic_ns(), 0, f"> {name}"))
    answer = client(method, path, body)
    marks.append((time.monotonic_ns(), 0, f"< {name}"))
    return answer


def one_run(client: Client, marks: list[Mark], host_config: dict[str, Any]) -> None:
    body = {"Image": engines.BUSYBOX, "Cmd": ["true"], "HostConfig": host_config}
    created: dict[str, str] = marked(client, marks, "create", "POST", "/containers/create", body)  # type: ignore[assignment]
    path = f"/containers/{created['Id']}"
    marked(client, marks, "start", "POST", f"{path}/start")
    marked(client, marks, "wait", "POST", f"{path}/wait")
    marked(client, marks, "remove", "DELETE", path)


def one_exec(engine: engines.Engine, marks: list[Mark], container: str) -> None:
    marks.append((time.monotonic_ns(), 0, "> docker exec"))
    engine.docker("exec", container, "true")
    marks.append((time.monotonic_ns(), 0, "< docker exec"))


def read(path: Path) -> list[Mark]:
    found = []
    for line in path.read_text().splitlines():
        instant, pid, name = line.split(" ", 2)
        found.append((int(instant), int(pid), name))
    return found


def table(runs: list[list[Mark]], daemon: int) -> None:
    """Places in the order of the last run; a place passed twice counts twice."""
    columns: dict[str, list[tuple[float, float]]] = {}
    order: list[str] = []
    for marks in runs:
        marks.sort()
        begin = before = marks[0][0]
        seen: dict[str, int] = {}
        order = []
        for instant, pid, name in marks:
            if name.startswith(">"):
                begin = instant
            seen[name] = seen.get(name, 0) + 1
            who = "client" if pid == 0 else "daemon" if pid == daemon else "shim"
            key = f"{who:7} {name}" + (f" ({seen[name]})" if seen[name] > 1 else "")
            order.append(key)
            columns.setdefault(key, []).append(((instant - begin) / 1e6, (instant - before) / 1e6))
            before = instant
    for key in order:
        total, step = (statistics.median(values) for values in zip(*columns[key], strict=True))
        print(f"{total:8.2f} ms {step:+8.2f}  {key}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("rounds", nargs="?", type=int, default=30)
    parser.add_argument("--network", default="default")
    parser.add_argument("--publish", action="store_true", help="with a published port")
    parser.add_argument("--exec", action="store_true", help="docker exec in a running container")
    args = parser.parse_args()
    tmp = Path(tempfile.mkdtemp(prefix="onggi-bench-"))
    log = tmp / "timeline"
    runs = []
    try:
        with engines.onggi(tmp, failpoint=f"timeline={log}") as engine:
            engines.import_busybox(engine)
            client, host_config = Client(engine), {"NetworkMode": args.network}
            if args.publish:
                host_config["PortBindings"] = {"80/tcp": [{}]}
            container = client.create(FOREVER, **host_config)
            client("POST", f"/containers/{container}/start")
            for number in range(args.rounds + 5):
                log.write_text("")
                marks: list[Mark] = []
                if args.exec:
                    one_exec(engine, marks, container)
                else:
                    one_run(client, marks, host_config)
                time.sleep(0.02)  # what is done after the answer is told too
                if number >= 5:
                    runs.append(marks + read(log))
            assert engine.process is not None
            table(runs, engine.process.pid)
    finally:
        shutil.rmtree(tmp, ignore_errors=True)


if __name__ == "__main__":
    main()
