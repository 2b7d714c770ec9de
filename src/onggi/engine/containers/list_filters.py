"""The filters of `docker ps`: which containers a set of them lets through.

Values of one filter are alternatives, filters must all hold; `label` must hold for each value.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from onggi.engine import filters as filters_
from onggi.engine.containers.summary import endpoints, split_port
from onggi.engine.filters import Filters
from onggi.engine.status import Status
from onggi.errors import InvalidParameter

if TYPE_CHECKING:
    from onggi.engine.containers.table import Container
    from onggi.engine.engine import Engine

FILTERS = frozenset(
    {
        "ancestor", "before", "exited", "expose", "health", "id", "is-task", "isolation", "label", "name",
        "network", "publish", "since", "status", "volume",
    }
)  # fmt: skip
HEALTHS = frozenset({"none", "starting", "healthy", "unhealthy"})

Test = Callable[["Container"], bool]


def tests(engine: Engine, filters: Filters, images: frozenset[str]) -> list[Test]:
    """One test for each filter; `images` are the ids that `ancestor` means.

    Raises InvalidParameter, NoSuchContainer.
    """
    filters_.check(filters, FILTERS)
    found: list[Test] = []
    for name, values in filters.items():
        if values:
            found.append(_test(engine, name, list(values), images))
    return found


def _test(engine: Engine, name: str, values: list[str], images: frozenset[str]) -> Test:
    match name:
        case "id":
            return lambda c: any(value and c.id.startswith(value) for value in values)
        case "name":
            names = filters_.Names("name", values)
            return lambda c: names.find(c.name) or names.find(f"/{c.name}")
        case "label":
            return lambda c: filters_.labels_match(c.record.config.labels, values)
        case "status":
            states = {str(status) for status in Status}
            return _one_of(values, states, lambda c: str(c.status), "invalid filter 'status={}'")
        case "health":
            return _one_of(values, HEALTHS, _health, "unrecognised filter value for health: {}")
        case "exited":
            codes = {_code(value) for value in values}
            return lambda c: not c.running and bool(c.record.started_at) and c.record.exit_code in codes
        case "ancestor":
            return lambda c: c.record.image_id in images
        case "before" | "since":
            return _around(engine, name, values)
        case "volume":
            return lambda c: any(v in (m.name, m.target, m.source) for v in values for m in c.record.mounts)
        case "network":
            return lambda c: _in_network(engine, c, values)
        case "publish":
            wanted = _ports(name, values)
            return lambda c: any(split_port(key) in wanted for key, bound in c.record.ports.items() if bound)
        case "expose":
            wanted = _ports(name, values)
            return lambda c: any(split_port(key) in wanted for key in c.record.config.exposed_ports or {})
        case "is-task":
            tasks = filters_.truth({name: values}, name)
            return lambda c: not tasks  # a container of this engine is never a swarm's task
        case _:
            return lambda c: True  # of Windows engines: looked at nowhere else


def _one_of(
    values: list[str], known: set[str] | frozenset[str], fact: Callable[[Container], str], words: str
) -> Test:
    for value in values:
        if value not in known:
            raise InvalidParameter(words.format(value))
    return lambda c: fact(c) in values


def _health(container: Container) -> str:
    health = container.record.health
    return health.status if health is not None else "none"


def _code(value: str) -> int:
    digits = value[1:] if value[:1] in ("-", "+") else value
    if not (digits.isascii() and digits.isdigit()) or len(digits) > 18:
        raise InvalidParameter(
            f"invalid filter 'exited={value}': strconv.Atoi: parsing \"{value}\": invalid syntax"
        )
    return int(value)


def _around(engine: Engine, name: str, values: list[str]) -> Test:
    instants = [engine.containers.get(value).record.created_at for value in values]
    if name == "before":
        return lambda c: all(c.record.created_at < instant for instant in instants)
    return lambda c: all(c.record.created_at > instant for instant in instants)


def _in_network(engine: Engine, container: Container, values: list[str]) -> bool:
    for name, endpoint in endpoints(container.record).items():
        network = endpoint.network_id or next((n.id for n in engine.networks.all() if n.name == name), "")
        if any(value == name or (network and network.startswith(value)) for value in values):
            return True
    return False


def _ports(name: str, values: list[str]) -> set[tuple[int, str]]:
    """`80`, `80/udp`, `8000-8010/tcp` as (port, protocol)."""
    found: set[tuple[int, str]] = set()
    for value in values:
        numbers, _, kind = value.partition("/")
        try:
            first, last = _range(numbers)
        except InvalidParameter as error:
            raise InvalidParameter(f"error while looking up for {name} {value}: {error.message}") from None
        found |= {(port, kind or "tcp") for port in range(first, last + 1)}
    return found


def _range(text: str) -> tuple[int, int]:
    """Docker's words (go-connections, ParsePortRange)."""
    if not text:
        raise InvalidParameter("empty string specified for ports")
    first, dash, last = text.partition("-")
    found = _port(first), _port(last if dash else first)
    if found[1] < found[0]:
        raise InvalidParameter(f"invalid range specified for port: {text}")
    return found


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise InvalidParameter(f'strconv.ParseUint: parsing "{text}": invalid syntax')
    if len(text) > 18 or int(text) > 65535:
        raise InvalidParameter(f'strconv.ParseUint: parsing "{text}": value out of range')
    return int(text)
