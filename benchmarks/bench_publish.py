"""Publishing to the bus, and reaching its readers: awake, asleep, and stuck.

The publisher hands over events in chunks, as the data plane does with a batch, and gives the event loop a turn after
each; what a publish costs is the median over the chunks. A lone publish finds every reader asleep. Throughput is
events per second of processor time until the last reader has looked at every event.

A bare deque is the least a publish could be. One `asyncio.Queue` for each reader is how fan-out is usually written; its
queues are unbounded here, which spares them the waiting that a bound would bring. All run on uvloop, as served.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from statistics import median

import anyio

from reqscope.bus import Event, EventBus

from .contenders import Bench, Measure, Numbers, Target
from .workloads import BATCH, CAPACITY, chunks, ready_made

_PUBLISH = "publish in chunks of 1 000, ns"
_LONE = "a lone publish that wakes every reader, ns"
_THROUGHPUT = "events/s of CPU until every reader has seen all"


@dataclass
class Fanout:
    """A way to publish, and to know how far its readers are."""

    publish: Callable[[Event], object]
    caught_up: Callable[[], bool]


Setup = Callable[[int], AbstractAsyncContextManager[Fanout]]


@asynccontextmanager
async def _bare(readers: int) -> AsyncGenerator[Fanout]:
    yield Fanout(deque[Event](maxlen=CAPACITY).append, lambda: True)


@asynccontextmanager
async def _bus(readers: int) -> AsyncGenerator[Fanout]:
    bus = EventBus(CAPACITY)
    subscriptions = [bus.subscribe() for _ in range(readers)]
    missed = 0
    async with anyio.create_task_group() as tasks:

        async def read(reader: int) -> None:
            async with subscriptions[reader] as subscription:
                async for batch in subscription:
                    for event in batch.events:
                        _ = event.status

        for reader in range(readers):
            tasks.start_soon(read, reader)
        yield Fanout(bus.publish, lambda: all(each.cursor == bus.ring.last for each in subscriptions))
        missed = sum(each.statistics().missed for each in subscriptions)
        tasks.cancel_scope.cancel()
    if missed:
        raise RuntimeError(f"readers missed {missed} events, so their speed means nothing")


@asynccontextmanager
async def _stuck(readers: int) -> AsyncGenerator[Fanout]:
    bus = EventBus(CAPACITY)
    async with anyio.create_task_group() as tasks:

        async def read_once(task_status: anyio.abc.TaskStatus[None]) -> None:
            async with bus.subscribe(after=0) as subscription:
                await subscription.receive()
                task_status.started()
                await anyio.sleep_forever()

        bus.publish(Event(time=0))
        for _ in range(readers):
            await tasks.start(read_once)
        yield Fanout(bus.publish, lambda: True)
        tasks.cancel_scope.cancel()


@asynccontextmanager
async def _queues(readers: int) -> AsyncGenerator[Fanout]:
    queues = [asyncio.Queue[Event]() for _ in range(readers)]

    async def read(queue: asyncio.Queue[Event]) -> None:
        while True:
            event = await queue.get()
            _ = event.status

    def publish(event: Event) -> None:
        for queue in queues:
            queue.put_nowait(event)

    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(read(queue)) for queue in queues]
        yield Fanout(publish, lambda: all(queue.empty() for queue in queues))
        for task in running:
            task.cancel()


def _fanout(setup: Setup, readers: int, amount: int = 200_000, lone: int = 300) -> Measure:
    def measure(scale: float) -> Numbers:
        amounts = int(amount * scale), int(lone * scale)
        return anyio.run(_measure, setup, readers, *amounts, backend_options={"use_uvloop": True})

    return measure


async def _measure(setup: Setup, readers: int, amount: int, lone: int) -> Numbers:
    pool = ready_made(2 * CAPACITY)
    async with setup(readers) as fanout:
        publish = fanout.publish
        await _settle(fanout)
        spent: list[float] = []
        cpu = time.process_time()
        for chunk in chunks(pool, amount, BATCH):
            begun = time.perf_counter_ns()
            for event in chunk:
                publish(event)
            spent.append((time.perf_counter_ns() - begun) / len(chunk))
            await asyncio.sleep(0)
        await _settle(fanout)
        cpu = time.process_time() - cpu
        woken: list[float] = []
        for event in pool[:lone]:
            await _settle(fanout)
            begun = time.perf_counter_ns()
            publish(event)
            woken.append(time.perf_counter_ns() - begun)
        return {_PUBLISH: median(spent), _LONE: median(woken), _THROUGHPUT: len(spent) * BATCH / cpu}


async def _settle(fanout: Fanout) -> None:
    """Wait until every reader has seen all, and sleeps."""
    while not fanout.caught_up():  # noqa: ASYNC110 - an event that readers set would be measured with them
        await asyncio.sleep(0)
    for _ in range(4):
        await asyncio.sleep(0)


BENCH = Bench(
    title="from the publisher to every reader",
    contenders={
        "deque, nobody reads": _fanout(_bare, 0),
        "bus, nobody reads": _fanout(_bus, 0),
        "bus, 100 stuck readers": _fanout(_stuck, 100),
        "bus, 1 reader": _fanout(_bus, 1),
        "bus, 16 readers": _fanout(_bus, 16),
        "bus, 100 readers": _fanout(_bus, 100),
        "asyncio.Queue, 1 reader": _fanout(_queues, 1),
        "asyncio.Queue, 16 readers": _fanout(_queues, 16, amount=50_000),
        "asyncio.Queue, 100 readers": _fanout(_queues, 100, amount=10_000),
    },
    metrics={
        _PUBLISH: "deque, nobody reads",
        _LONE: "deque, nobody reads",
        _THROUGHPUT: "asyncio.Queue, 1 reader",
    },
    targets=[
        Target(_PUBLISH, "bus, 100 stuck readers", at_most=1.1, against="bus, nobody reads"),
        Target(_THROUGHPUT, "bus, 1 reader", at_least=1_000_000),
    ],
)
