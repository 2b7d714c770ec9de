"""Kinds of flag values with a language of their own, by the names that flag tables use.

Each takes the text of one occurrence, and raises ValueError with Docker's words.
"""

from __future__ import annotations

import os

from onggi.cli import values

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def environment(text: str) -> str:
    """`A=b`, or `A` which takes its value from here; a name that is unset here is left for the engine
    to drop.
    """
    name, equals, _ = text.partition("=")
    if not name:
        raise ValueError(f"invalid environment variable: {text}")
    if equals:
        return text
    value = os.environ.get(name)
    return text if value is None else f"{name}={value}"


def label(text: str) -> str:
    if not text.partition("=")[0]:
        raise ValueError(f"invalid label '{text}': empty name")
    return text


def attach(text: str) -> str:
    stream = text.lower()
    if stream not in ("stdin", "stdout", "stderr"):
        raise ValueError("valid streams are STDIN, STDOUT and STDERR")
    return stream


def address(text: str) -> str:
    import _socket

    for family in (_socket.AF_INET, _socket.AF_INET6):
        try:
            return _socket.inet_ntop(family, _socket.inet_pton(family, text.strip()))
        except (OSError, ValueError):
            continue
    raise ValueError(f"IP address is not correctly formatted: {text}")


def dns_search(text: str) -> str:
    text = text.strip()
    if text == ".":
        return text
    labels = text.removesuffix(".").split(".")
    fits = all(
        part and len(part) < 64 and all(letter.isalnum() or letter in "-_" for letter in part)
        for part in labels
    )
    if not fits or len(text) > 255:
        raise ValueError(f"{text} is not a valid domain")
    return text


def extra_host(text: str) -> str:
    separator = "=" if "=" in text else ":"
    name, found, target = text.partition(separator)
    if not found or not name:
        raise ValueError(f'bad format for add-host: "{text}"')
    if target == "host-gateway":
        return f"{name}:{target}"
    bare = target[1:-1] if target.startswith("[") and target.endswith("]") else target
    try:
        address(bare)
    except ValueError:
        raise ValueError(f'invalid IP address in add-host: "{target}"') from None
    return f"{name}:{bare}"


def link(text: str) -> str:
    name, colon, alias = text.partition(":")
    if not text:
        raise ValueError("empty string specified for links")
    if ":" in alias:
        raise ValueError(f"bad format for links: {text}")
    return text if colon else f"{name}:{name}"


