"""What the engine was told when it started: one frozen value, parsed once, passed down.

The daemon's command line and its configuration file (dockerd's daemon.json keys) both end here; nothing below
reads the environment or a file of settings. Not here: sockets and log levels of the process (daemon/).
"""

from __future__ import annotations

import hashlib
import ipaddress
import posixpath
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address

import msgspec

from onggi import paths
from onggi.engine import runtimes as oci_runtimes
from onggi.engine.rootless import Rootless
from onggi.engine.runtimes import Program
from onggi.errors import InvalidParameter
from onggi.registry import proxies
from onggi.registry.proxies import Proxies

DEFAULT_SHM_BYTES = 64 * 1024 * 1024
DEFAULT_STOP_SECONDS = 10


class Ulimit(msgspec.Struct, frozen=True, kw_only=True, rename="pascal"):
    name: str
    soft: int
    hard: int


class AddressPool(msgspec.Struct, frozen=True, kw_only=True):
    base: str
    size: int


class EngineConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of one engine; the JSON names of `from_document` are dockerd's."""

    root: str = paths.ROOT
    exec_root: str = paths.EXEC_ROOT
    cgroup_parent: str = ""  # empty: derived from root, see cgroup_root()
    storage_driver: str = ""  # empty: overlay where the kernel can, else native
    storage_options: tuple[str, ...] = ()  # overlay2.size=BYTES: what a container may take on disk
    default_shm_bytes: int = DEFAULT_SHM_BYTES
    default_ulimits: dict[str, Ulimit] = {}
    default_ipc_mode: str = "private"
    default_cgroupns_mode: str = ""  # empty: private on cgroup v2, host on v1 (dockerd's rule)
    log_driver: str = "json-file"
    log_options: dict[str, str] = {}
    dns: tuple[str, ...] = ()
    dns_options: tuple[str, ...] = ()
    dns_search: tuple[str, ...] = ()
    init: bool = False
    init_path: str = ""
    no_new_privileges: bool = False
    seccomp_profile: str = ""  # of containers that name none: a path, "unconfined", "builtin" or ""
    seccomp: str = ""  # that profile's JSON, or the word
    access_policy: str = ""  # path of a policy file: rights of callers; empty: who opens the socket has all
    audit_log: str = ""  # path; empty: none
    cdi_spec_dirs: tuple[str, ...] = ("/etc/cdi", "/var/run/cdi")  # of devices by name; ("",): none
    runtimes: dict[str, Program] = {}  # other OCI runtimes by name, beside the engine's own and runc
    default_runtime: str = oci_runtimes.OWN
    userns_remap: str = ""  # "default", user, uid, or user:group: containers get that user's subordinate ids
    labels: tuple[str, ...] = ()
    proxies: Proxies = Proxies()  # of registries
    insecure_registries: tuple[str, ...] = ()
    registry_mirrors: tuple[str, ...] = ()
    signature_policy: str = ""  # path of a policy.json; empty: images are accepted unsigned, as by dockerd
    registries_conf: str = "/etc/containers/registries.conf"
    certs_dirs: tuple[str, ...] = ("/etc/onggi/certs.d", "/etc/docker/certs.d", "/etc/containers/certs.d")
    offline: bool = False
    drop_packed_layers: bool = False  # layers are kept unpacked only, where possible: images/elsewhere.py
    max_concurrent_downloads: int = 3
    max_download_attempts: int = 5
    max_concurrent_uploads: int = 5
    bridge: str = ""  # "none" turns the default bridge off
    bip: str = ""
    bip6: str = ""
    fixed_cidr: str = ""
    fixed_cidr_v6: str = ""
    default_gateway: str = ""
    default_gateway_v6: str = ""
    host_gateway_addresses: tuple[str, ...] = ()  # what host-gateway stands for; (): a container's gateways
    default_host_address: str = ""  # where the default bridge publishes: dockerd's key is `ip`
    ipv6: bool = False  # of the default bridge
    icc: bool = True
    ip_masq: bool = True
    mtu: int = 1500  # of the default bridge
    default_network_options: dict[str, dict[str, str]] = {}  # driver -> options of new networks
    default_address_pools: tuple[AddressPool, ...] = ()
    iptables: bool = True
    ip6tables: bool = True
    ip_forward: bool = True
    ip_forward_no_drop: bool = False
    userland_proxy: bool = True  # the host's IPv6 reaches containers that have IPv4 alone
    publish_policy: str = "nat"  # "host-firewall": published ports obey the host's INPUT rules
    build_entitlements: tuple[str, ...] = ("network.host", "device")  # what a build may be allowed
    rootless_network: str = ""  # "slirp4netns", "pasta" or "none"; empty: what is installed
    build_cache_bytes: int = 0  # what the build cache may take; 0: a tenth of its file system; -1: no cap
    workers: int = 16
    debug: bool = False
    rootless: Rootless | None = None  # an ordinary user's engine; else it is root's

    @property
    def cdi_directories(self) -> tuple[str, ...]:
        """Without the empty text that says that there are none (dockerd's way to turn CDI off)."""
        return tuple(directory for directory in self.cdi_spec_dirs if directory)

    @property
    def paths(self) -> paths.Paths:
        return paths.Paths(self.root, self.exec_root)

    @property
    def cgroup_root(self) -> str:
        """`/onggi`, or `/onggi-<8 hex>` for another root, so that two daemons never touch each other's."""
        if self.cgroup_parent:
            return posixpath.normpath("/" + self.cgroup_parent.strip("/"))
        root = self.root.rstrip("/")
        if root == paths.ROOT:
            return "/onggi"
        return "/onggi-" + hashlib.sha256(root.encode()).hexdigest()[:8]


