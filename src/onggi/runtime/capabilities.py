"""Capabilities by name: Docker's default set, and lists of an OCI `process.capabilities` as masks.

Names beyond this kernel's last capability are left out, as runc does with a warning; unknown names are an
error. Source: capabilities(7); OCI runtime specification, config.md, "capabilities".
"""

from __future__ import annotations

from onggi.errors import InvalidParameter
from onggi.kernel.capabilities import BITS, NAMES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

DOCKER_DEFAULT = (
    "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID",
    "CAP_SETUID", "CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL",
    "CAP_AUDIT_WRITE",
)  # fmt: skip


def last_cap(path: str = "/proc/sys/kernel/cap_last_cap") -> int:
    """The number of the last capability that this kernel has."""
    with open(path, "rb") as file:
        return int(file.read())


def number(name: str) -> int:
    """CAP_CHOWN (any case, the prefix may be missing) to 0. Raises InvalidParameter."""
    try:
        return NAMES.index(normal(name))
    except ValueError:
        raise InvalidParameter(f"unknown capability {name!r}") from None


def normal(name: str) -> str:
    """The name as the OCI writes it."""
    upper = name.upper()
    return upper if upper.startswith("CAP_") else f"CAP_{upper}"


def mask(names: Iterable[str], last: int = 63) -> int:
    """A list of names as bits; capabilities above `last` are left out."""
    bits = 0
    for name in names:
        bits |= 1 << number(name)
    return bits & (1 << last + 1) - 1


def names(bits: int) -> list[str]:
    """The names of a mask, in the order of their numbers; unnamed bits are left out."""
    return [name for name in NAMES if BITS[name] & bits]


def all_names(last: int | None = None) -> list[str]:
    """Every capability of this kernel that has a name here."""
    return list(NAMES[: (last_cap() if last is None else last) + 1])
