"""Flags of an instruction: `--chown=me`, `--link`, `--exclude=a --exclude=b`; which there are is the
instruction's.
"""

from __future__ import annotations

from collections.abc import Iterable

from onggi.builder.dockerfile.errors import DockerfileError
from onggi.builder.dockerfile.suggest import hint
from onggi.builder.dockerfile.tree import Node


class Flags:
    """The flags of one node, read and checked. Raises DockerfileError, in BuildKit's words."""

    def __init__(
        self,
        node: Node,
        *,
        texts: Iterable[str] = (),
        switches: Iterable[str] = (),
        lists: Iterable[str] = (),
    ) -> None:
        self._location = node.location
        kinds = {
            **dict.fromkeys(texts, "text"),
            **dict.fromkeys(switches, "switch"),
            **dict.fromkeys(lists, "list"),
        }
        self._texts: dict[str, str] = {}
        self._switches: dict[str, bool] = {}
        self._lists: dict[str, list[str]] = {}
        for flag in node.flags:
            written, equals, value = flag.partition("=")
            name = written[2:]
            if name not in kinds:
                raise self._wrong(f"unknown flag: {written}{hint(name, kinds)}")
            if name in self._texts or name in self._switches:
                raise self._wrong(f"duplicate flag specified: {written}")
            self._set(kinds[name], name, value, given=bool(equals))

    def _set(self, kind: str, name: str, value: str, *, given: bool) -> None:
        if kind == "switch":
            if given and not value:
                raise self._wrong(f"missing a value on flag: --{name}")
            if value.lower() not in ("", "true", "false"):
                raise self._wrong(f"expecting boolean value for flag --{name}, not: {value}")
            self._switches[name] = value.lower() != "false"
        elif not given:
            raise self._wrong(f"missing a value on flag: --{name}")
        elif kind == "list":
            self._lists.setdefault(name, []).append(value)
        else:
            self._texts[name] = value

    def _wrong(self, message: str) -> DockerfileError:
        return DockerfileError(message, self._location)

    def text(self, name: str, default: str = "") -> str:
        return self._texts.get(name, default)

    def switch(self, name: str) -> bool | None:
        """None where it was not given."""
        return self._switches.get(name)

    def list(self, name: str) -> tuple[str, ...]:
        return tuple(self._lists.get(name, ()))
