"""The way through: a Dockerfile and the client's options to a Plan for one platform.

    stages, target --> base images, all at once --> ONBUILD --> instructions in order --> digests --> Plan

Only what the target needs is resolved and planned; of the rest only the syntax is known to be right.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

import msgspec

from onggi.builder import epoch
from onggi.builder.dockerfile.checks import Checks
from onggi.builder.dockerfile.errors import DockerfileError
from onggi.builder.dockerfile.expansion import Expanded
from onggi.builder.dockerfile.suggest import hint, nearest
from onggi.builder.dockerfile.words import quoted
from onggi.builder.graph import Plan, Step, Warning_
from onggi.builder.instructions import (
    Add,
    AnyInstruction,
    Arg,
    Cmd,
    Copy,
    Dockerfile,
    Entrypoint,
    Env,
    Expose,
    Healthcheck_,
    Label,
    Location,
    Maintainer,
    OnBuild,
    Run,
    Shell,
    Source,
    Stage,
    StopSignal,
    User,
    Volume,
    Workdir,
)
from onggi.builder.options import Options
from onggi.builder.plan import configuration, copying, named, run, scope
from onggi.builder.plan.bases import Bases
from onggi.builder.plan.context import Building
from onggi.builder.plan.drafts import Out, Settler
from onggi.builder.plan.scope import Words
from onggi.builder.plan.stage import PATH, StageDraft, platform_of
from onggi.builder.plan.stages import SCRATCH, Stages, count_steps, own_triggers, pull_triggers, reachable
from onggi.errors import InvalidParameter
from onggi.spec import platform as platforms
from onggi.spec import reference as references
from onggi.spec.image import Image
from onggi.spec.platform import Platform

VERBS: dict[type[AnyInstruction], Callable[..., None]] = {
    Add: copying.add,
    Arg: configuration.arg,
    Cmd: configuration.cmd,
    Copy: copying.copy,
    Entrypoint: configuration.entrypoint,
    Env: configuration.env,
    Expose: configuration.expose,
    Healthcheck_: configuration.healthcheck,
    Label: configuration.label,
    Maintainer: configuration.maintainer,
    OnBuild: configuration.on_build,
    Run: run.run,
    Shell: configuration.shell,
    StopSignal: configuration.stop_signal,
    User: configuration.user,
    Volume: configuration.volume,
    Workdir: configuration.workdir,
}


async def plan(
    dockerfile: Dockerfile,
    options: Options,
    platform: Platform,
    bases: Bases,
    *,
    checks: Checks | None = None,
    every_stage: bool = False,
) -> Plan:
    """Plan one build. `checks` is what reading the Dockerfile began to collect; `every_stage` plans what
    the target does not need, too (`build --check`). Raises DockerfileError, which shows the line, and
    what `bases` raises.
    """
    planner = _Planner(dockerfile, options, platform, checks or Checks())
    try:
        return await planner.plan(bases, every_stage=every_stage)
    except DockerfileError as error:
        raise error.within(dockerfile.sources) from None


class _Planner:
    def __init__(self, dockerfile: Dockerfile, options: Options, platform: Platform, checks: Checks) -> None:
        self.dockerfile = dockerfile
        self.options = options
        self.platform = platform
        self.checks = checks
        self.words = Words(dockerfile.escape)
        self.building = Building(options, platform, self.words, checks)
        self.stages = Stages()
        self.steps: list[tuple[StageDraft, str, Location, Out | None, Image, int]] = []

    async def plan(self, bases: Bases, *, every_stage: bool) -> Plan:
        self._globals()
        for number, stage in enumerate(self.dockerfile.stages):
            self._stage(number, stage)
        target = self.stages.target(self.options.target)
        for one in self.stages.all:
            self.stages.link(one)
        reachable(self.stages.all)
        self._label(self.stages.all)
        wanted = await self._resolved(bases, self.stages.all if every_stage else [target])
        for one in self.stages.all:
            if id(one) in wanted and not one.planned:
                self._instructions(one)
        target.uses("/")
        self.checks.stop_if_asked()
        return self._plan(target)

    # -- global arguments and stages

    def _globals(self) -> None:
        last = self.dockerfile.stages[-1].name
        start = scope.platform_arguments(
            self.options.build_platform, self.platform, self.options.target or last, self.options.build_args
        )
        self._check_defaults(start)
        given = self.options.build_args
        self.building.globals, self._declared = scope.globals_(
            self.dockerfile.globals, start, given, self.words
        )
        self.building.used_args |= {name: given[name] for name in self._declared if name in given}
        self.building.epoch = epoch.seconds(
            epoch.NAME, given.get(epoch.NAME, self.building.globals.get(epoch.NAME, ""))
        )

    def _check_defaults(self, start: dict[str, str]) -> None:
        """Whether every base would have a name if the client gave no argument."""
        try:
            values, _ = scope.globals_(self.dockerfile.globals, start, {}, self.words)
            names = [self.words.expand(one.base, values, one.location).text for one in self.dockerfile.stages]
        except DockerfileError:  # it will be met again, and reported as an error
            return
        for stage, name in zip(self.dockerfile.stages, names, strict=True):
            try:
                references.parse(name)
            except InvalidParameter:
                detail = f"Default value for ARG {stage.base} results in empty or invalid base image name"
                self.checks.report("InvalidDefaultArgInFrom", stage.location, detail)

    def _stage(self, number: int, stage: Stage) -> None:
        checks = self.checks.under(stage.comments)
        values = self.building.globals
        name = self.words.expand(stage.base, values, stage.location)
        self._check_from(name, stage, checks)
        if not name.text:
            raise DockerfileError(f"base name ({stage.base}) should not be blank", stage.location)
        new = StageDraft(stage, name.text, stage.location, number)
        new.epoch = self.building.epoch
        if stage.platform:
            new.platform = self._platform(stage, checks)
        self.stages.add(new)
        based = name.text != SCRATCH and new.base is None
        new.total = int(based) + count_steps(new.instructions)
        ignored = {name.lower() for name in self.options.no_cache_filter}
        new.no_cache = self.options.no_cache or stage.name.lower() in ignored

    def _platform(self, stage: Stage, checks: Checks) -> Platform:
        values = self.building.globals
        found = self.words.expand(stage.platform, values, stage.location)
        self._check_from(found, stage, checks)
        self._check_platform(found, stage, checks)
        guess = "".join(hint(name, values) for name in sorted(found.unmatched)[:1])
        if not found.text:
            message = f"empty platform value from expression {stage.platform}{guess}"
            raise DockerfileError(message, stage.location)
        try:
            return platforms.parse(found.text)
        except InvalidParameter as error:
            message = f"failed to parse platform {stage.platform}: {error.message}{guess}"
            raise DockerfileError(message, stage.location) from None

    def _check_from(self, found: Expanded, stage: Stage, checks: Checks) -> None:
        known = {*self.building.globals, *self._declared}
        for name in sorted(found.unmatched - known):
            guess = nearest(name, sorted(known))
            tail = f" (did you mean {guess}?)" if guess else ""
            checks.report(
                "UndefinedArgInFrom", stage.location, f"FROM argument '{name}' is not declared{tail}"
            )

    def _check_platform(self, found: Expanded, stage: Stage, checks: Checks) -> None:
        if found.matched == {"TARGETPLATFORM"} and not found.unmatched:
            if found.text == self.building.globals["TARGETPLATFORM"]:
                detail = (
                    f"Setting platform to predefined {stage.platform} in FROM is redundant as this is the "
                    "default behavior"
                )
                checks.report("RedundantTargetPlatform", stage.location, detail)
            return
        if found.matched or found.unmatched:
            return
        try:
            constant = platforms.parse(found.text)
        except InvalidParameter:  # reported as an error by its caller
            return
        if constant.os not in stage.name and constant.architecture not in stage.name:
            detail = f"FROM --platform flag should not use constant value {quoted(found.text)}"
            checks.report("FromPlatformFlagConstDisallowed", stage.location, detail)

    def _label(self, stages: list[StageDraft]) -> None:
        """A lone stage is shown without its name; of several platforms each says which it is."""
        if len(stages) == 1 and not self.stages.images:
            stages[0].label = ""
        for stage in stages:
            if self.options.multi_platform:
                stage.prefix_platform = str(stage.platform or self.platform)

    # -- base images and ONBUILD

    async def _resolved(self, bases: Bases, roots: Iterable[StageDraft]) -> set[int]:
        """Everything that the roots need, their images resolved, ONBUILD triggers pulled in: these may
        need more.
        """
        roots = list(roots)
        while True:
            wanted = reachable(roots)
            known = [*self.stages.all, *self.stages.images]
            await self._resolve(bases, [one for one in known if id(one) in wanted and one.base is None])
            more = [self._triggers(one) for one in self.stages.all if id(one) in wanted]
            if not any(more):
                return reachable(roots)

    async def _resolve(self, bases: Bases, stages: list[StageDraft]) -> None:
        todo = [one for one in stages if not one.resolved]
        tasks = [asyncio.ensure_future(named.resolve(self.building, one, bases, self.stages)) for one in todo]
        try:
            await asyncio.gather(*tasks)
        except BaseException:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            raise

    def _triggers(self, stage: StageDraft) -> bool:
        if stage.pulled or stage.planned:
            return False
        stage.pulled = True
        texts = own_triggers(stage.base) if stage.base is not None else list(stage.config.on_build or [])
        stage.change(on_build=None)
        if not texts:
            return False
        return pull_triggers(stage, texts, self.dockerfile.escape, self.stages)

    # -- instructions

    def _instructions(self, stage: StageDraft) -> None:
        self._begin(stage)
        assert stage.source is not None
        self._step(stage, stage.source.text, stage.location, None)
        for place, one in enumerate(stage.instructions):
            stage.place = place
            stage.checks = self.checks.under(one.comments)
            before = stage.out
            VERBS[type(one)](self.building, stage, one)
            self._step(stage, one.text, one.location, before)
        stage.planned = True

    def _step(self, stage: StageDraft, text: str, location: Location, before: Out | None) -> None:
        changed = int(stage.out is not before)
        self.steps.append((stage, text, location, stage.out, stage.image, changed))

    def _begin(self, stage: StageDraft) -> None:
        """What a stage has from its base: tree, configuration, variables, and the arguments of a stage it
        stands on.
        """
        base = stage.base
        if base is not None:
            stage.out, stage.image = base.out, base.image
            stage.platform = base.platform
            stage.base_image, stage.base_reference = base.base_image, base.base_reference
            stage.directory_set = base.directory_set
            stage.arguments = dict(base.arguments)
            stage.layers = list(base.layers)
            stage.change(on_build=None)
        if not any(item.startswith("PATH=") for item in stage.config.env or []):
            stage.change(env=[*(stage.config.env or []), PATH])
        for item in stage.config.env or []:
            name, _, value = item.partition("=")
            stage.set_variable(name, value)
        if stage.config.working_dir:
            configuration.enter(stage, "")
        stage.user = stage.config.user

    # -- the result

    def _plan(self, target: StageDraft) -> Plan:
        settler = Settler()
        steps = self._steps(settler, target)
        result = settler.ref(target.out)
        layers = [settler.ref(out) for out in target.layers]
        return Plan(
            graph=settler.graph,
            result=result,
            image=self._image(target),
            platform=self.platform,
            steps=steps,
            layers=tuple(ref for ref in layers if ref is not None),
            base=target.base_image,
            base_reference=target.base_reference,
            sources=self.dockerfile.sources,
            warnings=tuple(self.checks.found),
            target=target.name,
            epoch=self.building.epoch,
            build_args=tuple(sorted(self.building.used_args.items())),
        )

    def _steps(self, settler: Settler, target: StageDraft) -> tuple[Step, ...]:
        wanted = reachable([target])
        chosen = [step for step in self.steps if id(step[0]) in wanted]
        made: list[Step] = []
        for number, (stage, text, location, out, image, changed) in enumerate(chosen, 1):
            before = len(settler.graph)
            result = settler.ref(out)
            fresh = tuple(one.digest for one in list(settler.graph)[before:])
            made.append(
                Step(
                    stage=stage.name or str(stage.number),
                    number=number,
                    total=len(chosen),
                    text=text,
                    location=location,
                    result=result,
                    image=image,
                    vertices=fresh if changed and fresh else (),
                )
            )
        return tuple(made)

    def _image(self, target: StageDraft) -> Image:
        """The target's image; where the client named a platform it is that, whatever the base says."""
        image = target.image
        if self.options.labels:
            target.change(labels={**(target.config.labels or {}), **self.options.labels})
            image = target.image
        chosen = self.platform if self.options.platforms else platform_of(image, self.platform)
        return msgspec.structs.replace(
            image, os=chosen.os, architecture=chosen.architecture, variant=chosen.variant or None
        )


def findings(warnings: Iterable[Warning_], sources: Iterable[Source]) -> str:
    """Checks as `docker build --check` prints them, less the count."""
    from onggi.builder.dockerfile.errors import excerpt

    files = list(sources)
    return "\n".join(
        f"WARNING: {one.rule}{' - ' + one.url if one.url else ''}\n{one.description}\n"
        f"{excerpt(files[one.location.source], one.location)}\n"
        for one in warnings
    )
