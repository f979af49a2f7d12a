import json
import time
import tracemalloc
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from reqscope.service.batches import MAX_RECORDS, Batch, BatchError, read_batch
from reqscope.service.ingest import MAX_BATCH

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
NAMES = st.text().filter(lambda name: name != "duration" and "." not in name)  # none that means something
PIECES = st.sampled_from(
    [
        *(b"{", b"}", b"[", b"]", b'"', b"\\", b":", b",", b"\n", b"\r", b" ", b"\n["),
        *(b"\x00", b"\x1f", b"\x85", b"\xff", b"\xef\xbb\xbf", b"\\ud800"),
        *(b"NaN", b"1", b"null", b'{"a":1}', b'{"duration":1e308}', b'"http.response.status_code":'),
    ]
)
BODIES = st.binary(max_size=200) | st.lists(PIECES, max_size=30).map(b"".join)


def read(body: bytes, content_type: str = "application/x-ndjson") -> Batch:
    return read_batch(body, content_type, "192.0.2.1")


def nested(depth: int) -> bytes:
    """Return an object that is nested so deep."""
    return b'{"a":' + b"[" * (depth - 1) + b"]" * (depth - 1) + b"}"


def test_the_fields_that_a_record_may_have_are_those_of_its_event() -> None:
    line = json.dumps(
        {
            "http.request.method": "PATCH",
            "url.path": "/orders/7",
            "http.route": "/orders/{id}",
            "http.response.status_code": 409,
            "client.address": "198.51.100.7",
            "duration": 0.25,
            "error.type": "Conflict",
            "colour": ["red"],
        }
    ).encode()
    before = time.time_ns()

    (event,) = read(line).events

    assert (event.kind, event.method, event.path, event.route) == ("record", "PATCH", "/orders/7", "/orders/{id}")
    assert (event.status, event.client, event.total, event.error) == (409, "198.51.100.7", 0.25, "Conflict")
    assert (event.body, event.request_size) == (line, len(line))
    assert before <= event.time <= time.time_ns()
    assert len(line) < event.size <= event.measure()


def test_a_record_need_not_have_any_field_and_is_its_senders() -> None:
    (event,) = read(b"{}").events

    assert (event.method, event.path, event.route, event.status, event.total) == ("", "", None, 0, None)
    assert (event.client, event.error, event.body) == ("192.0.2.1", None, b"{}")


@pytest.mark.guarantees("69")
@pytest.mark.parametrize(
    "body",
    [
        b'{"n":1}\n{"n":2}\n{"n":3}\n',
        b'{"n":1}\n{"n":2}\n{"n":3}',
        b'{"n":1}\r\n{"n":2}\r\n{"n":3}\r\n',
        b'\n\n{"n":1}\n\n \t\n{"n":2}\n\r\n{"n":3}\n\n',
        b'[{"n":1},{"n":2},{"n":3}]',
        b' \n[ {"n":1} , \n {"n":2},\n{"n":3} ] \n',
    ],
)
@pytest.mark.parametrize("content_type", ["application/x-ndjson", "application/jsonl", "text/plain", ""])
def test_lines_and_arrays_are_read_in_order_however_they_are_laid_out(body: bytes, content_type: str) -> None:
    batch = read(body, content_type)

    assert [json.loads(event.body) for event in batch.events] == [{"n": 1}, {"n": 2}, {"n": 3}]
    assert (batch.rejected, batch.errors) == (0, [])


def test_json_of_one_object_may_have_lines_of_its_own() -> None:
    body = json.dumps({"n": 1, "url.path": "/x"}, indent=2).encode()

    (event,) = read(body, "application/json").events

    assert (event.path, event.body) == ("/x", body)


@pytest.mark.parametrize("body", [b"", b"\n", b" \r\n\t\n", b"[]", b" [ ] "])
@pytest.mark.parametrize("content_type", ["application/x-ndjson", "application/json"])
def test_nothing_is_a_batch_of_nothing(body: bytes, content_type: str) -> None:
    assert read(body, content_type) == Batch()


