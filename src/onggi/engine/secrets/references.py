"""What a container asks for, made sure of at create: ids for names, places for files.

    HostConfig.Secrets   a file below /run/secrets, or a variable
    HostConfig.Configs   a file below /
The form is a service's (ContainerSpec.Secrets). A relative name is below those directories, an absolute one
is anywhere.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable
from typing import TYPE_CHECKING

import msgspec

from onggi.engine.secrets.record import CONFIG, SECRET, Kind, SecretRecord, get
from onggi.errors import InvalidParameter, NotFound
from onggi.wire.secrets import ConfigReference, SecretFile, SecretReference

if TYPE_CHECKING:
    from onggi.engine.engine import Engine
    from onggi.engine.record import ContainerRecord
    from onggi.wire.containers import HostConfig

SECRETS_DIR = "/run/secrets"
MODE = 0o444
ID_MAX = 2**32 - 2  # 2^32-1 is "no change" to chown(2)


def resolve(engine: Engine, record: ContainerRecord) -> HostConfig:
    """The host's half with ids and whole targets. Raises InvalidParameter.

    No step between this and the owner row may wait: a removal looks at rows.
    """
    host = record.host_config
    if not host.secrets and not host.configs:
        return host
    secrets = [_secret(engine, each) for each in host.secrets]
    configs = [_config(engine, each) for each in host.configs]
    _refuse_duplicates(record, [*(one.file for one in secrets), *(one.file for one in configs)])
    _refuse_doubled(each.environment for each in secrets)
    return msgspec.structs.replace(host, secrets=secrets, configs=configs)


def _secret(engine: Engine, each: SecretReference) -> SecretReference:
    found = _find(engine, SECRET, each.secret_id, each.secret_name)
    if each.environment:
        if each.file is not None:
            raise InvalidParameter(f"secret {found.name}: a file and a variable exclude one another")
        _check_variable(found.name, each.environment)
        file = None
    else:
        file = _file(SECRET, found.name, each.file, SECRETS_DIR)
    return msgspec.structs.replace(each, secret_id=found.id, secret_name=found.name, file=file)


def _config(engine: Engine, each: ConfigReference) -> ConfigReference:
    found = _find(engine, CONFIG, each.config_id, each.config_name)
    if each.runtime is not None:
        raise InvalidParameter(f"config {found.name}: Runtime is for credential specs of Windows")
    file = _file(CONFIG, found.name, each.file, "/")
    return msgspec.structs.replace(each, config_id=found.id, config_name=found.name, file=file)


def _find(engine: Engine, kind: Kind, id: str, name: str) -> SecretRecord:
    """A 404 here would tell `docker run` that the image is missing: it would pull, and try again."""
    if not id and not name:
        raise InvalidParameter(f"invalid {kind.word} reference: it has neither id nor name")
    try:
        return get(engine, kind, id or name)
    except NotFound as error:
        raise InvalidParameter(error.message) from None


def _file(kind: Kind, name: str, wanted: SecretFile | None, directory: str) -> SecretFile:
    file = wanted or SecretFile()
    target = file.name or name
    path = posixpath.normpath(posixpath.join(directory, target))
    if "\0" in target or path == "/" or target.endswith("/") or ".." in target.split("/"):
        raise InvalidParameter(f"{kind.word} {name}: invalid target {target!r}")
    mode = MODE if file.mode is None else file.mode
    if not 0 <= mode <= 0o7777:
        raise InvalidParameter(f"{kind.word} {name}: invalid mode {mode:o}")
    for word, text in (("uid", file.uid), ("gid", file.gid)):
        if text and not (text.isascii() and text.isdigit() and len(text) < 11 and int(text) <= ID_MAX):
            raise InvalidParameter(f"{kind.word} {name}: invalid {word} {text!r}: it must be a number")
    return SecretFile(name=path, uid=file.uid or "0", gid=file.gid or "0", mode=mode)


def _check_variable(name: str, variable: str) -> None:
    if "=" in variable or "\0" in variable:
        raise InvalidParameter(f"secret {name}: invalid name of a variable: {variable!r}")


def _refuse_duplicates(record: ContainerRecord, files: Iterable[SecretFile | None]) -> None:
    taken = {posixpath.normpath(mount.target) for mount in record.mounts}
    for file in files:
        if file is not None:
            if file.name in taken:
                raise InvalidParameter(f"Duplicate mount point: {file.name}")
            taken.add(file.name)


def _refuse_doubled(variables: Iterable[str]) -> None:
    seen: set[str] = set()
    for variable in filter(None, variables):
        if variable in seen:
            raise InvalidParameter(f"two secrets are to be the variable {variable}")
        seen.add(variable)
