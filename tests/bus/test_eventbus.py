import asyncio
import sys
import threading
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from itertools import pairwise
from types import FrameType
from typing import Any, TypeVar

import anyio
import pytest
from anyio import to_thread, wait_all_tasks_blocked
from anyio.lowlevel import checkpoint
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    precondition,
    rule,
)

from reqscope.bus import Batch, Event, EventBus, Subscription

T = TypeVar("T")


def publish(bus: EventBus, count: int) -> None:
    for _ in range(count):
        bus.publish(Event(time=0))


def numbers(batch: Batch) -> list[int]:
    return [event.seq for event in batch.events]


@pytest.mark.guarantees("F7")
def test_publishing_needs_no_event_loop_and_no_reader() -> None:
    bus = EventBus()

    assert [bus.publish(Event(time=0)) for _ in range(3)] == [1, 2, 3]


def test_a_bus_passes_its_bounds_on_to_its_ring() -> None:
    statistics = EventBus(capacity=5, max_bytes=6, max_age=7.0).statistics().ring

    assert (statistics.capacity, statistics.max_bytes, statistics.max_age) == (5, 6, 7.0)


@pytest.mark.parametrize(("after", "seen"), [(None, [4]), (0, [1, 2, 3, 4]), (2, [3, 4]), (3, [4])])
def test_a_reader_begins_behind_the_event_it_names_or_with_what_is_to_come(after: int | None, seen: list[int]) -> None:
    bus = EventBus()
    publish(bus, 3)

    reader = bus.subscribe(after=after)
    publish(bus, 1)

    assert numbers(reader.receive_nowait()) == seen


@pytest.mark.parametrize("after", [4, -1])
def test_a_reader_cannot_begin_behind_an_event_that_there_has_never_been(after: int) -> None:
    bus = EventBus()
    publish(bus, 3)

    with pytest.raises(ValueError, match=str(after)):
        bus.subscribe(after=after)


@pytest.mark.parametrize("limit", [0, -1])
def test_a_reader_that_takes_nothing_at_a_time_is_refused(limit: int) -> None:
    with pytest.raises(ValueError, match="limit"):
        EventBus().subscribe(limit=limit)


@pytest.mark.anyio
async def test_statistics_name_the_readers_for_as_long_as_they_read() -> None:
    bus = EventBus()

    async with bus.subscribe(name="first"), bus.subscribe(name="second"):
        assert [reader.name for reader in bus.statistics().readers] == ["first", "second"]
    assert bus.statistics().readers == ()


@pytest.mark.guarantees("F4")
@pytest.mark.anyio
async def test_a_reader_is_gone_from_the_statistics_when_it_was_cancelled() -> None:
    bus = EventBus()

    async def read() -> None:
        async with bus.subscribe() as reader:
            await reader.receive()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(read)
        await wait_all_tasks_blocked()
        assert len(bus.statistics().readers) == 1
        tasks.cancel_scope.cancel()

    assert bus.statistics().readers == ()


@pytest.mark.anyio
async def test_every_sleeping_reader_gets_one_batch_of_all_that_was_published_before_it_woke() -> None:
    bus = EventBus()
    batches: list[Batch] = []

    async def read() -> None:
        async with bus.subscribe() as reader:
            batches.append(await reader.receive())

    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            for _ in range(100):
                tasks.start_soon(read)
            await wait_all_tasks_blocked()
            publish(bus, 3)

    assert [numbers(batch) for batch in batches] == [[1, 2, 3]] * 100


@pytest.mark.guarantees("F4")
@pytest.mark.anyio
async def test_readers_that_leave_and_end_others_while_they_are_woken_disturb_nobody() -> None:
    bus = EventBus()
    seen = {number: list[int]() for number in range(30)}
    scopes = {number: anyio.CancelScope() for number in seen}

    async def read(number: int) -> None:
        with scopes[number]:
            async with bus.subscribe() as reader:
                async for batch in reader:
                    seen[number] += numbers(batch)
                    if number % 3 == 1 and len(seen[number]) > number:
                        return
                    if number % 3 == 2 and len(seen[number]) > number:
                        scopes[number - 1].cancel()
                        scopes[number].cancel()

    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            for number in seen:
                tasks.start_soon(read, number)
            await wait_all_tasks_blocked()
            for _ in range(200):
                publish(bus, 1)
                await checkpoint()
            bus.close()

    for number, events in seen.items():
        assert events == [*range(1, len(events) + 1)]
        assert (len(events) == 200) == (number % 3 == 0)
    assert bus.statistics().readers == ()


