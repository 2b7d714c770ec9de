"""AppArmor (apparmor(7)): the profile that containers get where the user names none.

The profile says what Docker's `docker-default` says, under the same name, so that `--security-opt
apparmor=docker-default` and rules that name it as a peer mean the same here: all that a container may do is
allowed, then writing below /proc and /sys is denied but for its own processes, shared memory and cgroups,
mounting is denied, and no process outside it may be traced. It denies again what masks and capabilities
deny, for the day when one of those has a hole (CVE-2025-31133 was one).

It is given to apparmor_parser(8) on its standard input and never lies on a disk. The host's own package
upgrades may unload it, so each start looks whether the kernel still has it. Blocking.
"""

from __future__ import annotations

import logging
import os
import subprocess
from functools import cache
from typing import TYPE_CHECKING

from onggi.engine.oci import security
from onggi.errors import System

if TYPE_CHECKING:
    from onggi.wire.containers import HostConfig

DEFAULT = "docker-default"
UNCONFINED = "unconfined"
PARSERS = ("/sbin/apparmor_parser", "/usr/sbin/apparmor_parser")
ENABLED = "/sys/module/apparmor/parameters/enabled"
LOADED = "/sys/kernel/security/apparmor/profiles"
RULES = "/etc/apparmor.d"
PARSE_SECONDS = 60

log = logging.getLogger(__name__)

# Of /proc: what is not a process's own directory. Names are matched by their first characters, since the
# language has no "all but": those that begin with no digit, or go on with what is neither digit nor "sys".
TEXT = """\
{tunables}
profile {name} flags=(attach_disconnected,mediate_deleted) {{
{base}
  network,
  capability,
  file,
  umount,

  # the engine, its shims and other runtimes may end what runs inside; the inside may signal itself
  signal (receive) peer=unconfined,
  signal (receive) peer=runc,
  signal (receive) peer=crun,
{daemon}  signal (send,receive) peer={name},

  # /proc: nothing but processes, and of /proc/sys only kernel/shm*
  deny @{{PROC}}/* w,
  deny @{{PROC}}/{{[^1-9],[^1-9][^0-9],[^1-9s][^0-9y][^0-9s],[^1-9][^0-9][^0-9][^0-9/]*}}/** w,
  deny @{{PROC}}/sys/[^k]** w,
  deny @{{PROC}}/sys/kernel/{{?,??,[^s][^h][^m]**}} w,
  deny @{{PROC}}/sysrq-trigger rwklx,
  deny @{{PROC}}/kcore rwklx,

  deny mount,

  # /sys: nothing but fs/cgroup
  deny /sys/[^f]*/** wklx,
  deny /sys/f[^s]*/** wklx,
  deny /sys/fs/[^c]*/** wklx,
  deny /sys/fs/c[^g]*/** wklx,
  deny /sys/fs/cg[^r]*/** wklx,
  deny /sys/firmware/** rwklx,
  deny /sys/devices/virtual/powercap/** rwklx,
  deny /sys/kernel/security/** rwklx,

  ptrace (trace,read,tracedby,readby) peer={name},
}}
"""


@cache
def is_on() -> bool:
    """A profile means something where the kernel has AppArmor and was started with it, and we may load one.

    Only root of the first user namespace may: a rootless engine's containers are not confined, as Docker's.
    """
    try:
        with open(ENABLED, encoding="ascii") as file:
            on = file.read().startswith("Y")
        if on and os.path.exists(LOADED):
            os.close(os.open(LOADED, os.O_RDONLY | os.O_CLOEXEC))
    except (FileNotFoundError, PermissionError):
        return False
    return on


@cache
def parser() -> str:
    """The program that loads profiles; empty where it is not installed."""
    return next((path for path in PARSERS if os.access(path, os.X_OK)), "")


def is_loaded(name: str) -> bool:
    """Does the kernel have this profile? Raises OSError where securityfs does not show it."""
    with open(LOADED, encoding="utf-8", errors="surrogateescape") as lines:
        return any(line.rpartition(" (")[0] == name for line in lines)


def of_container(host: HostConfig) -> str:
    """The profile that a container gets; empty where there is no AppArmor (create has warned).

    Raises InvalidParameter (--security-opt).
    """
    if not is_on():
        return ""
    asked = security.parse_options(host.security_opt).apparmor
    if asked or host.privileged:
        return asked or UNCONFINED
    if parser() or _loaded_by_others():
        return DEFAULT
    _warn()
    return UNCONFINED


def warning() -> str:
    """For `info`: AppArmor is there and cannot be used. Empty where all is well."""
    if not is_on() or parser() or _loaded_by_others():
        return ""
    return "WARNING: AppArmor is on, but apparmor_parser is not installed: containers run unconfined"


def ensure(name: str) -> None:
    """Before a process gets it: load the default profile where the kernel has lost it. Raises System."""
    if name != DEFAULT or is_loaded(DEFAULT):
        return
    if not parser():
        raise System(f"AppArmor profile {DEFAULT} is not loaded, and apparmor_parser is not installed")
    try:
        done = subprocess.run(
            [parser(), "-Kr"], input=text(), capture_output=True, text=True, timeout=PARSE_SECONDS
        )
    except subprocess.TimeoutExpired:
        raise System(f"AppArmor profile {DEFAULT}: apparmor_parser did not end") from None
    if done.returncode:
        raise System(
            "AppArmor enabled on system but the docker-default profile could not be loaded: "
            f"apparmor_parser -Kr: {done.stderr.strip() or done.stdout.strip()}"
        )
    log.info("AppArmor profile %s is loaded", DEFAULT)


def text() -> str:
    """The profile for this host, with the distribution's tunables and abstractions where there are any."""
    tunables = f"{RULES}/tunables/global"
    base = f"{RULES}/abstractions/base"
    own = _own_profile()
    return TEXT.format(
        name=DEFAULT,
        tunables="#include <tunables/global>" if os.path.exists(tunables) else "@{PROC}=/proc/",
        base="  #include <abstractions/base>" if os.path.exists(base) else "",
        daemon=f'  signal (receive) peer="{own}",\n' if own != UNCONFINED else "",
    )


def _own_profile() -> str:
    """What this engine itself runs under: "/usr/bin/x (enforce)" or "unconfined"."""
    for path in ("/proc/self/attr/apparmor/current", "/proc/self/attr/current"):
        try:
            with open(path, encoding="utf-8") as file:
                return file.read().strip("\0\n").rpartition(" (")[0] or UNCONFINED
        except FileNotFoundError:
            continue
    return UNCONFINED


def _loaded_by_others() -> bool:
    try:
        return is_loaded(DEFAULT)
    except OSError:
        return False


@cache
def _warn() -> None:
    log.warning("%s", warning().removeprefix("WARNING: "))
