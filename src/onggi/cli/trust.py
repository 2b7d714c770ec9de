"""Docker's content trust: signatures kept by a Notary server, which nobody serves for Docker Hub any more.

This command does not speak to one, so whoever asks for it (--disable-content-trust=false, or
DOCKER_CONTENT_TRUST=1 without the flag) is refused instead of given an image that nobody has verified.
"""

from __future__ import annotations

import os

from onggi.cli.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from onggi.cli.flags import Flags

FLAG = (
    "disable-content-trust",
    "",
    "bool",
    True,
    "Do not verify by a Notary server (false is refused)",
)


def refuse(flags: Flags) -> None:
    """Raises CommandError where content trust is wanted."""
    if FLAG[0] in flags.given:
        wanted = not flags["disable-content-trust"]
    else:
        wanted = os.environ.get("DOCKER_CONTENT_TRUST", "").lower() in ("1", "t", "true")
    if wanted:
        raise CommandError(
            "content trust: signatures of a Notary server cannot be verified here; the engine's signature "
            "policy rules which images may come in (onggi daemon --signature-policy)"
        )
