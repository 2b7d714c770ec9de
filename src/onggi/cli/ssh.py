"""An engine on another machine: `ssh HOST onggi system dial-stdio`, its pipes as one connection.

The user's own ssh does it, so keys, agents and ~/.ssh/config hold. Where the machine has no `onggi`, its
`docker` is asked. Words of the address that could be taken for options of ssh are refused (CVE-2017-1000117).
"""

from __future__ import annotations

import _socket
import os

from onggi.cli.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

DIAL = (
    "if command -v onggi >/dev/null 2>&1; then exec onggi {host}system dial-stdio; "
    "else exec docker {host}system dial-stdio; fi"
)


class Piped(_socket.socket):
    """Our end; a connection that ends with no byte says what ended it."""

    where = ""
    silent = True

    def recv(self, size: int, flags: int = 0) -> bytes:
        try:
            data = super().recv(size, flags)
        except ConnectionError:
            data = b""
        if not data and self.silent:
            raise self._failed()
        self.silent = False
        return data

    def sendall(self, data: Any, flags: int = 0) -> None:
        try:
            super().sendall(data, flags)
        except ConnectionError:
            if self.silent:
                raise self._failed() from None
            raise

    def _failed(self) -> CommandError:
        return CommandError(
            f"error during connect: {self.where} ended before an answer: make sure the URL is valid, and "
            "onggi or docker is installed on the remote host"
        )


def command(url: str) -> list[str]:
    """The words of the ssh command. Raises CommandError where the address is none."""
    place, _, path = url.removeprefix("ssh://").partition("/")
    user, at, host = place.rpartition("@")
    port = ""
    if host.startswith("["):
        host, _, port = host[1:].partition("]")
        port = port.removeprefix(":")
    elif ":" in host:
        host, _, port = host.partition(":")
    if ":" in user:
        raise CommandError("invalid SSH URL: plain-text password is not supported")
    if not host or host.startswith("-") or user.startswith("-") or (port and not port.isdigit()):
        raise CommandError(f"invalid SSH URL: {url}")
    words = ["ssh", "-o", "ConnectTimeout=30", "-T"]
    words += ["-l", user] if at else []
    words += ["-p", port] if port else []
    chosen = f"--host {_quoted(f'unix:///{path}')} " if path else ""
    return [*words, "--", host, f"sh -c {_quoted(DIAL.format(host=chosen))}"]


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def connect(url: str) -> Piped:
    """Raises CommandError."""
    words = command(url)
    ours, theirs = _socket.socketpair()
    fd = theirs.fileno()
    try:
        os.posix_spawnp(
            words[0],
            words,
            os.environ,
            file_actions=[(os.POSIX_SPAWN_DUP2, fd, 0), (os.POSIX_SPAWN_DUP2, fd, 1)],
            setsid=False,
        )
    except OSError as error:
        raise CommandError(f"error during connect: ssh: {error.strerror}") from None
    finally:
        theirs.close()
    piped = Piped(fileno=ours.detach())
    piped.where = f"ssh {words[-2]}"
    return piped
