"""--log-driver and --log-opt -> where a run's log goes.

`local` is written as json-file is: what its files look like is nobody's business (Docker, too, tells no
LogPath of it). It takes fewer options, and its rotated files are compressed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec

from onggi.engine.config import size_bytes
from onggi.engine.regexp.expression import Expression, TooCostly
from onggi.engine.regexp.syntax import Invalid
from onggi.engine.shims import LogTarget
from onggi.errors import InvalidParameter
from onggi.spec.number import whole

if TYPE_CHECKING:
    from onggi.engine.record import ContainerRecord
    from onggi.wire.containers import HostConfigLogConfig

OPTIONS = frozenset(
    {"max-size", "max-file", "compress", "labels", "labels-regex", "env", "env-regex", "tag", "mode"}
    | {"max-buffer-size"}
)
LOCAL = "local"
LOCAL_OPTIONS = frozenset({"max-size", "max-file", "compress", "mode", "max-buffer-size"})
EXPRESSIONS = ("labels-regex", "env-regex")
FILES_MAX = (1 << 31) - 1


def validate(wanted: HostConfigLogConfig) -> None:
    """Raises InvalidParameter for options that the driver does not know, or values that are none."""
    for name, value in (wanted.config or {}).items():
        if wanted.type == LOCAL and name not in LOCAL_OPTIONS:
            raise InvalidParameter(f"unknown log opt '{name}' for log driver local")
        if name not in OPTIONS:
            raise InvalidParameter(f"unknown log opt '{name}' for json-file log driver")
        if name == "max-size" and value != "-1":
            size_bytes(value)
        if name == "max-file" and not whole(value, FILES_MAX):
            raise InvalidParameter("max-file cannot be less than 1")
        if name in EXPRESSIONS:
            _expression(name, value)


def target(record: ContainerRecord, path: str) -> LogTarget | None:
    """At a path; None for the driver `none`."""
    wanted = record.host_config.log_config
    if wanted.type == "none":
        return None
    options = wanted.config or {}
    default = LogTarget(path=path, compress=wanted.type == LOCAL)
    size = options.get("max-size", "")
    return LogTarget(
        path=path,
        max_bytes=default.max_bytes if not size else (-1 if size == "-1" else size_bytes(size)),
        max_files=int(options.get("max-file", default.max_files)),
        compress=options["compress"] == "true" if "compress" in options else default.compress,
        attrs=_attributes(record, options),
    )


def _attributes(record: ContainerRecord, options: dict[str, str]) -> bytes:
    """The JSON of `attrs` at each line: labels and variables that were asked for, and the tag."""
    found: dict[str, str] = {}
    labels = filter(None, options.get("labels", "").split(","))
    found.update({name: record.config.labels[name] for name in labels if name in record.config.labels})
    variables = dict(item.partition("=")[::2] for item in record.config.env)
    names = filter(None, options.get("env", "").split(","))
    found.update({name: variables[name] for name in names if name in variables})
    for name, pairs in zip(EXPRESSIONS, (record.config.labels, variables), strict=True):
        if options.get(name):
            found.update(_matching(name, options[name], pairs))
    if options.get("tag"):
        found["tag"] = _tag(record, options["tag"])
    return msgspec.json.encode(found, order="sorted") if found else b""


def _matching(name: str, text: str, pairs: Mapping[str, str]) -> dict[str, str]:
    expression = _expression(name, text)
    try:
        return {key: value for key, value in pairs.items() if expression.search(key)}
    except TooCostly:
        raise InvalidParameter(f"log opt '{name}': {text!r} takes too many steps") from None


def _expression(name: str, text: str) -> Expression:
    """Raises InvalidParameter."""
    try:
        return Expression(text)
    except (Invalid, TooCostly) as error:
        why = str(error) or "expression too large"
        raise InvalidParameter(f"log opt '{name}': error parsing regexp: {why}: `{text}`") from None


def _tag(record: ContainerRecord, template: str) -> str:
    for name, value in (
        ("ID", record.id[:12]),
        ("FullID", record.id),
        ("Name", record.name),
        ("ImageID", record.image_id.removeprefix("sha256:")[:12]),
        ("ImageFullID", record.image_id),
        ("ImageName", record.config.image),
        ("DaemonName", "onggi"),
    ):
        template = template.replace("{{." + name + "}}", value)
    return template
