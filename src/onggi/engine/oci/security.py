"""What a container may do: capabilities, seccomp, masked paths, and --security-opt.

The default sets are Docker's. Capabilities that the daemon itself lacks cannot be given away: "all" means all
that are in its own bounding set (capabilities(7)).
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec

from onggi.engine.oci import seccomp_profiles
from onggi.errors import InvalidParameter
from onggi.runtime import seccomp
from onggi.wire.containers import HostConfig

if TYPE_CHECKING:
    from onggi.engine.config import EngineConfig

DEFAULT_CAPABILITIES = (
    "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID",
    "CAP_SETUID", "CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL",
    "CAP_AUDIT_WRITE",
)  # fmt: skip

# In the order of their numbers, linux/capability.h.
ALL_CAPABILITIES = (
    "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL",
    "CAP_SETGID", "CAP_SETUID", "CAP_SETPCAP", "CAP_LINUX_IMMUTABLE", "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST", "CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_IPC_LOCK", "CAP_IPC_OWNER",
    "CAP_SYS_MODULE", "CAP_SYS_RAWIO", "CAP_SYS_CHROOT", "CAP_SYS_PTRACE", "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN", "CAP_SYS_BOOT", "CAP_SYS_NICE", "CAP_SYS_RESOURCE", "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG", "CAP_MKNOD", "CAP_LEASE", "CAP_AUDIT_WRITE", "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP", "CAP_MAC_OVERRIDE", "CAP_MAC_ADMIN", "CAP_SYSLOG", "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND", "CAP_AUDIT_READ", "CAP_PERFMON", "CAP_BPF", "CAP_CHECKPOINT_RESTORE",
)  # fmt: skip

MASKED_PATHS = (
    "/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
    "/proc/sched_debug", "/proc/scsi", "/proc/timer_list", "/proc/timer_stats",
    "/sys/devices/virtual/powercap", "/sys/firmware",
)  # fmt: skip
READONLY_PATHS = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")


class SecurityOptions(msgspec.Struct, frozen=True, kw_only=True):
    """--security-opt, read."""

    seccomp: str = ""  # "", "unconfined", "builtin", or a profile's JSON
    default_seccomp: str = (
        ""  # the same, of the engine: for containers that say nothing and are not privileged
    )
    apparmor: str = ""
    no_new_privileges: bool = False
    labels: tuple[str, ...] = ()
    unconfined_paths: bool = False
    writable_cgroups: bool = False


def options_of(host: HostConfig, config: EngineConfig) -> SecurityOptions:
    """What a container asked for, over the engine's defaults. Raises InvalidParameter."""
    found = parse_options(host.security_opt, no_new_privileges=config.no_new_privileges)
    return msgspec.structs.replace(found, default_seccomp=config.seccomp)


def parse_options(options: list[str], *, no_new_privileges: bool = False) -> SecurityOptions:
    """Read --security-opt. Raises InvalidParameter in Docker's words."""
    values: dict[str, object] = {"no_new_privileges": no_new_privileges}
    labels: list[str] = []
    for option in options:
        if option == "no-new-privileges":
            values["no_new_privileges"] = True
            continue
        if option == "disable":
            labels.append("disable")
            continue
        at = min((i for i in (option.find("="), option.find(":")) if i >= 0), default=-1)
        if at < 0:
            raise InvalidParameter(f'invalid --security-opt 1: "{option}"')
        key, value = option[:at], option[at + 1 :]
        match key:
            case "label":
                labels.append(value)
            case "apparmor":
                values["apparmor"] = value
            case "seccomp":
                values["seccomp"] = value
            case "systempaths":
                values["unconfined_paths"] = value == "unconfined"
            case "no-new-privileges":
                values["no_new_privileges"] = _boolean(option, value)
            case "writable-cgroups":
                values["writable_cgroups"] = _boolean(option, value)
            case _:
                raise InvalidParameter(f'invalid --security-opt 2: "{option}"')
    return msgspec.convert({**values, "labels": labels}, SecurityOptions)


def _boolean(option: str, value: str) -> bool:
    if value.lower() in ("1", "t", "true"):
        return True
    if value.lower() in ("0", "f", "false"):
        return False
    raise InvalidParameter(f'invalid --security-opt 2: "{option}"')


@cache
def _bounding_set() -> frozenset[str]:
    with open("/proc/self/status") as file:
        mask = next(int(line.split()[1], 16) for line in file if line.startswith("CapBnd:"))
    return frozenset(name for bit, name in enumerate(ALL_CAPABILITIES) if mask >> bit & 1)


def normalize_capability(name: str, field: str) -> str:
    """`net_admin` -> `CAP_NET_ADMIN`; ALL stays. Raises InvalidParameter."""
    upper = name.upper()
    if upper == "ALL":
        return upper
    full = upper if upper.startswith("CAP_") else f"CAP_{upper}"
    if full not in ALL_CAPABILITIES:
        raise InvalidParameter(f'invalid {field}: unknown capability: "{full}"')
    if full not in _bounding_set() and field == "CapAdd":
        raise InvalidParameter(
            f"invalid {field}: capability not supported by your kernel or not available in the current"
            f' environment: "{full}"'
        )
    return full


def capabilities(host: HostConfig) -> list[str]:
    """The one set that bounding, permitted and effective get. Raises InvalidParameter."""
    everything = [name for name in ALL_CAPABILITIES if name in _bounding_set()]
    adds = [normalize_capability(name, "CapAdd") for name in host.cap_add]
    drops = {normalize_capability(name, "CapDrop") for name in host.cap_drop}
    if host.privileged:
        return everything
    if "ALL" in adds:
        return [name for name in everything if name not in drops]
    kept = (
        [] if "ALL" in drops else [n for n in DEFAULT_CAPABILITIES if n not in drops and n in _bounding_set()]
    )
    return kept + [name for name in adds if name not in kept]


@cache
def _default_profile(capabilities: tuple[str, ...]) -> dict[str, Any]:
    return seccomp.default_profile(capabilities)


def seccomp_profile(
    host: HostConfig, options: SecurityOptions, capabilities: list[str], *, limited: bool = False
) -> dict[str, Any] | None:
    """The policy, or None where there is none. Raises InvalidParameter for a profile that is not JSON.

    `limited`: there is a disk quota, which who owns a file could leave without it.
    """
    wanted = options.seccomp or ("unconfined" if host.privileged else options.default_seccomp)
    if wanted == "unconfined":
        return None
    profile = _wanted_profile(wanted, capabilities)
    return seccomp_profiles.within_quota(profile) if limited else profile


def _wanted_profile(wanted: str, capabilities: list[str]) -> dict[str, Any]:
    if wanted in ("", "builtin"):
        return _default_profile(tuple(capabilities))
    try:
        profile = msgspec.json.decode(wanted, type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise InvalidParameter(f"Decoding seccomp profile failed: {error}") from None
    return seccomp_profiles.resolve(profile, capabilities)
