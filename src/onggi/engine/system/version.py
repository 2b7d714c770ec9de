"""The versions of the engine, of what it stands on, and of the API."""

from __future__ import annotations

import sqlite3
import sys
from typing import TYPE_CHECKING

from onggi import __version__
from onggi.engine.rootless import Rootless
from onggi.engine.system import host
from onggi.wire.system import SystemVersion, SystemVersionComponents, SystemVersionPlatform

if TYPE_CHECKING:
    from onggi.engine.engine import Engine

API_VERSION = "1.55"
MIN_API_VERSION = "1.24"


async def version(engine: Engine) -> SystemVersion:
    """Version of `docker version`. `GoVersion` is empty: there is no Go in it; the details name Python."""
    python = ".".join(str(part) for part in sys.version_info[:3])
    details = {
        "ApiVersion": API_VERSION,
        "Arch": host.goarch(),
        "BuildTime": "",
        "Experimental": "false",
        "GitCommit": "",
        "GoVersion": "",
        "KernelVersion": host.kernel(),
        "MinAPIVersion": MIN_API_VERSION,
        "Os": "linux",
        "PythonVersion": python,
    }
    own = engine.config.rootless
    rootless = [_rootless(own, engine.networks.uplink.state.driver)] if own else []
    return SystemVersion(
        platform=SystemVersionPlatform(name="Onggi"),
        components=[
            SystemVersionComponents(name="Engine", version=__version__, details=details),
            SystemVersionComponents(name="onggi-runtime", version=__version__, details={"OCI": "1.2.0"}),
            SystemVersionComponents(
                name="python", version=python, details={"SQLite": sqlite3.sqlite_version}
            ),
            *rootless,
        ],
        version=__version__,
        api_version=API_VERSION,
        min_api_version=MIN_API_VERSION,
        os="linux",
        arch=host.goarch(),
        kernel_version=host.kernel(),
    )


def _rootless(own: Rootless, driver: str) -> SystemVersionComponents:
    """Where dockerd lists rootlesskit and its network driver."""
    details = {
        "Ids": "single" if own.single_id else "subordinate",
        "NetworkDriver": driver,
        "StateDir": own.exec_root,
    }
    return SystemVersionComponents(name="rootless", version=__version__, details=details)
