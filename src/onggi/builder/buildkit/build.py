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
import contextlib
import os
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import msgspec

from onggi.builder import questions, remote_context
from onggi.builder.bases import EngineBases
from onggi.builder.builder import Builder
from onggi.builder.buildkit import attributes, caching, llb, problems
from onggi.builder.buildkit.caching import Entry
from onggi.builder.buildkit.exporters import Attested, Export, Exported, Exporter, Part, exports
from onggi.builder.buildkit.policies import PolicedBases, Policies, enforced
from onggi.builder.buildkit.sessions import Session
from onggi.builder.buildkit.status import Teller
from onggi.builder.classic import context
from onggi.builder.dockerfile import front_ends, typed
from onggi.builder.dockerfile.checks import Checks
from onggi.builder.dockerfile.tree import SIZE_MAX
from onggi.builder.entitlements import Entitlements
from onggi.builder.graph import Graph, LocalSource, Meta, OciLayoutSource, Plan, Ref, Warning_, vertex
from onggi.builder.instructions import Dockerfile, Source
from onggi.builder.options import NamedContext, Options
from onggi.builder.outputs import attestations
from onggi.builder.outputs import image as outputs
from onggi.builder.plan import planner
from onggi.builder.plan.bases import Bases
from onggi.builder.solver.job import RunOptions
from onggi.builder.solver.results import Folder
from onggi.builder.solver.solve import solve
from onggi.errors import InvalidParameter, NotFound, NotImplemented_
from onggi.spec import dockerignore
from onggi.spec import image as documents
from onggi.spec import reference as references
from onggi.spec.platform import Platform, host

FRONTENDS = ("dockerfile.v0",)
GATEWAY = "gateway.v0"  # a front end that is an image, `source`
IGNORE = ".dockerignore"


class Outcome(msgspec.Struct, frozen=True):
    """What a front end has made: one part for each platform; `index` even where that is one."""

    parts: tuple[Part, ...]
    index: bool = False
    attested: Attested = Attested()