# daemon.json key -> field of EngineConfig.
_KEYS = {
    "data-root": "root",
    "exec-root": "exec_root",
    "cgroup-parent": "cgroup_parent",
    "storage-driver": "storage_driver",
    "storage-opts": "storage_options",
    "default-ulimits": "default_ulimits",
    "default-ipc-mode": "default_ipc_mode",
    "default-cgroupns-mode": "default_cgroupns_mode",
    "log-driver": "log_driver",
    "log-opts": "log_options",
    "dns": "dns",
    "dns-opts": "dns_options",
    "dns-search": "dns_search",
    "init": "init",
    "init-path": "init_path",
    "no-new-privileges": "no_new_privileges",
    "seccomp-profile": "seccomp_profile",
    "access-policy": "access_policy",
    "audit-log": "audit_log",
    "cdi-spec-dirs": "cdi_spec_dirs",
    "runtimes": "runtimes",
    "default-runtime": "default_runtime",
    "userns-remap": "userns_remap",
    "labels": "labels",
    "proxies": "proxies",
    "insecure-registries": "insecure_registries",
    "registry-mirrors": "registry_mirrors",
    "signature-policy": "signature_policy",
    "registries-conf": "registries_conf",
    "certs-dirs": "certs_dirs",
    "offline": "offline",
    "drop-packed-layers": "drop_packed_layers",
    "max-concurrent-downloads": "max_concurrent_downloads",
    "max-download-attempts": "max_download_attempts",
    "max-concurrent-uploads": "max_concurrent_uploads",
    "bridge": "bridge",
    "bip": "bip",
    "bip6": "bip6",
    "fixed-cidr": "fixed_cidr",
    "fixed-cidr-v6": "fixed_cidr_v6",
    "default-gateway": "default_gateway",
    "default-gateway-v6": "default_gateway_v6",
    "host-gateway-ips": "host_gateway_addresses",
    "ip": "default_host_address",
    "ipv6": "ipv6",
    "icc": "icc",
    "ip-masq": "ip_masq",
    "mtu": "mtu",
    "default-network-opts": "default_network_options",
    "default-address-pools": "default_address_pools",
    "iptables": "iptables",
    "ip6tables": "ip6tables",
    "ip-forward": "ip_forward",
    "ip-forward-no-drop": "ip_forward_no_drop",
    "userland-proxy": "userland_proxy",
    "publish-policy": "publish_policy",
    "rootless-network": "rootless_network",
    "debug": "debug",
}

