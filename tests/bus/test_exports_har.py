import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reqscope.bus import Body, Event
from reqscope.bus.event import Kind
from reqscope.bus.export_har import HarExport
from reqscope.bus.exports import written

from .test_exports import BOOT, EVENTS

SCHEMA: dict[str, Any] = json.loads((Path(__file__).parent / "har_schema.json").read_text())
TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
}
KEYWORDS = {
    "type",
    "required",
    "properties",
    "patternProperties",
    "additionalProperties",
    "items",
    "pattern",
    "minimum",
}


def problems(value: Any, schema: dict[str, Any], place: str = "$") -> list[str]:
    """Return where `value` breaks `schema`, of which the keywords above are understood."""
    if reference := schema.get("$ref"):
        return problems(value, SCHEMA["definitions"][reference.rpartition("/")[2]], place)
    assert schema.keys() <= KEYWORDS | {"$comment", "$schema", "definitions"}
    if not isinstance(value, TYPES[schema["type"]]) or isinstance(value, bool):
        return [f"{place} is no {schema['type']}"]
    if isinstance(value, dict):
        return problems_of_object(value, schema, place)
    if isinstance(value, list):
        return [found for i, item in enumerate(value) for found in problems(item, schema["items"], f"{place}[{i}]")]
    if isinstance(value, str):
        return [] if re.search(schema.get("pattern", ""), value) else [f"{place} looks wrong: {value!r}"]
    return [f"{place} is {value}"] if value < schema.get("minimum", value) else []


def problems_of_object(value: dict[str, Any], schema: dict[str, Any], place: str) -> list[str]:
    assert schema["additionalProperties"] is False
    found = [f"{place} has no {name}" for name in schema.get("required", []) if name not in value]
    for name, item in value.items():
        if name in schema["properties"]:
            found += problems(item, schema["properties"][name], f"{place}.{name}")
        elif not any(re.search(pattern, name) for pattern in schema.get("patternProperties", {})):
            found.append(f"{place} knows no {name}")
    return found


def log_of(*events: Event) -> dict[str, Any]:
    """Return the log in the archive of these events, which is checked."""
    archive = json.loads(b"".join(written(HarExport(BOOT), events)))
    assert problems(archive, SCHEMA) == []
    log: dict[str, Any] = archive["log"]
    return log


def entry_of(event: Event) -> dict[str, Any]:
    entries: list[dict[str, Any]] = log_of(event)["entries"]
    (entry,) = entries
    return entry


def test_the_schema_is_one_that_finds_mistakes() -> None:
    entry = entry_of(Event(time=1))
    spoilt: list[dict[str, Any]] = [
        {"time": -1},
        {"time": "1"},
        {"timings": {"send": 0, "wait": 0}},
        {"comments": ""},
        {"startedDateTime": "yesterday"},
        {"request": {}},
        {"cache": None},
    ]
    for spoil in spoilt:
        archive = {"log": {"version": "1.2", "creator": {"name": "", "version": ""}, "entries": [entry | spoil]}}
        assert problems(archive, SCHEMA), spoil


def test_without_requests_it_is_an_archive_without_entries() -> None:
    log = log_of()
    assert (log["version"], log["creator"]["name"], log["entries"]) == ("1.2", "Reqscope", [])
    assert "comment" not in log


