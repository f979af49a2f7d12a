"""Reading numbers, durations, sizes, moments and statuses.

Each is an interval that holds its ends: `5xx` is what lies between 500 and 599, and a duration or a moment is the
microsecond round it, as times are shown to the microsecond. So `>` is what lies behind the interval, and `>=` what
does not lie before it.
"""

import math
import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Final, TypeAlias

Interval: TypeAlias = tuple[float, float]
"""Lowest and highest. Integers stay integers, as nanoseconds since the epoch are too many for a float."""

Reader: TypeAlias = Callable[[str], Interval | None]
"""Reads one number; None for what is none."""

_AMOUNT: Final = re.compile(r"([0-9]{1,15}(?:\.[0-9]{0,15})?+|\.[0-9]{1,15})([A-Za-zµμ]{0,3})")
_COUNT: Final = re.compile(r"[0-9]{1,18}")
_STATUS: Final = re.compile(r"([1-5])[xX]{2}|([1-5][0-9]{2}|0)")
_SECONDS: Final = {"us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_BYTES: Final = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DAY: Final = 86_400 * 10**9


def count(text: str) -> Interval | None:
    """Read a whole number."""
    return (int(text), int(text)) if _COUNT.fullmatch(text) else None


def status(text: str) -> Interval | None:
    """Read a status such as 404, a class such as 5xx, or 0 for none."""
    match = _STATUS.fullmatch(text)
    if match is None:
        return None
    return (int(match[1]) * 100, int(match[1]) * 100 + 99) if match[1] else (int(match[2]), int(match[2]))


def status_bound(text: str) -> Interval | None:
    """Read an end of a range of statuses, which may be any number: records that programs send may say anything."""
    return status(text) or count(text)


def duration(text: str) -> Interval | None:
    """Read seconds, from a number with a unit; only 0 needs none."""
    match = _AMOUNT.fullmatch("0s" if text == "0" else text)
    if match is None or match[2] not in _SECONDS:
        return None
    seconds = float(match[1]) * _SECONDS[match[2]]
    return seconds - 0.5e-6, seconds + 0.5e-6


def plain_status(text: str) -> str | None:
    """Return how a filter writes a number that is no HTTP status."""
    return f"{text}..{text}" if count(text) else None


def plain_seconds(text: str) -> str | None:
    """Return how a filter writes seconds without a unit, as `1e-06` or `0.25`."""
    try:
        seconds = float(text)
    except ValueError:
        return None
    return f"{seconds:.6f}s" if 0 <= seconds < 1e15 else None


def size(text: str) -> Interval | None:
    """Read bytes, from a number with a unit or without. kB is 1000, KiB is 1024, and case does not matter."""
    match = _AMOUNT.fullmatch(text)
    if match is None or match[2].lower() not in _BYTES:
        return None
    unit = _BYTES[match[2].lower()]
    size = round(float(match[1]) * unit) if "." in match[1] else int(match[1]) * unit
    return size, size


def moment(text: str) -> Interval | None:
    """Read nanoseconds since the epoch from an ISO 8601 time, which is UTC unless it says otherwise; or a whole day."""
    try:
        if len(text) == 10:
            midnight = (date.fromisoformat(text) - _EPOCH.date()).days * _DAY
            return midnight, midnight + _DAY - 1
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    time = time if time.tzinfo else time.replace(tzinfo=UTC)
    nanoseconds = (time - _EPOCH) // timedelta(microseconds=1) * 1_000
    return nanoseconds - 500, nanoseconds + 499


def compared(interval: Interval, operator: str, least: float) -> Interval:
    """Return what compares with `interval` as `operator` says.

    :param least: the lowest number that is one
    """
    low, high = interval
    return {
        ":": interval,
        ">": (_next(high, 1), math.inf),
        ">=": (low, math.inf),
        "<": (least, _next(low, -1)),
        "<=": (least, high),
    }[operator]


def _next(number: float, step: int) -> float:
    return number + step if isinstance(number, int) else math.nextafter(number, step * math.inf)


def ends(text: str, dash: bool) -> tuple[str, str, int] | None:
    """Cut a range such as `1..2`, or `1-2` with `dash`, in two.

    :returns: its ends and where the second one begins; None for what is no range
    """
    for separator in ("..", "-")[: 1 + dash]:
        first, found, last = text.partition(separator)
        if found:
            return first, last, len(first) + len(separator)
    return None
