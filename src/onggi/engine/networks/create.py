"""Create a network.

    validate -> subnets chosen -> row -> link and rules on the host

Commit point: the row. What fails after it takes the row away again; a crash leaves a row whose link is made
when a container joins. Failpoints: network.row-written, network.made.
"""

from __future__ import annotations

import ipaddress
import re
import secrets
from typing import TYPE_CHECKING

import msgspec

from onggi import failpoints
from onggi.engine.clock import now, rfc3339
from onggi.engine.networks import bandwidth, bridge_options
from onggi.engine.networks import live as lives
from onggi.engine.networks.table import PREDEFINED
from onggi.errors import Conflict, Forbidden, InvalidParameter, NotFound
from onggi.network import ipvlan, macvlan, parents
from onggi.network.addresses import first_host
from onggi.wire.networks import (
    IPAM,
    ConfigReference,
    IPAMConfig,
    Network,
    NetworkCreateRequest,
    NetworkCreateResponse,
)

if TYPE_CHECKING:
    from onggi.engine.engine import Engine

_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*\Z")
OVERLAP = "invalid pool request: Pool overlaps with other one on this address space"


async def create(engine: Engine, request: NetworkCreateRequest) -> NetworkCreateResponse:
    """Raises InvalidParameter, Forbidden (predefined, overlap), Conflict (the name is taken), NotFound
    (driver, configuration), Unavailable (pools), System.
    """
    network = await engine.offload(_create, engine, request)
    engine.events.emit("network", "create", network.id, {"name": network.name, "type": network.driver})
    return NetworkCreateResponse(id=network.id)


def _create(engine: Engine, request: NetworkCreateRequest) -> Network:
    request = _with_configuration(engine, _with_defaults(engine, request))
    _check(request)
    networks = engine.networks
    with networks.placing:
        if any(network.name == request.name for network in networks.all()):
            raise Conflict(f"network with name {request.name} already exists")
        _refuse_parent(networks.all(), request)
        created = now()
        network = Network(
            name=request.name,
            id=secrets.token_hex(32),
            created=rfc3339(created),
            scope="local",
            driver="null" if request.config_only else request.driver or "bridge",
            enable_ipv4=request.enable_ipv4 is not False,
            enable_ipv6=bool(request.enable_ipv6),
            internal=request.internal,
            attachable=request.attachable,
            config_from=request.config_from or ConfigReference(),
            config_only=request.config_only,
            options=request.options,
            labels=request.labels,
            ipam=_ipam(engine, request),
        )
        networks.insert(network, created)
    failpoints.hit("network.row-written")
    if not network.config_only:
        try:
            networks.live(network)
        except BaseException:
            networks.delete(network)
            raise
    failpoints.hit("network.made")
    return network


def _with_defaults(engine: Engine, request: NetworkCreateRequest) -> NetworkCreateRequest:
    """The daemon's default-network-opts for the driver, under what the request says."""
    defaults = engine.config.default_network_options.get(request.driver or "bridge", {})
    if not defaults or request.config_only or request.config_from is not None:
        return request
    return msgspec.structs.replace(request, options={**defaults, **request.options})


def _with_configuration(engine: Engine, request: NetworkCreateRequest) -> NetworkCreateRequest:
    """--config-from: addresses, options and switches of a configuration-only network."""
    if request.config_from is None or not request.config_from.network:
        return request
    if request.config_only:
        raise InvalidParameter("a configuration network cannot depend on another configuration network")
    source = engine.networks.get(request.config_from.network)
    if not source.config_only:
        raise Forbidden(f"configuration network {source.name} is not a configuration network")
    if (request.ipam is not None and request.ipam.config) or request.options or request.internal:
        raise Forbidden(
            "user specified configurations are not supported if the network depends on a configuration "
            "network"
        )
    return msgspec.structs.replace(
        request,
        ipam=source.ipam,
        options=source.options,
        internal=source.internal,
        enable_ipv4=source.enable_ipv4,
        enable_ipv6=source.enable_ipv6,
        labels={**source.labels, **request.labels},
    )


def _check(request: NetworkCreateRequest) -> None:
    name, driver = request.name, request.driver or "bridge"
    if not name.strip():
        raise InvalidParameter("invalid name: name is empty")
    if name in PREDEFINED or name == "default":
        raise Forbidden(f"operation is not permitted on predefined {name} network ")
    if not _NAME.match(name):
        raise InvalidParameter(f"invalid network name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed")
    if request.ingress or request.scope == "swarm" or driver == "overlay":
        raise InvalidParameter(
            'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect '
            "this node to swarm and try again."
        )
    if driver in ("host", "null"):
        raise Forbidden(f'only one instance of "{driver}" network is allowed')
    if driver not in lives.DRIVERS:
        raise NotFound(f'could not find plugin {driver} in v1 plugin registry: plugin "{driver}" not found')
    if request.enable_ipv4 is False and not request.enable_ipv6:
        raise InvalidParameter("IPv4 or IPv6 must be enabled")
    if request.ipam is not None and request.ipam.driver not in ("", "default"):
        raise NotFound(f"could not find plugin {request.ipam.driver} in v1 plugin registry: not found")
    _options(request, driver)


