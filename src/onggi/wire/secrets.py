"""Secrets and configs of the Engine API, as JSON (engine-api 1.55), and how a container asks for them.

The references are those of a service (ContainerSpec.Secrets, ContainerSpec.Configs); in HostConfig they are
Onggi's own, as is Environment.
"""

from __future__ import annotations

from msgspec import field

from onggi.wire.base import Wire


class SecretDriver(Wire, frozen=True, kw_only=True):
    name: str = field(name="Name", default="")
    options: dict[str, str] = field(name="Options", default_factory=dict)


class SecretSpec(Wire, frozen=True, kw_only=True):
    """Data is base64 in JSON; a secret is never shown with it."""

    OMIT = ("data", "driver", "templating")

    name: str = field(name="Name", default="")
    labels: dict[str, str] = field(name="Labels", default_factory=dict)
    data: bytes = field(name="Data", default=b"")
    driver: SecretDriver | None = field(name="Driver", default=None)
    templating: SecretDriver | None = field(name="Templating", default=None)


class SecretVersion(Wire, frozen=True, kw_only=True):
    index: int = field(name="Index", default=0)


class Secret(Wire, frozen=True, kw_only=True):
    """A secret or a config: the two have one form."""

    id: str = field(name="ID", default="")
    version: SecretVersion = field(name="Version", default_factory=SecretVersion)
    created_at: str = field(name="CreatedAt", default="")
    updated_at: str = field(name="UpdatedAt", default="")
    spec: SecretSpec = field(name="Spec", default_factory=SecretSpec)


class SecretCreateResponse(Wire, frozen=True, kw_only=True):
    id: str = field(name="ID", default="")


class SecretFile(Wire, frozen=True, kw_only=True):
    """Where a container finds it; `mode` None is 0444."""

    OMIT = ("mode",)

    name: str = field(name="Name", default="")
    uid: str = field(name="UID", default="")
    gid: str = field(name="GID", default="")
    mode: int | None = field(name="Mode", default=None)


class SecretReference(Wire, frozen=True, kw_only=True):
    OMIT = ("file", "environment")

    file: SecretFile | None = field(name="File", default=None)
    secret_id: str = field(name="SecretID", default="")
    secret_name: str = field(name="SecretName", default="")
    environment: str = field(name="Environment", default="")  # a variable's name, in place of a file


class ConfigReference(Wire, frozen=True, kw_only=True):
    OMIT = ("file", "runtime")

    file: SecretFile | None = field(name="File", default=None)
    runtime: dict[str, object] | None = field(name="Runtime", default=None)
    config_id: str = field(name="ConfigID", default="")
    config_name: str = field(name="ConfigName", default="")
