"""`attach` and a container that ends meanwhile."""

from __future__ import annotations

import io
import socket
from types import SimpleNamespace
from typing import Any

from onggi.cli.commands.container import attach


class Ending:
    """An engine whose container ends between the first question and the attach."""

    def __init__(self) -> None:
        self.ours, self.theirs = socket.socketpair()
        self.running = True

    def get(self, path: str) -> Any:
        state = {"Running": self.running, "Paused": False, "Restarting": False}
        return {"Id": "c", "State": state, "Config": {"Tty": False, "OpenStdin": False}}

    def open(self, method: str, path: str, parameters: Any, *, fresh: bool) -> Any:
        self.running = False
        return io.BytesIO(b'{"StatusCode": 3}')

    def hijack(self, path: str, parameters: Any) -> Any:
        return self.ours, b"", ""


def test_a_container_that_ended_before_the_attach_is_not_waited_for() -> None:
    engine = Ending()
    flags = {"no-stdin": False, "sig-proxy": True, "detach-keys": ""}
    assert attach.run(SimpleNamespace(engine=engine), flags, ["c"]) == 3  # type: ignore[arg-type]
    engine.theirs.close()
