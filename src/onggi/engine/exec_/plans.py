"""The plan of a further process in a running container: its own settings, changed by the request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from onggi.engine import apparmor, image_users, run_paths, runtimes
from onggi.engine.containers import etc_files
from onggi.engine.networks import links
from onggi.engine.oci import process, security
from onggi.engine.oci.namespaces import Joined, namespaces
from onggi.engine.secrets import placing
from onggi.engine.userns import stdio
from onggi.runtime import compile
from onggi.wire.containers import ExecCreateRequest

if TYPE_CHECKING:
    from onggi.engine.engine import Engine
    from onggi.engine.record import ContainerRecord


def compile_exec(engine: Engine, record: ContainerRecord, request: ExecCreateRequest) -> dict[str, Any]:
    """Blocking. Raises InvalidParameter (an unknown user), OSError."""
    host = record.host_config
    if request.privileged:
        host = msgspec.structs.replace(host, privileged=True)
    options = security.options_of(host, engine.config)
    user = image_users.of_running(
        record.root_pid or record.pid, request.user or record.config.user, host.group_add
    )
    capabilities = security.capabilities(host)
    apparmor.ensure(record.apparmor)
    config = record.config
    linked = links.environment(engine, record, strict=False)
    env = process.environment(config, hostname=etc_files.hostname(record), home=user.home, linked=linked)
    if request.tty and not config.tty:
        env = process.merge(["TERM=xterm"], env)
    document = process.process(
        args=request.cmd,
        env=process.merge(process.merge(env, placing.environment(engine, record)), request.env),
        cwd=request.working_dir or config.working_dir,
        user=user,
        tty=request.tty,
        capabilities=capabilities,
        no_new_privileges=options.no_new_privileges and not request.privileged,
        rlimits=process.rlimits(host.ulimits, engine.config.default_ulimits),
        console_size=request.console_size,
        apparmor=record.apparmor,  # also where the exec is privileged: Docker's rule
    )
    if record.runtime:
        plan = compile.foreign_process(
            document,
            container_id=record.id,
            runtime=record.runtime,
            place=runtimes.place(engine.paths, record),
        )
        stdio.give(plan, record.id_maps, document)
        return plan
    limited = engine.quotas.limits(record)
    profile = security.seccomp_profile(host, options, capabilities, limited=limited)
    return _compile(engine, record, document, profile)


def _compile(
    engine: Engine, record: ContainerRecord, document: dict[str, Any], profile: dict[str, Any] | None
) -> dict[str, Any]:
    joined = Joined()
    listed = namespaces(record.host_config, joined, user=record.id_maps is not None)
    linux: dict[str, Any] = {"namespaces": listed}
    if profile is not None:
        linux["seccomp"] = profile
    plan = compile.process(
        document,
        container={"linux": linux},
        container_id=record.id,
        init_pid=record.pid,
        layout=engine.cgroups,
        cgroups_path=run_paths.cgroup(engine, record),
    )
    stdio.give(plan, record.id_maps, document)
    return plan
