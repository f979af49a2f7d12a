"""What the servers themselves have to say, on standard error."""

import logging
import sys
import time
from typing import Any, Final

_AGAIN: Final = 60.0
"""Seconds until a warning is repeated. Whoever sends nonsense decides how often it is warned of."""


class Seldom(logging.Filter):
    """Passes a warning of one kind once a minute, and all errors."""

    def __init__(self) -> None:
        super().__init__()
        self._next: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        now = time.monotonic()
        if record.levelno != logging.WARNING or now >= self._next.get(record.msg, 0):
            self._next[record.msg] = now + _AGAIN
            return True
        return False


def server_log() -> dict[str, Any]:
    """Return the configuration of uvicorn's loggers.

    uvicorn's own asks standard output whether it is a terminal, and there may be none.
    """
    colours = sys.stderr is not None and sys.stderr.isatty()
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "filters": {"seldom": {"()": Seldom}},
        "formatters": {
            "plain": {
                "()": "uvicorn.logging.DefaultFormatter",
                "fmt": "%(levelprefix)s %(message)s",
                "use_colors": colours,
            }
        },
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "plain", "filters": ["seldom"]}},
        "loggers": {"uvicorn": {"handlers": ["stderr"], "propagate": False}},
    }