class Build:
    """From Control.Solve's beginning to its end; for the event loop's thread."""

    def __init__(
        self,
        builder: Builder,
        results: dict[str, Outcome],
        session: Session,
        ref: str,
        entitlements: Entitlements,
        cache_imports: list[Entry],
        cache_exports: list[Entry],
        policies: Policies,
    ) -> None:
        self.teller = Teller()
        self.exported: list[Exported] = []
        self.said: dict[str, list[tuple[str, Any]]] = {}
        self.returned: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.outcomes: dict[str, Outcome] = {}
        self.work = builder.work
        self._results = results
        self._session = session
        self._working: set[asyncio.Task[Any]] = set()
        self._cache_imports = cache_imports
        self._cache_exports = cache_exports
        self._imported: list[Entry] = []
        self._warned: set[Warning_] = set()
        self._sources: tuple[Source, ...] = ()  # of the Dockerfile, for what fails to be shown in it
        self._held = contextlib.ExitStack()
        self._builder = builder
        self._policies = policies
        self.job = builder.begin(
            session, self.teller, RunOptions(entitlements=entitlements),
            flow=self.teller.room, build_id=ref,
        )  # fmt: skip

    # -- the front end

    async def frontend(
        self, name: str, attrs: Mapping[str, str], inputs: Mapping[str, Any]
    ) -> tuple[str, dict[str, str]]:
        """Build with our own front end; the id of what came out, and what is said of it. An answer to a
        question about the Dockerfile (questions.py) has no id. Raises OnggiError.
        """
        if name == GATEWAY and attrs.get("source"):
            front_ends.check(attrs["source"])  # docker/dockerfile as an image is the same as built in
        elif name not in FRONTENDS:
            raise NotImplemented_(f"frontend {name!r}: this engine builds with its own (dockerfile.v0) only")
        async with self._busy():
            outcome = await self._dockerfile(attrs, inputs)
        if isinstance(outcome, dict):
            return "", outcome
        return self._kept(outcome), _told(outcome)

    @contextlib.asynccontextmanager
    async def _busy(self) -> AsyncIterator[None]:
        """The running task works for this build: close() ends it. What fails it is explained."""
        task = asyncio.current_task()
        assert task is not None
        self._working.add(task)
        try:
            yield
        except Exception as error:
            raise problems.explained(error, self.job.failure, self._sources) from error
        finally:
            self._working.discard(task)

    def _kept(self, outcome: Outcome) -> str:
        id = secrets.token_hex(12)
        self.outcomes[id] = self._results[id] = outcome
        return id

    async def definition(self, sent: Any) -> str:
        """Solve LLB; the id of what came out, empty for an empty definition. Raises OnggiError."""
        async with self._busy():
            await self._import([])
            graph, ref = await self._graph(sent)
            if ref is None:
                return ""
            (result,) = await solve(self.job, graph, [ref])
            stack = await self.work(outputs.stacks_of, self.job, [result])
            platform = graph[ref].platform
            image = outputs.bare(platform, stack[0], self.job.layer_times)
            plan = Plan(graph=graph, result=ref, image=image, platform=platform)
            return self._kept(Outcome((Part(image, stack[0], plan),)))

    async def _graph(self, sent: Any) -> tuple[Graph, Ref | None]:
        """A definition's graph; results of this engine's in it are held."""
        graph, ref = await llb.graph_of(sent, self._bases(), shared_key=self._session.shared_key)
        if self._policies and ref is not None:
            graph, names = await enforced(self._policies, graph, self._bases())
            ref = Ref(names[ref.vertex], ref.output)
        for one in graph:
            if isinstance(one.op, OciLayoutSource) and one.op.store == llb.RESULT_STORE:
                part = self.part(one.op.reference.removeprefix(f"{llb.RESULT_STORE}@"))
                await self.work(self.job.hold, part.stack)
                self.job.layouts[one.op.reference] = part.stack
        return graph, ref

    def part(self, reference: str) -> Part:
        """A result by its reference. Raises NotFound."""
        id, _, platform = reference.partition("/")
        outcome = self._results.get(id)
        platform = platform.removeprefix("containerimage.config/")
        for part in outcome.parts if outcome is not None else ():
            if not platform or str(part.image.platform()) == platform:
                return part
        raise NotFound(
            f"no such result {reference!r}: results go with the build that made them (so buildx debug and "
            "--invoke do not work on this engine)"
        )

    async def root(self, reference: str) -> int:
        """A descriptor of a result's root, this build's own. Raises NotFound."""
        root_fd: int = await self.work(self.job.views.root, self.part(reference).stack)
        return root_fd

    async def image_config(self, name: str, platform: Platform, mode: str) -> tuple[str, str, bytes]:
        """Canonical reference, digest and configuration of an image. Raises NotFound, what a pull raises."""
        async with self._busy():
            resolve = "pull" if mode == "pull" else "default"
            base = await self._bases().image(llb.canonical(name), platform, resolve)
        return base.reference, references.parse(base.reference).digest, documents.encode(base.image)

    async def _dockerfile(
        self, attrs: Mapping[str, str], inputs: Mapping[str, Any]
    ) -> Outcome | dict[str, str]:
        asked = attributes.options(attrs, shared_key=self._session.shared_key)
        attested = attestations.wanted(dict(attrs))
        await self._import(caching.of_attributes(dict(attrs)))
        checks = Checks()
        ignored: tuple[str, ...] = ()
        address = attrs.get("context", "")
        if "context" in inputs:
            asked, text = await self._from_inputs(asked, inputs)
        elif address:
            graph, ref, folder = await remote_context.fetched(self.job, address)
            asked = msgspec.structs.replace(asked, context=NamedContext(input=ref, graph=graph))
            own = "dockerfilekey" in attrs
            text = (await self._text(asked))[0] if own else await self._text_in(folder.path, asked)
        else:
            text, ignored = await self._text(asked)
        if attrs.get("requestid"):
            asked = msgspec.structs.replace(
                asked, excludes=ignored, contexts=await self._contexts(asked, attrs, inputs)
            )
            return await questions.answer(attrs["requestid"], text, asked, self._bases())
        dockerfile = await self._builder.work(
            typed.read, text, name=asked.filename, checks=checks,
            syntax=asked.build_args.get(front_ends.ARGUMENT, ""),
        )  # fmt: skip
        self._sources = dockerfile.sources
        asked = msgspec.structs.replace(
            asked, excludes=ignored, contexts=await self._contexts(asked, attrs, inputs)
        )
        asked = msgspec.structs.replace(
            asked, multi_platform=asked.multi_platform or len(asked.platforms) > 1
        )
        wanted = dict.fromkeys(asked.platforms or (host(),))
        tasks = [asyncio.ensure_future(self._part(dockerfile, asked, one, checks)) for one in wanted]
        try:
            parts = await asyncio.gather(*tasks)
        except BaseException:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            raise
        return Outcome(tuple(parts), asked.multi_platform, Attested(attested, dict(attrs)))

    async def _part(self, dockerfile: Dockerfile, asked: Options, platform: Platform, checks: Checks) -> Part:
        plan = await planner.plan(dockerfile, asked, platform, self._bases(), checks=checks)
        for warning in plan.warnings:
            if warning not in self._warned:
                self._warned.add(warning)
                self.teller.warn(warning, "")
        return await self._solve(await self._policed(plan))

    def _bases(self) -> Bases:
        bases = EngineBases(self.job, lambda line: None)
        return PolicedBases(bases, self._policies) if self._policies else bases

    async def _policed(self, plan: Plan) -> Plan:
        """Raises Forbidden."""
        if not self._policies:
            return plan
        graph, names = await enforced(self._policies, plan.graph, self._bases())
        result = plan.result and Ref(names[plan.result.vertex], plan.result.output)
        layers = tuple(Ref(names[ref.vertex], ref.output) for ref in plan.layers)
        return msgspec.structs.replace(plan, graph=graph, result=result, layers=layers, steps=())

    def add_policies(self, sent: Sequence[Any]) -> None:
        """Those of the client's half of the build. Raises InvalidParameter."""
        self._policies = self._policies.and_(sent)

    async def _import(self, more: list[Entry]) -> None:
        """Each cache once, however often the client's halves name it."""
        caching.check(more, [])
        seen = [*self._cache_imports, *more]
        wanted = [entry for place, entry in enumerate(seen) if entry not in seen[:place]]
        fresh = [entry for entry in wanted if entry not in self._imported]
        self._imported += fresh
        self.job.imported += await caching.imported(self.job, self._session, self.teller, fresh, self._held)

    async def _solve(self, plan: Plan) -> Part:
        self.job.exported.update(ref.vertex for ref in plan.layers)
        results = await solve(self.job, plan.graph, outputs.refs(plan))
        stacks = await self._builder.work(outputs.stacks_of, self.job, results)
        return Part(outputs.document(plan, plan.image, stacks, self.job.layer_times), stacks[-1], plan)

    async def _text_in(self, path: str, asked: Options) -> bytes:
        """Of a context that was fetched."""
        found: bytes | None = await self._builder.work(context.read, path, asked.filename, SIZE_MAX)
        if found is None:
            raise NotFound(f"failed to read dockerfile: open {asked.filename}: no such file or directory")
        return found

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
        self._policies.evaluate(f"local://{name}", {})
        source = LocalSource(name=name, follow=follow, shared_key=f"{name}:{self._session.shared_key}")
        graph = Graph()
        ref = graph.add(vertex(source, (), host(), Meta(name=told)))
        folder = (await solve(self.job, graph, [ref]))[0]
        assert isinstance(folder, Folder)
        return folder.path

    async def _from_inputs(self, asked: Options, inputs: Mapping[str, Any]) -> tuple[Options, bytes]:
        """A context, and the Dockerfile in it, that the client names by LLB."""
        graph, ref = await self._graph(inputs["context"])
        asked = msgspec.structs.replace(asked, context=NamedContext(input=ref, graph=graph))
        graph, ref = await self._graph(inputs["dockerfile" if "dockerfile" in inputs else "context"])
        (tree,) = await solve(self.job, graph, [ref])
        if tree is None:
            raise NotFound("the context is empty")
        root_fd = await self.work(self.job.views.root, tree)
        text = await self.work(context.read_below, root_fd, asked.filename, SIZE_MAX)
        if text is None:
            raise NotFound(f"failed to read dockerfile: open {asked.filename}: no such file or directory")
        return asked, text

    async def _input(self, name: str, attrs: Mapping[str, str], inputs: Mapping[str, Any]) -> NamedContext:
        """Another build's result, or anything else that the client names by LLB, with its image."""
        if name not in inputs:
            raise InvalidParameter(f"input {name!r} is missing")
        graph, ref = await self._graph(inputs[name])
        said = attrs.get(f"input-metadata:{name}", "")
        image = None
        if said:
            try:
                config = msgspec.json.decode(said, type=dict[str, bytes]).get("containerimage.config")
            except msgspec.DecodeError as error:
                raise InvalidParameter(f"input-metadata:{name}: {error}") from None
            image = documents.decode(documents.Image, config, f"image of {name}") if config else None
        return NamedContext(input=ref, graph=graph, image=image)

    async def _contexts(
        self, asked: Options, attrs: Mapping[str, str], inputs: Mapping[str, Any]
    ) -> dict[str, NamedContext]:
        """Named ones; a directory of the client's brings its own .dockerignore."""
        found = {}
        for name, named in asked.contexts.items():
            kind, _, directory = named.value.partition(":")
            if kind == "input":
                named = await self._input(directory, attrs, inputs)
            if kind == "local":
                told = f"[context {name}] load {IGNORE}"
                excludes = dockerignore.read(await self._ignore(directory, told))
                named = msgspec.structs.replace(named, excludes=excludes)
            found[name] = named
        return found

    # -- the export

    async def export(self, id: str, wanted: list[Export]) -> dict[str, str]:
        """Do with the result what the client wants; the answer's map. Raises OnggiError."""
        outcome = self.outcomes.get(id)
        if outcome is None:
            return {}
        parts = list(outcome.parts)
        if any(entry.type == "inline" for entry in self._cache_exports):
            parts = [await caching.inlined(self.job, one) for one in parts]
        answer: dict[str, str] = {}
        exporter = Exporter(self.job, self._session, self.teller, outcome.attested, self.exported)
        for export in wanted:
            answer |= await exporter.run(export, parts, index=outcome.index)
        self.said = exporter.said
        stacks = [one.stack for one in parts]
        for entry in self._cache_exports:
            if entry.type != "inline":
                answer |= await caching.exported(self.job, self._session, self.teller, entry, stacks)
        return answer

    async def close(self) -> None:
        """End what still runs, and let go."""
        for task in self._working:
            task.cancel()
        self.job.cancel()  # what blocks in a thread looks at this
        await asyncio.gather(*self._working, return_exceptions=True)
        self._held.close()
        for id in self.outcomes:
            self._results.pop(id, None)
        self.job.close()
        await self._builder.sweep(self.job)
        self.teller.end()
        await self._builder.trim()


def _told(outcome: Outcome) -> dict[str, str]:
    """What clients read of a result; with several platforms each has its own."""
    if not outcome.index:
        return {"containerimage.config": documents.encode(outcome.parts[0].image).decode()}
    listed = []
    found = {}
    for part in outcome.parts:
        platform = part.image.platform()
        field = {"architecture": platform.architecture, "os": platform.os}
        field |= {"variant": platform.variant} if platform.variant else {}
        listed.append({"ID": str(platform), "Platform": field})
        found[f"containerimage.config/{platform}"] = documents.encode(part.image).decode()
    return found | {"refs.platforms": msgspec.json.encode({"Platforms": listed}).decode()}


def exports_of(request: Any) -> list[Export]:
    """What a request wants done with its result. Raises NotImplemented_ for what is not done here, before the
    build begins.
    """
    found = exports(request.Exporters)
    caching.check(caching.entries(request.Cache.Imports), caching.entries(request.Cache.Exports))
    return found
