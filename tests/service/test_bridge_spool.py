import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reqscope.service.bridge.spool import Spool, Spooled


def batch(number: int, after: int, covers: int = 10, size: int = 100) -> Spooled:
    return Spooled(number, after, covers, b"x" * size)


async def first_of(spool: Spool) -> Spooled:
    first = await spool.first()
    assert first is not None
    return first


@pytest.mark.anyio
async def test_batches_come_out_in_order() -> None:
    spool = Spool(1_000)
    spool.put(batch(1, 0))
    spool.put(batch(2, 10))

    first = await first_of(spool)
    spool.pop()
    second = await first_of(spool)
    spool.pop()

    assert (first.number, second.number, len(spool), spool.held) == (1, 2, 0, 0)


@pytest.mark.anyio
async def test_whoever_waits_is_told_of_the_first_one() -> None:
    spool = Spool(1_000)
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(spool.first)
            await anyio.lowlevel.checkpoint()
            spool.put(batch(1, 0))


@pytest.mark.guarantees("F37")
@pytest.mark.anyio
async def test_a_full_one_drops_the_oldest_and_says_in_its_place_how_many_events_that_were() -> None:
    spool = Spool(250)
    for number in range(5):
        spool.put(batch(number + 1, number * 10))

    hole = await first_of(spool)

    assert (hole.data, hole.number, hole.after, hole.covers) == (None, 3, 0, 30)
    assert (spool.held, spool.dropped, len(spool)) == (200, 30, 3)


@pytest.mark.anyio
async def test_what_is_being_handed_over_is_not_dropped() -> None:
    spool = Spool(250)
    spool.put(batch(1, 0))
    first = await first_of(spool)
    for number in range(1, 5):
        spool.put(batch(number + 1, number * 10))

    assert first.data is not None
    spool.pop()
    hole = await first_of(spool)
    assert (hole.data, hole.after, hole.covers, hole.number) == (None, 10, 30, 4)


@pytest.mark.guarantees("F37")
@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 300), st.booleans()), max_size=60))
def test_whatever_happens_no_event_is_without_account(steps: list[tuple[int, int, bool]]) -> None:
    async def play() -> None:
        spool, after, handed, told = Spool(500), 0, 0, 0
        sending = False
        for number, (covers, size, takes) in enumerate(steps, 1):
            spool.put(batch(number, after, covers, size))
            after += covers
            if takes:
                first = await first_of(spool)
                sending = not sending
                if not sending:
                    assert first.after == handed + told
                    handed, told = (
                        (handed + first.covers, told) if first.data is not None else (handed, told + first.covers)
                    )
                    spool.pop()
        while len(spool):
            first = await first_of(spool)
            assert first.after == handed + told
            handed, told = (handed + first.covers, told) if first.data is not None else (handed, told + first.covers)
            spool.pop()
        assert handed + told == after
        assert told == spool.dropped
        assert spool.held == 0

    anyio.run(play)


@pytest.mark.anyio
async def test_whoever_waits_can_be_nudged() -> None:
    spool, found = Spool(1_000), list[Spooled | None]()

    async def wait() -> None:
        found.append(await spool.first())

    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait)
            await anyio.wait_all_tasks_blocked()
            assert found == []
            spool.nudge()

    assert found == [None]
