"""The config.json that `onggi-runtime spec` writes: a shell in its own namespaces, with few rights.

Source: OCI runtime specification 1.2, config.md and config-linux.md.
"""

from __future__ import annotations

from onggi.jsontext import dumps
from onggi.runtime.command import SPEC_VERSION

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_CAPABILITIES = ("CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE")
_MASKED = (
    "/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
    "/proc/timer_stats", "/proc/sched_debug", "/sys/firmware", "/proc/scsi",
)  # fmt: skip
_READ_ONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")


def _mount(target: str, fstype: str, source: str, options: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {"destination": target, "type": fstype, "source": source}
    if options:
        found["options"] = options.split(",")
    return found


def config() -> dict[str, Any]:
    """For root."""
    return {
        "ociVersion": SPEC_VERSION,
        "process": {
            "terminal": True,
            "user": {"uid": 0, "gid": 0},
            "args": ["sh"],
            "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"],
            "cwd": "/",
            "capabilities": {name: list(_CAPABILITIES) for name in ("bounding", "effective", "permitted")},
            "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}],
            "noNewPrivileges": True,
        },
        "root": {"path": "rootfs", "readonly": True},
        "hostname": "onggi",
        "mounts": [
            _mount("/proc", "proc", "proc"),
            _mount("/dev", "tmpfs", "tmpfs", "nosuid,strictatime,mode=755,size=65536k"),
            _mount("/dev/pts", "devpts", "devpts", "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5"),
            _mount("/dev/shm", "tmpfs", "shm", "nosuid,noexec,nodev,mode=1777,size=65536k"),
            _mount("/dev/mqueue", "mqueue", "mqueue", "nosuid,noexec,nodev"),
            _mount("/sys", "sysfs", "sysfs", "nosuid,noexec,nodev,ro"),
            _mount("/sys/fs/cgroup", "cgroup", "cgroup", "nosuid,noexec,nodev,relatime,ro"),
        ],
        "linux": {
            "resources": {"devices": [{"allow": False, "access": "rwm"}]},
            "namespaces": [{"type": kind} for kind in ("pid", "network", "ipc", "uts", "mount", "cgroup")],
            "maskedPaths": list(_MASKED),
            "readonlyPaths": list(_READ_ONLY),
        },
    }


def rootless(uid: int, gid: int) -> dict[str, Any]:
    """For a user: a user namespace with one id, the host's network and /sys."""
    document = config()
    mounts = [mount for mount in document["mounts"] if mount["destination"] not in ("/sys", "/sys/fs/cgroup")]
    for mount in mounts:
        mount["options"] = [word for word in mount.get("options", []) if not word.startswith("gid=")]
    document["mounts"] = [*mounts, _mount("/sys", "none", "/sys", "rbind,nosuid,noexec,nodev,ro")]
    linux = document["linux"]
    linux["namespaces"] = [{"type": kind} for kind in ("pid", "ipc", "uts", "mount", "cgroup", "user")]
    linux["uidMappings"] = [{"containerID": 0, "hostID": uid, "size": 1}]
    linux["gidMappings"] = [{"containerID": 0, "hostID": gid, "size": 1}]
    del linux["resources"]
    return document


def pretty(value: Any, indent: str = "") -> str:
    """JSON over several lines, tabs inside, as runc writes it."""
    inner = indent + "\t"
    if isinstance(value, dict) and value:
        lines = [f"{inner}{dumps(key)}: {pretty(item, inner)}" for key, item in value.items()]
        return "{\n" + ",\n".join(lines) + f"\n{indent}}}"
    if isinstance(value, list) and value:
        return "[\n" + ",\n".join(inner + pretty(item, inner) for item in value) + f"\n{indent}]"
    return dumps(value)
