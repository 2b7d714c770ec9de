"""Networks and endpoints of the Engine API, as JSON (engine-api 1.55)."""

from __future__ import annotations

from msgspec import field

from onggi.wire.base import Wire


class PortBinding(Wire, frozen=True, kw_only=True):
    host_ip: str = field(name="HostIp", default="")
    host_port: str = field(name="HostPort", default="")


class EndpointIPAMConfig(Wire, frozen=True, kw_only=True):
    OMIT = ("ipv4_address", "ipv6_address", "link_local_ips")

    ipv4_address: str = field(name="IPv4Address", default="")
    ipv6_address: str = field(name="IPv6Address", default="")
    link_local_ips: list[str] = field(name="LinkLocalIPs", default_factory=list)


class EndpointSettings(Wire, frozen=True, kw_only=True):
    NULL = ("links", "aliases", "driver_opts", "dns_names")

    ipam_config: EndpointIPAMConfig | None = field(name="IPAMConfig", default=None)
    links: list[str] = field(name="Links", default_factory=list)
    mac_address: str = field(name="MacAddress", default="")
    aliases: list[str] = field(name="Aliases", default_factory=list)
    driver_opts: dict[str, str] = field(name="DriverOpts", default_factory=dict)
    gw_priority: int = field(name="GwPriority", default=0)
    network_id: str = field(name="NetworkID", default="")
    endpoint_id: str = field(name="EndpointID", default="")
    gateway: str = field(name="Gateway", default="")
    ip_address: str = field(name="IPAddress", default="")
    ip_prefix_len: int = field(name="IPPrefixLen", default=0)
    ipv6_gateway: str = field(name="IPv6Gateway", default="")
    global_ipv6_address: str = field(name="GlobalIPv6Address", default="")
    global_ipv6_prefix_len: int = field(name="GlobalIPv6PrefixLen", default=0)
    dns_names: list[str] = field(name="DNSNames", default_factory=list)


class NetworkingConfig(Wire, frozen=True, kw_only=True):
    endpoints_config: dict[str, EndpointSettings] = field(name="EndpointsConfig", default_factory=dict)


class IPAMConfig(Wire, frozen=True, kw_only=True):
    OMIT = ("subnet", "ip_range", "gateway", "auxiliary_addresses")

    subnet: str = field(name="Subnet", default="")
    ip_range: str = field(name="IPRange", default="")
    gateway: str = field(name="Gateway", default="")
    auxiliary_addresses: dict[str, str] = field(name="AuxiliaryAddresses", default_factory=dict)


class IPAM(Wire, frozen=True, kw_only=True):
    NULL = ("options",)

    driver: str = field(name="Driver", default="")
    config: list[IPAMConfig] = field(name="Config", default_factory=list)
    options: dict[str, str] = field(name="Options", default_factory=dict)


class ConfigReference(Wire, frozen=True, kw_only=True):
    network: str = field(name="Network", default="")


class PeerInfo(Wire, frozen=True, kw_only=True):
    name: str = field(name="Name", default="")
    ip: str = field(name="IP", default="")


class Network(Wire, frozen=True, kw_only=True):
    OMIT = ("peers",)

    name: str = field(name="Name", default="")
    id: str = field(name="Id", default="")
    created: str = field(name="Created", default="")
    scope: str = field(name="Scope", default="")
    driver: str = field(name="Driver", default="")
    enable_ipv4: bool = field(name="EnableIPv4", default=False)
    enable_ipv6: bool = field(name="EnableIPv6", default=False)
    ipam: IPAM = field(name="IPAM", default_factory=IPAM)
    internal: bool = field(name="Internal", default=False)
    attachable: bool = field(name="Attachable", default=False)
    ingress: bool = field(name="Ingress", default=False)
    config_from: ConfigReference = field(name="ConfigFrom", default_factory=ConfigReference)
    config_only: bool = field(name="ConfigOnly", default=False)
    options: dict[str, str] = field(name="Options", default_factory=dict)
    labels: dict[str, str] = field(name="Labels", default_factory=dict)
    peers: list[PeerInfo] = field(name="Peers", default_factory=list)


