"""Plugins of Docker's command line (docker-compose, docker-buildx): found where Docker's client finds them.

A word that is no command of ours may be a plugin's: `onggi compose up` becomes `docker-compose compose up`,
with every word as it was written. The plugin finds its engine by itself, in Docker's ways; where ours is
another one (the default socket, ONGGI_HOST), it is told by DOCKER_HOST.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from onggi.cli.session import Session

DIRECTORIES = (
    "/usr/local/lib/docker/cli-plugins", "/usr/local/libexec/docker/cli-plugins",
    "/usr/lib/docker/cli-plugins", "/usr/libexec/docker/cli-plugins",
)  # fmt: skip
ORIGINAL_COMMAND = "DOCKER_CLI_PLUGIN_ORIGINAL_CLI_COMMAND"


def find(session: Session, name: str) -> str:
    """The program of a plugin; empty where there is none. Raises CommandError (config.json)."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    if name[:1] not in letters or not all(letter in letters + "0123456789" for letter in name):
        return ""
    for directory in _directories(session):
        path = f"{directory}/docker-{name}"
        if os.path.isfile(path) and os.access(path, os.X_OK):
            return path
    return ""


def _directories(session: Session) -> Iterator[str]:
    """The user's own first, as the plugins of Docker's client."""
    yield f"{session.config_dir()}/cli-plugins"
    extra = session.config().get("cliPluginsExtraDirs")
    if isinstance(extra, list):
        yield from (path for path in extra if isinstance(path, str))
    yield from DIRECTORIES


def become(session: Session, path: str, argv: list[str]) -> None:
    """Replace this process by the plugin. Raises CommandError, OSError."""
    environment = {**os.environ, ORIGINAL_COMMAND: sys.argv[0]}
    if session.context_name() == "default" and not session.options["host"]:
        environment.setdefault("DOCKER_HOST", session.address().url)
    sys.stdout.flush()
    os.execve(path, [path, *argv], environment)
