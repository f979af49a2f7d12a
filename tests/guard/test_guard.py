"""Nobody makes the paths that an application waits for much longer without noticing.

Counted, not timed. The bounds are what Python 3.11 to 3.13 count, and a tenth or more on top. Whoever makes a path
shorter may lower its bound; whoever has to raise one says why.
"""

from typing import Any

import pytest

from .paths import (
    Viewers,
    answering,
    captured,
    full_bus,
    ingest,
    log_lines,
    packed,
    publish,
    readers,
    request,
    taken_in,
)
from .work import Work, work

MEBIBYTE = 1 << 20
ANSWER = answering(b'{"item": 42, "name": "desk lamp"}')
pytestmark = [pytest.mark.anyio, pytest.mark.interpreted]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def added(**options: Any) -> Work:
    """What capture adds to a request."""
    return work(request(captured(ANSWER, **options))) - work(request(ANSWER))


def added_by_large_bodies(**options: Any) -> Work:
    """What capture adds to a request and an answer of a mebibyte, in one chunk each."""
    app, body = answering(b"x" * MEBIBYTE), b"y" * MEBIBYTE
    return work(request(captured(app, **options), body)) - work(request(app, body))


def added_by_a_chunk(*, sent: bool) -> Work:
    """What capture adds to each further chunk of a body."""

    def chunks(amount: int) -> Work:
        many = [b"x" * 1_000] * amount
        app = answering(*many) if sent else ANSWER
        received = () if sent else many
        return work(request(captured(app), *received)) - work(request(app, *received))

    return (chunks(101) - chunks(1)).each(100)


async def publishing(amount: int, *, asleep: bool) -> Work:
    """What a hundred publishes cost with so many readers."""
    bus = full_bus()
    async with readers(bus, amount, asleep):
        return work(publish(bus, 100))


def one_more(kind: Any, amount: int = 100) -> Work:
    """What one more costs of what `kind` makes so many of."""
    return (work(kind(2 * amount)) - work(kind(amount))).each(amount)


@pytest.mark.parametrize(
    ("options", "bytecodes", "calls"),
    [
        ({"correlate": False}, 765, 45),
        ({}, 815, 49),
        ({"bodies": "errors"}, 955, 57),
        ({"bodies": "all"}, 1_025, 67),
    ],
    ids=["without request ids", "as it comes", "bodies of errors", "all bodies"],
)
def test_what_capture_adds_to_a_request_is_bounded(options: dict[str, Any], bytecodes: int, calls: int) -> None:
    cost = added(**options)

    assert cost.bytecodes < bytecodes
    assert cost.calls < calls
    assert cost.peak < 4_096


def test_capture_copies_no_body() -> None:
    cost = added_by_large_bodies()

    assert cost.bytecodes < 1_050
    assert cost.peak < 4_096
    assert cost.kept < 2_048


def test_capture_keeps_no_more_of_a_body_than_its_cap() -> None:
    cost = added_by_large_bodies(bodies="all", body_cap=16 << 10)

    assert cost.peak < 2 * (16 << 10) + 8_192


@pytest.mark.parametrize("sent", [True, False], ids=["sent", "received"])
def test_a_further_chunk_costs_little_and_allocates_nothing(sent: bool) -> None:
    cost = added_by_a_chunk(sent=sent)

    assert cost.bytecodes < 60
    assert cost.calls < 7
    assert cost.peak < 64


@pytest.mark.parametrize("asleep", [False, True], ids=["busy", "woken"])
async def test_a_publish_costs_the_same_whatever_reads(asleep: bool) -> None:
    alone = await publishing(0, asleep=asleep)

    for amount in (1, 100, 1_000):
        cost = await publishing(amount, asleep=asleep)

        assert (cost.bytecodes, cost.calls) == (alone.bytecodes, alone.calls)
        assert cost.peak < alone.peak + 1_024


def test_a_publish_into_a_full_ring_is_bounded() -> None:
    cost = one_more(lambda amount: publish(full_bus(), amount))

    assert cost.bytecodes < 120
    assert cost.calls < 4


def test_a_record_of_a_batch_is_bounded() -> None:
    cost = one_more(ingest)

    assert cost.bytecodes < 150
    assert cost.calls < 5
    assert cost.peak < 1_024


def test_packing_a_batch_costs_no_python_for_each_event() -> None:
    cost = one_more(packed)

    assert cost.bytecodes < 1
    assert cost.calls < 1


def test_an_event_of_a_batch_that_is_taken_in_is_bounded() -> None:
    cost = one_more(taken_in)

    assert cost.bytecodes < 60
    assert cost.calls < 2
    assert cost.peak < 1_024


def test_a_log_line_is_bounded() -> None:
    cost = one_more(log_lines)

    assert cost.bytecodes < 260
    assert cost.calls < 6


def test_a_further_viewer_of_the_same_filter_costs_next_to_nothing() -> None:
    cost = one_more(Viewers, 20)

    assert cost.bytecodes < 90
    assert cost.calls < 10
    assert cost.peak < 64
