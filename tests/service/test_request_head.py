"""What a head must be like, whichever parser read it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reqscope.service.request_head import BadHead, check_head

MOST, MOST_HEADERS = 200, 5
HOST = (b"host", b"localhost")
NAMES = st.sampled_from([b"host", b"content-length", b"transfer-encoding", b"x-other"])
VALUES = st.sampled_from([b"localhost", b"5", b"chunked", b"a/b", b"x" * 60])


def verdict(
    target: bytes = b"/", *headers: tuple[bytes, bytes], version: str = "1.1", came: int | None = None
) -> int | None:
    """Return the status that a head is refused with, None where it is good."""
    lines = [b"GET %s HTTP/%s" % (target, version.encode()), *(b"%s:%s" % header for header in headers), b"", b""]
    size = len(b"\r\n".join(lines)) if came is None else came
    try:
        check_head(MOST, MOST_HEADERS, version, target, list(headers), size)
    except BadHead as bad:
        return bad.status
    return None


def test_a_head_that_is_just_small_enough_is_good_and_one_byte_more_is_not() -> None:
    room = MOST - len(b"/") - len(b"host" + b"localhost") - len(b"x") - 2 * len(": \r\n")

    assert verdict(b"/", HOST, (b"x", b"y" * room)) is None
    assert verdict(b"/", HOST, (b"x", b"y" * (room + 1))) == 431


@given(st.lists(st.tuples(NAMES, VALUES), max_size=7), st.integers(1, 250), st.sampled_from(["1.1", "1.0", "2.0"]))
def test_that_few_bytes_came_only_saves_a_sum(headers: list[tuple[bytes, bytes]], target: int, version: str) -> None:
    address = b"/" + b"a" * (target - 1)
    known = verdict(address, *headers, version=version)

    assert known == verdict(address, *headers, version=version, came=1 << 62)


@pytest.mark.parametrize(
    ("status", "target", "headers"),
    [
        (None, b"*", [HOST]),
        (None, b"http://localhost/x", [HOST]),
        (400, b"http://elsewhere/x", [HOST]),
        (400, b"ftp://localhost/x", [HOST]),
        (400, b"localhost", [HOST]),
        (400, b"/", []),
        (400, b"/", [HOST, HOST]),
        (400, b"/", [(b"host", b"a/b")]),
        (None, b"/", [(b"host", b"")]),
        (None, b"/", [HOST, (b"content-length", b"5")]),
        (400, b"/", [HOST, (b"content-length", b"5"), (b"content-length", b"5")]),
        (400, b"/", [HOST, (b"content-length", b"+5")]),
        (400, b"/", [HOST, (b"content-length", b"5"), (b"transfer-encoding", b"chunked")]),
        (501, b"/", [HOST, (b"transfer-encoding", b"gzip")]),
        (414, b"/" + b"a" * MOST, [HOST]),
        (431, b"/", [HOST] * (MOST_HEADERS + 1)),
    ],
)
def test_what_two_programs_could_read_in_two_ways_is_refused(
    status: int | None, target: bytes, headers: list[tuple[bytes, bytes]]
) -> None:
    assert verdict(target, *headers) == status


def test_a_name_of_a_host_is_looked_at_anew_after_one_that_was_bad() -> None:
    assert [verdict(b"/", (b"host", host)) for host in (b"a b", b"a", b"a b", b"a")] == [400, None, 400, None]


def test_http_of_another_version_is_refused() -> None:
    assert verdict(b"/", HOST, version="2.0") == 400
    assert verdict(b"/", version="1.0") is None
