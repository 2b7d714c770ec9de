"""The words of --mount: `type=bind,source=/a,target=/b,readonly,bind-propagation=rslave`."""

from __future__ import annotations

import os

from onggi.cli import values
from onggi.cli.options.csv import fields

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_SWITCHES = (
    "readonly",
    "ro",
    "volume-nocopy",
    "bind-nonrecursive",
    "bind-create-src",
    "bind-copy-on-write",
    "idmap",
)


def parse(text: str) -> dict[str, Any]:
    """One mount of HostConfig.Mounts. Raises ValueError in Docker's words."""
    found: dict[str, Any] = {"Type": "volume"}
    if not text:
        raise ValueError("value is empty")
    for field in fields(text):
        name, equals, value = field.partition("=")
        name = name.lower().strip() if equals else name.lower()
        if not equals and name not in _SWITCHES:
            raise ValueError(f"invalid field '{field}' must be a key=value pair")
        if not equals:
            value = "owner" if name == "idmap" else "true"
        _set(found, name, value, field)
    _check(found, text)
    return found


def _set(found: dict[str, Any], name: str, value: str, field: str) -> None:
    if name == "type":
        found["Type"] = value.lower()
    elif name in ("source", "src"):
        if value.startswith((".", "..")) and value.split("/")[0] in (".", ".."):
            value = os.path.abspath(value)
        found["Source"] = value
    elif name in ("target", "dst", "destination"):
        found["Target"] = value
    elif name in ("readonly", "ro"):
        found["ReadOnly"] = _switch(name, value)
    elif name == "consistency":
        found["Consistency"] = value.lower()
    elif name == "bind-propagation":
        found.setdefault("BindOptions", {})["Propagation"] = value.lower()
    elif name == "bind-nonrecursive":
        found.setdefault("BindOptions", {})["NonRecursive"] = _switch(name, value)
    elif name == "bind-recursive":
        _recursive(found, value)
    elif name == "bind-create-src":
        found.setdefault("BindOptions", {})["CreateMountpoint"] = _switch(name, value)
    elif name == "bind-copy-on-write":
        found.setdefault("BindOptions", {})["CopyOnWrite"] = _switch(name, value)
    elif name == "idmap":
        found.setdefault("BindOptions", {})["IDMap"] = value
    elif name == "exclude":
        found.setdefault("BindOptions", {}).setdefault("Exclude", []).append(value)
    elif name in ("volume-subpath", "image-subpath"):
        found.setdefault("VolumeOptions" if name[0] == "v" else "ImageOptions", {})["Subpath"] = value
    elif name == "volume-nocopy":
        found.setdefault("VolumeOptions", {})["NoCopy"] = _switch(name, value)
    elif name == "volume-label":
        label, _, text = value.partition("=")
        found.setdefault("VolumeOptions", {}).setdefault("Labels", {})[label] = text
    elif name == "volume-driver":
        found.setdefault("VolumeOptions", {}).setdefault("DriverConfig", {})["Name"] = value
    elif name == "volume-opt":
        option, _, text = value.partition("=")
        driver = found.setdefault("VolumeOptions", {}).setdefault("DriverConfig", {})
        driver.setdefault("Options", {})[option] = text
    elif name == "tmpfs-size":
        try:
            found.setdefault("TmpfsOptions", {})["SizeBytes"] = values.size(value)
        except ValueError:
            raise ValueError(f"invalid value for {name}: {value}") from None
    elif name == "tmpfs-mode":
        try:
            found.setdefault("TmpfsOptions", {})["Mode"] = int(value, 8)
        except ValueError:
            raise ValueError(f"invalid value for {name}: {value}") from None
    else:
        raise ValueError(f"unexpected key '{name}' in '{field}'" if name else f"invalid field '{field}'")


def _switch(name: str, value: str) -> bool:
    try:
        return values.boolean(value)
    except ValueError:
        raise ValueError(f"invalid value for {name}: {value}") from None


def _recursive(found: dict[str, Any], value: str) -> None:
    options = found.setdefault("BindOptions", {})
    if value == "enabled":
        return
    if value == "disabled":
        options["NonRecursive"] = True
    elif value == "writable":
        options["ReadOnlyNonRecursive"] = True
    elif value == "readonly":
        options["ReadOnlyForceRecursive"] = True
    else:
        raise ValueError(
            f"invalid value for bind-recursive: {value} "
            '(must be "enabled", "disabled", "writable", or "readonly")'
        )


def _check(found: dict[str, Any], text: str) -> None:
    kind = found["Type"]
    if not kind:
        raise ValueError("type is required")
    if not found.get("Target"):
        raise ValueError("target is required")
    for options, owner in (("VolumeOptions", "volume"), ("BindOptions", "bind"), ("TmpfsOptions", "tmpfs"),
                           ("ImageOptions", "image")):  # fmt: skip
        if options in found and kind != owner:
            raise ValueError(f"cannot mix '{owner}-*' options with mount type '{kind}'")
    options = found.get("BindOptions", {})
    if options.get("ReadOnlyNonRecursive") and not found.get("ReadOnly"):
        raise ValueError(
            "option 'bind-recursive=writable' requires 'readonly' to be specified in conjunction"
        )
    if options.get("ReadOnlyForceRecursive"):
        if not found.get("ReadOnly"):
            raise ValueError(
                "option 'bind-recursive=readonly' requires 'readonly' to be specified in conjunction"
            )
        if options.get("Propagation") != "rprivate":
            raise ValueError(
                "option 'bind-recursive=readonly' requires 'bind-propagation=rprivate' "
                "to be specified in conjunction"
            )
