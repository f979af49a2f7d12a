import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reqscope.bus.visible import visible


@pytest.mark.parametrize("text", ["", "/items/{id}", 'a "b" \\ c', "Grüße, 世界 🎉", "e\u0301"])
def test_what_can_be_seen_stays_as_it_is(text: str) -> None:
    assert visible(text) == text


@pytest.mark.guarantees("20", "22", "31", "32", "33")
@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred", "\\x1b[31mred"),
        ("two\r\nlines", "two\\x0d\\x0alines"),
        ("\x9b2J\x7f\0", "\\x9b2J\\x7f\\x00"),
        ("user\u202egnp", "user\\u202egnp"),
        ("a\u2028b\ufeff", "a\\u2028b\\ufeff"),
        ("\ud83d", "\\ud83d"),
    ],
)
def test_what_cannot_be_seen_is_shown_by_its_number(text: str, shown: str) -> None:
    assert visible(text) == shown


@pytest.mark.guarantees("20", "22", "31", "32", "33")
@given(st.text())
def test_whatever_it_is_nothing_is_left_that_a_terminal_would_obey(text: str) -> None:
    shown = visible(text)

    shown.encode()
    assert not any(unicodedata.category(character) in ("Cc", "Zl", "Zp", "Cs") for character in shown)
    assert len(shown.splitlines()) <= 1
