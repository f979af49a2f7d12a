import json
import time
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reqscope.bus import Event, EventBus, Filter, JsonLogSink, LoopLag, Running, SinkRunner, Stats
from reqscope.ui.frames import LONG, MAX_ROWS, SAMPLE, SHOWN_RUNNING, Frame, Frames, Health
from reqscope.ui.visitor import Anybody

EVERYTHING = Filter.parse("")


@pytest.fixture
def frames(bus: EventBus) -> Frames:
    return Frames(bus, Stats(bus), [])


def publish(bus: EventBus, count: int = 1, **fields: Any) -> None:
    for _ in range(count):
        bus.publish(Event(time=1_700_000_000_123_000_000, **fields))


def read(frame: Frame | str) -> Any:
    return json.loads(frame if isinstance(frame, str) else frame.text)


def seqs(frame: Frame) -> list[int]:
    return [row[0] for row in read(frame)["rows"]]


def test_the_first_frame_tells_the_page_its_name_and_whose_events_it_will_get(bus: EventBus, frames: Frames) -> None:
    assert read(frames.hello("name", Anybody())) == {
        "kind": "hello",
        "token": "name",
        "boot": bus.boot,
        "classes": ["2xx", "3xx", "4xx", "5xx", "other"],
        "user": {"name": "", "admin": True, "links": {}},
        "paused": False,
        "example": "",
    }


def test_the_last_frame_says_goodbye_and_nothing_else(frames: Frames) -> None:
    assert read(frames.bye()) == {"kind": "bye"}


def test_a_row_has_the_cells_that_the_page_knows_in_its_order(bus: EventBus, frames: Frames) -> None:
    publish(
        bus,
        kind="record",
        method="PUT",
        path="/é",
        query=b"a=\xff",
        status=404,
        total=0.0123456,
        response_size=5,
        client="::1",
        route="/{x}",
        error="Oops",
        body=b"text \xff",
        replay_of="cafe-1",
        severity="warning",
        stub="pay",
        worker="web-1",
    )

    (row,) = read(frames.full(EVERYTHING, 1))["rows"]

    assert row == [
        *(1, 1_700_000_000_123, "record", "PUT", "/é", "a=ÿ", 404, 12.346, 5, "::1", "/{x}", "Oops", "text \ufffd", 1),
        *("warning", "pay", "web-1"),
    ]


def test_what_is_not_known_of_an_event_is_null_or_empty(bus: EventBus, frames: Frames) -> None:
    publish(bus)

    (row,) = read(frames.full(EVERYTHING, 1))["rows"]

    assert row == [1, 1_700_000_000_123, "request", "", "", "", 0, None, 0, "", None, None, "", 0, "", None, ""]


def test_a_full_frame_has_the_newest_rows_oldest_first_and_nothing_is_hidden_or_missed(
    bus: EventBus, frames: Frames
) -> None:
    publish(bus, MAX_ROWS + 100)

    frame = frames.full(EVERYTHING, bus.ring.last)

    assert seqs(frame) == [*range(101, 101 + MAX_ROWS)]
    assert frame.to == read(frame)["to"] == MAX_ROWS + 100
    assert read(frame)["older"] == 100
    assert (read(frame)["kind"], read(frame)["hidden"], read(frame)["missed"]) == ("full", 0, 0)


def test_an_added_frame_has_what_came_behind_the_cursor_and_says_how_many_are_hidden(
    bus: EventBus, frames: Frames
) -> None:
    publish(bus, MAX_ROWS + 100)

    some = frames.add(EVERYTHING, 595, 0, bus.ring.last)
    most = frames.add(EVERYTHING, 100, 0, bus.ring.last)
    many = frames.add(EVERYTHING, 40, 0, bus.ring.last)

    assert (seqs(some), read(some)["hidden"]) == ([596, 597, 598, 599, 600], 0)
    assert (seqs(most), read(most)["hidden"]) == ([*range(101, 601)], 0)
    assert (seqs(many), read(many)["hidden"]) == ([*range(601 - SAMPLE, 601)], 560 - SAMPLE)
    assert (read(some)["kind"], some.to, most.to, many.to) == ("add", 600, 600, 600)


