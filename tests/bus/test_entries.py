import typing
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reqscope.bus import Event, Failure
from reqscope.bus.encoding import encode, encode_lines
from reqscope.bus.entries import entries
from reqscope.bus.logentry import LogEntry, RequestEntry
from reqscope.bus.schema import view

from .test_jsonlog import EVENTS

REQUEST = Event(
    time=1_700_000_000_123_456_789,
    seq=7,
    method="POST",
    path="/orders/42",
    query=b"page=2",
    route="/orders/{id}",
    status=201,
    client="10.0.0.1",
    scheme="https",
    http_version="1.1",
    request_headers=((b"host", b"example.org"), (b"user-agent", b"curl/8")),
    request_size=12,
    response_size=34,
    ttfb=0.25,
    total=0.5,
    app=0.75,
    error="client_disconnected",
    request_id="r-1",
    trace_id="0af7651916cd43dd8448eb211c80319c",
    span_id="b7ad6b7169203331",
)
FAILURE = Failure(type="ValueError", message="m", traceback="t", fingerprint="f")
OF_WEBSOCKETS = ("messages_received", "messages_sent", "close_code")
OTHER: dict[Any, Any] = {str: "other", int: 5, bytes: b"other", float: 1.5, Failure: FAILURE}


def one_by_one(events: list[Event]) -> bytes:
    return b"".join(encode(view(event, "cafe", LogEntry)) + b"\n" for event in events)


def test_a_plain_request_takes_the_short_way_and_says_the_same() -> None:
    (entry,) = entries([REQUEST], "cafe")

    assert isinstance(entry, RequestEntry)
    assert encode_lines([entry]) == one_by_one([REQUEST])


@given(st.lists(EVENTS, max_size=5))
def test_whatever_the_events_are_entries_of_many_are_those_of_each(events: list[Event]) -> None:
    assert encode_lines(entries(events, "cafe")) == one_by_one(events)


def changed(name: str) -> Event:
    """The request with another value of a field, whichever fields there will be."""
    kind_of_event = "websocket" if name in (*OF_WEBSOCKETS, "kind") else "request"
    kinds = typing.get_type_hints(Event)[name]
    for kind in (kinds, *typing.get_args(kinds)):
        if kind in OTHER:
            return msgspec.structs.replace(REQUEST, **{"kind": kind_of_event, name: OTHER[kind]})
    return msgspec.structs.replace(REQUEST, kind=kind_of_event)


@pytest.mark.parametrize("name", Event.__struct_fields__)
def test_no_field_of_an_event_is_forgotten_on_the_short_way(name: str) -> None:
    event = changed(name)

    assert encode_lines(entries([event], "cafe")) == one_by_one([event])


@pytest.mark.parametrize(
    "headers",
    [
        (),
        ((b"Host", b"example.org"), (b"USER-AGENT", b"curl/8")),
        ((b"host", b""), (b"host", b"second"), (b"user-agent", b""), (b"user-agent", b"second")),
        ((b"user-agent", b"caf\xe9"), (b"accept", b"*/*"), (b"host", b"x")),
    ],
)
def test_headers_are_found_as_ever(headers: Any) -> None:
    event = msgspec.structs.replace(REQUEST, request_headers=headers)

    assert encode_lines(entries([event], "cafe")) == one_by_one([event])


@given(st.lists(st.integers(0, 4_000_000_000_000_000_000), max_size=4))
def test_seconds_that_are_formatted_once_are_right_for_each(times: list[int]) -> None:
    events = [Event(time=time + more) for time in times for more in (0, 1_000, 999_999_999, 1_000_000_000)]

    assert encode_lines(entries(events, "cafe")) == one_by_one(events)


@given(st.lists(st.integers(0, 1 << 70), max_size=4))
def test_ids_whose_beginning_is_formatted_once_are_right_for_each(numbers: list[int]) -> None:
    events = [Event(time=0, seq=number + more) for number in numbers for more in (0, 1, 999, 1_000)]

    assert encode_lines(entries(events, "cafe")) == one_by_one(events)


@given(st.floats())
def test_a_duration_is_rounded_the_same_way(seconds: float) -> None:
    events = [Event(time=0, ttfb=seconds, total=seconds, app=seconds)]

    assert encode_lines(entries(events, "cafe")) == one_by_one(events)


def test_the_short_form_has_the_fields_of_the_long_one_in_its_order() -> None:
    short, long = RequestEntry.__struct_encode_fields__, LogEntry.__struct_encode_fields__

    assert [name for name in long if name in short] == list(short)
