"""What Docker refuses at create and update, in its words and before anything is made."""

from __future__ import annotations

import ipaddress
import os
import re

from onggi.engine import signals
from onggi.engine.oci import devices, namespaces, process, security
from onggi.errors import InvalidParameter
from onggi.spec.number import whole
from onggi.wire.containers import ContainerConfig, HostConfig, RestartPolicy
from onggi.wire.images import HealthConfig

NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+\Z")
MINIMUM_MEMORY = 6 * 1024 * 1024
MILLISECOND = 1_000_000
POLICIES = ("no", "always", "on-failure", "unless-stopped")


def name(text: str) -> str:
    """The name without its slash. Raises InvalidParameter."""
    bare = text.removeprefix("/")
    if not NAME.match(bare):
        raise InvalidParameter(f"Invalid container name ({text}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed")
    return bare


def config(wanted: ContainerConfig) -> None:
    """The container's half. Raises InvalidParameter."""
    if wanted.working_dir and not wanted.working_dir.startswith("/"):
        raise InvalidParameter(
            f"the working directory '{wanted.working_dir}' is invalid, it needs to be an absolute path"
        )
    if wanted.stop_signal:
        signals.parse(wanted.stop_signal)
    for item in wanted.env:
        if item.startswith("=") or not item:
            raise InvalidParameter(f"invalid environment variable: {item}")
    if len(wanted.hostname) > 64:  # HOST_NAME_MAX, sethostname(2)
        raise InvalidParameter(f"invalid hostname: {wanted.hostname}: longer than 64 characters")
    if wanted.stop_timeout is not None and wanted.stop_timeout < -1:
        raise InvalidParameter(f"invalid stop timeout: {wanted.stop_timeout}")
    if wanted.healthcheck is not None:
        _healthcheck(wanted.healthcheck)


def _healthcheck(check: HealthConfig) -> None:
    durations = (
        ("Interval", check.interval),
        ("Timeout", check.timeout),
        ("StartPeriod", check.start_period),
        ("StartInterval", check.start_interval),
    )
    for field, value in durations:
        if value != 0 and value < MILLISECOND:
            raise InvalidParameter(f"{field} in Healthcheck cannot be less than 1ms")
    if check.retries < 0:
        raise InvalidParameter("Retries in Healthcheck cannot be negative")
    if check.test and check.test[0] not in ("NONE", "CMD", "CMD-SHELL", ""):
        raise InvalidParameter(f"Unknown healthcheck type '{check.test[0]}' (expected 'CMD')")


def host(wanted: HostConfig) -> None:
    """The host's half. Raises InvalidParameter."""
    resources(wanted)
    restart_policy(wanted.restart_policy)
    if wanted.auto_remove and wanted.restart_policy.name not in ("", "no"):
        raise InvalidParameter("can't create 'AutoRemove' container with restart policy")
    if wanted.shm_size < 0:
        raise InvalidParameter("SHM size can not be less than 0")
    if not -1000 <= wanted.oom_score_adj <= 1000:
        raise InvalidParameter(
            f"Invalid value {wanted.oom_score_adj}, range for oom score adj is [-1000, 1000]"
        )
    if wanted.isolation not in ("", "default"):
        raise InvalidParameter(f"Invalid isolation: \"{wanted.isolation}\" - linux only supports 'default'")
    if not wanted.cgroup_parent.isprintable():
        raise InvalidParameter(f"invalid cgroup parent: {wanted.cgroup_parent!r}")
    namespaces.validate(wanted)
    security.capabilities(wanted)
    security.parse_options(wanted.security_opt)
    process.rlimits(wanted.ulimits)
    for rule in wanted.device_cgroup_rules:
        devices.parse_rule(rule)
    for item in wanted.extra_hosts:
        _extra_host(item)
    if wanted.log_config.type not in ("", "json-file", "none", "local"):
        raise InvalidParameter(f"logger: no log driver named '{wanted.log_config.type}' is registered")


def _extra_host(item: str) -> None:
    found, separator, address = item.partition(":")
    if not (separator and found and address):
        raise InvalidParameter(f'bad format for add-host: "{item}"')
    if address == "host-gateway":
        return
    try:
        ipaddress.ip_address(address.strip("[]"))
    except ValueError:
        raise InvalidParameter(f'invalid IP address in add-host: "{address}"') from None


