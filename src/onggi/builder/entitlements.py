"""What steps of a build may ask for beyond the ordinary: the host's network, all privileges, devices.

    --allow network.host | security.insecure | device | device=NAME[,alias=OTHER]

The client allows it for one build, and only what the engine's configuration lets be allowed (daemon.json,
`builder.entitlements`; Docker's defaults: not security.insecure). All steps that a build needs are looked at
before the first of them runs or is taken from the cache. Source: BuildKit v0.22 util/entitlements,
solver/llbsolver/vertex.go, solver/llbsolver/cdidevices.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import msgspec

from onggi.builder.graph import CdiDevice, Exec, Vertex
from onggi.errors import Forbidden, InvalidParameter, NotFound
from onggi.spec.truth import TRUE

if TYPE_CHECKING:
    from onggi.engine.cdi.catalog import Catalog, Found

NETWORK_HOST, SECURITY_INSECURE, DEVICE = "network.host", "security.insecure", "device"
ALL = (NETWORK_HOST, SECURITY_INSECURE, DEVICE)
CLASS = "org.mobyproject.buildkit.device.class"
AUTO_ALLOW = "org.mobyproject.buildkit.device.autoallow"


class Entitlements(msgspec.Struct, frozen=True, kw_only=True):
    """`devices` are names, as --device has them, and what they stand for where that is another name."""

    network_host: bool = False
    security_insecure: bool = False
    all_devices: bool = False
    devices: tuple[tuple[str, str], ...] = ()


def parse(texts: Iterable[str], granted: Iterable[str]) -> Entitlements:
    """What a client allows, of what the engine lets be allowed. Raises InvalidParameter, Forbidden."""
    names: set[str] = set()
    devices: list[tuple[str, str]] = []
    every = False
    for text in texts:
        name, equals, rest = text.partition("=")
        if name not in ALL or (equals and name != DEVICE):
            raise InvalidParameter(f"unknown entitlement {text}")
        if name not in granted:
            raise Forbidden(f"granting entitlement {name} is not allowed by build daemon configuration")
        names.add(name)
        if name == DEVICE:
            every = every or not rest
            devices += [_device(rest)] if rest else []
    return Entitlements(
        network_host=NETWORK_HOST in names, security_insecure=SECURITY_INSECURE in names,
        all_devices=every, devices=tuple(devices),
    )  # fmt: skip


def _device(text: str) -> tuple[str, str]:
    """NAME[,alias=OTHER]: where a step says OTHER, it gets NAME."""
    try:
        fields = [field for row in csv.reader([text]) for field in row]
    except csv.Error as error:
        raise InvalidParameter(f"invalid device config {text!r}: {error}") from None
    alias = ""
    for field in fields[1:]:
        key, equals, value = field.partition("=")
        if not equals:
            raise InvalidParameter(f"invalid device config {field!r}")
        if key != "alias":
            raise InvalidParameter(f"unknown device config key {key!r}")
        alias = value
    return (alias, fields[0]) if alias else (fields[0], "")


def within(wanted: Entitlements, granted: Iterable[str]) -> Entitlements:
    """What an earlier build was allowed, as far as the engine lets it be allowed now."""
    names = set(granted)
    return Entitlements(
        network_host=wanted.network_host and NETWORK_HOST in names,
        security_insecure=wanted.security_insecure and SECURITY_INSECURE in names,
        all_devices=wanted.all_devices and DEVICE in names,
        devices=wanted.devices if DEVICE in names else (),
    )


def check(entitlements: Entitlements, vertices: Iterable[Vertex]) -> bool:
    """Raises Forbidden for the first step that asks for more. True where a step asks for devices."""
    devices = False
    for vertex in vertices:
        op = vertex.op
        if not isinstance(op, Exec):
            continue
        for name, wanted, allowed in (
            (NETWORK_HOST, op.network == "host", entitlements.network_host),
            (SECURITY_INSECURE, op.security == "insecure", entitlements.security_insecure),
        ):
            if wanted and not allowed:
                raise Forbidden(f"{name} is not allowed")
        devices = devices or bool(op.devices)
    return devices


def devices(entitlements: Entitlements, asked: Sequence[CdiDevice], catalog: Catalog) -> list[str]:
    """The devices that a step gets, by qualified name. Raises NotFound for a required one that there is not,
    Forbidden.
    """
    aliases = {name: other for name, other in entitlements.devices if other}
    found: list[str] = []
    for one in asked:
        if one.name in aliases:
            found += _known(CdiDevice(aliases[one.name], one.optional), catalog)
            continue
        names = _known(one, catalog)
        forbidden = [name for name in names if not _allowed(entitlements, name, catalog)]
        if forbidden:
            what = (
                f"device {forbidden[0]} is" if len(forbidden) == 1 else f"devices {', '.join(forbidden)} are"
            )
            raise Forbidden(f"{what} requested by the build but not allowed")
        found += names
    return list(dict.fromkeys(found))


def _allowed(entitlements: Entitlements, name: str, catalog: Catalog) -> bool:
    if entitlements.all_devices or _annotations(catalog.devices[name]).get(AUTO_ALLOW) in TRUE:
        return True
    granted = [one for one, other in entitlements.devices if not other]
    return any(name in _named(one, catalog) for one in granted)


def _known(one: CdiDevice, catalog: Catalog) -> list[str]:
    names = _named(one.name, catalog)
    if not names and not one.optional:
        raise NotFound(f'required device "{one.name}" is not registered')
    return names


def _named(name: str, catalog: Catalog) -> list[str]:
    """vendor.com/class=NAME; without a NAME the first device, for `*` all; or a class by annotation."""
    kind, _, device = name.partition("=")
    found = []
    if "/" in kind:
        of_kind = [one for one in catalog.devices if one.startswith(f"{kind}=")]
        found = {"": of_kind[:1], "*": of_kind}.get(device, [one for one in of_kind if one == name])
    return found or [one for one, has in catalog.devices.items() if _annotations(has).get(CLASS) == name]


def _annotations(found: Found) -> dict[str, str]:
    return {**(found.spec.annotations or {}), **(found.device.annotations or {})}