def test_an_entry_says_all_that_was_captured() -> None:
    entry = entry_of(
        Event(
            time=1_700_000_000_123_456_789,
            seq=7,
            method="POST",
            path="/café/a b",
            query=b"q=1&q=%C3%A9&empty=&token=[redacted]#1f3a9c",
            route="/café/{x}",
            status=201,
            client="10.0.0.1",
            scheme="https",
            http_version="1.1",
            request_headers=((b"host", b"example.org:8443"), (b"content-type", b"text/plain"), (b"x", b"\xe9")),
            response_headers=((b"location", b"/next"), (b"content-type", b"application/json")),
            request_size=5,
            response_size=2,
            request_body=Body(data=b"hello", captured=5),
            response_body=Body(data=b"{}", captured=2),
            ttfb=0.25,
            total=0.5,
            app=0.75,
            error="ValueError",
            request_id="r-1",
        )
    )
    assert entry == {
        "startedDateTime": "2023-11-14T22:13:20.123456Z",
        "time": 500.0,
        "request": {
            "method": "POST",
            "url": "https://example.org:8443/caf%C3%A9/a%20b?q=1&q=%C3%A9&empty=&token=%5Bredacted%5D%231f3a9c",
            "httpVersion": "HTTP/1.1",
            "cookies": [],
            "headers": [
                {"name": "host", "value": "example.org:8443"},
                {"name": "content-type", "value": "text/plain"},
                {"name": "x", "value": "é"},
            ],
            "queryString": [
                {"name": "q", "value": "1"},
                {"name": "q", "value": "é"},
                {"name": "empty", "value": ""},
                {"name": "token", "value": "[redacted]#1f3a9c"},
            ],
            "postData": {"mimeType": "text/plain", "text": "hello"},
            "headersSize": -1,
            "bodySize": 5,
        },
        "response": {
            "status": 201,
            "statusText": "Created",
            "httpVersion": "HTTP/1.1",
            "cookies": [],
            "headers": [
                {"name": "location", "value": "/next"},
                {"name": "content-type", "value": "application/json"},
            ],
            "content": {"size": 2, "mimeType": "application/json", "text": "{}"},
            "redirectURL": "/next",
            "headersSize": -1,
            "bodySize": 2,
        },
        "cache": {},
        "timings": {"blocked": -1, "dns": -1, "connect": -1, "ssl": -1, "send": 0, "wait": 250.0, "receive": 250.0},
        "_reqscope": {
            "id": "cafe-7",
            "seq": 7,
            "http.route": "/café/{x}",
            "client.address": "10.0.0.1",
            "request_id": "r-1",
            "ttfb": 0.25,
            "duration": 0.5,
            "app_duration": 0.75,
            "error.type": "ValueError",
        },
    }


def test_a_binary_body_is_in_base64() -> None:
    binary = Body(data=b"\xff\0", captured=2)
    entry = entry_of(Event(time=1, request_size=2, response_size=2, request_body=binary, response_body=binary))
    assert entry["request"]["postData"] == {"mimeType": "", "text": "/wA=", "_encoding": "base64"}
    assert entry["response"]["content"] == {"size": 2, "mimeType": "", "text": "/wA=", "encoding": "base64"}


def test_a_body_that_is_not_all_there_says_so() -> None:
    entry = entry_of(
        Event(
            time=1,
            request_size=9,
            response_size=9,
            request_body=Body(data=b"", captured=9, withheld="it is odd"),
            response_body=Body(data=b"abc", captured=3),
        )
    )
    assert entry["request"]["postData"] == {"mimeType": "", "text": "", "comment": "withheld: it is odd"}
    assert entry["response"]["content"]["comment"] == "3 of 9 bytes captured"
    assert entry["response"]["content"]["size"] == 9


def test_a_response_that_was_unpacked_has_both_sizes() -> None:
    headers = ((b"content-encoding", b"gzip"),)
    body = Body(data=b"a" * 1_000, captured=30)
    response = entry_of(Event(time=1, response_size=30, response_headers=headers, response_body=body))["response"]
    assert (response["bodySize"], response["content"]["size"]) == (30, 1_000)


def test_what_is_no_request_is_left_out_and_counted() -> None:
    kinds: tuple[Kind, ...] = ("request", "websocket", "request", "record", "record", "log")
    log = log_of(*(Event(time=1, kind=kind) for kind in kinds))
    assert len(log["entries"]) == 2
    assert log["comment"] == "Left out, as they are no requests: 1 WebSocket, 2 ingested records, 1 log record."


@pytest.mark.parametrize("host", [b"", b"a b", b"x/../y", b"u@h", b"<script>", b"h:port", "é".encode()])
def test_a_host_that_is_none_makes_no_address(host: bytes) -> None:
    entry = entry_of(Event(time=1, path="*", request_headers=((b"host", host),)))
    assert entry["request"]["url"] == "http://unknown.invalid/*"


@given(st.lists(EVENTS, max_size=4))
def test_whatever_was_captured_the_archive_is_valid(events: list[Event]) -> None:
    entries = log_of(*events)["entries"]
    assert len(entries) == sum(event.kind == "request" for event in events)
    for entry in entries:
        times = [time for time in entry["timings"].values() if time > 0]
        assert entry["time"] == pytest.approx(sum(times))
