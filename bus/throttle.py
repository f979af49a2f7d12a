"""Warnings about what fails again and again."""

import logging
import select
import threading
import time
from typing import Final

# Not structlog: its default prints to standard output, which may be the very sink that fails, and raises.
logger = logging.getLogger("reqscope.bus.sinks")

_EVERY: Final = 10.0
_STDERR: Final = 2


class Warnings:
    """Says what is wrong with one thing, at most once in ten seconds. For any thread.

    :param subject: what it is about
    """

    def __init__(self, subject: str) -> None:
        self._subject = subject
        self._next = float("-inf")
        self._lock = threading.Lock()

    def warn(self, problem: str) -> None:
        """Log a warning, unless there was one a short time ago."""
        now = time.monotonic()
        with self._lock:
            if now < self._next:
                return
            self._next = now + _EVERY
        self.say(problem)

    def say(self, problem: str) -> None:
        """Log a warning in any case, or nothing at all if that could hang.

        Whoever reads our standard error may be as stuck as the sink is: often they are the same. Then the numbers must
        speak for themselves, because a log call that hangs would hold up the event loop, or Python's exit.
        """
        if _takes_text(_STDERR):
            logger.warning("%s %s", self._subject, problem)


def _takes_text(descriptor: int) -> bool:
    """Whether a write of a line would not have to wait, as far as that can be known."""
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    return bool(poll.poll(0))
