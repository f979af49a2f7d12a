"""What a worker pays to have its events in another process's panel, and when they are there, over each bridge.

Worker, broker and panel are processes of their own. The worker's part is everything beyond having events on its bus,
at 5 000 of them a second: packing, the spool, the bridge's client, the system's part of sending included. Over the Unix
socket events go sealed, as they were captured. To a broker they go when their text was made safe to show, which is
measured by itself, and left out of all else here. Latency is from the publish in the worker until the event is on the
panel's bus; about half of it is that batches gather for 40 ms, on purpose.

One entry of a Redis stream for each event, each awaited, is how it is usually done.
"""

import gc
import time
from contextlib import suppress

import anyio
import msgspec
import psutil

from reqscope.bus import Event, EventBus
from reqscope.service.bridge.addresses import connect
from reqscope.service.bridge.carried import Sealer
from reqscope.service.bridge.packed import Rules
from reqscope.service.bridge.publisher import Publisher
from reqscope.service.faults import Faults
from reqscope.service.heads import pack
from reqscope.service.redaction import Redaction
from reqscope.service.redaction.names import SENSITIVE
from reqscope.service.sealed import Gate, SealedExchange

from .bridge_panel import Panel, panel
from .brokers import Broker, nats, redis, unix
from .contenders import Bench, Measure, Numbers, Target
from .workloads import ready_made

_OPENING = "making the text safe, µs of CPU per event"
_CLIENT = "the worker, µs of CPU per event"
_BROKER = "the broker, µs of CPU per event"
_PANEL = "the panel, µs of CPU per event"
_P50 = "from bus to bus, ms, p50"
_P99 = "from bus to bus, ms, p99"
_RATE = 5_000
_TICK = 0.004
_REDACTION = Redaction()
FAULTS = Faults()
_GATE = Gate(_REDACTION, FAULTS)
SEALER = Sealer(_REDACTION, Rules(SENSITIVE, _GATE.body_cap))


def _packed(broker: Broker) -> Measure:
    def measure(scale: float) -> Numbers:
        with broker() as (address, process), panel(address) as there:
            return anyio.run(_hand_over, address, process, there, 4 * scale, backend_options={"use_uvloop": True})

    return measure


async def _hand_over(address: str, broker: psutil.Process | None, there: Panel, seconds: float) -> Numbers:
    bridge = connect(address)
    alone = await _pace(EventBus(), seconds / 2, sealed=bridge.private)
    bus = EventBus()
    publisher = Publisher(bus, bridge, lambda: "1", sealer=SEALER)
    numbers: Numbers = {}
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(publisher.run)
        warm = int(_RATE * 0.5)
        await _pace(bus, 0.5, sealed=bridge.private)
        await anyio.to_thread.run_sync(there.told, warm)
        before = _cpu(broker)
        mine = await _pace(bus, seconds, sealed=bridge.private)
        count = int(_RATE * seconds)
        told = await anyio.to_thread.run_sync(there.told, count)
        if told["lost"]:
            raise RuntimeError(f"{told['lost']} events were lost")
        numbers = {
            _CLIENT: (mine - alone) * 1e6,
            _PANEL: told["cpu"] / count * 1e6,
            _P50: told["p50"],
            _P99: told["p99"],
        }
        if broker is not None:
            numbers[_BROKER] = (_cpu(broker) - before) / count * 1e6
        bus.close()
    return numbers


async def _pace(bus: EventBus, seconds: float, *, sealed: bool) -> float:
    """Publish at the rate, and return the seconds of this process's processor time for each event."""
    total, sent = int(_RATE * seconds), 0
    events = captured(total) if sealed else ready_made(total)
    gc.collect()
    gc.freeze()  # a worker has no list of all that it is going to publish, for the collector to look through
    begun, cpu = time.perf_counter(), time.process_time()
    while sent < total:
        due = min(total, int((time.perf_counter() - begun) * _RATE))
        for event in events[sent:due]:
            event.time, event.total = time.time_ns(), 0.0
            bus.publish(event)
        sent = due
        await anyio.sleep(_TICK)
    return (time.process_time() - cpu) / total


def captured(amount: int) -> list[Event]:
    """Return events as they come from capture."""
    events = ready_made(amount)
    for event in events:
        heads = pack(event.request_headers), pack(event.response_headers)
        event.sealed = SealedExchange(_GATE, event.path, event.query, *heads)
        event.path, event.query, event.request_headers, event.response_headers = "", b"", (), ()
    return events


def _opened(scale: float) -> Numbers:
    events = captured(int(20_000 * scale))
    begun = time.process_time()
    for event in events:
        event.open()
    return {_OPENING: (time.process_time() - begun) / len(events) * 1e6}


def _cpu(process: psutil.Process | None) -> float:
    if process is None:
        return 0.0
    times = process.cpu_times()
    return float(times.user + times.system)


def _one_by_one(scale: float) -> Numbers:
    return anyio.run(_add_each, ready_made(int(5_000 * scale)), backend_options={"use_uvloop": True})


async def _add_each(events: list[Event]) -> Numbers:
    from redis.asyncio import Redis

    encode = msgspec.json.Encoder().encode
    with redis() as (address, process):
        client = Redis.from_url(address)
        before, cpu = _cpu(process), time.process_time()
        for event in events:
            await client.xadd("events", {"e": encode(msgspec.structs.asdict(event))}, maxlen=10_000, approximate=True)
        spent = time.process_time() - cpu
        server = _cpu(process) - before
        with suppress(Exception):
            await client.aclose()
    return {_CLIENT: spent / len(events) * 1e6, _BROKER: server / len(events) * 1e6}


BENCH = Bench(
    title="from one process to another's panel, at 5 000 events/s",
    contenders={
        "made safe": _opened,
        "Redis, one entry each": _one_by_one,
        "Unix socket": _packed(unix),
        "Redis": _packed(redis),
        "NATS": _packed(nats),
    },
    metrics={
        _OPENING: None,
        _CLIENT: "Redis, one entry each",
        _BROKER: "Redis, one entry each",
        _PANEL: None,
        _P50: None,
        _P99: None,
    },
    targets=[
        *(Target(_CLIENT, name, at_most=2.0) for name in ("Unix socket", "Redis", "NATS")),
        *(Target(_P99, name, at_most=100.0) for name in ("Unix socket", "Redis", "NATS")),
    ],
    rounds=5,
)
