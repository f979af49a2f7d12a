import contextlib
import io
import json
import os
import resource
import stat
import threading
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.typing import EventDict, Processor, WrappedLogger

from reqscope.bus import Event, JsonLogSink
from reqscope.bus.lines import PartlyWritten

FAST = settings(derandomize=True, deadline=None)

ODD = '\x00\n\r\x1b"\\\x7f\x85\x9b\u061c\u2028\u2029\u202e\u2066\ufeff\ud800\udfff'
TEXT = st.text(st.sampled_from(ODD) | st.characters(exclude_categories=()), max_size=6)
SECONDS = st.none() | st.floats()
SIZES = st.integers(-(1 << 70), 1 << 70)
EVENTS = st.builds(
    Event,
    time=st.integers(0, (1 << 63) - 1),
    kind=st.sampled_from(["request", "log", "record"]),
    seq=st.integers(0, 1 << 70),
    method=TEXT,
    path=TEXT,
    query=st.binary(max_size=6),
    route=st.none() | TEXT,
    status=st.integers(0, 999) | SIZES,
    client=TEXT,
    scheme=TEXT,
    http_version=TEXT,
    request_headers=st.just(()) | st.binary(max_size=6).map(lambda value: ((b"user-agent", value),)),
    request_size=SIZES,
    response_size=SIZES,
    body=st.binary(max_size=6) | TEXT.map(lambda text: text.encode("utf-8", "surrogatepass")),
    ttfb=SECONDS,
    total=SECONDS,
    app=SECONDS,
    error=st.none() | TEXT,
)


class Memory(io.BytesIO):
    """A destination that can be read after it was closed."""

    def close(self) -> None:
        pass


def unchanged(logger: WrappedLogger, level: str, event_dict: EventDict) -> EventDict:
    return event_dict


def lines_of(events: list[Event], *processors: Processor) -> list[str]:
    destination = Memory()
    assert JsonLogSink("memory", "cafe", destination, processors).write(events) == len(events)
    text = destination.getvalue().decode()
    assert text == "" or text.endswith("\n")
    return text.splitlines()


def read(line: str | bytes) -> dict[str, Any]:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    record: dict[str, Any] = json.loads(line, parse_constant=refuse)
    return record


@FAST
@given(st.lists(EVENTS, max_size=5))
def test_encoding_straight_from_events_writes_what_the_chain_writes(events: list[Event]) -> None:
    assert lines_of(events) == lines_of(events, unchanged)


@pytest.mark.guarantees("21", "30", "31", "32")
@FAST
@given(st.lists(EVENTS, max_size=5))
def test_every_event_is_one_line_of_json_whatever_is_in_it(events: list[Event]) -> None:
    lines = lines_of(events)

    assert len(lines) == len(events)
    assert [read(line)["id"] for line in lines] == [f"cafe-{event.seq}" for event in events]


def test_a_line_has_what_structlog_readers_look_for() -> None:
    (line,) = lines_of([Event(time=1_500_000_000, seq=3, method="GET", path="/x", status=503, total=0.25)])

    assert read(line) == {
        "schema": 1,
        "timestamp": "1970-01-01T00:00:01.500000Z",
        "level": "error",
        "event": "request",
        "id": "cafe-3",
        "seq": 3,
        "http.request.method": "GET",
        "url.path": "/x",
        "http.response.status_code": 503,
        "duration": 0.25,
    }


def test_processors_get_the_event_in_their_order_and_change_the_line() -> None:
    seen: list[tuple[str, str]] = []

    def add(logger: WrappedLogger, level: str, event_dict: EventDict) -> EventDict:
        seen.append((level, event_dict["event"]))
        event_dict["service"] = "shop"
        return event_dict

    def drop_path(logger: WrappedLogger, level: str, event_dict: EventDict) -> EventDict:
        assert event_dict.pop("url.path") == "/x"
        assert event_dict["service"] == "shop"
        return event_dict

    lines = lines_of([Event(time=0, path="/x"), Event(time=0, path="/x", status=404)], add, drop_path)

    assert seen == [("info", "request"), ("warning", "request")]
    assert [read(line)["service"] for line in lines] == ["shop", "shop"]
    assert not any("url.path" in line for line in lines)


def test_an_event_that_a_processor_drops_is_left_out_and_the_others_are_not() -> None:
    def no_health(logger: WrappedLogger, level: str, event_dict: EventDict) -> EventDict:
        if event_dict["url.path"] == "/health":
            raise structlog.DropEvent
        return event_dict

    lines = lines_of([Event(time=0, path=path) for path in ("/a", "/health", "/b", "/health")], no_health)

    assert [read(line)["url.path"] for line in lines] == ["/a", "/b"]


def as_text(logger: WrappedLogger, level: str, event_dict: EventDict) -> str:
    return json.dumps(event_dict)


