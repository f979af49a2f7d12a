"""The time by which sessions and locks end."""

import time
from typing import Final

# On macOS there is no such clock, and the monotonic one goes on by itself while the computer sleeps.
_CLOCK: Final[int] = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def clock() -> float:
    """Return seconds since some moment, those included in which the computer slept. Nobody can set this clock."""
    return time.clock_gettime(_CLOCK)
