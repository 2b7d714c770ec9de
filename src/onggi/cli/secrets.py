"""The commands of secrets and configs, which are the same but for a word; `plural` is it, and the path."""

from __future__ import annotations

import sys

from onggi import jsontext
from onggi.cli import human, inspection, listing
from onggi.cli.engine import filters
from onggi.cli.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from onggi.cli.flags import Flags
    from onggi.cli.session import Session

LIST_FLAGS = (
    ("filter", "f", "filter", None, 'Only those that fit (such as "name=mine")'),
    ("format", "", "string", "", "How to print: table, 'table TEMPLATE', json, or a Go template"),
    ("quiet", "q", "bool", False, "Only ids"),
)
INSPECT_FLAGS = (
    ("format", "f", "string", "", "How to print: json, pretty, or a Go template"),
    ("pretty", "", "bool", False, "Print for people"),
)
HEADERS = {
    "CreatedAt": "CREATED",
    "Driver": "DRIVER",
    "ID": "ID",
    "Labels": "LABELS",
    "Name": "NAME",
    "UpdatedAt": "UPDATED",
}


def create(session: Session, plural: str, flags: Flags, args: list[str]) -> int:
    """Print the id of what was made. Raises CommandError."""
    driver = flags.get("driver")
    if driver and len(args) > 1:
        raise CommandError("When using secret driver secret data must be empty")
    body: dict[str, Any] = {"Name": args[0]}
    body["Labels"] = dict(word.partition("=")[::2] for word in flags["label"])
    if len(args) == 1 and not driver:
        raise CommandError("secret file is required")
    if len(args) > 1:
        body["Data"] = _base64(_content(plural, args[1]))
    if driver:
        body["Driver"] = {"Name": driver}
    if flags["template-driver"]:
        body["Templating"] = {"Name": flags["template-driver"]}
    session.out(session.engine.post(f"/{plural}/create", body)["ID"])
    return 0


def _content(plural: str, path: str) -> bytes:
    try:
        if path == "-":
            return sys.stdin.buffer.read()
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        reason = (error.strerror or "error").lower()
        verb = "read" if isinstance(error, IsADirectoryError) else "open"
        about = f'Error reading content from "{path}": ' if plural == "configs" else ""
        raise CommandError(f"{about}error reading from {path}: {verb} {path}: {reason}") from None


def _base64(content: bytes) -> str:
    import binascii

    return binascii.b2a_base64(content, newline=False).decode()


class Secret(listing.Row):
    template_type = "*formatter.secretContext"
    fields: tuple[str, ...] = ("CreatedAt", "Driver", "ID", "Labels", "Name", "UpdatedAt")
    methods = ("Label",)

    def __init__(self, found: dict[str, Any]) -> None:
        self._found = found

    def ID(self) -> str:
        return str(self._found["ID"])

    def Name(self) -> str:
        return str(self._found["Spec"]["Name"])

    def Driver(self) -> str:
        return str((self._found["Spec"].get("Driver") or {}).get("Name", ""))

    def CreatedAt(self) -> str:
        return _ago(self._found["CreatedAt"])

    def UpdatedAt(self) -> str:
        return _ago(self._found["UpdatedAt"])

    def Labels(self) -> str:
        return listing.labels(self._found["Spec"].get("Labels"))

    def Label(self, name: str) -> str:
        return str((self._found["Spec"].get("Labels") or {}).get(name, ""))


class Config(Secret):
    template_type = "*formatter.configContext"
    fields = ("CreatedAt", "ID", "Labels", "Name", "UpdatedAt")


def _ago(text: str) -> str:
    return human.since(text)


def list_(session: Session, plural: str, flags: Flags) -> int:
    """Print those that fit. Raises CommandError."""
    kind = Secret if plural == "secrets" else Config
    found = session.engine.get(f"/{plural}", filters=filters(flags["filter"])) or []
    rows = sorted(map(kind, found), key=lambda row: listing.natural(row.Name()))
    form = flags["format"]
    if flags["quiet"] and form in ("", "table"):
        form = "{{.ID}}"
    columns = ["ID", "Name", "Driver", "CreatedAt", "UpdatedAt"]
    listing.show(form, rows, HEADERS, [name for name in columns if name in kind.fields])
    return 0


def inspect(session: Session, plural: str, flags: Flags, names: list[str]) -> int:
    """Print the whole of each. Raises CommandError."""
    form = "pretty" if flags["pretty"] else flags["format"]
    if form.startswith("pretty") and form != "pretty":
        raise CommandError("cannot supply extra formatting options to the pretty template")

    def find(name: str) -> str:
        return session.engine.get_text(f"/{plural}/{name}")

    if form != "pretty":
        return inspection.show(session, names, form, find)
    shown = [_pretty(jsontext.loads(find(name)), plural) for name in names]  # all, or the first that fails
    session.out("\n".join(shown))
    return 0


def _pretty(found: dict[str, Any], plural: str) -> str:
    """Docker's words and tabs; of a secret all but what it is for."""
    spec = found["Spec"]
    labels = [f" - {key}={value}" if value else f" - {key}" for key, value in sorted(spec["Labels"].items())]
    if labels:
        labels.insert(0, "Labels:")
    made, changed = (human.go_time(found[name]) for name in ("CreatedAt", "UpdatedAt"))
    if plural == "configs":
        import binascii

        content = binascii.a2b_base64(spec.get("Data", "")).decode(errors="replace")
        return "\n".join([
            f"ID:\t\t\t{found['ID']}", f"Name:\t\t\t{spec['Name']}", *labels,
            f"Created at:            \t{made}", f"Updated at:            \t{changed}", "Data:", content,
        ])  # fmt: skip
    driver = (spec.get("Driver") or {}).get("Name", "")
    return "\n".join([
        f"ID:              {found['ID']}", f"Name:              {spec['Name']}", *labels,
        f"Driver:            {driver}", f"Created at:        {made}", f"Updated at:        {changed}",
    ])  # fmt: skip