def _options(request: NetworkCreateRequest, driver: str) -> None:
    options = request.options
    if driver == "macvlan":
        macvlan.check_mode(options.get("macvlan_mode") or "bridge")
    if driver == "ipvlan":
        ipvlan.check(options.get("ipvlan_mode") or "l2", options.get("ipvlan_flag") or "bridge")
    if driver in ("macvlan", "ipvlan"):
        parents.check(driver, options.get(lives.PARENT, ""))
    bandwidth.check(driver, request.name, options)
    bridge_options.check(options, internal=request.internal)


def _refuse_parent(others: list[Network], request: NetworkCreateRequest) -> None:
    """A link that is passed through, or has ipvlan's one mode, is one network's alone. Raises Forbidden."""
    parent, driver = request.options.get(lives.PARENT), request.driver
    for other in others if parent and not request.config_only else ():
        if other.config_only or other.options.get(lives.PARENT) != parent:
            continue
        passthru = "passthru" in (request.options.get("macvlan_mode"), other.options.get("macvlan_mode"))
        if driver != "macvlan" or other.driver != "macvlan" or passthru:
            raise Forbidden(f"network {other.name} is already using parent interface {parent}")


def _ipam(engine: Engine, request: NetworkCreateRequest) -> IPAM:
    """The addresses of the new network, chosen where the request leaves them open."""
    asked = request.ipam or IPAM()
    wanted = {4: request.enable_ipv4 is not False, 6: bool(request.enable_ipv6)}
    if request.config_only:
        return msgspec.structs.replace(asked, driver=asked.driver or "default")
    found: list[IPAMConfig] = []
    for item in asked.config:
        found += [_checked(engine, item)] if item.subnet else []
    families = [ipaddress.ip_network(item.subnet).version for item in found]
    if 6 in families and not wanted[6]:
        found = [item for item in found if ipaddress.ip_network(item.subnet).version == 4]
    for version in (4, 6):
        if len([one for one in families if one == version]) > 1 and request.driver in ("", "bridge"):
            raise Forbidden(f"bridge driver doesn't support multiple IPv{version} subnets")
        if wanted[version] and version not in families:
            free = str(engine.networks.choose(version))
            given = next((item for item in asked.config if not item.subnet and item.gateway), IPAMConfig())
            found.append(
                IPAMConfig(subnet=free, gateway=given.gateway or first_host(ipaddress.ip_network(free)))
            )
    for item in found:
        _refuse_overlap(engine, item.subnet)
    return IPAM(driver=asked.driver or "default", config=found, options=asked.options)


def _checked(engine: Engine, item: IPAMConfig) -> IPAMConfig:
    """One configuration with its gateway. Raises InvalidParameter in Docker's words."""
    subnet = _subnet(item.subnet)
    if item.ip_range:
        inner = _subnet(item.ip_range)
        first, last = inner[0], inner[-1]
        if inner.version != subnet.version or first not in subnet or last not in subnet:
            raise InvalidParameter(
                f"invalid network config:\ninvalid ip-range {item.ip_range}: "
                f"parent subnet {subnet} doesn't contain ip-range"
            )
    inside = {
        "gateway": item.gateway,
        **{f"auxiliary address {k}": v for k, v in item.auxiliary_addresses.items()},
    }
    for what, text in inside.items():
        if text and _parsed(what, text) not in subnet:
            raise InvalidParameter(
                f"invalid network config:\ninvalid {what} {text}: "
                f"parent subnet {subnet} doesn't contain this address"
            )
    gateway = item.gateway or first_host(_subnet(item.ip_range) if item.ip_range else subnet)
    return msgspec.structs.replace(item, subnet=str(subnet), gateway=gateway)


def _subnet(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    try:
        found = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise InvalidParameter(
            f"invalid network config:\ninvalid subnet {text}: invalid CIDR block notation"
        ) from None
    if str(found) != text and ":" not in text:
        raise InvalidParameter(f"invalid network config:\ninvalid subnet {text}: it should be {found}")
    return found


def _parsed(what: str, text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        raise InvalidParameter(f"invalid network config:\ninvalid {what} {text}: invalid address") from None


def _refuse_overlap(engine: Engine, subnet: str) -> None:
    """Other networks of ours, and links of the host that have an address in it."""
    wanted = ipaddress.ip_network(subnet)
    for base, prefix in engine.networks.subnets():
        other = ipaddress.ip_network(f"{base}/{prefix}")
        if other.version == wanted.version and other.overlaps(wanted):
            raise Forbidden(OVERLAP)