def restart_policy(policy: RestartPolicy) -> None:
    """Raises InvalidParameter."""
    if policy.name and policy.name not in POLICIES:
        raise InvalidParameter(
            f"invalid restart policy: unknown policy '{policy.name}'; "
            "use one of 'no', 'always', 'on-failure', or 'unless-stopped'"
        )
    if policy.maximum_retry_count < 0:
        raise InvalidParameter("invalid restart policy: maximum retry count cannot be negative")
    if policy.maximum_retry_count and policy.name != "on-failure":
        raise InvalidParameter(
            "invalid restart policy: maximum retry count can only be used with 'on-failure'"
        )


def resources(wanted: HostConfig) -> None:
    """Limits, for create and update. Raises InvalidParameter."""
    _memory(wanted)
    _cpu(wanted)
    _cpuset("cpuset cpus", wanted.cpuset_cpus, "/sys/devices/system/cpu/online", "CPUs")
    _cpuset("cpuset mems", wanted.cpuset_mems, "/sys/devices/system/node/online", "memory nodes")
    if wanted.blkio_weight and not 10 <= wanted.blkio_weight <= 1000:
        raise InvalidParameter("Range of blkio weight is from 10 to 1000")


def _memory(wanted: HostConfig) -> None:
    memory, swap, reservation = wanted.memory, wanted.memory_swap, wanted.memory_reservation
    swappiness = wanted.memory_swappiness
    if memory and memory < MINIMUM_MEMORY:
        raise InvalidParameter("Minimum memory limit allowed is 6MB")
    if memory > 0 and 0 < swap < memory:
        raise InvalidParameter("Minimum memoryswap limit should be larger than memory limit, see usage")
    if memory == 0 and swap > 0:
        raise InvalidParameter(
            "You should always set the Memory limit when using Memoryswap limit, see usage"
        )
    if swappiness is not None and not -1 <= swappiness <= 100:
        raise InvalidParameter(f"Invalid value: {swappiness}, valid memory swappiness range is 0-100")
    if reservation and reservation < MINIMUM_MEMORY:
        raise InvalidParameter("Minimum memory reservation allowed is 6MB")
    if 0 < memory < reservation:
        raise InvalidParameter(
            "Minimum memory limit can not be less than memory reservation limit, see usage"
        )


def _cpu(wanted: HostConfig) -> None:
    if wanted.nano_cpus:
        if wanted.cpu_period:
            raise InvalidParameter("Conflicting options: Nano CPUs and CPU Period cannot both be set")
        if wanted.cpu_quota:
            raise InvalidParameter("Conflicting options: Nano CPUs and CPU Quota cannot both be set")
        cpus = len(os.sched_getaffinity(0))
        if not 0 < wanted.nano_cpus <= cpus * 1_000_000_000:
            raise InvalidParameter(
                f"range of CPUs is from 0.01 to {cpus}.00, as there are only {cpus} CPUs available"
            )
    if wanted.cpu_shares < 0:
        raise InvalidParameter(f"invalid CPU shares ({wanted.cpu_shares}): value must be a positive integer")
    if wanted.cpu_period and not 1000 <= wanted.cpu_period <= 1_000_000:
        raise InvalidParameter(
            "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)"
        )
    if wanted.cpu_quota > 0 and wanted.cpu_quota < 1000:
        raise InvalidParameter("CPU cfs quota can not be less than 1ms (i.e. 1000)")


def _cpuset(field: str, text: str, online: str, noun: str) -> None:
    if not text:
        return
    wanted = _numbers(text)
    if wanted is None:
        raise InvalidParameter(f"Invalid value {text} for {field}")
    try:
        with open(online) as file:
            available = file.read().strip()
    except FileNotFoundError:  # a kernel without NUMA has one node
        available = "0"
    if not wanted <= (_numbers(available) or set()):
        raise InvalidParameter(
            f"Requested {noun} are not available - requested {text}, available: {available}"
        )


def _numbers(text: str) -> set[int] | None:
    """`0-2,7` as a set, or None."""
    found: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.partition("-")
        begin, end = whole(first, 8191), whole(last if dash else first, 8191)
        if begin is None or end is None:
            return None
        found |= set(range(begin, end + 1))
    return found
