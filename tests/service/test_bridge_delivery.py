"""What is published in one place is shown in the other: once, in order, and what is missing is counted."""

from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeAlias

import anyio
import pytest

from reqscope.bus import EventBus, Failure, Stats
from reqscope.service.bridge.addresses import connect
from reqscope.service.bridge.bridge import Bridge, BridgeError
from reqscope.service.bridge.publisher import Publisher
from reqscope.service.bridge.receiver import Receiver

from .bridging import arrived, event, expected_paths, lost, panel, paths, worker
from .brokers import BROKERS, Broker
from .conftest import until
from .proxy import Proxy

pytestmark = pytest.mark.anyio

NewBridge: TypeAlias = Callable[[], Bridge]


@pytest.fixture(params=["unix", *BROKERS])
async def bridge(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncGenerator[NewBridge]:
    """Make bridges that all lead to one place."""
    if request.param == "unix":
        yield lambda: connect(f"unix:{tmp_path}/collector.sock")
        return
    async with BROKERS[request.param](tmp_path) as server:
        yield lambda: connect(server.url)


@pytest.fixture(params=BROKERS)
async def broker(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncGenerator[Broker]:
    async with BROKERS[request.param](tmp_path) as server:
        yield server


async def test_each_event_is_there_once_with_its_worker(bridge: NewBridge) -> None:
    async with panel(bridge()) as (shown, receiver), worker(bridge()) as (bus, publisher):
        for number in range(1_500):
            bus.publish(event(number))
        await arrived(shown, 1_500)

        assert paths(shown) == expected_paths(1_500)
        assert {each.worker for each in shown.ring.since(0).events} == {"1"}
        assert (receiver.workers.reporting, lost(receiver)) == (1, 0)
        assert publisher.statistics().failing == ""


async def test_events_of_several_workers_are_in_the_order_in_which_they_ended(bridge: NewBridge) -> None:
    async with (
        panel(bridge()) as (shown, receiver),
        worker(bridge(), "1") as (one, _),
        worker(bridge(), "2") as (two, _),
    ):
        await until(lambda: receiver.workers.reporting == 2, "both workers")
        for number in range(500):
            (one, two)[number % 2].publish(event(number))
        await arrived(shown, 500)

        assert paths(shown) == expected_paths(500)


async def test_what_ended_later_comes_later_though_it_began_earlier(bridge: NewBridge) -> None:
    async with (
        panel(bridge()) as (shown, receiver),
        worker(bridge(), "1") as (one, _),
        worker(bridge(), "2") as (two, _),
    ):
        await until(lambda: receiver.workers.reporting == 2, "both workers")
        two.publish(event(1, total=0.001))
        one.publish(event(0, total=60.0))
        await arrived(shown, 2)

        assert paths(shown) == ["/1", "/0"]


async def test_nothing_is_lost_while_nobody_reads(bridge: NewBridge) -> None:
    async with worker(bridge()) as (bus, publisher):
        for number in range(100):
            bus.publish(event(number))

        def tried() -> bool:
            statistics = publisher.statistics()
            return statistics.handed_over == 100 or (statistics.packed == 100 and statistics.failing != "")

        await until(tried, "all of them handed over, or tried to")
        async with panel(bridge()) as (shown, receiver):
            await arrived(shown, 100)
            for number in range(100, 200):
                bus.publish(event(number))
            await arrived(shown, 200)

            assert paths(shown) == expected_paths(200)
            assert lost(receiver) == 0


async def test_a_reader_that_comes_again_goes_on_where_it_was(bridge: NewBridge) -> None:
    shown, reading = EventBus(), bridge()
    receiver = Receiver(shown, reading)
    async with worker(bridge()) as (bus, _):
        for turn in range(3):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(receiver.run)
                for number in range(turn * 50, turn * 50 + 50):
                    bus.publish(event(number))
                await arrived(shown, turn * 50 + 50)
                tasks.cancel_scope.cancel()

        assert paths(shown) == expected_paths(150)
        assert lost(receiver) == 0


@pytest.mark.guarantees("F37")
async def test_what_the_spool_had_no_room_for_is_counted_to_the_event(tmp_path: Path) -> None:
    address = f"unix:{tmp_path}/collector.sock"
    async with worker(connect(address), spool=20_000) as (bus, publisher):
        for number in range(2_000):
            bus.publish(event(number))
            if number % 20 == 19:
                await anyio.sleep(0.001)  # the work of the application, or all would be one batch
        await until(lambda: publisher.statistics().packed == 2_000, "everything packed")
        dropped = publisher.statistics().dropped
        async with panel(connect(address)) as (shown, receiver):
            await arrived(shown, 2_000 - dropped)
            await until(lambda: publisher.statistics().held_bytes == 0, "an empty spool")

            assert dropped > 0
            assert lost(receiver) == dropped
            assert shown.ring.last + lost(receiver) == 2_000
            assert receiver.summary()["losses"] == [("1", bus.boot, dropped)]


async def test_what_the_ring_evicted_before_it_was_packed_is_counted(tmp_path: Path) -> None:
    address = f"unix:{tmp_path}/collector.sock"
    bus = EventBus(100)
    publisher = Publisher(bus, connect(address), lambda: "1")
    async with panel(connect(address)) as (shown, receiver), anyio.create_task_group() as tasks:
        for number in range(250):
            bus.publish(event(number))
        tasks.start_soon(publisher.run)
        await arrived(shown, 100)

        assert paths(shown) == expected_paths(250)[150:]
        assert lost(receiver) == 150
        bus.close()


async def test_a_worker_that_nobody_looks_at_keeps_nothing_that_it_has_packed(tmp_path: Path) -> None:
    address = f"unix:{tmp_path}/collector.sock"
    bus = EventBus(1_000)
    publisher = Publisher(bus, connect(address), lambda: "1", alone=True)
    async with panel(connect(address)) as (shown, receiver), anyio.create_task_group() as tasks:
        tasks.start_soon(publisher.run)
        for number in range(3_000):
            bus.publish(event(number))
            if number % 500 == 499:
                await until(lambda: bus.ring.statistics().kept == 0, "all packed, and gone")
        await arrived(shown, 3_000)

        assert bus.ring.statistics().held_bytes == 0
        assert paths(shown) == expected_paths(3_000)
        assert lost(receiver) == 0
        bus.close()


async def test_what_is_thinned_out_is_counted_there_as_here(bridge: NewBridge) -> None:
    async with worker(bridge()) as (bus, _), panel(bridge()) as (shown, _):
        stats, own = Stats(shown), Stats(bus)
        for number in range(600):
            bus.thin(event(number, route="/x", method="GET", total=0.1))
        bus.publish(event(0, route="/x", method="GET", total=0.2))
        own.snapshot()
        await until(lambda: stats.snapshot().events == 601, "all of them counted")

        assert (stats.snapshot().latency, stats.snapshot().classes) == (own.snapshot().latency, own.snapshot().classes)
        assert shown.ring.last == 1


async def test_what_is_only_thinned_out_is_counted_soon(tmp_path: Path) -> None:
    address = f"unix:{tmp_path}/collector.sock"
    async with worker(connect(address)) as (bus, _), panel(connect(address)) as (shown, _):
        stats = Stats(shown)
        bus.thin(event(0, total=0.1))

        await until(lambda: stats.snapshot().events == 1, "it is counted")


async def test_what_is_thinned_out_while_nobody_reads_takes_no_more_than_the_spool_and_is_accounted_for(
    tmp_path: Path,
) -> None:
    address = f"unix:{tmp_path}/collector.sock"
    async with worker(connect(address), spool=50_000) as (bus, publisher):
        for number in range(20_000):
            bus.thin(event(number, total=0.1))
        bus.publish(event(0))
        await until(lambda: publisher.statistics().packed == 1, "all packed")
        assert publisher.statistics().held_bytes <= 50_000 + 40_000
        async with panel(connect(address)) as (shown, receiver):
            stats = Stats(shown)
            await arrived(shown, 1)
            uncounted = sum(row.uncounted for row in receiver.workers.rows())

            assert uncounted > 0
            assert stats.snapshot().events + uncounted == 20_001


async def test_failures_are_grouped_where_they_are_shown(bridge: NewBridge) -> None:
    failure = Failure(type="E", message="m", traceback="t", fingerprint="f")
    async with worker(bridge()) as (bus, _), panel(bridge()) as (shown, _):
        bus.publish(event(0, failure=failure))
        await arrived(shown, 1)

        assert [group.fingerprint for group in shown.failures.latest()] == ["f"]


async def test_a_goodbye_is_no_death(bridge: NewBridge) -> None:
    async with panel(bridge()) as (shown, receiver):
        async with worker(bridge()) as (bus, _):
            bus.publish(event(0))
        await until(lambda: [row.status for row in receiver.workers.rows()] == ["ended"], "the goodbye")
        await arrived(shown, 1)

        assert paths(shown) == ["/0"]
        assert (receiver.workers.reporting, receiver.workers.expected) == (0, 0)


@pytest.mark.guarantees("F37")
async def test_a_batch_that_cannot_be_read_is_counted_and_the_next_one_is_read(bridge: NewBridge) -> None:
    async with panel(bridge()) as (shown, receiver):
        stranger = bridge()
        with anyio.fail_after(10):
            while receiver.summary()["unreadable"] == 0:
                with suppress(BridgeError):  # nobody listens yet
                    await stranger.publish(b"\xc1 no batch", "")
                await anyio.sleep(0.01)
        async with worker(bridge()) as (bus, _):
            bus.publish(event(0))
            await arrived(shown, 1)
        await stranger.aclose()


async def test_several_panels_see_everything(broker: Broker) -> None:
    async with (
        panel(connect(broker.url)) as (one, _),
        panel(connect(broker.url)) as (two, _),
        worker(connect(broker.url)) as (bus, _),
    ):
        for number in range(100):
            bus.publish(event(number))
        await arrived(one, 100)
        await arrived(two, 100)
        async with panel(connect(broker.url)) as (three, _):  # with the history that is retained
            await arrived(three, 100)

        assert paths(one) == paths(two) == paths(three) == expected_paths(100)


@pytest.mark.guarantees("F37")
async def test_an_answer_that_is_lost_shows_nothing_twice(broker: Broker) -> None:
    proxy = Proxy(broker.port)
    async with (
        proxy.running(),
        panel(connect(broker.url)) as (shown, receiver),
        worker(connect(broker.at(proxy.port))) as (bus, publisher),
    ):
        for number in range(200):
            if number % 50 == 25:
                proxy.lose_answers = 1
            bus.publish(event(number))
            await anyio.sleep(0.005)  # the work of the application, or all would be one batch
        await arrived(shown, 200)
        await until(lambda: publisher.statistics().held_bytes == 0, "all handed over")

        assert paths(shown) == expected_paths(200)
        assert lost(receiver) == 0
        # NATS leaves out what it has; of Redis, the panel does.
        assert (receiver.workers.duplicates > 0) is (broker.scheme == "redis")


async def test_a_batch_that_is_larger_than_a_message_may_be_arrives_whole(broker: Broker) -> None:
    async with (
        panel(connect(broker.url)) as (shown, receiver),
        worker(connect(broker.url), "1") as (one, _),
        worker(connect(broker.url), "2") as (two, _),
    ):
        text = b"x" * 3_000_000
        one.publish(event(0, query=text))
        two.publish(event(1, query=text))
        await arrived(shown, 2)

        assert [each.query for each in shown.ring.since(0).events] == [text, text]
        assert lost(receiver) == 0
