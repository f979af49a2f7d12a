import json
import os
import select
import stat
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import BinaryIO

import anyio
import pytest
from anyio import to_thread, wait_all_tasks_blocked
from anyio.lowlevel import checkpoint

from reqscope.bus import Event, EventBus, JsonLogSink, SinkRunner, throttle
from reqscope.bus.sinks import WhenFull

pytestmark = pytest.mark.anyio


def publish(bus: EventBus, count: int) -> None:
    for _ in range(count):
        bus.publish(Event(time=0, body=b"x" * 1_000))


async def until(condition: Callable[[], bool]) -> None:
    with anyio.fail_after(10):
        while not condition():
            await checkpoint()


async def until_lost(runner: SinkRunner, count: int) -> None:
    await until(lambda: runner.statistics().lost == count)


def seqs(lines: bytes) -> list[int]:
    return [json.loads(line)["seq"] for line in lines.splitlines()]


def check(runner: SinkRunner, bus: EventBus) -> None:
    """Nothing may be unaccounted for, at any time."""
    statistics = runner.statistics()
    reader = statistics.reader
    assert reader.delivered == statistics.written + statistics.lost + statistics.held
    assert reader.delivered + reader.missed + reader.pending == bus.statistics().ring.published


class Pipe:
    """A real pipe, which holds some 64 KiB and then makes its writer wait."""

    def __init__(self, reading: BinaryIO, writing: BinaryIO) -> None:
        self.reading = reading
        self.writing = writing

    def full(self) -> bool:
        return not select.select([], [self.writing], [], 0)[1]

    async def read_all(self) -> bytes:
        """Read until the sink closes its end."""
        return await to_thread.run_sync(self.reading.read)


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    reading, writing = os.pipe()
    # The reading end is closed first, which ends whatever still writes.
    with open(writing, "wb", buffering=0) as to_write, open(reading, "rb") as to_read:
        yield Pipe(to_read, to_write)


class Steered:
    """A sink that a test holds up, and that writes down what is done with it."""

    name = "steered"

    def __init__(self) -> None:
        self.written: list[int] = []
        self.calls: list[str] = []
        self.threads: set[int] = set()
        self.go = threading.Semaphore(0)
        self.error: Exception | None = None
        self.short_by = 0
        self._busy = threading.Lock()

    def write(self, events: list[Event]) -> int:
        assert self._busy.acquire(blocking=False)
        self.threads.add(threading.get_ident())
        self.calls.append("write")
        self.go.acquire()
        self._busy.release()
        if self.error is not None:
            raise self.error
        self.written += [event.seq for event in events]
        return len(events) - self.short_by

    def close(self) -> None:
        assert self._busy.acquire(blocking=False)
        self.threads.add(threading.get_ident())
        self.calls.append("close")
        self._busy.release()


def let_go(sink: Steered) -> None:
    sink.go.release(1_000_000)


async def test_everything_is_in_the_file_when_the_bus_was_closed(tmp_path: Path) -> None:
    path = tmp_path / "requests.jsonl"
    bus = EventBus()
    runner = SinkRunner(bus, JsonLogSink.to_file(path, bus.boot), batch=100)

    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(runner.run)
            publish(bus, 1_000)
            await wait_all_tasks_blocked()
            publish(bus, 1_000)
            check(runner, bus)
            bus.close()

    assert seqs(path.read_bytes()) == list(range(1, 2_001))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    statistics = runner.statistics()
    assert (statistics.written, statistics.lost, statistics.held, statistics.failing) == (2_000, 0, 0, False)
    check(runner, bus)


async def test_what_comes_soon_after_a_write_shares_the_next() -> None:
    bus = EventBus()
    sink = Steered()
    let_go(sink)
    runner = SinkRunner(bus, sink)

    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(runner.run)
            await wait_all_tasks_blocked()
            for _ in range(100):
                publish(bus, 1)
                for _ in range(20):
                    await checkpoint()
            bus.close()

    assert sink.written == list(range(1, 101))
    assert sink.calls.count("write") < 50


async def test_a_runner_begins_with_what_was_published_after_it_was_made(tmp_path: Path) -> None:
    path = tmp_path / "requests.jsonl"
    bus = EventBus()
    publish(bus, 2)
    runner = SinkRunner(bus, JsonLogSink.to_file(path, bus.boot))
    publish(bus, 2)
    bus.close()

    with anyio.fail_after(10):
        await runner.run()

    assert seqs(path.read_bytes()) == [3, 4]


