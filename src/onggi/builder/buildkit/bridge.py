"""LLBBridge: what a client's own half of a build asks: solve, look into results, return one.

A reference is ID or ID/PLATFORM. Its `def` is a definition of one source that stands for the result, so that
clients hand results on to other builds (bake's linked targets) without knowing what is in them.
"""

from __future__ import annotations

import os
import stat
from typing import Any

from grpclib.const import Cardinality, Handler, Status
from grpclib.exceptions import GRPCError

from onggi.builder.buildkit import llb, sending
from onggi.builder.buildkit.build import Build
from onggi.builder.buildkit.calls import call, mapping
from onggi.builder.buildkit.door import Door
from onggi.builder.buildkit.messages import kind
from onggi.errors import InvalidParameter, NotFound
from onggi.images.tree import RESOLVE
from onggi.kernel.files import openat2
from onggi.spec.dockerignore import Matcher
from onggi.spec.platform import host, normal

SERVICE = "/moby.buildkit.v1.frontend.LLBBridge/"
READ_MAX = 16 << 20
ENTRIES_MAX = 100_000
FRONTEND_CAPS = """
    solve.base return returnmap proto.refarray gateway.solve.metadata gateway.solve.evaluate
    gateway.evaluate frontend.caps frontend.inputs readfile readdir statfile resolveimage
    reference.output importcaches
"""
LLB_CAPS = """
    source.image source.image.resolvemode source.image.layerlimit source.local source.local.unique
    source.local.sessionid source.local.includepatterns source.local.followpaths
    source.local.excludepatterns source.local.sharedkeyhint source.local.differ source.git
    source.git.keepgitdir source.git.fullurl source.git.httpauth source.git.knownsshhosts
    source.git.mountsshsock source.git.subdir source.git.checksum source.http source.http.auth
    source.http.checksum source.http.perm soruce.http.uidgid source.http.header source.ocilayout
    exec.meta.base exec.meta.cgroup.parent exec.meta.network exec.meta.proxyenv exec.meta.security
    exec.meta.setsdefaultpath exec.meta.ulimit exec.mount.bind exec.mount.bind.readwrite-nooutput
    exec.mount.cache exec.mount.cache.sharing exec.mount.selector exec.mount.tmpfs exec.mount.tmpfs.size
    exec.mount.secret exec.mount.ssh exec.mount.cache.content exec.secretenv exec.validexitcode
    file.base file.rm.wildcard file.copy.includeexcludepatterns file.rm.nofollowsymlink
    file.copy.alwaysreplaceexistingdestpaths file.copy.modestring file.symlink.create constraints
    platform meta.ignorecache meta.description meta.exportcache mergeop diffop
    exporter.image.annotations exporter.image.attestations exporter.multiple exporter.sourcedateepoch
    exec.meta.cdi source.policy gc.freespacefilter history.filter
"""


