"""Published ports: how `ps` writes them, and what -p and --expose mean.

-p 80  -p 8080:80  -p 127.0.0.1:8080:80/udp  -p 8000-8010:8000-8010  -p [::1]:8080:80
"""

from __future__ import annotations

from onggi.cli.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_PROTOCOLS = ("tcp", "udp", "sctp")


def displayed(ports: list[dict[str, Any]]) -> str:
    """The PORTS column: neighbouring numbers are joined to ranges, published ones come last."""
    groups: dict[tuple[str, str], tuple[int, int]] = {}
    mapped: list[str] = []
    plain: list[str] = []
    ordered = sorted(
        ports,
        key=lambda port: (
            port.get("PrivatePort", 0),
            port.get("IP", ""),
            port.get("PublicPort", 0),
            port["Type"],
        ),
    )
    for port in ordered:
        inside, outside = port.get("PrivatePort", 0), port.get("PublicPort", 0)
        address, kind = port.get("IP", ""), port.get("Type", "tcp")
        if address and outside != inside:
            shown = f"[{address}]" if ":" in address else address
            mapped.append(f"{shown}:{outside}->{inside}/{kind}")
            continue
        key = (address, kind)
        if key in groups and inside == groups[key][1] + 1:
            groups[key] = (groups[key][0], inside)
            continue
        if key in groups:
            plain.append(_group(key, *groups[key]))
        groups[key] = (inside, inside)
    plain += [_group(key, first, last) for key, (first, last) in groups.items()]
    return ", ".join(plain + mapped)


def _group(key: tuple[str, str], first: int, last: int) -> str:
    address, kind = key
    numbers = str(first) if first == last else f"{first}-{last}"
    if not address:
        return f"{numbers}/{kind}"
    shown = f"[{address}]" if ":" in address else address
    return f"{shown}:{numbers}->{numbers}/{kind}"


def _range(text: str, what: str, whole: str) -> tuple[int, int]:
    first, dash, last = text.partition("-")
    try:
        low = int(first)
        high = int(last) if dash else low
    except ValueError:
        raise CommandError(f"invalid {what}: {whole}") from None
    if not (0 <= low <= high <= 65535) or not first.isdigit():
        raise CommandError(f"invalid {what}: {whole}")
    return low, high


def publish(words: list[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """(exposed ports, port bindings) of the words of -p. Raises CommandError."""
    exposed: dict[str, Any] = {}
    bindings: dict[str, Any] = {}
    for word in words:
        for port, address, outside in _one(_short_form(word)):
            exposed[port] = {}
            bindings.setdefault(port, []).append({"HostIp": address, "HostPort": outside})
    return exposed, bindings


def _short_form(word: str) -> str:
    """The long form `target=80,published=8080,protocol=tcp,mode=host` as a short one. Raises CommandError."""
    if "=" not in word:
        return word
    found = {"protocol": "tcp", "published": "", "target": "", "mode": ""}
    for field in word.split(","):
        name, equals, value = field.partition("=")
        name = {"src": "published", "dst": "target"}.get(name.strip().lower(), name.strip().lower())
        if not equals:
            raise CommandError(f"invalid field {field}")
        if name not in found:
            raise CommandError(f"invalid field key {name}")
        found[name] = value
    if not found["target"]:
        raise CommandError("missing mandatory field 'target'")
    return f"{found['published']}:{found['target']}/{found['protocol']}".lstrip(":")


def _one(word: str) -> list[tuple[str, str, str]]:
    rest, slash, protocol = word.rpartition("/")
    if not slash:
        rest, protocol = word, "tcp"
    address = ""
    if rest.startswith("["):
        address, _, rest = rest[1:].partition("]:")
        parts = rest.split(":")
    else:
        parts = rest.split(":")
        if len(parts) > 2:
            address, parts = ":".join(parts[:-2]), parts[-2:]
    inside = parts[-1]
    outside = parts[0] if len(parts) > 1 else ""
    if not inside:
        raise CommandError(f"no port specified: {word}<empty>")
    if address and not _is_address(address):
        raise CommandError(f"invalid IP address: {address}")
    low, high = _range(inside, "containerPort", inside)
    start, end = _range(outside, "hostPort", outside) if outside else (0, 0)
    if outside and end - start != high - low and high != low:
        raise CommandError(f"invalid ranges specified for container and host Ports: {inside} and {outside}")
    if protocol.lower() not in _PROTOCOLS:
        raise CommandError(f"invalid proto: {protocol}")
    found = []
    for at in range(high - low + 1):
        host = ""
        if outside:
            host = f"{start}-{end}" if low == high and start != end else str(start + at)
        found.append((f"{low + at}/{protocol.lower()}", address, host))
    return found


def _is_address(text: str) -> bool:
    import _socket

    for family in (_socket.AF_INET, _socket.AF_INET6):
        try:
            _socket.inet_pton(family, text.partition("%")[0])
            return True
        except OSError:
            continue
    return False


def expose(words: list[str]) -> list[str]:
    """`80`, `80/udp`, `8000-8010` as port names. Raises CommandError."""
    found = []
    for word in words:
        numbers, slash, protocol = word.partition("/")
        first, dash, last = numbers.partition("-")
        for part in (first, last) if dash else (first,):
            if ":" in word:
                raise CommandError(f"invalid port format for --expose: {word}")
            if not part.isdigit():
                raise CommandError(
                    f"invalid range format for --expose: {word}, error: "
                    f'strconv.ParseUint: parsing "{part}": invalid syntax'
                )
        for number in range(int(first), int(last if dash else first) + 1):
            found.append(f"{number}/{(protocol if slash else 'tcp').lower()}")
    return found
