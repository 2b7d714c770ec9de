"""What a request of the classic door asks for, and what its client can answer: nothing but credentials."""

from __future__ import annotations

import socket
from collections.abc import Mapping

import msgspec

from onggi.builder.client import Credentials
from onggi.builder.graph import LocalSource
from onggi.builder.options import Options
from onggi.builder.solver.job import RunOptions
from onggi.errors import NotFound
from onggi.spec import reference as references
from onggi.spec.platform import Platform, host
from onggi.wire.containers import HostConfig

HUB = "https://index.docker.io/v1/"  # Docker Hub's key in the files of its clients
CLASSIC_ENTITLEMENTS = frozenset({"network.host"})  # dockerd's classic builder lets anyone have the host's


class BuildRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The parameters of `POST /build`, checked. `names` are canonical."""

    names: tuple[str, ...] = ()
    dockerfile: str = ""  # "": Dockerfile, else dockerfile
    remote: str = ""
    target: str = ""
    build_id: str = ""
    quiet: bool = False
    status: bool = False  # progress as data
    no_cache: bool = False
    pull: bool = False
    remove: bool = True  # intermediate containers, as far as the stream says so
    build_args: dict[str, str | None] = {}
    labels: dict[str, str] = {}
    platform: Platform | None = None
    network: str = ""
    extra_hosts: tuple[tuple[str, str], ...] = ()
    shm_bytes: int = 0
    limits: HostConfig = HostConfig()
    credentials: dict[str, Credentials] = {}

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
            resolve="pull" if self.pull else "default",
            network=network,
            extra_hosts=self.extra_hosts,
            shm_bytes=self.shm_bytes,
            entitlements=tuple(CLASSIC_ENTITLEMENTS),
        )

    def run_options(self) -> RunOptions:
        """For the solver."""
        network = "" if self.network in ("default", "host", "none") else self.network
        return RunOptions(limits=self.limits, network=network, entitlements=CLASSIC_ENTITLEMENTS)

    @property
    def wanted_platform(self) -> Platform:
        return self.platform or host()


class RequestClient:
    """The client of a request (builder/client.py): it has sent all that it has. `secrets` came before it."""

    def __init__(self, id: str, credentials: Mapping[str, Credentials], secrets: Mapping[str, bytes]) -> None:
        self.id = id
        self._credentials = credentials
        self._secrets = secrets

    async def directory(self, source: LocalSource, into: str) -> None:
        raise NotFound(f"{source.name}: the request has no such directory")

    async def secret(self, id: str) -> bytes:
        if id in self._secrets:
            return self._secrets[id]
        raise NotFound(f"secret {id}: not found")

    async def ssh(self, id: str) -> socket.socket:
        raise NotFound(f"ssh agent {id}: not found: the classic API leads to none")

    async def credentials(self, registry: str) -> Credentials:
        key = HUB if registry == references.DEFAULT_DOMAIN else registry
        return self._credentials.get(key, Credentials())
