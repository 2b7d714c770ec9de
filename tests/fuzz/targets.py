"""Every target of fuzzing by name: what it does with bytes, and the inputs that it begins with."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from tests.fuzz import dockerfile, frames, http, parsers
from tests.fuzz.feed import json_bytes

_CHOICES = tuple(bytes(range(start, start + 60)) for start in range(0, 190, 20))


class Target(NamedTuple):
    run: Callable[[bytes], None]
    seeds: tuple[bytes, ...]
    most_bytes: int = 4096


REFERENCES = (
    b"a/b:c", b"[::1]:5/a@sha256:" + b"a" * 64, b"linux/arm64/v8", b"2026-01-01T00:00:00.5+01:00", b"1h3m",
    b'{"a":["b"]}',
)  # fmt: skip
DOCKERFILES = (b"FROM a AS b\nRUN --mount=type=cache,target=/x <<E\nx\nE\nCOPY --from=b a b\n",)
QUESTIONS = (b"\xff" + parsers.question("web", 1), b"\0" + parsers.question("2.0.0.10.in-addr.arpa", 12))
TEMPLATES = (
    b'{{range $i, $x := .List}}{{printf "%q %5d" $x $i}}{{end}}',
    b"{{if and .Truth (eq .Number 5)}}{{json .Labels}}{{end}}",
    b'{{define "a"}}{{.}}{{end}}{{template "a" .Name}}',
    b'table {{.Label "a"}}\t{{index .List 1 | println}}',
    b"{{with .Empty}}{{else}}{{len .List}}{{end}}",
)

EXPRESSIONS = (
    rb"^/?web-[0-9]+$", rb"(a|b)*a(a|b){500}", rb"(?i:[[:alpha:]\d]{2,}?)\Q.*\E|\p{Lu}\b",
    b"[^a-c]*\\?x", b"(a+)+$",
)  # fmt: skip

TARGETS = {
    "requests": Target(http.requests, http.SEEDS),
    "references": Target(parsers.references, REFERENCES, 300),
    "manifests": Target(parsers.manifests, (b"\x03" + json_bytes(parsers.MANIFEST), *_CHOICES)),
    "archives": Target(parsers.archives, parsers.ARCHIVE_SEEDS, 16384),
    "dockerfile": Target(dockerfile.one, DOCKERFILES),
    "profiles": Target(parsers.profiles, (b"\0" + json_bytes(parsers.PROFILE), *_CHOICES)),
    "configurations": Target(parsers.configurations, _CHOICES),
    "messages": Target(frames.messages, _CHOICES),
    "packets": Target(parsers.packets, QUESTIONS, 600),
    "sockets": Target(frames.sockets, (b"\1\x0a\x81\x85abcd\0\0\0\0\0", *_CHOICES)),
    "templates": Target(parsers.templates, TEMPLATES, 300),
    "expressions": Target(parsers.expressions, EXPRESSIONS, 300),
    "policies": Target(parsers.policies, (b'{"default":[{"type":"reject"}]}', b"!a\n**/b*\n[a-c]?")),
}
