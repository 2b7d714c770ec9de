"""--log-driver and --log-opt -> where a run's log goes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from onggi.engine.config import size_bytes
from onggi.engine.shims import LogTarget
from onggi.errors import InvalidParameter

if TYPE_CHECKING:
    from onggi.engine.record import ContainerRecord
    from onggi.wire.containers import HostConfigLogConfig

OPTIONS = frozenset(
    {"max-size", "max-file", "compress", "labels", "labels-regex", "env", "env-regex", "tag", "mode"}
    | {"max-buffer-size"}
)


def validate(wanted: HostConfigLogConfig) -> None:
    """Raises InvalidParameter for options that json-file does not know, or values that are none."""
    for name, value in (wanted.config or {}).items():
        if name not in OPTIONS:
            raise InvalidParameter(f"unknown log opt '{name}' for json-file log driver")
        if name == "max-size" and value != "-1":
            size_bytes(value)
        if name == "max-file" and not (value.isdigit() and int(value) >= 1):
            raise InvalidParameter("max-file cannot be less than 1")


def target(record: ContainerRecord) -> LogTarget | None:
    """None for the driver `none`."""
    wanted = record.host_config.log_config
    if not record.log_path:
        return None
    options = wanted.config or {}
    default = LogTarget(path=record.log_path)
    size = options.get("max-size", "")
    return LogTarget(
        path=record.log_path,
        max_bytes=default.max_bytes if not size else (-1 if size == "-1" else size_bytes(size)),
        max_files=int(options.get("max-file", default.max_files)),
        compress=options.get("compress", "") == "true",
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
    if options.get("tag"):
        found["tag"] = _tag(record, options["tag"])
    return msgspec.json.encode(found, order="sorted") if found else b""


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
