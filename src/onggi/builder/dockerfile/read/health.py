"""HEALTHCHECK [--interval= --timeout= --start-period= --start-interval= --retries=] CMD ... | NONE"""

from __future__ import annotations

from onggi.builder.dockerfile.flags import Flags
from onggi.builder.dockerfile.read.base import common, some_arguments, wrong
from onggi.builder.dockerfile.tree import Node
from onggi.builder.instructions import Healthcheck_
from onggi.engine import clock
from onggi.errors import InvalidParameter
from onggi.spec.image import Healthcheck

SHORTEST = 1_000_000  # nanoseconds
RETRIES_MAX = 2**31 - 1


def healthcheck(node: Node) -> Healthcheck_:
    kind, *args = some_arguments(node)
    if kind.upper() == "NONE":
        Flags(node)
        if args:
            raise wrong(node, "HEALTHCHECK NONE takes no arguments")
        return Healthcheck_(**common(node), check=Healthcheck(test=["NONE"]))
    flags = Flags(node, texts=("interval", "timeout", "start-period", "start-interval", "retries"))
    if kind.upper() != "CMD":
        raise wrong(node, f'Unknown type "{kind.upper()}" in HEALTHCHECK (try CMD)')
    if not args:
        raise wrong(node, "Missing command after HEALTHCHECK CMD")
    check = Healthcheck(
        test=["CMD", *args] if node.json else ["CMD-SHELL", *args],
        interval=_duration(node, flags, "interval"),
        timeout=_duration(node, flags, "timeout"),
        start_period=_duration(node, flags, "start-period"),
        start_interval=_duration(node, flags, "start-interval"),
        retries=_retries(node, flags.text("retries")),
    )
    return Healthcheck_(**common(node), check=check)


def _duration(node: Node, flags: Flags, name: str) -> int:
    text = flags.text(name)
    if not text:
        return 0
    try:
        value = clock.duration(text)
    except InvalidParameter as error:
        raise wrong(node, error.message) from None
    if value and value < SHORTEST:
        raise wrong(node, f'Interval "{name}" cannot be less than 1ms')
    return value


def _retries(node: Node, text: str) -> int:
    if not text:
        return 0
    digits = text.removeprefix("-").removeprefix("+")
    if not (digits.isascii() and digits.isdigit()):
        raise wrong(node, f'strconv.ParseInt: parsing "{text}": invalid syntax')
    if text.startswith("-"):
        raise wrong(node, f"--retries cannot be negative ({text})")
    if len(digits) > 10 or int(digits) > RETRIES_MAX:
        raise wrong(node, f'strconv.ParseInt: parsing "{text}": value out of range')
    return int(digits)
