import base64
import csv
import io
import json
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reqscope.bus import Body, Event, LogLine
from reqscope.bus.encoding import encode
from reqscope.bus.export_har import HarExport
from reqscope.bus.exports import COLUMNS, CsvExport, Export, NdjsonExport, written
from reqscope.bus.schema import Detail, view

BOOT = "cafe"
EXPORTS = pytest.mark.parametrize("export", [NdjsonExport, CsvExport, HarExport])
TEXT = st.text(st.characters(exclude_categories=()), max_size=20)
EVENTS = st.builds(
    Event,
    time=st.integers(0, 2**62),
    kind=st.sampled_from(["request", "websocket", "log", "record"]),
    method=TEXT,
    path=TEXT,
    query=st.binary(max_size=20),
    route=st.none() | TEXT,
    status=st.integers(0, 999),
    client=TEXT,
    request_headers=st.lists(st.tuples(st.binary(max_size=9), st.binary(max_size=9)), max_size=3).map(tuple),
    request_size=st.integers(0, 2**40),
    request_body=st.none() | st.builds(Body, data=st.binary(max_size=30), captured=st.integers(0, 99)),
    total=st.none() | st.floats(0, 1e9),
    error=st.none() | TEXT,
)

Maker = Callable[[str], Export]


def text_of(export: Export, *events: Event) -> str:
    return b"".join(written(export, events)).decode()


def rows(*events: Event) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text_of(CsvExport(BOOT), *events), newline="")))


class TestNdjson:
    @pytest.mark.guarantees("39")
    def test_each_line_is_what_the_api_answers(self) -> None:
        line = LogLine(time=2, level="info", logger="l", message="said\n")
        events = [
            Event(time=1, seq=1, path="/a\nb", request_body=Body(data=b"\xff\0", captured=2)),
            Event(time=2, seq=2, error="ValueError", logs=(line,)),
        ]
        lines = text_of(NdjsonExport(BOOT), *events).split("\n")

        assert [line.encode() for line in lines] == [*(encode(view(event, BOOT, Detail)) for event in events), b""]

    def test_without_events_it_is_empty(self) -> None:
        assert text_of(NdjsonExport(BOOT)) == ""

    @given(st.lists(EVENTS, max_size=3))
    def test_whatever_was_captured_is_one_line_of_json_each(self, events: list[Event]) -> None:
        lines = text_of(NdjsonExport(BOOT), *events).splitlines()
        assert [json.loads(line)["id"] for line in lines] == ["cafe-0"] * len(events)


class TestCsv:
    def test_a_row_has_what_lists_show_under_the_same_names(self) -> None:
        event = Event(
            time=1_700_000_000_123_456_789,
            seq=7,
            method="GET",
            path="/a",
            query=b"b=1",
            route="/{x}",
            status=404,
            client="10.0.0.1",
            response_size=12,
            total=0.25,
            request_id="id-1",
        )
        (row,) = rows(event)

        assert tuple(row) == COLUMNS
        assert {name: value for name, value in row.items() if value} == {
            "timestamp": "2023-11-14T22:13:20.123456Z",
            "level": "warning",
            "event": "request",
            "id": "cafe-7",
            "seq": "7",
            "http.request.method": "GET",
            "url.path": "/a",
            "url.query": "b=1",
            "http.route": "/{x}",
            "http.response.status_code": "404",
            "client.address": "10.0.0.1",
            "http.response.body.size": "12",
            "duration": "0.25",
            "request_id": "id-1",
        }

    def test_without_events_it_is_its_header(self) -> None:
        assert text_of(CsvExport(BOOT)) == ",".join(COLUMNS) + "\r\n"

    @pytest.mark.guarantees("39")
    @pytest.mark.parametrize("start", [*"=+-@\t\r\n\0", "\uff1d", "\uff0b", "\uff0d", "\uff20"])
    def test_no_cell_is_a_formula(self, start: str) -> None:
        (row,) = rows(Event(time=1, path=f"{start}1+1", error=f"{start}cmd|'/c calc'!A1", request_id=start))
        for name in ("url.path", "error.type", "request_id"):
            assert row[name].startswith(f"'{'' if start == chr(0) else start}")

    @pytest.mark.parametrize(
        "path", ["/=1", "a@b", "'=1", "1-2", '"=1+1"', "/a,b", '/"', "/a\r\nb", "/a\nb", " =1", "é漢"]
    )
    def test_other_cells_are_what_was_captured(self, path: str) -> None:
        assert [row["url.path"] for row in rows(Event(time=1, path=path))] == [path]

    @pytest.mark.guarantees("39")
    def test_quotes_commas_and_line_ends_are_quoted_as_the_standard_says(self) -> None:
        line = text_of(CsvExport(BOOT), Event(time=1, path='/a,"b"\r\n')).partition("\r\n")[2]
        assert ',"/a,""b""\r\n",' in line

    def test_what_does_not_show_is_escaped(self) -> None:
        (row,) = rows(Event(time=1, path="/\x1b[2J\u202e\udc80\x9b\0"))
        assert row["url.path"] == r"/\u001b[2J\u202e\udc80\u009b\u0000"

    @pytest.mark.guarantees("39")
    @given(st.lists(EVENTS, max_size=4))
    def test_whatever_was_captured_is_one_row_each_and_no_formula(self, events: list[Event]) -> None:
        found = list(csv.reader(io.StringIO(text_of(CsvExport(BOOT), *events), newline="")))
        assert [len(row) for row in found] == [len(COLUMNS)] * (len(events) + 1)
        for row in found:
            assert not any(cell.startswith((*"=+-@\t\r\n\0", "\uff1d", "\uff0b", "\uff0d", "\uff20")) for cell in row)


@EXPORTS
def test_an_export_asks_for_the_next_event_only_when_the_last_is_written(export: Maker) -> None:
    asked: list[int] = []

    def events() -> Iterator[Event]:
        for number in range(3):
            asked.append(number)
            yield Event(time=1, path=f"/{number}")

    pieces = written(export(BOOT), events())
    next(pieces)
    assert asked == []
    for number in range(3):
        assert f"/{number}" in next(pieces).decode()
        assert asked == [*range(number + 1)]


@EXPORTS
def test_an_export_holds_nothing_of_the_events_before(export: Maker, allocated: Callable[[], int]) -> None:
    body = Body(data=base64.b64encode(bytes(9_000)), captured=12_000)
    pieces = written(export(BOOT), (Event(time=1, path="/x" * 500, request_body=body) for _ in range(2_000)))
    for _ in range(100):
        next(pieces)
    before = allocated()
    assert sum(map(len, pieces)) > 1_000_000
    assert allocated() - before < 200_000