def sysctl(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    plain = name in (
        "kernel.msgmax",
        "kernel.msgmnb",
        "kernel.msgmni",
        "kernel.sem",
        "kernel.shmall",
        "kernel.shmmax",
        "kernel.shmmni",
        "kernel.shm_rmid_forced",
    )
    if not equals or not (plain or name.startswith(("net.", "fs.mqueue."))):
        raise ValueError(f"sysctl '{text}' is not allowed")
    return name, value


def pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    return (name, value) if equals else (text, "")


def ulimit(text: str) -> dict[str, Any]:
    """`nofile=1024` or `nofile=1024:2048`; -1 is no limit."""
    name, equals, numbers = text.partition("=")
    if not equals:
        raise ValueError(f"invalid ulimit argument: {text}")
    known = (
        "as",
        "core",
        "cpu",
        "data",
        "fsize",
        "locks",
        "memlock",
        "msgqueue",
        "nice",
        "nofile",
        "nproc",
        "rss",
        "rtprio",
        "rttime",
        "sigpending",
        "stack",
    )
    if name not in known or name == "as":
        raise ValueError(f"invalid ulimit type: {name}")
    soft, colon, hard = numbers.partition(":")
    if ":" in hard:
        raise ValueError(
            f"too many limit value arguments - {numbers}, can only have up to two, `soft[:hard]`"
        )
    low = values.integer(soft)
    high = values.integer(hard) if colon else low
    if high != -1 and (low == -1 or low > high):
        raise ValueError(f"ulimit soft limit must be less than or equal to hard limit: {low} > {high}")
    return {"Name": name, "Hard": high, "Soft": low}


def throttle(text: str) -> dict[str, Any]:
    """`/dev/sda:1mb` for the flags of bytes per second."""
    path, colon, rate = text.partition(":")
    _device(text, path, colon)
    try:
        return {"Path": path, "Rate": values.size(rate)}
    except ValueError:
        raise ValueError(
            f"invalid rate for device: {text}. The correct format is <device-path>:<number>[<unit>]. "
            "Number must be a positive integer. Unit is optional and can be kb, mb, or gb"
        ) from None


def throttle_operations(text: str) -> dict[str, Any]:
    path, colon, rate = text.partition(":")
    _device(text, path, colon)
    if not rate.isdigit():
        raise ValueError(
            f"invalid rate for device: {text}. The correct format is <device-path>:<number>. "
            "Number must be a positive integer"
        )
    return {"Path": path, "Rate": int(rate)}


def weight_device(text: str) -> dict[str, Any]:
    path, colon, weight = text.partition(":")
    _device(text, path, colon)
    if not weight.isdigit() or (int(weight) and not 10 <= int(weight) <= 1000):
        raise ValueError(f"invalid weight for device: {text}")
    return {"Path": path, "Weight": int(weight)}


def _device(text: str, path: str, colon: str) -> None:
    if not colon or not path:
        raise ValueError(f"bad format: {text}")
    if not path.startswith("/dev/"):
        raise ValueError(f"bad format for device path: {text}")


def device_rule(text: str) -> str:
    """`c 13:* rwm`."""
    parts = text.split(" ")
    numbers = parts[1].split(":") if len(parts) == 3 else []
    fits = (
        len(numbers) == 2
        and parts[0] in ("a", "b", "c")
        and all(number == "*" or number.isdigit() for number in numbers)
        and 0 < len(parts[2]) <= 3
        and set(parts[2]) <= set("rwm")
    )
    if not fits:
        raise ValueError(f"invalid device cgroup format '{text}'")
    return text


def gpus(text: str) -> dict[str, Any]:
    """`all`, `2`, `"device=0,1"`, `driver=nvidia,count=1,capabilities=...`."""
    from onggi.cli.options.csv import fields

    found: dict[str, Any] = {
        "Driver": "",
        "Count": 0,
        "DeviceIDs": None,
        "Capabilities": [["gpu"]],
        "Options": {},
    }
    seen: set[str] = set()
    for field in fields(text):
        name, equals, value = field.partition("=")
        name = name.lower()
        if not equals:
            if len(fields(text)) > 1 and seen:
                raise ValueError(f"unexpected key '{field}' in '{field}'")
            name, value = "count", field
        if name in seen:
            raise ValueError(f"gpu request key '{name}' can be specified only once")
        seen.add(name)
        if name == "driver":
            found["Driver"] = value
        elif name == "count":
            found["Count"] = _gpu_count(value)
        elif name == "device":
            found["DeviceIDs"] = value.split(",")
        elif name == "capabilities":
            found["Capabilities"] = [[*value.split(","), "gpu"]]
        elif name == "options":
            found["Options"] = dict(pair(item) for item in fields(value))
        else:
            raise ValueError(f"unexpected key '{name}' in '{field}'")
    if found["Count"] == 0 and found["DeviceIDs"] is None:
        found["Count"] = 1
    return found


def _gpu_count(text: str) -> int:
    if text == "all":
        return -1
    try:
        return int(text)
    except ValueError:
        raise ValueError(
            f'invalid count ({text}): value must be either "all" or an integer: invalid syntax'
        ) from None


def network(text: str) -> dict[str, Any]:
    """A network's name, or `name=x,alias=a,ip=...,driver-opt=a=b,mac-address=...,gw-priority=1`."""
    from onggi.cli.options.csv import fields

    found: dict[str, Any] = {"Target": "", "Aliases": [], "DriverOpts": {}, "LinkLocalIPs": []}
    if "=" not in text:
        found["Target"] = text
        return found
    for field in fields(text):
        name, equals, value = field.partition("=")
        name = name.lower().strip()
        if not equals or not name:
            raise ValueError(f"invalid field {field}")
        value = value.strip()
        if name == "name":
            found["Target"] = value
        elif name == "alias":
            found["Aliases"].append(value.lower())
        elif name == "driver-opt":
            option, equals, setting = value.partition("=")
            if not equals:
                raise ValueError(f'invalid key/value pair format in driver options: "{value}"')
            found["DriverOpts"][option.strip().lower()] = setting.strip()
        elif name in ("ip", "ip6", "mac-address"):
            found[{"ip": "IPv4Address", "ip6": "IPv6Address", "mac-address": "MacAddress"}[name]] = value
        elif name == "link-local-ip":
            found["LinkLocalIPs"].append(value)
        elif name == "gw-priority":
            found["GwPriority"] = values.integer(value)
        else:
            raise ValueError(f"invalid field key {name}")
    if not found["Target"]:
        raise ValueError("network name/id is not specified")
    return found


def mount(text: str) -> dict[str, Any]:
    from onggi.cli.options import mount as language

    return language.parse(text)


def secret(text: str) -> dict[str, Any]:
    from onggi.cli.options import secret as language

    return language.secret(text)


def config(text: str) -> dict[str, Any]:
    from onggi.cli.options import secret as language

    return language.config(text)


KINDS: dict[str, Callable[[str], Any]] = {
    "list:env": environment,
    "list:label": label,
    "list:attach": attach,
    "list:ip": address,
    "list:dns-search": dns_search,
    "list:host": extra_host,
    "list:link": link,
    "list:throttle": throttle,
    "list:throttle-io": throttle_operations,
    "list:weight": weight_device,
    "list:device-rule": device_rule,
    "map:sysctl": sysctl,
    "map": pair,
    "ulimit": ulimit,
    "gpu-request": gpus,
    "network": network,
    "mount": mount,
    "secret": secret,
    "config": config,
}
