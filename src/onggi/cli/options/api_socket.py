"""--use-api-socket: the engine's socket in a container, and a config.json with the credentials of registries.

    /var/run/docker.sock               bound from the socket that this command speaks to
    /run/secrets/docker/config.json    0600, copied into the container; DOCKER_CONFIG leads there

Where DOCKER_CONFIG is given with --env, the user knows what he does and no credentials are copied.
"""

from __future__ import annotations

import binascii
import io

from onggi import jsontext
from onggi.cli import credentials
from onggi.cli.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from onggi.cli.session import Session

SOCKET = "/var/run/docker.sock"
DIRECTORY = "/run/secrets/docker"


def share(session: Session, body: dict[str, Any]) -> dict[str, Any]:
    """Change the request so that the socket is bound; the credentials that `give` is to copy afterwards.

    Raises CommandError where the engine is not at a Unix socket.
    """
    address = session.address()
    if not address.path:
        raise CommandError(
            "flag --use-api-socket can only be used with unix sockets: "
            f"docker endpoint {address.url} incompatible"
        )
    bound = {"Type": "bind", "Source": address.path, "Target": SOCKET, "BindOptions": {}}
    body["HostConfig"]["Mounts"] = [*(body["HostConfig"].get("Mounts") or []), bound]
    if any(word.startswith("DOCKER_CONFIG=") for word in body.get("Env") or []):
        return {}
    known = credentials.known(session)
    if known:
        body["Env"] = [*(body.get("Env") or []), f"DOCKER_CONFIG={DIRECTORY}"]
    return known


def give(session: Session, container: str, known: dict[str, Any]) -> None:
    """Copy the credentials into a created container. Raises CommandError."""
    if not known:
        return
    import tarfile

    document = jsontext.dumps({"auths": {key: _entry(found) for key, found in known.items()}}).encode()
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        info = tarfile.TarInfo(f"{DIRECTORY}/config.json")
        info.size, info.mode = len(document), 0o600
        archive.addfile(info, io.BytesIO(document))
    try:
        session.engine.open(
            "PUT",
            f"/containers/{container}/archive",
            {"path": "/"},
            out.getvalue(),
            {"Content-Type": "application/x-tar"},
        ).read()
    except CommandError as error:
        raise CommandError(f"injecting docker config.json into container failed: {error.message}") from None


def _entry(found: dict[str, str]) -> dict[str, str]:
    pair = f"{found.get('username', '')}:{found.get('password', '')}".encode()
    entry = {"auth": binascii.b2a_base64(pair, newline=False).decode()} if pair != b":" else {}
    return entry | {name: found[name] for name in ("identitytoken", "registrytoken") if found.get(name)}