# Each line is wrong in one way. The reason is to say which.
MALFORMED: dict[str, tuple[bytes, str]] = {
    "text": (b"hello", "not JSON: Expecting value"),
    "number": (b"17", "Expected `object`, got `int`"),
    "string": (b'"x"', "Expected `object`, got `str`"),
    "null": (b"null", "Expected `object`, got `null`"),
    "cut short": (b'{"a":', "not JSON: Expecting value"),
    "open string": (b'{"a', "not JSON: Unterminated string"),
    "trailing comma": (b'{"a":1,}', "not JSON: "),
    "two values": (b'{"a":1} {"b":2}', "not JSON: Extra data"),
    "single quotes": (b"{'a':1}", "not JSON: "),
    "not UTF-8 in a value": (b'{"a":"\xff"}', "not UTF-8 at byte 6"),
    "not UTF-8 in a name": (b'{"\xc3":1}', "not UTF-8 at byte 2"),
    "surrogate in UTF-8": (b'{"a":"\xed\xa0\x80"}', "not UTF-8 at byte 6"),
    "overlong UTF-8": (b'{"a":"\xc0\xaf"}', "not UTF-8 at byte 6"),
    "NUL": (b'{"a":"\x00"}', "not JSON: Invalid control character"),
    "NUL outside": (b'{"a":1}\x00', "not JSON: Extra data"),
    "escape sequence": (b'{"a":"\x1b[2J"}', "not JSON: Invalid control character"),
    "NaN": (b'{"a":NaN}', "not JSON: NaN is not a JSON value"),
    "Infinity": (b'{"a":-Infinity}', "not JSON: -Infinity is not a JSON value"),
    "half a pair": (b'{"a":"\\ud800"}', "half of a surrogate pair"),
    "half a pair in a field": (b'{"url.path":"\\udc00x"}', "half of a surrogate pair"),
    "bad escape": (b'{"a":"\\x41"}', "not JSON: Invalid \\escape"),
    "leading zero": (b'{"a":01}', "not JSON: "),
    "bare minus": (b'{"a":-}', "not JSON: "),
    "100 000 open objects": (b'{"a":' * 100_000, "nested deeper than 64 levels"),
    "100 000 brackets in an object": (b'{"a":' + b"[" * 100_000, "nested deeper than 64 levels"),
    "65 levels": (nested(65), "nested deeper than 64 levels"),
    "status as text": (b'{"http.response.status_code":"200"}', "Expected `int`, got `str`"),
    "status as fraction": (b'{"http.response.status_code":200.5}', "Expected `int`, got `float`"),
    "status as truth": (b'{"http.response.status_code":true}', "Expected `int`, got `bool`"),
    "status null": (b'{"http.response.status_code":null}', "Expected `int`, got `null`"),
    "status below": (b'{"http.response.status_code":-1}', "`int` >= 0 - at `$.http.response.status_code`"),
    "status above": (b'{"http.response.status_code":1000}', "`int` <= 999 - at `$.http.response.status_code`"),
    "status past 64 bits": (
        b'{"http.response.status_code":1%s}' % (b"0" * 30),
        "`int` <= 999 - at `$.http.response.status_code`",
    ),
    "status past all bits": (b'{"http.response.status_code":1%s}' % (b"0" * 9_000), "out of range"),
    "method as number": (b'{"http.request.method":7}', "Expected `str`, got `int`"),
    "duration as text": (b'{"duration":"1s"}', "Expected `float | null`, got `str`"),
    "duration past all bounds": (b'{"duration":1e999}', "out of range"),
}