class Bridge:
    """For one connection."""

    def __init__(self, door: Door) -> None:
        self.door = door

    def __mapping__(self) -> dict[str, Handler]:
        one = Cardinality.UNARY_UNARY
        return mapping(self, SERVICE, (
            ("Ping", one, "Empty", "PongResponse"),
            ("Solve", one, "GatewaySolveRequest", "GatewaySolveResponse"),
            ("ResolveImageConfig", one, "ResolveImageConfigRequest", "ResolveImageConfigResponse"),
            ("ReadFile", one, "ReadFileRequest", "Bytes"),
            ("ReadDir", one, "ReadDirRequest", "ReadDirResponse"),
            ("StatFile", one, "StatFileRequest", "StatFileResponse"),
            ("Evaluate", one, "EvaluateRequest", "Empty"),
            ("Inputs", one, "Empty", "InputsResponse"),
            ("Return", one, "ReturnRequest", "Empty"),
        ))  # fmt: skip

    async def _build(self, stream: Any) -> Build:
        return await self.door.build(str(stream.metadata.get("buildkit-controlapi-buildid", "")))

    @call
    async def Ping(self, stream: Any) -> None:
        await stream.recv_message()
        cap = kind("APICap")
        await stream.send_message(kind("PongResponse")(
            FrontendAPICaps=[cap(ID=name, Enabled=True) for name in FRONTEND_CAPS.split()],
            LLBCaps=[cap(ID=name, Enabled=True) for name in LLB_CAPS.split()],
            Workers=[self.door.worker()],
        ))  # fmt: skip

    @call
    async def Solve(self, stream: Any) -> None:
        request = await stream.recv_message()
        build = await self._build(stream)
        build.add_policies([policy for policy in request.SourcePolicies if policy.rules])
        told: dict[str, str] = {}
        if request.Frontend:
            id, told = await build.frontend(request.Frontend, request.FrontendOpt, request.FrontendInputs)
        else:
            id = await build.definition(request.Definition)
        result = kind("Result")()
        if "refs.platforms" in told:
            names = [name.partition("/")[2] for name in told if "/" in name]
            result.refs.SetInParent()
            for name in names:
                result.refs.refs[name].CopyFrom(_ref(f"{id}/{name}"))
        elif id:
            result = kind("Result")(ref=_ref(id))
        for name, text in told.items():
            result.metadata[name] = text.encode()
        await stream.send_message(kind("GatewaySolveResponse")(result=result))

    @call
    async def ResolveImageConfig(self, stream: Any) -> None:
        request = await stream.recv_message()
        build = await self._build(stream)
        asked = request.Platform
        platform = normal(asked.OS, asked.Architecture, asked.Variant) if asked.OS else host()
        reference, digest, config = await build.image_config(request.Ref, platform, request.ResolveMode)
        await stream.send_message(
            kind("ResolveImageConfigResponse")(Digest=digest, Config=config, Ref=reference)
        )

    # -- looking into results

    @call
    async def ReadFile(self, stream: Any) -> None:
        request = await stream.recv_message()
        build = await self._build(stream)
        root_fd = await build.root(request.Ref)
        asked = (request.Range.Offset, request.Range.Length) if request.HasField("Range") else (0, 0)
        data = await build.work(_read, root_fd, request.FilePath, *asked)
        await stream.send_message(kind("Bytes")(data=data))

    @call
    async def ReadDir(self, stream: Any) -> None:
        request = await stream.recv_message()
        build = await self._build(stream)
        root_fd = await build.root(request.Ref)
        entries = await build.work(_list, root_fd, request.DirPath, request.IncludePattern)
        await stream.send_message(kind("ReadDirResponse")(entries=entries))

    @call
    async def StatFile(self, stream: Any) -> None:
        request = await stream.recv_message()
        build = await self._build(stream)
        root_fd = await build.root(request.Ref)
        found = await build.work(_stat, root_fd, request.Path)
        await stream.send_message(kind("StatFileResponse")(stat=found))

    @call
    async def Evaluate(self, stream: Any) -> None:
        """Results are made when they are solved."""
        request = await stream.recv_message()
        (await self._build(stream)).part(request.Ref)
        await stream.send_message(kind("Empty")())

    @call
    async def Inputs(self, stream: Any) -> None:
        await stream.recv_message()
        await stream.send_message(kind("InputsResponse")())

    @call
    async def Return(self, stream: Any) -> None:
        """The client's half is done: its result, or what failed it."""
        request = await stream.recv_message()
        build = await self._build(stream)
        if not build.returned.done():
            if request.error.code:
                said = request.error
                build.returned.set_exception(GRPCError(_code(said.code), said.message, list(said.details)))
                build.returned.exception()  # Control.Solve raises it, if it is still there
            else:
                refs = [ref.id for ref in request.result.refs.refs.values()] or [request.result.ref.id]
                build.returned.set_result(refs[0].partition("/")[0])
        await stream.send_message(kind("Empty")())


def _code(number: int) -> Status:
    try:
        return Status(number)
    except ValueError:
        return Status.UNKNOWN


def _ref(id: str) -> Any:
    return kind("Ref")(**{"id": id, "def": llb.definition_of(f"{llb.RESULT}{id}")})


def _missing(path: str, error: OSError) -> Exception:
    return NotFound(f"{path}: {(error.strerror or 'no such file or directory').lower()}")


def _open(root_fd: int, path: str, flags: int) -> int:
    try:
        return openat2(root_fd, os.fsencode(path.strip("/")) or b".", flags | os.O_NONBLOCK, resolve=RESOLVE)
    except OSError as error:
        raise _missing(path, error) from None


def _read(root_fd: int, path: str, offset: int, length: int) -> bytes:
    """A regular file of a result, or a part of it. Raises NotFound, InvalidParameter."""
    with open(_open(root_fd, path, os.O_RDONLY | os.O_NOCTTY), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise InvalidParameter(f"{path}: not a regular file")
        file.seek(max(0, offset))
        data = file.read(length if 0 < length <= READ_MAX else READ_MAX + 1)
    if len(data) > READ_MAX:
        raise InvalidParameter(f"{path}: more than {READ_MAX} bytes")
    return data


def _list(root_fd: int, path: str, pattern: str) -> list[Any]:
    fd = _open(root_fd, path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        names = sorted(os.listdir(fd))
        if len(names) > ENTRIES_MAX:
            raise InvalidParameter(f"{path}: more than {ENTRIES_MAX} entries")
        if pattern:
            wanted = Matcher((pattern,))
            names = [name for name in names if wanted.excludes(name)]
        return [sending.stat_of(fd, os.fsencode(name)) for name in names]
    finally:
        os.close(fd)


def _stat(root_fd: int, path: str) -> Any:
    parent, _, name = path.strip("/").rpartition("/")
    fd = _open(root_fd, parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        return sending.stat_of(fd, os.fsencode(name) or b".")
    except OSError as error:
        raise _missing(path, error) from None
    finally:
        os.close(fd)
