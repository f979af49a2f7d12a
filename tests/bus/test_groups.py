from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from reqscope.bus import Event
from reqscope.bus.groups import grouped

EVENTS = st.lists(
    st.builds(
        Event,
        time=st.just(0),
        kind=st.sampled_from(["request", "websocket", "record"]),
        method=st.sampled_from(["GET", "POST"]),
        route=st.sampled_from([None, "/a", "/b"]),
        status=st.sampled_from([0, 200, 404, 500, 503]),
        error=st.sampled_from([None, "KeyError"]),
        severity=st.sampled_from(["", "info"]),
        request_size=st.integers(0, 100),
        response_size=st.integers(0, 100),
        total=st.none() | st.floats(0, 10),
    ),
    max_size=30,
)


@given(EVENTS)
def test_groups_say_of_all_events_together_what_each_says(events: list[Event]) -> None:
    groups = grouped(events)
    requests = [event for event in events if event.status or not event.severity]
    waited_for = [event.total for event in requests if event.kind != "websocket" and event.total is not None]

    assert sum(group.count for group in groups) == len(requests)
    assert sum(group.received for group in groups) == sum(event.request_size for event in requests)
    assert sum(group.sent for group in groups) == sum(event.response_size for event in requests)
    assert sum(group.errors for group in groups) == sum(event.status >= 500 or bool(event.error) for event in requests)
    assert Counter(seconds for group in groups for seconds in group.durations) == Counter(waited_for)
    assert sum(group.histogram.count for group in groups) == len(waited_for)


@given(EVENTS)
def test_a_group_has_one_method_route_and_status(events: list[Event]) -> None:
    counted: Counter[tuple[str, str | None, int]] = Counter()
    for group in grouped(events):
        counted[group.method, group.route, group.status] += group.count

    requests = [event for event in events if event.status or not event.severity]
    assert counted == Counter((event.method, event.route, event.status) for event in requests)
