"""Events reach whoever asked for them, however slowly he takes them."""

from __future__ import annotations

import asyncio

from onggi.engine.events import Events


async def test_what_happens_while_a_client_takes_an_event_is_told_next() -> None:
    events = Events()
    told = events.subscribe(since=1)
    for name in ("one", "two"):
        events.emit("volume", "create", name)
    assert (await anext(told)).actor.id == "one"
    events.emit("volume", "create", "three")
    assert (await anext(told)).actor.id == "two"
    async with asyncio.timeout(30):
        assert (await anext(told)).actor.id == "three"
