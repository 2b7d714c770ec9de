"""Every path that the engine owns, in one place.

root/                     /var/lib/onggi; persistent
    oci/                  OCI image layout: oci-layout, index.json, blobs/sha256/...
        partial/          blobs on their way in
    snapshots/KEY/        fs/ (upper or unpacked layer), work/
    volumes/NAME/_data
    containers/ID/        rootfs/ (mount point), ID-json.log*, exit.json, hostname, hosts, resolv.conf
    build/TREE/           of the build cache: contexts, checkouts, downloads, cache mounts
    trash/                renamed away, being deleted
    docker-init           the reaper of --init, bound into containers
    onggi.db              SQLite, WAL
    lock                  held by the one daemon that owns this root
exec_root/                /run/onggi; gone after a boot
    onggi.sock            Engine API
    onggi.pid
    zygote.sock
    forwarding.4 .6       links that a host without forwarding kept apart (network/forwarding.py)
    resolver.sock         of the name server process, for the engine alone
    shims/ID/             sock (the shim's socket), state (pid of shim and init, as text)
"""

from __future__ import annotations

ROOT = "/var/lib/onggi"
EXEC_ROOT = "/run/onggi"


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
    def lock(self) -> str:
        return f"{self.root}/lock"

    @property
    def reaper(self) -> str:
        """Below the root: the exec root may be mounted noexec."""
        return f"{self.root}/docker-init"

    @property
    def resolver_socket(self) -> str:
        return f"{self.exec_root}/resolver.sock"

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