# Keys of daemon.json that belong to the process around the engine, or that live restore makes true anyway.
DAEMON_KEYS = frozenset(
    {
        "hosts", "pidfile", "socket-mode",
        "log-level", "log-format", "group", "live-restore", "shutdown-timeout",
        "tls", "tlscacert", "tlscert", "tlskey", "tlsverify",
    }
)  # fmt: skip

_SHAPED = {"default-shm-size", "builder", "host-gateway-ip"}  # keys that `parse` reads itself

# Keys that dockerd 28 takes, says to be without effect, and does nothing with.
DEPRECATED_KEYS = {
    "allow-nondistributable-artifacts": "Pushing nondistributable artifacts is now enabled by default",
}


def parse(document: dict[str, object], base: EngineConfig | None = None) -> EngineConfig:
    """The configuration that a daemon.json document describes, over `base`. Raises InvalidParameter.

    `default-shm-size` takes bytes or a size with a unit, as dockerd's does.
    """
    if "host-gateway-ip" in document:  # its name before dockerd 28
        if "host-gateway-ips" in document:
            raise InvalidParameter(
                "host-gateway-ip and host-gateway-ips are both given: one of them is enough"
            )
        document = {**document, "host-gateway-ips": [document["host-gateway-ip"]]}
    unknown = sorted(set(document) - set(_KEYS) - DAEMON_KEYS - set(DEPRECATED_KEYS) - _SHAPED)
    if unknown:
        raise InvalidParameter(
            "the following directives don't match any configuration option: " + ", ".join(unknown)
        )
    values: dict[str, object] = {_KEYS[key]: item for key, item in document.items() if key in _KEYS}
    if "default-shm-size" in document:
        values["default_shm_bytes"] = size_bytes(str(document["default-shm-size"]))
    if document.get("seccomp-profile"):
        values["seccomp"] = _seccomp(str(document["seccomp-profile"]))
    if "builder" in document:
        builder = _builder(document["builder"])
        values["build_cache_bytes"] = _build_cache_bytes(builder.gc)
        values["build_entitlements"] = builder.entitlements.granted
    fields = msgspec.structs.asdict(base) if base is not None else {}
    try:
        config = msgspec.convert({**fields, **values}, EngineConfig)
    except msgspec.ValidationError as error:
        raise InvalidParameter(f"invalid configuration: {error}") from None
    if config.log_driver not in ("json-file", "none", "local"):
        raise InvalidParameter(f"logger: no log driver named '{config.log_driver}' is registered")
    oci_runtimes.check(config.runtimes, config.default_runtime)
    _check_networks(config)
    _check_registries(config)
    if config.max_concurrent_downloads < 1 or config.max_concurrent_uploads < 1:
        raise InvalidParameter("invalid max concurrent downloads or uploads: at least 1 is needed")
    if config.max_download_attempts < 1:
        raise InvalidParameter(f"invalid max download attempts: {config.max_download_attempts}")
    return config


