"""onggi-runtime run ID: create and start; without --detach wait for the end, and delete."""

from __future__ import annotations

from onggi.errors import InvalidParameter
from onggi.runtime import beginning, bundle, console
from onggi.runtime.options import Option
from onggi.runtime.verbs import delete, line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from onggi.runtime.command import Runtime

OPTIONS = {
    **beginning.OPTIONS,
    "detach": Option(None, "do not wait for the container's end", short="d"),
    "keep": Option(None, "do not delete the container at its end"),
    "no-subreaper": Option(None, "accepted for runc's sake: this command is never a subreaper"),
}


def run(runtime: Runtime, words: list[str]) -> int:
    options, container_id = line.one_container("run", OPTIONS, words)
    if options["detach"] and not options["console-socket"]:
        process = bundle.process(bundle.document(bundle.directory(options["bundle"])))
        if process.get("terminal"):
            raise InvalidParameter("cannot allocate tty if runc will detach without setting console socket")
    container, launched = beginning.begin(runtime, container_id, options, wait=False)
    if options["detach"]:
        return 0
    handed_over = bool(options["console-socket"])
    code = console.attend(launched.pid, launched.pidfd, None if handed_over else launched.console_fd)
    if not options["keep"]:
        for failure in delete.remove(container):
            runtime.log("warning", failure)
    return code