async def test_a_burst_that_the_sink_could_take_is_not_missed(tmp_path: Path) -> None:
    bus = EventBus(capacity=1_000)
    path = tmp_path / "requests.jsonl"
    runner = SinkRunner(bus, JsonLogSink.to_file(path, bus.boot), batch=100)

    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(runner.run)
            await wait_all_tasks_blocked()
            for _ in range(50):
                publish(bus, 100)
                for _ in range(20):
                    await checkpoint()
            bus.close()

    assert runner.statistics().reader.missed == 0
    assert seqs(path.read_bytes()) == list(range(1, 5_001))


@pytest.mark.guarantees("F2")
async def test_a_sink_that_is_too_slow_drops_the_newest_and_counts_them(pipe: Pipe) -> None:
    bus = EventBus()
    runner = SinkRunner(bus, JsonLogSink("pipe", bus.boot, pipe.writing), hold=500, batch=50)
    written: list[int] = []

    async def read() -> None:
        written.extend(seqs(await pipe.read_all()))

    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(runner.run)
            publish(bus, 3_000)
            bus.close()
            await until(lambda: pipe.full() and runner.statistics().reader.delivered == 3_000)
            check(runner, bus)
            assert runner.statistics().lost > 0
            assert runner.statistics().held <= 500
            tasks.start_soon(read)

    statistics = runner.statistics()
    check(runner, bus)
    assert (statistics.written, statistics.held) == (len(written), 0)
    assert 500 <= len(written) < 3_000
    assert written[:500] == list(range(1, 501))
    assert written == sorted(set(written))


@pytest.mark.guarantees("F2")
async def test_of_a_batch_that_has_no_room_the_newest_are_dropped() -> None:
    bus = EventBus()
    sink = Steered()
    runner = SinkRunner(bus, sink, hold=15, batch=10)

    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(runner.run)
            publish(bus, 40)
            bus.close()
            await until(lambda: runner.statistics().reader.delivered == 40)
            assert runner.statistics().held == 15
            check(runner, bus)
            let_go(sink)

    assert sink.written == list(range(1, 16))
    assert runner.statistics().lost == 25
    check(runner, bus)


@pytest.mark.guarantees("F1", "F13")
async def test_a_sink_that_is_too_slow_blocks_its_reader_and_lets_the_ring_lose(pipe: Pipe) -> None:
    bus = EventBus(capacity=1_000)
    sink = JsonLogSink("pipe", bus.boot, pipe.writing)
    runner = SinkRunner(bus, sink, hold=100, batch=50, when_full="block")
    written: list[int] = []

    async def read() -> None:
        written.extend(seqs(await pipe.read_all()))

    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(runner.run)
            publish(bus, 1_000)
            await until(lambda: pipe.full() and runner.statistics().held == 100)
            check(runner, bus)
            publish(bus, 5_000)
            bus.close()
            check(runner, bus)
            assert runner.statistics().lost == 0
            assert runner.statistics().reader.missed > 4_000
            tasks.start_soon(read)

    statistics = runner.statistics()
    check(runner, bus)
    assert (statistics.lost, statistics.held) == (0, 0)
    assert statistics.written == len(written) == 6_000 - statistics.reader.missed
    assert written == sorted(set(written))
    assert written[-1] == 6_000


@pytest.mark.guarantees("F1", "F23")
@pytest.mark.parametrize("when_full", ["drop", "block"])
async def test_nothing_is_unaccounted_for_while_a_sink_is_stuck_nor_when_it_is_cancelled(
    when_full: WhenFull, pipe: Pipe
) -> None:
    bus = EventBus()
    sink = JsonLogSink("pipe", bus.boot, pipe.writing)
    runner = SinkRunner(bus, sink, hold=130, batch=50, when_full=when_full)

    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(runner.run)
            publish(bus, 1_000)
            bus.close()
            await until(pipe.full)
            await wait_all_tasks_blocked()
            check(runner, bus)
            tasks.cancel_scope.cancel()

    check(runner, bus)
    assert runner.statistics().held == 0


@pytest.mark.guarantees("F1", "F13")
async def test_publishing_goes_on_whatever_the_sink_does() -> None:
    bus = EventBus(capacity=100)
    sink = Steered()
    runner = SinkRunner(bus, sink, when_full="block")

    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(runner.run)
            await wait_all_tasks_blocked()
            publish(bus, 10)
            await until(lambda: sink.calls == ["write"])
            publish(bus, 10_000)
            assert bus.statistics().ring.published == 10_010
            check(runner, bus)
            let_go(sink)
            bus.close()

    check(runner, bus)
    assert sink.written == [*range(1, 11), *range(9_911, 10_011)]


