"""A container's record -> the OCI runtime document that runs it: pure functions, one file for each part.

document.py     the whole document out of a record and the facts of this run
process.py      arguments, environment, working directory, rlimits
security.py     capabilities, seccomp, masked and read-only paths, security options
mounts.py       Docker's default mounts and those that the user asked for
namespaces.py   which namespaces are new, the host's, or another container's
resources.py    limits of the cgroups, and device rules
devices.py      --device and --privileged
"""
