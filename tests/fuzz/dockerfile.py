"""The target of fuzzing: bytes as a Dockerfile, as words and as ignore patterns; each ends in a value or
a reason.
"""

from __future__ import annotations

from onggi.builder.dockerfile import expansion, typed
from onggi.builder.dockerfile.checks import Checks
from onggi.builder.dockerfile.errors import DockerfileError
from onggi.errors import InvalidParameter
from onggi.spec import dockerignore

ENV = {"A": "a/b.c", "B": ""}


def one(data: bytes) -> None:
    """Any exception that leaves this is a bug."""
    text = data.decode("utf-8", "replace")
    try:
        typed.read(data, files={"a": data}, checks=Checks())
    except DockerfileError as error:
        assert error.message and isinstance(error.excerpt, str)
    try:
        expansion.expand(text, ENV)
    except expansion.Failed as error:
        assert str(error)
    try:
        dockerignore.Matcher(dockerignore.read(data)).excludes("a/b.c")
    except InvalidParameter as error:
        assert error.message
