"""What a command is given: the engine's address, made when first used, and where to print.

The only place that reads DOCKER_HOST, ONGGI_HOST and the TLS variables. Not here: calls (engine.py).
"""

from __future__ import annotations

import os
import sys

from onggi.cli.errors import CommandError
from onggi.cli.program import DOCKER_SOCKET, NAME

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from onggi.cli.contexts import Context
    from onggi.cli.engine import Address, Engine
    from onggi.cli.flags import Flags


class Session:
    """One command line being run; `spelled` is the command as the user wrote it (`container ls`)."""

    def __init__(self, options: Flags, spelled: str) -> None:
        self.options = options
        self.spelled = spelled
        self._engine: Engine | None = None
        self._config: dict[str, Any] | None = None

    @property
    def engine(self) -> Engine:
        """The engine of this command. Raises CommandError where the address makes no sense."""
        if self._engine is None:
            from onggi.cli.engine import Engine

            context = self.context()
            if context is not None and (context.tls or context.skip_verify):
                from onggi.cli import certificates

                self._engine = Engine(self.address(), lambda: certificates.of_context(context))
            else:
                self._engine = Engine(self.address(), self._tls if self._wants_tls() else None)
            if self.config().get("HttpHeaders"):
                from onggi.cli import defaults

                self._engine.headers = defaults.headers(self.config())
        return self._engine

    def context_name(self) -> str:
        """Docker's order: --context, --host, DOCKER_HOST, DOCKER_CONTEXT, config.json, `default`."""
        if self.options["context"]:
            if self.options["host"]:
                raise CommandError("conflicting options: cannot specify both --host and --context")
            return str(self.options["context"])
        if self.options["host"] or os.environ.get("DOCKER_HOST") or os.environ.get("ONGGI_HOST"):
            return "default"
        if named := os.environ.get("DOCKER_CONTEXT"):
            return named
        return str(self.config().get("currentContext") or "default")

    def config(self) -> dict[str, Any]:
        """config.json, read once; empty where there is none. Raises CommandError where it is no object."""
        if self._config is None:
            self._config = {}
            if os.path.exists(f"{self.config_dir()}/config.json"):
                from onggi.cli import config_file

                self._config = config_file.read(self.config_dir())
        return self._config

    def context(self) -> Context | None:
        """The context in use; None for `default`. Raises CommandError where it does not exist."""
        name = self.context_name()
        if name == "default":
            return None
        from onggi.cli import contexts

        try:
            return contexts.read(self.config_dir(), name)
        except CommandError as error:
            raise CommandError(
                f"Failed to initialize: unable to resolve docker endpoint: {error.message}"
            ) from None

    def default_address(self) -> Address:
        """Where the default context leads."""
        from onggi.cli.engine import Address, default_socket

        hosts = self.options["host"]
        if len(hosts) > 1:
            raise CommandError("Please specify only one -H")
        chosen = hosts[0] if hosts else os.environ.get("DOCKER_HOST") or os.environ.get("ONGGI_HOST")
        if chosen:
            return Address(chosen, chosen=True, tls=self._wants_tls())
        if NAME == "docker" and os.access(DOCKER_SOCKET, os.W_OK):
            return Address(f"unix://{DOCKER_SOCKET}", chosen=True)
        return Address(f"unix://{default_socket()}", chosen=False)

    def address(self) -> Address:
        context = self.context()
        if context is None or not context.host:
            return self.default_address()
        from onggi.cli.engine import Address

        return Address(context.host, chosen=True, tls=bool(context.tls))

    def out(self, text: str) -> None:
        """One line on stdout."""
        sys.stdout.write(text + "\n")

    def flush(self) -> None:
        """Before something else writes to the descriptor."""
        sys.stdout.flush()

    def err(self, text: str) -> None:
        """One line on stderr, after what was printed so far."""
        sys.stdout.flush()
        sys.stderr.write(text + "\n")

    def config_dir(self) -> str:
        given = self.options["config"] if "config" in self.options.given else os.environ.get("DOCKER_CONFIG")
        return os.path.expanduser(given or "~/.docker")

    def confirm(self, question: str) -> bool:
        """Ask on stdout and read one line; only `y` is yes."""
        sys.stdout.write(question + " [y/N] ")
        sys.stdout.flush()
        return sys.stdin.readline().strip().lower() == "y"

    def _wants_tls(self) -> bool:
        return bool(
            self.options["tls"] or self.options["tlsverify"] or os.environ.get("DOCKER_TLS_VERIFY")
            or os.environ.get("DOCKER_TLS") or {"tlscacert", "tlscert", "tlskey"} & self.options.given
        )  # fmt: skip

    def _tls(self) -> Any:
        """An SSLContext of the three files; the engine is verified only when asked for. Raises
        CommandError.
        """
        from onggi.cli import certificates

        verify = self.options["tlsverify"] or bool(os.environ.get("DOCKER_TLS_VERIFY"))
        directory = os.environ.get("DOCKER_CERT_PATH") or self.config_dir()
        files = {}
        for name, default in (("tlscacert", "ca.pem"), ("tlscert", "cert.pem"), ("tlskey", "key.pem")):
            given = name in self.options.given
            path = os.path.expanduser(self.options[name]) if given else f"{directory}/{default}"
            files[name] = path if given or os.path.exists(path) else ""
        return certificates.of_files(files["tlscacert"], files["tlscert"], files["tlskey"], verify=verify)
