import base64
from datetime import datetime

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reqscope.bus import Event
from reqscope.bus.event import Headers
from reqscope.bus.schema import Detail, Entry, Summary, header, level, text_or_base64, view

FAST = settings(derandomize=True, deadline=None)

FULL = Event(
    time=1_700_000_000_123_456_789,
    kind="record",
    seq=7,
    method="POST",
    path="/orders/42",
    query=b"page=2",
    route="/orders/{id}",
    status=201,
    client="10.0.0.1",
    scheme="https",
    http_version="1.1",
    request_headers=((b"host", b"example.org"), (b"user-agent", b"curl/8"), (b"accept", b"a"), (b"accept", b"b")),
    response_headers=((b"content-type", b"text/plain"), (b"x-name", b"caf\xe9")),
    request_size=12,
    response_size=34,
    body=b'{"total":3}',
    ttfb=0.25,
    total=0.5,
    app=0.75,
    error="client_disconnected",
    replay_of="cafe-3",
)

SUMMARY = {
    "timestamp": "2023-11-14T22:13:20.123456Z",
    "level": "error",
    "event": "record",
    "id": "cafe-7",
    "seq": 7,
    "http.request.method": "POST",
    "url.path": "/orders/42",
    "url.query": "page=2",
    "url.scheme": "https",
    "http.route": "/orders/{id}",
    "http.response.status_code": 201,
    "client.address": "10.0.0.1",
    "server.address": "example.org",
    "user_agent.original": "curl/8",
    "network.protocol.version": "1.1",
    "http.request.body.size": 12,
    "http.response.body.size": 34,
    "ttfb": 0.25,
    "duration": 0.5,
    "app_duration": 0.75,
    "error.type": "client_disconnected",
    "replay_of": "cafe-3",
}
ENTRY = SUMMARY | {"body": '{"total":3}'}
DETAIL = ENTRY | {
    "http.request.headers": [["host", "example.org"], ["user-agent", "curl/8"], ["accept", "a"], ["accept", "b"]],
    "http.response.headers": [["content-type", "text/plain"], ["x-name", "café"]],
}


@pytest.mark.parametrize(
    ("as_type", "expected"), [(Summary, SUMMARY), (Entry, ENTRY), (Detail, DETAIL)], ids=["summary", "entry", "detail"]
)
def test_every_view_has_its_fields_under_their_conventional_names(
    as_type: type[Summary], expected: dict[str, object]
) -> None:
    shown = msgspec.json.decode(msgspec.json.encode(view(FULL, "cafe", as_type)))

    assert shown == expected
    assert list(shown) == list(expected) or as_type is Detail


@pytest.mark.parametrize("as_type", [Summary, Entry, Detail])
def test_a_field_without_a_value_is_left_out(as_type: type[Summary]) -> None:
    shown = msgspec.to_builtins(view(Event(time=0), "cafe", as_type))

    assert shown == {
        "timestamp": "1970-01-01T00:00:00.000000Z",
        "level": "info",
        "event": "request",
        "id": "cafe-0",
        "seq": 0,
    }


@pytest.mark.parametrize(
    ("status", "error", "expected"),
    [
        (0, None, "info"),
        (200, None, "info"),
        (399, None, "info"),
        (400, None, "warning"),
        (499, None, "warning"),
        (500, None, "error"),
        (599, None, "error"),
        (200, "ValueError", "error"),
        (404, "ValueError", "error"),
        (200, "", "info"),
    ],
)
def test_the_level_says_whose_fault_it_was(status: int, error: str | None, expected: str) -> None:
    assert level(Event(time=0, status=status, error=error)) == expected


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ((), ""),
        (((b"host", b"x"),), ""),
        (((b"user-agent", b"one"), (b"user-agent", b"other")), "one"),
        (((b"user-agent", b"caf\xe9"),), "café"),
    ],
)
def test_the_first_header_of_a_name_is_found(headers: Headers, expected: str) -> None:
    assert header(headers, b"user-agent") == expected


@pytest.mark.guarantees("18", "29")
@FAST
@given(st.binary())
def test_a_body_is_shown_as_text_or_as_base64_and_always_whole(body: bytes) -> None:
    text, encoded = text_or_base64(body)

    assert (text is None) != (encoded is None)
    assert (text.encode() if text is not None else base64.b64decode(encoded or "")) == body


@pytest.mark.guarantees("18", "29")
def test_a_body_that_is_not_text_is_an_entry_of_its_own_name() -> None:
    shown = msgspec.to_builtins(view(Event(time=0, body=b"\xff\x00"), "cafe", Entry))

    assert shown["body_base64"] == "/wA="
    assert "body" not in shown


@FAST
@given(st.integers(0, 4_000_000_000_000_000))
def test_a_timestamp_is_exact_to_the_microsecond(microseconds: int) -> None:
    shown = view(Event(time=microseconds * 1_000 + 999), "", Summary).timestamp

    timestamp = datetime.fromisoformat(shown)
    whole, fraction = divmod(microseconds, 1_000_000)
    assert (int(timestamp.timestamp()), timestamp.microsecond) == (whole, fraction)
    assert len(shown) == len("2026-01-01T00:00:00.000000Z")


def test_durations_are_shown_to_the_microsecond() -> None:
    shown = view(Event(time=0, ttfb=1 / 3, total=2 / 3, app=1e-9), "", Summary)

    assert (shown.ttfb, shown.duration, shown.app_duration) == (0.333333, 0.666667, 0)


@pytest.mark.guarantees("56")
def test_bytes_that_are_not_text_show_as_latin_1() -> None:
    assert view(Event(time=0, query=b"q=\xe9\xff"), "", Summary).query == "q=éÿ"
