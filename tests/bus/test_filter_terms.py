import json

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from reqscope.bus import Event, Filter, FilterError, LogLine
from reqscope.bus.encoding import encode
from reqscope.bus.filters import term
from reqscope.bus.schema import Summary, view

FAST = settings(derandomize=True, deadline=None, max_examples=100)

MENTIONED = st.text('aB/*"\\, ():-.é\n', max_size=6) | st.text(max_size=4)
SHOWN = st.builds(
    Event,
    time=st.integers(0, 2 * 10**15).map(lambda microseconds: microseconds * 1_000),
    seq=st.integers(0, 10**6),
    kind=st.sampled_from(["request", "websocket", "log", "record"]),
    method=MENTIONED,
    path=MENTIONED,
    query=st.binary(max_size=4),
    route=st.none() | MENTIONED,
    status=st.integers(0, 999),
    client=st.sampled_from(["", "10.0.0.1", "::1", "2001:db8::1", "testclient", "a/b", "*"]),
    request_headers=st.just(()) | st.binary(max_size=4).map(lambda value: ((b"host", value), (b"user-agent", value))),
    request_size=st.integers(0, 10**12),
    response_size=st.integers(0, 10**12),
    ttfb=st.none() | st.integers(0, 10**10).map(lambda microseconds: microseconds / 1e6),
    total=st.none() | st.integers(0, 10**10).map(lambda microseconds: microseconds / 1e6),
    error=st.none() | MENTIONED,
    request_id=MENTIONED,
    trace_id=MENTIONED,
)
CELLS = {
    "method": "http.request.method",
    "path": "url.path",
    "query": "url.query",
    "route": "http.route",
    "status": "http.response.status_code",
    "host": "server.address",
    "client": "client.address",
    "kind": "event",
    "error": "error.type",
    "level": "level",
    "dur": "duration",
    "ttfb": "ttfb",
    "size": "http.response.body.size",
    "reqsize": "http.request.body.size",
    "trace": "trace_id",
    "request_id": "request_id",
    "ua": "user_agent.original",
    "time": "timestamp",
    "seq": "seq",
}
IN_ANY_CASE = {"method", "host", "error", "trace", "request_id", "ua", "kind", "level", "client"}


def cell(event: Event, field: str) -> str:
    """What the API shows of an event, where what it leaves out is empty or zero."""
    shown = json.loads(encode(view(event, "boot", Summary)))
    value = str(shown.get(CELLS[field], "0" if field in {"status", "seq", "size", "reqsize"} else ""))
    return value.casefold() if field in IN_ANY_CASE else value


@FAST
@given(st.sampled_from(sorted(CELLS)), SHOWN, SHOWN)
def test_the_term_of_a_cell_passes_exactly_the_events_that_show_the_same(field: str, one: Event, other: Event) -> None:
    value = cell(one, field)
    assume(value or field not in {"dur", "ttfb"})

    passes = Filter.parse(term(field, value))

    assert passes(one)
    assert passes(other) is (cell(other, field) == value)


@FAST
@given(st.text('a*"\\, ()', max_size=5), st.text('a*"\\, ()', max_size=5))
def test_the_term_of_a_header_a_body_or_a_log_line_does_too(value: str, other: str) -> None:
    line = LogLine(time=0, level="info", logger="", message=other)
    headers = ((b"x-a", other.encode()),)
    event = Event(time=0, body=other.encode(), response_headers=headers, logs=(line,))

    for field in ("header.X-A", "body", "log"):
        assert Filter.parse(term(field, value))(event) is (value == other)
    assert Filter.parse(term("", value))(event) is (value in other)


def test_terms_can_be_put_together() -> None:
    assert term("path", "/a b") == 'path:"/a b"'
    assert term("path", "/a*") == r'path:"/a\*"'
    assert term("Route", "/items/{id}") == "route:/items/{id}"
    assert term("dur", "0.25") == "dur:0.250000s"
    assert term("dur", "250ms") == "dur:250ms"
    assert term("status", "7") == "status:7..7"
    assert Filter.parse(f"{term('method', 'POST')} -{term('', 'a b')}").text == 'method:POST -"a b"'


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("colour", "red"),
        ("header.a b", "c"),
        ("header.é", "c"),
        ("header.", "c"),
        ("path:", "c"),
        ("status", "many"),
        ("status", "404,500"),
        ("kind", "get"),
        ("dur", "-1"),
        ("path", "a" * 10_000),
    ],
)
def test_there_is_no_term_for_what_no_event_has(field: str, value: str) -> None:
    with pytest.raises(FilterError):
        term(field, value)
