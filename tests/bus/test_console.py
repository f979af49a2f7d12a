import os
import pty
import re
from datetime import datetime

import pytest
from hypothesis import given

from reqscope.bus import ConsoleSink, Event
from reqscope.bus.console import coloured
from reqscope.bus.lines import LineStream

from .test_encoding import TEXT, steers_the_display
from .test_jsonlog import EVENTS, Memory

NOON = 1_795_258_528_039_000_000
REQUEST = Event(
    time=NOON,
    method="GET",
    path="/products/42",
    query=b"page=2",
    status=404,
    client="127.0.0.1",
    total=0.0059,
    response_size=2_800,
)


def printed(*events: Event, colour: bool = False) -> str:
    memory = Memory()
    sink = ConsoleSink("console", LineStream(memory), colour=colour)
    assert sink.write(list(events)) == len(events)
    return memory.getvalue().decode()


def test_a_request_is_one_line_with_when_what_and_how_long() -> None:
    when = datetime.fromtimestamp(NOON / 1e9).strftime("%H:%M:%S.039")  # noqa: DTZ006

    assert printed(REQUEST) == f"{when} 404    5.9 ms   2.8 kB  127.0.0.1  GET /products/42?page=2\n"


@pytest.mark.parametrize(
    ("seconds", "size", "expected"),
    [
        (None, 0, "- 0 B"),
        (0.9994, 999, "999.4 ms 999 B"),
        (1.5, 1_000_000, "1.50 s 1.0 MB"),
        (0, 10**10, "0.0 ms 10.0 GB"),
    ],
)
def test_numbers_have_units_that_people_read(seconds: float | None, size: int, expected: str) -> None:
    line = printed(Event(time=0, method="GET", total=seconds, response_size=size))

    assert expected in re.sub(" +", " ", line)


def test_what_failed_says_how_and_what_has_no_answer_has_no_status() -> None:
    line = printed(Event(time=0, method="GET", path="/", error="KeyError"))

    assert line.endswith("GET / KeyError\n")
    assert re.match(r"\S+   - ", line)


def test_a_record_shows_the_beginning_of_what_it_said() -> None:
    assert printed(Event(time=NOON, kind="log", body=b"hello\nworld")).endswith(" log    hello\\u000aworld\n")
    assert len(printed(Event(time=NOON, kind="record", body=b"x" * 5_000))) < 450


@given(EVENTS, TEXT)
def test_whatever_was_captured_it_is_one_line_that_the_terminal_does_not_obey(event: Event, text: str) -> None:
    event.method = event.method or text
    line = printed(event)

    assert line.endswith("\n")
    assert not [char for char in line[:-1] if steers_the_display(char)]


@pytest.mark.parametrize(("status", "colour"), [(101, "36"), (204, "32"), (301, "36"), (404, "33"), (503, "31")])
def test_colours_say_how_it_went(status: int, colour: str) -> None:
    assert f"\x1b[{colour}m{status}\x1b[0m" in printed(Event(time=0, method="GET", status=status), colour=True)


def test_colours_are_for_terminals_only_and_for_those_who_want_them(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = pty.openpty()
    reading, writing = os.pipe()
    try:
        monkeypatch.delenv("NO_COLOR", raising=False)
        monkeypatch.setenv("TERM", "xterm")
        assert (coloured(theirs), coloured(writing)) == (True, False)
        monkeypatch.setenv("NO_COLOR", "1")
        assert not coloured(theirs)
        monkeypatch.setenv("NO_COLOR", "")
        monkeypatch.setenv("TERM", "dumb")
        assert not coloured(theirs)
    finally:
        for descriptor in (ours, theirs, reading, writing):
            os.close(descriptor)
