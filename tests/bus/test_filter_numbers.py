import math
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reqscope.bus import Event, Filter, FilterError

FAST = settings(derandomize=True, deadline=None, max_examples=100)

DURATIONS = st.integers(0, 10**10).map(lambda microseconds: microseconds / 1e6)


def passes(text: str, event: Event) -> bool:
    return Filter.parse(text)(event)


@pytest.mark.parametrize(
    ("text", "passing"),
    [
        ("status:400-451", {400, 404, 451}),
        ("status:400..451", {400, 404, 451}),
        ("status:4xx-5xx", {400, 404, 451, 499, 500}),
        ("status:451..", {451, 499, 500, 777}),
        ("status:..404", {200, 400, 404, 7}),
        ("status>499", {500, 777}),
        ("status>4xx", {500, 777}),
        ("status>=4xx", {400, 404, 451, 499, 500, 777}),
        ("status<404", {200, 400, 7}),
        ("status<=4xx", {200, 400, 404, 451, 499, 7}),
        ("status:0", {0}),
        ("status:*", {200, 400, 404, 451, 499, 500, 777, 7}),
        ("-status:*", {0}),
        ("status:7..7", {7}),
        ("status:777..777", {777}),
    ],
)
def test_a_status_can_be_compared_and_none_is_not_below_any(text: str, passing: set[int]) -> None:
    statuses = (0, 7, 200, 400, 404, 451, 499, 500, 777)

    assert {status for status in statuses if passes(text, Event(time=0, status=status))} == passing


@pytest.mark.parametrize(
    ("text", "total", "expected"),
    [
        ("dur>250ms", 0.250_001, True),
        ("dur>250ms", 0.25, False),
        ("dur>=250ms", 0.25, True),
        ("dur<250ms", 0.249_999, True),
        ("dur<250ms", 0.25, False),
        ("dur:250ms", 0.250_000_3, True),
        ("dur:.25s", 0.25, True),
        ("dur:100ms-1s", 1.0, True),
        ("dur:100ms..1s", 0.099, False),
        ("dur>100us", 0.0002, True),
        ("dur>100µs", 0.0002, True),
        ("dur>1.5m", 91, True),
        ("dur>1h", 3_601, True),
        ("dur>0", 0.001, True),
        ("dur>0", 0.0, False),
        ("dur:*", 0.0, True),
        ("ttfb>1ms", 0.5, False),
        ("dur>1s", None, False),
        ("dur<1s", None, False),
        ("-dur<1s", None, True),
        ("dur:*", None, False),
    ],
)
def test_durations_are_compared_to_the_microsecond(text: str, total: float | None, expected: bool) -> None:
    assert passes(text, Event(time=0, total=total)) is expected


@pytest.mark.parametrize(
    ("text", "size", "expected"),
    [
        ("size>1MB", 1_000_001, True),
        ("size>1MB", 1_000_000, False),
        ("size:1KiB", 1_024, True),
        ("size:1kb", 1_000, True),
        ("size:1.5kB", 1_500, True),
        ("size>=1MiB", 1 << 20, True),
        ("size<1GiB", 1 << 30, False),
        ("size:512", 512, True),
        ("size:512B", 512, True),
        ("size:1kB-2kB", 1_500, True),
        ("reqsize:0", 512, True),
    ],
)
def test_sizes_are_in_bytes_with_units_of_1000_and_of_1024(text: str, size: int, expected: bool) -> None:
    assert passes(text, Event(time=0, response_size=size)) is expected


