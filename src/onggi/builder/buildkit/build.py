"""One build of BuildKit's door: the front end's part, then the export.

    Control.Solve ---- begins ----------------------------- waits ------- exports -- answers
    LLBBridge.Solve            reads the Dockerfile, plans, solves
    LLBBridge.Return                                       names the result
    Control.Status     tells from the beginning to the end

A client that names a front end in Control.Solve itself gets the same without the two calls between.
Leaving Control.Solve, because it is done or because the client is gone, ends all of the build.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import time
from collections.abc import Mapping
from typing import Any

import msgspec

from onggi.builder.bases import EngineBases
from onggi.builder.builder import Builder
from onggi.builder.buildkit import attributes
from onggi.builder.buildkit.sessions import Session
from onggi.builder.buildkit.status import Teller
from onggi.builder.classic import context
from onggi.builder.dockerfile import typed
from onggi.builder.dockerfile.checks import Checks
from onggi.builder.dockerfile.tree import SIZE_MAX
from onggi.builder.graph import Graph, LocalSource, Meta, Plan, vertex
from onggi.builder.options import NamedContext, Options
from onggi.builder.outputs import image as outputs
from onggi.builder.plan import planner
from onggi.builder.solver.job import RunOptions
from onggi.builder.solver.results import Folder, Stack
from onggi.builder.solver.solve import solve
from onggi.errors import InvalidParameter, NotFound, NotImplemented_
from onggi.images.tag import target
from onggi.spec import dockerignore
from onggi.spec import reference as references
from onggi.spec.image import Image
from onggi.spec.platform import host

FRONTENDS = ("dockerfile.v0",)
STORES = ("moby", "image", "docker")
EXPORT_SILENT = ("name", "push", "load", "unpack", "store")
IGNORE = ".dockerignore"


class Outcome(msgspec.Struct, frozen=True):
    """What a front end has made."""

    image: Image
    stack: Stack


class Build:
    """From Control.Solve's beginning to its end; for the event loop's thread."""

    def __init__(self, builder: Builder, session: Session, ref: str, entitlements: tuple[str, ...]) -> None:
        self.teller = Teller()
        self.returned: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.outcomes: dict[str, Outcome] = {}
        self._session = session
        self._entitlements = entitlements
        self._working: set[asyncio.Task[Any]] = set()
        self._builder = builder
        self.job = builder.begin(
            session, self.teller, RunOptions(entitlements=frozenset(entitlements)),
            flow=self.teller.room, build_id=ref,
        )  # fmt: skip

    # -- the front end

    async def frontend(self, name: str, attrs: Mapping[str, str]) -> str:
        """Build with our own front end; the id of what came out. Raises OnggiError."""
        if name not in FRONTENDS:
            raise NotImplemented_(f"frontend {name!r}: this engine builds with its own (dockerfile.v0) only")
        task = asyncio.current_task()
        assert task is not None
        self._working.add(task)
        try:
            outcome = await self._dockerfile(attrs)
        finally:
            self._working.discard(task)
        id = secrets.token_hex(12)
        self.outcomes[id] = outcome
        return id

    async def _dockerfile(self, attrs: Mapping[str, str]) -> Outcome:
        asked = attributes.options(
            attrs, shared_key=self._session.shared_key, entitlements=self._entitlements
        )
        if len(asked.platforms) > 1:
            raise NotImplemented_("this engine builds for one platform at a time")
        checks = Checks()
        text, ignored = await self._text(asked)
        dockerfile = await self._builder.work(typed.read, text, name=asked.filename, checks=checks)
        asked = msgspec.structs.replace(asked, excludes=ignored, contexts=await self._contexts(asked))
        platform = asked.platforms[0] if asked.platforms else host()
        bases = EngineBases(self.job, lambda line: None)
        plan = await planner.plan(dockerfile, asked, platform, bases, checks=checks)
        for warning in plan.warnings:
            self.teller.warn(warning, "")
        return await self._solve(plan)

    async def _solve(self, plan: Plan) -> Outcome:
        self.job.exported.update(ref.vertex for ref in plan.layers)
        results = await solve(self.job, plan.graph, outputs.refs(plan))
        stacks = await self._builder.work(outputs.stacks_of, self.job, results)
        return Outcome(outputs.document(plan, plan.image, stacks, self.job.layer_times), stacks[-1])

    async def _text(self, asked: Options) -> tuple[bytes, tuple[str, ...]]:
        """The Dockerfile, and what belongs to it of .dockerignore: a file of its own, or the context's."""
        own = f"{asked.filename}{IGNORE}"
        names = (asked.filename, own)
        told = f"[internal] load build definition from {os.path.basename(asked.filename)}"
        path = await self._directory(asked.dockerfile_name, names, told)
        text = await self._builder.work(context.read, path, asked.filename, SIZE_MAX)
        if text is None:
            raise NotFound(f"failed to read dockerfile: open {asked.filename}: no such file or directory")
        ignored = await self._builder.work(context.read, path, own, context.IGNORE_MAX)
        if ignored is None:
            ignored = await self._ignore(asked.context_name, f"[internal] load {IGNORE}")
        return text, dockerignore.read(ignored)

    async def _ignore(self, name: str, told: str) -> bytes:
        path = await self._directory(name, (IGNORE,), told)
        return await self._builder.work(context.read, path, IGNORE, context.IGNORE_MAX) or b""

    async def _directory(self, name: str, follow: tuple[str, ...], told: str) -> str:
        source = LocalSource(name=name, follow=follow, shared_key=f"{name}:{self._session.shared_key}")
        graph = Graph()
        ref = graph.add(vertex(source, (), host(), Meta(name=told)))
        folder = (await solve(self.job, graph, [ref]))[0]
        assert isinstance(folder, Folder)
        return folder.path

    async def _contexts(self, asked: Options) -> dict[str, NamedContext]:
        """Named ones; a directory of the client's brings its own .dockerignore."""
        found = {}
        for name, named in asked.contexts.items():
            kind, _, directory = named.value.partition(":")
            if kind == "input":
                raise NotImplemented_(f"{named.value}: this engine takes no other build's result yet")
            if kind == "local":
                told = f"[context {name}] load {IGNORE}"
                excludes = dockerignore.read(await self._ignore(directory, told))
                named = msgspec.structs.replace(named, excludes=excludes)
            found[name] = named
        return found

    # -- the export

    async def export(self, id: str, exporters: list[Any]) -> dict[str, str]:
        """Do with the result what the client wants; the answer's map. Raises OnggiError."""
        outcome = self.outcomes.get(id)
        if outcome is None:
            return {}
        answer: dict[str, str] = {}
        for exporter in exporters:
            answer |= await self._store(outcome, dict(exporter.Attrs))
        return answer

    async def _store(self, outcome: Outcome, attrs: dict[str, str]) -> dict[str, str]:
        names = [str(target(name)) for name in attrs.get("name", "").split(",") if name]
        with self.teller.work("exporting to image") as work:
            at = time.time_ns()
            publish = self._builder.work(outputs.publish, self.job, outcome.image, outcome.stack, names)
            image_id = await publish
            work.step("exporting layers", at)
            work.step(f"writing image {image_id}", at)
            for name in names:
                work.step(f"naming to {name}", at)
        events = self.job.engine.events
        for name in names:
            events.emit("image", "tag", image_id, {"name": references.parse(name).familiar})
        answer = {"containerimage.config.digest": image_id, "containerimage.digest": image_id}
        return answer | ({"image.name": ",".join(names)} if names else {})

    async def close(self) -> None:
        """End what still runs, and let go."""
        for task in self._working:
            task.cancel()
        await asyncio.gather(*self._working, return_exceptions=True)
        self.job.close()
        self.teller.end()


def exporters_of(request: Any) -> list[Any]:
    """What a request wants done with its result. Raises NotImplemented_ for what is not done here, before the
    build begins.
    """
    for exporter in request.Exporters:
        if exporter.Type not in STORES:
            raise NotImplemented_(f"exporter {exporter.Type!r}: this engine keeps results as images only yet")
        for name, value in exporter.Attrs.items():
            if name not in EXPORT_SILENT or (name == "push" and value not in ("", "false")):
                raise NotImplemented_(f"exporter {exporter.Type}: attribute {name}={value} is not known here")
    if request.Cache.Exports:
        raise NotImplemented_(f"cache export {request.Cache.Exports[0].Type!r}: not done by this engine yet")
    if request.Cache.Imports:
        raise NotImplemented_(f"cache import {request.Cache.Imports[0].Type!r}: not done by this engine yet")
    if request.SourcePolicy.rules:
        raise NotImplemented_("source policies are not applied by this engine yet")
    if request.FrontendInputs or getattr(request.Definition, "def"):
        raise InvalidParameter("this engine solves Dockerfiles only: it takes no LLB yet")
    return list(request.Exporters)
