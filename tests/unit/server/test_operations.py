"""The routing table: every handler exists, and no operation is there twice."""

from __future__ import annotations

from onggi.server.operations import TABLE
from onggi.server.router import Router


def test_every_handler_can_be_resolved() -> None:
    router = Router(TABLE)
    for _, _, handler in TABLE:
        assert callable(router.resolve(handler)), handler


def test_no_operation_is_there_twice() -> None:
    assert len({entry[:2] for entry in TABLE}) == len(TABLE)
