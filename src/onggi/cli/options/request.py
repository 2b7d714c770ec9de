"""From the flags of run and create to the body of POST /containers/create.

A pure function but for the files that flags name. Checks are Docker's client-side ones, in their words; all
else is the engine's to judge. Not here: the flags (container.py), networks (networking.py).
"""

from __future__ import annotations

import os

from onggi.cli import ports
from onggi.cli.errors import CommandError
from onggi.cli.options import files, networking, volume

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from onggi.cli.flags import Flags


def build(flags: Flags, args: list[str], *, windows_paths: bool = False) -> dict[str, Any]:
    """The whole body. Raises CommandError."""
    _check(flags)
    exposed, bindings = ports.publish(flags["publish"])
    for port in ports.expose(flags["expose"]):
        exposed.setdefault(port, {})
    binds, volumes = _volumes(flags["volume"])
    config = _config(flags, args, exposed, volumes)
    host = _host_config(flags, binds, bindings)
    body: dict[str, Any] = {**config, "HostConfig": host}
    body["NetworkingConfig"] = {"EndpointsConfig": networking.endpoints(flags, host)}
    return body


def _check(flags: Flags) -> None:
    swappiness = flags["memory-swappiness"]
    if swappiness != -1 and not 0 <= swappiness <= 100:
        raise CommandError(f"invalid value: {swappiness}. Valid memory swappiness range is 0-100")
    mac = flags["mac-address"]
    if mac and not _is_mac(mac):
        raise CommandError(f"{mac.strip()} is not a valid mac address")
    for name, label in (("pid", "PID"), ("uts", "UTS"), ("userns", "USER"), ("cgroupns", "CGROUP")):
        mode = flags[name]
        known = {
            "pid": ("", "host"),
            "uts": ("", "host"),
            "userns": ("", "host"),
            "cgroupns": ("", "host", "private"),
        }
        shared = name == "pid" and mode.startswith("container:") and len(mode) > 10
        shared |= name == "userns" and mode.partition(":")[0] in ("auto", "keep-id")  # podman's words
        if mode not in known[name] and not shared:
            raise CommandError(f"--{name}: invalid {label} mode")
    if flags["rm"] and flags["restart"] not in ("no", ""):
        raise CommandError("conflicting options: cannot specify both --restart and --rm")


def _is_mac(text: str) -> bool:
    for separator in ":-":
        parts = text.strip().split(separator)
        if len(parts) in (6, 8, 20) and all(len(part) == 2 and _is_hex(part) for part in parts):
            return True
    parts = text.strip().split(".")
    return len(parts) in (3, 4, 10) and all(len(part) == 4 and _is_hex(part) for part in parts)


def _is_hex(text: str) -> bool:
    return all(letter in "0123456789abcdefABCDEF" for letter in text)


def _volumes(words: list[str]) -> tuple[list[str], dict[str, Any]]:
    """(binds, nameless volumes) of -v."""
    binds: list[str] = []
    volumes: dict[str, Any] = {}
    for word in words:
        text, has_source = volume.parse(word)
        if has_source:
            binds.append(text)
        else:
            volumes[text] = {}
    return binds, volumes


def _streams(flags: Flags) -> dict[str, bool]:
    attached = list(flags["attach"])
    detached = bool(flags.get("detach"))
    if not attached and not detached:
        attached = ["stdout", "stderr", *(["stdin"] if flags["interactive"] else [])]
    elif flags["interactive"] and attached and "stdin" not in attached and not detached:
        pass
    return {name: f"std{name}" in attached for name in ("in", "out", "err")}


def _config(
    flags: Flags, args: list[str], exposed: dict[str, Any], volumes: dict[str, Any]
) -> dict[str, Any]:
    streams = _streams(flags)
    image, command = args[0], args[1:]
    config: dict[str, Any] = {
        "Hostname": flags["hostname"],
        "Domainname": flags["domainname"],
        "User": flags["user"],
        "AttachStdin": streams["in"],
        "AttachStdout": streams["out"],
        "AttachStderr": streams["err"],
        "ExposedPorts": exposed,
        "Tty": flags["tty"],
        "OpenStdin": flags["interactive"],
        "StdinOnce": bool(flags["interactive"] and streams["in"]),
        "Env": files.pairs(flags["env-file"], environment=True) + flags["env"],
        "Cmd": command or None,
        "Image": image,
        "Volumes": volumes,
        "WorkingDir": flags["workdir"],
        "Entrypoint": None,
        "Labels": _labels(files.pairs(flags["label-file"], environment=False) + flags["label"]),
    }
    if "entrypoint" in flags.given:
        config["Entrypoint"] = [flags["entrypoint"]] if flags["entrypoint"] else [""]
    if flags["stop-signal"]:
        config["StopSignal"] = flags["stop-signal"]
    if "stop-timeout" in flags.given:
        config["StopTimeout"] = flags["stop-timeout"]
    health = _health(flags)
    if health:
        config["Healthcheck"] = health
    if flags["mac-address"]:
        config["MacAddress"] = flags["mac-address"].strip()
    return config