@pytest.mark.guarantees("F9")
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
async def test_a_full_device_loses_events_says_so_once_and_recovers(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bus = EventBus()
    device = open("/dev/full", "ab", buffering=0)  # noqa: ASYNC230, SIM115  # closed by the sink
    runner = SinkRunner(bus, JsonLogSink("device", bus.boot, device))

    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(runner.run)
            for lost in (10, 20):
                publish(bus, 10)
                await until_lost(runner, lost)
                assert runner.statistics().failing
                check(runner, bus)
            # From here on the same descriptor leads to a file, as if space had been made.
            with (tmp_path / "requests.jsonl").open("wb") as file:
                os.dup2(file.fileno(), device.fileno())
            publish(bus, 10)
            await until(lambda: runner.statistics().written == 10)
            assert not runner.statistics().failing
            check(runner, bus)
            bus.close()

    assert seqs((tmp_path / "requests.jsonl").read_bytes()) == list(range(21, 31))
    check(runner, bus)
    await until(lambda: "sink device" in caplog.text)
    (warning,) = [record for record in caplog.records if "sink device" in record.message]
    assert warning.levelname == "WARNING"
    assert "No space left on device" in warning.message


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
async def test_what_goes_on_failing_is_warned_of_once_in_ten_seconds(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    bus = EventBus()
    device = open("/dev/full", "ab", buffering=0)  # noqa: ASYNC230, SIM115  # closed by the sink
    runner = SinkRunner(bus, JsonLogSink("device", bus.boot, device))
    now = 100.0
    monkeypatch.setattr(throttle, "time", SimpleNamespace(monotonic=lambda: now))
    warnings: list[int] = []

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(runner.run)
        for moment in (100.0, 105.0, 109.9, 110.0, 119.9, 120.0):
            now = moment
            publish(bus, 1)
            await until_lost(runner, bus.statistics().ring.published)
            await wait_all_tasks_blocked()
            warnings.append(caplog.text.count("sink device cannot write"))
        bus.close()

    assert warnings == [1, 1, 1, 2, 2, 3]


@pytest.mark.guarantees("F15")
async def test_a_reader_that_goes_away_costs_its_own_events_only(pipe: Pipe, tmp_path: Path) -> None:
    bus = EventBus()
    pipe.reading.close()
    path = tmp_path / "requests.jsonl"
    broken = SinkRunner(bus, JsonLogSink("pipe", bus.boot, pipe.writing))
    whole = SinkRunner(bus, JsonLogSink.to_file(path, bus.boot))
    publish(bus, 10)
    bus.close()

    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(broken.run)
            tasks.start_soon(whole.run)

    assert (broken.statistics().written, broken.statistics().lost) == (0, 10)
    assert (whole.statistics().written, whole.statistics().lost) == (10, 0)
    check(broken, bus)
    check(whole, bus)


@pytest.mark.guarantees("F3", "F11")
@pytest.mark.parametrize("error", [OSError("disk"), ValueError("bug"), RuntimeError("bug")])
async def test_whatever_a_sink_raises_stays_with_it(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    bus = EventBus()
    sink = Steered()
    sink.error = error
    let_go(sink)
    runner = SinkRunner(bus, sink)
    publish(bus, 3)
    bus.close()

    with anyio.fail_after(10):
        await runner.run()

    assert (runner.statistics().lost, runner.statistics().failing) == (3, True)
    check(runner, bus)
    await until(lambda: f"cannot write: {type(error).__name__}: {error}" in caplog.text)


async def test_a_sink_is_not_failing_while_a_write_takes_its_time() -> None:
    bus = EventBus()
    sink = Steered()
    runner = SinkRunner(bus, sink)

    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(runner.run)
            publish(bus, 1)
            await until(lambda: sink.calls == ["write"])
            assert not runner.statistics().failing
            let_go(sink)
            bus.close()

    assert not runner.statistics().failing


async def test_what_a_sink_says_it_did_not_write_is_lost() -> None:
    bus = EventBus()
    sink = Steered()
    sink.short_by = 2
    let_go(sink)
    runner = SinkRunner(bus, sink)
    publish(bus, 10)
    bus.close()

    with anyio.fail_after(10):
        await runner.run()

    assert (runner.statistics().written, runner.statistics().lost) == (8, 2)
    check(runner, bus)


async def test_a_sink_is_closed_after_its_last_write_and_once() -> None:
    bus = EventBus()
    sink = Steered()
    runner = SinkRunner(bus, sink, batch=10)

    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(runner.run)
            publish(bus, 40)
            bus.close()
            await until(lambda: sink.calls == ["write"] and runner.statistics().held == 40)
            let_go(sink)

    assert sink.calls == ["write"] * 4 + ["close"]
    assert sink.written == list(range(1, 41))


async def test_a_sink_is_closed_when_its_runner_is_cancelled_too() -> None:
    bus = EventBus()
    sink = Steered()
    let_go(sink)
    runner = SinkRunner(bus, sink)

    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(runner.run)
            publish(bus, 10)
            await until(lambda: runner.statistics().written == 10)
            tasks.cancel_scope.cancel()
        await until(lambda: "close" in sink.calls)

    assert sink.calls[-1:] == ["close"]
    check(runner, bus)


async def test_a_sink_is_never_called_from_the_event_loop_nor_twice_at_a_time() -> None:
    bus = EventBus()
    sink = Steered()
    let_go(sink)
    runner = SinkRunner(bus, sink, batch=2)
    publish(bus, 20)
    bus.close()

    with anyio.fail_after(10):
        await runner.run()

    assert sink.calls == ["write"] * 10 + ["close"]
    assert threading.get_ident() not in sink.threads


@pytest.mark.guarantees("F3")
async def test_a_sink_that_cannot_be_closed_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    class Unclosable(Steered):
        def close(self) -> None:
            raise OSError("cannot flush")

    bus = EventBus()
    sink = Unclosable()
    let_go(sink)
    runner = SinkRunner(bus, sink)
    publish(bus, 3)
    bus.close()

    with anyio.fail_after(10):
        await runner.run()

    assert runner.statistics().written == 3
    await until(lambda: "cannot flush" in caplog.text)


async def test_a_sink_writes_though_the_application_keeps_every_pooled_thread_busy() -> None:
    bus = EventBus()
    sink = Steered()
    let_go(sink)
    runner = SinkRunner(bus, sink)
    publish(bus, 3)
    bus.close()
    pool = to_thread.current_default_thread_limiter()
    handlers = [object() for _ in range(int(pool.total_tokens))]

    for handler in handlers:
        pool.acquire_on_behalf_of_nowait(handler)
    try:
        with anyio.fail_after(5):
            await runner.run()
    finally:
        for handler in handlers:
            pool.release_on_behalf_of(handler)

    assert sink.written == [1, 2, 3]


@pytest.mark.guarantees("F13", "F42")
async def test_a_write_that_hangs_is_abandoned_when_cancelled_and_what_was_held_is_lost(pipe: Pipe) -> None:
    bus = EventBus()
    runner = SinkRunner(bus, JsonLogSink("pipe", bus.boot, pipe.writing), batch=500)

    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(runner.run)
            publish(bus, 1_000)
            await until(lambda: pipe.full() and runner.statistics().held == 1_000)
            check(runner, bus)
            tasks.cancel_scope.cancel()

    statistics = runner.statistics()
    assert (statistics.written, statistics.lost, statistics.held) == (0, 1_000, 0)
    check(runner, bus)
    assert bus.statistics().readers == ()


@contextmanager
def process(code: str) -> Generator[subprocess.Popen[bytes], None, None]:
    """A Python process whose standard output nobody reads."""
    command = [sys.executable, "-c", textwrap.dedent(code)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        try:
            yield child
        finally:
            child.kill()


@pytest.mark.guarantees("F13", "F42")
@pytest.mark.parametrize("destination", ["standard output", "a pipe", "a buffered pipe"])
def test_a_sink_that_hangs_does_not_keep_the_process_alive(destination: str) -> None:
    code = f"""
    import os, select, sys
    import anyio
    from reqscope.bus import Event, EventBus, JsonLogSink, SinkRunner

    async def main():
        bus = EventBus()
        if {destination!r} == "standard output":
            sink, writing = JsonLogSink.to_stdout(bus.boot), sys.stdout
        else:
            writing = os.pipe()[1]
            buffering = -1 if {destination!r} == "a buffered pipe" else 0
            sink = JsonLogSink("pipe", bus.boot, open(writing, "wb", buffering=buffering))
        runner = SinkRunner(bus, sink)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(runner.run)
            for _ in range(1_000):
                bus.publish(Event(time=0, body=b"x" * 1_000))
            while select.select([], [writing], [], 0)[1]:
                await anyio.lowlevel.checkpoint()
            tasks.cancel_scope.cancel()

    anyio.run(main)
    """
    with process(code) as child:
        assert child.wait(10) == 0
