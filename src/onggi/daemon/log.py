"""The engine's own log, on stderr: dockerd's logfmt lines, or JSON.

    time="2026-01-02T03:04:05.123456789Z" level=info msg="Engine is ready"

A traceback follows its line in text form, and is a member `error` in JSON.
"""

from __future__ import annotations

import logging
import time

import msgspec

_LEVELS = {
    "debug": logging.DEBUG, "info": logging.INFO, "warn": logging.WARNING, "error": logging.ERROR,
    "fatal": logging.CRITICAL,
}  # fmt: skip
_WORDS = {10: "debug", 20: "info", 30: "warning", 40: "error", 50: "fatal"}


class _Text(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        message = record.getMessage().replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        line = f'time="{_instant(record)}" level={_WORDS.get(record.levelno, "info")} msg="{message}"'
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class _JSON(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": _instant(record), "level": _WORDS.get(record.levelno, "info"), "msg": record.getMessage()
        }  # fmt: skip
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return msgspec.json.encode(line).decode()


def _instant(record: logging.LogRecord) -> str:
    seconds, rest = divmod(int(record.created * 1_000_000), 1_000_000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{rest:06d}000Z"


def set_up(level: str, form: str) -> None:
    """Log to stderr from here on."""
    handler = logging.StreamHandler()
    handler.setFormatter(_JSON() if form == "json" else _Text())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    logging.getLogger("asyncio").setLevel(logging.WARNING)
    set_level(level)


def set_level(level: str) -> None:
    logging.getLogger().setLevel(_LEVELS[level])