def _labels(words: list[str]) -> dict[str, str]:
    return {name: value for name, _, value in (word.partition("=") for word in words)}


def _health(flags: Flags) -> dict[str, Any] | None:
    found: dict[str, Any] = {}
    if flags["health-cmd"]:
        found["Test"] = ["CMD-SHELL", flags["health-cmd"]]
    for name, key in (("interval", "Interval"), ("timeout", "Timeout"), ("start-period", "StartPeriod"),
                      ("start-interval", "StartInterval"), ("retries", "Retries")):  # fmt: skip
        value = flags[f"health-{name}"]
        if value < 0:
            raise CommandError(f"--health-{name} cannot be negative")
        if value:
            found[key] = value
    if flags["no-healthcheck"]:
        if found:
            raise CommandError("--no-healthcheck conflicts with --health-* options")
        return {"Test": ["NONE"]}
    return found or None


def _host_config(flags: Flags, binds: list[str], bindings: dict[str, Any]) -> dict[str, Any]:
    added = capabilities(flags["cap-add"])
    pids, swappiness = flags["pids-limit"], flags["memory-swappiness"]
    host: dict[str, Any] = {
        "Binds": binds or None,
        "ContainerIDFile": flags["cidfile"],
        "LogConfig": {"Type": flags["log-driver"], "Config": _log_options(flags)},
        "PortBindings": bindings,
        "RestartPolicy": restart(flags["restart"]),
        "AutoRemove": flags["rm"],
        "VolumeDriver": flags["volume-driver"],
        "VolumesFrom": flags["volumes-from"] or None,
        "CapAdd": added or None,
        "CapDrop": [name for name in capabilities(flags["cap-drop"]) if name not in added] or None,
        "CgroupnsMode": flags["cgroupns"],
        "Dns": flags["dns"],
        "DnsOptions": flags["dns-option"],
        "DnsSearch": flags["dns-search"],
        "ExtraHosts": flags["add-host"] or None,
        "GroupAdd": flags["group-add"] or None,
        "IpcMode": flags["ipc"],
        "Links": flags["link"] or None,
        "OomScoreAdj": flags["oom-score-adj"],
        "PidMode": flags["pid"],
        "Privileged": flags["privileged"],
        "PublishAllPorts": flags["publish-all"],
        "ReadonlyRootfs": flags["read-only"],
        "UTSMode": flags["uts"],
        "UsernsMode": flags["userns"],
        "ShmSize": flags["shm-size"],
        "Isolation": flags["isolation"],
        "CpuShares": flags["cpu-shares"],
        "Memory": flags["memory"],
        "NanoCpus": flags["cpus"] or 0,
        "CgroupParent": flags["cgroup-parent"],
        "BlkioWeight": flags["blkio-weight"],
        "BlkioWeightDevice": flags["blkio-weight-device"],
        "BlkioDeviceReadBps": flags["device-read-bps"],
        "BlkioDeviceWriteBps": flags["device-write-bps"],
        "BlkioDeviceReadIOps": flags["device-read-iops"],
        "BlkioDeviceWriteIOps": flags["device-write-iops"],
        "CpuCount": flags["cpu-count"],
        "CpuPercent": flags["cpu-percent"],
        "IOMaximumBandwidth": flags["io-maxbandwidth"],
        "IOMaximumIOps": flags["io-maxiops"],
        "CpuPeriod": flags["cpu-period"],
        "CpuQuota": flags["cpu-quota"],
        "CpuRealtimePeriod": flags["cpu-rt-period"],
        "CpuRealtimeRuntime": flags["cpu-rt-runtime"],
        "CpusetCpus": flags["cpuset-cpus"],
        "CpusetMems": flags["cpuset-mems"],
        "Devices": [_device(word) for word in flags["device"] if not is_cdi_name(word)],
        "DeviceCgroupRules": flags["device-cgroup-rule"] or None,
        "DeviceRequests": _device_requests(flags),
        "MemoryReservation": flags["memory-reservation"],
        "MemorySwap": flags["memory-swap"],
        "MemorySwappiness": swappiness if swappiness != -1 else None,
        "OomKillDisable": flags["oom-kill-disable"],
        "PidsLimit": pids,
        "Ulimits": flags["ulimit"],
    }
    optional = {
        "KernelMemory": flags["kernel-memory"],
        "Annotations": dict(flags["annotation"]),
        "Mounts": flags["mount"],
        "Secrets": flags["secret"],
        "Configs": flags["config"],
        "Runtime": flags["runtime"],
        "Sysctls": dict(flags["sysctl"]),
        "StorageOpt": _storage_options(flags["storage-opt"]),
        "Tmpfs": {path: options for path, _, options in (word.partition(":") for word in flags["tmpfs"])},
        "ConsoleSize": _console_size(flags),
    }
    host |= {name: value for name, value in optional.items() if value}
    host |= _security(flags["security-opt"])
    if "init" in flags.given:
        host["Init"] = flags["init"]
    return host


