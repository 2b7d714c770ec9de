"""Every command there is: where it lives, its other names, and its line in the help pages.

The one table that main.py, help.py and completion read. A row is path -> (module below onggi.cli.commands,
aliases, summary). A command's page lists all its names; a noun's page lists the rows below it, in order.
"""

from __future__ import annotations

COMMANDS: dict[str, tuple[str, tuple[str, ...], str]] = {
    "run": ("container.run", ("container run",), "Create and run a new container from an image"),
    "exec": ("container.exec_", ("container exec",), "Execute a command in a running container"),
    "ps": ("container.ls", ("container ls", "container list", "container ps"), "List containers"),
    "pull": ("image.pull", ("image pull",), "Download an image from a registry"),
    "images": ("image.ls", ("image ls", "image list"), "List images"),
    "version": ("system.version", (), "Show the version of the command and of the engine"),
    "info": ("system.info", ("system info",), "Display system-wide information"),
    "attach": ("container.attach", ("container attach",), "Connect this terminal to a running container"),
    "commit": ("container.commit", ("container commit",), "Create a new image from a container's changes"),
    "cp": ("container.cp", ("container cp",), "Copy files between a container and this machine"),
    "create": ("container.create", ("container create",), "Create a new container"),
    "diff": ("container.diff", ("container diff",), "Show what changed in a container's file system"),
    "events": ("system.events", ("system events",), "Show the engine's events as they happen"),
    "export": ("container.export", ("container export",), "Write a container's file system as a tar archive"),
    "history": ("image.history", ("image history",), "Show the history of an image"),
    "import": ("image.import_", ("image import",), "Make an image of a tar archive of a file system"),
    "inspect": ("system.inspect", (), "Show everything that is known of one or more objects"),
    "kill": ("container.kill", ("container kill",), "Kill one or more running containers"),
    "load": ("image.load", ("image load",), "Load images from a tar archive or stdin"),
    "logs": ("container.logs", ("container logs",), "Fetch the logs of a container"),
    "pause": ("container.pause", ("container pause",), "Freeze all processes of one or more containers"),
    "port": ("container.port", ("container port",), "List a container's published ports, or look one up"),
    "rename": ("container.rename", ("container rename",), "Rename a container"),
    "restart": ("container.restart", ("container restart",), "Restart one or more containers"),
    "rm": ("container.rm", ("container rm", "container remove"), "Remove one or more containers"),
    "rmi": ("image.rm", ("image rm", "image remove"), "Remove one or more images"),
    "save": ("image.save", ("image save",), "Save one or more images to a tar archive (stdout by default)"),
    "start": ("container.start", ("container start",), "Start one or more stopped containers"),
    "stats": ("container.stats", ("container stats",), "Show the resources that containers use, live"),
    "stop": ("container.stop", ("container stop",), "Stop one or more running containers"),
    "tag": ("image.tag", ("image tag",), "Give an image another name"),
    "top": ("container.top", ("container top",), "Show the running processes of a container"),
    "unpause": ("container.unpause", ("container unpause",), "Let the processes of paused containers run on"),
    "update": ("container.update", ("container update",), "Change the limits of one or more containers"),
    "wait": (
        "container.wait",
        ("container wait",),
        "Wait until containers stop, then print their exit codes",
    ),
    "container inspect": ("container.inspect", (), "Show everything about one or more containers"),
    "container prune": ("container.prune", (), "Remove all stopped containers"),
    "image bootstrap": ("image.bootstrap", (), "Build a base image of a distribution, without a registry"),
    "image inspect": ("image.inspect", (), "Show everything about one or more images"),
    "image prune": ("image.prune", (), "Remove unused images"),
    "volume create": ("volume.create", (), "Create a volume"),
    "volume inspect": ("volume.inspect", (), "Show everything about one or more volumes"),
    "volume ls": ("volume.ls", ("volume list",), "List volumes"),
    "volume prune": ("volume.prune", (), "Remove unused local volumes"),
    "volume rm": ("volume.rm", ("volume remove",), "Remove one or more volumes"),
    "network connect": ("network.connect", (), "Connect a container to a network"),
    "network create": ("network.create", (), "Create a network"),
    "network disconnect": ("network.disconnect", (), "Disconnect a container from a network"),
    "network inspect": ("network.inspect", (), "Show everything about one or more networks"),
    "network ls": ("network.ls", ("network list",), "List networks"),
    "network prune": ("network.prune", (), "Remove unused networks"),
    "network rm": ("network.rm", ("network remove",), "Remove one or more networks"),
    "system check": ("system.check", (), "Look for faults of the store, and mend them"),
    "system df": ("system.df", (), "Show how much disk the engine uses"),
    "system prune": ("system.prune", (), "Remove unused data"),
    "system install": ("system.install", (), "Install the engine as a service of this machine"),
    "system uninstall": ("system.uninstall", (), "Remove the engine's service from this machine"),
    "context inspect": ("context.inspect", (), "Show everything about the context"),
    "context ls": ("context.ls", ("context list",), "List contexts"),
    "context show": ("context.show", (), "Print the name of the current context"),
    "daemon": ("daemon", (), "Run the engine in the foreground"),
    "completion": ("completion", (), "Print a completion script for bash, zsh, fish or powershell"),
}

NOUNS: dict[str, str] = {
    "container": "Manage containers",
    "context": "Manage contexts",
    "image": "Manage images",
    "network": "Manage networks",
    "system": "Manage the engine",
    "volume": "Manage volumes",
}

COMMON = ("run", "exec", "ps", "pull", "images", "version", "info")

ALIASES: dict[str, str] = {alias: path for path, row in COMMANDS.items() for alias in row[1]}
