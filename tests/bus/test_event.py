import gc
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reqscope.bus import Event, RingBuffer
from reqscope.bus.event import OVERHEAD, Headers

FAST = settings(derandomize=True, deadline=None)


def test_an_event_needs_a_time_and_nothing_else() -> None:
    event = Event(time=7)

    assert (event.time, event.kind, event.seq, event.status, event.body) == (7, "request", 0, 0, b"")
    with pytest.raises(TypeError):
        Event()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def test_fields_are_named_when_an_event_is_made() -> None:
    with pytest.raises(TypeError):
        Event(7)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def test_the_garbage_collector_does_not_see_events() -> None:
    headers = tuple([(b"host", bytes([number])) for number in range(3)])
    assert gc.is_tracked(headers)

    assert not gc.is_tracked(Event(time=0, path="/orders", request_headers=headers))


@FAST
@given(path=st.text("abc/", max_size=50), query=st.binary(max_size=50), body=st.binary(max_size=50))
def test_text_and_body_count_by_their_length(path: str, query: bytes, body: bytes) -> None:
    event = Event(time=0, path=path, query=query, body=body)

    assert event.measure() == OVERHEAD + len(path) + len(query) + len(body)


@FAST
@given(st.lists(st.tuples(st.binary(max_size=20), st.binary(max_size=20)), max_size=10), st.integers(0, 10))
def test_a_header_counts_the_same_in_a_request_and_in_a_response(
    headers: list[tuple[bytes, bytes]], split: int
) -> None:
    apart = Event(time=0, request_headers=tuple(headers[:split]), response_headers=tuple(headers[split:]))
    together = Event(time=0, request_headers=tuple(headers))

    assert apart.measure() == together.measure()
    assert together.measure() >= OVERHEAD + sum(len(name) + len(value) for name, value in headers)


def bare(number: int) -> Event:
    return Event(time=1 << 60 | number, path=f"/items/{number}", client=f"10.0.0.{number}", total=number / 7)


def ordinary(number: int) -> Event:
    return Event(
        time=1 << 60 | number,
        path=f"/items/{number}",
        query=b"page=%d" % number,
        request_headers=some_headers(number, 12),
        response_headers=some_headers(number, 6),
        total=number / 7,
    )


def many_headers(number: int) -> Event:
    return Event(time=1 << 60 | number, request_headers=some_headers(number, 100))


def ingested(number: int) -> Event:
    return Event(time=1 << 60 | number, kind="record", body=b"%d" % number * 1_000)


def some_headers(number: int, count: int) -> Headers:
    return tuple((b"name-%d-%d" % (number, index), b"value-%d-%d" % (number, index)) for index in range(count))


@pytest.mark.parametrize("make", [bare, ordinary, many_headers, ingested])
def test_the_bytes_a_ring_counts_are_near_the_memory_it_takes(
    make: Callable[[int], Event], allocated: Callable[[], int]
) -> None:
    count = 1_000
    ring = RingBuffer(count)
    before = allocated()

    for number in range(count):
        ring.append(make(number))

    taken = allocated() - before
    assert taken / 1.25 < ring.statistics().held_bytes < taken * 2
