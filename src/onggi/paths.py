"""Every path that the engine owns, in one place.

root/                     /var/lib/onggi; persistent
    oci/                  OCI image layout: oci-layout, index.json, blobs/sha256/...
        partial/          blobs on their way in
    snapshots/KEY/        fs/ (upper or unpacked layer), work/
    volumes/NAME/_data
    containers/ID/        rootfs/, secrets/ (mount points), ID-json.log*, exit.json, hostname, hosts, ...
    recipes/HEX           what a plain layer has besides its files' content (images/recipes.py)
    build/TREE/           of the build cache: contexts, checkouts, downloads, cache mounts
    trash/                renamed away, being deleted
    docker-init           the reaper of --init, bound into containers
    onggi.db              SQLite, WAL
    secrets.key           what secrets are sealed with (store/sealing.py)
    lock                  held by the one daemon that owns this root
exec_root/                /run/onggi; gone after a boot
    onggi.sock            Engine API
    onggi.pid
    zygote.sock
    forwarding.4 .6       links that a host without forwarding kept apart (network/forwarding.py)
    resolver.sock         of the name server process, for the engine alone
    relay.sock            of the process that carries published ports
    outside.sock          rootless: of the process in the host's network namespace (network/rootless/)
    bundle/               always empty; where a launcher alone sees the bundle of another runtime's container
    runtimes/NAME/        what the runtime of that name keeps of its containers (--root)
    images/HEX/           an image that is mounted for the host's programs (0700 above)
    shims/ID/             sock (the shim's socket), state (pid of shim and init, as text)
    namespaces            rootless: which namespaces the engine lives in (daemon/rootless/namespaces.py)
    rootless.lock         rootless: held by the two processes of an engine

Rootless (docs/design/rootless.md) both lie in the user's own directories: `rootless()`.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = "/var/lib/onggi"
EXEC_ROOT = "/run/onggi"
CONFIG_FILE = "/etc/onggi/daemon.json"


def rootless(environment: Mapping[str, str], uid: int) -> tuple[Paths, str]:
    """The places of an ordinary user's engine, and its configuration file.

    XDG Base Directory Specification. Without XDG_RUNTIME_DIR it is /run/user/UID where that is his (sudo and
    su leave the variable out), else a directory below his home, as Docker's rootless mode has it.
    """
    home = environment.get("HOME", "").rstrip("/")
    data = environment.get("XDG_DATA_HOME", "") or f"{home}/.local/share"
    config = environment.get("XDG_CONFIG_HOME", "") or f"{home}/.config"
    runtime = environment.get("XDG_RUNTIME_DIR", "") or f"/run/user/{uid}"
    if not _is_of(runtime, uid):
        runtime = f"{home}/.onggi/run"
    return Paths(f"{data}/onggi", f"{runtime.rstrip('/')}/onggi"), f"{config}/onggi/daemon.json"


def _is_of(directory: str, uid: int) -> bool:
    try:
        return os.stat(directory).st_uid == uid
    except OSError:
        return False


class Paths:
    """The places under one root and one exec root; strings, absolute, without a trailing slash."""

    __slots__ = ("exec_root", "root")

    def __init__(self, root: str = ROOT, exec_root: str = EXEC_ROOT) -> None:
        self.root = root.rstrip("/")
        self.exec_root = exec_root.rstrip("/")

    @property
    def oci_dir(self) -> str:
        return f"{self.root}/oci"

    @property
    def blobs_dir(self) -> str:
        return f"{self.root}/oci/blobs/sha256"

    @property
    def partial_dir(self) -> str:
        return f"{self.root}/oci/partial"

    @property
    def recipes_dir(self) -> str:
        return f"{self.root}/recipes"

    def recipe(self, digest: str) -> str:
        """Of a layer whose blob was dropped: images/elsewhere.py."""
        return f"{self.recipes_dir}/{digest.removeprefix('sha256:')}"

    @property
    def snapshots_dir(self) -> str:
        return f"{self.root}/snapshots"

    @property
    def volumes_dir(self) -> str:
        return f"{self.root}/volumes"

    @property
    def containers_dir(self) -> str:
        return f"{self.root}/containers"

    @property
    def build_dir(self) -> str:
        return f"{self.root}/build"

    @property
    def trash_dir(self) -> str:
        return f"{self.root}/trash"

    @property
    def database(self) -> str:
        return f"{self.root}/onggi.db"

    @property
    def secrets_key(self) -> str:
        """What secrets are sealed with: store/sealing.py."""
        return f"{self.root}/secrets.key"

    @property
    def lock(self) -> str:
        return f"{self.root}/lock"

    @property
    def reaper(self) -> str:
        """Below the root: the exec root may be mounted noexec."""
        return f"{self.root}/docker-init"

    @property
    def namespaces_note(self) -> str:
        return f"{self.exec_root}/namespaces"

    @property
    def rootless_lock(self) -> str:
        return f"{self.exec_root}/rootless.lock"

    @property
    def resolver_socket(self) -> str:
        return f"{self.exec_root}/resolver.sock"

    @property
    def relay_socket(self) -> str:
        return f"{self.exec_root}/relay.sock"

    @property
    def outside_socket(self) -> str:
        return f"{self.exec_root}/outside.sock"

    @property
    def forwarding_note(self) -> str:
        """With .4 and .6 after it: the links that a host without forwarding kept apart."""
        return f"{self.exec_root}/forwarding"

    @property
    def socket(self) -> str:
        return f"{self.exec_root}/onggi.sock"

    @property
    def pid_file(self) -> str:
        return f"{self.exec_root}/onggi.pid"

    @property
    def shims_dir(self) -> str:
        return f"{self.exec_root}/shims"

    @property
    def bundle_place(self) -> str:
        """Where launchers lay bundles, each in a mount namespace of its own (spawn/foreign.py)."""
        return f"{self.exec_root}/bundle"

    def runtime_state(self, name: str) -> str:
        return f"{self.exec_root}/runtimes/{name}"

    @property
    def image_mounts_dir(self) -> str:
        """Images that are mounted for the host's programs."""
        return f"{self.exec_root}/images"

    def image_mount(self, image_id: str) -> str:
        return f"{self.image_mounts_dir}/{image_id.removeprefix('sha256:')}"

    def container_dir(self, container_id: str) -> str:
        return f"{self.root}/containers/{container_id}"

    def rootfs(self, container_id: str) -> str:
        return f"{self.root}/containers/{container_id}/rootfs"

    def log(self, container_id: str) -> str:
        return f"{self.root}/containers/{container_id}/{container_id}-json.log"

    def exit_record(self, container_id: str) -> str:
        return f"{self.root}/containers/{container_id}/exit.json"

    def shim_dir(self, container_id: str) -> str:
        return f"{self.exec_root}/shims/{container_id}"

    def volume_data(self, name: str) -> str:
        return f"{self.root}/volumes/{name}/_data"
