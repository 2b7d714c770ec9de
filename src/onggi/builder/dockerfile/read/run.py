"""RUN [--mount=...] [--network=] [--security=] [--device=] command, and what its mounts say.

A mount may hold variables (`source=$DIR`), so it is read twice: at first only for what has to be plain
(`from`, the field's form), and once more, expanded, by the planner with `mount()`.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from onggi.builder.dockerfile import words
from onggi.builder.dockerfile.flags import Flags
from onggi.builder.dockerfile.read.base import command, common, wrong
from onggi.builder.dockerfile.suggest import hint
from onggi.builder.dockerfile.tree import Node
from onggi.builder.instructions import (
    BindMount,
    CacheMount,
    Device,
    Mount,
    Run,
    SecretMount,
    SshMount,
    TmpfsMount,
)
from onggi.engine.config import size_bytes
from onggi.errors import InvalidParameter
from onggi.spec.truth import FALSE, TRUE

NETWORKS = ("default", "none", "host")
SECURITY = ("sandbox", "insecure")
TYPES = ("bind", "cache", "tmpfs", "secret", "ssh")
SHARING = ("shared", "private", "locked")
_SYNONYMS = {"src": "source", "dst": "target", "destination": "target", "ro": "readonly", "rw": "readwrite"}
_KEYS = (
    *("type", "from", "source", "target", "readonly", "id", "sharing", "required", "size", "mode", "uid"),
    *("gid", "src", "dst", "destination", "ro", "rw", "readwrite", "env"),
)
_SWITCHES = ("readonly", "readwrite", "required")
Expand = Callable[[str], str]


def run(node: Node) -> Run:
    flags = Flags(node, lists=("mount", "device"), texts=("network", "security"))
    network, security = flags.text("network", "default"), flags.text("security", "sandbox")
    if network not in NETWORKS:
        raise wrong(node, f"invalid network mode {words.quoted(network)}")
    if security not in SECURITY:
        raise wrong(node, f"security {words.quoted(security)} is not valid")
    try:
        for text in flags.list("mount"):
            mount_from(text)
        for text in flags.list("device"):
            device(text)
    except ValueError as error:
        raise wrong(node, str(error)) from None
    return Run(
        **common(node),
        command=command(node),
        mount_texts=flags.list("mount"),
        network=network,
        security=security,
        device_texts=flags.list("device"),
    )


def mount_from(text: str) -> str:
    """The `from` of a mount as written: a stage has to be known before any variable is. Raises ValueError."""
    source = ""
    for field in _fields(text):
        key, equals, value = field.partition("=")
        if equals and key.lower() == "from":
            if 0 <= value.find("$") != len(value) - 1:
                raise ValueError("'from' doesn't support variable expansion, define alias stage instead")
            source = value
    return source


def mount(text: str, expand: Expand) -> Mount:
    """A mount with its variables expanded. Raises ValueError in BuildKit's words."""
    given = _Given()
    for field in _fields(text):
        given.take(field, expand)
    return given.mount()


def _fields(text: str) -> list[str]:
    try:
        return words.csv(text)
    except ValueError as error:
        raise ValueError(f"failed to parse csv mounts: {error}") from None


