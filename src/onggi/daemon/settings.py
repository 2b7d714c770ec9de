"""The daemon's settings: flags and the configuration file, joined as dockerd joins them.

A setting given in both places is refused, by name and with both values. The default file may lack, another
may not.
"""

from __future__ import annotations

import os
from typing import Any

import msgspec

from onggi.cli.flags import Flags
from onggi.daemon.flags import FLAGS_ONLY, KEYS
from onggi.daemon.rootless import SURROUNDINGS
from onggi.engine import config as engine_config
from onggi.engine import rootless
from onggi.engine.config import EngineConfig
from onggi.engine.rootless import Rootless
from onggi.errors import InvalidParameter
from onggi.registry import proxies

PROXIES = ("http-proxy", "https-proxy", "no-proxy")
_OWN_MODE = "0600"  # of an ordinary user's socket
LEVELS = ("debug", "info", "warn", "error", "fatal")

# What SIGHUP can change while the engine runs.
RELOADABLE = frozenset(
    {
        "access-policy",
        "debug", "default-ulimits", "init", "init-path", "insecure-registries", "labels", "log-driver",
        "default-runtime", "log-level", "log-opts", "max-concurrent-downloads", "max-concurrent-uploads",
        "max-download-attempts", "no-new-privileges", "offline", "registry-mirrors", "runtimes",
        "shutdown-timeout",
    }
)  # fmt: skip