def as_bytes(logger: WrappedLogger, level: str, event_dict: EventDict) -> bytes:
    return json.dumps(event_dict).encode()


@pytest.mark.parametrize("renderer", [structlog.processors.JSONRenderer(), as_text, as_bytes])
def test_a_chain_may_end_in_a_renderer_of_its_own(renderer: Processor) -> None:
    (line,) = lines_of([Event(time=0, path="/x")], renderer)

    assert read(line)["url.path"] == "/x"


@pytest.mark.guarantees("21", "30", "31", "32")
def test_text_of_a_renderer_stays_one_line_that_no_terminal_obeys() -> None:
    def plain(logger: WrappedLogger, level: str, event_dict: EventDict) -> str:
        return f"path={event_dict['url.path']}"

    def broken(logger: WrappedLogger, level: str, event_dict: EventDict) -> bytes:
        return b"\xff\x1b[31m\n"

    events = [Event(time=0, path="/x\n\x1b[31m\x9b\u202e\ud800")]
    assert lines_of(events, plain) == ["path=/x\\u000a\\u001b[31m\\u009b\\u202e\\ud800"]
    assert lines_of(events, broken) == ["\\xff\\u001b[31m\\u000a"]


def test_whatever_a_processor_adds_every_line_is_json() -> None:
    deep: list[Any] = []
    for _ in range(2_000):
        deep = [deep]
    values = iter([10**5_000, deep, object(), {1: {None: float("nan")}}, "\udc80", b"\xff", {3, 4}])

    def add(logger: WrappedLogger, level: str, event_dict: EventDict) -> EventDict:
        return {**event_dict, "value": next(values)}

    lines = lines_of([Event(time=0, seq=seq) for seq in range(7)], add)

    assert [read(line)["seq"] for line in lines] == [*range(7)]


@pytest.mark.guarantees("F3")
def test_a_processor_that_fails_costs_the_event_and_says_why() -> None:
    destination = Memory()

    def fail(logger: WrappedLogger, level: str, event_dict: EventDict) -> EventDict:
        return {**event_dict, "ratio": 1 / event_dict["seq"]}

    def silly(logger: WrappedLogger, level: str, event_dict: EventDict) -> Any:
        return event_dict if event_dict["seq"] != 3 else 7

    with pytest.raises(PartlyWritten) as caught:
        JsonLogSink("memory", "cafe", destination, [fail, silly]).write([Event(time=0, seq=seq) for seq in range(5)])

    assert caught.value.written == 3
    assert isinstance(caught.value.__cause__, TypeError)
    assert [read(line)["seq"] for line in destination.getvalue().splitlines()] == [1, 2, 4]


@pytest.mark.guarantees("F9")
def test_what_a_processor_drops_is_not_lost_when_the_disk_is_full(tmp_path: Path) -> None:
    path = tmp_path / "requests.jsonl"

    def odd_ones(logger: WrappedLogger, level: str, event_dict: EventDict) -> EventDict:
        if event_dict["seq"] % 2 == 0:
            raise structlog.DropEvent
        return event_dict

    sink = JsonLogSink.to_file(path, "cafe", [odd_ones])
    with largest_file(250), pytest.raises(PartlyWritten) as caught:
        sink.write([Event(time=0, seq=seq) for seq in range(10)])
    sink.close()

    assert [read(line)["seq"] for line in path.read_text().splitlines()] == [1, 3]
    assert caught.value.written == 2 + 5


def test_processors_of_structlog_work_in_the_chain() -> None:
    (line,) = lines_of([Event(time=0)], structlog.processors.EventRenamer("message"))

    assert read(line)["message"] == "request"


def test_a_file_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "requests.jsonl"
    mask = os.umask(0)
    try:
        JsonLogSink.to_file(path, "cafe").close()
    finally:
        os.umask(mask)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_file_is_appended_to(tmp_path: Path) -> None:
    path = tmp_path / "requests.jsonl"
    path.write_bytes(b'{"seq":0}\n')

    for seq in (1, 2):
        sink = JsonLogSink.to_file(path, "cafe")
        sink.write([Event(time=0, seq=seq)])
        sink.close()

    assert [read(line)["seq"] for line in path.read_text().splitlines()] == [0, 1, 2]


@pytest.mark.guarantees("F19")
def test_two_writers_of_one_file_overwrite_nothing(tmp_path: Path) -> None:
    path = tmp_path / "requests.jsonl"
    one, other = JsonLogSink.to_file(path, "cafe"), JsonLogSink.to_file(path, "cafe")

    for seq in (1, 3):
        one.write([Event(time=0, seq=seq)])
        other.write([Event(time=0, seq=seq + 1)])
    one.close()
    other.close()

    assert [read(line)["seq"] for line in path.read_text().splitlines()] == [1, 2, 3, 4]


