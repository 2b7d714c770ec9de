"""`docker login`: ask a registry whether it knows somebody. Nothing is kept by the engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onggi.errors import Unauthorized
from onggi.spec.reference import DEFAULT_DOMAIN, Reference

if TYPE_CHECKING:
    from onggi.engine.engine import Engine
    from onggi.registry.credentials import Credentials
    from onggi.registry.repository import Repository

HUB_SERVER = "https://index.docker.io/v1/"


async def auth(engine: Engine, credentials: Credentials) -> str:
    """The identity token that the registry gave, or nothing. Raises Unauthorized, RegistryFailure."""
    from onggi.registry.endpoints import PUSH
    from onggi.registry.failures import RegistryFailure

    named = Reference(domain_of(credentials.server), "login")
    job = engine.transfers.registries(engine.config).job(credentials)

    def ask(repository: Repository) -> str:
        try:
            return repository.session.login()
        except RegistryFailure as failure:
            if failure.status == 401:
                url = repository.session.url("/")
                raise Unauthorized(
                    f"login attempt to {url} failed with status: 401 Unauthorized: {failure.message}"
                ) from None
            raise

    def work() -> str:
        with job:
            return job.first(named, ask, need=PUSH)[1]

    return await engine.offload(work)


def domain_of(server: str) -> str:
    """The registry that a server address stands for: https://index.docker.io/v1/ is docker.io."""
    host = server.partition("://")[2] if "://" in server else server
    host = host.partition("/")[0]
    return DEFAULT_DOMAIN if host in ("", "index.docker.io", "registry-1.docker.io") else host
