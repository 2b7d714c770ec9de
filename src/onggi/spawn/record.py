"""What a shim leaves on disk: the exit record, and the state file beside its socket.

    containers/ID/exit.json   {"exit_code", "signal", "oom_killed", "pid", "started_at", "finished_at",
    "error"}
    shims/ID/state            lines of `word value`: shim PID, init PID, init_start TICKS

The exit record is written under another name and renamed: a reader sees all of it or none, whoever is killed
at
whatever instant. It is not synced, which would cost a disk's flush for each container: after a power cut it
may be missing or empty, which readers take for "no record" (engine/shims.py). That loses nothing, because a
run that was not ended before the cut has ended by it, and one that was is in the daemon's database.
"""

from __future__ import annotations

import os

from onggi import jsontext
from onggi.spawn import messages

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket
    from typing import Any

RECORD = "exit.json"
SOCKET = "sock"
STATE = "state"


def write_exit(container_dir: str, record: dict[str, Any]) -> None:
    """Write the exit record of a run. Raises OSError."""
    _replace(f"{container_dir}/{RECORD}", jsontext.dumps(record).encode())


def remove_exit(container_dir: str) -> None:
    """Remove the record of the run before, so that it is never taken for this one's."""
    try:
        os.unlink(f"{container_dir}/{RECORD}")
    except FileNotFoundError:
        return


def bind(shim_dir: str) -> _socket.socket:
    """Make a shim's directory and listen at its socket; what a killed shim left goes. Raises OSError."""
    try:
        os.mkdir(shim_dir, 0o700)
    except FileExistsError:
        pass  # of a shim that was killed, or somebody keeps something in it
    dir_fd = os.open(shim_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for name in (SOCKET, STATE):
            try:
                os.unlink(name, dir_fd=dir_fd)
            except FileNotFoundError:
                pass  # the usual case
        return messages.bind_at(dir_fd, SOCKET)
    finally:
        os.close(dir_fd)


def write_state(shim_dir: str, shim_pid: int, init_pid: int) -> None:
    """Say who supervises and who is supervised; for people and for crash recovery."""
    lines = f"shim {shim_pid}\ninit {init_pid}\ninit_start {start_ticks(init_pid)}\n"
    _replace(f"{shim_dir}/{STATE}", lines.encode())


def start_ticks(pid: int) -> int:
    """Start time of a process in clock ticks since boot (field 22 of /proc/PID/stat); 0 when it is gone.

    A pid with the same start time is the same process. The name in parentheses may contain anything.
    """
    try:
        with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:
            stat = file.read(4096)
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return int(stat[stat.rindex(b")") + 2 :].split()[19])


def _replace(path: str, content: bytes) -> None:
    partial = f"{path}.{os.getpid()}"
    fd = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, content)
    except OSError:
        os.unlink(partial)
        raise
    finally:
        os.close(fd)
    os.rename(partial, path)
