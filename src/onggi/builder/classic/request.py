"""What a request of the classic door asks for, and what its client can answer: nothing but credentials."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import msgspec

from onggi.builder.cache.contexts import Context
from onggi.builder.classic import agents
from onggi.builder.classic.caching import Place
from onggi.builder.client import Credentials
from onggi.builder.entitlements import Entitlements
from onggi.builder.graph import LocalSource
from onggi.builder.options import Options
from onggi.builder.remote.places import Source
from onggi.builder.solver.job import RunOptions
from onggi.errors import NotFound
from onggi.spec import reference as references
from onggi.spec.platform import Platform, host
from onggi.wire.containers import HostConfig

if TYPE_CHECKING:
    from onggi.builder.builder import Builder

HUB = "https://index.docker.io/v1/"  # Docker Hub's key in the files of its clients


class BuildRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The parameters of `POST /build`, checked. `names` are canonical."""

    names: tuple[str, ...] = ()
    dockerfile: str = ""  # "": Dockerfile, else dockerfile
    remote: str = ""
    listed: bool = False  # the body is what has changed of a listed context (listing.py)
    target: str = ""
    build_id: str = ""
    quiet: bool = False
    call: str = ""  # a question about the Dockerfile (questions.py), instead of a build
    status: bool = False  # progress as data
    shell: bool = False  # a step that fails is held for a shell (builder/failed.py)
    no_cache: bool = False
    no_cache_filter: tuple[str, ...] = ()  # stages that are not taken from the cache; Onggi's own
    pull: bool = False
    rewrite: bool = (
        True  # times of files in layers, where there is SOURCE_DATE_EPOCH: this door has no exporters
    )
    remove: bool = True  # intermediate containers, as far as the stream says so
    build_args: dict[str, str | None] = {}
    labels: dict[str, str] = {}
    platform: Platform | None = None
    network: str = ""
    extra_hosts: tuple[tuple[str, str], ...] = ()
    shm_bytes: int = 0
    limits: HostConfig = HostConfig()
    credentials: dict[str, Credentials] = {}
    cache_from: tuple[Place, ...] = ()
    cache_to: tuple[Place, ...] = ()
    entitlements: Entitlements = Entitlements(network_host=True)  # as dockerd's classic builder has it

    def options(self) -> Options:
        """For the planner. An argument without a value is one that the client's environment has not."""
        network = self.network if self.network in ("host", "none") else "default"
        return Options(
            filename=self.dockerfile or "Dockerfile",
            target=self.target,
            build_args={name: value for name, value in self.build_args.items() if value is not None},
            labels=self.labels,
            platforms=(self.platform,) if self.platform is not None else (),
            no_cache=self.no_cache,
            no_cache_filter=self.no_cache_filter,
            resolve="pull" if self.pull else "default",
            network=network,
            extra_hosts=self.extra_hosts,
            shm_bytes=self.shm_bytes,
        )

    def run_options(self) -> RunOptions:
        """For the solver."""
        network = "" if self.network in ("default", "host", "none") else self.network
        return RunOptions(limits=self.limits, network=network, entitlements=self.entitlements)

    @property
    def wanted_platform(self) -> Platform:
        return self.platform or host()


class RequestClient:
    """The client of a request (builder/client.py): it has sent all that it has. What came before it under the
    same id, secrets and agents, is this object's until close().
    """

    def __init__(self, builder: Builder, id: str, credentials: Mapping[str, Credentials]) -> None:
        self.id = id
        self._builder = builder
        self._credentials = credentials
        self._secrets = builder.offers.pop(id, {})
        self._agents = builder.agents.get(id)
        if self._agents is not None:
            self._agents.begun = True

    def close(self) -> None:
        if self._agents is not None:
            agents.end(self._builder, self.id, self._agents)

    async def directory(self, source: LocalSource, into: Context) -> bytes:
        raise NotFound(f"{source.name}: the request has no such directory")

    async def secret(self, id: str) -> bytes:
        if id in self._secrets:
            return self._secrets[id]
        raise NotFound(f"secret {id}: not found")

    async def ssh(self, id: str) -> socket.socket:
        if self._agents is None:
            raise NotFound(f"ssh agent {id}: not found: the classic API leads to none")
        return await self._agents.take(id)

    async def credentials(self, registry: str) -> Credentials:
        key = HUB if registry == references.DEFAULT_DOMAIN else registry
        return self._credentials.get(key, Credentials())

    async def upload(self, path: str, take: Callable[[bytes], None]) -> None:
        raise NotFound(f"{path}: the request has nothing of that name")

    def layout(self, store: str, digest: str) -> Source:
        raise NotFound(f"oci-layout://{store}: the classic API leads to no directory of the client's")
