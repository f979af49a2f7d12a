from collections.abc import Callable
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from reqscope.bus import Batch, Event, RingBuffer


class FakeClock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def filled(ring: RingBuffer, count: int, size: int = 100) -> RingBuffer:
    for number in range(1, count + 1):
        ring.append(Event(time=number, size=size))
    return ring


def numbers(batch: Batch) -> list[int]:
    return [event.seq for event in batch.events]


@pytest.mark.parametrize(
    ("capacity", "max_bytes", "max_age"), [(0, 1, None), (-1, 1, None), (1, 0, None), (1, 1, 0.0), (1, 1, -1.0)]
)
def test_every_bound_has_to_be_positive(capacity: int, max_bytes: int, max_age: float | None) -> None:
    with pytest.raises(ValueError, match="positive"):
        RingBuffer(capacity, max_bytes, max_age)


def test_an_empty_ring_has_nothing_to_give() -> None:
    ring = RingBuffer(3)

    assert (ring.first, ring.last) == (1, 0)
    assert ring.since(0) == Batch([], 0, 0)
    assert ring.get(0) is None
    assert ring.get(1) is None
    assert ring.statistics().oldest_time is None


def test_events_are_numbered_from_one_and_bear_their_number() -> None:
    ring = RingBuffer(3)
    events = [Event(time=0) for _ in range(5)]

    assert [ring.append(event) for event in events] == [1, 2, 3, 4, 5]
    assert [event.seq for event in events] == [1, 2, 3, 4, 5]


def test_every_cursor_sees_the_rest_in_order_wherever_the_ring_has_wrapped() -> None:
    for capacity, count in product(range(1, 7), range(20)):
        ring = filled(RingBuffer(capacity), count)
        kept = list(range(1, count + 1))[-capacity:]
        for cursor in range(count + 1):
            batch = ring.since(cursor)
            assert numbers(batch) == [seq for seq in kept if seq > cursor]
            assert batch.missed == count - cursor - len(batch.events)
            assert batch.next == count


def test_a_limit_cuts_off_the_newest_and_the_next_cursor_goes_on_from_there() -> None:
    ring = filled(RingBuffer(5), 12)

    first = ring.since(2, limit=3)
    second = ring.since(first.next, limit=3)

    assert (numbers(first), first.missed, first.next) == ([8, 9, 10], 5, 10)
    assert (numbers(second), second.missed, second.next) == ([11, 12], 0, 12)


def test_a_cursor_ahead_of_the_newest_event_is_refused() -> None:
    with pytest.raises(ValueError, match="cursor 3 is ahead of the newest event, 2"):
        filled(RingBuffer(5), 2).since(3)


def test_a_batch_stays_as_it_was_when_the_ring_goes_on() -> None:
    ring = filled(RingBuffer(3), 3)
    batch = ring.since(0)

    filled(ring, 3)

    assert numbers(batch) == [1, 2, 3]


def test_an_event_can_be_had_by_number_while_it_is_kept() -> None:
    ring = filled(RingBuffer(3), 5)

    found = [ring.get(seq) for seq in range(-1, 8)]

    assert [event and event.seq for event in found] == [None, None, None, None, 3, 4, 5, None, None]


def test_bytes_bound_the_ring_before_the_count_does() -> None:
    ring = filled(RingBuffer(100, max_bytes=350), 10, size=100)

    assert (ring.first, ring.last) == (8, 10)
    assert ring.statistics().held_bytes == 300


def test_an_event_larger_than_the_bound_is_kept_until_the_next_one_comes() -> None:
    ring = filled(RingBuffer(100, max_bytes=350), 3, size=100)

    ring.append(Event(time=0, size=5_000))
    assert (ring.first, ring.last, ring.statistics().held_bytes) == (4, 4, 5_000)
    ring.append(Event(time=0, size=100))
    assert (ring.first, ring.last, ring.statistics().held_bytes) == (5, 5, 100)


def test_an_event_of_unknown_size_is_measured() -> None:
    ring = RingBuffer()
    event = Event(time=0, body=b"x" * 1_000)

    ring.append(event)

    assert ring.statistics().held_bytes == event.size == event.measure() > 1_000