def at(text: str) -> Event:
    return Event(time=int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 10**9)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("time>2026-11-21T10:00:00Z", True),
        ("time>2026-11-21T10:00:01Z", False),
        ("time>=2026-11-21T10:00:01Z", True),
        ("time<2026-11-21T11:00:02+01:00", True),
        ("time<2026-11-21T10:00:01", False),
        ("time:2026-11-21T10:00:00Z..2026-11-21T10:00:01Z", True),
        ("time:2026-11-21T10:00:01Z..", True),
        ("time:..2026-11-21T10:00:00.999Z", False),
        ('time:"2026-11-21 10:00:01"', True),
        ("time:2026-11-21", True),
        ("time:2026-11-22", False),
        ("time>2026-11-21", False),
        ("time>2026-11-20", True),
        ("time:2026-11-20..2026-11-21", True),
        ("time>0001-01-01T00:00:00+23:59", True),
        ("time<9999-12-31T23:59:59-23:59", True),
    ],
)
def test_times_are_utc_unless_they_say_otherwise_and_a_date_is_a_whole_day(text: str, expected: bool) -> None:
    assert passes(text, at("2026-11-21T10:00:01")) is expected


def test_numbers_in_the_ring_and_moments_are_exact_however_large() -> None:
    large = 10**18 - 1

    assert passes(f"seq>{large - 1}", Event(time=0, seq=large))
    assert not passes(f"seq>{large}", Event(time=0, seq=large))
    assert passes(f"seq:5,7,{large}", Event(time=0, seq=large))


@FAST
@given(DURATIONS, DURATIONS)
def test_of_three_comparisons_with_a_duration_exactly_one_holds(total: float, other: float) -> None:
    event = Event(time=0, total=total)

    assert [passes(f"dur{operator}{other:.6f}s", event) for operator in "<:>"] == [
        total < other,
        total == other,
        total > other,
    ]


@FAST
@given(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 10**6))
def test_a_range_holds_its_ends_and_what_is_between(number: int, one: int, other: int) -> None:
    low, high = sorted((one, other))
    event = Event(time=0, seq=number, response_size=number)

    expected = low <= number <= high
    assert passes(f"seq:{low}..{high}", event) == passes(f"size:{low}B-{high}B", event) == expected
    assert passes(f"seq>={low} seq<={high}", event) == expected
    assert passes(f"-seq<{low} -seq>{high}", event) == expected


@pytest.mark.parametrize(
    ("text", "position", "message"),
    [
        ("dur>250", 4, "'250' is not a duration such as 250ms or 1.5s"),
        ("a dur>fast", 6, "'fast' is not a duration"),
        ("size>1XB", 5, "'1XB' is not a size such as 512, 10kB or 1.5MiB"),
        ("size>-1", 5, "'-1' is not a size"),
        ("time>10:00", 5, "'10:00' is not a time such as 2026-11-21T10:00:00Z"),
        ("time>2026-02-30", 5, "is not a time"),
        ("time:2026-11-21..soon", 17, "'soon' is not a time"),
        ("status:400-abc", 11, "'abc' is not a status"),
        ("status:999", 7, "'999' is not a status"),
        ("status:4", 7, "'4' is not a status such as 404 or 5xx"),
        ("status:451-400", 7, "'451-400' ends before it begins; swap the two"),
        ("status:..", 7, "'' is not a status"),
        ("status>400-500", 7, "'400-500' is not a status"),
        ("seq:1.5", 4, "'1.5' is not a number such as 1200"),
        ("seq:" + "9" * 9_000, 4, "9…' is not a number"),
        ("dur:" + "9" * 9_000 + "s", 4, "9…' is not a duration"),
        ("seq:٣", 4, "is not a number"),
        ("dur~5", 3, "dur goes with > : >= < <= and not with ~: dur>250ms"),
        ("path>5", 4, "path goes with : ~ and not with >: path:/api/"),
    ],
)
def test_a_wrong_number_is_said_with_its_place_and_an_example(text: str, position: int, message: str) -> None:
    with pytest.raises(FilterError, match=message) as caught:
        Filter.parse(text)

    assert caught.value.position == position


@pytest.mark.parametrize("total", [math.inf, 1e300, -1.0])
def test_what_a_program_calls_a_duration_breaks_nothing(total: float) -> None:
    event = Event(time=0, total=total)

    assert passes("dur>1h", event) is (total > 0)
    assert passes("dur:*", event)
