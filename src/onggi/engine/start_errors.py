"""What went wrong between "start" and execve(2), in the words that Docker's clients match on.

`docker run` exits with 127 where the message says that the command was not found, with 126 where it may not
be executed, and with 125 for everything else.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from onggi.errors import StartFailed

if TYPE_CHECKING:
    from onggi.spawn.plan import StepFailed

_TASK = "failed to create task for container: failed to create shim task: "
_PREFIX = (
    f"{_TASK}OCI runtime create failed: unable to start container process: error during container init: "
)
_EXEC_PREFIX = "OCI runtime exec failed: exec failed: unable to start container process: "
_SUFFIX = ": unknown"
# daemon/start.go of Docker, setExitCodeFromError
_NOT_FOUND = (
    "executable file not found",
    "no such file or directory",
    "system cannot find the file specified",
)
_NOT_EXECUTABLE = ("permission denied", "is a directory")
_NOT_PERMITTED = "operation not permitted"  # of a program: so crun calls a directory
_KINDS_DIFFER = (
    ": Are you trying to mount a directory onto a file (or vice-versa)? "
    "Check if the specified host path exists and is the expected type"
)
_TEXTS = {
    errno.ENOENT: "no such file or directory",
    errno.EACCES: "permission denied",
    errno.EPERM: "operation not permitted",
    errno.ENOEXEC: "exec format error",
    errno.ENOTDIR: "not a directory",
    errno.EISDIR: "is a directory",
    errno.ELOOP: "too many levels of symbolic links",
    errno.EINVAL: "invalid argument",
    errno.EROFS: "read-only file system",
    errno.ENAMETOOLONG: "file name too long",
    errno.ENOSPC: "no space left on device",
}


def start_failed(error: StepFailed, command: str, cwd: str, runtime: str = "") -> StartFailed:
    """The error of a start; `runtime` is the name of who was to do it."""
    if error.step == "runtime":
        return _told(error, command, runtime)
    text, code = _cause(error, command, cwd)
    return StartFailed(f"{_PREFIX}{text}{_SUFFIX}", code)


def exec_failed(error: StepFailed, command: str, cwd: str, runtime: str = "") -> StartFailed:
    """The error of an exec."""
    if error.step == "runtime":
        return _told(error, command, runtime)
    text, code = _cause(error, command, cwd)
    return StartFailed(f"{_EXEC_PREFIX}{text}{_SUFFIX}", code)


def _told(error: StepFailed, command: str, runtime: str) -> StartFailed:
    """What another runtime says, under its name; the code by dockerd's rule, which looks for words.

    Clients look for the same words: of a program that cannot be executed they are there, however the runtime
    put it (crun: "executable file `x` not found in $PATH: No such file or directory").
    """
    text = error.text if error.text.startswith(runtime) else f"{runtime}: {error.text}"
    lowered = text.lower()
    code = 125
    if any(words in lowered for words in _NOT_FOUND):
        code, number = 127, errno.ENOENT
    elif any(words in lowered for words in _NOT_EXECUTABLE) or (
        "executable" in lowered and _NOT_PERMITTED in lowered
    ):
        code, number = 126, errno.EACCES
    if code != 125 and "executable" in lowered:
        words, _ = _exec_cause(number, _TEXTS[number], command)
        text = text if words.rpartition(": ")[2] in text else f"{text}: {words}"
    before = _TASK if error.argument == "create" else ""
    return StartFailed(f"{before}OCI runtime {error.argument} failed: {text}{_SUFFIX}", code)


def _cause(error: StepFailed, command: str, cwd: str) -> tuple[str, int]:
    text = _TEXTS.get(error.errno, error.text.lower() if error.errno else error.text)
    if error.step in ("find", "exec"):
        return _exec_cause(error.errno, text, command)
    if error.step == "cwd":
        code = 126 if error.errno in (errno.EACCES, errno.EPERM) else 127
        return f'chdir to cwd ("{cwd}") set in config.json failed: {text}', code
    if error.step in ("mount", "mount-slot"):
        hint = _KINDS_DIFFER if error.errno == errno.ENOTDIR else ""
        return f"error mounting {error.argument}: {text}{hint}", 125
    if error.step == "label":
        return f"unable to apply {error.argument} profile: {error.text.removeprefix('label ')}", 125
    if error.step == "layered":  # a slot says nothing; what is wrong with the layers does
        return error.text.removeprefix("layered "), 125
    return f"{error.step} {error.argument}: {text}", 125


def _exec_cause(number: int, text: str, command: str) -> tuple[str, int]:
    if number in (errno.ENOENT, errno.ENOTDIR):
        if "/" not in command:
            return f'exec: "{command}": executable file not found in $PATH', 127
        return f'exec: "{command}": stat {command}: {text}', 127
    if number == errno.EISDIR:
        return f'exec: "{command}": is a directory: permission denied', 126
    return f'exec: "{command}": {text}', 126
