import math
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reqscope.bus import Histogram
from reqscope.bus.histogram import ACCURACY

FAST = settings(derandomize=True, deadline=None)
DURATIONS = st.lists(st.floats(1e-6, 1e5) | st.sampled_from([0.001, 0.25, 1.0]), min_size=1, max_size=60)


def recorded(durations: list[float]) -> Histogram:
    histogram = Histogram()
    for duration in durations:
        histogram.record(duration)
    return histogram


def nearest_rank(durations: list[float], percent: int) -> float:
    rank = max(1, -(-percent * len(durations) // 100))
    return sorted(durations)[rank - 1]


def test_an_empty_histogram_has_no_quantiles() -> None:
    histogram = Histogram()

    assert histogram.quantiles([0, 0.5, 1]) == [None, None, None]
    assert (histogram.count, histogram.maximum) == (0, 0)


@FAST
@given(DURATIONS)
def test_every_quantile_is_near_the_duration_of_that_rank(durations: list[float]) -> None:
    percents = [0, 1, 25, 50, 75, 95, 99, 100]

    found = recorded(durations).quantiles([percent / 100 for percent in percents])

    expected = [nearest_rank(durations, percent) for percent in percents]
    assert found == [pytest.approx(duration, rel=ACCURACY + 1e-9) for duration in expected]


@FAST
@given(st.lists(st.floats(), max_size=60), st.integers(1, 500))
def test_many_at_once_count_as_each_by_itself(durations: list[float], times: int) -> None:
    histogram = Histogram()

    histogram.record_all(durations * times)

    each = recorded(durations)
    assert histogram.buckets() == {bucket: times * count for bucket, count in each.buckets().items()}
    assert (histogram.count, histogram.maximum) == (times * each.count, each.maximum)


@FAST
@given(DURATIONS)
def test_quantiles_ascend_and_end_below_the_maximum(durations: list[float]) -> None:
    histogram = recorded(durations)

    found = [quantile for quantile in histogram.quantiles([0.1, 0.5, 0.9, 1]) if quantile is not None]

    assert found == sorted(found)
    assert found[-1] <= histogram.maximum == max(durations)


@FAST
@given(DURATIONS, DURATIONS)
def test_merging_is_as_if_everything_had_been_recorded_in_one(one: list[float], other: list[float]) -> None:
    fractions = [0, 0.25, 0.5, 0.75, 1]
    merged, untouched, together = recorded(one), recorded(other), recorded(one + other)

    merged.merge(untouched)

    assert merged.quantiles(fractions) == together.quantiles(fractions)
    assert (merged.count, merged.maximum) == (together.count, together.maximum)
    assert untouched.quantiles(fractions) == recorded(other).quantiles(fractions)


def test_merging_an_empty_one_changes_nothing() -> None:
    histogram = recorded([0.5])

    histogram.merge(Histogram())

    assert (histogram.count, histogram.maximum) == (1, 0.5)


@pytest.mark.parametrize("duration", [0.0, -1.0, 1e-300, 5e-8, math.nan])
def test_what_is_too_short_to_tell_counts_and_disturbs_no_other(duration: float) -> None:
    histogram = recorded([duration, 0.2, 0.3])

    assert histogram.count == 3
    shortest, middle, longest = histogram.quantiles([0.3, 0.6, 1])
    assert shortest == pytest.approx(1e-7, rel=ACCURACY)
    assert middle == pytest.approx(0.2, rel=ACCURACY)
    assert longest == pytest.approx(0.3, rel=ACCURACY)


@pytest.mark.parametrize("duration", [1e300, sys.float_info.max])
def test_an_absurd_duration_that_a_client_sent_breaks_nothing(duration: float) -> None:
    histogram = recorded([0.2, duration])

    assert histogram.quantiles([0.5, 1]) == [
        pytest.approx(0.2, rel=ACCURACY),
        pytest.approx(duration, rel=ACCURACY),
    ]


def test_memory_depends_on_the_spread_of_durations_and_not_on_their_number() -> None:
    day = 86_400.0
    spread = [1e-7 * (day / 1e-7) ** (step / 100_000) for step in range(100_000)]

    histogram = recorded(spread)

    distinct = set(histogram.quantiles([step / 10_000 for step in range(10_001)]))
    assert len(distinct) < 1_500