def capabilities(words: list[str]) -> list[str]:
    """Names in capitals with CAP_ before them, each once and sorted; ALL swallows the rest."""
    upper = {word.strip().upper() for word in words} - {""}
    if "ALL" in upper:
        return ["ALL"]
    return sorted(word if word.startswith("CAP_") else f"CAP_{word}" for word in upper)


def _console_size(flags: Flags) -> list[int] | None:
    if not flags["tty"]:
        return None
    try:
        size = os.get_terminal_size(1)
    except OSError:
        return None
    return [size.lines, size.columns]


def _log_options(flags: Flags) -> dict[str, str]:
    found = dict(word.partition("=")[::2] for word in flags["log-opt"])
    if flags["log-driver"] == "none" and found:
        raise CommandError("invalid logging opts for driver none")
    return found


def restart(word: str) -> dict[str, Any]:
    name, colon, count = word.partition(":")
    if not word:
        return {"Name": "", "MaximumRetryCount": 0}
    if colon and not name:
        raise CommandError("invalid restart policy format: no policy provided before colon")
    if ":" in count:
        raise CommandError("invalid restart policy format: maximum retry count must be an integer")
    if colon and not count.removeprefix("-").isdigit():
        raise CommandError("invalid restart policy format: maximum retry count must be an integer")
    return {"Name": name, "MaximumRetryCount": int(count) if colon else 0}


def is_cdi_name(word: str) -> bool:
    """Is it `vendor.com/class=name`? (Container Device Interface, SPEC.md, "Kind" and "CDI Devices".)"""
    import re  # not in the start of other commands

    name = "[A-Za-z](?:[A-Za-z0-9_.-]*[A-Za-z0-9])?"
    return re.fullmatch(f"{name}/{name}=[A-Za-z0-9](?:[A-Za-z0-9_.:-]*[A-Za-z0-9])?", word) is not None


def _device_requests(flags: Any) -> list[dict[str, Any]] | None:
    names = [word for word in flags["device"] if is_cdi_name(word)]
    found = list(flags["gpus"] or ())
    if names:
        found.append({"Driver": "cdi", "DeviceIDs": names})
    return found or None


def _device(word: str) -> dict[str, str]:
    """`/dev/a`, `/dev/a:/dev/b`, `/dev/a:rwm`, `/dev/a:/dev/b:rwm`, or a CDI name."""
    parts = word.split(":")
    source, inside, rights = parts[0], parts[0], "rwm"
    if len(parts) == 2:
        if _is_rights(parts[1]):
            rights = parts[1]
        else:
            inside = parts[1]
    elif len(parts) == 3:
        inside, rights = parts[1] or source, parts[2]
    if len(parts) > 3 or not inside:
        raise CommandError(f"invalid device specification: {word}")
    if not source.startswith("/"):
        raise CommandError(f"{source} is not an absolute path")
    if not _is_rights(rights):
        raise CommandError(f"bad mode specified: {rights}")
    return {"PathOnHost": source, "PathInContainer": inside, "CgroupPermissions": rights}


def _is_rights(text: str) -> bool:
    return 0 < len(text) <= 3 and set(text) <= set("rwm") and len(set(text)) == len(text)


def _storage_options(words: list[str]) -> dict[str, str]:
    found = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise CommandError("invalid storage option")
        found[name] = value
    return found


def _security(words: list[str]) -> dict[str, Any]:
    """SecurityOpt, with profiles read, and what `systempaths=unconfined` stands for."""
    kept: list[str] = []
    found: dict[str, Any] = {}
    for word in words:
        if word == "systempaths=unconfined":
            found = {"MaskedPaths": [], "ReadonlyPaths": []}
            continue
        name, equals, value = word.partition("=")
        if not equals and word != "no-new-privileges":
            name, equals, value = word.partition(":")
        if (not equals and word != "no-new-privileges") or (not value and equals):
            raise CommandError(f'Invalid --security-opt: "{word}"')
        if name == "seccomp" and value not in ("unconfined", "builtin"):
            word = f"seccomp={_profile(value)}"
        kept.append(word)
    return {**found, "SecurityOpt": kept or None}


def _profile(path: str) -> str:
    from onggi import jsontext

    try:
        text = files.read(path)
    except CommandError as error:
        raise CommandError(f"opening seccomp profile ({path}) failed: {error.message}") from None
    try:
        return jsontext.dumps(jsontext.loads(text))
    except ValueError as error:
        raise CommandError(f"compacting json for seccomp profile ({path}) failed: {error}") from None
