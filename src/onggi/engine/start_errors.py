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

_PREFIX = (
    "failed to create task for container: failed to create shim task: OCI runtime create failed: "
    "unable to start container process: error during container init: "
)
_EXEC_PREFIX = "OCI runtime exec failed: exec failed: unable to start container process: "
_SUFFIX = ": unknown"
_TEXTS = {
    errno.ENOENT: "no such file or directory",
    errno.EACCES: "permission denied",
    errno.EPERM: "operation not permitted",
    errno.ENOEXEC: "exec format error",
    errno.ENOTDIR: "not a directory",
    errno.EISDIR: "is a directory",
    errno.ELOOP: "too many levels of symbolic links",
    errno.EINVAL: "invalid argument",
}


def start_failed(error: StepFailed, command: str, cwd: str) -> StartFailed:
    """The error of a start."""
    text, code = _cause(error, command, cwd)
    return StartFailed(f"{_PREFIX}{text}{_SUFFIX}", code)


def exec_failed(error: StepFailed, command: str, cwd: str) -> StartFailed:
    """The error of an exec."""
    text, code = _cause(error, command, cwd)
    return StartFailed(f"{_EXEC_PREFIX}{text}{_SUFFIX}", code)


def _cause(error: StepFailed, command: str, cwd: str) -> tuple[str, int]:
    text = _TEXTS.get(error.errno, error.text.lower())
    if error.step in ("find", "exec"):
        return _exec_cause(error.errno, text, command)
    if error.step == "cwd":
        code = 126 if error.errno in (errno.EACCES, errno.EPERM) else 127
        return f'chdir to cwd ("{cwd}") set in config.json failed: {text}', code
    return f"{error.step} {error.argument}: {text}", 125


def _exec_cause(number: int, text: str, command: str) -> tuple[str, int]:
    if number in (errno.ENOENT, errno.ENOTDIR):
        if "/" not in command:
            return f'exec: "{command}": executable file not found in $PATH', 127
        return f'exec: "{command}": stat {command}: {text}', 127
    if number == errno.EISDIR:
        return f'exec: "{command}": is a directory: permission denied', 126
    return f'exec: "{command}": {text}', 126
