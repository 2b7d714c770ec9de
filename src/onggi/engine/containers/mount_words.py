"""The words of -v: `source:target[:modes]`, `target` alone for a volume without a name.

ro rw                       read-only, with all that is mounted below it; or not
z Z                         accepted: there is no SELinux to label for
rprivate ... slave          propagation, of binds
nocopy                      a new volume stays empty, of volumes
cached delegated consistent accepted, as Docker does on Linux
O                           copy-on-write: what the container changes stays in the container (ours)
idmap[=...]                 idmaps.py; of binds (ours, as the next)
exclude=DIR                 a directory below the target that goes on showing the image's; repeatable
"""

from __future__ import annotations

import posixpath
import re
import secrets
from typing import Any

from onggi.engine.containers import idmaps
from onggi.engine.record import MountRecord
from onggi.errors import InvalidParameter
from onggi.volumes import local

PROPAGATIONS = frozenset({"private", "rprivate", "shared", "rshared", "slave", "rslave"})
_GROUPS = (
    frozenset({"ro", "rw"}),
    PROPAGATIONS,
    frozenset({"z", "Z"}),
    frozenset({"nocopy"}),
    frozenset({"cached", "delegated", "consistent"}),
    frozenset({"O"}),
)


def parse(text: str) -> MountRecord:
    """A source with a slash in front is a host path, else a volume's name. Raises InvalidParameter.

    Docker's checks in Docker's order (moby, volume/mounts/linux_parser.go, ParseMountRaw).
    """
    parts = text.split(":", 2)
    if not parts[0] or (len(parts) == 3 and ":" in re.sub(r"idmap=[^,]*", "", parts[2])):
        raise InvalidParameter(f"invalid volume specification: '{text}'")
    if len(parts) == 2 and _are_modes(parts[1]):  # a volume without a name has no modes
        raise InvalidParameter(f"invalid volume specification: '{text}'")
    source, place = ("", parts[0]) if len(parts) == 1 else parts[:2]
    is_bind = source.startswith("/")
    modes = parts[2].split(",") if len(parts) == 3 and parts[2] else []
    plain = _check(modes, is_bind=is_bind)
    try:
        if not place:
            raise InvalidParameter("field Target must not be empty")
        clean = target(place)
        _refuse_foreign(plain, is_bind=is_bind)
    except InvalidParameter as error:
        raise InvalidParameter(
            f"invalid volume specification: '{text}': invalid mount config for type "
            f'"{"bind" if is_bind else "volume"}": {error.message}'
        ) from None
    facts: dict[str, Any] = {
        "target": clean,
        "read_only": "ro" in plain,
        "mode": ",".join(modes) or ("" if is_bind else "z"),
        "overlay": "O" in plain,
        "exclude": tuple(excluded(m[8:]) for m in modes if m.startswith("exclude=")),
    }
    if not source:
        return anonymous(clean, mode="z")
    if not is_bind:
        name = volume_name(source)
        return MountRecord(type="volume", source="", name=name, no_copy="nocopy" in plain, **facts)
    spread = next((mode for mode in plain if mode in PROPAGATIONS), "")
    mapped = next((m.partition("=")[2] or idmaps.OWNER for m in modes if m.partition("=")[0] == "idmap"), "")
    path = posixpath.normpath(source)
    return MountRecord(type="bind", source=path, propagation=spread, idmap=mapped, makes_source=True, **facts)


def _are_modes(text: str) -> bool:
    return all(any(mode in group for group in _GROUPS) for mode in text.split(",")) if text else True


def _refuse_foreign(plain: list[str], *, is_bind: bool) -> None:
    if is_bind and "nocopy" in plain:
        raise InvalidParameter("field VolumeOptions must not be specified")
    if not is_bind and PROPAGATIONS & set(plain):
        raise InvalidParameter("field BindOptions must not be specified")


def _check(modes: list[str], *, is_bind: bool) -> list[str]:
    """The modes without those of the form key=value. Raises InvalidParameter."""
    plain = []
    for mode in modes:
        key, equals, value = mode.partition("=")
        if key == "idmap" and is_bind:
            idmaps.parse(value or idmaps.OWNER)
        elif key == "exclude" and equals:
            excluded(value)
        else:
            plain.append(mode)
    bad = any(not any(mode in group for group in _GROUPS) for mode in plain)
    bad = bad or any(sum(mode in group for mode in plain) > 1 for group in _GROUPS)
    bad = bad or ("O" in plain and bool(PROPAGATIONS & set(plain)))
    if bad:
        raise InvalidParameter(f"invalid mode: {','.join(modes)}")
    return plain


def target(text: str) -> str:
    """A clean absolute path in the container. Raises InvalidParameter."""
    if not text.startswith("/"):
        raise InvalidParameter(f"invalid mount path: '{text}' mount path must be absolute")
    if "\0" in text:
        raise InvalidParameter(f"invalid mount path: {text!r} holds a null byte")
    clean = posixpath.normpath("/" + text.lstrip("/"))
    if clean == "/":
        raise InvalidParameter("invalid specification: destination can't be '/'")
    return clean


def excluded(text: str) -> str:
    """A clean path below a mount. Raises InvalidParameter."""
    clean = posixpath.normpath(text)
    if not text or clean in (".", "..") or clean.startswith(("/", "../")) or "\0" in text:
        raise InvalidParameter(f"invalid exclude: '{text}' must be a relative path within the mount")
    return clean


def anonymous(place: str, *, mode: str = "") -> MountRecord:
    """A volume that nobody named."""
    name = secrets.token_hex(32)
    return MountRecord(type="volume", source="", target=place, name=name, anonymous=True, mode=mode)


def volume_name(text: str) -> str:
    """A volume's name, checked. Raises InvalidParameter."""
    local.check_name(text)
    return text