guarantees = pytest.mark.guarantees
PROVES = {
    "NaN": guarantees("5"),
    "Infinity": guarantees("5"),
    "duration past all bounds": guarantees("6"),
    "status past 64 bits": guarantees("7"),
    "status past all bits": guarantees("8"),
    "100 000 open objects": guarantees("10"),
    "100 000 brackets in an object": guarantees("10"),
    "65 levels": guarantees("10"),
    "not UTF-8 in a value": guarantees("18"),
    "not UTF-8 in a name": guarantees("18"),
    "surrogate in UTF-8": guarantees("18"),
    "overlong UTF-8": guarantees("18"),
    "half a pair": guarantees("19"),
    "half a pair in a field": guarantees("19"),
    "NUL": guarantees("20"),
    "NUL outside": guarantees("20"),
}


@pytest.mark.guarantees("69")
@pytest.mark.parametrize(
    ("line", "reason"),
    [pytest.param(*case, id=name, marks=PROVES.get(name, guarantees("4", "26"))) for name, case in MALFORMED.items()],
)
def test_a_bad_line_is_reported_by_number_with_a_printable_reason_and_costs_no_good_one(
    line: bytes, reason: str
) -> None:
    batch = read(b'\n{"n":1}\n\n' + line + b'\n{"n":2}\n')

    assert [event.body for event in batch.events] == [b'{"n":1}', b'{"n":2}']
    ((error),) = batch.errors
    assert (batch.rejected, error["line"]) == (1, 4)
    message = str(error["error"])
    assert reason in message
    assert message.isprintable()
    assert len(message) <= 300


@pytest.mark.guarantees("71")
@pytest.mark.parametrize("kind", ["number", "null", "status as text", "status above", "65 levels", "method as number"])
def test_a_bad_element_of_an_array_is_reported_by_its_place(kind: str) -> None:
    element, reason = MALFORMED[kind]

    batch = read(b'[{"n":1},' + element + b',\n{"n":2}]')

    assert [event.body for event in batch.events] == [b'{"n":1}', b'{"n":2}']
    assert batch.rejected == 1
    assert batch.errors[0]["line"] == 2
    assert reason in str(batch.errors[0]["error"])


@pytest.mark.guarantees("6", "8", "9", "12", "14", "19", "20", "21", "22")
@pytest.mark.parametrize(
    "line",
    [
        b'{"n":1%s}' % (b"0" * 5_000),
        b'{"n":1e999}',
        b'{"n":0.1%s}' % (b"1" * 5_000),
        b'{"http.response.status_code":0}',
        b'{"http.response.status_code":999}',
        b'{"duration":null,"error.type":null,"http.route":null}',
        b'{"n":1,"n":2}',
        b'{"":{"":[[],{}]}}',
        '{"é😀":"\u202e\u2028"}'.encode(),
        b'{"a":"\\ud83d\\ude00"}',
        b'{"a":"\\u0000\\u001b"}',
        b'{"a":"' + b"[" * 1_000 + b'"}',
        b'{"a":"' + b'\\"[' * 1_000 + b'"}',
        b'{"a":[' + b"[]," * 1_000 + b"[]]}",
        nested(64),
    ],
    ids=lambda line: line[:24].decode(errors="replace"),
)
def test_what_is_unusual_and_yet_json_is_accepted_and_kept_byte_for_byte(line: bytes) -> None:
    (event,) = read(line).events

    assert event.body == line


@pytest.mark.guarantees("69")
def test_only_the_first_ten_errors_are_told_but_all_are_counted() -> None:
    batch = read(b"x\n" * 25)

    assert batch.rejected == 25
    assert [error["line"] for error in batch.errors] == [*range(1, 11)]


@pytest.mark.guarantees("10")
@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        (b'[{"a":1}', 400, "not a JSON array: "),
        (b"[1,]", 400, "not a JSON array: "),
        (b'[{"a":1}] x', 400, "not a JSON array: "),
        (b"[\x00]", 400, "not a JSON array: "),
        (b"[" * 100_000, 422, "nested deeper than 64 levels"),
        (b"[" * 100_000 + b"]" * 100_000, 422, "nested deeper than 64 levels"),
    ],
    ids=lambda value: value[:9].decode() if isinstance(value, bytes) else None,
)
def test_an_array_that_cannot_be_read_is_refused_whole(body: bytes, status: int, reason: str) -> None:
    with pytest.raises(BatchError) as caught:
        read(body)

    assert caught.value.status == status
    assert reason in str(caught.value)
    assert str(caught.value).isprintable()


