"""`onggi registry cache`: the pull-through cache's process. SIGTERM and SIGINT end it.

Images of a registry that wants a password are fetched only with `--config`, and are then served to everybody
on this machine; without it the cache is nobody.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading

import msgspec

from onggi.cli import credentials
from onggi.cli import help as help_
from onggi.cli.errors import CommandError, FlagError
from onggi.cli.flags import Flags, HelpWanted, Row, parse
from onggi.cli.main import GLOBAL_FLAGS
from onggi.cli.session import Session
from onggi.daemon import log as log_
from onggi.daemon.notify import notify
from onggi.daemon.settings import proxies_of_environment
from onggi.engine import config as engine_config
from onggi.errors import InvalidParameter, OnggiError, Unauthorized
from onggi.mirror.cache import Cache, Who
from onggi.mirror.server import Server, is_loopback
from onggi.registry import endpoints
from onggi.registry.credentials import AuthConfig, Credentials
from onggi.registry.endpoints import Settings
from onggi.registry.proxies import Proxies
from onggi.spec.reference import DEFAULT_DOMAIN

log = logging.getLogger("onggi.registry-cache")

LEVELS = ("debug", "info", "warn", "error", "fatal")
FLAGS: tuple[Row, ...] = (
    ("certs-dir", "", "list", None, "Directories of HOST:PORT/{*.crt,*.cert,*.key} of registries"),
    ("config", "", "string", "", "Directory of the config.json whose credentials upstream is asked with"),
    ("insecure-registry", "", "list", None, "Upstreams to speak to without verified TLS"),
    ("listen", "", "string", "127.0.0.1:5555", "Loopback address to serve on"),
    ("log-format", "", "string", "text", 'Format of the log ("text", "json")'),
    ("log-level", "l", "string", "info", 'What to log ("debug", "info", "warn", "error", "fatal")'),
    ("max-size", "", "string", "20GB", "Disk that the cache may take; the least recently used goes first"),
    ("offline", "", "bool", False, "Never ask upstream"),
    ("root", "", "string", "", "Directory of the cache (default: /var/lib/onggi-cache)"),
    (
        "upstream",
        "",
        "list",
        None,
        "Registries to be a cache of, DOMAIN or DOMAIN=HOST; the first is meant where none is named",
    ),
)


class Options(msgspec.Struct, frozen=True):
    address: tuple[str, int]
    root: str
    max_bytes: int
    upstreams: dict[str, str]  # domain of images -> the host that is asked
    settings: Settings
    config_dir: str


def main(argv: list[str]) -> int:
    """Run the cache; its exit status."""
    try:
        flags, words = parse(FLAGS, argv)
        if words:
            raise FlagError(f'"onggi registry cache" accepts no arguments: {words[0]}')
        options = options_of(flags)
    except HelpWanted:
        usage = ["Usage:  onggi registry cache [OPTIONS]", ""]
        print("\n".join([*usage, "Run a pull-through cache of registries on this machine", "", "Options:"]))
        print("\n".join(help_.options(FLAGS)))
        return 0
    except FlagError as error:
        sys.stderr.write(f"onggi registry cache: {error}\n\nUsage:  onggi registry cache [OPTIONS]\n")
        return 125
    except OnggiError as error:
        sys.stderr.write(f"{error.message}\n")
        return 1
    log_.set_up(flags["log-level"], flags["log-format"])
    try:
        return _serve(options)
    except OnggiError as error:
        log.critical("failed to start the cache: %s", error.message)
    except OSError as error:
        log.critical("failed to start the cache: %s", error)
    return 1


def options_of(flags: Flags) -> Options:
    """Raises InvalidParameter."""
    if flags["log-level"] not in LEVELS or flags["log-format"] not in ("text", "json"):
        raise InvalidParameter(f"invalid log level or format: {flags['log-level']}, {flags['log-format']}")
    for item in flags["insecure-registry"]:
        endpoints.check_insecure(item)
    max_bytes = engine_config.size_bytes(flags["max-size"])
    if max_bytes < 1:
        raise InvalidParameter(f"invalid size: '{flags['max-size']}'")
    upstreams = dict(map(_upstream, flags["upstream"] or [DEFAULT_DOMAIN]))
    certs = tuple(flags["certs-dir"]) or engine_config.EngineConfig().certs_dirs
    return Options(
        address=_address(flags["listen"]),
        root=os.path.abspath(flags["root"] or _default_root()),
        max_bytes=max_bytes,
        upstreams=upstreams,
        settings=Settings(
            insecure=tuple(flags["insecure-registry"]),
            certs_dirs=certs,
            offline=flags["offline"],
            proxies=msgspec.convert(proxies_of_environment(), Proxies),
        ),
        config_dir=flags["config"],
    )


def _default_root() -> str:
    if os.getuid() == 0:
        return "/var/lib/onggi-cache"
    data = os.environ.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share")
    return f"{data}/onggi-cache"


def _upstream(text: str) -> tuple[str, str]:
    """(domain as it stands in images' names, host that is asked). Raises InvalidParameter."""
    domain, equals, host = text.partition("=")
    return _host(domain, text), _host(host if equals else domain, text)


def _host(text: str, shown: str) -> str:
    host = text.removeprefix("https://").rstrip("/")
    if not host or "/" in host or any(not (letter.isalnum() or letter in ".-:[]_") for letter in host):
        raise InvalidParameter(f"invalid upstream: {shown}: DOMAIN or DOMAIN=HOST is meant (docker.io)")
    return DEFAULT_DOMAIN if host in ("index.docker.io", endpoints.HUB) else host


def _address(text: str) -> tuple[str, int]:
    """Loopback only: what the cache may fetch, everybody who reaches it may read."""
    host, colon, port = text.rpartition(":")
    host = host.strip("[]")
    if host == "localhost":
        host = "127.0.0.1"
    if not colon or not (port.isascii() and port.isdigit() and int(port) < 65536):
        raise InvalidParameter(f"invalid address: {text}: host:port is meant")
    if not is_loopback(host):
        raise InvalidParameter(
            f"refused to listen on {text}: a cache serves this machine only (127.0.0.1, [::1])"
        )
    return host, int(port)


def _serve(options: Options) -> int:
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with Cache(
        options.root,
        options.settings,
        max_bytes=options.max_bytes,
        who=_who(options.config_dir),
        hosts=options.upstreams,
    ) as cache:
        server = Server(options.address, cache, tuple(options.upstreams))
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1})
        thread.start()
        try:
            host, port = server.server_address[:2]
            shown = f"[{host!s}]" if ":" in str(host) else str(host)
            log.info(
                "Cache of %s on http://%s:%d, in %s", ", ".join(options.upstreams), shown, port, options.root
            )
            notify("READY=1")
            stop.wait()
            notify("STOPPING=1")
        finally:
            server.shutdown()
            server.server_close()
            thread.join()
    return 0


class _Who:
    """Credentials of a domain, read from config.json (or its helper) at each use."""

    def __init__(self, config_dir: str) -> None:
        self._session = Session(parse(GLOBAL_FLAGS, ["--config", config_dir])[0], "registry cache")

    def __call__(self, domain: str) -> Credentials:
        try:
            found = credentials.lookup(self._session, credentials.server(domain))
        except CommandError as error:
            raise Unauthorized(error.message) from None
        return msgspec.convert(found, AuthConfig).credentials()


def _nobody(domain: str) -> Credentials:
    return Credentials()


def _who(config_dir: str) -> Who:
    return _Who(config_dir) if config_dir else _nobody
