"""Here-documents: where a line of RUN, COPY or ADD asks for them, and what their names say.

    RUN <<EOF   RUN cat <<-'A' <<B   COPY <<one <<"two" /files/

`<<-` takes leading tabs away; a quoted name keeps `$` in the body as it is.
"""

from __future__ import annotations

import re

from onggi.builder.dockerfile import expansion
from onggi.builder.instructions import Heredoc

_START = re.compile(r"(\d*)<<(-?)\s*([^<]*)$")
_LEADING_TABS = re.compile(r"^\t+", re.MULTILINE)
FD_MAX = 2**31


def parse(word: str) -> Heredoc | None:
    """A here-document's beginning, its body still empty; None when the word is none. Raises
    expansion.Failed.
    """
    match = _START.match(word)
    if match is None or not match[3]:
        return None
    plain = expansion.expand(match[3], {}, keep_unset=True).words
    if len(plain) != 1:
        return None
    raw = expansion.expand(match[3], {}, keep_unset=True, raw_quotes=True).words
    quoted = len(raw) != 1 or _quotes(plain[0]) != _quotes(raw[0])
    descriptor = int(match[1]) if match[1] and len(match[1]) < 10 else 0
    return Heredoc(plain[0], "", expand=not quoted, chomp=match[2] == "-", fd=min(descriptor, FD_MAX))


def in_line(line: str) -> list[Heredoc]:
    """All that a line asks for, in order. A line that a shell could not read asks for none."""
    try:
        words = expansion.expand(line, {}, keep_unset=True, raw_quotes=True, raw_escapes=True).words
        found = [parse(word) for word in words if "<<" in word]
    except expansion.Failed:
        return []
    return [one for one in found if one is not None]


def without_tabs(body: str) -> str:
    return _LEADING_TABS.sub("", body)


def summary(body: str) -> str:
    """Its first line, for progress: `echo hello...`."""
    lines = body.strip().replace("\r\n", "\n").split("\n")
    return lines[0] + ("..." if len(lines) > 1 else "")


def _quotes(text: str) -> int:
    return text.count("'") + text.count('"')
