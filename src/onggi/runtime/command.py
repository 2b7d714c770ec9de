"""onggi-runtime: the OCI runtime command, with runc's verbs, options, messages and exit codes.

    onggi-runtime [global options]
    create|start|state|kill|delete|exec|run|ps|pause|resume|update|events|spec|list|features

An error is one line on stderr and, where --log names a file, one record in it (text or JSON): containerd,
podman and dockerd read the last record. Exit code 1 is an error of the runtime; `run` and `exec` without
--detach exit with the process's own. Only the verb's own modules are imported: start-up is a part of every
container's start.

Source: runc(8), opencontainers/runtime-tools' command line interface.
"""

from __future__ import annotations

import os
import sys
import time

from onggi import __version__
from onggi.errors import InvalidParameter, OnggiError
from onggi.jsontext import dumps
from onggi.runtime.options import Option, parse
from onggi.spawn.plan import StepFailed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

VERBS = {
    "create": "create a container, and wait before its process starts",
    "delete": "delete what a container holds",
    "events": "figures and out-of-memory notices of a container",
    "exec": "run a process inside a container",
    "features": "show what this runtime supports",
    "kill": "send a signal to a container's processes",
    "list": "list containers",
    "pause": "stop all processes of a container where they are",
    "ps": "show the processes of a container",
    "resume": "let the processes of a paused container go on",
    "run": "create and start a container",
    "spec": "write an example config.json",
    "start": "start the process of a created container",
    "state": "show a container's state",
    "update": "change a container's limits",
}
SPEC_VERSION = "1.2.0"

GLOBAL = {
    "root": Option("path", "directory of the containers' state"),
    "log": Option("path", "file for errors and warnings"),
    "log-format": Option("text|json", "form of the log", default="text"),
    "debug": Option(None, "log more"),
    "systemd-cgroup": Option(None, "refused: cgroups are made without systemd"),
    "rootless": Option(
        "auto|true|false", "ignore cgroup errors that a user without root cannot avoid", default="auto"
    ),
    "criu": Option("path", "refused: there is no checkpoint"),
    "help": Option(None, "show this help", short="h"),
    "version": Option(None, "show the version", short="v"),
}


class Runtime:
    """What the global options say; handed to each verb."""

    __slots__ = ("debug", "log_format", "log_path", "root")

    def __init__(self, options: dict[str, Any]) -> None:
        self.root: str = options["root"] or default_root()
        self.log_path: str = options["log"]
        self.log_format: str = options["log-format"]
        self.debug: bool = options["debug"]

    def log(self, level: str, message: str) -> None:
        """One record to the log file; without one, warnings and errors go to stderr."""
        if level == "debug" and not self.debug:
            return
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        if self.log_format == "json":
            line = dumps({"level": level, "msg": message, "time": now})
        else:
            line = f'time="{now}" level={level} msg={dumps(message)}'
        if not self.log_path:
            if level != "error":
                sys.stderr.write(line + "\n")
            return
        with open(self.log_path, "a", encoding="utf-8") as file:
            file.write(line + "\n")


def default_root() -> str:
    """Where state is kept: /run for root, the user's runtime directory for others."""
    user_dir = os.environ.get("XDG_RUNTIME_DIR")
    return f"{user_dir}/onggi-runtime" if os.geteuid() != 0 and user_dir else "/run/onggi-runtime"


def main(words: list[str] | None = None) -> int:
    """Run one command line (without the program's name); the exit code."""
    words = sys.argv[1:] if words is None else words
    try:
        options, rest = parse("onggi-runtime", GLOBAL, words)
    except OnggiError as error:
        sys.stderr.write(f"{error.message}\n")
        return 1
    if options["version"]:
        sys.stdout.write(f"onggi-runtime version {__version__}\nspec: {SPEC_VERSION}\n")
        return 0
    if options["help"] or not rest or rest[0] in ("help", "h"):
        sys.stdout.write(overview())
        return 0
    runtime = Runtime(options)
    try:
        _refuse(options)
        return _verb(rest[0])(runtime, rest[1:])
    except (OnggiError, StepFailed, OSError) as error:
        text = told(error)
        runtime.log("error", text)
        sys.stderr.write(f"{text}\n" if runtime.log_path else f"ERRO[0000] {text}\n")
        return 255 if rest[0] == "exec" else 1  # as runc: not to be taken for the process's own


def told(error: Exception) -> str:
    """An error in one line; the program that could not be executed in the words that dockerd looks for."""
    if isinstance(error, OnggiError):
        return error.message
    if isinstance(error, StepFailed):
        text = f"unable to start container process: {error.text}"
        if error.step in ("find", "exec"):
            reason = (
                "executable file not found in $PATH" if error.errno == 2 else error.text.rpartition(": ")[2]
            )
            text = f'unable to start container process: exec: "{error.argument}": {reason}'
        return f"container create failed: {text}" if error.exit_code == 125 else text
    assert isinstance(error, OSError)
    where = f" {error.filename}" if error.filename else ""
    return f"{(error.strerror or str(error)).lower()}{where}"


def overview() -> str:
    """The help of the command as a whole."""
    verbs = "\n".join(f"   {name:<10} {about}" for name, about in VERBS.items())
    options = "\n".join(
        f"   --{name + (f' {option.value}' if option.value else ''):<28} {option.help}"
        for name, option in GLOBAL.items()
    )
    return (
        "NAME:\n   onggi-runtime - Open Container Initiative runtime\n\n"
        "USAGE:\n   onggi-runtime [global options] command [command options] [arguments...]\n\n"
        f"COMMANDS:\n{verbs}\n\nGLOBAL OPTIONS:\n{options}\n"
    )


def _refuse(options: dict[str, Any]) -> None:
    if options["systemd-cgroup"]:
        raise InvalidParameter("--systemd-cgroup: this runtime makes cgroups itself; use the cgroupfs driver")
    if options["log-format"] not in ("text", "json"):
        raise InvalidParameter(f'invalid log-format "{options["log-format"]}"')


def _verb(name: str) -> Callable[[Runtime, list[str]], int]:
    if name not in VERBS:
        raise InvalidParameter(f"No help topic for '{name}'")
    module = __import__(f"onggi.runtime.verbs.{name}", fromlist=["run"])
    verb: Callable[[Runtime, list[str]], int] = module.run
    return verb


if __name__ == "__main__":
    sys.exit(main())