def test_a_batch_is_in_the_file_when_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "requests.jsonl"
    sink = JsonLogSink.to_file(path, "cafe")

    sink.write([Event(time=0, seq=1), Event(time=0, seq=2)])

    assert [read(line)["seq"] for line in path.read_text().splitlines()] == [1, 2]
    sink.close()


def test_no_line_waits_in_a_buffer_of_the_destination(tmp_path: Path) -> None:
    path = tmp_path / "requests.jsonl"
    with path.open("ab") as destination:
        JsonLogSink("buffered", "cafe", destination).write([Event(time=0, seq=1)])

        assert read(path.read_text())["seq"] == 1


def test_the_name_of_a_sink_tells_where_it_writes(tmp_path: Path) -> None:
    sinks = [JsonLogSink.to_file(tmp_path / "x", "cafe"), JsonLogSink.to_stdout("cafe")]
    for sink in sinks:
        sink.close()

    assert [sink.name for sink in sinks] == [f"file:{tmp_path / 'x'}", "stdout"]


def test_a_file_that_cannot_be_opened_is_an_error_at_once(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        JsonLogSink.to_file(tmp_path, "cafe")
    with pytest.raises(FileNotFoundError):
        JsonLogSink.to_file(tmp_path / "missing" / "requests.jsonl", "cafe")


def test_standard_output_gets_lines_and_is_not_closed(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    sink = JsonLogSink.to_stdout("cafe")

    sink.write([Event(time=0, seq=1)])
    sink.close()
    print("still open", flush=True)

    line, rest = capfdbinary.readouterr().out.decode().splitlines()
    assert (read(line)["seq"], rest) == (1, "still open")


class Trickle(io.RawIOBase):
    """Takes a few bytes at a time, as a raw pipe or socket may."""

    def __init__(self) -> None:
        self.taken = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.taken += bytes(data[:7])
        return min(7, len(data))


@pytest.mark.guarantees("F12")
def test_a_batch_is_written_whole_to_what_takes_it_piecemeal() -> None:
    destination: Any = Trickle()

    JsonLogSink("trickle", "cafe", destination).write([Event(time=0, seq=seq) for seq in range(20)])

    assert [read(line)["seq"] for line in destination.taken.decode().splitlines()] == list(range(20))


@pytest.mark.guarantees("F9")
def test_a_full_device_is_an_error() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    sink = JsonLogSink.to_file(Path("/dev/full"), "cafe")

    with pytest.raises(PartlyWritten) as caught:
        sink.write([Event(time=0)])
    assert (caught.value.written, str(caught.value.__cause__)) == (0, "[Errno 28] No space left on device")
    sink.close()


@contextlib.contextmanager
def largest_file(size: int) -> Generator[None, None, None]:
    """Let no file of this process grow larger than `size`, as if the disk were full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.guarantees("F12")
def test_a_line_that_was_cut_short_is_taken_back_and_the_lines_before_it_count(tmp_path: Path) -> None:
    path = tmp_path / "requests.jsonl"
    sink = JsonLogSink.to_file(path, "cafe")
    sink.write([Event(time=0, seq=1)])

    line = path.stat().st_size
    with largest_file(line * 3 + 20), pytest.raises(PartlyWritten) as caught:
        sink.write([Event(time=0, seq=seq) for seq in (2, 3, 4, 5)])
    left = path.read_text()
    sink.write([Event(time=0, seq=6)])
    sink.close()

    assert caught.value.written == 2
    assert [read(line)["seq"] for line in left.splitlines()] == [1, 2, 3]
    assert [read(line)["seq"] for line in path.read_text().splitlines()] == [1, 2, 3, 6]


@pytest.mark.timeout(10)
def test_a_pipe_that_does_not_make_its_writer_wait_gets_everything_all_the_same() -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    events = [Event(time=0, seq=seq, body=b"x" * 1_000) for seq in range(1_000)]
    with open(reading, "rb") as source, open(writing, "wb", buffering=0) as destination:
        sink = JsonLogSink("pipe", "cafe", destination)

        def write() -> None:
            sink.write(events)
            sink.close()

        writer = threading.Thread(target=write)
        writer.start()
        lines = source.read().decode().splitlines()
        writer.join()

    assert [read(line)["seq"] for line in lines] == list(range(1_000))


def test_a_file_is_closed_whatever_has_become_of_standard_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (tmp_path / "requests.jsonl").open("ab") as destination:
        sink = JsonLogSink("file", "cafe", destination)

        monkeypatch.setattr("sys.stdout", io.StringIO())
        sink.close()

        assert destination.closed


def test_standard_output_stays_open_though_it_was_replaced_in_between(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (tmp_path / "first").open("w") as first, (tmp_path / "second").open("w") as second:
        monkeypatch.setattr("sys.stdout", first)
        sink = JsonLogSink.to_stdout("cafe")

        monkeypatch.setattr("sys.stdout", second)
        sink.close()

        assert os.fstat(first.fileno())
        assert not first.buffer.closed