class EndpointResource(Wire, frozen=True, kw_only=True):
    name: str = field(name="Name", default="")
    endpoint_id: str = field(name="EndpointID", default="")
    mac_address: str = field(name="MacAddress", default="")
    ipv4_address: str = field(name="IPv4Address", default="")
    ipv6_address: str = field(name="IPv6Address", default="")


class SubnetStatus(Wire, frozen=True, kw_only=True):
    ips_in_use: int = field(name="IPsInUse", default=0)
    dynamic_ips_available: int = field(name="DynamicIPsAvailable", default=0)


class IPAMStatus(Wire, frozen=True, kw_only=True):
    subnets: dict[str, SubnetStatus] = field(name="Subnets", default_factory=dict)


class NetworkStatus(Wire, frozen=True, kw_only=True):
    ipam: IPAMStatus = field(name="IPAM", default_factory=IPAMStatus)


class NetworkInspect(Wire, frozen=True, kw_only=True):
    OMIT = ("peers", "services", "status")

    name: str = field(name="Name", default="")
    id: str = field(name="Id", default="")
    created: str = field(name="Created", default="")
    scope: str = field(name="Scope", default="")
    driver: str = field(name="Driver", default="")
    enable_ipv4: bool = field(name="EnableIPv4", default=False)
    enable_ipv6: bool = field(name="EnableIPv6", default=False)
    ipam: IPAM = field(name="IPAM", default_factory=IPAM)
    internal: bool = field(name="Internal", default=False)
    attachable: bool = field(name="Attachable", default=False)
    ingress: bool = field(name="Ingress", default=False)
    config_from: ConfigReference = field(name="ConfigFrom", default_factory=ConfigReference)
    config_only: bool = field(name="ConfigOnly", default=False)
    options: dict[str, str] = field(name="Options", default_factory=dict)
    labels: dict[str, str] = field(name="Labels", default_factory=dict)
    peers: list[PeerInfo] = field(name="Peers", default_factory=list)
    containers: dict[str, EndpointResource] = field(name="Containers", default_factory=dict)
    services: dict[str, object] = field(name="Services", default_factory=dict)
    status: NetworkStatus | None = field(name="Status", default=None)


class NetworkCreateRequest(Wire, frozen=True, kw_only=True):
    """Body of POST /networks/create."""

    name: str = field(name="Name", default="")
    driver: str = field(name="Driver", default="")
    scope: str = field(name="Scope", default="")
    check_duplicate: bool = field(name="CheckDuplicate", default=False)  # always so since 1.44
    internal: bool = field(name="Internal", default=False)
    attachable: bool = field(name="Attachable", default=False)
    ingress: bool = field(name="Ingress", default=False)
    config_only: bool = field(name="ConfigOnly", default=False)
    config_from: ConfigReference | None = field(name="ConfigFrom", default=None)
    ipam: IPAM | None = field(name="IPAM", default=None)
    enable_ipv4: bool | None = field(name="EnableIPv4", default=None)
    enable_ipv6: bool | None = field(name="EnableIPv6", default=None)
    options: dict[str, str] = field(name="Options", default_factory=dict)
    labels: dict[str, str] = field(name="Labels", default_factory=dict)


class NetworkCreateResponse(Wire, frozen=True, kw_only=True):
    id: str = field(name="Id", default="")
    warning: str = field(name="Warning", default="")


class NetworkConnectRequest(Wire, frozen=True, kw_only=True):
    container: str = field(name="Container", default="")
    endpoint_config: EndpointSettings | None = field(name="EndpointConfig", default=None)


class NetworkDisconnectRequest(Wire, frozen=True, kw_only=True):
    container: str = field(name="Container", default="")
    force: bool = field(name="Force", default=False)


class NetworksPruneResponse(Wire, frozen=True, kw_only=True):
    """Answer of POST /networks/prune."""

    NULL = ("networks_deleted",)
    OMIT = ("dry_run",)

    networks_deleted: list[str] = field(name="NetworksDeleted", default_factory=list)
    dry_run: bool = field(name="DryRun", default=False)  # Onggi's own: nothing was removed
