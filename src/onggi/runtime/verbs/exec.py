"""onggi-runtime exec ID COMMAND: one more process in a running container."""

from __future__ import annotations

from onggi.errors import Conflict, InvalidParameter
from onggi.runtime import beginning, bundle, capabilities, cgroups, compile, console, state
from onggi.runtime.options import Option
from onggi.runtime.verbs import line
from onggi.spawn.join import join

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from onggi.runtime.command import Runtime

OPTIONS = {
    "console-socket": Option("path", "UNIX socket that gets the terminal's descriptor"),
    "cwd": Option("path", "current directory in the container"),
    "env": Option("K=V", "one more variable", short="e", many=True),
    "tty": Option(None, "give it a terminal", short="t"),
    "user": Option("uid[:gid]", "who it runs as", short="u"),
    "additional-gids": Option("gid", "one more group", short="g", many=True),
    "process": Option("file", "OCI process document", short="p"),
    "detach": Option(None, "do not wait for its end", short="d"),
    "pid-file": Option("path", "file for its pid"),
    "process-label": Option("label", "SELinux label"),
    "apparmor": Option("profile", "AppArmor profile"),
    "no-new-privs": Option(None, "set no_new_privs"),
    "cap": Option("name", "one more capability", short="c", many=True),
    "preserve-fds": Option("num", "pass this many descriptors from 3 on"),
    "cgroup": Option("path", "refused: it runs in the container's own group", many=True),
    "ignore-paused": Option(None, "start it in a paused container, where it waits"),
    "no-subreaper": Option(None, "accepted for runc's sake: this command is never a subreaper"),
}


def run(runtime: Runtime, words: list[str]) -> int:
    options, rest = line.split("exec", OPTIONS, words, "[options] ID COMMAND [args]", 1, 100_000)
    if options["cgroup"]:
        raise InvalidParameter("--cgroup: a process of its own group is not supported")
    container = state.load(runtime.root, rest[0])
    status = container.status()
    if status == state.STOPPED:
        raise Conflict("cannot exec in a stopped container")
    if status == state.PAUSED and not options["ignore-paused"]:
        raise Conflict("cannot exec in a paused container (use --ignore-paused to override)")
    document = process_document(container, options, rest[1:])
    if document.get("terminal") and options["detach"] and not options["console-socket"]:
        raise InvalidParameter("cannot allocate tty if runc will detach without setting console socket")
    plan = compile.process(
        document,
        container=container.config,
        container_id=container.id,
        init_pid=container.pid,
        layout=cgroups.detect(),
        cgroups_path=container.facts["cgroup_path"],
    )
    launched = join(plan, 0, 1, 2, keep_fds=beginning.preserved(options))
    console_fd = launched.console_fd
    if console_fd is not None and options["console-socket"]:
        console.hand_over(options["console-socket"], console_fd)
        console_fd = None
    if options["pid-file"]:
        beginning.write_pid_file(options["pid-file"], launched.pid)
    return 0 if options["detach"] else console.attend(launched.pid, launched.pidfd, console_fd)


def process_document(container: state.Container, options: dict[str, Any], args: list[str]) -> dict[str, Any]:
    """--process as it is, else the container's own process with what the flags change."""
    if options["process"]:
        return bundle.read(options["process"], "process file not found")
    if not args:
        raise InvalidParameter("process args cannot be empty")
    document = dict(bundle.process(container.config))
    document["args"] = args
    document["terminal"] = options["tty"]
    document["env"] = [*(document.get("env") or []), *options["env"]]
    if options["cwd"]:
        document["cwd"] = options["cwd"]
    if options["user"] or options["additional-gids"]:
        document["user"] = _user(document.get("user") or {}, options)
    if options["no-new-privs"]:
        document["noNewPrivileges"] = True
    for flag, key in (("process-label", "selinuxLabel"), ("apparmor", "apparmorProfile")):
        if options[flag]:
            document[key] = options[flag]
    if options["cap"]:
        document["capabilities"] = _with(document.get("capabilities") or {}, options["cap"])
    return document


def _user(user: dict[str, Any], options: dict[str, Any]) -> dict[str, Any]:
    changed = dict(user)
    uid, colon, gid = options["user"].partition(":")
    for key, text in (("uid", uid), ("gid", gid)):
        if text:
            changed[key] = _id(text, key)
    if colon and not gid:
        raise InvalidParameter(f'parsing "{options["user"]}" as gid:gid failed')
    groups = [_id(text, "gid") for text in options["additional-gids"]]
    if groups:
        changed["additionalGids"] = [*(user.get("additionalGids") or []), *groups]
    return changed


def _id(text: str, what: str) -> int:
    if not text.isdigit():
        raise InvalidParameter(f'parsing "{text}" as int for {what} failed')
    return int(text)


def _with(sets: dict[str, list[str]], names: list[str]) -> dict[str, list[str]]:
    """The capabilities in the bounding, effective and permitted sets, and ambient where others are."""
    more = [capabilities.normal(name) for name in names if capabilities.number(name) >= 0]
    found = {key: list(values or []) for key, values in sets.items()}
    for key in ("bounding", "effective", "permitted"):
        found[key] = list(dict.fromkeys([*found.get(key, []), *more]))
    return found
