"""Options that this host's kernel cannot carry out: taken out, with a warning, as Docker does."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec

from onggi.engine import apparmor
from onggi.engine.containers import limits
from onggi.engine.oci import security

if TYPE_CHECKING:
    from onggi.runtime.cgroups.layout import Layout
    from onggi.wire.containers import HostConfig

NO_SWAP = (
    "Your kernel does not support swap limit capabilities or the cgroup is not mounted. "
    "Memory limited without swap."
)
NO_OOM_CONTROL = "Your kernel does not support OomKillDisable. OomKillDisable discarded."
OOM_WITHOUT_LIMIT = (
    "OOM killer is disabled for the container, but no memory limit is set, "
    "this can result in the system running out of resources."
)
NO_APPARMOR = "Your kernel does not support AppArmor. The profile {} is discarded."
NO_SELINUX = "SELinux is not enabled for this engine. Labels discarded: {}."


def discard(layout: Layout, host: HostConfig) -> tuple[HostConfig, list[str]]:
    """The host's half with what can be held to, and a warning for each thing that cannot."""
    host, warnings = limits.discard(layout, host)
    changes: dict[str, object] = {}
    if host.memory_swap > 0 and not _swap_is_limited(layout):
        warnings.append(NO_SWAP)
        changes["memory_swap"] = -1
    if host.oom_kill_disable:
        if "memory" not in layout.v1:
            warnings.append(NO_OOM_CONTROL)
            changes["oom_kill_disable"] = None
        elif not host.memory:
            warnings.append(OOM_WITHOUT_LIMIT)
    options = security.parse_options(host.security_opt)
    if options.apparmor not in ("", apparmor.UNCONFINED) and not apparmor.is_on():
        warnings.append(NO_APPARMOR.format(options.apparmor))
    labels = [label for label in options.labels if label != "disable"]
    if labels:
        warnings.append(NO_SELINUX.format(", ".join(labels)))
    return msgspec.structs.replace(host, **changes), warnings


def _swap_is_limited(layout: Layout) -> bool:
    if "memory" not in layout.v1:
        return True
    return os.path.exists(layout.directory("memory", "") + "/memory.memsw.limit_in_bytes")
