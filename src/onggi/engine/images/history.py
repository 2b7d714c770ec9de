"""`docker history`: the steps that made an image, newest first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onggi.images.resolve import resolve
from onggi.spec import image as documents
from onggi.spec import platform as platforms
from onggi.spec import timestamp
from onggi.wire.images import ImageHistoryResponseItem

if TYPE_CHECKING:
    from onggi.engine.engine import Engine


async def history(engine: Engine, name: str, *, platform: str = "") -> list[ImageHistoryResponseItem]:
    """Raises NoSuchImage, NotFound, InvalidParameter."""
    wanted = platforms.parse_json(platform) if platform else None
    return await engine.offload(_history, engine, name, wanted)


def _history(engine: Engine, name: str, wanted: platforms.Platform | None) -> list[ImageHistoryResponseItem]:
    """Steps without a layer have no size; layers without a step (some builders write none) are shown too."""
    image = resolve(engine.images, name, wanted)
    sizes = [layer.size for layer in image.layers]
    steps = list(image.document.history or [])
    missing = len(sizes) - sum(not step.empty_layer for step in steps)
    steps += [documents.History(created=image.document.created)] * max(0, missing)
    items: list[ImageHistoryResponseItem] = []
    remaining = iter(sizes)
    for step in steps:
        items.append(
            ImageHistoryResponseItem(
                id="<missing>",
                created=timestamp.parse(step.created or "") // 1_000_000_000,
                created_by=step.created_by or "",
                comment=step.comment or "",
                size=0 if step.empty_layer else next(remaining, 0),
            )
        )
    top = items.pop() if items else ImageHistoryResponseItem()
    named = ImageHistoryResponseItem(
        id=image.id,
        created=top.created,
        created_by=top.created_by,
        comment=top.comment,
        size=top.size,
        tags=image.repo_tags,
    )
    return [named, *reversed(items)]
