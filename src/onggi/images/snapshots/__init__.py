"""Directory trees of layers and containers; see protocol.py for their life."""

from __future__ import annotations

from onggi.images.snapshots.protocol import Mount, Snapshots, Usage

__all__ = ["Mount", "Snapshots", "Usage"]
