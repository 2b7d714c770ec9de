"""All registries as the engine sees them: settings, tokens that still hold, and a job's way to a repository.

    with registries.job(credentials) as job:
        repository, manifest = job.first(named, lambda one: one.manifest("latest"))

A job owns its connections. Mirrors come first; where one fails, the next source is asked, the registry itself
last, and its failure is the one that is told.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType
from typing import TypeVar

import msgspec

from onggi.errors import Corrupt, Forbidden, InvalidParameter, NotFound
from onggi.registry import backoff
from onggi.registry.connections import Connections
from onggi.registry.credentials import Credentials
from onggi.registry.endpoints import PULL, Endpoint, Settings, Source, sources
from onggi.registry.failures import RegistryFailure, Unreachable
from onggi.registry.repository import Repository
from onggi.registry.session import Session, Tokens
from onggi.spec.reference import Reference

T = TypeVar("T")


class Registries:
    """Owned by the engine; `settings` changes with a reload."""

    def __init__(
        self, settings: Settings, *, user_agent: str, first_pause_s: float = backoff.FIRST_S
    ) -> None:
        self.settings = settings
        self.user_agent = user_agent
        self.first_pause_s = first_pause_s
        self.tokens = Tokens()
        self.unfinished: dict[tuple[str, str, str], str] = {}  # (base, path, digest) -> an upload's location
        self.plain: set[str] = set()  # hosts that were found to speak plain HTTP

    def job(self, credentials: Credentials, *, insecure: str = "") -> Job:
        """`insecure`: a host that this job may speak to without verified TLS, whatever the settings say."""
        return Job(self, credentials, insecure=insecure)


class Job:
    """One piece of work with registries; a context manager. May be used from several threads."""

    def __init__(self, registries: Registries, credentials: Credentials, *, insecure: str = "") -> None:
        self._registries = registries
        self.settings = registries.settings
        if insecure:
            trusted = (*self.settings.insecure, insecure)
            self.settings = msgspec.structs.replace(self.settings, insecure=trusted)
        self._credentials = credentials
        self._sessions: dict[str, Session] = {}
        self._lock = threading.Lock()
        self.connections = Connections(
            user_agent=registries.user_agent, offline=self.settings.offline, proxies=self.settings.proxies
        )

    def __enter__(self) -> Job:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.connections.close()

    def repositories(self, named: Reference, *, need: str = PULL) -> list[Repository]:
        """Every source of an image, in order. Raises InvalidParameter, Forbidden."""
        found = sources(named, self.settings, need=need)
        return [Repository(self.session(one), one.path) for one in found]

    def first(
        self, named: Reference, ask: Callable[[Repository], T], *, need: str = PULL
    ) -> tuple[Repository, T]:
        """The first source that gives an answer, with it. Raises the last one's failure."""
        listed = self.repositories(named, need=need)
        return self._first(listed, ask, nothing=f"no source is configured for {named.familiar}")

    def at(self, endpoints: list[Endpoint], ask: Callable[[Session], T]) -> T:
        """What a registry says that is asked for no image: TLS before plain. Raises the last failure."""
        return self.first_of([Source(one, "") for one in endpoints], lambda one: ask(one.session))[1]

    def first_of(self, listed: list[Source], ask: Callable[[Repository], T]) -> tuple[Repository, T]:
        """As `first`, of given sources."""
        return self._first(
            [Repository(self.session(one), one.path) for one in listed], ask, nothing="no source"
        )

    def _first(
        self, listed: list[Repository], ask: Callable[[Repository], T], *, nothing: str
    ) -> tuple[Repository, T]:
        failure: Exception | None = None
        for position, repository in enumerate(listed):
            base = repository.session.endpoint.base
            plain_follows = self._plain_follows(listed, position)
            if plain_follows and base in self._registries.plain:
                continue
            try:
                return repository, ask(repository)
            except Unreachable as error:
                if plain_follows:
                    if "HTTP response to HTTPS client" in error.message:
                        self._registries.plain.add(base)
                    failure = error
                    continue
                self._registries.plain.discard(base.replace("http://", "https://", 1))  # it may have TLS now
                # What the plain try says of an unreachable host is what its TLS try said.
                failure = error if not _was_tls_trouble(failure) else failure
            except (RegistryFailure, Corrupt, InvalidParameter, Forbidden) as error:
                self.connections.check()
                failure = error
                if not repository.session.endpoint.mirror:
                    break
        if failure is None:
            raise NotFound(nothing)
        raise failure

    @staticmethod
    def _plain_follows(listed: list[Repository], position: int) -> bool:
        if position + 1 >= len(listed):
            return False
        here, then = listed[position].session.endpoint.base, listed[position + 1].session.endpoint.base
        return then == here.replace("https://", "http://", 1) != here

    def session(self, source: Source) -> Session:
        """One for each endpoint. The user's credentials go to the image's own registry, not to its
        mirrors.
        """
        with self._lock:
            session = self._sessions.get(source.endpoint.base)
            if session is None:
                who = Credentials() if source.endpoint.mirror else self._credentials
                session = self._sessions[source.endpoint.base] = Session(
                    self.connections,
                    source.endpoint,
                    who,
                    self._registries.tokens,
                    first_pause_s=self._registries.first_pause_s,
                    unfinished=self._registries.unfinished,
                    attempts=self.settings.attempts,
                )
            return session

    def cancel(self) -> None:
        self.connections.cancel()


def _was_tls_trouble(failure: Exception | None) -> bool:
    return isinstance(failure, Unreachable) and "x509" in failure.message
