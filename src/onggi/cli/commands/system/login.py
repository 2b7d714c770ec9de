"""Log in to a registry; the credentials go into ~/.docker/config.json or its helper."""

from __future__ import annotations

import sys

from onggi.cli import credentials
from onggi.cli.errors import CommandError, Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from onggi.cli.flags import Flags
    from onggi.cli.session import Session

USAGE = "[SERVER]"
ARGUMENTS = (0, 1)
FLAGS = (
    ("password", "p", "string", "", "Password or personal access token"),
    ("password-stdin", "", "bool", False, "Take the password from stdin"),
    ("username", "u", "string", "", "Username"),
)


def run(session: Session, flags: Flags, args: list[str]) -> int:
    key = credentials.server(args[0] if args else "")
    username, password = flags["username"], flags["password"]
    if flags["password-stdin"]:
        if "password" in flags.given:
            raise CommandError("--password and --password-stdin are mutually exclusive")
        if not username:
            raise CommandError("Must provide --username with --password-stdin")
        password = sys.stdin.read().removesuffix("\n").removesuffix("\r")
    elif password:
        session.err("WARNING! Using --password via the CLI is insecure. Use --password-stdin.")
    if not username and not password and _again(session, key):
        return 0
    username, password = _asked(session, username, password)
    token = _ask(session, {"username": username, "password": password, "serveraddress": key})
    if credentials.store(session, key, username, password, token):
        session.err(
            f"\nWARNING! Your credentials are stored unencrypted in '{session.config_dir()}/config.json'.\n"
            "Configure a credential helper to remove this warning. See\n"
            "https://docs.docker.com/go/credential-store/\n"
        )
    session.out("Login Succeeded")
    return 0


def _again(session: Session, key: str) -> bool:
    """With what is known already; a refusal leads to the questions."""
    known = credentials.lookup(session, key)
    if not known:
        return False
    shown = f" [Username: {known['username']}]" if known.get("username") else ""
    session.out(f"Authenticating with existing credentials...{shown}")
    try:
        _ask(session, known)
    except Refused as error:
        session.err(f"Login did not succeed, error: {error.message}")
        return False
    session.out("Login Succeeded")
    return True


def _asked(session: Session, username: str, password: str) -> tuple[str, str]:
    if (not username or not password) and not sys.stdin.isatty():
        raise CommandError("Error: Cannot perform an interactive login from a non TTY device")
    if not username:
        sys.stdout.write("Username: ")
        session.flush()
        username = sys.stdin.readline().strip()
        if not username:
            raise CommandError("Error: Non-null Username Required")
    if not password:
        import getpass

        password = getpass.getpass("Password: ")
        if not password:
            raise CommandError("Error: Password Required")
    return username, password


def _ask(session: Session, config: dict[str, str]) -> str:
    answer = session.engine.post("/auth", config) or {}
    return str(answer.get("IdentityToken") or "")
