"""Handing events over to another process's panel: what it costs a worker, and what it costs the panel.

A worker's part is packing, and writing to a socket: what a publisher spends in processor time for an event, beyond
having it on the bus. The panel's part is unpacking, putting in order and publishing. Both run in one process here, over
a real Unix socket. Sealed events are as they come from capture, and stay so. Latency is from the publish in the worker
until the event is on the panel's bus, at 5 000 events a second over all workers.

One JSON document for each event over the same socket is how it is usually done.
"""

import os
import tempfile
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from statistics import quantiles

import anyio
import msgspec

from reqscope.bus import EventBus
from reqscope.service.bridge.carried import Unsealer
from reqscope.service.bridge.packed import Packed, pack, unpack
from reqscope.service.bridge.publisher import Publisher
from reqscope.service.bridge.receiver import Receiver
from reqscope.service.bridge.unix import UnixBridge

from .bench_handover import FAULTS, SEALER, captured
from .contenders import Bench, Measure, Numbers, Target
from .workloads import ready_made

_PACK = "to bytes in the worker, µs of CPU per event"
_UNPACK = "from bytes in the panel, µs of CPU per event"
_BOTH = "both ends and the socket, µs of CPU per event"
_P50 = "from bus to bus at 5 000 events/s, ms, p50"
_P99 = "from bus to bus at 5 000 events/s, ms, p99"
_BATCH = 100
"""Events that gather in 20 ms at 5 000 a second."""
_RATE = 5_000
_TICK = 0.004


def _sealed(scale: float) -> Numbers:
    events, unsealer = captured(_BATCH), Unsealer(FAULTS)
    rounds = int(400 * scale)
    data, begun = b"", time.process_time()
    for _ in range(rounds):
        data = SEALER.pack(Packed(worker="1", boot="cafe", number=1, after=0, events=events))
    spent = time.process_time()
    for _ in range(rounds):
        unsealer.unpack(data)
    total = rounds * _BATCH
    return {_PACK: (spent - begun) / total * 1e6, _UNPACK: (time.process_time() - spent) / total * 1e6}


def _encoding(scale: float, *, packed: bool) -> Numbers:
    events = ready_made(_BATCH)
    rounds, data, lines = int(400 * scale), b"", list[bytes]()
    encoder, decoder = msgspec.json.Encoder(), msgspec.json.Decoder(dict[str, object])
    begun = time.process_time()
    for _ in range(rounds):
        if packed:
            data = pack(Packed(worker="1", boot="cafe", number=1, after=0, events=events))
        else:
            lines = [encoder.encode(msgspec.structs.asdict(event)) for event in events]
    spent = time.process_time()
    for _ in range(rounds):
        if packed:
            unpack(data)
        else:
            for line in lines:
                decoder.decode(line)
    total = rounds * _BATCH
    return {_PACK: (spent - begun) / total * 1e6, _UNPACK: (time.process_time() - spent) / total * 1e6}


def _packed(scale: float) -> Numbers:
    return _encoding(scale, packed=True)


def _json(scale: float) -> Numbers:
    return _encoding(scale, packed=False)


def _workers(count: int) -> Measure:
    def measure(scale: float) -> Numbers:
        return anyio.run(_deliver, count, scale, backend_options={"use_uvloop": True})

    return measure


async def _deliver(count: int, scale: float) -> Numbers:
    with tempfile.TemporaryDirectory() as folder:
        async with _bridged(os.path.join(folder, "s"), count) as (buses, shown):
            latencies = await _paced(buses, shown, 2 * scale)
            cpu = await _at_once(buses, shown, int(60_000 * scale) // count)
    percent = quantiles(latencies, n=100)
    return {_BOTH: cpu * 1e6, _P50: percent[49], _P99: percent[98]}


@asynccontextmanager
async def _bridged(path: str, count: int) -> AsyncGenerator[tuple[list[EventBus], EventBus]]:
    shown, buses = EventBus(500_000, 1 << 30), [EventBus(500_000, 1 << 30) for _ in range(count)]
    receiver = Receiver(shown, UnixBridge(path), count)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(receiver.run)
        for number, bus in enumerate(buses):
            tasks.start_soon(Publisher(bus, UnixBridge(path), partial(str, number)).run)
        while receiver.workers.reporting < count:  # noqa: ASYNC110 - before anything is measured
            await anyio.sleep(0.01)
        yield buses, shown
        tasks.cancel_scope.cancel()


async def _paced(buses: list[EventBus], shown: EventBus, seconds: float) -> list[float]:
    """Publish at the rate, and return how many milliseconds later each event was on the panel's bus."""
    latencies: list[float] = []
    total = int(_RATE * seconds)

    async def watch() -> None:
        async with shown.subscribe() as subscription:
            async for batch in subscription:
                now = time.time_ns()
                latencies.extend((now - event.time) / 1e6 for event in batch.events)
                if len(latencies) >= total:
                    return

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(watch)
        await anyio.lowlevel.checkpoint()
        begun, sent = time.perf_counter(), 0
        while sent < total:
            due = min(total, int((time.perf_counter() - begun) * _RATE))
            for number in range(sent, due):
                event = ready_made(1)[0]
                event.time = time.time_ns()
                event.total = 0.0
                buses[number % len(buses)].publish(event)
            sent = due
            await anyio.sleep(_TICK)
    return latencies


async def _at_once(buses: list[EventBus], shown: EventBus, each: int) -> float:
    """Publish all there is, and return the seconds of processor time that handing over one event took."""
    events = [ready_made(each) for _ in buses]
    last = shown.ring.last + each * len(buses)
    begun = time.process_time()
    for bus, own in zip(buses, events, strict=True):
        bus.publish_all(own)
    while shown.ring.last < last:  # noqa: ASYNC110 - an event would be measured with it
        await anyio.sleep(_TICK)
    return (time.process_time() - begun) / (each * len(buses))


BENCH = Bench(
    title="from workers to one panel",
    contenders={
        "JSON, one by one": _json,
        "packed": _packed,
        "packed, sealed": _sealed,
        "1 worker": _workers(1),
        "2 workers": _workers(2),
        "4 workers": _workers(4),
        "8 workers": _workers(8),
    },
    metrics={_PACK: "JSON, one by one", _UNPACK: "JSON, one by one", _BOTH: "1 worker", _P50: None, _P99: None},
    targets=[
        *(Target(_PACK, name, at_most=2.0) for name in ("packed", "packed, sealed")),
        *(Target(_P99, f"{count} workers", at_most=100.0) for count in (2, 4, 8)),
    ],
    rounds=3,
)
