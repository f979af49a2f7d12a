"""What disks do: whatever it is, every event is accounted for, the file is whole, and writing goes on by itself."""

import json
import os
import pty
import random
import select
import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from anyio.lowlevel import checkpoint

from reqscope.bus import Event, EventBus, JsonLogSink, LogFile, Retention, Rotation, SinkRunner, rotated_files
from tests.conftest import PROVE

pytestmark = pytest.mark.anyio

KILLS = 200 if PROVE else 6


@pytest.fixture
def anyio_backend() -> str:
    """A disk knows nothing of event loops: one is enough."""
    return "asyncio"


def mounted(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True, capture_output=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 256 KiB."""
    if os.geteuid() or not shutil.which("mount"):
        pytest.skip("mounting a small disk needs root")
    path = tmp_path / "disk"
    path.mkdir()
    try:
        mounted("-t", "tmpfs", "-o", "size=256k", "tmpfs", str(path))
    except subprocess.CalledProcessError as error:
        pytest.skip(f"this machine lets nobody mount: {error.stderr.decode()}")
    try:
        yield path
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)


def publish(bus: EventBus, count: int) -> None:
    for _ in range(count):
        bus.publish(Event(time=0, kind="record", body=b'{"filler":"' + b"x" * 500 + b'"}'))


def seqs(*files: Path) -> list[int]:
    """The numbers of the lines, each of which must be whole."""
    data = b"".join(file.read_bytes() for file in files)
    assert data.endswith(b"\n") or not data
    return [json.loads(line)["seq"] for line in data.splitlines()]


async def until(condition: Callable[[], bool]) -> None:
    with anyio.fail_after(10):
        while not condition():
            await checkpoint()


@asynccontextmanager
async def feeding(bus: EventBus, file: LogFile) -> AsyncGenerator[SinkRunner]:
    runner = SinkRunner(bus, JsonLogSink.to_file(file, bus.boot), batch=50)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(runner.run)
        yield runner
        bus.close()


async def settled(runner: SinkRunner, bus: EventBus) -> None:
    """Wait until everything that was published was written or lost."""
    await until(lambda: runner.statistics().written + runner.statistics().lost == bus.statistics().ring.published)


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]


@pytest.mark.guarantees("F9")
async def test_a_disk_that_fills_up_costs_what_it_did_not_take_to_the_line(
    disk: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log, filler = disk / "requests.jsonl", disk / "filler"
    filler.write_bytes(b"x" * 100_000)
    bus = EventBus()
    async with feeding(bus, LogFile(log)) as runner:
        for _ in range(10):
            publish(bus, 100)
            await settled(runner, bus)
        full = runner.statistics()
        assert full.failing
        assert full.lost > 500
        assert seqs(log) == [*range(1, full.written + 1)]

        filler.unlink()
        publish(bus, 50)
        await settled(runner, bus)
        assert runner.statistics().written == full.written + 50
        assert not runner.statistics().failing

    assert seqs(log) == [*range(1, full.written + 1), *range(1_001, 1_051)]
    (warning,) = warnings(caplog)
    assert "No space left on device" in warning


@pytest.mark.guarantees("F9")
async def test_retention_by_free_disk_keeps_a_small_disk_from_filling_up(disk: Path) -> None:
    log = disk / "requests.jsonl"
    bus = EventBus()
    file = LogFile(log, Rotation(size=40_000), Retention(min_free=120_000))
    async with feeding(bus, file) as runner:
        for _ in range(6):
            publish(bus, 50)
            await settled(runner, bus)
            await until(lambda: os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize >= 120_000)

    assert runner.statistics().lost == 0
    left = seqs(*rotated_files(log), log)
    assert left == [*range(301 - len(left), 301)]
    assert len(left) < 250


@pytest.mark.guarantees("F10")
async def test_a_disk_that_becomes_read_only_and_writable_again(disk: Path, caplog: pytest.LogCaptureFixture) -> None:
    log, filler = disk / "requests.jsonl", disk / "filler"
    bus = EventBus()
    async with feeding(bus, LogFile(log)) as runner:
        publish(bus, 50)
        await settled(runner, bus)
        # A disk with files open for writing cannot be made read-only. Filling it up has them closed.
        filler.write_bytes(b"x" * (os.statvfs(disk).f_bavail * 4096))
        publish(bus, 50)
        await settled(runner, bus)
        mounted("-o", "remount,ro", str(disk))
        before = runner.statistics()
        publish(bus, 200)
        await settled(runner, bus)
        assert (runner.statistics().written, runner.statistics().lost) == (before.written, before.lost + 200)

        mounted("-o", "remount,rw", str(disk))
        filler.unlink()
        publish(bus, 50)
        await settled(runner, bus)

    assert runner.statistics().written == before.written + 50
    assert seqs(log) == [*range(1, before.written + 1), *range(301, 351)]
    assert len(warnings(caplog)) == 1


@pytest.mark.guarantees("F10")
async def test_a_file_that_may_not_be_changed_and_then_may_again(
    disk: Path, caplog: pytest.LogCaptureFixture, request: pytest.FixtureRequest
) -> None:
    log = disk / "requests.jsonl"
    bus = EventBus()
    async with feeding(bus, LogFile(log)) as runner:
        publish(bus, 10)
        await settled(runner, bus)
        if (await anyio.run_process(["chattr", "+i", log], check=False)).returncode:
            pytest.skip("this file system has no files that may not be changed")
        request.addfinalizer(lambda: subprocess.run(["chattr", "-i", log], check=True))
        runner.reopen()
        publish(bus, 20)
        await settled(runner, bus)
        assert (runner.statistics().written, runner.statistics().lost) == (10, 20)

        await anyio.run_process(["chattr", "-i", log])
        publish(bus, 10)
        await settled(runner, bus)
        assert not runner.statistics().failing

    assert seqs(log) == [*range(1, 11), *range(31, 41)]
    assert any("Operation not permitted" in warning for warning in warnings(caplog))


@pytest.mark.guarantees("F11")
async def test_a_device_that_answers_with_errors_costs_its_own_sink_only(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A terminal whose other end has gone answers each write with EIO."""
    log = tmp_path / "requests.jsonl"
    ours, theirs = pty.openpty()
    bus = EventBus()
    gone = SinkRunner(bus, JsonLogSink("terminal", bus.boot, os.fdopen(theirs, "wb", buffering=0)), batch=50)
    async with feeding(bus, LogFile(log)) as runner, anyio.create_task_group() as tasks:
        tasks.start_soon(gone.run)
        os.close(ours)
        for _ in range(3):
            publish(bus, 100)
            await settled(runner, bus)
            await settled(gone, bus)
        assert (gone.statistics().lost, gone.statistics().failing) == (300, True)
        assert (runner.statistics().lost, runner.statistics().failing) == (0, False)
        bus.close()

    assert seqs(log) == [*range(1, 301)]
    (warning,) = warnings(caplog)
    assert "log sink terminal" in warning
    assert "Input/output error" in warning


@pytest.mark.guarantees("F13")
async def test_a_disk_that_is_slow_holds_up_neither_the_event_loop_nor_a_publisher(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, turns, slow = os.write, 0, list[int]()

    def write_slowly(file: int, data: bytes) -> int:
        begun = turns
        while turns < begun + 1_000:  # it never would, if it were the loop that waits here
            select.select([], [], [], 0.001)
        slow.append(turns)
        return real(file, data)

    bus = EventBus()
    log = tmp_path / "requests.jsonl"
    async with feeding(bus, LogFile(log)) as runner:
        monkeypatch.setattr("reqscope.bus.logfile.os.write", write_slowly)
        with anyio.fail_after(20):
            for _ in range(5):
                publish(bus, 10)
                while runner.statistics().written < bus.statistics().ring.published:
                    turns += 1
                    await checkpoint()
        monkeypatch.undo()

    assert len(slow) == 5
    assert seqs(log) == [*range(1, 51)]


WRITER = """
import sys
from itertools import count
from pathlib import Path
from reqscope.bus import Event, JsonLogSink, LogFile, Rotation
path, start, fsync = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
sink = JsonLogSink.to_file(LogFile(path, Rotation(size=300_000), fsync=fsync), "cafe")
for first in count(start, 50):
    sink.write([Event(time=0, seq=seq, kind="record", body=b"x" * 1_000) for seq in range(first, first + 50)])
    print(first + 49, flush=True)
"""


@pytest.mark.guarantees("F22")
@pytest.mark.timeout(900)
@pytest.mark.parametrize("fsync", ["off", "always"])
def test_a_writer_that_is_killed_loses_no_line_that_counted_as_written(tmp_path: Path, fsync: str) -> None:
    chance, log, start = random.Random(fsync), tmp_path / "requests.jsonl", 1
    for kill in range(KILLS // 2):
        if kill % 10 == 0:  # or else reading it all again takes ever longer
            log, start = tmp_path / f"requests-{kill}.jsonl", 1
        command = [sys.executable, "-c", textwrap.dedent(WRITER), str(log), str(start), fsync]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
            assert child.stdout is not None
            acknowledged = [int(child.stdout.readline()) for _ in range(chance.randrange(1, 40))]
            select.select([], [], [], chance.random() / 300)
            child.send_signal(signal.SIGKILL)
            acknowledged += [int(line) for line in child.stdout.read().splitlines()]
        LogFile(log).close()  # as a restart does
        written = seqs(*rotated_files(log), log)
        assert written == [*range(1, written[-1] + 1)]
        assert written[-1] >= acknowledged[-1]
        start = written[-1] + 1
