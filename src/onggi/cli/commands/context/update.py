"""Change a context's description or address."""

from __future__ import annotations

from onggi.cli import contexts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from onggi.cli.flags import Flags
    from onggi.cli.session import Session

USAGE = "CONTEXT"
ARGUMENTS = (1, 1)
FLAGS = contexts.FLAGS


def run(session: Session, flags: Flags, args: list[str]) -> int:
    context = contexts.read(session.config_dir(), args[0])
    if flags["description"]:
        context.description = flags["description"]
    if flags["docker"]:
        context.host, context.tls, context.skip_verify = "", {}, False  # a new address brings its own keys
        contexts.endpoint(contexts.pairs_of(flags["docker"]), context)
    contexts.write(session.config_dir(), context)
    session.out(args[0])
    session.err(f'Successfully updated context "{args[0]}"')
    return 0
