"""When the requests of a batch ended, and which of them in one second."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from math import isfinite
from typing import Final

from reqscope.bus import Event

_NANO: Final = 1_000_000_000


def ends_of(events: Sequence[Event]) -> list[float]:
    """Return when each ended, in nanoseconds since the epoch; one that was not timed ended as it began.

    A float is as exact as a run can say when its last request ended.
    """
    with suppress(TypeError):  # some were not timed
        ends = [event.time + event.total * _NANO for event in events]  # type: ignore[operator]
        if isfinite(sum(ends)):
            return ends
    return [_end(event) for event in events]


def by_second(
    events: Sequence[Event], ends: Sequence[float], first: int, last: int
) -> Iterable[tuple[int, Sequence[Event]]]:
    """Yield seconds since the epoch, and what ended in each.

    :param first: no request ended before this second
    :param last: the second in which the last one did
    """
    if first == last:  # as in most batches, each of which is of a quarter of a second
        yield last, events
    elif first + 1 == last:
        turn = last * _NANO
        yield last, [event for event, end in zip(events, ends, strict=True) if end >= turn]
        if early := [event for event, end in zip(events, ends, strict=True) if end < turn]:
            yield first, early
    else:
        seconds: defaultdict[int, list[Event]] = defaultdict(list)
        for event, end in zip(events, ends, strict=True):
            seconds[int(end // _NANO)].append(event)
        yield from seconds.items()


def _end(event: Event) -> float:
    total = event.total
    return float(event.time) if total is None or not isfinite(total) else event.time + total * _NANO
