import gc
import threading
from collections.abc import Callable

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reqscope.bus import Event, EventBus, RingBuffer
from reqscope.bus.event import OVERHEAD, Glance, Headers

FAST = settings(derandomize=True, deadline=None)


def test_an_event_needs_a_time_and_nothing_else() -> None:
    event = Event(time=7)

    assert (event.time, event.kind, event.seq, event.status, event.body) == (7, "request", 0, 0, b"")
    with pytest.raises(TypeError):
        Event()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]  # which is what is refused


def test_the_garbage_collector_does_not_see_events() -> None:
    headers = tuple([(b"host", bytes([number])) for number in range(3)])
    assert gc.is_tracked(headers)

    assert not gc.is_tracked(Event(time=0, path="/orders", request_headers=headers))


@FAST
@given(path=st.text("abc/", max_size=50), query=st.binary(max_size=50), body=st.binary(max_size=50))
def test_text_and_body_count_by_their_length(path: str, query: bytes, body: bytes) -> None:
    event = Event(time=0, path=path, query=query, body=body)

    assert event.measure() == OVERHEAD + len(path) + len(query) + len(body)


@FAST
@given(st.lists(st.tuples(st.binary(max_size=20), st.binary(max_size=20)), max_size=10), st.integers(0, 10))
def test_a_header_counts_the_same_in_a_request_and_in_a_response(
    headers: list[tuple[bytes, bytes]], split: int
) -> None:
    apart = Event(time=0, request_headers=tuple(headers[:split]), response_headers=tuple(headers[split:]))
    together = Event(time=0, request_headers=tuple(headers))

    assert apart.measure() == together.measure()
    assert together.measure() >= OVERHEAD + sum(len(name) + len(value) for name, value in headers)


def bare(number: int) -> Event:
    return Event(time=1 << 60 | number, path=f"/items/{number}", client=f"10.0.0.{number}", total=number / 7)


def ordinary(number: int) -> Event:
    return Event(
        time=1 << 60 | number,
        path=f"/items/{number}",
        query=b"page=%d" % number,
        request_headers=some_headers(number, 12),
        response_headers=some_headers(number, 6),
        total=number / 7,
    )


def many_headers(number: int) -> Event:
    return Event(time=1 << 60 | number, request_headers=some_headers(number, 100))


def ingested(number: int) -> Event:
    return Event(time=1 << 60 | number, kind="record", body=b"%d" % number * 1_000)


def some_headers(number: int, count: int) -> Headers:
    return tuple((b"name-%d-%d" % (number, index), b"value-%d-%d" % (number, index)) for index in range(count))


@pytest.mark.parametrize("make", [bare, ordinary, many_headers, ingested])
def test_the_bytes_a_ring_counts_are_near_the_memory_it_takes(
    make: Callable[[int], Event], allocated: Callable[[], int]
) -> None:
    count = 1_000
    ring = RingBuffer(count)
    before = allocated()

    for number in range(count):
        ring.append(make(number))

    taken = allocated() - before
    assert taken / 1.25 < ring.statistics().held_bytes < taken * 2


class Seal:
    """What a producer sealed: it fills in this text, and counts how often."""

    def __init__(self, path: str = "/opened", before: Callable[[Event], None] | None = None) -> None:
        self.path = path
        self.before = before
        self.opened = 0

    def open(self, event: Event) -> None:
        self.opened += 1
        event.path = self.path
        if self.before is not None:
            self.before(event)

    def glance(self, event: Event) -> Glance:
        return Glance(self.path, b"", None, None, b"")


def test_an_event_without_a_seal_is_open_already() -> None:
    event = Event(time=0, path="/x")

    assert event.open() is event
    assert event.path == "/x"


def test_a_seal_is_broken_once_and_the_text_is_there_before_it_is_gone() -> None:
    seen: list[object] = []
    seal = Seal(before=lambda event: seen.append(event.sealed))
    event = Event(time=0, sealed=seal)
    assert event.path == ""

    assert event.open().open() is event
    assert (event.path, event.sealed, seal.opened, seen) == ("/opened", None, 1, [seal])


def test_what_was_sealed_while_it_was_opened_stays_so_until_it_is_opened_again() -> None:
    later = Seal("/later")

    def seal_again(event: Event) -> None:
        event.sealed = later

    event = Event(time=0, sealed=Seal("/first", seal_again))

    assert event.open().path == "/first"
    assert event.sealed is later
    assert event.open().path == "/later"
    assert event.sealed is None


