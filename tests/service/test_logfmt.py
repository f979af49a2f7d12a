import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reqscope.service.logfmt import logfmt

PAIR = re.compile(r'([^\s"=]+)=("(?:[^"\\]|\\.)*"|[^\s"=]+)(?: |\Z)')


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("GET", "GET"),
        ("/items/1?a", "/items/1?a"),
        (200, "200"),
        (0.005871, "0.005871"),
        (None, "null"),
        (True, "true"),
        ("", '""'),
        ("two words", '"two words"'),
        ('a"b', r'"a\"b"'),
        ("a=b", '"a=b"'),
        ("a\\b", r'"a\\b"'),
        ("a\nb", r'"a\nb"'),
        ("\x1b[31m", r'"\u001b[31m"'),
        ("a\u202eb", r'"a\u202eb"'),
        ("世界", "世界"),
        (["a", 1], r'"[\"a\",1]"'),
    ],
)
def test_a_value_is_bare_where_that_is_clear_and_json_text_elsewhere(value: object, written: str) -> None:
    assert logfmt({"key": value}) == f"key={written}"


def test_pairs_keep_their_order_and_a_key_that_cannot_be_one_is_left_out() -> None:
    assert (
        logfmt({"http.route": "/", "b c": 1, "": 2, "a=b": 3, "x\n": 4, "level": "info"}) == "http.route=/ level=info"
    )


@pytest.mark.guarantees("34")
@given(st.dictionaries(st.from_regex(r"[a-z.]{1,8}", fullmatch=True), st.text() | st.integers(), max_size=5))
def test_every_line_can_be_read_back(entry: dict[str, str | int]) -> None:
    line = logfmt(entry)

    read = dict(PAIR.findall(line))
    assert "".join(f"{key}={value} " for key, value in PAIR.findall(line)).rstrip(" ") == line
    assert len(line.splitlines()) <= 1
    for key, value in entry.items():
        written = read[key]
        shown = msgspec.json.decode(written) if written.startswith('"') else written
        assert shown == str(value).encode("utf-8", "backslashreplace").decode()
