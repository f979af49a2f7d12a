from itertools import product

import anyio
import pytest
from anyio import wait_all_tasks_blocked
from anyio.lowlevel import checkpoint
from trio.testing import MockClock

from reqscope.bus import Batch, Event, EventBus, Subscription, SubscriptionStatistics


def publish(bus: EventBus, count: int = 1) -> None:
    for _ in range(count):
        bus.publish(Event(time=0))


def numbers(batch: Batch) -> list[int]:
    return [event.seq for event in batch.events]


def test_reading_without_waiting_returns_what_is_new_once() -> None:
    bus = EventBus()
    reader = bus.subscribe()
    publish(bus, 3)

    assert numbers(reader.receive_nowait()) == [1, 2, 3]
    with pytest.raises(anyio.WouldBlock):
        reader.receive_nowait()
    publish(bus)
    assert numbers(reader.receive_nowait()) == [4]


def test_reading_without_waiting_says_when_the_bus_is_closed_and_everything_was_delivered() -> None:
    bus = EventBus()
    reader = bus.subscribe()
    publish(bus)
    bus.close()

    assert numbers(reader.receive_nowait()) == [1]
    with pytest.raises(anyio.EndOfStream):
        reader.receive_nowait()


def test_a_limit_splits_what_is_new_into_batches() -> None:
    bus = EventBus()
    reader = bus.subscribe(limit=2)
    publish(bus, 5)

    assert [numbers(reader.receive_nowait()) for _ in range(3)] == [[1, 2], [3, 4], [5]]


@pytest.mark.guarantees("F2")
def test_what_the_ring_evicted_is_missed_and_counted() -> None:
    bus = EventBus(capacity=3)
    reader = bus.subscribe()
    publish(bus, 10)

    assert reader.statistics() == SubscriptionStatistics("subscriber", delivered=0, missed=7, pending=3)
    batch = reader.receive_nowait()
    assert (numbers(batch), batch.missed) == ([8, 9, 10], 7)
    assert reader.statistics() == SubscriptionStatistics("subscriber", delivered=3, missed=7, pending=0)


def test_statistics_count_only_since_the_reader_began() -> None:
    bus = EventBus(capacity=3)
    publish(bus, 10)

    reader = bus.subscribe(name="late")
    publish(bus)

    assert reader.statistics() == SubscriptionStatistics("late", delivered=0, missed=0, pending=1)


def test_another_reader_goes_on_from_the_cursor_of_the_first() -> None:
    bus = EventBus()
    first = bus.subscribe(limit=2)
    publish(bus, 5)
    first.receive_nowait()

    assert numbers(bus.subscribe(after=first.cursor).receive_nowait()) == [3, 4, 5]


def test_a_batch_may_be_empty_when_everything_in_it_has_grown_too_old() -> None:
    bus = EventBus(max_age=1e-9)
    reader = bus.subscribe()
    publish(bus, 3)
    while bus.ring.statistics().kept:
        pass

    assert reader.receive_nowait() == Batch([], missed=3, next=3)
    assert reader.statistics() == SubscriptionStatistics("subscriber", delivered=0, missed=3, pending=0)


@pytest.mark.anyio
async def test_a_read_waits_until_there_is_something() -> None:
    bus = EventBus()
    batches: list[Batch] = []

    async def read(reader: Subscription) -> None:
        batches.append(await reader.receive())

    with anyio.fail_after(10):
        async with bus.subscribe() as reader, anyio.create_task_group() as tasks:
            tasks.start_soon(read, reader)
            await wait_all_tasks_blocked()
            assert batches == []
            publish(bus, 2)

    assert [numbers(batch) for batch in batches] == [[1, 2]]


@pytest.mark.anyio
async def test_a_read_lets_other_tasks_run_even_if_there_is_something_already() -> None:
    bus = EventBus()
    publish(bus)
    ran: list[str] = []

    async def other() -> None:
        ran.append("other")

    async with bus.subscribe(after=0, limit=1) as reader, anyio.create_task_group() as tasks:
        tasks.start_soon(other)
        for _ in range(10):
            await reader.receive()
            publish(bus)
        assert ran == ["other"]


@pytest.mark.guarantees("F5")
@pytest.mark.anyio
async def test_a_cancelled_read_is_a_checkpoint_and_takes_nothing() -> None:
    bus = EventBus()
    publish(bus, 3)

    async with bus.subscribe(after=0) as reader:
        with anyio.CancelScope() as scope:
            scope.cancel()
            await reader.receive()
        assert scope.cancelled_caught
        assert numbers(reader.receive_nowait()) == [1, 2, 3]


@pytest.mark.guarantees("F5")
@pytest.mark.anyio
@pytest.mark.parametrize("linger", [0, 3600])
async def test_a_read_cancelled_at_any_point_loses_and_repeats_nothing(linger: float) -> None:
    turns = 10
    received: list[int] = []
    outcomes: set[str] = set()

    async def read(reader: Subscription, scope: anyio.CancelScope) -> None:
        with scope:
            received.extend(numbers(await reader.receive()))
        outcomes.add("cancelled" if scope.cancelled_caught else "received")

    for publish_at, cancel_at in product(range(turns), repeat=2):
        bus = EventBus()
        received.clear()
        async with bus.subscribe(linger=linger) as reader:
            publish(bus)
            received.extend(numbers(await reader.receive()))
            async with anyio.create_task_group() as tasks:
                scope = anyio.CancelScope()
                tasks.start_soon(read, reader, scope)
                for turn in range(turns):
                    if turn == publish_at:
                        publish(bus)
                    if turn == cancel_at:
                        scope.cancel()
                    await checkpoint()
            publish(bus)
            received.extend(numbers(reader.receive_nowait()))
            with pytest.raises(anyio.WouldBlock):
                reader.receive_nowait()

        assert received == [1, 2, 3], (publish_at, cancel_at)

    assert outcomes == ({"cancelled"} if linger else {"cancelled", "received"})