class TlsFiles(msgspec.Struct, frozen=True):
    """PEM files; without `authority` clients are not verified."""

    certificate: str
    key: str
    authority: str


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that the process was told; `engine` is what the engine needs of it."""

    engine: EngineConfig
    hosts: tuple[str, ...]
    group: str
    group_is_given: bool
    socket_mode: int
    pid_file: str
    log_level: str
    log_format: str
    shutdown_seconds: int
    tls: TlsFiles | None  # None: no TLS
    tcp_is_meant: bool  # TLS that verifies, or less in so many words
    warnings: tuple[str, ...] = ()  # what was given and has no effect


def load(flags: Flags) -> Settings:
    """Read the file and join. Raises InvalidParameter."""
    found = surroundings()
    path = config_file(flags, found)
    document = _file(path, required="config-file" in flags.given)
    given = _from_flags(flags)
    _refuse_both(path, given, document)
    return _settings(flags, {**document, **given}, found)


def surroundings() -> Rootless | None:
    """What an ordinary user's engine was told by its outer process; None of root's."""
    text = os.environ.get(SURROUNDINGS, "")
    return rootless.parse(text) if text else None


def config_file(flags: Flags, found: Rootless | None) -> str:
    if found is not None and "config-file" not in flags.given:
        return found.config_file
    return str(flags["config-file"])


def reloaded(flags: Flags, now: Settings) -> Settings:
    """What the file says now, as far as it can change without a restart. Raises InvalidParameter."""
    found = now.engine.rootless
    document = _file(config_file(flags, found), required="config-file" in flags.given)
    changed = {key: value for key, value in document.items() if key in RELOADABLE}
    fresh = _settings(flags, {**changed, **_from_flags(flags)}, found)
    kept = msgspec.structs.asdict(now.engine)
    names = {engine_config._KEYS[key] for key in RELOADABLE if key in engine_config._KEYS}
    engine = EngineConfig(**{**kept, **{name: getattr(fresh.engine, name) for name in names}})
    return msgspec.structs.replace(
        now, engine=engine, log_level=fresh.log_level, shutdown_seconds=fresh.shutdown_seconds
    )


def reloadable(now: Settings) -> dict[str, str]:
    """What a reload could change, as dockerd tells it in its event."""
    engine = now.engine
    lists = {
        "insecure-registries": engine.insecure_registries,
        "labels": engine.labels,
        "registry-mirrors": engine.registry_mirrors,
    }
    return {
        "debug": str(engine.debug).lower(),
        "max-concurrent-downloads": str(engine.max_concurrent_downloads),
        "max-concurrent-uploads": str(engine.max_concurrent_uploads),
        "max-download-attempts": str(engine.max_download_attempts),
        "shutdown-timeout": str(now.shutdown_seconds),
        **{name: msgspec.json.encode(found).decode() for name, found in lists.items()},
    }


def proxies_of_environment() -> dict[str, str]:
    """HTTP_PROXY and its like, as Go reads them: capitals first."""
    found = {name: name.replace("-", "_") for name in PROXIES}
    return {
        name: value
        for name, variable in found.items()
        if (value := os.environ.get(variable.upper()) or os.environ.get(variable, ""))
    }


def _settings(flags: Flags, document: dict[str, Any], own: Rootless | None) -> Settings:
    given = document.get("proxies", {})
    if isinstance(given, dict) and (found := {**proxies_of_environment(), **given}):
        document = {**document, "proxies": found}
    if own is not None:
        document = {**_of_user(own), **document}
    engine = msgspec.structs.replace(engine_config.parse(document), rootless=own)
    level = str(document.get("log-level", "debug" if engine.debug else flags["log-level"]))
    if level not in LEVELS:
        raise InvalidParameter(f"invalid logging level: {level}")
    log_format = str(document.get("log-format", flags["log-format"]))
    if log_format not in ("text", "json"):
        raise InvalidParameter(f"invalid log format: {log_format}")
    if document.get("live-restore") is False:
        raise InvalidParameter("live-restore: this engine's containers always live on without it")
    return Settings(
        engine=engine,
        hosts=_texts("hosts", document.get("hosts")) or (f"unix://{engine.paths.socket}",),
        group=str(document.get("group", flags["group"])),
        group_is_given="group" in document,
        socket_mode=_mode(document.get("socket-mode", _OWN_MODE if own else flags["socket-mode"])),
        pid_file=str(document.get("pidfile") or engine.paths.pid_file),
        log_level=level,
        log_format=log_format,
        shutdown_seconds=_seconds(document.get("shutdown-timeout", flags["shutdown-timeout"])),
        tls=_tls(flags, document),
        tcp_is_meant=_tcp_is_meant(document),
        warnings=tuple(
            f"{key} has been deprecated: {why}"
            for key, why in engine_config.DEPRECATED_KEYS.items()
            if key in document
        ),
    )


def _of_user(own: Rootless) -> dict[str, Any]:
    """What is elsewhere by default for an ordinary user's engine; his files before the system's."""
    config_dir = os.path.dirname(os.path.dirname(own.config_file))
    certs = [
        f"{config_dir}/onggi/certs.d",
        f"{config_dir}/docker/certs.d",
        f"{config_dir}/containers/certs.d",
    ]
    found = {
        "data-root": own.root,
        "exec-root": own.exec_root,
        "certs-dirs": [*certs, *EngineConfig().certs_dirs],
    }
    registries = f"{config_dir}/containers/registries.conf"
    return {**found, "registries-conf": registries} if os.path.exists(registries) else found


def _tls(flags: Flags, document: dict[str, Any]) -> TlsFiles | None:
    """--tlsverify means --tls; the files lie where dockerd looks for them."""
    verify = bool(document.get("tlsverify"))
    if not (verify or document.get("tls")):
        return None
    names = ("tlscert", "tlskey", "tlscacert")
    directory = os.environ.get("DOCKER_CERT_PATH", "").rstrip("/")
    standard = {name: flags[name] for name in names}
    if directory:
        standard = {name: f"{directory}/{os.path.basename(path)}" for name, path in standard.items()}
    paths = [str(document.get(name) or standard[name]) for name in names]
    certificate, key, authority = (os.path.expanduser(path) for path in paths)
    return TlsFiles(certificate, key, authority if verify else "")


def _tcp_is_meant(document: dict[str, Any]) -> bool:
    """dockerd's rule: clients are verified, or the user wrote that they are not (tls or tlsverify false)."""
    if document.get("tlsverify"):
        return True
    return document.get("tls") is False or document.get("tlsverify") is False


def _file(path: str, *, required: bool) -> dict[str, Any]:
    try:
        with open(path, "rb") as file:
            text = file.read()
    except FileNotFoundError:
        if required:
            raise InvalidParameter(f"unable to configure the engine with file {path}: no such file") from None
        return {}
    except OSError as error:
        raise InvalidParameter(f"unable to configure the engine with file {path}: {error.strerror}") from None
    try:
        return msgspec.json.decode(text, type=dict[str, Any]) if text.strip() else {}
    except msgspec.DecodeError as error:
        raise InvalidParameter(f"unable to configure the engine with file {path}: {error}") from None


