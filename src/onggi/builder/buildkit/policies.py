"""Source policies: which sources a build may read, and what is read instead of them.

    ALLOW, DENY    the last rule that matches wins
    CONVERT        another identifier (a pin, a mirror) or attributes (a checksum); then all are asked again

    WILDCARD       docker-image://docker.io/library/golang:*  ->  docker-image://mirror/golang:${1}
    EXACT, REGEX   the identifier as it is; a regular expression (builder/patterns.py)

Asked when an image's reference is resolved, and of every source of a graph before anything of it runs.
Source: BuildKit v0.22 sourcepolicy/. There an EXACT rule converts to its own selector, which is to nothing;
here it converts to what it says.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from onggi.builder.buildkit import llb
from onggi.builder.graph import (
    GitSource,
    Graph,
    HttpSource,
    ImageSource,
    LocalSource,
    OciLayoutSource,
    Op,
    Ref,
    vertex,
)
from onggi.builder.outputs.operations import source
from onggi.builder.patterns import Pattern, Replacing, expand
from onggi.builder.plan.bases import Base, Bases
from onggi.errors import Forbidden, InvalidParameter
from onggi.spec.platform import Platform

ALLOW, DENY, CONVERT = range(3)
WILDCARD, EXACT, REGEX = range(3)
EQUAL, NOT_EQUAL, MATCHES = range(3)
RULES_MAX = 1000
REGEXES_MAX = 20
CONVERSIONS_MAX = 20
IMAGE = "docker-image://"


class _Rule:
    def __init__(self, sent: Any) -> None:
        if not sent.HasField("selector"):
            raise InvalidParameter("source policy: invalid nil selector in policy")
        self.action = sent.action
        self.identifier = sent.selector.identifier
        self._match = sent.selector.match_type
        if self.action not in (ALLOW, DENY, CONVERT):
            raise InvalidParameter(f"source policy: rule {self.action} {self.identifier}: unknown type")
        if self._match not in (WILDCARD, EXACT, REGEX):
            raise InvalidParameter(f"source policy: unknown match type: {self._match}")
        if self._match == WILDCARD and "**" in self.identifier:
            raise InvalidParameter('source policy: invalid wildcard: "**"')
        if self.action == CONVERT and not sent.HasField("updates"):
            raise InvalidParameter("source policy: missing destination for convert rule")
        self._pattern: Pattern | None = None
        self._replacing: Replacing | None = None
        if self._match == REGEX and self.action == CONVERT:
            self._pattern = self._replacing = Replacing(self.identifier)
        elif self._match == REGEX:
            self._pattern = Pattern(self.identifier)
        self._constraints = [_constraint(one) for one in sent.selector.constraints]
        self._target = sent.updates.identifier or self.identifier
        self._attributes = dict(sent.updates.attrs)

    @property
    def replaces(self) -> bool:
        return self._replacing is not None

    def matches(self, identifier: str, attributes: Mapping[str, str]) -> bool:
        if not all(one(attributes) for one in self._constraints):
            return False
        if self.identifier == identifier:
            return True
        if self._pattern is not None:
            return self._pattern.search(identifier)
        return self._match == WILDCARD and wildcard(self.identifier, identifier) is not None

    def converted(self, identifier: str, attributes: Mapping[str, str]) -> tuple[str, dict[str, str]]:
        target = self._target
        if self._replacing is not None:
            target = self._replacing.replace(identifier, target)
        elif self._match == WILDCARD:
            groups = wildcard(self.identifier, identifier)
            target = identifier if groups is None else expand(target, [identifier, *groups], {})
        return target or identifier, {**attributes, **self._attributes}


def _constraint(sent: Any) -> Any:
    key, value, condition = sent.key, sent.value, sent.condition
    if condition == EQUAL:
        return lambda attributes: attributes.get(key, "") == value
    if condition == NOT_EQUAL:
        return lambda attributes: attributes.get(key, "") != value
    if condition == MATCHES:
        pattern = Pattern(value)
        return lambda attributes: pattern.search(attributes.get(key, ""))
    raise InvalidParameter(f"source policy: unknown attr condition: {condition}")


def wildcard(pattern: str, text: str) -> list[str] | None:
    """What each `*` stands for, the first as much as possible; None without a match. In linear time."""
    first, *rest = pattern.split("*")
    if not rest:
        return [] if pattern == text else None
    last = rest.pop()
    end = len(text) - len(last)
    if end < len(first) or not text.startswith(first) or not text.endswith(last):
        return None
    groups = []
    for part in reversed(rest):
        place = text.rfind(part, len(first), end)
        if place < 0:
            return None
        groups.append(text[place + len(part) : end])
        end = place
    return [text[len(first) : end], *reversed(groups)]


class Policies:
    """All that a build was given, in their order; falsy without a rule."""

    def __init__(self, sent: Iterable[Any] = ()) -> None:
        """Raises InvalidParameter."""
        self._policies = [policy for policy in sent if policy.rules]
        if sum(len(policy.rules) for policy in self._policies) > RULES_MAX:
            raise InvalidParameter(f"source policy: more than {RULES_MAX} rules")
        self._rules = [[_Rule(rule) for rule in policy.rules] for policy in self._policies]
        if sum(rule.replaces for rules in self._rules for rule in rules) > REGEXES_MAX:
            raise InvalidParameter(
                f"source policy: more than {REGEXES_MAX} rules convert by regular expressions"
            )

    def __bool__(self) -> bool:
        return bool(self._rules)

    def and_(self, sent: Sequence[Any]) -> Policies:
        """Also these, which a client's front end adds."""
        return Policies([*sent, *self._policies]) if sent else self

    def evaluate(self, identifier: str, attributes: Mapping[str, str]) -> tuple[str, dict[str, str]]:
        """What is to be read. Raises Forbidden where that is nothing, InvalidParameter."""
        now = (identifier, dict(attributes))
        for _ in range(CONVERSIONS_MAX + 1):
            converted = self._once(*now)
            if converted == now:
                return now
            now = converted
        raise InvalidParameter("too many mutations on a single source: too many operations")

    def _once(self, identifier: str, attributes: dict[str, str]) -> tuple[str, dict[str, str]]:
        for rules in self._rules:
            denied = False
            for rule in rules:
                if not rule.matches(identifier, attributes):
                    continue
                if rule.action == CONVERT:
                    converted = rule.converted(identifier, attributes)
                    if converted != (identifier, attributes):
                        return converted
                else:
                    denied = rule.action == DENY
            if denied:
                raise Forbidden(f'source "{identifier}" denied by policy: source denied by policy')
        return identifier, attributes


