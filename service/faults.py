"""Failures of the monitor's own: counted and told, and never the application's business."""

import logging
import time
from collections import Counter, deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

logger = logging.getLogger(__name__)

_TOO_MANY: Final = 10
_WITHIN: Final = 10.0
_OFF_FOR: Final = 30.0
_TELL_EVERY: Final = 60.0


@dataclass(frozen=True, slots=True)
class FaultStatistics:
    """A snapshot of the faults so far."""

    total: int
    kinds: dict[str, int]
    """How many of each kind: the step that failed, and the type of the exception."""
    last: str
    """The latest of them, in words."""
    capturing: bool
    """False while capture is switched off because too many came at once."""


class Faults:
    """Counts faults, logs each kind once a minute, and is the circuit breaker of capture.

    Ten faults within ten seconds switch capture off for thirty seconds. Then it is on trial: one fault within the next
    ten seconds, and it is off for as long again.

    :param clock: a monotonic clock in seconds
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.off = False
        """Capture is to ask `admits` before it watches a request."""
        self._clock = clock
        self._kinds: Counter[str] = Counter()
        self._told: dict[str, float] = {}
        self._recent: deque[float] = deque(maxlen=_TOO_MANY)
        self._last = ""
        self._until = float("-inf")
        self._trial_until = float("-inf")

    def record(self, step: str, error: Exception) -> None:
        """Count a failure of `step`. Never raises, not even where the log set-up is broken."""
        with suppress(Exception):
            kind = f"{step}: {type(error).__name__}"
            self._kinds[kind] += 1
            now = self._clock()
            self._recent.append(now)
            self._last = f"{kind}: {_text(error)}"[:500]
            self._tell(kind, now)
            many = len(self._recent) == _TOO_MANY and now - self._recent[0] <= _WITHIN
            if not self.off and (many or now < self._trial_until):
                self._switch_off(now)

    def admits(self) -> bool:
        """Whether to watch the next request, while capture is switched off: yes, on trial, once the time is over."""
        now = self._clock()
        if now < self._until:
            return False
        self.off = False
        self._trial_until = now + _WITHIN
        return True

    def statistics(self) -> FaultStatistics:
        return FaultStatistics(sum(self._kinds.values()), dict(self._kinds), self._last, not self.off)

    def _tell(self, kind: str, now: float) -> None:
        if now - self._told.get(kind, float("-inf")) >= _TELL_EVERY:
            self._told[kind] = now
            times = sum(self._kinds.values())
            logger.warning("capture failed, %d times so far; the application is not affected: %s", times, self._last)

    def _switch_off(self, now: float) -> None:
        self.off = True
        self._until = now + _OFF_FOR
        self._recent.clear()
        logger.warning("capture is off for %d seconds, because it failed too often", _OFF_FOR)


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:
        return "(its message cannot be read)"
