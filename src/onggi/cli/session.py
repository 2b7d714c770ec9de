"""What a command is given: the engine's address, made when first used, and where to print.

The only place that reads DOCKER_HOST, ONGGI_HOST and the TLS variables. Not here: calls (engine.py).
"""

from __future__ import annotations

import os
import sys

from onggi.cli.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from onggi.cli.engine import Address, Engine
    from onggi.cli.flags import Flags


class Session:
    """One command line being run; `spelled` is the command as the user wrote it (`container ls`)."""

    def __init__(self, options: Flags, spelled: str) -> None:
        self.options = options
        self.spelled = spelled
        self._engine: Engine | None = None

    @property
    def engine(self) -> Engine:
        """The engine of this command. Raises CommandError where the address makes no sense."""
        if self._engine is None:
            from onggi.cli.engine import Engine

            self._engine = Engine(self.address(), self._tls if self._wants_tls() else None)
        return self._engine

    def address(self) -> Address:
        from onggi.cli.engine import Address, default_socket

        hosts = self.options["host"]
        if len(hosts) > 1:
            raise CommandError("Please specify only one -H")
        context = self.options["context"] or os.environ.get("DOCKER_CONTEXT", "")
        if hosts and self.options["context"]:
            raise CommandError("conflicting options: cannot specify both --host and --context")
        if context not in ("", "default"):
            raise CommandError(
                "Failed to initialize: unable to resolve docker endpoint: "
                f'context "{context}": context not found'
            )
        chosen = hosts[0] if hosts else os.environ.get("DOCKER_HOST") or os.environ.get("ONGGI_HOST")
        if chosen:
            return Address(chosen, chosen=True)
        return Address(f"unix://{default_socket()}", chosen=False)

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
        import ssl

        verify = self.options["tlsverify"] or bool(os.environ.get("DOCKER_TLS_VERIFY"))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        directory = os.environ.get("DOCKER_CERT_PATH") or self.config_dir()
        files = {}
        for name, default in (("tlscacert", "ca.pem"), ("tlscert", "cert.pem"), ("tlskey", "key.pem")):
            given = name in self.options.given
            path = os.path.expanduser(self.options[name]) if given else f"{directory}/{default}"
            files[name] = path if given or os.path.exists(path) else ""
        try:
            if not verify:
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
            elif files["tlscacert"]:
                context.load_verify_locations(files["tlscacert"])
            else:
                context.load_default_certs()
            if files["tlscert"]:
                context.load_cert_chain(files["tlscert"], files["tlskey"] or None)
        except OSError as error:
            raise CommandError(f"failed to load TLS material: {error}") from None
        return context
