"""registries.conf, version 2, of the containers tools: mirrors, other locations, blocked registries.

    [[registry]]
    prefix = "docker.io/library"          the longest prefix that fits rules
    location = "mirror.example/hub"       what stands in its place
    insecure = false
    blocked = false
    mirror-by-digest-only = false
    [[registry.mirror]]
    location = "localhost:5001/cache"
    insecure = true
    pull-from-mirror = "all"              or digest-only, tag-only

Files `<path>.d/*.conf` come after it, by name; a later [[registry]] of the same prefix stands in an earlier
one's place. Source: containers-registries.conf(5), containers-registries.conf.d(5). Prefixes with a wildcard
(`*.example.com`) fit subdomains.
"""

from __future__ import annotations

import os
import tomllib

import msgspec

from onggi.errors import Forbidden, InvalidParameter
from onggi.registry.endpoints import PUSH, Endpoint, Settings, Source, direct
from onggi.spec.reference import Reference

PULLS = ("all", "digest-only", "tag-only")


class Mirror(msgspec.Struct, frozen=True, rename="kebab"):
    location: str
    insecure: bool = False
    pull_from_mirror: str = ""


class Rule(msgspec.Struct, frozen=True, rename="kebab"):
    prefix: str = ""
    location: str = ""
    insecure: bool = False
    blocked: bool = False
    mirror_by_digest_only: bool = False
    mirror: list[Mirror] = []

    @property
    def fits_on(self) -> str:
        return self.prefix or self.location


class Document(msgspec.Struct, frozen=True):
    registry: list[Rule] = []


def load(path: str) -> Document:
    """All rules; none where there is no file. Raises InvalidParameter, naming the file."""
    rules: dict[str, Rule] = {}
    for name in (path, *_beside(path)):
        rules |= {rule.fits_on: rule for rule in _read(name).registry}
    return Document(list(rules.values()))


def _beside(path: str) -> list[str]:
    try:
        names = sorted(os.listdir(f"{path}.d"))
    except OSError:
        return []
    return [f"{path}.d/{name}" for name in names if name.endswith(".conf")]


def _read(path: str) -> Document:
    try:
        with open(path, "rb") as file:
            parsed = tomllib.load(file)
    except FileNotFoundError:
        return Document()
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidParameter(f"{path}: {error}") from None
    if "registries" in parsed:
        raise InvalidParameter(f"{path}: the form of version 1 ([registries.*]) is not read, write version 2")
    try:
        document = msgspec.convert(parsed, Document)
    except msgspec.ValidationError as error:
        raise InvalidParameter(f"{path}: {error}") from None
    for rule in document.registry:
        if not rule.fits_on:
            raise InvalidParameter(f"{path}: a [[registry]] has neither prefix nor location")
        for mirror in rule.mirror:
            if mirror.pull_from_mirror and mirror.pull_from_mirror not in PULLS:
                raise InvalidParameter(
                    f"{path}: pull-from-mirror = {mirror.pull_from_mirror!r} is none of {', '.join(PULLS)}"
                )
    return document


def sources(named: Reference, settings: Settings, need: str) -> list[Source] | None:
    """Where the file sends a reference; None where no rule fits. Raises InvalidParameter, Forbidden."""
    if not settings.registries_conf:
        return None
    rule = _rule(load(settings.registries_conf), named)
    if rule is None:
        return None
    if rule.blocked:
        raise Forbidden(f"registry {rule.fits_on} is blocked in {settings.registries_conf}")
    rest = named.name[len(rule.fits_on) :] if not rule.fits_on.startswith("*.") else ""
    found: list[Source] = []
    if need != PUSH:
        for mirror in rule.mirror:
            if _takes(rule, mirror, by_digest=bool(named.digest)):
                found += _at(mirror.location + rest, named.domain, settings, mirror.insecure, mirror=True)
    where = rule.location + rest if rule.location and rest is not None and rule.prefix else named.name
    return found + _at(where, named.domain, settings, rule.insecure, mirror=False)


def _rule(document: Document, named: Reference) -> Rule | None:
    fitting = [rule for rule in document.registry if _fits(rule.fits_on, named)]
    return max(fitting, key=lambda rule: len(rule.fits_on), default=None)


def _fits(prefix: str, named: Reference) -> bool:
    if prefix.startswith("*."):
        return named.domain.partition(":")[0].endswith(prefix[1:])
    whole = str(named)
    return whole.startswith(prefix) and (len(whole) == len(prefix) or whole[len(prefix)] in "/:@")


def _takes(rule: Rule, mirror: Mirror, *, by_digest: bool) -> bool:
    wanted = mirror.pull_from_mirror or ("digest-only" if rule.mirror_by_digest_only else "all")
    return wanted == "all" or (wanted == "digest-only") == by_digest


def _at(location: str, domain: str, settings: Settings, insecure: bool, *, mirror: bool) -> list[Source]:
    host, _, path = location.partition("/")
    if not path:
        raise InvalidParameter(f"{settings.registries_conf}: the location {location!r} names no repository")
    found: list[Source] = []
    for endpoint in direct(host, settings, insecure=insecure):
        changed: Endpoint = msgspec.structs.replace(endpoint, mirror=mirror, domain=domain)
        found.append(Source(changed, path))
    return found
