"""Flags of `volume create` that make a volume of a cluster, and the specification that they are sent as."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from onggi.cli.flags import Flags

FLAGS = (
    ("availability", "", "string", "active", 'Whether the cluster may use it ("active", "pause", "drain")'),
    ("group", "", "string", "", "Group of the cluster's volumes"),
    ("limit-bytes", "", "bytes", 0, "Largest size"),
    ("required-bytes", "", "bytes", 0, "Smallest size"),
    ("scope", "", "string", "single", 'How many nodes at once ("single", "multi")'),
    ("secret", "", "map", "map[]", "Secret for the cluster's driver"),
    ("sharing", "", "string", "none", 'How it is shared ("none", "readonly", "onewriter", "all")'),
    ("topology-preferred", "", "list", None, "Where it should be reached"),
    ("topology-required", "", "list", None, "Where it must be reached"),
    ("type", "", "string", "block", 'How it is used ("mount", "block")'),
)
MEAN_A_CLUSTER = frozenset(flag[0] for flag in FLAGS)  # Docker's client forgets --secret and the topologies


def specification(flags: Flags) -> dict[str, Any] | None:
    """ClusterVolumeSpec, or None where no flag asks for a cluster."""
    if not MEAN_A_CLUSTER & set(flags.given):
        return None
    access: dict[str, Any] = {"Scope": flags["scope"], "Sharing": flags["sharing"]}
    if flags["type"] in ("mount", "block"):
        access[f"{flags['type'].title()}Volume"] = {}
    return {
        "Group": flags["group"],
        "AccessMode": access,
        "Availability": flags["availability"],
        "CapacityRange": {"RequiredBytes": flags["required-bytes"], "LimitBytes": flags["limit-bytes"]},
        "Secrets": [{"Key": key, "Secret": value} for key, value in sorted(dict(flags["secret"]).items())],
        "AccessibilityRequirements": {
            "Requisite": _topologies(flags["topology-required"]),
            "Preferred": _topologies(flags["topology-preferred"]),
        },
    }


def _topologies(words: list[str]) -> list[dict[str, dict[str, str]]]:
    return [{"Segments": dict(part.partition("=")[::2] for part in word.split(","))} for word in words]
