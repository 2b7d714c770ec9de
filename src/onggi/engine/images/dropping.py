"""drop-packed-layers: what a verb brought is kept once, unpacked. After the verb's commit point."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING

from onggi.errors import OnggiError
from onggi.images import elsewhere

if TYPE_CHECKING:
    from onggi.engine.engine import Engine

log = logging.getLogger(__name__)


def drop_packed(engine: Engine, image_ids: Iterable[str], name: str = "") -> None:
    """`name`: by digest, where a registry has the layers and gives them without credentials.

    The images are here, so nothing is raised; a layer that cannot be dropped stays, and the log says why.
    """
    if not engine.config.drop_packed_layers:
        return
    for image_id in image_ids:
        try:
            image = engine.images.get(image_id)
            if image is not None and not image.artifact:
                elsewhere.drop(engine.images, image, name)
        except (OnggiError, OSError) as error:
            log.warning("packed layers of image %s stay: %s", image_id, error)
