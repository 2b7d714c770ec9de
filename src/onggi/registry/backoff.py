"""When to try again: a table of pauses, the server's own wish first.

Retry-After counts where it is given (seconds, or an HTTP date); where it asks for more than LONGEST_S there
is no other try. Otherwise the pause doubles, with a fifth of chance so that many machines do not come back
together. Never after an answer that blames the request.
"""

from __future__ import annotations

import email.utils
import random
import time

ATTEMPTS = 5  # dockerd's max-download-attempts
FIRST_S = 0.5
LONGEST_S = 60.0


def pause(attempt: int, retry_after: str = "", *, first: float = FIRST_S) -> float:
    """Seconds before try number `attempt` + 1, where the first is 1."""
    wished = asked(retry_after)
    if wished is not None:
        return min(wished, LONGEST_S)
    return min(first * 2.0 ** (attempt - 1), LONGEST_S) * random.uniform(0.8, 1.2)


def too_long(retry_after: str) -> bool:
    """Whether a server wants to be left alone for longer than anybody waits here."""
    wished = asked(retry_after)
    return wished is not None and wished > LONGEST_S


def asked(retry_after: str) -> float | None:
    """Seconds that a Retry-After header asks for; None where it makes no sense."""
    text = retry_after.strip()
    if text.isascii() and text.isdigit() and len(text) < 10:
        return float(text)
    try:
        moment = email.utils.parsedate_to_datetime(text)
        return max(0.0, moment.timestamp() - time.time())
    except (TypeError, ValueError, OverflowError):
        return None