def test_an_array_that_is_not_unicode_costs_only_what_is_not() -> None:
    batch = read(b'[{"n":1},{"a":"\xff"},{"n":2}]')

    assert [event.body for event in batch.events] == [b'{"n":1}', b'{"n":2}']
    assert batch.errors == [{"line": 2, "error": "not UTF-8 at byte 6"}]


@pytest.mark.parametrize("separator", [b"\n", b"\r\n"])
def test_a_batch_of_as_many_lines_as_are_allowed_is_accepted(separator: bytes) -> None:
    assert len(read(separator.join([b"{}"] * MAX_RECORDS)).events) == MAX_RECORDS == 10_000
    assert len(read(b"[" + b",".join([b"{}"] * MAX_RECORDS) + b"]").events) == MAX_RECORDS


@pytest.mark.parametrize("line", [b"{}\n", b"{}\r\n"])
def test_the_line_feed_at_the_end_is_not_a_line_more(line: bytes) -> None:
    assert len(read(line * MAX_RECORDS).events) == MAX_RECORDS


@pytest.mark.guarantees("71")
@pytest.mark.parametrize("body", [b"\n".join([b"{}"] * 10_001), b"[" + b",".join([b"{}"] * 10_001) + b"]"])
def test_a_batch_of_one_too_many_is_refused_whole_and_says_how_many_are_allowed(body: bytes) -> None:
    with pytest.raises(BatchError, match=r"^10001 records in one batch; send at most 10000 at a time$") as caught:
        read(body)

    assert caught.value.status == 413


@pytest.mark.guarantees("10")
def test_nesting_is_judged_record_by_record() -> None:
    good, bad = [b'{"a":[{"b":[]}]}'] * 500, nested(65)
    lines = [*good, bad, *good]

    for body in (b"\n".join(lines), b"[" + b",".join(lines) + b"]"):
        batch = read(body)
        assert [event.body for event in batch.events] == [*good, *good]
        assert batch.errors == [{"line": 501, "error": "nested deeper than 64 levels"}]


def test_records_may_make_up_for_the_brackets_that_others_lack() -> None:
    batch = read(b"[" + b",".join([b"1"] * 100 + [nested(65)]) + b"]")

    assert (batch.events, batch.rejected) == ([], 101)


@pytest.mark.guarantees("11")
def test_an_array_with_more_commas_than_any_number_of_records_is_read_like_another() -> None:
    many = b'{"n":[' + b"0," * 600_000 + b"0]}"

    batch = read(b"[" + many + b', 17 ,\n{"n":2} ]')

    assert [event.body for event in batch.events] == [many, b'{"n":2}']
    assert [error["line"] for error in batch.errors] == [2]


@pytest.mark.guarantees("71")
def test_the_limit_for_such_an_array_is_the_same() -> None:
    record = b'{"n":[' + b"0," * 60 + b"0]}"

    assert len(read(b"[" + b",".join([record] * MAX_RECORDS) + b"]").events) == MAX_RECORDS
    with pytest.raises(BatchError, match=r"^at least 10001 records in one batch; send at most 10000 at a time$"):
        read(b"[" + b",".join([record] * (MAX_RECORDS + 1)) + b"]")


@pytest.mark.guarantees("69")
def test_blank_lines_are_free_within_reason() -> None:
    assert len(read(b"\n" * 500_000 + b"{}").events) == 1
    with pytest.raises(BatchError, match=r"^600000 lines in one batch; send at most 10000 records at a time$"):
        read(b"\n" * 600_000 + b"{}")


