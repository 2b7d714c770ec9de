"""Build checks: BuildKit's rules by their names, which are on, and what they found.

`# check=skip=A,B;error=true;experimental=all` at the top of a file, `# check=skip=A` right above an
instruction, or the build argument BUILDKIT_DOCKERFILE_CHECK (which replaces the one at the top). Source
of names, texts and addresses: docs.docker.com/reference/build-checks.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import msgspec

from onggi.builder.graph import Warning_
from onggi.builder.instructions import Location
from onggi.errors import InvalidParameter

_URL = "https://docs.docker.com/go/dockerfile/rule/"
_COMMENT = re.compile(r"check\s*=\s*(.+?)\s*$", re.IGNORECASE)
FOUND_MAX = 1000
EXPERIMENTAL = frozenset(("InvalidDefinitionDescription",))
RULES = {
    "StageNameCasing": "Stage names should be lowercase",
    "FromAsCasing": "The 'as' keyword should match the case of the 'from' keyword",
    "NoEmptyContinuation": "Empty continuation lines will become errors in a future release",
    "ConsistentInstructionCasing": (
        "All commands within the Dockerfile should use the same casing (either upper or lower)"
    ),
    "DuplicateStageName": "Stage names should be unique",
    "ReservedStageName": "Reserved words should not be used as stage names",
    "JSONArgsRecommended": (
        "JSON arguments recommended for ENTRYPOINT/CMD to prevent unintended behavior related to OS signals"
    ),
    "MaintainerDeprecated": (
        "The MAINTAINER instruction is deprecated, use a label instead to define an image author"
    ),
    "UndefinedArgInFrom": "FROM command must use declared ARGs",
    "WorkdirRelativePath": (
        "Relative workdir without an absolute workdir declared within the build can have unexpected results "
        "if the base image changes"
    ),
    "UndefinedVar": "Variables should be defined before their use",
    "MultipleInstructionsDisallowed": (
        "Multiple instructions of the same type should not be used in the same stage"
    ),
    "LegacyKeyValueFormat": "Legacy key/value format with whitespace separator should not be used",
    "InvalidBaseImagePlatform": "Base image platform does not match expected target platform",
    "RedundantTargetPlatform": (
        "Setting platform to predefined $TARGETPLATFORM in FROM is redundant as this is the default behavior"
    ),
    "SecretsUsedInArgOrEnv": "Sensitive data should not be used in the ARG or ENV commands",
    "InvalidDefaultArgInFrom": (
        "Default value for global ARG results in an empty or invalid base image name"
    ),
    "FromPlatformFlagConstDisallowed": "FROM --platform flag should not use a constant value",
    "CopyIgnoredFile": "Attempting to Copy file that is excluded by .dockerignore",
    "InvalidDefinitionDescription": (
        "Comment for build stage or argument should follow the format: `# <arg/stage name> <description>`. "
        "If this is not intended to be a description comment, add an empty line or comment between the "
        "instruction and the comment."
    ),
    "ExposeProtoCasing": "Protocol in EXPOSE instruction should be lowercase",
    "ExposeInvalidFormat": (
        "IP address and host-port mapping should not be used in EXPOSE instruction. This will become an "
        "error in a future release"
    ),
}


class Config(msgspec.Struct, frozen=True):
    """Which rules are on. `all` in a set stands for every rule."""

    skip: frozenset[str] = frozenset()
    experimental: frozenset[str] = frozenset()
    error: bool = False

    def also(self, other: Config) -> Config:
        return Config(self.skip | other.skip, self.experimental | other.experimental, self.error)

    def runs(self, rule: str) -> bool:
        if rule in EXPERIMENTAL:
            return not self.experimental.isdisjoint((rule, "all"))
        return self.skip.isdisjoint((rule, "all"))


def config(text: str) -> Config:
    """`skip=A,B;error=true`. Raises InvalidParameter."""
    skip = experimental = frozenset[str]()
    error = False
    for part in filter(None, text.strip().split(";", 2)):
        name, equals, value = part.partition("=")
        names = frozenset(one.strip() for one in value.split(","))
        if not equals:
            raise _invalid(f'invalid check option "{part}"')
        if name.strip() == "skip":
            skip = names
        elif name.strip() == "experimental":
            experimental = names
        elif name.strip() == "error":
            if value.strip().lower() not in ("1", "t", "true", "0", "f", "false"):
                raise _invalid(f'failed to parse check option "{part}"')
            error = value.strip().lower() in ("1", "t", "true")
        else:
            raise _invalid(f'invalid check option "{name.strip()}"')
    return Config(skip, experimental, error)


def _invalid(message: str) -> InvalidParameter:
    return InvalidParameter(f"failed to parse check options: {message}")


class Checks:
    """Collects findings; `under()` gives the same collection with the rules that a comment switches off.

    Which rules are on is what the client said, or else what the file says (`file_says`).
    """

    __slots__ = ("config", "found", "given")

    def __init__(self, given: Config | None = None, found: dict[Warning_, None] | None = None) -> None:
        self.given = given
        self.config = given or Config()
        self.found: dict[Warning_, None] = {} if found is None else found

    def file_says(self, text: str) -> None:
        """The file's `# check=`. Raises InvalidParameter."""
        if self.given is None:
            self.config = config(text)

    def under(self, comments: Iterable[str]) -> Checks:
        for comment in comments:
            match = _COMMENT.match(comment)
            if match is None:
                continue
            try:
                return Checks(self.config.also(config(match[1].split(" ")[0])), self.found)
            except InvalidParameter:  # a comment that is none of ours
                return self
        return self

    def report(self, rule: str, location: Location, detail: str) -> None:
        """Note a finding, unless its rule is off, the same was found there before, or there are too many."""
        if not self.config.runs(rule) or len(self.found) >= FOUND_MAX:
            return
        url = _URL + _slug(rule) + "/" if rule != "InvalidBaseImagePlatform" else ""
        new = Warning_(rule=rule, description=RULES[rule], url=url, detail=detail, location=location)
        self.found[new] = None

    def stop_if_asked(self) -> None:
        """With `error=true` a finding fails the build. Raises InvalidParameter."""
        if self.config.error and self.found:
            rules = ", ".join(sorted({one.rule for one in self.found}))
            raise InvalidParameter(f"lint violation found for rules: {rules}")


def _slug(rule: str) -> str:
    """JSONArgsRecommended -> json-args-recommended"""
    return re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", rule).lower()
