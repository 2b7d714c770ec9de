"""Make an image of a tar archive of a file system."""

from __future__ import annotations

from onggi.cli import archive_file, progress, reference

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from onggi.cli.flags import Flags
    from onggi.cli.session import Session

USAGE = "file|URL|- [REPOSITORY[:TAG]]"
ARGUMENTS = (1, 2)
FLAGS = (
    ("change", "c", "list", None, "Dockerfile instruction for the new image"),
    ("message", "m", "string", "", "Message of the import"),
    ("platform", "", "string", "", "Platform of the image, such as linux/arm64"),
)


def run(session: Session, flags: Flags, args: list[str]) -> int:
    source, name = args[0], args[1] if len(args) > 1 else ""
    if name:
        reference.check(name)
    parameters: dict[str, Any] = {"fromSrc": "-", "message": flags["message"] or None}
    parameters |= {"changes": flags["change"] or None, "platform": flags["platform"] or None}
    base, tag = reference.split(name)
    parameters |= {"repo": base or None, "tag": tag or None}
    content = None
    if source.startswith(("http://", "https://")):
        parameters["fromSrc"] = source
    else:
        content = archive_file.read(source)
    response = session.engine.open("POST", "/images/create", parameters, content)
    progress.show(session.engine.messages(response))
    return 0
