"""Pulling an image: the request, and its progress as Docker prints it.

On a terminal each layer has a line that changes; in a pipe each change of state is a line. Used by pull,
run and create. Not here: rich, which only the terminal's bars load (progress.py).
"""

from __future__ import annotations

from onggi.cli import credentials, progress, reference

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from onggi.cli.session import Session


def pull(
    session: Session,
    image: str,
    *,
    platform: str = "",
    all_tags: bool = False,
    referrers: bool = False,
    quiet: bool = False,
    out_fd: int = 1,
) -> None:
    """Pull and show it. Raises Refused, CommandError."""
    name, tag = reference.split(image)
    parameters: dict[str, Any] = {"fromImage": name, "platform": platform or None}
    if referrers:
        parameters["referrers"] = "1"
    if not all_tags:
        parameters["tag"] = tag or "latest"
    headers = {"X-Registry-Auth": credentials.header(session, image)}
    response = session.engine.open("POST", "/images/create", parameters, headers=headers)
    progress.show(session.engine.messages(response), quiet=quiet, out_fd=out_fd)
    session.engine.keep(response)
