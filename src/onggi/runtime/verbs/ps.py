"""onggi-runtime ps ID [ps options]: the container's processes, in ps(1)'s table or as JSON numbers."""

from __future__ import annotations

import os
import sys

from onggi.errors import InvalidParameter, System
from onggi.jsontext import dumps
from onggi.runtime import state
from onggi.runtime.options import Option
from onggi.runtime.verbs import line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from onggi.runtime.command import Runtime

OPTIONS = {"format": Option("table|json", "form of the list", short="f", default="table")}


def run(runtime: Runtime, words: list[str]) -> int:
    options, rest = line.split("ps", OPTIONS, words, "[options] ID [ps options]", 1, 1000)
    pids = state.load(runtime.root, rest[0]).cgroup().pids()
    if options["format"] == "json":
        sys.stdout.write(dumps(pids) + "\n")
        return 0
    if options["format"] != "table":
        raise InvalidParameter("invalid format option")
    sys.stdout.write(selected(ps_output(rest[1:] or ["-ef"]), pids))
    return 0


def selected(output: str, pids: list[int]) -> str:
    """The heading and the lines whose column PID is one of `pids`."""
    heading, *rows = output.splitlines()
    columns = heading.split()
    if "PID" not in columns:
        raise System("couldn't find PID field in ps output")
    column = columns.index("PID")
    wanted = {str(pid) for pid in pids}
    kept = [row for row in rows if len(row.split()) > column and row.split()[column] in wanted]
    return "\n".join([heading, *kept]) + "\n"


def ps_output(arguments: list[str]) -> str:
    read_fd, write_fd = os.pipe2(os.O_CLOEXEC)
    pid = os.posix_spawnp(
        "ps", ["ps", *arguments], os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, write_fd, 1)]
    )
    os.close(write_fd)
    with open(read_fd, encoding="utf-8", errors="replace") as output:
        text = output.read()
    _, status = os.waitpid(pid, 0)
    if status != 0:
        raise System(f"ps {' '.join(arguments)}: exit status {os.waitstatus_to_exitcode(status)}")
    return text
