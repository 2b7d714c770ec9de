"""What this command is called: onggi, or docker where it is started by that name (install --as-docker).

Called docker, it says docker of itself, in usage lines and errors, and looks for the engine where Docker's
client does.
"""

from __future__ import annotations

import os
import sys

NAME = "docker" if sys.argv and os.path.basename(sys.argv[0]) == "docker" else "onggi"
DOCKER_SOCKET = "/var/run/docker.sock"
DOCKER_VERSION = "28.2.2"  # the command line that ours is measured by


def version() -> str:
    """The line of --version. Scripts read "Docker version N" of a program that is called docker."""
    from onggi import __version__

    if NAME == "docker":
        return f"Docker version {DOCKER_VERSION}, build onggi-{__version__}"
    return f"Onggi version {__version__}"
