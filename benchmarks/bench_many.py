"""How much one panel can take: as many batches as 64 workers send, as fast as it takes them, over each bridge.

Batches are packed before anything is measured, each of 100 events, as a worker with 5 000 requests a second sends them.
One process hands them over with 64 connections, each waiting for its answer, so that the panel is what there is too
little of. With sampling, two events of a hundred come whole and of the others their numbers: all are counted.
"""

import anyio

from reqscope.service.bridge.addresses import connect
from reqscope.service.bridge.bridge import Bridge, BridgeError
from reqscope.service.bridge.packed import Packed, numbers_of, pack

from .bridge_panel import Panel, panel
from .brokers import Broker, nats, redis, unix
from .contenders import Bench, Measure, Numbers
from .workloads import ready_made

_TAKEN = "requests/s that the panel took"
_CPU = "the panel, µs of CPU per request"
_BUSY = "the panel, % of a core"
_SIZE = "bytes per request"
_WORKERS = 64
_BATCH = 100
_EACH = 120
"""Batches of each worker: together fewer than a broker keeps."""


def _flood(broker: Broker, kept: int = _BATCH) -> Measure:
    def measure(scale: float) -> Numbers:
        each = int(_EACH * scale)
        batches = [_batches(str(worker), each, kept) for worker in range(_WORKERS)]
        with broker() as (address, _), panel(address) as there:
            return anyio.run(_send_all, address, batches, kept, there, backend_options={"use_uvloop": True})

    return measure


def _batches(worker: str, count: int, kept: int) -> list[bytes]:
    events = ready_made(_BATCH)
    thinned = [numbers_of(event) for event in events[kept:]]
    return [
        pack(
            Packed(
                worker=worker,
                boot="cafe",
                number=number + 1,
                after=number * kept,
                events=events[:kept],
                thinned=thinned,
                heartbeat=5.0,
            )
        )
        for number in range(count)
    ]


async def _send_all(address: str, batches: list[list[bytes]], kept: int, there: Panel) -> Numbers:
    bridges = [connect(address) for _ in batches]
    first = [each.pop(0) for each in batches]
    for bridge, batch in zip(bridges, first, strict=True):
        await bridge.publish(batch, "")
    await anyio.to_thread.run_sync(there.told, kept * len(first))
    count, told = sum(map(len, batches)), dict[str, float]()
    async with anyio.create_task_group() as tasks:
        for number, (bridge, own) in enumerate(zip(bridges, batches, strict=True)):
            tasks.start_soon(_send, bridge, own, number)
        told = await anyio.to_thread.run_sync(there.told, kept * count)
    for bridge in bridges:
        await bridge.aclose()
    if told["lost"]:
        raise RuntimeError(f"{told['lost']} events were lost")
    requests = _BATCH * count
    return {
        _TAKEN: requests / told["seconds"],
        _CPU: told["cpu"] / requests * 1e6,
        _BUSY: told["cpu"] / told["seconds"] * 100,
        _SIZE: sum(sum(map(len, own)) for own in batches) / requests,
    }


async def _send(bridge: Bridge, batches: list[bytes], worker: int) -> None:
    for number, batch in enumerate(batches):
        while True:
            try:
                await bridge.publish(batch, f"{worker}-{number}")
                break
            except BridgeError:  # on a busy machine the panel may not get to it for seconds
                await anyio.sleep(0.1)


BENCH = Bench(
    title="64 workers, one panel",
    contenders={
        "Unix socket": _flood(unix),
        "Redis": _flood(redis),
        "NATS": _flood(nats),
        "Unix socket, 2 of 100 kept": _flood(unix, 2),
        "Redis, 2 of 100 kept": _flood(redis, 2),
    },
    metrics={_TAKEN: "Unix socket", _CPU: "Unix socket", _BUSY: None, _SIZE: None},
    rounds=3,
)
