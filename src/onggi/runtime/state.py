"""What onggi-runtime keeps of a container between its commands.

    ROOT/ID/state.json     the record below: written whole, then renamed into place
    ROOT/ID/plan           marshal of the plan's `started` and `undo` steps, and of what exec needs
    ROOT/ID/exec.fifo      there while the container is created and not started

A container's status is never stored: it is read from init (alive, by pid and start time), the fifo and the
freezer. An id is a directory name, so it is checked before anything is opened.
Source: OCI runtime specification 1.2, runtime.md, "State".
"""

from __future__ import annotations

import fcntl
import marshal
import os
import time

from onggi.errors import Conflict, InvalidParameter, NotFound
from onggi.jsontext import dumps, loads
from onggi.runtime import cgroups
from onggi.runtime.command import SPEC_VERSION

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_ALLOWED = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+-.")
CREATED, RUNNING, PAUSED, STOPPED = "created", "running", "paused", "stopped"


class Container:
    """One container's record. `facts` is state.json, `plan` the steps that remain to be run."""

    __slots__ = ("directory", "facts", "id", "plan")

    def __init__(self, root: str, container_id: str, facts: dict[str, Any], plan: dict[str, Any]) -> None:
        self.id = container_id
        self.directory = f"{root}/{container_id}"
        self.facts = facts
        self.plan = plan

    @property
    def pid(self) -> int:
        return int(self.facts["init_process_pid"])

    @property
    def fifo(self) -> str:
        return f"{self.directory}/exec.fifo"

    @property
    def config(self) -> dict[str, Any]:
        """The document that the container was created from."""
        config: dict[str, Any] = self.facts["config"]
        return config

    def cgroup(self) -> cgroups.Cgroup:
        return cgroups.open(cgroups.detect(), self.facts["cgroup_path"])

    def alive(self) -> bool:
        """Is init there, and the one that was started? A zombie is not."""
        return start_time(self.pid) == int(self.facts["init_process_start"])

    def status(self) -> str:
        if not self.alive():
            return STOPPED
        if os.path.exists(self.fifo):
            return CREATED
        return PAUSED if self.cgroup().frozen() else RUNNING

    def state(self) -> dict[str, Any]:
        """OCI's state document, with the fields that runc adds."""
        status = self.status()
        return {
            "ociVersion": self.config.get("ociVersion") or SPEC_VERSION,
            "id": self.id,
            "pid": 0 if status == STOPPED else self.pid,
            "status": status,
            "bundle": self.facts["bundle"],
            "rootfs": self.facts["rootfs"],
            "created": self.facts["created"],
            "annotations": self.config.get("annotations") or {},
            "owner": self.facts["owner"],
        }

    def save(self) -> None:
        with open(f"{self.directory}/plan.new", "wb") as plan:
            plan.write(marshal.dumps(self.plan))
        os.rename(f"{self.directory}/plan.new", f"{self.directory}/plan")
        with open(f"{self.directory}/state.new", "w", encoding="utf-8") as file:
            file.write(dumps(self.facts))
        os.rename(f"{self.directory}/state.new", f"{self.directory}/state.json")

    def forget(self) -> None:
        """Remove the directory; nothing of the container is left in it."""
        with os.scandir(self.directory) as entries:
            for entry in entries:
                os.unlink(entry.path)
        os.rmdir(self.directory)


def checked(container_id: str) -> str:
    if (
        not container_id
        or container_id in (".", "..")
        or not set(container_id) <= _ALLOWED
        or len(container_id) > 1024
    ):
        raise InvalidParameter(f"invalid container id format: {container_id!r}")
    return container_id


def reserve(root: str, container_id: str) -> str:
    """Make the container's directory. Raises Conflict where the id is taken."""
    os.makedirs(root, 0o711, exist_ok=True)
    directory = f"{root}/{checked(container_id)}"
    try:
        os.mkdir(directory, 0o711)
    except FileExistsError:
        raise Conflict("container with given ID already exists") from None
    return directory


def load(root: str, container_id: str) -> Container:
    """Raises NotFound("container does not exist"), which containerd and podman look for."""
    directory = f"{root}/{checked(container_id)}"
    try:
        with open(f"{directory}/state.json", encoding="utf-8") as file:
            facts = loads(file.read())
        with open(f"{directory}/plan", "rb") as plan:
            steps = marshal.loads(plan.read())
    except FileNotFoundError:
        raise NotFound("container does not exist") from None
    return Container(root, container_id, facts, steps)


def listed(root: str) -> list[Container]:
    """All containers, by id; one that goes away meanwhile is left out."""
    found = []
    for name in sorted(os.listdir(root)) if os.path.isdir(root) else []:
        try:
            found.append(load(root, name))
        except NotFound:
            continue
    return found


def start_time(pid: int) -> int:
    """Field 22 of /proc/PID/stat, in ticks since boot; 0 where there is no such process, or only its
    zombie.
    """
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return 0 if fields[0] in (b"Z", b"X") else int(fields[19])


def created_now() -> str:
    """RFC 3339 with nanoseconds, in UTC."""
    now = time.time_ns()
    return (
        f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(now // 1_000_000_000))}.{now % 1_000_000_000:09d}Z"
    )


class Lock:
    """One command at a time on one container: flock(2) on its directory, gone with the process."""

    __slots__ = ("_fd",)

    def __init__(self, directory: str) -> None:
        self._fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        fcntl.flock(self._fd, fcntl.LOCK_EX)

    def __enter__(self) -> Lock:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)