def test_age_evicts_without_anything_being_published() -> None:
    clock = FakeClock()
    ring = RingBuffer(10, max_age=5, clock=clock)
    filled(ring, 2)
    clock.now += 3
    filled(ring, 2)

    clock.now += 2
    assert numbers(ring.since(0)) == [1, 2, 3, 4]
    clock.now += 1
    assert ring.get(2) is None
    assert ring.since(0) == Batch([*ring.since(2).events], 2, 4)
    clock.now += 100
    assert ring.since(1) == Batch([], 3, 4)
    assert ring.statistics().kept == 0


def test_age_evicts_without_anything_being_read() -> None:
    clock = FakeClock()
    ring = RingBuffer(10, max_age=5, clock=clock)
    filled(ring, 3)

    clock.now += 6
    filled(ring, 1)

    assert (ring.first, ring.last) == (4, 4)


@pytest.mark.guarantees("F27")
def test_the_time_in_an_event_has_no_say_in_its_age() -> None:
    ring = RingBuffer(10, max_age=5, clock=FakeClock())

    for wall_clock in (0, 1 << 60, -1, 5):
        ring.append(Event(time=wall_clock))

    assert ring.statistics().kept == 4


def test_statistics_tell_the_bounds_and_what_is_within_them() -> None:
    ring = filled(RingBuffer(3, max_bytes=1_000, max_age=60, clock=FakeClock()), 5)

    statistics = ring.statistics()

    assert (statistics.published, statistics.kept, statistics.evicted) == (5, 3, 2)
    assert (statistics.capacity, statistics.max_bytes, statistics.max_age) == (3, 1_000, 60)
    assert (statistics.held_bytes, statistics.oldest_time) == (300, 3)


@pytest.mark.guarantees("F2")
@pytest.mark.parametrize("count", [200_000, pytest.param(1_000_000, marks=pytest.mark.prove)])
def test_many_events_pass_a_slow_reader_in_order_with_every_loss_counted_and_memory_flat(
    allocated: Callable[[], int], count: int
) -> None:
    capacity, pause = 10_000, 17_003
    ring = filled(RingBuffer(capacity), capacity)
    full = allocated()
    cursor = delivered = missed = 0

    for published in range(capacity + 1, count + 1):
        ring.append(Event(time=published, size=100))
        if published % pause == 0 or published == count:
            batch = ring.since(cursor)
            assert batch.missed == max(0, published - capacity - cursor)
            assert [event.time for event in batch.events] == list(range(cursor + batch.missed + 1, published + 1))
            cursor = batch.next
            delivered += len(batch.events)
            missed += batch.missed
            # While the reader has its batch, that may hold as much as the ring, and no more.
            assert allocated() < 2.5 * full

    assert delivered + missed == count
    assert missed > count // 3


@pytest.mark.parametrize(("max_bytes", "max_age"), [(1 << 20, None), (1 << 40, 10)])
def test_what_was_evicted_is_let_go(max_bytes: int, max_age: float | None, allocated: Callable[[], int]) -> None:
    clock = FakeClock()
    ring = RingBuffer(1_000, max_bytes, max_age, clock=clock)
    before = allocated()

    for number in range(500):
        clock.now += 1
        ring.append(Event(time=number, body=b"%d" % (number % 10) * 100_000))

    assert ring.statistics().kept <= 11
    assert allocated() - before < 1.2e6


