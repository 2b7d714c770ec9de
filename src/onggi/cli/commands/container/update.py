"""Change the limits of containers."""

from __future__ import annotations

from onggi.cli import ports
from onggi.cli.commands import each
from onggi.cli.errors import CommandError
from onggi.cli.options import request

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from onggi.cli.flags import Flags
    from onggi.cli.session import Session

USAGE = "CONTAINER [CONTAINER...]"
ARGUMENTS = (1, None)
FLAGS = (
    ("bandwidth-in", "", "string", "", "How fast it may receive (10mbit), or 0 for no limit"),
    ("bandwidth-network", "", "string", "", "The network that is limited; all of its networks by default"),
    ("bandwidth-out", "", "string", "", "How fast it may send (10mbit), or 0 for no limit"),
    ("blkio-weight", "", "uint16", 0, "Share of block I/O, 10 to 1000, or 0 to leave it"),
    ("cpu-period", "", "int", 0, "Length of the CPU scheduler's period, in microseconds"),
    ("cpu-quota", "", "int", 0, "CPU time in each period, in microseconds"),
    ("cpu-rt-period", "", "int", 0, "Length of the real-time period, in microseconds"),
    ("cpu-rt-runtime", "", "int", 0, "Real-time CPU time in each period, in microseconds"),
    ("cpu-shares", "c", "int", 0, "Share of CPU time, relative to others"),
    ("cpus", "", "decimal", None, "How many CPUs, such as 1.5"),
    ("cpuset-cpus", "", "string", "", "CPUs to run on (0-3, 0,1)"),
    ("cpuset-mems", "", "string", "", "Memory nodes to use (0-3, 0,1)"),
    ("memory", "m", "bytes", 0, "Limit of memory"),
    ("memory-reservation", "", "bytes", 0, "Soft limit of memory"),
    ("memory-swap", "", "bytes:swap", 0, "Limit of memory and swap together, -1 for no limit of swap"),
    ("pids-limit", "", "int", 0, "Limit of processes, -1 for none"),
    ("publish-add", "", "list", None, "Publish one more port on the host"),
    ("publish-rm", "", "list", None, "Withdraw a published port (80/tcp, 8080:80)"),
    ("restart", "", "string", "", "When to start again"),
)


def run(session: Session, flags: Flags, args: list[str]) -> int:
    if not flags.given:
        raise CommandError("you must provide one or more flags when using this command")
    body: dict[str, Any] = {
        "BlkioWeight": flags["blkio-weight"],
        "CpuShares": flags["cpu-shares"],
        "NanoCpus": flags["cpus"] or 0,
        "CpuPeriod": flags["cpu-period"],
        "CpuQuota": flags["cpu-quota"],
        "CpuRealtimePeriod": flags["cpu-rt-period"],
        "CpuRealtimeRuntime": flags["cpu-rt-runtime"],
        "CpusetCpus": flags["cpuset-cpus"],
        "CpusetMems": flags["cpuset-mems"],
        "Memory": flags["memory"],
        "MemoryReservation": flags["memory-reservation"],
        "MemorySwap": flags["memory-swap"],
        "RestartPolicy": request.restart(flags["restart"]),
    }
    if "pids-limit" in flags.given:
        body["PidsLimit"] = flags["pids-limit"]
    if flags["publish-add"] or flags["publish-rm"]:
        _, body["PublishAdd"] = ports.publish(flags["publish-add"])
        body["PublishRm"] = flags["publish-rm"]
    for flag, key in (("bandwidth-in", "BandwidthIn"), ("bandwidth-out", "BandwidthOut")):
        if flag in flags.given:
            body[key] = flags[flag]
    body["BandwidthNetwork"] = flags["bandwidth-network"]
    warnings: list[str] = []

    def update(name: str) -> None:
        answer = session.engine.post(f"/containers/{name}/update", body)
        warnings.extend(answer.get("Warnings") or [])

    status = each.run(session, args, update)
    if warnings:
        session.out("\n".join(warnings))
    return status
