"""The daemon's flags: dockerd's names where it has them; parsed by cli/flags.py."""

from __future__ import annotations

from onggi import paths
from onggi.cli.flags import Row

DEFAULT_CONFIG_FILE = "/etc/onggi/daemon.json"

FLAGS: tuple[Row, ...] = (
    ("bip", "", "string", "", "Address and network of the default bridge (CIDR)"),
    ("bip6", "", "string", "", "IPv6 address and network of the default bridge (CIDR)"),
    ("bridge", "b", "string", "", 'Name of the default bridge; "none" for no default bridge'),
    ("certs-dir", "", "list", None, "Directories of HOST:PORT/{hosts.toml,*.crt,*.cert,*.key} of registries"),
    ("cgroup-parent", "", "string", "", "Parent control group of all containers"),
    ("config-file", "", "string", DEFAULT_CONFIG_FILE, "Configuration file (dockerd's daemon.json)"),
    ("data-root", "", "string", paths.ROOT, "Directory of what must survive"),
    ("debug", "D", "bool", False, "Log what is done, too"),
    ("default-address-pool", "", "list", None, "Subnets for networks: base=CIDR,size=prefix length"),
    ("default-cgroupns-mode", "", "string", "", 'Control group namespace of containers ("host", "private")'),
    ("default-gateway", "", "string", "", "Default gateway of containers of the default bridge"),
    ("default-gateway-v6", "", "string", "", "The same for IPv6"),
    ("default-ipc-mode", "", "string", "private", 'IPC namespace of containers ("shareable", "private")'),
    ("default-network-opt", "", "list", None, "Options of new networks: driver=option=value"),
    ("default-shm-size", "", "string", "64MiB", "Size of /dev/shm in containers"),
    ("default-ulimit", "", "list", None, "Limits of containers: name=soft[:hard]"),
    ("dns", "", "list", None, "Name servers of containers"),
    ("dns-opt", "", "list", None, "Resolver options of containers"),
    ("dns-search", "", "list", None, "Search domains of containers"),
    ("exec-root", "", "string", paths.EXEC_ROOT, "Directory of what ends with a boot"),
    ("fixed-cidr", "", "string", "", "Addresses that containers of the default bridge get (CIDR)"),
    ("fixed-cidr-v6", "", "string", "", "The same for IPv6"),
    ("group", "G", "string", "onggi", "Group that may use the unix socket"),
    ("host", "H", "list", None, "Where to listen: unix:///path, fd://, tcp://address:port"),
    ("icc", "", "bool", True, "Let containers of the default bridge speak to each other"),
    ("init", "", "bool", False, "Run an init in containers that forwards signals and reaps processes"),
    ("init-path", "", "string", "", "Program of that init, instead of the built-in one"),
    ("insecure-registry", "", "list", None, "Registries to speak to without verified TLS"),
    ("ip", "", "string", "", "Address of this host on which the default bridge publishes ports"),
    ("ip-forward", "", "bool", True, "Switch net.ipv4.ip_forward on"),
    ("ip-forward-no-drop", "", "bool", False, "Forward for others, too, when the engine switched it on"),
    ("ip-masq", "", "bool", True, "Masquerade what leaves the default bridge"),
    ("ip6tables", "", "bool", True, "Write firewall rules for IPv6"),
    ("iptables", "", "bool", True, "Write firewall rules"),
    ("ipv6", "", "bool", False, "IPv6 in the default bridge"),
    ("label", "", "list", None, "Labels of this engine: key=value"),
    ("log-driver", "", "string", "json-file", "Default log driver of containers"),
    ("log-format", "", "string", "text", 'Format of the engine\'s own log ("text", "json")'),
    ("log-level", "l", "string", "info", 'What to log ("debug", "info", "warn", "error", "fatal")'),
    ("log-opt", "", "list", None, "Default log driver options: key=value"),
    ("mtu", "", "int", 1500, "MTU of the default bridge"),
    ("max-concurrent-downloads", "", "int", 3, "Layers that a pull brings at a time"),
    ("max-concurrent-uploads", "", "int", 5, "Layers that a push sends at a time"),
    ("no-new-privileges", "", "bool", False, "Set no_new_privs for containers that do not say otherwise"),
    ("offline", "", "bool", False, "Never speak to a registry"),
    ("pidfile", "p", "string", "", "File of the engine's pid (default: onggi.pid in exec-root)"),
    (
        "registries-conf",
        "",
        "string",
        "/etc/containers/registries.conf",
        "Mirrors and blocked registries (registries.conf)",
    ),
    ("registry-mirror", "", "list", None, "Registries to ask before Docker Hub"),
    ("root", "", "alias:data-root", "", ""),
    ("shutdown-timeout", "", "int", 15, "Seconds that requests get to end at a shutdown; containers run on"),
    ("signature-policy", "", "string", "", "policy.json (podman's language): whose images may come in"),
    ("storage-driver", "s", "string", "", 'How layers are stored ("overlay", "native")'),
    ("tls", "", "bool", False, "TLS on tcp:// (--tls=false says that plain tcp is meant)"),
    ("tlscacert", "", "string", "~/.docker/ca.pem", "Authority whose clients are let in"),
    ("tlscert", "", "string", "~/.docker/cert.pem", "The engine's certificate"),
    ("tlskey", "", "string", "~/.docker/key.pem", "The certificate's key"),
    ("tlsverify", "", "bool", False, "TLS on tcp://, and only for clients with a certificate"),
    ("validate", "", "bool", False, "Check the configuration and quit"),
    ("version", "v", "bool", False, "Print the version and quit"),
)

# Flag -> key of daemon.json, where it is not the same word; dockerd uses the plural in the file.
KEYS = {
    "default-address-pool": "default-address-pools",
    "default-network-opt": "default-network-opts",
    "default-ulimit": "default-ulimits",
    "certs-dir": "certs-dirs",
    "dns-opt": "dns-opts",
    "host": "hosts",
    "insecure-registry": "insecure-registries",
    "label": "labels",
    "log-opt": "log-opts",
    "registry-mirror": "registry-mirrors",
}

# Flags that the file has no key for.
FLAGS_ONLY = frozenset({"config-file", "validate", "version"})
