"""`onggi image bootstrap`: a distribution's root file system, made on this machine, as an image."""

from __future__ import annotations

import os
import secrets
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from onggi.engine.images.lines import lines
from onggi.engine.streams import Write
from onggi.images.bootstrap import bootstrap as make_root
from onggi.images.commit import pack_tree, packed
from onggi.images.import_ import import_
from onggi.images.progress import Progress
from onggi.images.tag import target
from onggi.spec.image import Config

if TYPE_CHECKING:
    from onggi.engine.engine import Engine

PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


async def bootstrap(engine: Engine, distribution: str) -> AsyncIterator[bytes]:
    """`debian:bookworm` becomes the image of that name. Raises InvalidParameter, Unavailable, System."""
    named = target(distribution)

    def work(write: Write) -> None:
        directory = f"{engine.images.trash.path}/bootstrap-{secrets.token_hex(4)}"
        os.mkdir(directory, 0o755)
        try:
            make_root(distribution, directory, progress=lambda line: write(Progress(status=line).encode()))
            image_id = import_(
                engine.images,
                packed(lambda pipe: pack_tree(directory, pipe)),
                name=str(named),
                message=f"Bootstrapped {distribution}",
                config=Config(env=[PATH], cmd=["bash"]),
            )
        finally:
            engine.images.trash.discard(directory)
        write(Progress(status=f"Loaded image: {named.familiar}").encode())
        write(Progress(status=image_id).encode())

    stream = await lines(work)
    engine.events.emit("image", "import", named.familiar, {"name": named.familiar})
    return stream