@pytest.mark.anyio
async def test_iterating_ends_when_the_bus_is_closed_and_the_rest_was_delivered() -> None:
    bus = EventBus()
    publish(bus, 5)
    bus.close()

    with anyio.fail_after(10):
        async with bus.subscribe(after=0, limit=2) as reader:
            batches = [numbers(batch) async for batch in reader]

    assert batches == [[1, 2], [3, 4], [5]]


@pytest.mark.anyio
async def test_closing_ends_the_iteration_of_sleeping_readers() -> None:
    bus = EventBus()
    ended: list[int] = []

    async def read() -> None:
        async with bus.subscribe() as reader:
            ended.append(sum([len(batch.events) async for batch in reader]))

    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(read)
            await wait_all_tasks_blocked()
            bus.close()

    assert ended == [0, 0, 0]


@pytest.mark.anyio
async def test_closing_hands_a_lingering_reader_the_rest_at_once() -> None:
    bus = EventBus()
    batches: list[list[int]] = []

    async def read() -> None:
        async with bus.subscribe(linger=3600, limit=2) as reader:
            batches.extend([numbers(batch) async for batch in reader])

    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read)
            await wait_all_tasks_blocked()
            publish(bus)
            await wait_all_tasks_blocked()
            publish(bus, 5)
            await wait_all_tasks_blocked()
            bus.close()

    assert batches == [[1], [2, 3], [4, 5], [6]]


@pytest.mark.anyio
async def test_a_read_of_a_closed_and_empty_bus_raises_end_of_stream() -> None:
    bus = EventBus()
    bus.close()

    async with bus.subscribe() as reader:
        with pytest.raises(anyio.EndOfStream):
            await reader.receive()


class TestPacing:
    """In virtual time, which passes when every task waits, and so exactly."""

    @pytest.fixture
    def anyio_backend(self) -> tuple[str, dict[str, object]]:
        return "trio", {"clock": MockClock(autojump_threshold=0)}

    @pytest.mark.anyio
    async def test_the_first_batch_after_quiet_comes_at_once_and_then_they_are_paced(self) -> None:
        bus = EventBus()
        began = anyio.current_time()

        async def produce() -> None:
            await anyio.sleep(10)
            for _ in range(8):
                publish(bus)
                await anyio.sleep(0.375)
            await anyio.sleep(7)
            publish(bus)
            await anyio.sleep(5)
            bus.close()

        async with bus.subscribe(linger=1) as reader, anyio.create_task_group() as tasks:
            tasks.start_soon(produce)
            arrivals = [(anyio.current_time() - began, len(batch.events)) async for batch in reader]
            # Published at 10.0, 10.375, ... 12.625 and at 20.0.
            assert arrivals == [(10, 1), (11, 2), (12, 3), (13, 2), (20, 1)]

    @pytest.mark.anyio
    async def test_a_reader_that_works_longer_than_its_linger_does_not_wait_on_top(self) -> None:
        bus = EventBus()
        began = anyio.current_time()
        arrivals: list[float] = []

        async with bus.subscribe(linger=1) as reader:
            publish(bus)
            async for _ in reader:
                arrivals.append(anyio.current_time() - began)
                publish(bus)
                if len(arrivals) == 3:
                    break
                await anyio.sleep(4)

        assert arrivals == [0, 4, 8]

    @pytest.mark.anyio
    async def test_without_linger_every_event_comes_at_once(self) -> None:
        bus = EventBus()
        began = anyio.current_time()

        async def produce() -> None:
            for _ in range(4):
                await anyio.sleep(0.25)
                publish(bus)
            bus.close()

        async with bus.subscribe() as reader, anyio.create_task_group() as tasks:
            tasks.start_soon(produce)
            arrivals = [anyio.current_time() - began async for _ in reader]
            assert arrivals == [0.25, 0.5, 0.75, 1]

    @pytest.mark.anyio
    async def test_closing_cuts_the_pause_short(self) -> None:
        bus = EventBus()
        began = anyio.current_time()

        async def produce() -> None:
            publish(bus)
            await anyio.sleep(0.25)
            publish(bus)
            await anyio.sleep(0.25)
            bus.close()

        async with bus.subscribe(linger=60) as reader, anyio.create_task_group() as tasks:
            tasks.start_soon(produce)
            arrivals = [anyio.current_time() - began async for _ in reader]
            assert arrivals == [0, 0.5]


@pytest.mark.anyio
async def test_a_reader_that_lingers_is_not_lapped_by_a_burst() -> None:
    bus = EventBus(capacity=100)

    async with bus.subscribe(linger=3600) as reader:
        for _ in range(20):
            publish(bus, 50)
            with anyio.fail_after(5):
                batch = await reader.receive()
            assert (len(batch.events), batch.missed) == (50, 0)


@pytest.mark.anyio
async def test_what_a_batch_had_no_room_for_comes_without_lingering() -> None:
    bus = EventBus()
    publish(bus, 5)
    with anyio.fail_after(5):
        async with bus.subscribe(after=0, linger=3600, limit=2) as reader:
            assert [numbers(await reader.receive()) for _ in range(3)] == [[1, 2], [3, 4], [5]]


@pytest.mark.anyio
async def test_batches_may_be_limited_by_bytes() -> None:
    bus = EventBus()
    for _ in range(5):
        bus.publish(Event(time=0, size=100))

    async with bus.subscribe(after=0, max_bytes=250) as reader:
        assert [numbers(await reader.receive()) for _ in range(3)] == [[1, 2], [3, 4], [5]]
