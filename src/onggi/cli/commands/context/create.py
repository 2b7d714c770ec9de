"""Create a context."""

from __future__ import annotations

from onggi.cli import contexts
from onggi.cli.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from onggi.cli.flags import Flags
    from onggi.cli.session import Session

USAGE = "CONTEXT"
ARGUMENTS = (1, 1)
FLAGS = (
    *contexts.FLAGS,
    ("from", "", "string", "", "Make it of another context"),
)


def run(session: Session, flags: Flags, args: list[str]) -> int:
    name = args[0]
    contexts.check_name(name)
    directory = session.config_dir()
    if contexts.exists(directory, name):
        raise CommandError(f'context "{name}" already exists')
    pairs = contexts.pairs_of(flags["docker"])
    source = flags["from"] or pairs.get("from", "")
    if not source and not pairs:
        source = session.context_name()
    context = (
        _copy(session, source, name) if source else contexts.Context(name, "", "", {}, skip_verify=False)
    )
    contexts.endpoint(pairs, context)
    if "description" in flags.given:
        context.description = flags["description"]
    contexts.write(directory, context)
    session.out(name)
    session.err(f'Successfully created context "{name}"')
    return 0


def _copy(session: Session, source: str, name: str) -> contexts.Context:
    """`default` is copied too: its address, as it is now."""
    if source == contexts.DEFAULT:
        address = session.default_address().url
        return contexts.Context(name, address, contexts.OF_DEFAULT, {}, skip_verify=False)
    found = contexts.read(session.config_dir(), source)
    return contexts.Context(name, found.host, found.description, found.tls, skip_verify=found.skip_verify)
