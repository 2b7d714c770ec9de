"""Options of json-file that choose by regular expression, on a dockerd and on ours."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.engines import BUSYBOX, Engine

pytestmark = [pytest.mark.root, pytest.mark.peer]


@pytest.fixture(autouse=True)
def clean(onggi: Engine, dockerd: Engine) -> Iterator[None]:
    yield
    for engine in (onggi, dockerd):
        engine.remove_all()


def _logged(engine: Engine, *options: str) -> str:
    """The one line of a container's log, with its attributes."""
    words = ("--network", "none", "--label", "com.a=1", "--label", "org.a=2", "-e", "AB=3", "-e", "CD=4")
    engine.docker("run", "--name", "log", *words, *options, BUSYBOX, "echo", "x")
    try:
        return engine.docker("logs", "--details", "log")
    finally:
        engine.docker("rm", "log")


@pytest.mark.parametrize(
    "options",
    [
        ("labels-regex=^com\\.",),
        ("env-regex=^(AB|X)$",),
        ("labels-regex=.", "env-regex=[[:alpha:]]D", "labels=org.a"),
        ("env-regex=(?i)ab$",),
        ("env-regex=^$",),
        ("labels-regex=",),
    ],
)
def test_attributes_by_expression(onggi: Engine, dockerd: Engine, options: tuple[str, ...]) -> None:
    flags = [word for option in options for word in ("--log-opt", option)]
    assert _logged(onggi, *flags) == _logged(dockerd, *flags)


def test_what_is_no_expression_is_refused(onggi: Engine) -> None:
    """When the container is made; dockerd says it when it starts."""
    done = onggi.run("docker", "create", "--log-opt", "env-regex=(", BUSYBOX, check=False)
    assert done.returncode == 1
    assert "log opt 'env-regex': error parsing regexp: missing closing )" in done.stderr
