"""Display system-wide information."""

from __future__ import annotations

from onggi import __version__
from onggi.cli.errors import CommandError
from onggi.cli.human import binary_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from onggi.cli.flags import Flags
    from onggi.cli.session import Session

USAGE = ""
ARGUMENTS = (0, 0)
FLAGS = (("format", "f", "string", "", "How to print: json, or a Go template"),)


def run(session: Session, flags: Flags, args: list[str]) -> int:
    about = {
        "Debug": bool(session.options["debug"]),
        "Version": __version__,
        "Context": "default",
        "Plugins": [],
    }
    try:
        found: dict[str, Any] = session.engine.get("/info")
    except CommandError as error:
        if flags["format"]:
            raise
        session.out("\n".join([*_client(about), "", "Server:"]))
        session.err(error.message)
        raise CommandError("errors pretty printing info") from None
    if flags["format"]:
        from onggi.cli.inspection import typed
        from onggi.cli.listing import object_text

        session.out(object_text(typed({**found, "ClientInfo": about}), flags["format"]))
        return 0
    session.out("\n".join([*_client(about), "", "Server:", *_server(found)]))
    session.out("")
    for warning in found.get("Warnings") or []:
        session.err(warning)
    return 0


def _client(about: dict[str, Any]) -> list[str]:
    return [
        "Client:",
        f" Version:    {about['Version']}",
        f" Context:    {about['Context']}",
        f" Debug Mode: {_word(about['Debug'])}",
    ]


def _word(value: object) -> str:
    return str(bool(value)).lower()


def _server(found: dict[str, Any]) -> list[str]:
    lines = [
        f" Containers: {found['Containers']}",
        f"  Running: {found['ContainersRunning']}",
        f"  Paused: {found['ContainersPaused']}",
        f"  Stopped: {found['ContainersStopped']}",
        f" Images: {found['Images']}",
    ]
    _add(lines, found, ("Server Version", "ServerVersion"), ("Storage Driver", "Driver"))
    lines += [f"  {name}: {value}" for name, value in found.get("DriverStatus") or []]
    _add(lines, found, ("Logging Driver", "LoggingDriver"), ("Cgroup Driver", "CgroupDriver"),
         ("Cgroup Version", "CgroupVersion"))  # fmt: skip
    plugins = found.get("Plugins") or {}
    lines += [
        " Plugins:",
        "  Volume: " + " ".join(plugins.get("Volume") or []),
        "  Network: " + " ".join(plugins.get("Network") or []),
    ]
    if plugins.get("Authorization"):
        lines.append("  Authorization: " + " ".join(plugins["Authorization"]))
    lines.append("  Log: " + " ".join(plugins.get("Log") or []))
    for label, shown in (
        ("CDI spec directories", found.get("CDISpecDirs") or []),
        (
            "Discovered Devices",
            [f"{one['Source']}: {one['ID']}" for one in found.get("DiscoveredDevices") or []],
        ),
    ):
        if shown:
            lines += [f" {label}:", *(f"  {each}" for each in shown)]
    lines.append(f" Swarm: {(found.get('Swarm') or {}).get('LocalNodeState', 'inactive')}")
    if found.get("Runtimes"):
        lines.append(" Runtimes: " + " ".join(sorted(found["Runtimes"])))
    _add(lines, found, ("Default Runtime", "DefaultRuntime"), ("Init Binary", "InitBinary"))
    for label, key in (("containerd", "ContainerdCommit"), ("runc", "RuncCommit"), ("init", "InitCommit")):
        if key in found:
            lines.append(f" {label} version: {(found[key] or {}).get('ID', '')}")
    lines += _security(found.get("SecurityOptions") or [])
    _add(lines, found, ("Kernel Version", "KernelVersion"), ("Operating System", "OperatingSystem"),
         ("OSType", "OSType"), ("Architecture", "Architecture"))  # fmt: skip
    lines += [f" CPUs: {found.get('NCPU', 0)}", f" Total Memory: {binary_size(found.get('MemTotal', 0))}"]
    _add(lines, found, ("Name", "Name"), ("ID", "ID"), ("Docker Root Dir", "DockerRootDir"))
    lines.append(f" Debug Mode: {_word(found.get('Debug'))}")
    if found.get("Debug"):
        lines += [
            f"  File Descriptors: {found.get('NFd')}",
            f"  Goroutines: {found.get('NGoroutines')}",
            f"  System Time: {found.get('SystemTime')}",
            f"  EventsListeners: {found.get('NEventsListener')}",
        ]
    _add(lines, found, ("HTTP Proxy", "HttpProxy"), ("HTTPS Proxy", "HttpsProxy"), ("No Proxy", "NoProxy"))
    if found.get("Labels"):
        lines += [" Labels:", *(f"  {label}" for label in found["Labels"])]
    lines.append(f" Experimental: {_word(found.get('ExperimentalBuild'))}")
    registries = found.get("RegistryConfig") or {}
    insecure = [name for name, entry in (registries.get("IndexConfigs") or {}).items() if not entry["Secure"]]
    insecure += registries.get("InsecureRegistryCIDRs") or []
    if insecure:
        lines += [" Insecure Registries:", *(f"  {name}" for name in insecure)]
    if registries.get("Mirrors"):
        lines += [" Registry Mirrors:", *(f"  {name}" for name in registries["Mirrors"])]
    lines.append(f" Live Restore Enabled: {_word(found.get('LiveRestoreEnabled'))}")
    _add(lines, found, ("Product License", "ProductLicense"))
    return lines


def _add(lines: list[str], found: dict[str, Any], *rows: tuple[str, str]) -> None:
    lines += [f" {label}: {found[key]}" for label, key in rows if found.get(key)]


def _security(options: list[str]) -> list[str]:
    lines = [" Security Options:"] if options else []
    for option in options:
        fields = dict(part.partition("=")[::2] for part in option.split(","))
        name = fields.pop("name", option)
        lines.append(f"  {name}")
        lines += [f"   {key[:1].upper()}{key[1:]}: {value}" for key, value in fields.items()]
    return lines
