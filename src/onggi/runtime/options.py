"""The options of onggi-runtime: a table for each verb, and the parser that runc's users know.

    OPTIONS = {"bundle": Option("path", short="b"), "detach": Option(None, short="d")}
    options, arguments = parse("create", OPTIONS, argv)

As in runc: one dash or two, `--x value` or `--x=value`, options end at the first argument or at `--`.
A switch takes `=true` or `=false`. Not here: what an option means (verbs/).
"""

from __future__ import annotations

from onggi.errors import InvalidParameter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_SWITCH = {"true": True, "1": True, "t": True, "false": False, "0": False, "f": False}


class Option:
    """One option. `value` names its value in the help, None for a switch; `many` collects a list."""

    __slots__ = ("default", "help", "many", "short", "value")

    def __init__(
        self,
        value: str | None = None,
        help: str = "",
        *,
        short: str = "",
        many: bool = False,
        default: object = None,
    ) -> None:
        self.value = value
        self.help = help
        self.short = short
        self.many = many
        self.default: Any = (
            default if default is not None else ([] if many else False if value is None else "")
        )


def parse(verb: str, table: dict[str, Option], words: list[str]) -> tuple[dict[str, Any], list[str]]:
    """(value of every option, the arguments that follow). Raises InvalidParameter."""
    names = {option.short: name for name, option in table.items() if option.short}
    found: dict[str, Any] = {name: list(o.default) if o.many else o.default for name, o in table.items()}
    position = 0
    while position < len(words):
        word = words[position]
        if word == "--":
            return found, words[position + 1 :]
        if len(word) < 2 or word[0] != "-":
            break
        position += 1
        name, equals, text = word.lstrip("-").partition("=")
        name = names.get(name, name)
        option = table.get(name)
        if option is None:
            raise InvalidParameter(f"{verb}: flag provided but not defined: -{name}")
        if option.value is None:
            if equals and text not in _SWITCH:
                raise InvalidParameter(f'{verb}: invalid boolean value "{text}" for -{name}')
            found[name] = _SWITCH[text] if equals else True
            continue
        if not equals:
            if position == len(words):
                raise InvalidParameter(f"{verb}: flag needs an argument: -{name}")
            text = words[position]
            position += 1
        if option.many:
            found[name].append(text)
        else:
            found[name] = text
    return found, words[position:]


def number(options: dict[str, Any], name: str, default: int = 0) -> int:
    """A whole number of an option's text."""
    text = options[name]
    if text == "":
        return default
    try:
        return int(text)
    except ValueError:
        raise InvalidParameter(f'invalid value "{text}" for flag -{name}: not a whole number') from None


def usage(verb: str, arguments: str, about: str, table: dict[str, Option]) -> str:
    """The help of one verb."""
    lines = [
        f"NAME:\n   onggi-runtime {verb} - {about}\n\nUSAGE:\n   onggi-runtime {verb} {arguments}\n\nOPTIONS:"
    ]
    for name, option in table.items():
        left = f"--{name}" + (f" {option.value}" if option.value else "")
        lines.append(f"   {left + (f', -{option.short}' if option.short else ''):<34} {option.help}".rstrip())
    return "\n".join(lines) + "\n"
