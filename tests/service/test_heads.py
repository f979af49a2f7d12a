from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reqscope.bus.event import PER_HEADER, Headers
from reqscope.service.heads import BESIDE, pack, unpack

PARTS = st.binary(max_size=20)
HEADERS = st.lists(st.tuples(PARTS, PARTS), max_size=10)


@pytest.mark.guarantees("56")
@given(HEADERS)
def test_what_was_packed_unpacks_to_the_same_pairs_in_the_same_order(headers: list[tuple[bytes, bytes]]) -> None:
    assert unpack(pack(headers)) == tuple(headers)
    assert unpack(pack(tuple(headers))) == tuple(headers)


def test_a_pair_may_be_a_list_and_a_part_any_kind_of_bytes() -> None:
    headers: Any = [[b"a", bytearray(b"1")], (memoryview(b"b"), b"2\n3")]

    assert unpack(pack(headers)) == ((b"a", b"1"), (b"b", b"2\n3"))


@pytest.mark.parametrize("headers", [5, None, b"ab", {b"a": b"1"}], ids=repr)
def test_what_are_no_headers_at_all_is_refused(headers: Any) -> None:
    with pytest.raises((TypeError, msgspec.ValidationError)):
        unpack(pack(headers))


def test_headers_may_be_any_collection_of_pairs() -> None:
    assert unpack(pack({b"a": b"1", b"b": b"2"}.items())) == ((b"a", b"1"), (b"b", b"2"))


def test_headers_that_can_be_read_only_once_are_left_for_the_server() -> None:
    headers: Any = iter([(b"a", b"1")])

    assert unpack(pack(headers)) == ()
    assert list(headers) == [(b"a", b"1")]


@pytest.mark.parametrize("headers", [[(b"x",)], [None], [(1, 2)], [("x-tenant", "7")], [b"ab"]], ids=repr)
def test_what_are_no_pairs_of_bytes_are_refused(headers: Any) -> None:
    with pytest.raises((TypeError, msgspec.ValidationError)):
        unpack(pack(headers))


@given(HEADERS)
def test_the_weight_is_about_that_of_the_headers_once_they_are_unpacked(headers: list[tuple[bytes, bytes]]) -> None:
    unpacked: Headers = tuple(headers)
    weight = sum(PER_HEADER + len(name) + len(value) for name, value in unpacked)

    assert abs(len(pack(headers)) + BESIDE * len(headers) - weight) <= 5
