"""Which OCI runtime runs a container: the engine's own, or another program by its name (--runtime).

    onggi                          the engine's own: no program, see spawn/launch.py
    runc, io.containerd.runc.v2    the program runc where it is installed; else other names of the engine's
                                   own, so that who asks for Docker's default gets the default (and in a
                                   rootless engine, which refuses other runtimes)
    whatever --add-runtime and daemon.json's `runtimes` name

A container that another runtime holds has that runtime's command line in its record from before it is asked
to make anything until it has let go (ContainerRecord.runtime). Not here: how it is started
(runtime/compile/foreign.py, spawn/foreign.py).
"""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import msgspec

from onggi.errors import InvalidParameter, System

if TYPE_CHECKING:
    from collections.abc import Mapping

    from onggi.engine.config import EngineConfig
    from onggi.engine.record import ContainerRecord
    from onggi.paths import Paths
    from onggi.wire.containers import HostConfig

OWN = "onggi"
STOCK = ("runc", "io.containerd.runc.v2")
CALL_SECONDS = 30.0
OPEN_PLACES = ("/mnt", "/srv", "/media")
log = logging.getLogger(__name__)


class Program(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """One entry of daemon.json's `runtimes`, with dockerd's keys."""

    path: str = ""
    runtime_args: tuple[str, ...] = ()
    runtime_type: str = ""
    options: dict[str, object] = {}


def check(programs: Mapping[str, Program], default: str) -> None:
    """What dockerd refuses at its start, in its words. Raises InvalidParameter."""
    for name, program in programs.items():
        if name == OWN or name in STOCK:
            raise InvalidParameter(f"runtime name '{name}' is reserved")
        if not name or "/" in name or not name.isprintable():
            raise InvalidParameter(f"invalid runtime name: {name!r}")
        if program.runtime_type:
            raise InvalidParameter(
                f"runtime {name}: runtimeType {program.runtime_type} is a shim of containerd's; this engine "
                "has its own, and needs the path of an OCI runtime"
            )
        if not program.path:
            raise InvalidParameter(f"runtime {name}: either a runtimeType or a path must be configured")
        if program.options:
            raise InvalidParameter(f"runtime {name}: options cannot be used with a path runtime")
    if default != OWN and default not in STOCK and default not in programs:
        raise InvalidParameter(f"specified default runtime '{default}' does not exist")


def programs(config: EngineConfig) -> dict[str, Program]:
    """Every name that may be asked for; the engine's own runtime has no path."""
    stock = Program(path="" if config.rootless else shutil.which("runc") or "")
    return {OWN: Program(), **dict.fromkeys(STOCK, stock), **config.runtimes}


def check_create(config: EngineConfig, host: HostConfig) -> None:
    """Is there such a runtime, and can it do what is asked? Raises InvalidParameter."""
    program = _find(config, host.runtime or config.default_runtime)
    if program.path and host.security_learn:
        raise InvalidParameter(
            f"security-learn needs the engine's own runtime: {host.runtime or config.default_runtime} "
            "cannot be watched"
        )


def command(config: EngineConfig, name: str, paths: Paths) -> tuple[str, ...]:
    """The command line of a runtime up to the verb; empty for the engine's own. Raises InvalidParameter."""
    program = _find(config, name)
    if not program.path:
        return ()
    path = shutil.which(program.path) or program.path
    return (path, *program.runtime_args, "--root", paths.runtime_state(name))


def place(paths: Paths, record: ContainerRecord) -> str:
    """The directory on which its bundle lies, for its launcher alone.

    The root of a user namespace walks there by its path, and our own directories may be closed to it; what
    it mounts is taken before, so that any directory of every host's will do (hier(7)).
    """
    if record.id_maps is None:
        return paths.bundle_place
    return next((path for path in OPEN_PLACES if os.path.isdir(path)), paths.bundle_place)


def _find(config: EngineConfig, name: str) -> Program:
    found = programs(config).get(name)
    if found is None:
        raise InvalidParameter(f"unknown or invalid runtime name: {name}")
    if found.path and config.rootless:
        raise InvalidParameter(f"runtime {name}: a rootless engine runs containers by its own runtime")
    return found


def kill(record: ContainerRecord, number: int) -> None:
    """A signal to init: in a sandbox it is no process of the host's. Blocking. Raises System."""
    _call(record, "kill", record.id, str(number))


def sandboxed(record: ContainerRecord, pids: tuple[int, ...]) -> str:
    """The runtime's table of processes, where the host does not see them; `pids` are those in the cgroup.

    Blocking. Raises System.
    """
    text = _call(record, "ps", "--format", "json", record.id)
    try:
        found = msgspec.json.decode(text.strip() or "[]", type=list[int])
    except msgspec.DecodeError as error:
        raise System(f"{record.runtime[0]} ps: {error}: {text[:200]}") from None
    return "" if set(found) <= set(pids) else _call(record, "ps", record.id)


def release(record: ContainerRecord) -> None:
    """Have a runtime let go of what it still holds, whatever that is. Blocking.

    One that cannot (it is no longer installed) is named in the log; the caller ends what is in the cgroup.
    """
    try:
        _call(record, "delete", "--force", record.id)
    except System as error:
        log.error("container %s: %s", record.id, error.message)


def _call(record: ContainerRecord, *words: str) -> str:
    if not os.path.isabs(record.runtime[0]):
        raise System(f"{record.runtime[0]}: no such program")
    try:
        done = subprocess.run(
            [*record.runtime, *words], capture_output=True, timeout=CALL_SECONDS, check=False,
            stdin=subprocess.DEVNULL, cwd="/",
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise System(f"{record.runtime[0]} {words[0]}: {error}") from None
    if done.returncode:
        text = done.stderr.decode("utf-8", "replace").strip()
        raise System(f"{record.runtime[0]} {words[0]}: {text or f'exit status {done.returncode}'}")
    return done.stdout.decode("utf-8", "replace")
