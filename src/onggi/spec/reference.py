"""Image references: the grammar, Docker's normalisation, and the familiar form that people see.

    reference  = name [ ":" tag ] [ "@" digest ]          name = [ domain "/" ] path-component { "/" ... }
    domain     = host [ ":" port ]                        host = dotted labels | "[" IPv6 "]"
    component  = alphanumeric { separator alphanumeric }  separator = "." | "_" | "__" | "-" { "-" }
    tag        = word { word | "." | "-" }, 128 at most

Normalised: `debian` is docker.io/library/debian, `a/b` is docker.io/a/b; a first part with a dot, a colon or
a capital, or `localhost`, is a domain. Source: distribution/reference's documented grammar; the error texts
are what clients match on. Written without `re`: the command line reads references within its start-up budget.
"""

from __future__ import annotations

from onggi.errors import InvalidParameter
from onggi.spec import digest as digests

DEFAULT_DOMAIN = "docker.io"
LEGACY_DOMAIN = "index.docker.io"
OFFICIAL = "library/"
DEFAULT_TAG = "latest"
NAME_MAX = 255

_LOWER = frozenset("abcdefghijklmnopqrstuvwxyz0123456789")
_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
_DIGITS = frozenset("0123456789")
_WORD = _LETTERS | _DIGITS | {"_"}
_TAG = _WORD | {".", "-"}
_ADDRESS = frozenset("0123456789abcdefABCDEF:")


class Reference:
    """A normalised reference. Equal when all four parts are; `str()` gives the canonical text."""

    __slots__ = ("digest", "domain", "path", "tag")

    def __init__(self, domain: str, path: str, tag: str = "", digest: str = "") -> None:
        self.domain = domain
        self.path = path
        self.tag = tag
        self.digest = digest

    @property
    def name(self) -> str:
        """Domain and path: docker.io/library/debian."""
        return f"{self.domain}/{self.path}" if self.domain else self.path

    @property
    def familiar_name(self) -> str:
        """The name without what Docker leaves out: debian, a/b, example.com/a/b.

        Whole where the short one would be read as another: docker.io/localhost/a is not localhost/a.
        """
        if self.domain != DEFAULT_DOMAIN:
            return self.name
        rest = self.path.removeprefix(OFFICIAL)
        short = self.path if "/" in rest else rest
        if _split_domain(short) != (self.domain, self.path) or digests.is_hex64(short):
            return self.name
        return short

    @property
    def familiar(self) -> str:
        """What people see: debian:12, debian@sha256:..."""
        return self.familiar_name + self._suffix

    def tagged(self) -> Reference:
        """With the tag `latest` where there is neither a tag nor a digest."""
        return self if self.tag or self.digest else self.with_tag(DEFAULT_TAG)

    def with_tag(self, tag: str) -> Reference:
        """The same name with this tag and no digest. Raises InvalidParameter."""
        return Reference(self.domain, self.path, check_tag(tag))

    def with_digest(self, digest: str) -> Reference:
        """The same name with this digest and no tag. Raises InvalidParameter."""
        return Reference(self.domain, self.path, "", digests.check(digest))

    @property
    def _suffix(self) -> str:
        return (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")

    def _key(self) -> tuple[str, str, str, str]:
        return (self.domain, self.path, self.tag, self.digest)

    def __str__(self) -> str:
        return self.name + self._suffix

    def __repr__(self) -> str:
        return f"Reference({self!s})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Reference) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())


def parse(text: str) -> Reference:
    """A reference as people write it, normalised. Raises InvalidParameter."""
    if digests.is_hex64(text):
        raise InvalidParameter(
            f"invalid repository name ({text}), cannot specify 64-byte hexadecimal strings"
        )
    domain, rest = _split_domain(text)
    named, at, digest = rest.partition("@")
    path, colon, tag = named.partition(":")
    if path != path.lower():
        raise InvalidParameter(f"invalid reference format: repository name ({path}) must be lowercase")
    if not _is_domain(domain) or not all(map(_is_component, path.split("/"))):
        raise InvalidParameter("invalid reference format")
    if (colon and not _is_tag(tag)) or (at and not _is_any_digest(digest)):
        raise InvalidParameter("invalid reference format")
    if at:
        digests.check(digest)
    reference = Reference(domain, path, tag, digest)
    if len(path) > NAME_MAX:
        raise InvalidParameter(f"repository name must not be more than {NAME_MAX} characters")
    return reference


def check_tag(tag: str) -> str:
    """The tag itself. Raises InvalidParameter."""
    if not _is_tag(tag):
        raise InvalidParameter("invalid tag format")
    return tag


def _split_domain(text: str) -> tuple[str, str]:
    """Docker's rule for where the domain ends; see the module's docstring."""
    first, slash, rest = text.partition("/")
    looks_like_host = "." in first or ":" in first or first == "localhost" or first != first.lower()
    domain, rest = (first, rest) if slash and looks_like_host else (DEFAULT_DOMAIN, text)
    if domain == LEGACY_DOMAIN:
        domain = DEFAULT_DOMAIN
    if domain == DEFAULT_DOMAIN and "/" not in rest.partition("@")[0]:
        rest = OFFICIAL + rest
    return domain, rest


def _is_domain(text: str) -> bool:
    if text.startswith("["):
        host, bracket, port = text[1:].partition("]")
        good = bool(bracket) and bool(host) and _ADDRESS.issuperset(host)
        return good and (not port or (port[0] == ":" and _is_port(port[1:])))
    host, colon, port = text.partition(":")
    return all(map(_is_label, host.split("."))) and (not colon or _is_port(port))


def _is_port(text: str) -> bool:
    return bool(text) and _DIGITS.issuperset(text)


def _is_label(text: str) -> bool:
    inner = _LETTERS | _DIGITS | {"-"}
    return bool(text) and inner.issuperset(text) and text[0] != "-" and text[-1] != "-"


def _is_component(text: str) -> bool:
    """Lower-case runs joined by one of the separators."""
    if not text or text[0] not in _LOWER or text[-1] not in _LOWER:
        return False
    separator = ""
    for character in text:
        if character not in _LOWER:
            separator += character
            continue
        if separator and separator not in (".", "_", "__") and separator.strip("-"):
            return False
        separator = ""
    return True


def _is_tag(text: str) -> bool:
    return 0 < len(text) <= 128 and text[0] in _WORD and _TAG.issuperset(text)


def _is_any_digest(text: str) -> bool:
    """algorithm ":" at least 32 hex digits, whatever the algorithm."""
    algorithm, colon, encoded = text.partition(":")
    good_algorithm = (
        bool(algorithm) and algorithm[0] in _LETTERS and (_WORD | set("+.-")).issuperset(algorithm)
    )
    return bool(colon) and good_algorithm and len(encoded) >= 32 and (_ADDRESS - {":"}).issuperset(encoded)
