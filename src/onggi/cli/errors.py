"""What a failure of the command line looks like: one line on stderr, and an exit status.

    CommandError   ends the command with `status` (1), its text as it stands
    |-- FlagError      the words of the command line are wrong: 125, with the usage line
    |-- Unreachable    no engine answers
    |-- Refused        the engine answered with an HTTP error: "Error response from daemon: ..."

Exit statuses: 1 a command failed, 125 `run` failed before the container's process existed, 126 it cannot be
executed, 127 it was not found, 128+n it died by signal n, else its own.
"""

from __future__ import annotations

FAILED = 1
BAD_FLAG = 125
RUN_FAILED = 125
CANNOT_EXECUTE = 126
NOT_FOUND = 127


class CommandError(Exception):
    """The command ends here; `message` is what the user reads (nothing when empty)."""

    def __init__(self, message: str, status: int = FAILED) -> None:
        super().__init__(message)
        self.message = message
        self.status = status


class FlagError(CommandError):
    """A flag or its value is wrong: shown with the command's usage line."""

    def __init__(self, message: str) -> None:
        super().__init__(message, BAD_FLAG)


class Unreachable(CommandError):
    """Nothing answers at the engine's address."""

    def __init__(self, host: str) -> None:
        super().__init__(f"Cannot connect to the Docker daemon at {host}. Is the docker daemon running?")


class Refused(CommandError):
    """The engine's answer was an error; `code` is the HTTP status, `reason` its message without the
    prefix.
    """

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"Error response from daemon: {reason}")
        self.code = code
        self.reason = reason


def start_status(reason: str) -> int:
    """Exit status of `run` when the engine could not start the process, read from Docker's wording."""
    if (
        "executable file not found" in reason
        or "no such file or directory" in reason
        or "system cannot find" in reason
    ):
        return NOT_FOUND
    if "permission denied" in reason or "is a directory" in reason or "syscall.EACCES" in reason:
        return CANNOT_EXECUTE
    return RUN_FAILED
