"""What every instruction's planner is handed: the build's options, its words, the build context, the
checks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from onggi.builder.dockerfile.checks import Checks
from onggi.builder.graph import LocalSource, Meta
from onggi.builder.instructions import Instruction
from onggi.builder.options import Options
from onggi.builder.plan import scope
from onggi.builder.plan.drafts import Drafted, Known, LocalDraft, Out
from onggi.builder.plan.scope import Words
from onggi.builder.plan.stage import StageDraft
from onggi.spec.dockerignore import Matcher
from onggi.spec.platform import Platform


class Building:
    """One build of one Dockerfile for one platform, while it is planned."""

    def __init__(self, options: Options, platform: Platform, words: Words, checks: Checks) -> None:
        self.options = options
        self.platform = platform
        self.words = words
        self.checks = checks
        self.globals: dict[str, str] = {}
        self.epoch: int | None = None
        self.proxies = scope.proxies(options.build_args)
        self.ignored = Matcher(options.excludes) if options.excludes else None
        self.used_args: dict[str, str] = {}
        self._context: LocalDraft | None = None

    def context(self, *paths: str) -> Out | None:
        """The build context's tree, of which these paths are read."""
        given = self.options.context
        if given is not None:
            return None if given.input is None or given.graph is None else Known(given.graph, given.input)
        if self._context is None:
            source = LocalSource(
                name=self.options.context_name,
                excludes=self.options.excludes,
                shared_key=self.options.shared_key or self.options.context_name,
            )
            meta = Meta(name="[internal] load build context")
            self._context = LocalDraft(source, self.options.build_platform, meta)
        for path in paths:
            self._context.need(path)
        return Drafted(self._context, 0)

    def expand(self, word: str, stage: StageDraft, instruction: Instruction) -> str:
        """A word with the stage's variables; those that nobody set are reported. Raises DockerfileError."""
        if not word:
            return word
        found = self.words.expand(word, stage.variables, instruction.location)
        self.report_undefined(found.unmatched, stage, instruction)
        return found.text

    def report_undefined(self, names: Iterable[str], stage: StageDraft, instruction: Instruction) -> None:
        scope.report_undefined(names, stage.variables, stage.arguments, instruction.location, stage.checks)

    def given(self, name: str) -> str | None:
        """The client's value of a build argument."""
        value = self.options.build_args.get(name)
        if value is not None:
            self.used_args[name] = value
        return value


def masked(variables: Mapping[str, str], secrets: Iterable[str]) -> dict[str, str]:
    """Variables as progress shows them: what comes out of a secret is stars."""
    return {**variables, **dict.fromkeys(secrets, "****")}
