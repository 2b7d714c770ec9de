"""Go's fmt.Sprintf for the values that templates have: %v %s %q %d %x %X %o %b %c %t %f %g %e %T %%."""

from __future__ import annotations

from onggi.cli.template.values import kind, nested, number

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


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
        start = at
        while at < len(form) and (form[at].isdigit() or form[at] == "."):
            at += 1
        width, _, precision = form[start:at].partition(".")
        dotted = "." in form[start:at]
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
        shown = _one(verb, flags, int(precision or 0) if dotted else None, values[used])
        used += 1
        if width and len(shown) < int(width):
            if "-" in flags:
                shown = shown.ljust(int(width))
            elif "0" in flags and verb in "dxXobfge":
                shown = shown.zfill(int(width))
            else:
                shown = shown.rjust(int(width))
        out.append(shown)
    if used < len(values):
        extra = ", ".join(f"{kind(value)}={nested(value)}" for value in values[used:])
        out.append(f"%!(EXTRA {extra})")
    return "".join(out)


def _one(verb: str, flags: str, precision: int | None, value: Any) -> str:
    if verb == "v":
        return nested(value)
    if verb == "T":
        return kind(value)
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
            return chr(value)
    if isinstance(value, float) and verb in "feg":
        if verb == "g" and precision is None:
            return number(value)
        return f"{value:{'+' if '+' in flags else ''}.{6 if precision is None else precision}{verb}}"
    if isinstance(value, str) and verb in "xX":
        return value.encode().hex() if verb == "x" else value.encode().hex().upper()
    return f"%!{verb}({kind(value)}={nested(value)})"
