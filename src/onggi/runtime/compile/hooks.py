"""`hooks`: programs of the host around a container's life (config.md, POSIX-platform hooks)."""

from __future__ import annotations

from onggi import jsontext
from onggi.runtime.compile.document import field, objects, strings, wrong

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from onggi.spawn.plan import Step

_STATUS = {
    "prestart": "creating",
    "createRuntime": "creating",
    "createContainer": "creating",
    "startContainer": "created",
    "poststart": "running",
    "poststop": "stopped",
}


def hooks(config: dict[str, Any], container_id: str, bundle_dir: str) -> dict[str, list[Step]]:
    """Steps of each kind. Raises InvalidParameter."""
    document = field(config, "hooks", dict, {})
    return {kind: _kind(document, kind, config, container_id, bundle_dir) for kind in _STATUS}


def _kind(
    document: dict[str, Any], kind: str, config: dict[str, Any], container_id: str, bundle_dir: str
) -> list[Step]:
    steps: list[Step] = []
    for index, entry in enumerate(objects(document, kind, "hooks")):
        where = f"hooks.{kind}[{index}]"
        path = field(entry, "path", str, "", where)
        if not path.startswith("/"):
            raise wrong(f"{where}.path", path, "is not an absolute path")
        timeout = field(entry, "timeout", int, 0, where)
        if timeout < 0 or (timeout == 0 and entry.get("timeout") is not None):
            raise wrong(f"{where}.timeout", timeout, "is not greater than zero")
        args, env = tuple(strings(entry, "args", where)), tuple(strings(entry, "env", where))
        before, after = _state(config, container_id, bundle_dir, _STATUS[kind])
        steps.append(("hook", kind, path, args, env, timeout, before, after))
    return steps


def _state(config: dict[str, Any], container_id: str, bundle_dir: str, status: str) -> tuple[str, str]:
    """The state as JSON, cut where the pid belongs (runtime.md, State)."""
    state = {"ociVersion": config.get("ociVersion", "1.2.0"), "id": container_id, "status": status}
    rest: dict[str, Any] = {"bundle": bundle_dir}
    if config.get("annotations"):
        rest["annotations"] = config["annotations"]
    return jsontext.dumps(state)[:-1] + ',"pid":', "," + jsontext.dumps(rest)[1:]
