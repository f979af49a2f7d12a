import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reqscope.bus import LoopLag
from reqscope.bus.looplag import WINDOW

DEADLINE = 20.0


@asynccontextmanager
async def sampling(lag: LoopLag) -> AsyncGenerator[None]:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lag.run)
        yield
        tasks.cancel_scope.cancel()


async def until(holds: Callable[[], bool]) -> None:
    with anyio.fail_after(DEADLINE):
        while not holds():  # noqa: ASYNC110 - a sample sets no event
            await anyio.sleep(0.005)


def test_before_the_first_sample_nothing_is_known() -> None:
    snapshot = LoopLag().snapshot()

    assert (snapshot.now, snapshot.worst, snapshot.seconds) == (0.0, 0.0, ())


@pytest.mark.anyio
async def test_a_loop_that_turns_has_samples_and_next_to_no_lag() -> None:
    lag = LoopLag()
    async with sampling(lag):
        await until(lambda: len(lag.snapshot().seconds) >= 1)

    assert 0 <= lag.snapshot().worst < 5


@pytest.mark.guarantees("F8")
@pytest.mark.anyio
async def test_a_blocked_loop_is_seen_afterwards_in_its_second_and_as_the_worst() -> None:
    lag = LoopLag()
    async with sampling(lag):
        await until(lambda: len(lag.snapshot().seconds) >= 1)
        time.sleep(0.5)  # noqa: ASYNC251 - this is what is to be seen
        await until(lambda: lag.snapshot().worst > 0.25)
    snapshot = lag.snapshot()

    assert max(second.lag for second in snapshot.seconds) == snapshot.worst > 0.25


@pytest.mark.guarantees("F8")
@pytest.mark.anyio
async def test_a_block_that_is_not_over_is_seen_from_another_thread_or_in_the_same_turn() -> None:
    lag = LoopLag()
    async with sampling(lag):
        await until(lambda: len(lag.snapshot().seconds) >= 1)
        time.sleep(0.5)  # noqa: ASYNC251 - this is what is to be seen
        assert lag.snapshot().now > 0.25


@pytest.mark.anyio
async def test_once_it_has_ended_time_that_passes_is_no_lag() -> None:
    lag = LoopLag()
    async with sampling(lag):
        await until(lambda: len(lag.snapshot().seconds) >= 1)
    latest = lag.snapshot().now
    time.sleep(0.3)  # noqa: ASYNC251 - it must not count

    assert lag.snapshot().now == latest


def noted(samples: list[tuple[int, float]]) -> LoopLag:
    """Return what has seen these samples, each at its second."""
    now = [0.0]
    lag = LoopLag(clock=lambda: now[0])
    for now[0], value in samples:
        lag._note(value)  # pyright: ignore[reportPrivateUsage] - in place of five minutes of sampling
    return lag


def test_of_each_second_the_worst_is_kept_and_a_timer_is_never_early() -> None:
    lag = noted([(10, 0.1), (10, 0.3), (10, 0.2), (11, -0.5), (13, 0.25)])

    assert [(second.time, second.lag) for second in lag.snapshot().seconds] == [(10, 0.3), (11, 0.0), (13, 0.25)]
    assert (lag.snapshot().now, lag.snapshot().worst) == (0.25, 0.3)
    assert [second.time for second in lag.snapshot(after=10).seconds] == [11, 13]


@pytest.mark.guarantees("F27", "F28")
@given(
    st.lists(st.tuples(st.integers(-400, 400), st.floats(0, 100)), min_size=1, max_size=50),
)
def test_wherever_the_clock_is_set_seconds_are_in_order_and_within_the_window(steps: list[tuple[int, float]]) -> None:
    now, samples = 1_000_000, list[tuple[int, float]]()
    for step, value in steps:
        now += step
        samples.append((now, value))
    seconds = [second.time for second in noted(samples).snapshot().seconds]

    assert seconds == sorted(set(seconds))
    assert seconds[-1] - seconds[0] < WINDOW
    assert seconds[-1] == max(when for when, _ in samples)