class _Gc(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    enabled: bool = True
    default_keep_storage: str | int = 0
    default_max_used_space: str | int = 0


class _Entitlements(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab"):
    """`builder.entitlements` of daemon.json, with dockerd's defaults."""

    network_host: bool = True
    security_insecure: bool = False
    device: bool = True

    @property
    def granted(self) -> tuple[str, ...]:
        pairs = (
            ("network.host", self.network_host),
            ("security.insecure", self.security_insecure),
            ("device", self.device),
        )
        return tuple(name for name, granted in pairs if granted)


class _Builder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    gc: _Gc = _Gc()
    entitlements: _Entitlements = _Entitlements()


def _builder(builder: object) -> _Builder:
    """`builder` of daemon.json. Raises InvalidParameter."""
    try:
        return msgspec.convert(builder, _Builder)
    except msgspec.ValidationError as error:
        raise InvalidParameter(f"invalid configuration: builder: {error}") from None


def _seccomp(path: str) -> str:
    """The profile at a path, or a word that stands for one. Raises InvalidParameter."""
    if path in ("builtin", "unconfined"):
        return path
    try:
        with open(path, "rb") as file:
            profile = msgspec.json.decode(file.read(), type=dict[str, object])
    except OSError as error:
        reason = (error.strerror or "error").lower()
        raise InvalidParameter(f"opening seccomp profile ({path}) failed: open {path}: {reason}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidParameter(f"seccomp profile ({path}) is not valid: {error}") from None
    return msgspec.json.encode(profile).decode()


def _build_cache_bytes(found: _Gc) -> int:
    """`builder.gc`: enabled, defaultKeepStorage."""
    if not found.enabled:
        return -1
    return size_bytes(str(found.default_max_used_space or found.default_keep_storage or 0))


def _check_registries(config: EngineConfig) -> None:
    """In dockerd's words. Raises InvalidParameter."""
    for url in (config.proxies.http_proxy, config.proxies.https_proxy):
        if url:
            proxies.check(url)
    if not config.insecure_registries and not config.registry_mirrors:
        return
    from onggi.registry import endpoints  # not before it is needed: an idle engine does not hold it

    for item in config.insecure_registries:
        endpoints.check_insecure(item)
    for url in config.registry_mirrors:
        endpoints.check_mirror(url)


def _check_networks(config: EngineConfig) -> None:
    """What dockerd refuses at its start, in its words. Raises InvalidParameter."""
    if config.bridge and (config.bip or config.bip6):
        raise InvalidParameter(
            "You specified -b & --bip, mutually exclusive options. Please specify only one"
        )
    if not config.iptables and not config.icc:
        raise InvalidParameter(
            "You specified --iptables=false with --icc=false. ICC=false uses iptables to function. "
            "Please set --icc or --iptables to true"
        )
    if config.publish_policy not in ("nat", "host-firewall"):
        raise InvalidParameter(f'invalid publish policy: {config.publish_policy}: "nat" or "host-firewall"')
    if config.rootless_network not in ("", "pasta", "slirp4netns", "none"):
        raise InvalidParameter(
            f'invalid rootless network: {config.rootless_network}: "slirp4netns", "pasta" or "none"'
        )
    if config.mtu < 0 or config.mtu > 65535:
        raise InvalidParameter(f"invalid default MTU: {config.mtu}")
    for key, text in (
        ("bip", config.bip),
        ("bip6", config.bip6),
        ("fixed-cidr", config.fixed_cidr),
        ("fixed-cidr-v6", config.fixed_cidr_v6),
    ):
        _checked(key, text, 6 if key.endswith("6") else 4, ipaddress.ip_interface, "CIDR address")
    for key, text in (
        ("ip", config.default_host_address),
        ("default-gateway", config.default_gateway),
        ("default-gateway-v6", config.default_gateway_v6),
    ):
        _checked(key, text, 6 if key.endswith("6") else 4, ipaddress.ip_address, "IP address")
    for version in (4, 6):
        given = [one for one in config.host_gateway_addresses if _version(one) == version]
        if len(given) > 1:
            raise InvalidParameter(f"only one IPv{version} host gateway IP address can be specified")


def _version(address: str) -> int:
    try:
        return ipaddress.ip_address(address).version
    except ValueError:
        raise InvalidParameter(f"invalid IP address for host-gateway-ips: {address}") from None


def _checked(
    key: str, text: str, version: int, parse_: Callable[[str], IPv4Address | IPv6Address], kind: str
) -> None:
    if not text:
        return
    try:
        right = parse_(text).version == version and (kind == "IP address" or "/" in text)
    except ValueError:
        right = False
    if not right:
        raise InvalidParameter(f"invalid {kind} for {key}: {text}")


_UNITS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40, "p": 1 << 50}


def size_bytes(text: str) -> int:
    """`64m`, `64MB`, `1.5GiB` or a number, in bytes; units are powers of 1024. Raises InvalidParameter."""
    lowered = text.strip().lower()
    number = lowered.rstrip("bkmgtpi ")
    unit = lowered[len(number) :].strip().removesuffix("ib")
    unit = unit if unit == "b" else unit.removesuffix("b")
    try:
        return int(float(number) * _UNITS[unit])
    except (ValueError, KeyError, OverflowError):
        raise InvalidParameter(f"invalid size: '{text}'") from None
