"""A verb's command line: its options, then the id of the one container it is about."""

from __future__ import annotations

import sys

from onggi.errors import InvalidParameter
from onggi.runtime.command import VERBS
from onggi.runtime.options import Option, parse, usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

HELP = {"help": Option(None, "show this help", short="h")}


def split(
    verb: str, table: dict[str, Option], words: list[str], arguments: str, least: int, most: int
) -> tuple[dict[str, Any], list[str]]:
    """Options and `least` to `most` arguments. Raises InvalidParameter, or SystemExit behind --help."""
    options, rest = parse(verb, {**table, **HELP}, words)
    if options["help"]:
        sys.stdout.write(usage(verb, arguments, VERBS[verb], {**table, **HELP}))
        raise SystemExit(0)
    if len(rest) < least or len(rest) > most:
        count = (
            f"exactly {least}"
            if least == most
            else f"a minimum of {least}"
            if len(rest) < least
            else f"a maximum of {most}"
        )
        raise InvalidParameter(f'"onggi-runtime {verb}" requires {count} argument(s)')
    return options, rest


def one_container(verb: str, table: dict[str, Option], words: list[str]) -> tuple[dict[str, Any], str]:
    options, rest = split(verb, table, words, "[options] ID", 1, 1)
    return options, rest[0]
