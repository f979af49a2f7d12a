"""What a run counts of a batch."""

from collections import Counter
from math import inf, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reqscope.bus import Event
from reqscope.service.runs.findings import losses
from reqscope.service.runs.model import MAX_SECONDS, Run
from reqscope.service.runs.tally import Tally

SECOND = 1_000_000_000


def tally() -> Tally:
    return Tally(Run(id="r", label="r", started=100.0), "boot")


def test_a_request_counts_in_the_second_it_ended_in_and_for_its_route() -> None:
    counted = tally()
    counted.add(
        [
            Event(time=100 * SECOND, method="GET", route="/a", status=200, total=0.5, request_size=1, response_size=10),
            Event(time=100 * SECOND, method="GET", route="/a", status=404, total=1.5, response_size=20),
            Event(time=101 * SECOND, method="GET", route="/b", status=200, error="ValueError", total=0.25),
        ]
    )
    run = counted.freeze()

    assert (run.requests, run.errors, run.received, run.sent) == (3, 1, 1, 30)
    assert run.statuses == {200: 2, 404: 1}
    assert [(each.time, each.classes) for each in run.seconds] == [(100, [1, 0, 0, 0, 0]), (101, [1, 0, 1, 0, 0])]
    assert [(each.name, each.requests, each.errors) for each in run.routes] == [("GET /a", 2, 0), ("GET /b", 1, 1)]
    assert (run.durations.count, run.durations.total, run.durations.minimum) == (3, 2.25, 0.25)
    assert (run.first, run.last) == (100.0, 101.5)
    assert {(each.status, each.error) for each in run.error_groups} == {(404, None), (200, "ValueError")}


def test_exported_log_lines_are_no_requests() -> None:
    counted = tally()
    counted.add([Event(time=SECOND, severity="info"), Event(time=SECOND, kind="record", status=0, total=0.1)])
    counted.add([Event(time=2 * SECOND, severity="error")])
    run = counted.freeze()

    assert run.requests == 1
    assert (run.first, run.last) == (1.0, 1.1)


def test_a_websocket_counts_but_nobody_waited_for_it() -> None:
    counted = tally()
    counted.add([Event(time=SECOND, kind="websocket", status=101, total=30.0)])
    run = counted.freeze()

    assert (run.requests, run.durations.count) == (1, 0)


def test_a_look_at_the_process_stands_for_every_second_since_the_last() -> None:
    counted = tally()
    counted.process(range(100, 103), 0.5, 1_000)

    assert [(each.time, each.cpu, each.memory) for each in counted.freeze().seconds] == [
        (100, 0.5, 1_000),
        (101, 0.5, 1_000),
        (102, 0.5, 1_000),
    ]


def test_a_run_that_nobody_ends_keeps_the_last_hours_of_its_timeline_and_says_so() -> None:
    counted = tally()
    counted.add([Event(time=second * SECOND, status=200, total=0.1) for second in range(MAX_SECONDS)])
    for second in range(MAX_SECONDS, MAX_SECONDS + 3):
        counted.add([Event(time=second * SECOND, status=200, total=0.1)])
    run = counted.freeze()

    assert run.requests == run.durations.count == MAX_SECONDS + 3
    assert [each.time for each in run.seconds] == list(range(3, MAX_SECONDS + 3))
    assert run.losses.forgotten_seconds == 3
    assert any("lacks its first 3 seconds" in sentence for sentence in losses(run))


def test_a_duration_that_is_no_number_stops_no_run() -> None:
    counted = tally()
    counted.add([Event(time=SECOND, total=total) for total in (nan, inf, -inf, None, 0.5)])
    run = counted.freeze()

    assert (run.requests, run.durations.count) == (5, 4)
    assert (run.first, run.last) == (1.0, 1.5)


def test_each_way_to_fail_is_counted_and_shown_by_three_requests() -> None:
    counted = tally()
    for _ in range(2):
        counted.add(
            [
                *[Event(time=SECOND, seq=seq, method="GET", route="/a", status=503) for seq in (1, 2)],
                Event(time=SECOND, method="GET", route="/a", status=200, error="ValueError"),
                Event(time=SECOND, method="GET", route="/a", status=200),
            ]
        )
    groups = {(each.status, each.error): each for each in counted.freeze().error_groups}

    assert {name: group.count for name, group in groups.items()} == {(503, None): 4, (200, "ValueError"): 2}
    assert [sample.event for sample in groups[503, None].samples] == ["boot-1", "boot-2", "boot-1"]


@given(
    st.lists(
        st.builds(
            Event,
            time=st.integers(10 * SECOND, 13 * SECOND),
            method=st.sampled_from(["GET", "POST"]),
            route=st.sampled_from([None, "/a", "/b"]),
            status=st.sampled_from([0, 200, 404, 500]),
            total=st.none() | st.floats(0, 3),
        ),
        max_size=60,
    ),
    st.integers(1, 60),
)
def test_batches_however_cut_count_each_request_once_in_its_second(events: list[Event], size: int) -> None:
    counted = tally()
    for start in range(0, len(events), size):
        counted.add(events[start : start + size])
    run = counted.freeze()

    ended = [event.time + int((event.total or 0.0) * SECOND) for event in events]
    assert run.requests == len(events) == sum(route.requests for route in run.routes)
    assert {each.time: each.requests for each in run.seconds} == Counter(end // SECOND for end in ended)
    assert run.last == (pytest.approx(max(ended) / SECOND, abs=1e-6) if events else None)
    assert run.durations.count == sum(event.total is not None for event in events)
    assert sum(group.count for group in run.error_groups) == sum(event.status >= 400 for event in events)
