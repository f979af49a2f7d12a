"""A broker that is down, killed, frozen, full, trimmed, made anew, locked or slow: nobody waits, nothing is untold."""

import signal
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from time import perf_counter

import anyio
import pytest

from reqscope.bus import EventBus
from reqscope.service.bridge.addresses import connect
from reqscope.service.bridge.bridge import AddressError
from reqscope.service.bridge.receiver import Receiver

from .bridging import arrived, event, expected_paths, lost, panel, paths, worker
from .brokers import BROKERS, Broker, NatsBroker, RedisBroker
from .conftest import until
from .proxy import Proxy

pytestmark = pytest.mark.anyio


@pytest.fixture(params=BROKERS)
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Broker:
    """A broker that has not been started."""
    return BROKERS[request.param](tmp_path)


@asynccontextmanager
async def load(bus: EventBus, count: int) -> AsyncGenerator[Callable[[], int]]:
    """Publish events one after the other beside the block, and wait for the last of them at its end."""
    published = 0

    async def publish() -> None:
        nonlocal published
        for number in range(count):
            bus.publish(event(number))
            published += 1
            await anyio.sleep(0.001)  # the work of the application

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(publish)
        yield lambda: published


@asynccontextmanager
async def reads(receiver: Receiver) -> AsyncGenerator[None]:
    """Have a panel read inside the block. It can come again."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(receiver.run)
        yield
        tasks.cancel_scope.cancel()


@pytest.mark.guarantees("F37")
async def test_a_server_that_comes_up_late_gets_everything(broker: Broker) -> None:
    async with panel(connect(broker.url)) as (shown, receiver), worker(connect(broker.url)) as (bus, publisher):
        for number in range(100):
            bus.publish(event(number))
        await until(lambda: bool(receiver.summary()["failing"] and publisher.statistics().failing), "both say so")
        async with broker:
            await arrived(shown, 100)
            await until(lambda: not publisher.statistics().failing, "the worker is content")

            assert paths(shown) == expected_paths(100)
            assert (lost(receiver), receiver.summary()["failing"]) == (0, "")


@pytest.mark.guarantees("F37")
async def test_a_server_that_is_killed_under_load_and_has_forgotten_everything_costs_no_event(broker: Broker) -> None:
    async with (
        broker,
        panel(connect(broker.url)) as (shown, receiver),
        worker(connect(broker.url)) as (bus, publisher),
    ):
        async with load(bus, 600) as published:
            await until(lambda: published() > 200, "some of them")
            await arrived(shown, 100)
            await until(lambda: shown.ring.last >= published() - 1 or published() > 500, "a moment of calm")
            await broker.kill()
            await until(lambda: publisher.statistics().failing != "", "it is noticed")
            await broker.start()
        # What the server had taken and nobody had read is gone with it: that is told to the event.
        await until(lambda: shown.ring.last + lost(receiver) >= 600, "every event shown, or told to be lost")

        assert shown.ring.last + lost(receiver) == 600
        assert len(set(paths(shown))) == shown.ring.last


@pytest.mark.guarantees("F37")
async def test_a_server_that_is_frozen_holds_up_nobody(broker: Broker) -> None:
    async with (
        broker,
        panel(connect(broker.url)) as (shown, receiver),
        worker(connect(broker.url)) as (bus, publisher),
    ):
        bus.publish(event(0))
        await arrived(shown, 1)
        broker.send(signal.SIGSTOP)
        slowest = 0.0
        for number in range(1, 200):
            begin = perf_counter()
            bus.publish(event(number))
            slowest = max(slowest, perf_counter() - begin)
            await anyio.lowlevel.checkpoint()
        await until(lambda: bool(publisher.statistics().failing), "the worker says so")
        broker.send(signal.SIGCONT)
        await arrived(shown, 200)

        assert paths(shown) == expected_paths(200)
        assert lost(receiver) == 0
        assert slowest < 0.5  # where a publisher that waited for the server would have taken seconds


@pytest.mark.guarantees("F37")
async def test_a_full_server_is_like_one_that_is_down(broker: Broker) -> None:
    async with (
        broker,
        panel(connect(broker.url)) as (shown, receiver),
        worker(connect(broker.url)) as (bus, publisher),
    ):
        await until(lambda: receiver.workers.reporting == 1, "the stream")
        said = await broker.fill()
        for number in range(100):
            bus.publish(event(number))
        await until(lambda: said in publisher.statistics().failing, "the worker says so")
        await broker.make_room()
        await arrived(shown, 100)

        assert (paths(shown), lost(receiver)) == (expected_paths(100), 0)


@pytest.mark.guarantees("F37")
async def test_what_was_trimmed_away_before_it_was_read_is_counted_to_the_event(broker: Broker) -> None:
    async with broker, worker(connect(broker.url)) as (bus, publisher):
        shown, reading = EventBus(), connect(broker.url)
        receiver = Receiver(shown, reading)
        bus.publish(event(0))
        async with reads(receiver):
            await arrived(shown, 1)
        for number in range(1, 100):  # the panel is away
            bus.publish(event(number))
            if number % 10 == 0:
                await until(lambda: publisher.statistics().handed_over == bus.ring.last, "a batch of them there")
        await until(lambda: publisher.statistics().handed_over == 100, "all of them there")
        await broker.trim()
        async with reads(receiver):
            bus.publish(event(100))
            await until(lambda: shown.ring.last + lost(receiver) == 101, "every event shown, or told to be lost")

        assert lost(receiver) > 0
        assert paths(shown)[-1] == "/100"


async def test_a_stream_that_is_made_anew_with_lower_ids_is_read_from_its_beginning(broker: Broker) -> None:
    async with (
        broker,
        panel(connect(broker.url)) as (shown, receiver),
        worker(connect(broker.url)) as (bus, _),
    ):
        for number in range(10):
            bus.publish(event(number))
            await arrived(shown, number + 1)
        await broker.remake()
        bus.publish(event(10))
        await arrived(shown, 11)

        assert paths(shown) == expected_paths(11)
        assert lost(receiver) == 0


@pytest.mark.guarantees("F37")
async def test_a_wrong_password_is_said_in_words_and_waits_for_the_right_one(broker: Broker) -> None:
    broker.password = "right"
    async with broker:
        wrong = broker.at(broker.port, "wrong")
        async with panel(connect(wrong)) as (_, receiver), worker(connect(wrong)) as (bus, publisher):
            bus.publish(event(0))
            await until(lambda: bool(publisher.statistics().failing and receiver.summary()["failing"]), "both say so")

            failing = publisher.statistics().failing + receiver.summary()["failing"]
            assert "password" in failing.lower() or "Authorization Violation" in failing
            assert "wrong" not in failing.replace("wrong username-password pair", "")


@pytest.mark.guarantees("F37")
async def test_a_slow_network_delays_and_loses_nothing(broker: Broker) -> None:
    async with broker:
        proxy = Proxy(broker.port)
        proxy.delay = 0.05
        async with proxy.running():
            address = broker.at(proxy.port)
            async with panel(connect(address)) as (shown, receiver), worker(connect(address)) as (bus, _):
                async with load(bus, 300):
                    pass
                await arrived(shown, 300)

                assert (paths(shown), lost(receiver)) == (expected_paths(300), 0)


@pytest.mark.guarantees("F37")
@pytest.mark.parametrize(
    "address",
    [
        "",
        "unix:",
        "kafka://x",
        "/run/x.sock",
        "redis://host:port/0",
        "redis://host?retain=many",
        "redis://host?retain=0",
        "nats://host:port",
        "nats://",
        "nats://host?stream=a.b",
    ],
)
def test_an_address_that_leads_nowhere_says_what_to_write(address: str) -> None:
    with pytest.raises(AddressError, match="write"):
        connect(address)


async def test_a_server_without_jetstream_says_so(tmp_path: Path) -> None:
    server = NatsBroker(tmp_path)
    server.streams = False
    async with server, worker(connect(server.url)) as (_, publisher):
        await until(lambda: publisher.statistics().failing == "NATS has no JetStream; start it with -js", "it says so")


async def test_a_stream_of_redis_keeps_as_many_batches_as_its_address_says(tmp_path: Path) -> None:
    async with RedisBroker(tmp_path) as server:
        bridge = connect(f"{server.url}?retain=200")
        for number in range(1_000):
            await bridge.publish(b"x", str(number))
        await bridge.aclose()

        assert 200 <= await server.batches() < 400  # they go by whole nodes of a hundred