Call = tuple[str, str]


def calls_of(function: Callable[[], object]) -> list[Call]:
    """Return every call, of Python or of C, that `function` makes."""
    calls: list[Call] = []

    def note(frame: FrameType, event: str, argument: Any) -> None:
        if event in ("call", "c_call"):
            calls.append((event, frame.f_code.co_qualname if event == "call" else argument.__qualname__))

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        function()
    finally:
        sys.setprofile(before)
    return calls


async def calls_of_publishing(stuck: int, sleeping: int) -> list[Call]:
    """Return the calls that publishing makes while so many readers are stuck, and so many asleep."""
    bus = EventBus(capacity=4)
    calls: list[Call] = []

    async def read() -> None:
        async with bus.subscribe() as reader:
            async for _ in reader:
                pass

    async def get_stuck() -> None:
        async with bus.subscribe() as reader:
            async for _ in reader:
                await anyio.sleep_forever()

    async with anyio.create_task_group() as tasks, AsyncExitStack() as stack:
        for _ in range(stuck // 2):
            await stack.enter_async_context(bus.subscribe())
            tasks.start_soon(get_stuck)
        await wait_all_tasks_blocked()
        publish(bus, 10)
        await wait_all_tasks_blocked()
        for _ in range(sleeping):
            tasks.start_soon(read)
        await wait_all_tasks_blocked()
        publish(bus, 1)
        await wait_all_tasks_blocked()
        assert len(bus.statistics().readers) == stuck + sleeping
        calls += calls_of(lambda: publish(bus, 10))
        tasks.cancel_scope.cancel()
    return calls


@pytest.mark.guarantees("F1")
@pytest.mark.anyio
@pytest.mark.parametrize("sleeping", [0, 1])
async def test_a_hundred_stuck_readers_change_nothing_in_what_publishing_does(sleeping: int) -> None:
    unburdened = await calls_of_publishing(stuck=0, sleeping=sleeping)
    burdened = await calls_of_publishing(stuck=100, sleeping=sleeping)

    assert burdened == unburdened
    assert len(burdened) >= 20


@pytest.mark.interpreted
@pytest.mark.guarantees("F1")
@pytest.mark.anyio
async def test_a_sleeper_is_woken_once_and_not_for_every_event() -> None:
    idle = await calls_of_publishing(stuck=0, sleeping=0)
    woken = await calls_of_publishing(stuck=0, sleeping=1)

    wake_ups = [name for _, name in woken].count("EventBus._wake")
    assert wake_ups == 1
    assert [name for _, name in idle].count("EventBus._wake") == 0


@pytest.mark.guarantees("F6")
@pytest.mark.anyio
async def test_threads_lose_nothing_and_keep_their_order() -> None:
    threads, each = 16, 1_000
    bus = EventBus(capacity=threads * each)
    received: list[Event] = []

    def produce(name: str) -> None:
        for number in range(each):
            bus.publish_from_thread(Event(time=number, client=name))

    producers = [threading.Thread(target=produce, args=(f"thread {index}",)) for index in range(threads)]
    with anyio.fail_after(30):
        async with bus.subscribe() as reader:
            for producer in producers:
                producer.start()
            while len(received) < threads * each:
                batch = await reader.receive()
                received += batch.events
                assert batch.missed == 0
    for producer in producers:
        producer.join()

    assert [event.seq for event in received] == list(range(1, threads * each + 1))
    for index in range(threads):
        times = [event.time for event in received if event.client == f"thread {index}"]
        assert times == list(range(each))


@pytest.mark.guarantees("F6")
@pytest.mark.anyio
async def test_a_thread_wakes_a_sleeping_reader() -> None:
    bus = EventBus()

    with anyio.fail_after(10):
        async with bus.subscribe() as reader, anyio.create_task_group() as tasks:
            tasks.start_soon(to_thread.run_sync, bus.publish_from_thread, Event(time=5))
            assert [event.time for event in (await reader.receive()).events] == [5]


@pytest.mark.guarantees("F7")
@pytest.mark.anyio
async def test_what_threads_publish_before_there_is_a_reader_is_held_for_the_first() -> None:
    bus = EventBus()
    for number in range(3):
        await to_thread.run_sync(bus.publish_from_thread, Event(time=number))

    async with bus.subscribe() as reader:
        batch = reader.receive_nowait()

    assert [event.time for event in batch.events] == [0, 1, 2]


@pytest.mark.guarantees("F7")
@pytest.mark.anyio
async def test_what_threads_published_before_the_bus_was_closed_is_delivered() -> None:
    bus = EventBus()

    async with bus.subscribe() as reader:
        producer = threading.Thread(target=bus.publish_from_thread, args=(Event(time=0),))
        producer.start()
        producer.join()
        bus.close()
        await wait_all_tasks_blocked()
        assert bus.statistics().refused == 0
        assert numbers(reader.receive_nowait()) == [1]


@pytest.mark.guarantees("F7")
@pytest.mark.anyio
async def test_what_is_published_after_the_bus_was_closed_is_counted_and_not_raised() -> None:
    bus = EventBus()
    publish(bus, 1)
    async with bus.subscribe(after=0) as reader:
        bus.close()
        bus.close()

        assert bus.closed
        assert [bus.publish(Event(time=0)) for _ in range(3)] == [0, 0, 0]
        await to_thread.run_sync(bus.publish_from_thread, Event(time=0))
        await wait_all_tasks_blocked()
        assert numbers(reader.receive_nowait()) == [1]

    assert bus.statistics().refused == 4
    assert bus.statistics().ring.published == 1


@pytest.mark.guarantees("F7")
def test_what_a_thread_publishes_after_the_bus_was_closed_is_counted_with_no_reader_either() -> None:
    bus = EventBus()
    bus.close()

    bus.publish_from_thread(Event(time=0))

    assert bus.statistics().refused == 1


@pytest.mark.guarantees("F7")
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_what_a_thread_publishes_after_the_event_loop_has_gone_is_counted_and_not_kept(
    backend: str, allocated: Callable[[], int]
) -> None:
    bus = EventBus()

    async def read() -> None:
        async with bus.subscribe():
            pass

    anyio.run(read, backend=backend)
    before = allocated()
    for number in range(100):
        bus.publish_from_thread(Event(time=0, body=b"%d" % number * 10_000))

    assert bus.statistics().refused == 100
    assert bus.statistics().ring.published == 0
    assert allocated() - before < 100_000


def test_an_event_is_found_by_its_name_while_it_is_kept() -> None:
    bus = EventBus(capacity=2)
    events = [Event(time=0) for _ in range(3)]
    for event in events:
        bus.publish(event)

    assert [bus.find(bus.event_id(event)) for event in events] == [None, *events[1:]]


def test_no_other_life_of_a_bus_uses_the_same_names() -> None:
    one, other = EventBus(), EventBus()
    publish(one, 1)
    event = Event(time=0)
    other.publish(event)

    assert one.find(other.event_id(event)) is None


@pytest.mark.parametrize(
    "rest", ["", "-", "-0", "--1", "-1x", "-x", "-²", "-٣", "-+1", "- 1", "-1-1", "-" + "9" * 5_000]
)
def test_a_name_that_is_none_finds_nothing(rest: str) -> None:
    bus = EventBus()
    publish(bus, 3)

    assert bus.find(bus.boot + rest) is None


@dataclass
class Reader:
    subscription: Subscription
    limit: int | None
    began: int
    cursor: int
    delivered: list[int] = field(default_factory=list[int])
    missed: int = 0


class BusMachine(RuleBasedStateMachine):
    """A bus against a plain list of what its ring should have, with readers of every kind."""

    readers = Bundle[Reader]("readers")

    @initialize(capacity=st.integers(1, 12), max_bytes=st.integers(1, 1_000))
    def make(self, capacity: int, max_bytes: int) -> None:
        self.loop = asyncio.new_event_loop()
        self.bus = EventBus(capacity, max_bytes)
        self.capacity = capacity
        self.max_bytes = max_bytes
        self.published = 0
        self.refused = 0
        self.kept: list[tuple[int, int]] = []
        self.attached: list[Reader] = []

    def in_loop(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(coroutine)

    @rule(sizes=st.lists(st.integers(1, 400), min_size=1, max_size=20))
    def publish(self, sizes: list[int]) -> None:
        for size in sizes:
            seq = self.bus.publish(Event(time=0, size=size))
            if self.bus.closed:
                self.refused += 1
                assert seq == 0
                continue
            self.published += 1
            assert seq == self.published
            self.kept.append((seq, size))
            while len(self.kept) > self.capacity:
                del self.kept[0]
            while len(self.kept) > 1 and sum(size for _, size in self.kept) > self.max_bytes:
                del self.kept[0]

    @rule(
        target=readers,
        behind=st.none() | st.just("all") | st.integers(0, 20),
        limit=st.none() | st.integers(1, 5),
    )
    def subscribe(self, behind: int | str | None, limit: int | None) -> Reader:
        match behind:
            case None:
                after = None
            case "all":
                after = 0
            case int() | str():
                after = max(0, self.published - int(behind))
        subscription = self.bus.subscribe(after, limit=limit)
        began = self.published if after is None else after
        reader = Reader(self.in_loop(subscription.__aenter__()), limit, began, began)
        self.attached.append(reader)
        return reader

    @rule(reader=readers)
    def read(self, reader: Reader) -> None:
        # A reader that this rule does not pick is a stuck one.
        unseen = [seq for seq, _ in self.kept if seq > reader.cursor]
        missed = self.published - reader.cursor - len(unseen)
        if reader.cursor == self.published:
            with pytest.raises(anyio.EndOfStream if self.bus.closed else anyio.WouldBlock):
                reader.subscription.receive_nowait()
            return

        batch = reader.subscription.receive_nowait()

        assert (numbers(batch), batch.missed) == (unseen[: reader.limit], missed)
        reader.cursor += missed + len(batch.events)
        reader.delivered += numbers(batch)
        reader.missed += missed
        assert batch.next == reader.subscription.cursor == reader.cursor

    @rule(reader=consumes(readers))
    def detach(self, reader: Reader) -> None:
        self.in_loop(reader.subscription.__aexit__(None, None, None))
        self.attached.remove(reader)

    @precondition(lambda self: self.published > 20)
    @rule()
    def close(self) -> None:
        self.bus.close()

    @invariant()
    def every_event_is_delivered_or_missed_or_pending_for_every_reader(self) -> None:
        statistics = self.bus.statistics().readers
        assert len(statistics) == len(self.attached)
        for reader, seen in zip(self.attached, statistics, strict=True):
            assert seen == reader.subscription.statistics()
            assert seen.delivered + seen.missed + seen.pending == self.published - reader.began
            assert seen.delivered == len(reader.delivered)
            assert seen.pending == sum(seq > reader.cursor for seq, _ in self.kept)
            assert seen.missed >= reader.missed

    @invariant()
    def no_reader_gets_an_event_twice_or_out_of_order(self) -> None:
        for reader in self.attached:
            gaps = sum(later - earlier - 1 for earlier, later in pairwise([reader.began, *reader.delivered]))
            assert all(earlier < later for earlier, later in pairwise([reader.began, *reader.delivered]))
            assert gaps <= reader.missed

    @invariant()
    def every_event_is_kept_or_evicted_or_was_refused(self) -> None:
        statistics = self.bus.statistics()
        assert statistics.refused == self.refused
        assert statistics.ring.published == self.published == statistics.ring.kept + statistics.ring.evicted
        assert statistics.ring.kept == len(self.kept)
        assert statistics.ring.kept <= self.capacity
        assert statistics.ring.held_bytes <= self.max_bytes or statistics.ring.kept == 1

    def teardown(self) -> None:
        if hasattr(self, "loop"):
            self.loop.close()


TestBusMachine = BusMachine.TestCase
TestBusMachine.settings = settings(derandomize=True, deadline=None, max_examples=60, stateful_step_count=40)
