"""Documents of containers on a busybox root, and what runs them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from onggi.kernel import processes
from onggi.runtime import compile
from onggi.spawn.launch import finish, launch

BUSYBOX = "/bin/busybox"
DEFAULT_CAPS = ["CAP_CHOWN", "CAP_KILL", "CAP_SETUID", "CAP_SETGID", "CAP_NET_BIND_SERVICE", "CAP_MKNOD"]
MOUNTS: list[dict[str, Any]] = [
    {"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"]},
    {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "strictatime", "mode=755"]},  # noqa: E501
    {
        "destination": "/dev/pts",
        "type": "devpts",
        "source": "devpts",
        "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
    },
    {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"]},  # noqa: E501
    {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": ["nosuid", "noexec", "nodev"]},  # noqa: E501
    {"destination": "/dev/shm", "type": "tmpfs", "source": "shm", "options": ["nosuid", "mode=1777", "size=1m"]},  # noqa: E501
]  # fmt: skip
NAMESPACES = ["mount", "pid", "network", "ipc", "uts", "cgroup"]


def config(root: Path, *args: str, **process: Any) -> dict[str, Any]:
    """A document like Docker's defaults; tests change what they are about."""
    return {
        "ociVersion": "1.2.0",
        "root": {"path": str(root)},
        "hostname": "jar",
        "process": {
            "args": list(args),
            "env": ["PATH=/bin"],
            "cwd": "/",
            "user": {"uid": 0, "gid": 0},
            "capabilities": dict.fromkeys(("bounding", "effective", "permitted"), DEFAULT_CAPS),
            **process,
        },
        "mounts": [dict(mount) for mount in MOUNTS],
        "linux": {
            "namespaces": [{"type": kind} for kind in NAMESPACES],
            "maskedPaths": [
                "/proc/kcore",
                "/proc/keys",
                "/proc/acpi",
                "/proc/scsi",
                "/sys/firmware",
                "/proc/none",
            ],
            "readonlyPaths": ["/proc/sys", "/proc/bus", "/proc/sysrq-trigger"],
        },
    }


class Runner:
    """Runs documents and collects what they print."""

    def __init__(self, tmp_path: Path) -> None:
        self.tmp_path = tmp_path

    def __call__(self, document: dict[str, Any], *, stdin: bytes = b"", **options: Any) -> tuple[int, str]:
        plan = compile.container(document, container_id="test", bundle_dir=str(self.tmp_path), **options)
        return self.plan(plan, stdin=stdin)

    def plan(
        self, plan: dict[str, Any], *, stdin: bytes = b"", start: Callable[..., Any] = launch
    ) -> tuple[int, str]:
        (self.tmp_path / "stdin").write_bytes(stdin)
        with open(self.tmp_path / "stdin", "rb") as given, open(self.tmp_path / "out", "w+b") as out:
            started = start(plan, given.fileno(), out.fileno(), out.fileno())
            text = b""
            try:
                if started.console_fd is not None:
                    while chunk := _read(started.console_fd):
                        text += chunk
                    os.close(started.console_fd)
                code = processes.wait_pidfd(started.pidfd)
            finally:
                os.close(started.pidfd)
            failed = finish(plan, started.pid)
            assert failed == []
            out.seek(0)
            assert code is not None
            return code, (text + out.read()).decode()


def _read(fd: int) -> bytes:
    try:
        return os.read(fd, 65536)
    except OSError:
        return b""  # EIO: the other end is closed
