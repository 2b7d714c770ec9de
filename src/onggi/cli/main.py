"""`onggi`: read the global options, find the command, run it, turn failures into a line and an exit status.

Nothing is imported that the command does not need. Not here: the table of commands (tree.py), help (help.py).
"""

from __future__ import annotations

import os
import sys

from onggi.cli import flags as flag_words
from onggi.cli import program, tree
from onggi.cli.errors import CommandError, FlagError
from onggi.cli.program import NAME

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType

    from onggi.cli.flags import Flags, Row

GLOBAL_FLAGS: tuple[Row, ...] = (
    ("config", "", "string", "~/.docker", "Where the command's configuration lies"),
    (
        "context",
        "c",
        "string",
        "",
        f'Context to use for this command (before DOCKER_HOST and "{NAME} context use")',
    ),
    ("debug", "D", "bool", False, "Show the requests that are sent, and tracebacks"),
    ("host", "H", "list", None, "Address of the engine, unix:///path, tcp://host:port or ssh://user@host"),
    ("log-level", "l", "string", "info", 'How much to say ("debug", "info", "warn", "error", "fatal")'),
    ("tls", "", "bool", False, "Use TLS; --tlsverify implies it"),
    ("tlscacert", "", "string", "~/.docker/ca.pem", "Trust certificates signed by this authority only"),
    ("tlscert", "", "string", "~/.docker/cert.pem", "File of the TLS certificate"),
    ("tlskey", "", "string", "~/.docker/key.pem", "File of the TLS key"),
    ("tlsverify", "", "bool", False, "Use TLS and verify the engine"),
    ("version", "v", "bool", False, "Print the version and quit"),
)


def main(argv: list[str] | None = None) -> None:
    """Entry of the launcher; ends the process without the interpreter's clean-up, which costs
    milliseconds.
    """
    status = run(sys.argv[1:] if argv is None else argv)
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        status = status or 1
    sys.stderr.flush()
    os._exit(status)


def run(argv: list[str]) -> int:
    """Run one command line and return its exit status."""
    debug = False
    try:
        found, words = flag_words.parse(GLOBAL_FLAGS, argv, interspersed=False)
        debug = found["debug"]
        return _dispatch(found, words, argv)
    except flag_words.HelpWanted:
        from onggi.cli import help

        print(help.top_page())
        return 0
    except FlagError as error:
        sys.stderr.write(
            f"{error.message}\n\nUsage:  {NAME} [OPTIONS] COMMAND [ARG...]\n\n"
            f"Run '{NAME} --help' for more information\n"
        )
        return error.status
    except CommandError as error:
        return fail(error.message, error.status)
    except BrokenPipeError:
        _silence_stdout()
        return 1
    except KeyboardInterrupt:
        return 130
    except Exception as error:  # the edge: a fault of ours is named, and shown whole on request
        if debug:
            import traceback

            traceback.print_exc()
        return fail(f"onggi: internal error: {type(error).__name__}: {error} (use --debug to see where)", 1)


def fail(message: str, status: int) -> int:
    """Say why, after what was printed so far."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _silence_stdout()
    if message:
        from onggi.cli import color

        first, newline, rest = message.partition("\n")
        red = color.RED if color.wanted(2) else ""
        sys.stderr.write(color.paint(red, first) + newline + rest + "\n")
    return status


def _silence_stdout() -> None:
    """Point stdout at nothing, so that the interpreter does not complain about the closed pipe again."""
    null_fd = os.open("/dev/null", os.O_WRONLY)
    os.dup2(null_fd, 1)
    os.close(null_fd)


def _dispatch(found: Flags, words: list[str], argv: list[str]) -> int:
    if found["version"]:
        print(program.version())
        return 0
    if not words:
        from onggi.cli import help

        print(help.top_page())
        return 0
    if words[0] == "help":
        return _help(words[1:])
    if words[0] == "__complete":
        from onggi.cli import complete

        complete.answer(found, words[1:])
        return 0
    if words[0] not in tree.COMMANDS and words[0] not in tree.NOUNS:
        _try_plugin(found, words[0], argv)
    path, rest = resolve(words)
    if path in tree.COMMANDS:
        return _run_command(found, path, " ".join(words[: len(words) - len(rest)]), rest)
    return _noun(path, rest)


def _try_plugin(found: Flags, name: str, argv: list[str]) -> None:
    """Returns where no plugin has that name. Raises CommandError."""
    from onggi.cli import plugins
    from onggi.cli.session import Session

    session = Session(found, name)
    path = plugins.find(session, name)
    if path:
        try:
            plugins.become(session, path, argv)
        except OSError as error:
            raise CommandError(f"{path}: {error.strerror}") from None


def resolve(words: list[str]) -> tuple[str, list[str]]:
    """The command's path in tree.COMMANDS (or a noun) and the words after it. Raises CommandError."""
    name = words[0]
    if name in tree.NOUNS:
        if len(words) > 1 and not words[1].startswith("-"):
            pair = f"{name} {words[1]}"
            if pair in tree.COMMANDS:
                return pair, words[2:]
            if pair in tree.ALIASES:
                return tree.ALIASES[pair], words[2:]
        return name, words[1:]
    if name in tree.COMMANDS:
        return name, words[1:]
    raise CommandError(
        f"{NAME}: unknown command: {NAME} {name}{_suggest(name)}\n\nRun '{NAME} --help' for more information"
    )


