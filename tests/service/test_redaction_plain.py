"""What is not looked at closely, because it is plain that there is nothing to find, is what a closer look finds
nothing in."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reqscope.service.redaction import SENSITIVE, looks
from reqscope.service.redaction.names import Names
from reqscope.service.redaction.plain import plain, plain_looks
from reqscope.service.redaction.shapes import Shapes
from tests.conftest import PROVE

from .canaries import CANARIES, Canary

SHAPES = Shapes(Names(SENSITIVE), patterns=True)
SETTINGS = settings(max_examples=3_000 if PROVE else 100)

TELLING = [
    *(canary.text.encode()[:length] for canary in CANARIES if canary.by == "pattern" for length in (4, 8, 400)),
    *(b"bearer", b"Basic", b"token", b"password", b"AccountKey", b"Key=", b"hooks", b".slack.com/", b"services/"),
    *(b"://", b":AA", b"4111111111111111", b"4111", b"1111", b"-----BEGIN PRIVATE KEY-----", b"%20", b"\xe4"),
    *(bytes([byte]) for byte in b'/.-_=&,;:<(@+%{[" \\aZ09'),
]
DATA = st.lists(st.sampled_from(TELLING), max_size=12).map(b"".join)
GROUPS = st.integers(0, 10**13 - 1).map(str) | st.sampled_from([*"/.&=,;:-", "4111", "1111", "0000"])


@SETTINGS
@given(DATA)
def test_in_what_is_plain_nothing_is_found(data: bytes) -> None:
    if plain(data):
        assert SHAPES.text(data) == []
        assert SHAPES.path(data) == []


@SETTINGS
@given(DATA)
def test_in_what_looks_plain_nothing_is_found_by_its_looks(data: bytes) -> None:
    if plain_looks(data):
        assert looks.find(data) == []


@SETTINGS
@given(st.lists(GROUPS, max_size=8).map("".join))
def test_no_card_is_plain_however_it_is_parted(text: str) -> None:
    if plain_looks(text.encode()):
        assert looks.find(text.encode()) == []


@pytest.mark.parametrize("canary", CANARIES, ids=lambda canary: canary.name)
def test_no_canary_is_plain_that_is_known_by_its_looks(canary: Canary) -> None:
    if canary.by == "pattern":
        assert not plain(canary.text.encode())
        assert not plain_looks(canary.text.encode())


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"0",
        b"keep-alive",
        b"gzip",
        b"1024",
        b"application/json",
        b"/items/4711",
        b"/api/v1/orders/42",
        b"0a1b2c3d-99999",
    ],
)
def test_the_usual_is_plain(data: bytes) -> None:
    assert plain(data)
    assert plain_looks(b"page=2;sort=name,age&for=" + data)
