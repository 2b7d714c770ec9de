"""How a container begins: reserve its id, compile, launch, record. What create and run share.

Commit point: the record (state.json) is written when init waits or runs. Before it, everything is undone:
launch() kills the child and runs the undo steps, and the reserved directory is removed.
"""

from __future__ import annotations

import os

from onggi.errors import Conflict, InvalidParameter
from onggi.runtime import bundle, cgroups, compile, console, state
from onggi.runtime.options import Option
from onggi.spawn.launch import launch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from onggi.runtime.command import Runtime
    from onggi.spawn.plan import Launched

OPTIONS = {
    "bundle": Option("path", "the bundle's directory (default: the current one)", short="b"),
    "console-socket": Option("path", "UNIX socket that gets the terminal's descriptor"),
    "pid-file": Option("path", "file for init's pid"),
    "no-pivot": Option(None, "enter the root without pivot_root"),
    "no-new-keyring": Option(None, "keep the caller's session keyring"),
    "preserve-fds": Option("num", "pass this many descriptors from 3 on"),
}


def begin(
    runtime: Runtime, container_id: str, options: dict[str, Any], *, wait: bool
) -> tuple[state.Container, Launched]:
    """Start a container, `wait`ing at its fifo. Raises Conflict, InvalidParameter, StepFailed."""
    bundle_dir = bundle.directory(options["bundle"])
    config = bundle.document(bundle_dir)
    terminal = bool(bundle.process(config).get("terminal"))
    if terminal and wait and not options["console-socket"]:
        raise InvalidParameter("cannot allocate tty if runc will detach without setting console socket")
    if options["console-socket"] and not terminal:
        raise InvalidParameter("cannot use console socket if runc will not detach or allocate tty")
    directory = state.reserve(runtime.root, container_id)
    try:
        return _launch(runtime, container_id, options, config, (bundle_dir, directory), wait)
    except BaseException:
        state.Container(runtime.root, container_id, {}, {}).forget()
        raise


def _launch(
    runtime: Runtime,
    container_id: str,
    options: dict[str, Any],
    config: dict[str, Any],
    places: tuple[str, str],
    wait: bool,
) -> tuple[state.Container, Launched]:
    bundle_dir, directory = places
    fifo = f"{directory}/exec.fifo" if wait else None
    if fifo:
        os.mkfifo(fifo, 0o622)
    layout = cgroups.detect()
    path = str((config.get("linux") or {}).get("cgroupsPath") or f"/{container_id}")
    path = path if path.startswith("/") else f"/{path}"
    plan = compile.container(
        config,
        container_id=container_id,
        bundle_dir=bundle_dir,
        layout=layout,
        cgroups_path=path,
        start_fifo=fifo,
        no_pivot=options["no-pivot"],
        new_keyring=not options["no-new-keyring"],
    )
    group = cgroups.open(layout, path)
    if group.exists() and group.frozen():
        raise Conflict(f"container's cgroup {path} unexpectedly frozen")
    for warning in plan["warnings"]:
        runtime.log("warning", warning)
    kept = {"started": plan["started"] if wait else [], "undo": plan["undo"]}
    if wait:
        plan["started"] = []  # they run behind `start`
    launched = launch(plan, 0, 1, 2, keep_fds=preserved(options))
    facts = {
        "id": container_id,
        "init_process_pid": launched.pid,
        "init_process_start": state.start_time(launched.pid),
        "created": state.created_now(),
        "bundle": bundle_dir,
        "rootfs": bundle.rootfs(config, bundle_dir),
        "owner": _owner(),
        "cgroup_path": path,
        "config": config,
    }
    container = state.Container(runtime.root, container_id, facts, kept)
    container.save()
    for warning in launched.warnings:
        runtime.log("warning", warning)
    if launched.console_fd is not None and options["console-socket"]:
        console.hand_over(options["console-socket"], launched.console_fd)
    if options["pid-file"]:
        write_pid_file(options["pid-file"], launched.pid)
    return container, launched


def preserved(options: dict[str, Any]) -> list[int]:
    """Descriptors from 3 on that the process keeps: --preserve-fds, and LISTEN_FDS of socket activation."""
    text, listen = options["preserve-fds"], os.environ.get("LISTEN_FDS", "")
    if text and not text.isdigit():
        raise InvalidParameter(f'invalid value "{text}" for flag -preserve-fds: not a whole number')
    found = list(range(3, 3 + int(text or 0) + (int(listen) if listen.isdigit() else 0)))
    for fd in found:
        try:
            os.fstat(fd)
        except OSError:
            raise InvalidParameter(f"--preserve-fds: descriptor {fd} is not open") from None
    return found


def write_pid_file(path: str, pid: int) -> None:
    """Whole or not at all: conmon and containerd poll for it."""
    directory, name = os.path.split(os.path.abspath(path))
    temporary = f"{directory}/.{name}"
    with open(temporary, "w", encoding="ascii") as file:
        file.write(str(pid))
    os.rename(temporary, path)


def _owner() -> str:
    """The caller's user name; pwd(5)'s own file, without the import."""
    wanted = str(os.geteuid())
    with open("/etc/passwd", encoding="utf-8", errors="replace") as users:
        for line in users:
            fields = line.split(":")
            if len(fields) > 2 and fields[2] == wanted:
                return fields[0]
    return ""
