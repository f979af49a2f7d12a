"""Latency distributions that can be merged, which averages of percentiles cannot."""

import sys
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from math import ceil, exp, isfinite, log
from typing import Final, Self

ACCURACY: Final = 0.01
"""Largest relative error of a quantile."""

_GROWTH: Final = (1 + ACCURACY) / (1 - ACCURACY)
_PER_LOG: Final = 1 / log(_GROWTH)
_SMALLEST: Final = 1e-7
_LARGEST: Final = sys.float_info.max
_LOG_LARGEST: Final = log(_LARGEST)
_MIDDLE: Final = log(2 / (_GROWTH + 1))

_DENSE: Final = 4
"""Durations for each bucket between the shortest and the longest, above which ends of buckets are searched for."""


class Histogram:
    """Counts of durations in buckets that grow by a constant factor, so that the error is relative.

    The buckets are those of DDSketch (Masson, Rim and Lee, VLDB 2019) without its collapsing: durations from
    100 ns to a day need about 1 400 buckets, and only those that were hit take memory.
    """

    __slots__ = ("_buckets", "count", "maximum")

    def __init__(self) -> None:
        self._buckets: dict[int, int] = {}
        self.count = 0
        self.maximum = 0.0

    def record(self, seconds: float) -> None:
        """Count one duration; one below 100 ns counts as 100 ns, an infinite one as the largest there is."""
        self.record_all((seconds,))

    def record_all(self, durations: Sequence[float]) -> None:
        """Count many durations. In ascending order they cost the least."""
        if not durations:
            return
        ordered = sorted(durations)
        if not (ordered[0] > _SMALLEST and isfinite(sum(ordered))):  # not a number is none, and too short to tell
            longest = max((each for each in durations if each > 0), default=0.0)
            ordered = sorted([min(each, _LARGEST) if each > _SMALLEST else _SMALLEST for each in durations])
        else:
            longest = ordered[-1]
        self.count += len(ordered)
        self.maximum = max(self.maximum, min(longest, _LARGEST))
        if len(ordered) > _DENSE * (_bucket(ordered[-1]) - _bucket(ordered[0]) + 1):
            self._search(ordered)
        else:
            self._add(Counter([ceil(log(seconds) * _PER_LOG) for seconds in ordered]))

    def merge(self, other: "Histogram") -> None:
        """Add the counts of `other`: the result is as if every duration had been recorded here."""
        self._add(other._buckets)
        self.count += other.count
        self.maximum = max(self.maximum, other.maximum)

    @classmethod
    def of(cls, buckets: Mapping[int, int], maximum: float) -> Self:
        """Return the histogram that `buckets` and `maximum` were read from."""
        histogram = cls()
        histogram._buckets = dict(buckets)
        histogram.count = sum(buckets.values())
        histogram.maximum = maximum
        return histogram

    def buckets(self) -> dict[int, int]:
        """Return the counts by number of bucket: with `maximum` all there is to know, to be kept or sent elsewhere."""
        return dict(self._buckets)

    def quantiles(self, fractions: Iterable[float]) -> list[float | None]:
        """Return the durations in seconds below which these ascending fractions of all lie; None when empty.

        Each is within `ACCURACY` of a duration that was recorded, by nearest rank.
        """
        found: list[float | None] = []
        buckets = iter(sorted(self._buckets.items()))
        seen, bucket = 0, 0
        for fraction in fractions:
            rank = max(1, ceil(fraction * self.count))
            while self.count and seen < rank:
                bucket, count = next(buckets)
                seen += count
            found.append(self._value(bucket) if self.count else None)
        return found

    def _search(self, ordered: Sequence[float]) -> None:
        """Count durations of which many share a bucket: a search for each one's end, and no logarithm for each."""
        first = 0
        while first < len(ordered):
            bucket = _bucket(ordered[first])
            end = bisect_right(ordered, exp(min(bucket / _PER_LOG, _LOG_LARGEST)), first + 1)
            while _bucket(ordered[end - 1]) != bucket:  # rounding may have the search err by a hair
                end -= 1
            self._buckets[bucket] = self._buckets.get(bucket, 0) + end - first
            first = end

    def _add(self, buckets: Mapping[int, int]) -> None:
        if not self._buckets:
            self._buckets = dict(buckets)
            return
        for bucket, count in buckets.items():
            self._buckets[bucket] = self._buckets.get(bucket, 0) + count

    def _value(self, bucket: int) -> float:
        exponent = min(bucket / _PER_LOG + _MIDDLE, _LOG_LARGEST)
        return min(exp(exponent), self.maximum)


def _bucket(seconds: float) -> int:
    return ceil(log(min(seconds, _LARGEST)) * _PER_LOG)