def _suggest(name: str) -> str:
    from onggi.cli import help

    close = help.similar(name)
    return "\n\nDid you mean this?\n" + "\n".join(f"\t{word}" for word in close) if close else ""


def _noun(noun: str, rest: list[str]) -> int:
    from onggi.cli import help

    if rest and not rest[0].startswith("-"):
        raise CommandError(
            f"{NAME}: unknown command: {NAME} {noun} {rest[0]}\n\nUsage:  {NAME} {noun}\n\n"
            f"Run '{NAME} {noun} --help' for more information"
        )
    try:
        flag_words.parse((), rest)
    except flag_words.HelpWanted:
        print(help.noun_page(noun))
        return 0
    except FlagError as error:
        sys.stderr.write(
            f"{error.message}\n\nUsage:  {NAME} {noun} COMMAND\n\n"
            f"Run '{NAME} {noun} --help' for more information\n"
        )
        return error.status
    sys.stderr.write(help.noun_page(noun) + "\n")
    return 0


def _help(words: list[str]) -> int:
    from onggi.cli import help

    if not words:
        print(help.top_page())
        return 0
    try:
        path, _ = resolve(words)
    except CommandError:
        raise CommandError("unknown help topic: " + " ".join(words)) from None
    print(help.noun_page(path) if path in tree.NOUNS else help.command_page(path, " ".join(words)))
    return 0


def load(path: str) -> ModuleType:
    """The module of a command; imported when it runs."""
    name = f"onggi.cli.commands.{tree.COMMANDS[path][0]}"
    __import__(name)
    return sys.modules[name]


def _run_command(found: Flags, path: str, spelled: str, words: list[str]) -> int:
    module = load(path)
    if getattr(module, "VERBATIM", False):
        from onggi.cli.session import Session

        return int(module.run(Session(found, spelled), flag_words.Flags(), words))
    rows: tuple[Row, ...] = module.FLAGS
    options = "[OPTIONS] " if any(row[4] for row in rows) else ""
    usage = f"Usage:  {NAME} {spelled} {options}{module.USAGE}".rstrip()
    try:
        flags, arguments = flag_words.parse(rows, words, interspersed=getattr(module, "INTERSPERSED", True))
    except flag_words.HelpWanted:
        from onggi.cli import help

        print(help.command_page(path, spelled))
        return 0
    except FlagError as error:
        return fail(
            f"{error.message}\n\n{usage}\n\nRun '{NAME} {spelled} --help' for more information", error.status
        )
    _check_count(spelled, usage, module.ARGUMENTS, len(arguments))
    from onggi.cli.session import Session

    session = Session(found, spelled)
    if document := session.config():
        from onggi.cli import defaults

        defaults.apply(document, path, flags, session)
    status: int = module.run(session, flags, arguments)
    return status


def _check_count(spelled: str, usage: str, wanted: tuple[int, int | None], count: int) -> None:
    """Docker's words for too few and too many arguments."""
    least, most = wanted
    if least <= count and (most is None or count <= most):
        return
    if most == 0:
        what, hint = "accepts no arguments", "Run"
    elif least == most:
        what, hint = f"requires {least} argument{'s' if least != 1 else ''}", "Run"
    elif most is None:
        what, hint = f"requires at least {least} argument{'s' if least != 1 else ''}", "See"
    elif least == 0:
        what, hint = f"requires at most {most} argument{'s' if most != 1 else ''}", "Run"
    else:
        what, hint = f"requires at least {least} and at most {most} arguments", "Run"
    raise CommandError(
        f"{NAME}: '{NAME} {spelled}' {what}\n\n{usage}\n\n"
        f"{hint} '{NAME} {spelled} --help' for more information"
    )