class RingMachine(RuleBasedStateMachine):
    """The ring against a plain list of what should be in it."""

    @initialize(capacity=st.integers(1, 8), max_bytes=st.integers(1, 1_000), max_age=st.none() | st.integers(1, 20))
    def make(self, capacity: int, max_bytes: int, max_age: int | None) -> None:
        self.clock = FakeClock()
        self.ring = RingBuffer(capacity, max_bytes, max_age, clock=self.clock)
        self.published = 0
        self.kept: list[tuple[int, int, float]] = []

    def evict(self) -> None:
        ring = self.ring
        while len(self.kept) > ring.capacity:
            del self.kept[0]
        while len(self.kept) > 1 and sum(size for _, size, _ in self.kept) > ring.max_bytes:
            del self.kept[0]
        while ring.max_age is not None and self.kept and self.kept[0][2] < self.clock.now - ring.max_age:
            del self.kept[0]

    @rule(sizes=st.lists(st.integers(1, 400), min_size=1, max_size=12))
    def append(self, sizes: list[int]) -> None:
        for size in sizes:
            self.published += 1
            assert self.ring.append(Event(time=self.published, size=size)) == self.published
            self.kept.append((self.published, size, self.clock.now))
            self.evict()

    @rule(behind=st.integers(-2, 20))
    def forget(self, behind: int) -> None:
        self.ring.forget(self.published - behind)
        self.kept = [kept for kept in self.kept if kept[0] > self.published - behind]

    @rule(seconds=st.integers(1, 25))
    def let_time_pass(self, seconds: int) -> None:
        self.clock.now += seconds

    @rule(behind=st.integers(0, 20), limit=st.none() | st.integers(1, 6))
    def read(self, behind: int, limit: int | None) -> None:
        cursor = max(0, self.published - behind)

        batch = self.ring.since(cursor, limit)

        self.evict()
        unseen = [seq for seq, _, _ in self.kept if seq > cursor]
        assert numbers(batch) == unseen[:limit]
        assert batch.missed == self.published - cursor - len(unseen)
        assert batch.next == cursor + batch.missed + len(batch.events)

    @rule(behind=st.integers(-2, 20))
    def get(self, behind: int) -> None:
        seq = self.published - behind

        event = self.ring.get(seq)

        self.evict()
        assert (event is not None) == (seq in [kept for kept, _, _ in self.kept])
        assert event is None or event.time == event.seq == seq

    @invariant()
    def the_ring_and_the_list_agree(self) -> None:
        statistics = self.ring.statistics()
        self.evict()
        assert statistics.published == self.published == statistics.kept + statistics.evicted
        assert statistics.kept == len(self.kept)
        assert statistics.held_bytes == sum(size for _, size, _ in self.kept)
        assert statistics.oldest_time == (self.kept[0][0] if self.kept else None)
        assert (self.ring.first, self.ring.last) == (self.published - len(self.kept) + 1, self.published)

    @invariant()
    def only_the_newest_event_may_exceed_a_bound(self) -> None:
        statistics = self.ring.statistics()
        assert statistics.kept <= self.ring.capacity
        assert statistics.held_bytes <= self.ring.max_bytes or statistics.kept == 1


TestRingMachine = RingMachine.TestCase
TestRingMachine.settings = settings(derandomize=True, deadline=None, max_examples=50, stateful_step_count=40)


@given(
    st.integers(1, 6),
    st.integers(1, 3_000),
    st.lists(st.lists(st.integers(1, 900), max_size=9), max_size=8),
)
def test_extending_is_appending_one_after_the_other(capacity: int, max_bytes: int, batches: list[list[int]]) -> None:
    extended, appended = RingBuffer(capacity, max_bytes), RingBuffer(capacity, max_bytes)
    for sizes in batches:
        extended.extend([Event(time=size, size=size) for size in sizes])
        for size in sizes:
            appended.append(Event(time=size, size=size))

        assert extended.statistics() == appended.statistics()
        start = extended.first - 1
        assert [event.time for event in extended.since(start).events] == [
            event.time for event in appended.since(start).events
        ]
        assert [event.seq for event in extended.since(start).events] == list(range(start + 1, extended.last + 1))


@pytest.mark.parametrize(("max_bytes", "count"), [(1, 1), (100, 1), (250, 2), (300, 3), (10_000, 5)])
def test_a_batch_has_events_of_so_many_bytes_and_one_in_any_case(max_bytes: int, count: int) -> None:
    ring = RingBuffer(10)
    for _ in range(5):
        ring.append(Event(time=0, size=100))

    batch = ring.since(0, max_bytes=max_bytes)

    assert [event.seq for event in batch.events] == [*range(1, count + 1)]
    assert (batch.missed, batch.next) == (0, count)


def test_batches_of_few_bytes_go_round_the_ring_without_holes() -> None:
    ring = RingBuffer(7)
    for number in range(30):
        ring.append(Event(time=0, size=1 + number % 5))
    cursor, seen, missed = 0, list[int](), 0

    while cursor < ring.last:
        batch = ring.since(cursor, 3, max_bytes=6)
        assert sum(event.size for event in batch.events) <= 6
        seen += [event.seq for event in batch.events]
        cursor, missed = batch.next, missed + batch.missed

    assert (seen, missed) == ([*range(24, 31)], 23)
