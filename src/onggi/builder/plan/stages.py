"""Which stage is which: names and numbers, what stands on what, what a target needs, cycles, ONBUILD.

An image that is only copied or mounted from is a stage without a source: it is resolved like a base, and
never runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from onggi.builder.dockerfile import typed
from onggi.builder.dockerfile.errors import DockerfileError
from onggi.builder.dockerfile.read.run import mount_from
from onggi.builder.dockerfile.suggest import hint
from onggi.builder.dockerfile.words import quoted
from onggi.builder.instructions import Add, AnyInstruction, Copy, Location, OnBuild, Run, Workdir
from onggi.builder.plan.stage import StageDraft
from onggi.errors import InvalidParameter

SCRATCH = "scratch"


class Stages:
    """All stages, in order; added one after the other, since a FROM sees only what stands before it."""

    def __init__(self) -> None:
        self.all: list[StageDraft] = []
        self._named: dict[str, StageDraft] = {}
        self._images: dict[str, StageDraft] = {}

    @property
    def images(self) -> list[StageDraft]:
        """The images that are only copied or mounted from."""
        return list(self._images.values())

    def add(self, stage: StageDraft) -> None:
        stage.base = self._named.get(stage.base_name)
        self.all.append(stage)
        if stage.name:
            self._named[stage.name] = stage

    def named(self, name: str) -> StageDraft | None:
        return self._named.get(name.lower())

    def target(self, name: str) -> StageDraft:
        """The stage to build: by name, by number, or the last one. Raises InvalidParameter."""
        own = [stage for stage in self.all if stage.source is not None]
        if not name:
            return own[-1]
        found = self.named(name)
        if found is None and name.isascii() and name.isdigit() and int(name[:9]) < len(own):
            found = own[int(name)]
        if found is None:
            names = [stage.label for stage in own]
            raise InvalidParameter(f"target stage {quoted(name)} could not be found{hint(name, names)}")
        return found

    def image(self, name: str, location: Location) -> StageDraft:
        """An image by its name, as a stage to copy from."""
        found = self._images.get(name)
        if found is None:
            found = self._images[name] = StageDraft(None, name, location, len(self.all))
        return found

    # -- what an instruction copies or mounts from

    def link(self, stage: StageDraft) -> None:
        """Find the sources of every instruction of a stage. Raises DockerfileError."""
        for place, one in enumerate(stage.instructions):
            stage.copies[place] = self.sources(one)

    def sources(self, one: AnyInstruction) -> list[StageDraft | None]:
        if isinstance(one, Copy):
            return [self._copied(one)] if one.from_ else []
        if isinstance(one, Run):
            return [self._mounted(text, one) for text in one.mount_texts]
        return []

    def _copied(self, one: Copy) -> StageDraft:
        if "$" in one.from_:
            raise DockerfileError(
                "variable expansion is not supported for --from, define a new stage with FROM using ARG from "
                "global scope as a workaround",
                one.location,
            )
        if one.from_.isascii() and one.from_.isdigit():
            number = int(one.from_[:9])
            if number >= len(self.all):
                raise DockerfileError(f"invalid stage index {number}", one.location)
            return self.all[number]
        return self.named(one.from_) or self.image(one.from_, one.location)

    def _mounted(self, text: str, one: Run) -> StageDraft | None:
        try:
            name = mount_from(text)
        except ValueError as error:
            raise DockerfileError(str(error), one.location) from None
        if not name:
            return None
        return self.named(name) or self.image(name, one.location)


def reachable(roots: Iterable[StageDraft]) -> set[int]:
    """The ids of these stages, of what they stand on and of what they take from. Raises DockerfileError for a
    circle.
    """
    state: dict[int, str] = {}
    todo: list[tuple[StageDraft, bool]] = [(root, False) for root in roots]
    while todo:
        stage, done = todo.pop()
        if done:
            state[id(stage)] = "done"
            continue
        if id(stage) in state:
            continue
        state[id(stage)] = "begun"
        todo.append((stage, True))
        for one in direct(stage):
            if state.get(id(one)) == "begun":
                raise DockerfileError(f"circular dependency detected on stage: {one.label}", stage.location)
            if id(one) not in state:
                todo.append((one, False))
    return set(state)


def direct(stage: StageDraft) -> list[StageDraft]:
    base = [stage.base] if stage.base is not None else []
    return [*base, *(one for sources in stage.copies.values() for one in sources if one is not None)]


def pull_triggers(stage: StageDraft, texts: Sequence[str], escape: str, stages: Stages) -> bool:
    """Put ONBUILD triggers before a stage's own instructions; True when they take from other stages or
    images.
    """
    assert stage.source is not None
    found = [typed.trigger(text, escape, stage.location) for text in texts]
    stage.instructions[:0] = found
    stage.triggers = len(found)
    stage.copies.clear()
    stages.link(stage)
    stage.total += count_steps(found)
    return any(stage.copies[place] for place in range(len(found)))


def count_steps(instructions: Iterable[AnyInstruction]) -> int:
    """How many of them are shown with a number."""
    return sum(isinstance(one, Add | Copy | Run | Workdir) for one in instructions)


def own_triggers(stage: StageDraft) -> list[str]:
    """The ONBUILDs of a stage, for those that stand on it."""
    return [one.trigger for one in stage.instructions if isinstance(one, OnBuild)]