def test_what_was_evicted_before_it_was_sent_is_counted_as_missed() -> None:
    bus = EventBus(capacity=10)
    publish(bus, 25)

    frame = Frames(bus, Stats(bus), []).add(EVERYTHING, 3, 0, 25)

    assert (seqs(frame), read(frame)["missed"]) == ([*range(16, 26)], 12)


def test_a_filter_chooses_rows_and_counts_only_those_it_hides(bus: EventBus, frames: Frames) -> None:
    for number in range(2 * MAX_ROWS + 20):
        publish(bus, status=404 if number % 2 else 200)

    frame = frames.add(Filter.parse("status:404"), 0, 0, bus.ring.last)

    assert len(seqs(frame)) == SAMPLE
    assert all(number % 2 == 0 for number in seqs(frame))
    assert read(frame)["hidden"] == MAX_ROWS + 10 - SAMPLE
    assert read(frame)["counts"]["received"] == 2 * MAX_ROWS + 20
    assert frame.to == bus.ring.last


def test_a_frame_covers_what_came_since_the_pages_were_woken(bus: EventBus, frames: Frames) -> None:
    publish(bus, 3)
    frame = frames.add(EVERYTHING, 0, 0, 2)

    assert (seqs(frame), frame.to) == ([1, 2, 3], 3)


def test_equal_frames_are_built_once(bus: EventBus, frames: Frames) -> None:
    publish(bus, 2)
    first = frames.add(Filter.parse("status:404 "), 0, 0, 2)
    publish(bus)

    assert frames.add(Filter.parse(" status:404"), 0, 0, 2) is first
    assert frames.add(Filter.parse("status:404"), 0, 0, 3) is not first
    assert frames.add(Filter.parse("status:404"), 1, 0, 2) is not first
    assert frames.add(Filter.parse("status:405"), 0, 0, 2) is not first
    assert frames.full(EVERYTHING, 3) is frames.full(EVERYTHING, 3)


def test_built_frames_are_not_remembered_for_ever(bus: EventBus, frames: Frames) -> None:
    publish(bus)
    first = frames.full(EVERYTHING, 1)
    for number in range(200):
        frames.full(Filter.parse(f"path:/{number}"), 1)

    assert frames.full(EVERYTHING, 1) is not first
    assert frames.full(EVERYTHING, 1).text == first.text or read(first)["now"] != int(time.time())


def test_counts_are_those_of_the_ring(frames: Frames, bus: EventBus) -> None:
    counts = read(frames.still("heartbeat", 0, 0))["counts"]
    assert counts == {
        "received": 0,
        "kept": 0,
        "evicted": 0,
        "oldest": None,
        "lost": 0,
        "failing": [],
        "in_flight": 0,
        "thinned": 0,
        "lag": None,
        "faults": 0,
        "capturing": True,
        "skipped": 0,
        "last": "",
        "workers": None,
        "partial": "",
    }

    publish(bus, 2_005)
    counts = read(frames.still("heartbeat", 0, 0))["counts"]
    assert (counts["received"], counts["kept"], counts["evicted"]) == (2_005, 2_000, 5)
    assert counts["oldest"] == 1_700_000_000_123


class Request:
    """Something in flight since `age` seconds."""

    def __init__(self, age: float, path: str = "/slow") -> None:
        self.age = age
        self.path = path

    def running(self) -> Running:
        return Running(
            id=self.path, time=0, age=self.age, kind="request", method="GET", path=self.path, query="a=1", client="::1"
        )


def test_what_is_in_flight_for_long_is_told_oldest_first_and_what_is_not_only_counted(
    frames: Frames, bus: EventBus
) -> None:
    for number, age in enumerate([9.5, 3.0, LONG - 0.1]):
        bus.in_flight.add(Request(age, f"/{number}"))

    frame = read(frames.still("heartbeat", 0, 0))

    assert frame["running"] == [
        ["/0", 9_500, "GET", "/0", "a=1", "::1", 0, 0, ""],
        ["/1", 3_000, "GET", "/1", "a=1", "::1", 0, 0, ""],
    ]
    assert frame["counts"]["in_flight"] == 3


def test_of_many_in_flight_a_handful_is_shown(frames: Frames, bus: EventBus) -> None:
    for number in range(50):
        bus.in_flight.add(Request(60.0, f"/{number}"))

    frame = read(frames.full(EVERYTHING, 0))

    assert (len(frame["running"]), frame["counts"]["in_flight"]) == (SHOWN_RUNNING, 50)


