"""Arguments and variables: what is known where, and words expanded with it.

    global arguments   platforms and ARGs before the first FROM: seen by FROM, and by ARGs without value
    a stage's variables   the base image's ENV, then ENV and ARG in the order of the stage; the later one wins
    build arguments    the client's values for ARGs; proxies need no ARG and stand in no key and no history

Source: Dockerfile reference, "Understand how ARG and FROM interact", "Scope", "Predefined ARGs".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from onggi.builder.dockerfile import expansion
from onggi.builder.dockerfile.checks import Checks
from onggi.builder.dockerfile.errors import DockerfileError
from onggi.builder.dockerfile.expansion import Budget, Expanded, Failed
from onggi.builder.dockerfile.suggest import nearest
from onggi.builder.instructions import Arg, Location
from onggi.spec.platform import Platform

PROXIES = ("http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy")
NO_ENVIRONMENT = frozenset(("BUILDKIT_SBOM_SCAN_CONTEXT", "BUILDKIT_SBOM_SCAN_STAGE"))


def platform_arguments(
    build: Platform, target: Platform, stage: str, given: Mapping[str, str]
) -> dict[str, str]:
    """BUILDPLATFORM, TARGETPLATFORM and their parts; a client may set them to something else."""
    named: dict[str, str] = {}
    for prefix, platform in (("BUILD", build), ("TARGET", target)):
        named |= {
            f"{prefix}PLATFORM": str(platform),
            f"{prefix}OS": platform.os,
            f"{prefix}OSVERSION": "",
            f"{prefix}ARCH": platform.architecture,
            f"{prefix}VARIANT": platform.variant,
        }
    named["TARGETSTAGE"] = stage or "default"
    return {name: given.get(name, value) for name, value in named.items()}


def proxies(given: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """The proxy variables for every RUN, in small and in capital letters, since programs look for either."""
    found = {name.lower(): value for name, value in sorted(given.items()) if name.lower() in PROXIES}
    return tuple(pair for name, value in found.items() for pair in ((name, value), (name.upper(), value)))


def globals_(
    args: Iterable[Arg],
    start: Mapping[str, str],
    given: Mapping[str, str],
    words: Words,
) -> tuple[dict[str, str], frozenset[str]]:
    """Values of the global arguments, and the names of all that were declared. Raises DockerfileError."""
    values = dict(start)
    declared: set[str] = set()
    for arg in args:
        for name, default in arg.args:
            declared.add(name)
            if name in given:
                values[name] = given[name]
            elif default is not None:
                values[name] = words.expand(default, values, arg.location).text
    return values, frozenset(declared)


class Words:
    """Expands a build's words: one escape character, one budget."""

    def __init__(self, escape: str, budget: Budget | None = None) -> None:
        self.escape = escape
        self.budget = budget or Budget()

    def expand(self, word: str, variables: Mapping[str, str], location: Location) -> Expanded:
        """Raises DockerfileError."""
        try:
            return expansion.expand(word, variables, escape=self.escape, budget=self.budget)
        except Failed as error:
            raise DockerfileError(str(error), location) from None

    def here_document(self, body: str, variables: Mapping[str, str], location: Location) -> Expanded:
        """A here-document's body: quotes are plain characters, and a backslash escapes, whatever the
        directive.
        """
        try:
            return expansion.expand(body, variables, quotes=False, budget=self.budget)
        except Failed as error:
            raise DockerfileError(str(error), location) from None

    def shown(self, text: str, variables: Mapping[str, str], *, raw: bool = False) -> str:
        """For progress: as far as it can be expanded. `raw` keeps quotes and unset names (RUN)."""
        if "$" not in text and (raw or not any(sign in text for sign in "'\"" + self.escape)):
            return text
        try:
            return expansion.expand(
                text, variables, escape=self.escape, raw_quotes=raw, keep_unset=raw, budget=self.budget
            ).text
        except Failed:
            return text


def report_undefined(
    unmatched: Iterable[str],
    names: Iterable[str],
    declared: Iterable[str],
    location: Location,
    checks: Checks,
) -> None:
    """UndefinedVar for each variable that nobody set, unless an ARG without a value declared it."""
    known = set(declared)
    options = list(names)
    for name in sorted(unmatched):
        if name in known or name in NO_ENVIRONMENT:
            continue
        guess = nearest(name, options)
        hint = f" (did you mean ${guess}?)" if guess else ""
        checks.report("UndefinedVar", location, f"Usage of undefined variable '${name}'{hint}")


Expand = Callable[[str], str]
