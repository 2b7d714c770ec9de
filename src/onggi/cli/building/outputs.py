"""--output: what is made of the image that was built, beside the store.

type=local,dest=DIR     its files, below a directory         also just DIR
type=tar,dest=FILE      its files as an archive; - is stdout   also just -
type=oci, type=docker   the image as an archive, dest=FILE or stdout
type=image              the store: what happens without --output

With SOURCE_DATE_EPOCH all files of local and tar have its time, and so have those in images' layers that are
newer; rewrite-timestamp=false leaves the layers as they are.
"""

from __future__ import annotations

import os

from onggi.cli import archive_file
from onggi.cli.errors import CommandError
from onggi.cli.options import csv

TYPE_CHECKING = False
if TYPE_CHECKING:
    from onggi.cli.session import Session

IMAGES = ("oci", "docker", "image")
TYPES = ("local", "tar", *IMAGES)


class Output:
    """One --output. Raises CommandError for one that makes no sense."""

    def __init__(self, text: str) -> None:
        fields = dict(_fields(text))
        self.type = fields.pop("type", "")
        self.dest = fields.pop("dest", "")
        self.name = fields.pop("name", "")
        self.says_rewrite = self.type in IMAGES and "rewrite-timestamp" in fields
        self.rewrite = _truth(fields.pop("rewrite-timestamp")) if self.says_rewrite else True
        if self.type not in TYPES:
            raise CommandError(f'invalid output type "{self.type}": one of {", ".join(TYPES)}')
        if fields:
            raise CommandError(f'--output type={self.type}: unknown field "{next(iter(fields))}"')
        if self.type == "local" and not self.dest:
            raise CommandError("dest is required for local output")
        if self.type in ("tar", "oci", "docker"):
            archive_file.check_output("" if self.dest == "-" else self.dest, "failed to build")

    @property
    def keeps_image(self) -> bool:
        return self.type == "image"

    def write(self, session: Session, image: str, epoch: int | None) -> None:
        """`epoch`: the build's SOURCE_DATE_EPOCH. Raises Refused, CommandError, OSError."""
        if self.type in ("oci", "docker"):
            response = session.engine.open("GET", f"/images/{image}/get")
            archive_file.write(response, self.dest.removeprefix("-"))
        elif self.type in ("local", "tar"):
            self._files(session, image, epoch)

    def _files(self, session: Session, image: str, epoch: int | None) -> None:
        """By a container that never runs: every engine can export one."""
        body = {"Image": image, "Cmd": ["export"], "HostConfig": {"NetworkMode": "none"}}
        container = session.engine.post("/containers/create", body)["Id"]
        try:
            response = session.engine.open("GET", f"/containers/{container}/export", {"time": epoch})
            if self.type == "tar":
                archive_file.write(response, self.dest.removeprefix("-"))
                return
            from onggi.cli.copying import extract

            os.makedirs(self.dest, exist_ok=True)
            extract(response, self.dest, is_dir=True, contents=False)
        finally:
            session.engine.delete(f"/containers/{container}", v=1, force=1)


def rewrite(outputs: list[Output]) -> bool:
    """One image is made, for all outputs. Raises CommandError."""
    wanted = {output.rewrite for output in outputs if output.type in IMAGES}
    if len(wanted) > 1:
        raise CommandError("--output: all outputs are of one image: rewrite-timestamp cannot differ")
    return wanted != {False}


def _truth(text: str) -> bool:
    if text.lower() not in ("true", "1", "false", "0"):
        raise CommandError(f'--output: invalid rewrite-timestamp "{text}": true or false')
    return text.lower() in ("true", "1")


def _fields(text: str) -> list[tuple[str, str]]:
    if "=" not in text:
        return [("type", "tar" if text == "-" else "local"), ("dest", text)]
    found = []
    for field in csv.fields(text):
        key, equals, value = field.partition("=")
        if not equals:
            raise CommandError(f"invalid value {field}")
        found.append((key.strip().lower(), value))
    return found
