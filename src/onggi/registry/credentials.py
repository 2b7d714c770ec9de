"""Who asks a registry, and the answers to its challenges.

    WWW-Authenticate: Bearer realm="https://auth.example/token",service="registry",scope="repository:a/b:pull"
    WWW-Authenticate: Basic realm="..."

Source: distribution's token specification, RFC 7235. An identity token is an OAuth 2 refresh token.
Nothing here prints a secret: `repr` shows the user alone.
"""

from __future__ import annotations

import base64
import binascii
import hashlib

import msgspec

from onggi.errors import InvalidParameter


class Credentials:
    """For one registry; all empty for nobody."""

    __slots__ = ("identity_token", "password", "registry_token", "server", "username")

    def __init__(
        self,
        username: str = "",
        password: str = "",
        *,
        identity_token: str = "",
        registry_token: str = "",
        server: str = "",
    ) -> None:
        self.username = username
        self.password = password
        self.identity_token = identity_token
        self.registry_token = registry_token
        self.server = server

    def __bool__(self) -> bool:
        return bool(self.username or self.identity_token or self.registry_token)

    def __repr__(self) -> str:
        return f"Credentials({self.username!r})"

    @property
    def basic(self) -> str:
        """The value of an Authorization header."""
        return "Basic " + base64.b64encode(f"{self.username}:{self.password}".encode()).decode()

    @property
    def key(self) -> str:
        """Equal for equal credentials, and says nothing about them."""
        parts = (self.username, self.password, self.identity_token, self.registry_token)
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()


class AuthConfig(msgspec.Struct, frozen=True):
    """The Engine API's AuthConfig (X-Registry-Auth, POST /auth)."""

    username: str = ""
    password: str = ""
    auth: str = ""
    email: str = ""
    serveraddress: str = ""
    identitytoken: str = ""
    registrytoken: str = ""

    def credentials(self) -> Credentials:
        username, password = self.username, self.password
        if self.auth and not username:
            username, password = decode_pair(self.auth)
        return Credentials(
            username,
            password,
            identity_token=self.identitytoken,
            registry_token=self.registrytoken,
            server=self.serveraddress,
        )


def decode_pair(text: str) -> tuple[str, str]:
    """`auth` of config.json: base64 of user:password. Raises InvalidParameter, without the text."""
    try:
        user, colon, password = base64.b64decode(text, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError, ValueError):
        raise InvalidParameter("invalid auth configuration: it is not base64 of user:password") from None
    if not colon:
        raise InvalidParameter("invalid auth configuration: it is not base64 of user:password")
    return user, password.strip("\0")


def from_header(text: str) -> Credentials:
    """X-Registry-Auth: base64url of an AuthConfig. What cannot be read is nobody, as with dockerd: clients
    send words of their own where they have no credentials (aiodocker: "FOO").
    """
    try:
        raw = base64.urlsafe_b64decode(text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4))
        return read(raw or b"{}").credentials()
    except (ValueError, InvalidParameter):
        return Credentials()


def read(data: bytes) -> AuthConfig:
    """An AuthConfig as Go reads it: keys in any case, null is nothing. Raises InvalidParameter."""
    try:
        given = msgspec.json.decode(data, type=dict[str, object])
        return msgspec.convert({k.lower(): v for k, v in given.items() if v is not None}, AuthConfig)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidParameter(f"invalid auth configuration: {error}") from None


class Challenge(msgspec.Struct, frozen=True):
    """One challenge; `scheme` in lower case."""

    scheme: str
    parameters: dict[str, str]


def challenges(values: list[str]) -> list[Challenge]:
    """The challenges of WWW-Authenticate headers; what is malformed ends the list."""
    found: list[Challenge] = []
    for value in values:
        found += _challenges(value[:8192])
    return found


def _challenges(text: str) -> list[Challenge]:
    """scheme SP name=value *( "," name=value ) *( "," scheme ... ), values as tokens or quoted strings."""
    found: list[Challenge] = []
    position = 0
    while position < len(text):
        word, position = _token(text, position)
        if not word:
            if text[position : position + 1] not in (",", " "):
                break
            position += 1
            continue
        if text[position : position + 1] == "=" and found:
            value, position = _value(text, position + 1)
            found[-1].parameters[word.lower()] = value
        else:
            found.append(Challenge(word.lower(), {}))
    return found


def _token(text: str, start: int) -> tuple[str, int]:
    end = start
    while end < len(text) and (text[end].isalnum() or text[end] in "!#$%&'*+-.^_`|~"):
        end += 1
    return text[start:end], end


def _value(text: str, start: int) -> tuple[str, int]:
    if text[start : start + 1] != '"':
        return _token(text, start)
    out: list[str] = []
    position = start + 1
    while position < len(text) and text[position] != '"':
        if text[position] == "\\":
            position += 1
        out.append(text[position : position + 1])
        position += 1
    return "".join(out), position + 1
