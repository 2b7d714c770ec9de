"""An OCI runtime document (runtime-spec 1.2, Linux) compiled into a plan; pure functions.

    container(config, ...) -> Plan     everything from namespaces to execve, for spawn.launch
    process(process, ...)  -> Plan     a process inside a running container, for spawn.join
    foreign(config, ...), foreign_process(process, ...) -> Plan    by another OCI runtime, for spawn.foreign

What is wrong in a document is InvalidParameter and names its JSON path and value; what a machine cannot
grant is the step's error when it is executed.

    document.py    reading fields with their types        container.py   the order of a container's steps
    namespaces.py  new ones, joined ones, id maps          process.py     user, capabilities, limits, execve
    mounts.py      options of mounts, cgroup mounts        devices.py     nodes and links in /dev
    hooks.py       the six kinds                           sysctls.py     which may be set in which namespace
    foreign.py     the document for another OCI runtime
"""

from __future__ import annotations

from onggi.runtime.compile.container import container
from onggi.runtime.compile.foreign import foreign, foreign_process
from onggi.runtime.compile.process import process

__all__ = ["container", "foreign", "foreign_process", "process"]
