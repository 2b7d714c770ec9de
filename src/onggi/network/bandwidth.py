"""How fast a container may receive and send, held on the host's end of its pair, out of its reach.

    in    a token bucket (tbf) on og<endpoint>: what the host sends there is what the container receives
    out   what og<endpoint> receives goes by way of oi<endpoint>, an ifb with a token bucket, and back

The ifb bears the engine's name as its alias. It does not go with the container's namespace: `clear` removes
it at the end of the run, `orphans` after a crash. Blocking; every function is idempotent.
"""

from __future__ import annotations

import errno
import re

import msgspec

from onggi.errors import InvalidParameter, System
from onggi.kernel.netlink import Route
from onggi.kernel.traffic import Traffic

IN, OUT = "bandwidth-in", "bandwidth-out"  # options of an endpoint, and of a bridge network for all its own
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_RATE = re.compile(r"(\d{1,12}(?:\.\d{1,6})?)(?:([kmgt]?)bit)?(?:/s|ps)?", re.ASCII | re.IGNORECASE)
_LEAST = 8000  # bits a second: below it a packet of the usual size takes more than a second


class Bandwidth(msgspec.Struct, frozen=True):
    """Limits in bits a second, as the container sees them; 0 is none."""

    receive: int = 0
    send: int = 0


def parse(option: str, text: str) -> int:
    """`10mbit`, `1.5gbit`, `500kbit/s` in bits a second; `0` and the empty text are no limit.

    Units are powers of 1000, as tc(8) has them. Raises InvalidParameter.
    """
    found = _RATE.fullmatch(text.strip())
    if text.strip() in ("", "0"):
        return 0
    if found is None or found[2] is None:
        raise InvalidParameter(f"invalid {option}: '{text}': a rate in bits, such as 10mbit")
    rate = int(float(found[1]) * _UNITS[found[2].lower()])
    if rate and not _LEAST <= rate <= 10**12:
        raise InvalidParameter(f"invalid {option}: '{text}': from 8kbit to 1tbit")
    return rate


def from_options(*layers: dict[str, str]) -> Bandwidth:
    """Of driver options, the later ones over the earlier. Raises InvalidParameter."""
    options = {key: value for layer in layers for key, value in layer.items()}
    return Bandwidth(receive=parse(IN, options.get(IN, "")), send=parse(OUT, options.get(OUT, "")))


def apply(host_name: str, wanted: Bandwidth, owner: str) -> None:
    """Hold the host's end of a pair to `wanted`. Raises System (what the kernel lacks), OSError."""
    with Traffic() as traffic:
        link = traffic.link(host_name)
        if link is None:
            raise OSError(errno.ENODEV, "limit of its traffic", host_name)
        try:
            if wanted.receive:
                traffic.shape(link.index, wanted.receive)
            else:
                traffic.unshape(link.index)
            if wanted.send:
                _shape_sent(traffic, link.index, _ifb(host_name), wanted.send, owner)
            else:
                traffic.undivert(link.index)
                traffic.remove_link(_ifb(host_name))
        except OSError as error:
            if error.errno in (errno.EOPNOTSUPP, errno.ENOENT):
                raise System(
                    "limits of bandwidth need sch_tbf, sch_ingress, cls_u32, act_mirred and ifb of Linux: "
                    f"{error.filename}: {error.strerror}"
                ) from None
            raise


def _shape_sent(traffic: Traffic, link: int, name: str, rate: int, owner: str) -> None:
    try:
        traffic.add_ifb(name)
    except FileExistsError:
        pass  # a change of the rate, or a former engine's
    ifb = traffic.link(name)
    if ifb is None:
        raise OSError(errno.ENODEV, "limit of its traffic", name)
    traffic.set_alias(ifb.index, owner)
    traffic.shape(ifb.index, rate)
    traffic.divert(link, ifb.index)


def clear(host_name: str) -> None:
    """What does not go with the pair itself; gone already is no fault."""
    with Route() as route:
        route.remove_link(_ifb(host_name))


def orphans(owner: str, host_names: set[str]) -> list[str]:
    """Remove this engine's ifbs whose pair is not among `host_names`; their names.

    One that has no alias yet is somebody's as long as its pair is there.
    """
    kept = {_ifb(name) for name in host_names}
    with Route() as route:
        links = route.links()
        there = {_ifb(link.name) for link in links if link.name.startswith("og")}
        lost = [
            link.name
            for link in links
            if link.kind == "ifb" and link.name.startswith("oi") and link.name not in kept
            if link.alias == owner or (not link.alias and link.name not in there)
        ]
        for name in lost:
            route.remove_link(name)
    return lost


def _ifb(host_name: str) -> str:
    return f"oi{host_name.removeprefix('og')}"