class _Given:
    """The fields of one mount, in their order: some are refused unless `type` stands before them."""

    def __init__(self) -> None:
        self.type = "bind"
        self.texts: dict[str, str] = {}
        self.numbers: dict[str, int] = {}
        self.read_only: bool | None = None
        self.required = False

    def take(self, field: str, expand: Expand) -> None:
        key, equals, value = field.partition("=")
        key = key.lower()
        name = _SYNONYMS.get(key, key)
        if not equals:
            if name not in _SWITCHES:
                raise ValueError(f"invalid field '{field}' must be a key=value pair")
            value = "true"
        else:
            value = expand(value)
        if key not in _KEYS:
            raise ValueError(f"unexpected key '{key}' in '{field}'{hint(key, _KEYS)}")
        self._set(name, key, value)

    def _set(self, name: str, key: str, value: str) -> None:
        if name == "type":
            if value.lower() not in TYPES:
                raise ValueError(f"unsupported mount type {words.quoted(value)}{hint(value, TYPES)}")
            self.type = value.lower()
        elif name in ("readonly", "readwrite"):
            self.read_only = _boolean(key, value) == (name == "readonly")
        elif name == "required":
            self._only_for(key, "secret", "ssh")
            self.required = _boolean(key, value)
        elif name == "size":
            self._only_for(key, "tmpfs")
            try:
                self.numbers["size"] = size_bytes(value)
            except InvalidParameter:
                raise ValueError(f"invalid value for {key}: {value}") from None
        elif name == "sharing":
            if value.lower() not in SHARING:
                raise ValueError(f"unsupported sharing value {words.quoted(value)}{hint(value, SHARING)}")
            self.texts["sharing"] = value.lower()
        elif name in ("mode", "uid", "gid"):
            self.numbers[name] = _number(name, value)
        else:
            self.texts[name] = value

    def _only_for(self, key: str, *types: str) -> None:
        if self.type not in types:
            raise ValueError(f"unexpected key '{key}' for mount type '{self.type}'")

    def mount(self) -> Mount:
        if self.type not in ("cache", "secret", "ssh"):
            for name in ("mode", "uid", "gid"):
                if name in self.numbers:
                    raise ValueError(f'{name} not allowed for "{self.type}" type mounts')
        if "sharing" in self.texts and self.type != "cache":
            words_ = {"secret": "secret mount should not define sharing"}
            raise ValueError(words_.get(self.type, f"invalid cache sharing set for {self.type} mount"))
        made: Mount = getattr(self, "_" + self.type)()
        return made

    def _bind(self) -> BindMount:
        return BindMount(
            target=self._text("target"),
            from_=self._text("from"),
            source=self._text("source"),
            read_write=self.read_only is False,
        )

    def _cache(self) -> CacheMount:
        return CacheMount(
            target=self._text("target"),
            id=self._text("id"),
            sharing=self.texts.get("sharing", "shared"),
            from_=self._text("from"),
            source=self._text("source"),
            read_only=bool(self.read_only),
            mode=self.numbers.get("mode"),
            uid=self.numbers.get("uid"),
            gid=self.numbers.get("gid"),
        )

    def _tmpfs(self) -> TmpfsMount:
        return TmpfsMount(target=self._text("target"), size_bytes=self.numbers.get("size", 0))

    def _secret(self) -> SecretMount:
        if self._text("from"):
            raise ValueError("secret mount should not have a from")
        source, target, name = self._text("source"), self._text("target"), self._text("id")
        if not (source or target or name):
            raise ValueError("invalid secret mount. one of source, target required")
        if source and name:
            raise ValueError("both source and id can't be set")
        return SecretMount(
            id=source or name or target.rstrip("/").rsplit("/", 1)[-1],
            target=target,
            env=self._text("env"),
            required=self.required,
            mode=self.numbers.get("mode"),
            uid=self.numbers.get("uid"),
            gid=self.numbers.get("gid"),
        )

    def _ssh(self) -> SshMount:
        if self._text("source"):
            raise ValueError("ssh does not support source")
        return SshMount(
            id=self._text("id") or "default",
            target=self._text("target"),
            required=self.required,
            mode=self.numbers.get("mode"),
            uid=self.numbers.get("uid"),
            gid=self.numbers.get("gid"),
        )

    def _text(self, name: str) -> str:
        return self.texts.get(name, "")


def _boolean(key: str, value: str) -> bool:
    if value not in TRUE + FALSE:
        raise ValueError(f"invalid value for {key}: {value}")
    return value in TRUE


def _number(name: str, value: str) -> int:
    digits = "01234567" if name == "mode" else "0123456789"
    if value and set(value) <= set(digits) and len(value) <= 12:
        number = int(value, 8 if name == "mode" else 10)
        if number < 2**32:
            return number
    raise ValueError(f"invalid value {value} for {name}")


def device(text: str) -> Device:
    """`name[,required]` of --device. Raises ValueError."""
    try:
        fields = words.csv(text)
    except ValueError as error:
        raise ValueError(f"failed to parse csv devices: {error}") from None
    found = Device("", required=False)
    for field in fields:
        found = _device_field(found, field)
    return found


def _device_field(found: Device, field: str) -> Device:
    key, equals, value = field.partition("=")
    key = key.lower()
    if key == "required":
        return msgspec.structs.replace(found, required=_boolean(key, value) if equals else True)
    if key == "name" and equals:
        if found.name:
            raise ValueError(f"device name already set to {found.name}")
        return msgspec.structs.replace(found, name=value)
    if not found.name:
        return msgspec.structs.replace(found, name=field)
    if not equals:
        raise ValueError(f"invalid field '{field}' must be a key=value pair")
    raise ValueError(f"unexpected key '{key}' in '{field}'{hint(key, ('name', 'required'))}")