def test_the_health_of_the_capture_and_of_the_event_loop_are_told(bus: EventBus) -> None:
    health = Health(faults=3, capturing=False, skipped=7, last="send: ValueError")
    frames = Frames(bus, Stats(bus), [], LoopLag(), lambda: health)
    bus.thin(Event(time=0))

    counts = read(frames.still("heartbeat", 0, 0))["counts"]

    assert {name: counts[name] for name in Health._fields} == health._asdict()
    assert (counts["lag"], counts["thinned"]) == (0, 1)


@pytest.mark.guarantees("F9")
@pytest.mark.anyio
async def test_what_a_sink_loses_is_counted_and_the_sink_is_named(bus: EventBus) -> None:
    sink = SinkRunner(bus, JsonLogSink.to_file(Path("/dev/full"), bus.boot))
    frames = Frames(bus, Stats(bus), [sink])
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(sink.run)
        publish(bus, 7)
        bus.close()

    counts = read(frames.still("heartbeat", 0, 0))["counts"]

    assert (counts["lost"], counts["failing"]) == (7, ["file:/dev/full"])


def test_a_frame_has_the_seconds_since_the_last_and_that_one_again(bus: EventBus) -> None:
    clock = [0]
    stats = Stats(bus, clock=lambda: clock[-1])
    frames = Frames(bus, stats, [])
    for second in (1_000, 1_001, 1_003):
        clock.append(second)
        publish(bus, status=200, total=0.5)
        publish(bus, status=503)
        stats.snapshot()

    seconds = read(frames.full(EVERYTHING, 1))["seconds"]
    assert [second[0] for second in seconds] == [1_000, 1_001, 1_003]
    assert seconds[0][1:6] == [1, 0, 0, 1, 0]
    assert seconds[0][6:] == [pytest.approx(0.5, rel=0.01)] * 3
    assert [second[0] for second in read(frames.add(EVERYTHING, 0, 1_001, 1))["seconds"]] == [1_001, 1_003]
    assert [second[0] for second in read(frames.still("paused", 0, 1_003))["seconds"]] == [1_003]


def test_a_still_frame_leaves_the_page_where_it_was_and_carries_what_is_added(bus: EventBus, frames: Frames) -> None:
    publish(bus, 5)

    frame = frames.still("paused", 3, 0, new=2)

    assert (frame.to, read(frame)["kind"], read(frame)["new"]) == (3, "paused", 2)
    assert "rows" not in read(frame)
    assert abs(read(frame)["now"] - time.time()) < 5
    assert frame.second == read(frame)["now"]


@pytest.mark.guarantees("F38")
@pytest.mark.parametrize("field", ["method", "path", "query", "client", "route", "error", "body"])
def test_a_frame_is_bounded_however_long_the_texts_of_its_events_are(bus: EventBus, frames: Frames, field: str) -> None:
    text = "x" * 100_000
    publish(bus, MAX_ROWS, **{field: text.encode() if field in ("query", "body") else text})

    assert len(frames.full(EVERYTHING, MAX_ROWS).text) < 500_000


@settings(deadline=None)
@given(st.text(st.characters(categories=None), max_size=20), st.binary(max_size=20))
def test_a_frame_is_json_on_one_line_whatever_was_captured(text: str, data: bytes) -> None:
    bus = EventBus()
    publish(bus, method=text, path=text, query=data, client=text, route=text, error=text, body=data)

    frame = Frames(bus, Stats(bus), []).full(EVERYTHING, 1)

    assert seqs(frame) == [1]
    assert not set(frame.text) & {*map(chr, range(0x20)), *map(chr, range(0x7F, 0xA0)), "\u2028", "\u2029"}
    frame.text.encode()


@pytest.mark.guarantees("F27")
@pytest.mark.parametrize("duration", [1e308, -1e308, 5e-324, 0.0])
def test_a_duration_that_cannot_be_one_does_not_break_the_frame(bus: EventBus, frames: Frames, duration: float) -> None:
    publish(bus, total=duration)

    assert seqs(frames.full(EVERYTHING, 1)) == [1]