def _from_flags(flags: Flags) -> dict[str, Any]:
    """The flags that the user wrote, under the file's keys and in its shapes."""
    given: dict[str, Any] = {}
    for name in flags.given - FLAGS_ONLY:
        if name in PROXIES:
            given.setdefault("proxies", {})[name] = flags[name]
            continue
        given[KEYS.get(name, name)] = _shaped(name, flags[name])
    return given


def _shaped(name: str, value: Any) -> Any:
    if name == "add-runtime":
        return _runtimes(value)
    if name == "log-opt":
        return dict(_pair("log-opt", item) for item in value)
    if name == "default-address-pool":
        return [_pool(item) for item in value]
    if name == "default-network-opt":
        return _network_options(value)
    if name == "default-ulimit":
        return {key: _ulimit(key, text) for key, text in (_pair("default-ulimit", item) for item in value)}
    return value


def _runtimes(values: list[str]) -> dict[str, dict[str, str]]:
    """`name=path`, in dockerd's words; a name that is given is small."""
    found: dict[str, dict[str, str]] = {}
    for text in values:
        name, _, path = (part.strip() for part in text.partition("="))
        if not name or not path:
            raise InvalidParameter(f"invalid runtime argument: {text}")
        if name.lower() in found:
            raise InvalidParameter(f"runtime '{name.lower()}' was already defined")
        found[name.lower()] = {"path": path}
    return found


def _pool(text: str) -> dict[str, object]:
    """`base=10.0.0.0/8,size=24`."""
    found = dict(_pair("default-address-pool", item) for item in text.split(","))
    if set(found) != {"base", "size"} or not found["size"].isdigit():
        raise InvalidParameter(f'invalid argument "{text}" for "--default-address-pool" flag')
    return {"base": found["base"], "size": int(found["size"])}


def _network_options(values: list[str]) -> dict[str, dict[str, str]]:
    """`bridge=com.docker.network.driver.mtu=1400`, by driver."""
    found: dict[str, dict[str, str]] = {}
    for text in values:
        driver, rest = _pair("default-network-opt", text)
        name, value = _pair("default-network-opt", rest)
        found.setdefault(driver, {})[name] = value
    return found


def _pair(flag: str, text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise InvalidParameter(f'invalid argument "{text}" for "--{flag}" flag: must be key=value')
    return key, value


def _ulimit(name: str, text: str) -> dict[str, object]:
    soft, _, hard = text.partition(":")
    try:
        return {"Name": name, "Soft": int(soft), "Hard": int(hard or soft)}
    except ValueError:
        raise InvalidParameter(f'invalid argument "{name}={text}" for "--default-ulimit" flag') from None


def _refuse_both(path: str, given: dict[str, Any], document: dict[str, Any]) -> None:
    both = [
        f"{key}: (from flag: {_told(given[key])}, from file: {_told(document[key])})"
        for key in sorted(set(given) & set(document))
    ]
    if both:
        raise InvalidParameter(
            f"unable to configure the engine with file {path}: the following directives are specified both "
            f"as a flag and in the configuration file: {', '.join(both)}"
        )


def _told(value: Any) -> Any:
    """A setting in a message: proxies without their passwords."""
    if isinstance(value, dict):
        return {name: proxies.shown(item) if isinstance(item, str) else item for name, item in value.items()}
    return value


def _texts(key: str, value: object) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise InvalidParameter(f"invalid configuration: {key} must be a list of texts")
    return tuple(value)


def _mode(value: object) -> int:
    """0600 to 0777, octal as chmod(1) has it. Raises InvalidParameter."""
    text = str(value)
    if not (0 < len(text) <= 4 and set(text) <= set("01234567")) or int(text, 8) & ~0o777:
        raise InvalidParameter(f"invalid socket-mode: {text}: must be octal, as 0660")
    return int(text, 8)


def _seconds(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise InvalidParameter(f"invalid configuration: shutdown-timeout: {value}")
    return value
