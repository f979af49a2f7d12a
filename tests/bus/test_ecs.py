import json

from reqscope.bus import Event, Failure
from reqscope.bus.ecs import NAMES, ecs
from reqscope.bus.logentry import LogEntry

from .test_jsonlog import lines_of


def test_a_request_has_the_names_and_units_of_ecs() -> None:
    event = Event(time=0, seq=3, method="GET", path="/x", status=503, total=0.25, error="KeyError", response_size=7)
    event.failure = Failure(type="KeyError", message="m", traceback="t", fingerprint="f")

    (line,) = lines_of([event], ecs)

    assert json.loads(line) == {
        "@timestamp": "1970-01-01T00:00:00.000000Z",
        "message": "GET /x 503",
        "ecs.version": "8.17.0",
        "schema": 1,
        "log.level": "error",
        "event.action": "request",
        "event.id": "cafe-3",
        "event.sequence": 3,
        "event.duration": 250_000_000,
        "http.request.method": "GET",
        "url.path": "/x",
        "http.response.status_code": 503,
        "http.response.body.bytes": 7,
        "error.type": "KeyError",
        "error.message": "m",
        "error.stack_trace": "t",
        "exception.fingerprint": "f",
    }


def test_a_record_has_a_message_and_what_it_said() -> None:
    (line,) = lines_of([Event(time=0, kind="record", body=b"hello")], ecs)

    record = json.loads(line)
    assert (record["message"], record["event.original"]) == ("record", "hello")


def test_every_field_that_is_renamed_is_there() -> None:
    assert set(NAMES) <= set(LogEntry.__struct_encode_fields__)
