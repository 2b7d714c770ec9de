"""Every error that a user can meet, as one hierarchy of kinds.

    OnggiError
    |-- InvalidParameter      the request is wrong                        400
    |-- Unauthorized          who are you                                 401
    |-- Forbidden             not allowed, whoever you are                403
    |-- NotFound              the object is not there                     404
    |   |-- NoSuchContainer, NoSuchImage, NoSuchVolume, NoSuchNetwork, NoSuchExec
    |-- NotModified           it is so already                            304
    |-- Conflict              the object's state or name is in the way    409
    |-- TooLarge              more bytes than the limit                   413
    |-- NotImplemented_       this engine does not do that                501
    |-- Unavailable           not now                                     503
    |-- System                something broke                             500
        |-- Corrupt           stored bytes are not what was stored        500
        |-- NoSpace           the disk is full                            500
        |-- StartFailed       the container's process did not start       400, 500; exit 125 to 127

Messages name the object and the value, in Docker's wording where Docker has one: clients match on it.
The kind decides the HTTP status (server/errors.py) and the exit status (cli/errors.py), nothing else does.
"""

from __future__ import annotations


class OnggiError(Exception):
    """Base of all errors that are answered to a user; `message` is one line of plain text."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class InvalidParameter(OnggiError):
    """The request is wrong and stays wrong."""


class Unauthorized(OnggiError):
    """The caller did not say who he is, or not well enough."""


class Forbidden(OnggiError):
    """The caller is known and may not."""


class NotFound(OnggiError):
    """The named object does not exist."""


class NoSuchContainer(NotFound):
    def __init__(self, name: str) -> None:
        super().__init__(f"No such container: {name}")


class NoSuchImage(NotFound):
    def __init__(self, name: str) -> None:
        super().__init__(f"No such image: {name}")


class NoSuchVolume(NotFound):
    def __init__(self, name: str) -> None:
        super().__init__(f"get {name}: no such volume")


class NoSuchNetwork(NotFound):
    def __init__(self, name: str) -> None:
        super().__init__(f"network {name} not found")


class NoSuchExec(NotFound):
    def __init__(self, name: str) -> None:
        super().__init__(f"No such exec instance: {name}")


class NotModified(OnggiError):
    """The object is in the wanted state already."""

    def __init__(self, message: str = "") -> None:
        super().__init__(message)


class Conflict(OnggiError):
    """The state or the name of an object is in the way."""


class TooLarge(OnggiError):
    """The request has more bytes than the limit."""


class NotImplemented_(OnggiError):
    """The engine does not do this."""


class Unavailable(OnggiError):
    """The engine cannot do this now."""


class System(OnggiError):
    """Something broke below: an operating system call, a peer, the store."""


class Corrupt(System):
    """Stored bytes are not what was stored: a digest, a database page or a record does not fit."""


class NoSpace(System):
    """The disk is full, or a quota is."""


class StartFailed(System):
    """The container's first process did not start.

    `exit_code` is what `docker run` then exits with: 127 where the command was not found, 126 where it
    cannot be executed, else 125.
    """

    def __init__(self, message: str, exit_code: int = 125) -> None:
        super().__init__(message)
        self.exit_code = exit_code
