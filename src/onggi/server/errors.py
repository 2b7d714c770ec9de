"""Errors become HTTP: the one place where a kind gets its status.

The body is Docker's `{"message": "..."}`. What is not an OnggiError is a fault of the engine's own: 500,
with the traceback in the log and only its kind in the answer.
"""

from __future__ import annotations

import errno
import logging

import msgspec

from onggi import errors
from onggi.server.messages import Response

log = logging.getLogger("onggi.server")

# The first entry that the error is an instance of counts.
STATUS: tuple[tuple[type[errors.OnggiError], int], ...] = (
    (errors.InvalidParameter, 400),
    (errors.Unauthorized, 401),
    (errors.Forbidden, 403),
    (errors.NotFound, 404),
    (errors.NotModified, 304),
    (errors.Conflict, 409),
    (errors.TooLarge, 413),
    (errors.NotImplemented_, 501),
    (errors.Unavailable, 503),
    (errors.System, 500),
)


def status_of(error: BaseException) -> int:
    """The HTTP status of an error."""
    if isinstance(error, errors.StartFailed) and error.exit_code in (126, 127):
        return 400
    return next((status for kind, status in STATUS if isinstance(error, kind)), 500)


def message_of(error: BaseException) -> str:
    """The one line that the user gets."""
    if isinstance(error, errors.OnggiError):
        return error.message
    if isinstance(error, OSError) and error.errno is not None:
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror or errno.errorcode.get(error.errno, error.errno)}"
    return f"internal error: {type(error).__name__} (the engine's log has more)"


def response_of(error: Exception, what: str) -> Response:
    """Answer an error; log what the user must not see. `what` is the request: "GET /info"."""
    status = status_of(error)
    if not isinstance(error, errors.OnggiError):
        log.error("Handler for %s failed: %s", what, error, exc_info=error)
    elif status >= 500:
        log.error("Handler for %s returned error: %s", what, error.message)
    else:
        log.debug("Handler for %s returned error: %s", what, error.message)
    if status == 304:
        return Response(304)
    return Response(status, msgspec.json.encode({"message": message_of(error)}))
