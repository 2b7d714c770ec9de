"""onggi-runtime features: what this runtime supports, as OCI's features document (1.2, features.md)."""

from __future__ import annotations

import sys

from onggi import __version__
from onggi.kernel.capabilities import NAMES
from onggi.runtime.command import SPEC_VERSION
from onggi.runtime.example import pretty
from onggi.runtime.options import Option
from onggi.runtime.seccomp import words as seccomp
from onggi.runtime.verbs import line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from onggi.runtime.command import Runtime

OPTIONS: dict[str, Option] = {}
HOOKS = ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"]
NAMESPACES = ["cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts"]
MOUNT_OPTIONS = (
    "async atime bind defaults dev diratime dirsync exec iversion lazytime loud mand noatime nodev "
    "nodiratime noexec noiversion nolazytime nomand norelatime nostrictatime nosuid nosymfollow private "
    "ratime rbind rdev rdiratime relatime remount rexec rnoatime rnodev rnodiratime rnoexec rnorelatime "
    "rnostrictatime rnosuid rnosymfollow ro rprivate rrelatime rro rrw rshared rslave rstrictatime "
    "rsuid rsymfollow runbindable rw shared silent slave strictatime suid symfollow sync tmpcopyup "
    "unbindable"
)


def run(runtime: Runtime, words: list[str]) -> int:
    line.split("features", OPTIONS, words, "", 0, 0)
    sys.stdout.write(pretty(document()) + "\n")
    return 0


def document() -> dict[str, Any]:
    return {
        "ociVersionMin": "1.0.0",
        "ociVersionMax": SPEC_VERSION,
        "hooks": HOOKS,
        "mountOptions": MOUNT_OPTIONS.split(),
        "linux": {
            "namespaces": NAMESPACES,
            "capabilities": list(NAMES),
            "cgroup": {"v1": True, "v2": True, "systemd": False, "systemdUser": False, "rdma": True},
            "seccomp": {
                "enabled": True,
                "actions": sorted(set(seccomp.ACTIONS) - {"SCMP_ACT_NOTIFY"}),
                "operators": list(seccomp.OPERATORS),
                "archs": sorted(seccomp.ARCHES),
                "knownFlags": sorted(seccomp.FLAGS),
                "supportedFlags": sorted(seccomp.FLAGS),
            },
            "apparmor": {"enabled": True},
            "selinux": {"enabled": True},
            "intelRdt": {"enabled": False},
            "mountExtensions": {"idmap": {"enabled": True}},
        },
        "annotations": {"io.github.onggi.version": __version__},
    }
