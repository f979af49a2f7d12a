import json
import math
import sys
import unicodedata
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import cast

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reqscope.bus.encoding import encode, encode_lines

FAST = settings(derandomize=True, deadline=None)

ODD = (
    '\x00\x07\n\r\x0b\x1b\x1e"\\\x7f\x80\x85\x9b\x9f'
    "\u061c\u200e\u200f\u2028\u2029\u202a\u202e\u2066\u2069\ufeff\ud800\udbff\udc00\udfff"
)
TEXT = st.text(st.sampled_from(ODD) | st.characters(exclude_categories=()), max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 80), 1 << 80) | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=8,
)


def read(line: str | bytes) -> object:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(line, parse_constant=refuse)


def readable(value: object) -> object:
    """What JSON can say of `value`."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, str):
        return "".join(f"\\u{ord(char):04x}" if "\ud800" <= char <= "\udfff" else char for char in value)
    if isinstance(value, list):
        return [readable(item) for item in cast("list[object]", value)]
    if isinstance(value, dict):
        return {readable(key): readable(item) for key, item in cast("dict[str, object]", value).items()}
    return value


def steers_the_display(char: str) -> bool:
    return (
        unicodedata.category(char) in ("Cc", "Zl", "Zp", "Cs")
        or unicodedata.bidirectional(char) in ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")
        or char in "\u061c\u200e\u200f\ufeff"
    )


@FAST
@given(VALUES)
def test_any_value_becomes_json_that_reads_as_the_same_value(value: object) -> None:
    assert read(encode(value)) == readable(value)


@pytest.mark.guarantees("20", "21", "22", "30", "31", "32", "33")
@FAST
@given(VALUES)
def test_what_comes_out_is_one_line_that_no_terminal_obeys(value: object) -> None:
    text = encode(value).decode()

    assert text.splitlines() == [text]
    assert not [char for char in text if steers_the_display(char)]


@pytest.mark.guarantees("22", "31", "32")
def test_of_all_characters_there_are_none_gets_through_that_steers_a_display() -> None:
    everything = "".join(chr(code) for code in range(sys.maxunicode + 1) if not 0xD800 <= code <= 0xDFFF)

    text = encode(everything).decode()

    assert read(text) == everything
    assert not [char for char in text if steers_the_display(char)]


@pytest.mark.guarantees("20", "21", "22", "30", "31", "32", "33")
@pytest.mark.parametrize("char", ["\x7f", "\x80", "\x85", "\x9b", "\x9f", "\u2028", "\u202e", "\ufeff"])
def test_what_steers_a_display_is_escaped(char: str) -> None:
    assert encode(char) == b'"\\u%04x"' % ord(char)


@pytest.mark.parametrize("text", ["plain", "café", "日本語", "🙂", "\u00a0", "\u200b"])
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    assert encode(text).decode() == f'"{text}"'


@pytest.mark.guarantees("7", "8")
@pytest.mark.parametrize("number", [0, -1, 2**63, 2**64, -(2**63) - 1, 10**40])
def test_numbers_keep_every_digit(number: int) -> None:
    assert encode(number) == b"%d" % number


@pytest.mark.guarantees("5")
@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_becomes_null(number: float) -> None:
    assert encode([number, "\ud800"]) == b'[null,"\\\\ud800"]'
    assert encode(number) == b"null"


class Record(msgspec.Struct, omit_defaults=True, rename={"name": "the.name"}):
    name: str
    time: datetime = datetime(2026, 1, 2, 3, 4, 5, 678900, UTC)
    pair: tuple[int, float] = (1, 2.5)
    left_out: int = 0
    data: bytes = b"\x00\xff"


@pytest.mark.guarantees("19")
def test_a_lone_surrogate_changes_nothing_else_of_a_record() -> None:
    record = Record("x", datetime(2026, 1, 2, tzinfo=UTC), (3, math.nan), 4, b"\x01")
    broken = Record("\udc80", datetime(2026, 1, 2, tzinfo=UTC), (3, math.nan), 4, b"\x01")

    assert encode(broken) == encode(record).replace(b'"x"', b'"\\\\udc80"')


@pytest.mark.guarantees("14", "19")
def test_a_lone_surrogate_may_be_in_a_key() -> None:
    assert encode({"a": {"\udfff": 1}}) == b'{"a":{"\\\\udfff":1}}'


def test_what_has_no_json_form_is_refused() -> None:
    with pytest.raises(TypeError):
        encode({"value": object()})
    with pytest.raises(TypeError):
        encode_lines([{"value": object(), "text": "\ud800"}])
    with pytest.raises(TypeError):
        encode({None: 1})


def test_what_has_no_json_form_is_shown_as_python_would_where_that_is_asked_for() -> None:
    class Odd:
        def __repr__(self) -> str:
            return "<odd \u202e>"

    values = [{"value": Odd(), "z": 1j}, {None: {Odd(): "\ud800"}}]

    assert encode_lines(values, lenient=True) == (
        b'{"value":"<odd \\u202e>","z":"1j"}\n{"None":{"<odd \\u202e>":"\\\\ud800"}}\n'
    )


def nested(depth: int) -> object:
    value: object = 1
    for _ in range(depth):
        value = {"a": [value]}
    return value


@pytest.mark.guarantees("10")
@pytest.mark.parametrize("depth", [10, 500, 100_000])
def test_any_depth_is_one_line_of_json(depth: int) -> None:
    text = encode(nested(depth)).decode()

    assert text.splitlines() == [text]
    # How deep one can go without being cut is Python's own limit, which some versions have put further away.
    assert ("\u2026" in text) == (text.count("[") < depth)
    assert read(text) == nested(10) or depth > 10


def test_what_holds_itself_is_cut() -> None:
    value: dict[str, object] = {"a": 1}
    value["self"] = value

    assert read(encode_lines([value]).splitlines()[0]) is not None


@pytest.mark.guarantees("7", "8")
@pytest.mark.parametrize("digits", [3_800, 4_301, 100_000])
def test_an_integer_of_any_length_costs_no_line(digits: int) -> None:
    number = 10**digits

    (shown,) = cast("list[object]", read(encode([number])))

    assert shown == (number if digits < 3_900 else hex(number))


@FAST
@given(st.lists(VALUES, max_size=6))
def test_lines_are_the_values_one_by_one(values: list[object]) -> None:
    assert encode_lines(values) == b"".join(encode(value) + b"\n" for value in values)


def test_lines_are_taken_from_any_iterable_once() -> None:
    def values() -> Iterator[str]:
        yield "one"
        yield "\ud800"
        yield "three"

    assert encode_lines(values()) == b'"one"\n"\\\\ud800"\n"three"\n'
    assert encode_lines([]) == b""
