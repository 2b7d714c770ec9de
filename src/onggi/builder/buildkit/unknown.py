"""Methods that this engine has not: refused by name, in a form that every gRPC client reads."""

from __future__ import annotations

from typing import Any

from grpclib.const import Cardinality, Handler, Status
from grpclib.exceptions import GRPCError

from onggi.builder.buildkit.messages import kind

CONTAINERS = (
    "containers of a client's own (buildx --invoke, debug) are not run by this engine: "
    "docker run the image of a stage (docker buildx build --target STAGE --load), or onggi builder shell for "
    "a step that failed"
)
REASONS = {
    "/moby.buildkit.v1.frontend.LLBBridge/NewContainer": CONTAINERS,
    "/moby.buildkit.v1.frontend.LLBBridge/ReleaseContainer": CONTAINERS,
    "/moby.buildkit.v1.frontend.LLBBridge/ExecProcess": CONTAINERS,
}


class Methods(dict[str, Handler]):
    """The methods that there are, by path; any other path has a handler that refuses."""

    def get(self, path: str, default: Any = None) -> Any:
        found = super().get(path, default)
        return found if found is not None else _refusing(path)


def _refusing(path: str) -> Handler:
    why = REASONS.get(path, "this engine does not know it")

    async def refuse(stream: Any) -> None:
        raise GRPCError(Status.UNIMPLEMENTED, f"{path.rpartition('/')[2]}: {why}")

    return Handler(refuse, Cardinality.STREAM_STREAM, kind("Empty"), kind("Empty"))
