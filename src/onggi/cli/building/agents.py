"""--ssh: agents for RUN --mount=type=ssh. For each, a connection is held ready at the engine.

When the engine speaks on one, it is joined with a new connection to the agent, and the next is made ready.
The threads end with the process; the engine ends the connections with the build.
"""

from __future__ import annotations

import _socket  # socket itself imports enum and selectors
import os
import stat

from onggi.cli.errors import CommandError, Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from onggi.cli.session import Session

FLAG = ("ssh", "", "list", None, 'An ssh agent for RUN --mount=type=ssh ("default", or id=socket)')
PIECE_BYTES = 64 << 10


def offered(session: Session, wanted: list[str], build_id: str | None) -> str | None:
    """Hold agents ready for the build of that id, or of a new one; the id. Raises CommandError."""
    agents = dict(map(_agent, wanted))
    if not agents:
        return build_id
    build_id = build_id or os.urandom(16).hex()
    for id, path in agents.items():
        try:
            first = _ready(session, build_id, id, again=False)
        except Refused as error:
            if error.code == 404:
                raise CommandError("this engine takes ssh agents by BuildKit's protocol only") from None
            raise
        _begin(_serve, session, build_id, id, path, first)
    return build_id


def _begin(work: Callable[..., None], *args: Any) -> Any:
    import threading  # 14 ms, which a build without agents does not wait for

    thread = threading.Thread(target=work, args=args, daemon=True)
    thread.start()
    return thread


def _agent(text: str) -> tuple[str, str]:
    """(id, path of its socket). Raises CommandError."""
    id, equals, path = text.partition("=")
    if not equals:
        path = os.environ.get("SSH_AUTH_SOCK", "")
        if not path:
            raise CommandError(f"ssh {text}: SSH_AUTH_SOCK is not set: start an agent with ssh-agent")
    if not id:
        raise CommandError(f"invalid ssh agent {text!r}: id=socket")
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        raise CommandError(f"ssh {id}: {path}: {(error.strerror or '').lower()}") from None
    if not stat.S_ISSOCK(mode):
        raise CommandError(f"ssh {id}: {path} is no agent's socket; ssh-add gives keys in files to an agent")
    return id, path


def _ready(session: Session, build_id: str, id: str, *, again: bool) -> tuple[Any, bytes]:
    """A connection, and what the engine has said on it already."""
    sock, early, _ = session.engine.hijack("/build/ssh", {"buildid": build_id, "id": id, "again": again})
    return sock, early


def _serve(session: Session, build_id: str, id: str, path: str, ready: tuple[Any, bytes]) -> None:
    """Until the engine wants no more of them."""
    try:
        while True:
            sock, early = ready
            first = early or sock.recv(PIECE_BYTES)
            if first:
                _begin(_join, sock, first, path)
            else:
                sock.close()
            ready = _ready(session, build_id, id, again=True)
    except (CommandError, OSError):
        return  # the build has ended


def _join(engine: Any, first: bytes, path: str) -> None:
    agent = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        agent.connect(path)
        agent.sendall(first)
        back = _begin(_pass, agent, engine)
        _pass(engine, agent)
        back.join()
    except OSError as error:
        os.write(2, f"ssh agent {path}: {error.strerror}\n".encode())
    finally:
        agent.close()
        engine.close()


def _pass(source: Any, target: Any) -> None:
    try:
        while data := source.recv(PIECE_BYTES):
            target.sendall(data)
        target.shutdown(_socket.SHUT_WR)
    except OSError:
        return  # one of the two is gone; the other one's end comes next