def largest(begin: bytes, again: bytes, end: bytes) -> bytes:
    """Return the largest body that `POST /events` takes, of such parts."""
    return begin + again * ((MAX_BATCH - len(begin) - len(end)) // len(again)) + end


@pytest.mark.guarantees("F21")
@pytest.mark.parametrize(
    ("begin", "again", "end"),
    [
        (b"[", b"1,", b"1]"),
        (b"[", b'"ab",', b"1]"),
        (b"[", b"[],", b"[]]"),
        (b"[", b"{},", b"{}]"),
        (b"[", b'"some bytes",', b"1]"),
        (b"[", b"1234567890123,", b"1]"),
        (b"[", b"[],", b"[]"),
        (b"[", b"[", b""),
        (b'[{"a":[', b"[],", b"[]]}]"),
        (b'{"a":[', b"[],", b"[]]}"),
        (b'{"a":[', b"[],", b"[]"),
        (b'{"a":', b"[", b""),
        (b"{}", b"\n", b"{}"),
        (b"{}", b"\n  ", b""),
        (b"{}", b"\n12", b""),
    ],
    ids=repr,
)
def test_no_body_takes_much_more_memory_than_it_has_bytes(begin: bytes, again: bytes, end: bytes) -> None:
    body = largest(begin, again, end)
    tracemalloc.start()
    try:
        outcome(body, "")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 64 << 20


@pytest.mark.guarantees("16", "17")
@pytest.mark.parametrize(
    "line", [b'\xef\xbb\xbf{"a":1}', '{"a":1}'.encode("utf-16-le"), '{"a":1}'.encode("utf-32-be")], ids=repr
)
def test_the_reason_for_a_line_in_another_encoding_is_not_a_surrogate(line: bytes) -> None:
    (error,) = read(line).errors

    assert "surrogate" not in str(error["error"])


# One pass takes milliseconds, a scan that starts anew at each quote minutes; the mark only ends the attempt.
@pytest.mark.timeout(20)
@pytest.mark.parametrize("end", [b"", b"\n", b'"', b"\\"], ids=repr)
def test_no_line_is_slow_to_refuse(end: bytes) -> None:
    batch = read(b"{" * 65 + b'"' + b'\\"' * 250_000 + end, "application/json")

    assert batch.rejected == 1


def outcome(body: bytes, content_type: str) -> Batch | BatchError:
    try:
        return read(body, content_type)
    except BatchError as error:
        return error


@settings(max_examples=150, deadline=None)
@given(BODIES, st.sampled_from(["application/x-ndjson", "application/json", "", "text/plain"]))
@example(b'{"http.response.status_code":1' + b"0" * 9_000 + b"}", "")
def test_no_body_does_more_than_be_refused_and_every_line_is_accounted_for(body: bytes, content_type: str) -> None:
    batch = outcome(body, content_type)

    if isinstance(batch, BatchError):
        assert body.lstrip().startswith(b"[")
        assert batch.status in (400, 422)
        assert str(batch).isprintable()
        return
    assert len(batch.errors) == min(10, batch.rejected)
    assert all(str(error["error"]).isprintable() for error in batch.errors)
    if not body.lstrip().startswith(b"["):
        pieces = [body] if content_type == "application/json" else body.split(b"\n")
        assert [event.body for event in batch.events] == [piece for piece in pieces if is_accepted_alone(piece)]
        assert len(batch.events) + batch.rejected == sum(bool(piece.strip()) for piece in pieces)


def is_accepted_alone(piece: bytes) -> bool:
    return not piece.lstrip().startswith(b"[") and bool(read(piece, "application/json").events)


@settings(deadline=None)
@given(st.dictionaries(NAMES, JSON_VALUES, max_size=5), st.booleans())
def test_every_object_that_the_standard_library_writes_is_accepted(record: dict[str, Any], escaped: bool) -> None:
    line = json.dumps(record, ensure_ascii=escaped).encode()

    (event,) = read(line).events

    assert json.loads(event.body) == record
    assert [other.body for other in read(b"[" + line + b"," + line + b"]").events] == [line, line]
