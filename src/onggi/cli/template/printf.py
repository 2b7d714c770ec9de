"""Go's fmt.Sprintf for the values that templates have: %v %s %q %d %x %X %o %b %c %t %f %g %e %T %%."""

from __future__ import annotations

from onggi.cli.template.values import Bytes, kind, nested, number

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


LARGEST = 1_000_000  # of a width or precision (Go's fmt, tooLarge)


def printf(form: str, values: tuple[Any, ...]) -> str:
    """Wrong verbs and counts show in the text, as Go's do."""
    out: list[str] = []
    at = used = 0
    while at < len(form):
        letter = form[at]
        at += 1
        if letter != "%":
            out.append(letter)
            continue
        start = at
        while at < len(form) and form[at] in "+-# 0":
            at += 1
        flags = form[start:at]
        width, at = _number(form, at)
        precision = None
        if form[at : at + 1] == ".":
            precision, at = _number(form, at + 1)
        if at >= len(form):
            out.append("%!(NOVERB)")
            break
        verb = form[at]
        at += 1
        if verb == "%":
            out.append("%")
            continue
        if used >= len(values):
            out.append(f"%!{verb}(MISSING)")
            continue
        shown = _one(verb, flags, precision, values[used])
        used += 1
        if "-" in flags:
            shown = shown.ljust(width)
        elif "0" in flags and verb in "dxXobfge":
            shown = shown.zfill(width)
        else:
            shown = shown.rjust(width)
        out.append(shown)
    if used < len(values):
        extra = ", ".join(f"{kind(value)}={nested(value)}" for value in values[used:])
        out.append(f"%!(EXTRA {extra})")
    return "".join(out)


def _number(form: str, at: int) -> tuple[int, int]:
    """A width or precision, and where it ends; one above a million swallows the rest of the form, as Go's."""
    start = at
    while form[at : at + 1].isdigit() and form[at].isascii():
        at += 1
    digits = form[start:at].lstrip("0")
    if len(digits) > 7 or int(digits or 0) > LARGEST:
        return 0, len(form)
    return int(digits or 0), at


def _one(verb: str, flags: str, precision: int | None, value: Any) -> str:
    if verb == "v":
        return nested(value)
    if verb == "T":
        return kind(value)
    if isinstance(value, Bytes) and verb in "sqxX":
        value = value.content.decode(errors="replace") if verb in "sq" else value.content.hex()
        return _one(verb, flags, precision, value) if verb in "sq" else _case(verb, value)
    if isinstance(value, (list, tuple)) and verb in "sqdxX":
        return "[" + " ".join(_one(verb, flags, precision, item) for item in value) + "]"
    if verb == "s" and isinstance(value, (str, dict)):
        return nested(value)[:precision]
    if verb == "q" and isinstance(value, str):
        from onggi import jsontext

        return jsontext.dumps(value)
    if verb == "t" and isinstance(value, bool):
        return nested(value)
    if isinstance(value, int) and not isinstance(value, bool):
        if verb == "d":
            return f"{value:+d}" if "+" in flags else str(value)
        if verb in "xXob":
            return f"{value:{'#' if '#' in flags else ''}{verb}}"
        if verb == "c":
            return chr(value) if 0 <= value <= 0x10FFFF else "\ufffd"
    if isinstance(value, float) and verb in "feg":
        if verb == "g" and precision is None:
            return number(value)
        return f"{value:{'+' if '+' in flags else ''}.{6 if precision is None else precision}{verb}}"
    if isinstance(value, str) and verb in "xX":
        return _case(verb, value.encode().hex())
    return f"%!{verb}({kind(value)}={nested(value)})"


def _case(verb: str, digits: str) -> str:
    return digits.upper() if verb == "X" else digits
