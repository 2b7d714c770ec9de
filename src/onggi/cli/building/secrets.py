"""--secret: values for RUN --mount=type=secret, handed over before the build, into the engine's memory."""

from __future__ import annotations

import os

from onggi.cli.errors import CommandError, Refused
from onggi.cli.options import csv

TYPE_CHECKING = False
if TYPE_CHECKING:
    from onggi.cli.session import Session

FLAG = (
    "secret",
    "",
    "list",
    None,
    "A secret for RUN --mount=type=secret (id=name,src=path or env=NAME)",
)
MAX_BYTES = 500 << 10  # of one, as the engine has it


def offered(session: Session, wanted: list[str]) -> str | None:
    """The build id under which the engine has them; None without any. Raises CommandError."""
    if not wanted:
        return None
    build_id = os.urandom(16).hex()
    try:
        session.engine.post("/build/secrets?buildid=" + build_id, dict(map(_secret, wanted)))
    except Refused as error:
        if error.code == 404:
            raise CommandError("this engine takes secrets by BuildKit's protocol only") from None
        raise
    return build_id


def _secret(text: str) -> tuple[str, str]:
    """(id, base64 of the value). Raises CommandError."""
    import binascii

    fields = {key.lower(): value for key, _, value in (word.partition("=") for word in csv.fields(text))}
    unknown = set(fields) - {"id", "src", "source", "env", "type"}
    if unknown:
        raise CommandError(f"unexpected key '{min(unknown)}' in '{text}'")
    name = fields.get("id", "")
    source = fields.get("src") or fields.get("source") or ""
    variable = fields.get("env") or (name if fields.get("type") == "env" else "")
    if not name:
        raise CommandError(f"secret {text!r} has no id")
    if not variable and not source and name in os.environ and fields.get("type") != "file":
        variable = name
    value = os.fsencode(os.environ.get(variable, "")) if variable else _read(name, source or name)
    return name, binascii.b2a_base64(value, newline=False).decode()


def _read(name: str, path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            value = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise CommandError(f"secret {name}: {path}: {(error.strerror or '').lower()}") from None
    if len(value) > MAX_BYTES:
        raise CommandError(f"secret {name}: {path}: more than {MAX_BYTES} bytes")
    return value