class PolicedBases:
    """Bases (plan/bases.py) that the policies let pass."""

    def __init__(self, bases: Bases, policies: Policies) -> None:
        self._bases = bases
        self._policies = policies

    async def image(self, reference: str, platform: Platform, resolve: str) -> Base:
        """Raises Forbidden, and what the bases raise."""
        identifier, _ = self._policies.evaluate(IMAGE + reference, {})
        if not identifier.startswith(IMAGE):
            raise InvalidParameter(f"source policy: the image {reference} cannot be read from {identifier}")
        return await self._bases.image(llb.canonical(identifier.removeprefix(IMAGE)), platform, resolve)

    async def oci_layout(self, store: str, reference: str, platform: Platform) -> Base:
        """Raises Forbidden, and what the bases raise."""
        self._policies.evaluate(f"oci-layout://{reference}", {"oci.store": store})
        return await self._bases.oci_layout(store, reference, platform)


async def enforced(policies: Policies, graph: Graph, bases: Bases) -> tuple[Graph, dict[str, str]]:
    """The graph with the sources that the policies want, and the new digests of all vertices by their old
    ones. Raises Forbidden, and what a new source raises.
    """
    made = Graph()
    names: dict[str, str] = {}
    for one in graph:
        op = await _policed(policies, one.op, one.platform, bases)
        inputs = [None if ref is None else Ref(names[ref.vertex], ref.output) for ref in one.inputs]
        names[one.digest] = made.add(vertex(op, inputs, one.platform, one.meta)).vertex
    return made, names


async def _policed(policies: Policies, op: Op, platform: Platform, bases: Bases) -> Op:
    known = (ImageSource, OciLayoutSource, LocalSource, GitSource, HttpSource)
    if not isinstance(op, known) or (isinstance(op, OciLayoutSource) and op.store == llb.RESULT_STORE):
        return op
    identifier, attributes = source(op)
    attributes = {name: value for name, value in attributes.items() if value}
    wanted = policies.evaluate(identifier, attributes)
    if wanted == (identifier, attributes):
        return op
    new = await llb.source(*wanted, platform, bases)
    match op, new:
        case HttpSource(), HttpSource():
            name = new.filename or op.filename
            return msgspec.structs.replace(op, url=new.url, checksum=new.checksum, filename=name)
        case GitSource(), GitSource():
            return msgspec.structs.replace(
                op, remote=new.remote, ref=new.ref, subdir=new.subdir, checksum=new.checksum,
                keep_git_dir=new.keep_git_dir,
            )  # fmt: skip
        case LocalSource(), _:
            raise InvalidParameter(f"source policy: {identifier} cannot be converted to {wanted[0]}")
    return new
