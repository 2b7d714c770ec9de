"""What the planner has to know of images: their configuration, by reference."""

from __future__ import annotations

from typing import Protocol

import msgspec

from onggi.spec.image import Image
from onggi.spec.platform import Platform


class Base(msgspec.Struct, frozen=True, kw_only=True):
    """`reference` is canonical and holds the digest of the manifest that will be used."""

    reference: str
    image: Image


class Bases(Protocol):
    """Resolves references; asked for all images of a build at the same time, once for each. Raises
    NotFound with the registry's words.
    """

    async def image(self, reference: str, platform: Platform, resolve: str) -> Base:
        """`reference` is canonical, with a tag or a digest; `resolve` as in ImageSource."""

    async def oci_layout(self, store: str, reference: str, platform: Platform) -> Base:
        """An image out of a layout at the client."""
