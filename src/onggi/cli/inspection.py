"""What inspect prints: the engine's JSON, indented as it stands, or each object through a template.

Go prints typed nils that JSON writes as null: `[]` for a list, `map[]` for a map, `<nil>` for a pointer;
which field has which type is the API's (engine-api.yaml).
"""

from __future__ import annotations

import sys

from onggi import jsontext
from onggi.cli.errors import FAILED, CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from onggi.cli.session import Session

_MAPS = frozenset(
    (
        "Annotations",
        "Config",
        "DriverOpts",
        "ExposedPorts",
        "Labels",
        "Networks",
        "Options",
        "PortBindings",
        "Ports",
        "StorageOpt",
        "Sysctls",
        "Tmpfs",
        "Volumes",
        "Data",
        "Status",
        "Containers",
    )
)
_POINTERS = frozenset(
    (
        "Healthcheck",
        "Health",
        "IPAMConfig",
        "OomKillDisable",
        "PidsLimit",
        "MemorySwappiness",
        "Init",
        "StopTimeout",
        "UsageData",
        "BindOptions",
        "VolumeOptions",
        "TmpfsOptions",
        "Descriptor",
        "ImageManifestDescriptor",
    )
)


def show(session: Session, names: list[str], form: str, find: Callable[[str], str]) -> int:
    """Print what `find` gives for each name (JSON text); failures after the rest."""
    texts: list[str] = []
    failures: list[str] = []
    template = _template(form) if form not in ("", "json") else None
    for name in names:
        try:
            texts.append(find(name))
        except CommandError as error:
            failures.append(error.message)
    status = FAILED if failures else 0
    if template is not None:
        failures = _templated(texts, template) + failures
        status = FAILED if failures else 0
        if not texts:
            sys.stdout.write("\n")
    elif form == "json":
        sys.stdout.write("[" + ",".join(jsontext.dumps(jsontext.loads(text)) for text in texts) + "]\n")
    else:
        sys.stdout.write(indent("[" + ",".join(texts) + "]") + "\n")
    for message in failures:
        session.err(message)
    return status


def _template(form: str) -> Any:
    from onggi.cli.template import Template, TemplateError

    try:
        return Template(form, strict_keys=True)
    except TemplateError as error:
        raise CommandError(f"template parsing error: {error}", 64) from None


def _templated(texts: list[str], template: Any) -> list[str]:
    """Print each through the template, to the first that fails: its fault as a list."""
    from onggi.cli.template import TemplateError

    for text in texts:
        value = typed(jsontext.loads(text))
        try:
            try:
                shown = template.execute(value)
            except TemplateError:
                sys.stdout.write("\n")
                raise
        except TemplateError as error:
            sys.stdout.flush()
            return [f"template parsing error: {error}"]
        sys.stdout.write(shown + "\n")
    return []


def typed(value: Any, name: str = "") -> Any:
    """Nulls as the typed nils that Go has in their place; maps of users' words keep theirs loose."""
    from onggi.cli.template import values

    if value is None:
        return (
            values.NIL_MAP if name in _MAPS else values.NIL_POINTER if name in _POINTERS else values.NIL_LIST
        )
    if name == "Data" and isinstance(value, str):
        return values.Bytes(value)
    if isinstance(value, dict):
        loose = name in ("Labels", "Options", "DriverOpts", "Annotations", "Sysctls", "Data")
        found = {key: item if loose else typed(item, key) for key, item in value.items()}
        return values.Loose(found) if loose else found
    if isinstance(value, list):
        return [typed(item, name) for item in value]
    return value


def indent(text: str, step: str = "    ") -> str:
    """Set a JSON text in lines, each level by one `step` more; every token stays as it was written."""
    import _json

    out: list[str] = []
    depth = at = 0
    size = len(text)
    while at < size:
        letter = text[at]
        if letter == '"':
            end = _json.scanstring(text, at + 1, True)[1]
            out.append(text[at:end])
            at = end
            continue
        at += 1
        if letter in " \t\r\n":
            continue
        if letter in "{[":
            rest = at
            while text[rest] in " \t\r\n":
                rest += 1
            if text[rest] in "}]":
                out.append(letter + text[rest])
                at = rest + 1
                continue
            depth += 1
            out.append(letter + "\n" + step * depth)
        elif letter in "}]":
            depth -= 1
            out.append("\n" + step * depth + letter)
        elif letter == ",":
            out.append(",\n" + step * depth)
        elif letter == ":":
            out.append(": ")
        else:
            out.append(letter)
    return "".join(out)
