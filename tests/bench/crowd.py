"""Many containers on one network: does the last one start as fast as the first?

    PYTHONPATH=src python -m tests.bench.crowd [containers]        500 unless said otherwise

Starts them one after the other over the API. Prints the time of a start (create and start) by tenth of the
crowd, the ratio of the last twenty to the first twenty, by median and by mean, and what an answer of the name
server takes with all of them in the network. A start before the first is not counted: it makes the bridge,
the packet filter's table and the name server.
"""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import statistics
import tempfile
import time
from pathlib import Path

from onggi.network.sandbox import Entered
from tests import engines
from tests.bench.__main__ import FOREVER, Client

EDGE = 20


def start(client: Client, name: str) -> float:
    """Seconds for one more container."""
    began = time.monotonic()
    body = {"Image": engines.BUSYBOX, "Cmd": FOREVER, "HostConfig": {"NetworkMode": "crowd"}}
    client("POST", f"/containers/create?name={name}", body)
    client("POST", f"/containers/{name}/start")
    return time.monotonic() - began


def lookups(pid: int, count: int) -> list[float]:
    """Seconds for each answer about every fiftieth container, asked inside one of them."""
    fd = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY)
    taken = []
    with Entered(fd), socket.socket(type=socket.SOCK_DGRAM) as peer:
        peer.connect(("127.0.0.11", 53))
        peer.settimeout(5)
        for number in range(500):
            name = f"c{number * 50 % count}".encode()
            question = b"\0\7\1\0\0\1\0\0\0\0\0\0" + bytes((len(name),)) + name + b"\0\0\1\0\1"
            began = time.monotonic()
            peer.send(question)
            answer = peer.recv(512)
            taken.append(time.monotonic() - began)
            assert answer[7] == 1, name  # one address
    os.close(fd)
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("containers", nargs="?", type=int, default=500)
    count = parser.parse_args().containers
    tmp = Path(tempfile.mkdtemp(prefix="onggi-bench-"))
    try:
        with engines.onggi(tmp) as engine:
            engines.import_busybox(engine)
            client = Client(engine)
            client("POST", "/networks/create", {"Name": "crowd"})
            start(client, "warm")
            taken = [start(client, f"c{number}") for number in range(count)]
            tenth = count // 10
            for at in range(0, count, tenth):
                print(f"{at:5} to {at + tenth:5}  {statistics.median(taken[at : at + tenth]) * 1e3:7.1f} ms")
            for name, of in (("medians", statistics.median), ("means", statistics.mean)):
                first, last = of(taken[:EDGE]), of(taken[-EDGE:])
                print(f"last {EDGE} / first {EDGE}, {name}: {last / first:.2f}")
            found = client("GET", f"/containers/c{count - 1}/json")
            print(f"name server: {statistics.median(lookups(found['State']['Pid'], count)) * 1e3:.2f} ms")
            engine.remove_all()
    finally:
        shutil.rmtree(tmp, ignore_errors=True)


if __name__ == "__main__":
    main()
