import unicodedata
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reqscope.bus import Event, Failure
from reqscope.bus.schema import Entry, view
from reqscope.service.pretty import Pretty

BASE: dict[str, Any] = {
    "timestamp": "2026-11-21T10:55:28.039141Z",
    "level": "info",
    "http.request.method": "GET",
    "http.response.status_code": 200,
    "url.path": "/products/42",
    "duration": 0.005893,
    "http.response.body.size": 28,
}

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(), lambda inner: st.lists(inner, max_size=3)
)


def line(**more: Any) -> str:
    return Pretty(False)({**BASE, **more})


def test_columns_line_up_whatever_is_in_them() -> None:
    lines = [
        line(),
        line(**{"http.request.method": "OPTIONS", "duration": 12.3, "http.response.body.size": 123_456_789}),
        line(**{"http.response.status_code": 0, "duration": None, "http.response.body.size": 0}),
        Pretty(False)({"url.path": "/products/42", "timestamp": BASE["timestamp"]}),
    ]

    assert {text.index("/products/42") for text in lines} == {48}


def test_it_has_the_time_here_and_what_people_look_for() -> None:
    local = datetime(2026, 11, 21, 10, 55, 28, tzinfo=UTC).astimezone()

    words = line(**{"url.query": "a=1", "client.address": "127.0.0.1"}).split()

    assert words == [f"{local:%H:%M:%S}.039", "GET", "200", "5.9", "ms", "28", "B", "/products/42?a=1", "127.0.0.1"]


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.0, "0.0 ms"), (0.0123, "12.3 ms"), (0.9994, "999.4 ms"), (0.9995, "1.00 s"), (75, "75.00 s")],
)
def test_durations_are_in_the_unit_that_suits_them(seconds: float, shown: str) -> None:
    assert f" {shown} " in line(duration=seconds)


@pytest.mark.parametrize(
    ("size", "shown"), [(0, "0 B"), (999, "999 B"), (1_000, "1.0 kB"), (2_345_678, "2.3 MB"), (5_000_000_000, "5.0 GB")]
)
def test_sizes_are_in_the_unit_that_suits_them(size: int, shown: str) -> None:
    assert f" {shown} " in line(**{"http.response.body.size": size})


def test_a_failure_and_a_body_are_behind_the_rest() -> None:
    failed = line(**{"error.type": "KeyError", "exception.message": "'sku'\n", "body": "x" * 500})

    assert "KeyError: 'sku'\\x0a" in failed
    assert failed.endswith("x" * 200 + "…")


@pytest.mark.parametrize(("level", "code"), [("info", "32"), ("warning", "33"), ("error", "31")])
def test_colour_says_what_the_status_says(level: str, code: str) -> None:
    plain, painted = Pretty(False)({**BASE, "level": level}), Pretty(True)({**BASE, "level": level})

    assert f"\x1b[{code}m200\x1b[0m" in painted
    assert "\x1b" not in plain


def test_it_reads_what_the_stream_sends() -> None:
    event = Event(time=1, method="GET", path="/\x1b[2J", status=500, total=0.1, error="K")
    event.failure = Failure(type="K", message="\x9b1m", traceback="", fingerprint="")

    shown = Pretty(False)(msgspec.json.decode(msgspec.json.encode(view(event, "boot", Entry))))

    assert "/\\x1b[2J" in shown
    assert shown.rstrip().endswith("K: \\x9b1m")


@pytest.mark.guarantees("31", "32", "33")
@given(st.dictionaries(st.sampled_from([*BASE, "error.type", "body", "client.address", "url.query"]), json_values))
def test_whatever_a_server_sends_is_one_line_that_no_terminal_obeys(entry: dict[str, Any]) -> None:
    shown = Pretty(False)(entry)

    assert not any(unicodedata.category(character) in ("Cc", "Zl", "Zp") for character in shown)


def test_a_time_that_is_none_is_shown_as_it_is() -> None:
    assert line(timestamp="yesterday").startswith("yesterday     GET")
