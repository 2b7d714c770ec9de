"""Choose the context that commands use from now on."""

from __future__ import annotations

import os

from onggi.cli import config_file, contexts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from onggi.cli.flags import Flags
    from onggi.cli.session import Session

USAGE = "CONTEXT"
ARGUMENTS = (1, 1)
FLAGS = ()


def run(session: Session, flags: Flags, args: list[str]) -> int:
    name = args[0]
    if name != contexts.DEFAULT:
        contexts.read(session.config_dir(), name)
    config_file.set_key(session.config_dir(), "currentContext", "" if name == contexts.DEFAULT else name)
    session.out(name)
    session.err(f'Current context is now "{name}"')
    if name != contexts.DEFAULT and os.environ.get("DOCKER_HOST"):
        session.err(
            "Warning: DOCKER_HOST environment variable overrides the active context. To use "
            f'"{name}", either set the global --context flag, or unset DOCKER_HOST environment variable.'
        )
    return 0
