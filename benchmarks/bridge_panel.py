"""The process that a panel is in, without its pages: `python -m benchmarks.bridge_panel ADDRESS`.

It reads a bridge, puts events on its bus and counts them, as `reqscope serve --collector` does. A number on its
standard input asks what there is to say of so many events since the last question, once they are there.
"""

import json
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from statistics import quantiles
from typing import Any

import anyio

from reqscope.bus import EventBus, Stats
from reqscope.service.bridge.addresses import connect
from reqscope.service.bridge.receiver import Receiver

from .server import end


class Panel:
    """A panel in a process of its own, seen from without."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def told(self, events: int) -> dict[str, float]:
        """Wait until it has so many more events, and return its numbers since the last time."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(events, file=self._process.stdin, flush=True)
        answer: dict[str, float] = json.loads(self._process.stdout.readline())
        return answer


@contextmanager
def panel(address: str) -> Generator[Panel]:
    """Start one, and wait until it reads."""
    command = [sys.executable, "-m", "benchmarks.bridge_panel", address]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            if not process.stdout.readline():
                raise RuntimeError("the panel did not start")
            yield Panel(process)
        finally:
            end(process)


class _Watch:
    def __init__(self, bus: EventBus, receiver: Receiver) -> None:
        self._bus = bus
        self._receiver = receiver
        self._latencies: list[float] = []
        self._seen = 0
        self._cpu = 0.0
        self._begun = 0.0

    async def run(self) -> None:
        async with self._bus.subscribe(sealed=True) as subscription:
            async for batch in subscription:
                now = time.time_ns()
                if not self._seen:
                    self._begun = time.perf_counter()
                self._seen += len(batch.events) + batch.missed
                self._latencies.extend((now - event.time) / 1e6 for event in batch.events)

    async def tell(self, events: int) -> dict[str, Any]:
        while self._seen < events:  # noqa: ASYNC110 - an event would be measured with it
            await anyio.sleep(0.01)
        percent = quantiles(self._latencies, n=100) if len(self._latencies) > 1 else [0.0] * 99
        cpu = time.process_time()
        told = {
            "p50": percent[49],
            "p99": percent[98],
            "cpu": cpu - self._cpu,
            "seconds": time.perf_counter() - self._begun,
            "lost": sum(row.lost for row in self._receiver.workers.rows()),
        }
        self._latencies, self._seen, self._cpu = [], 0, cpu
        return told


async def _main(address: str) -> None:
    bus = EventBus()
    receiver = Receiver(bus, connect(address))
    watch = _Watch(bus, receiver)
    async with anyio.create_task_group() as tasks:
        for run in (Stats(bus).run, watch.run, receiver.run):
            tasks.start_soon(run)
        await anyio.sleep(0.5)  # what reads answers nobody; what is sent before is not lost, and only late
        print("ready", flush=True)
        while line := await anyio.to_thread.run_sync(sys.stdin.readline, abandon_on_cancel=True):
            print(json.dumps(await watch.tell(int(line))), flush=True)
        tasks.cancel_scope.cancel()


if __name__ == "__main__":
    anyio.run(_main, sys.argv[1], backend_options={"use_uvloop": True})
