"""What `onggi system check` answers; Onggi's own, no other engine has it."""

from __future__ import annotations

from msgspec import field

from onggi.wire.base import Wire


class StoreFault(Wire, frozen=True, kw_only=True):
    """`outcome` is found, mended, or why it was not; `remedy` is empty where the engine cannot mend it."""

    kind: str = field(name="Kind", default="")
    object: str = field(name="Object", default="")
    fault: str = field(name="Fault", default="")
    size: int = field(name="Size", default=0)
    remedy: str = field(name="Remedy", default="")
    outcome: str = field(name="Outcome", default="found")


class SystemCheck(Wire, frozen=True, kw_only=True):
    """`left` counts the faults that are still there; `checked` says how many of each were looked at."""

    faults: list[StoreFault] = field(name="Faults", default_factory=list)
    left: int = field(name="Left", default=0)
    checked: dict[str, int] = field(name="Checked", default_factory=dict)
