"""One stage while it is planned: what it stands on, its tree so far, its image so far, its variables."""

from __future__ import annotations

import math

import msgspec

from onggi.builder import epoch
from onggi.builder.dockerfile.checks import Checks
from onggi.builder.graph import Meta
from onggi.builder.instructions import AnyInstruction, Instruction, Location, Stage
from onggi.builder.plan.drafts import Draft, LocalDraft, Out
from onggi.spec.image import Config, History, Image
from onggi.spec.platform import Platform, normal

PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
HISTORY_COMMENT = "buildkit.dockerfile.v0"


class StageDraft:
    """A stage of the Dockerfile, or an image that is only copied or mounted from (`source` None).

    `base` is the stage it stands on, else `base_name` the image. `instructions` begin with ONBUILD triggers.
    """

    def __init__(self, source: Stage | None, base_name: str, location: Location, number: int) -> None:
        self.source = source
        self.base_name = base_name
        self.location = location
        self.number = number
        self.base: StageDraft | None = None
        self.label = source.name or f"stage-{number}" if source else ""
        self.platform: Platform | None = None  # as `FROM --platform` says, later of the base
        self.instructions: list[AnyInstruction] = list(source.instructions) if source else []
        self.triggers = 0  # how many of them are ONBUILD's
        self.copies: dict[
            int, list[StageDraft | None]
        ] = {}  # instruction's place -> what it copies or mounts from
        self.out: Out | None = None
        self.local: LocalDraft | None = None  # the named directory that this is
        self.image = Image()
        self.base_image: Image | None = None
        self.base_reference = ""
        self.resolved = False
        self.planned = False
        self.pulled = False  # whether ONBUILD triggers were looked for
        self.no_cache = False
        self.variables: dict[str, str] = {}
        self.arguments: dict[str, str | None] = {}  # ARGs in order, for history and UndefinedVar
        self.directory = "/"
        self.directory_set = False
        self.user = ""
        self.total = 0
        self.count = 0
        self.layers: list[Out] = []
        self.once: dict[str, Location] = {}  # where CMD, ENTRYPOINT and HEALTHCHECK stood last
        self.checks = Checks()  # of the instruction that is being planned
        self.place = 0  # of the instruction that is being planned
        self.prefix_platform = ""
        self.epoch: int | None = None

    @property
    def name(self) -> str:
        return self.source.name if self.source else ""

    @property
    def config(self) -> Config:
        return self.image.config or Config()

    def change(self, **fields: object) -> None:
        """Change the image's configuration."""
        self.image = msgspec.structs.replace(
            self.image, config=msgspec.structs.replace(self.config, **fields)
        )

    def set_variable(self, name: str, value: str) -> None:
        """The newest stands last, as it will in the process's environment."""
        self.variables.pop(name, None)
        self.variables[name] = value

    def environment(self) -> tuple[str, ...]:
        return tuple(f"{name}={value}" for name, value in self.variables.items())

    def uses(self, path: str) -> None:
        """This path of the stage's tree is read: of a named directory only such paths are sent."""
        root: StageDraft | None = self
        while root is not None:
            if root.local is not None:
                root.local.need(path)
            root = root.base

    def remember(self, text: str, *, layer: bool) -> None:
        """A line of history."""
        entry = History(
            created=None if self.epoch is None else epoch.stamp(self.epoch),
            created_by=text,
            comment=HISTORY_COMMENT,
            empty_layer=not layer,
        )
        self.image = msgspec.structs.replace(self.image, history=[*(self.image.history or []), entry])
        if layer and self.out is not None:
            self.layers.append(self.out)

    def shown(self, text: str) -> str:
        """`[build 2/5] RUN make`, counting on."""
        if not self.total:
            return text
        self.count += 1
        width = int(1 + math.log10(self.total))
        parts = [part for part in (self.prefix_platform, self.label) if part]
        head = " ".join([*parts, f"{self.count:>{width}}/{self.total}"])
        return f"[{head}] {'ONBUILD ' if self.place < self.triggers else ''}{text}"

    def meta(self, text: str, instruction: Instruction) -> Meta:
        return Meta(
            name=self.shown(text),
            stage=self.label,
            number=self.count,
            total=self.total,
            locations=(instruction.location,),
            ignore_cache=self.no_cache,
        )

    def draft(self, new: Draft) -> None:
        """The stage's tree is now this vertex's."""
        self.out = new.out()


def empty_image(platform: Platform) -> Image:
    """FROM scratch."""
    return Image(
        architecture=platform.architecture,
        os=platform.os,
        variant=platform.variant or None,
        config=Config(working_dir="/", env=[PATH]),
    )


def platform_of(image: Image, otherwise: Platform) -> Platform:
    if not image.os or not image.architecture:
        return otherwise
    return normal(image.os, image.architecture, image.variant or "")
