"""What a registry answered when it did not do what was asked.

    {"errors": [{"code": "MANIFEST_UNKNOWN", "message": "manifest unknown", "detail": ...}]}

Source: OCI distribution-spec 1.1, "Error Codes". `str()` is Docker's text: the code in small letters with
blanks, a colon, the message. Bodies are read up to BODY_BYTES and never trusted to be JSON, or short.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from onggi.errors import System

BODY_BYTES = 64 << 10
TEXT_MAX = 500
BY_STATUS = {
    401: ("UNAUTHORIZED", "authentication required"),
    403: ("DENIED", "requested access to the resource is denied"),
    404: ("NOT_FOUND", "not found"),
    429: ("TOOMANYREQUESTS", "too many requests"),
}


class _Item(msgspec.Struct):
    code: str = ""
    message: str = ""


class _Body(msgspec.Struct):
    errors: list[_Item] = []
    details: str = ""
    message: str = ""


class RegistryFailure(System):
    """An answer with a status of 400 or more; 0 where no answer came at all."""

    def __init__(self, status: int, code: str, text: str, url: str, *, hint: str = "") -> None:
        word = code.lower().replace("_", " ")
        super().__init__(f"{word}: {text}" + (f" ({hint})" if hint else ""))
        self.status = status
        self.code = code
        self.url = url
        self.retry_after = ""  # the header, as it came

    @property
    def temporary(self) -> bool:
        """Whether the same request may do later: never for what the caller did wrong."""
        return self.status in (0, 408, 425, 429) or self.status >= 500

    @property
    def absent(self) -> bool:
        """The object is not there, as far as this caller may know."""
        return self.status == 404 or self.code in ("MANIFEST_UNKNOWN", "NAME_UNKNOWN", "BLOB_UNKNOWN")


class Unreachable(RegistryFailure):
    """No answer: refused, timed out, cut off, or TLS did not come about."""

    def __init__(self, method: str, url: str, reason: str, *, cut: bool = False) -> None:
        super().__init__(0, "", "", url)
        self.cut = cut  # there was a connection, and it was lost: another try may do
        self.message = f'{method.capitalize()} "{url}": {reason}'
        self.args = (self.message,)


def read(status: int, body: bytes, url: str, headers: Mapping[str, str]) -> RegistryFailure:
    """The failure that an answer describes. With 429 what is left of the quota is said, and for how long."""
    named = {name.lower(): value for name, value in headers.items()}
    retry_after = named.get("retry-after", "")
    hint = _quota(named, retry_after) if status == 429 else ""
    code, text = BY_STATUS.get(status, ("UNKNOWN", f"unexpected status {status} from {url}"))
    try:
        found = msgspec.json.decode(body, type=_Body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        found = _Body()
    if found.errors:
        first = found.errors[0]
        code, text = first.code or code, first.message or first.code.lower().replace("_", " ") or text
    elif found.details or found.message:
        text = found.details or found.message
    printable = "".join(letter if letter.isprintable() else " " for letter in text)
    failure = RegistryFailure(status, printable_code(code), printable[:TEXT_MAX], url, hint=hint)
    failure.retry_after = retry_after
    return failure


def _quota(headers: dict[str, str], retry_after: str) -> str:
    """Docker Hub writes `RateLimit-Limit: 100;w=21600`: a hundred in six hours."""
    found = []
    for name, title in (("ratelimit-remaining", "rate limit remaining"), ("ratelimit-limit", "limit")):
        if headers.get(name):
            found.append(f"{title}: {headers[name][:40]}")
    if retry_after:
        found.append(f"retry after: {retry_after[:40]}")
    return "".join(letter for letter in ", ".join(found) if letter.isprintable())


def printable_code(code: str) -> str:
    return "".join(letter for letter in code if letter.isalnum() or letter in "_- ")[:64]