def test_a_glance_leaves_the_seal_and_is_the_events_own_text_once_it_is_open() -> None:
    seal = Seal()
    event = Event(time=0, sealed=seal, route="/{any}", error="ValueError")

    assert event.glance().path == "/opened"
    assert (event.path, event.sealed, seal.opened) == ("", seal, 0)
    event.open().query, event.body = b"a=1", b"text"
    assert event.glance() == Glance("/opened", b"a=1", "/{any}", "ValueError", b"text")


def test_a_seal_that_fails_stays() -> None:
    def fail(event: Event) -> None:
        raise ZeroDivisionError

    event = Event(time=0, sealed=Seal(before=fail))
    with pytest.raises(ZeroDivisionError):
        event.open()

    assert event.sealed is not None


def test_opened_in_many_threads_at_once_everyone_sees_the_text() -> None:
    events = [Event(time=0, sealed=Seal()) for _ in range(500)]
    start, seen = threading.Barrier(4), list[str]()

    def open_all() -> None:
        start.wait(20)
        seen.extend([event.open().path for event in events])

    threads = [threading.Thread(target=open_all) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)

    assert seen == ["/opened"] * 2_000
    assert all(event.sealed is None for event in events)


@pytest.mark.anyio
class TestReaders:
    """Readers get opened events, unless they ask for sealed ones."""

    @pytest.fixture
    def bus(self) -> EventBus:
        bus = EventBus()
        for _ in range(250):
            bus.publish(Event(time=0, sealed=Seal()))
        return bus

    async def test_what_is_read_from_the_ring_is_open(self, bus: EventBus) -> None:
        found = bus.find(f"{bus.boot}-1")

        assert found is not None
        assert found.path == "/opened"
        assert {event.path for event in bus.ring.since(0).events} == {"/opened"}

    async def test_what_is_read_sealed_from_the_ring_stays_so(self, bus: EventBus) -> None:
        assert {event.path for event in bus.ring.since(0, sealed=True).events} == {""}

    @pytest.mark.parametrize("sealed", [False, True])
    async def test_a_subscription_gets_them_as_it_asked_for_them(self, bus: EventBus, sealed: bool) -> None:
        async with bus.subscribe(after=0, limit=125, sealed=sealed) as reader:
            first, second = await reader.receive(), reader.receive_nowait()

        for batch in (first, second):
            assert {event.path for event in batch.events} == {"" if sealed else "/opened"}
        assert (len(first.events), len(second.events), reader.statistics().delivered) == (125, 125, 250)

    async def test_others_get_their_turn_while_many_are_opened(
        self, bus: EventBus, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("reqscope.bus.subscription._OPENING", 0.0)
        opened: list[int] = []

        def count() -> int:
            return sum(event.sealed is None for event in bus.ring.since(0, sealed=True).events)

        async def take_turns() -> None:
            while count() < 250:
                opened.append(count())
                await anyio.lowlevel.checkpoint()

        async with bus.subscribe(after=0) as reader:
            with anyio.fail_after(20):
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(take_turns)
                    assert len((await reader.receive()).events) == 250

        assert len(set(opened)) > 50

    @pytest.mark.guarantees("F5")
    async def test_one_that_gives_up_while_it_opens_has_lost_nothing(
        self, bus: EventBus, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("reqscope.bus.subscription._OPENING", 0.0)
        async with bus.subscribe(after=0) as reader:
            with anyio.CancelScope() as scope:
                bus.ring.since(0, sealed=True).events[50].sealed = Seal(before=lambda _: scope.cancel())
                await reader.receive()
            assert scope.cancelled_caught
            assert (reader.cursor, reader.statistics().delivered) == (0, 0)
            assert len((await reader.receive()).events) == 250


class TestThinning:
    """Events that are counted and not kept."""

    def test_they_get_no_number_and_no_reader_sees_them_and_every_counter_counts_them(self) -> None:
        bus, counted = EventBus(), [list[Event](), list[Event]()]
        for each in counted:
            bus.add_counter(each.extend)
        events = [Event(time=number) for number in range(1_234)]
        for event in events:
            bus.thin(event)

        assert [len(each) for each in counted] == [1_000, 1_000]
        bus.count_thinned()
        bus.count_thinned()
        assert counted == [events, events]
        assert {event.seq for event in events} == {0}
        assert (bus.ring.last, bus.statistics().thinned, bus.statistics().refused) == (0, 1_234, 0)

    def test_once_the_bus_is_closed_they_are_refused_until_it_opens_again(self) -> None:
        bus, counted = EventBus(), list[Event]()
        bus.add_counter(counted.extend)
        bus.close()
        bus.thin(Event(time=0))
        bus.open()
        bus.thin(Event(time=1))
        bus.count_thinned()

        assert [event.time for event in counted] == [1]
        assert (bus.statistics().thinned, bus.statistics().refused) == (1, 1)
