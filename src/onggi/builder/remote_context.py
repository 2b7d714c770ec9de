"""A build context at an address: a repository, an archive, or a Dockerfile alone.

https://host/repo.git#ref:dir, git@host:repo, github.com/a/b     a checkout (executors/git.py)
http://host/file                                                 an archive is unpacked, any other file is the
                                                                 Dockerfile of an empty context
"""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, BinaryIO

from onggi.builder.cache.cache import LOCAL
from onggi.builder.classic import context
from onggi.builder.dockerfile import gitrefs
from onggi.builder.graph import Graph, HttpSource, LocalSource, Meta, Ref, Vertex, vertex
from onggi.builder.plan.copying import git_source
from onggi.builder.solver.results import Folder
from onggi.builder.solver.solve import solve
from onggi.errors import InvalidParameter
from onggi.spec.platform import host

if TYPE_CHECKING:
    from onggi.builder.solver.job import Job

UPLOADED = "http://buildkit-session/"


async def fetched(job: Job, address: str) -> tuple[Graph, Ref, Folder]:
    """The context as a source of this build's graph, and where it lies. Raises InvalidParameter, NotFound,
    Unavailable.
    """
    git = gitrefs.parse(address, context=True)
    graph = Graph()
    if git is not None:
        source = git_source(git, keep_git_dir=bool(git.keep_git_dir))
        ref = graph.add(vertex(source, (), host(), Meta(name=f"[internal] load git source {address}")))
        return graph, ref, await _solved(job, graph, ref)
    if not address.startswith(("http://", "https://")):
        raise InvalidParameter(f"{address}: a context is a directory, a repository or an http address")
    if address.startswith(UPLOADED):
        name = f"upload-{job.id}"
        job.folders[name] = await _uploaded(job, name, address)
        ref = graph.add(_local(name))
        return graph, ref, job.folders[name]
    download = HttpSource(url=address, filename="context")
    ref = graph.add(
        vertex(download, (), host(), Meta(name=f"[internal] load remote build context {address}"))
    )
    file = await _solved(job, graph, ref)
    name = f"remote-{ref.vertex[7:39]}-{job.id}"
    job.folders[name] = await job.builder.work(_unpacked, job, name, file.path)
    ref = graph.add(_local(name))
    return graph, ref, job.folders[name]


def _local(name: str) -> Vertex:
    return vertex(LocalSource(name=name), (), host(), Meta(name="[internal] load build context"))


async def _uploaded(job: Job, name: str, address: str) -> Folder:
    """An archive that the client reads from its standard input, or a Dockerfile."""
    work = job.builder.work
    made: Folder = await work(own_directory, job, name)
    file = f"{made.path}/../upload"
    with await work(open, file, "xb") as received:
        await job.client.upload(address.removeprefix(UPLOADED[:-1]), lambda piece: _written(received, piece))
    await work(context.receive_file, file, made.path)
    await work(os.unlink, file)
    return made


def _written(file: BinaryIO, piece: bytes) -> None:
    file.write(piece)


async def _solved(job: Job, graph: Graph, ref: Ref) -> Folder:
    folder = (await solve(job, graph, [ref]))[0]
    assert isinstance(folder, Folder)
    return folder


def _unpacked(job: Job, name: str, path: str) -> Folder:
    made = own_directory(job, name)
    context.receive_file(f"{path}/context", made.path)
    return made


def own_directory(job: Job, name: str) -> Folder:
    """An empty directory that goes with the build. Blocking."""
    tree = job.builder.cache.own_tree(LOCAL, name)
    job.owns(tree.record_id)
    job.forget(tree.record_id)
    os.mkdir(f"{tree.path}/fs", 0o755)
    return Folder(f"{tree.path}/fs", tree.record_id)


def copied(source: str, target: str) -> None:
    """A checkout that may be changed. Blocking."""
    shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True)
