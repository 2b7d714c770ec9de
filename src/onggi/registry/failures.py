"""What a registry answered when it did not do what was asked.

    {"errors": [{"code": "MANIFEST_UNKNOWN", "message": "manifest unknown", "detail": ...}]}

Source: OCI distribution-spec 1.1, "Error Codes". `str()` is Docker's text: the code in small letters with
blanks, a colon, the message. Bodies are read up to BODY_BYTES and never trusted to be JSON, or short.
"""

from __future__ import annotations

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


def read(status: int, body: bytes, url: str, *, hint: str = "") -> RegistryFailure:
    """The failure that an answer describes."""
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
    return RegistryFailure(status, printable_code(code), printable[:TEXT_MAX], url, hint=hint)


def printable_code(code: str) -> str:
    return "".join(letter for letter in code if letter.isalnum() or letter in "_- ")[:64]
