import json
from pathlib import Path

import anyio
import psutil
import pytest
from starlette.responses import PlainTextResponse
from starlette.types import Message

from reqscope.bus import Body, Event, Failure
from reqscope.service import Settings
from reqscope.service.pipeline import Pipeline

from .conftest import MASK, nothing, scope_of, until

pytestmark = pytest.mark.anyio


def publish(pipeline: Pipeline, count: int) -> None:
    for _ in range(count):
        pipeline.bus.publish(Event(time=0, status=200))


def names(pipeline: Pipeline) -> list[str]:
    return [sink.statistics().name for sink in pipeline.sinks]


async def test_the_bus_is_bounded_and_masks_as_the_settings_say() -> None:
    pipeline = Pipeline(Settings(log="none", capacity=7, max_bytes=9_999, max_age=5, redact=("x-tenant",)))
    ring = pipeline.bus.statistics().ring

    assert (ring.capacity, ring.max_bytes, ring.max_age) == (7, 9_999, 5)
    assert pipeline.redaction.query(b"x_tenant=1&token=2") == b"x_tenant=" + MASK(b"1") + b"&token=2"


@pytest.mark.parametrize(
    ("log", "sinks"),
    [("none", []), ("stdout", ["stdout"]), ("file", ["file:{path}"]), ("both", ["stdout", "file:{path}"])],
)
async def test_there_is_a_sink_for_each_place_that_lines_go_to(tmp_path: Path, log: str, sinks: list[str]) -> None:
    path = tmp_path / "events.jsonl"
    pipeline = Pipeline(Settings.model_validate({"log": log, "log_file": path}))
    async with pipeline.running():
        assert names(pipeline) == [name.format(path=path) for name in sinks]
    assert path.exists() == (log in ("file", "both"))


@pytest.mark.parametrize("replaced", [False, True], ids=["as it is", "replaced in Python"])
async def test_lines_go_to_the_standard_output_of_the_process_whole(
    capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch, replaced: bool
) -> None:
    if replaced:
        monkeypatch.setattr("sys.stdout", None)
    pipeline = Pipeline(Settings(log="stdout"))
    async with pipeline.running():
        publish(pipeline, 3)

    assert [json.loads(line)["seq"] for line in capfdbinary.readouterr().out.splitlines()] == [1, 2, 3]


async def test_a_log_file_that_cannot_be_opened_is_an_error_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        Pipeline(Settings(log="file", log_file=tmp_path))
    with pytest.raises(FileNotFoundError):
        Pipeline(Settings(log="file", log_file=tmp_path / "missing" / "x"))


async def test_at_the_end_everything_is_counted_and_written_before_the_block_is_left(tmp_path: Path) -> None:
    log = tmp_path / "events.jsonl"
    pipeline = Pipeline(Settings(log="file", log_file=log))
    async with pipeline.running():
        publish(pipeline, 2_500)

    assert [json.loads(line)["seq"] for line in log.read_text().splitlines()] == [*range(1, 2_501)]
    assert pipeline.stats.snapshot().events == 2_500
    assert pipeline.bus.closed
    assert pipeline.bus.statistics().readers == ()


async def test_the_log_file_is_appended_to_and_nobody_elses_to_read(tmp_path: Path) -> None:
    log = tmp_path / "events.jsonl"
    for _ in range(2):
        pipeline = Pipeline(Settings(log="file", log_file=log))
        async with pipeline.running():
            publish(pipeline, 2)

    assert [json.loads(line)["seq"] for line in log.read_text().splitlines()] == [1, 2, 1, 2]
    assert log.stat().st_mode & 0o777 == 0o600


async def test_other_readers_run_beside_and_end_with_the_bus() -> None:
    pipeline = Pipeline(Settings(log="none"))
    seen: list[int] = []

    async def read() -> None:
        async with pipeline.bus.subscribe(after=0) as subscription:
            async for batch in subscription:
                seen.extend(event.seq for event in batch.events)
        seen.append(-1)

    async with pipeline.running(read, read):
        publish(pipeline, 3)
        await until(lambda: seen == [1, 2, 3] * 2, "both readers to read")

    assert seen == [1, 2, 3, 1, 2, 3, -1, -1]


@pytest.mark.guarantees("F3")
async def test_a_reader_that_does_not_end_is_ended() -> None:
    pipeline = Pipeline(Settings(log="none"))
    cancelled: list[bool] = []

    async def never_ends() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            cancelled.append(True)

    with anyio.fail_after(10):
        async with pipeline.running(never_ends):
            publish(pipeline, 1)

    assert cancelled == [True]


@pytest.mark.guarantees("F3")
async def test_a_reader_that_fails_ends_alone_and_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    pipeline = Pipeline(Settings(log="none"))

    async def fails() -> None:
        raise ZeroDivisionError

    async with pipeline.running(fails):
        await until(lambda: bool(caplog.records), "the failure to be logged")
        publish(pipeline, 3)

    assert pipeline.stats.snapshot().events == 3
    assert "failed and is switched off" in caplog.records[0].getMessage()
    assert caplog.records[0].exc_info is not None


async def test_an_error_inside_the_block_comes_out_and_closes_the_bus() -> None:
    pipeline = Pipeline(Settings(log="none"))

    with pytest.RaisesGroup(ZeroDivisionError):
        async with pipeline.running():
            publish(pipeline, 1)
            raise ZeroDivisionError

    assert pipeline.bus.closed


async def test_an_error_inside_the_block_leaves_no_file_open(tmp_path: Path) -> None:
    log = tmp_path / "events.jsonl"
    pipeline = Pipeline(Settings(log="file", log_file=log))
    with pytest.RaisesGroup(ZeroDivisionError):
        async with pipeline.running():
            publish(pipeline, 1)
            raise ZeroDivisionError

    await until(lambda: not is_open(log), "the log file to be closed")


def is_open(path: Path) -> bool:
    return any(each.path == str(path) for each in psutil.Process().open_files())


@pytest.mark.guarantees("F3", "F11")
async def test_one_sink_that_fails_does_not_keep_the_other_from_writing(
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    pipeline = Pipeline(Settings(log="both", log_file=Path("/dev/full")))
    async with pipeline.running():
        publish(pipeline, 3)

    written, lost = (sink.statistics() for sink in pipeline.sinks)
    assert (written.written, written.lost, lost.written, lost.lost) == (3, 0, 0, 3)
    assert len(capfdbinary.readouterr().out.splitlines()) == 3


@pytest.mark.guarantees("F39")
async def test_a_warning_about_a_sink_is_not_among_the_lines_of_the_log(
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    pipeline = Pipeline(Settings(log="both", log_file=Path("/dev/full")))
    async with pipeline.running():
        publish(pipeline, 3)

    assert [json.loads(line)["seq"] for line in capfdbinary.readouterr().out.splitlines()] == [1, 2, 3]


async def test_a_pipeline_may_run_again_and_loses_nothing_by_it(tmp_path: Path) -> None:
    log = tmp_path / "events.jsonl"
    pipeline = Pipeline(Settings(log="file", log_file=log))
    for _ in range(3):
        async with pipeline.running():
            publish(pipeline, 2)
        publish(pipeline, 1)  # to nobody

    assert [json.loads(line)["seq"] for line in log.read_text().splitlines()] == [1, 2, 3, 4, 5, 6]
    assert pipeline.stats.snapshot().events == 6
    assert pipeline.bus.statistics().refused == 3


async def test_while_it_runs_failures_are_grouped_each_time_and_the_lag_of_the_loop_is_sampled() -> None:
    pipeline = Pipeline(Settings(log="none"))
    for run in (1, 2):
        async with pipeline.running():
            failure = Failure(type="ValueError", message="m", traceback="t", fingerprint="f")
            pipeline.bus.failures.note(Event(time=0, failure=failure))
            await until(lambda: pipeline.bus.failures.statistics().grouped == run, "the failure to be grouped")  # noqa: B023
            await until(lambda: bool(pipeline.lag.snapshot().seconds), "a sample")

    assert [group.count for group in pipeline.bus.failures.latest()] == [2]


async def test_capture_is_as_the_settings_say() -> None:
    settings = Settings(log="none", bodies="errors", body_cap=3, echo_request_id=True, redact=("x-tenant",))
    pipeline = Pipeline(settings)
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    headers = [(b"x-tenant", b"7"), (b"x-request-id", b"abc-1")]
    await pipeline.capture(PlainTextResponse("missing", 404))(scope_of(headers=headers), nothing, send)
    (event,) = pipeline.bus.ring.since(0).events

    assert event.response_body == Body(data=b"mis", captured=3, complete=False)
    assert dict(event.request_headers)[b"x-tenant"] == MASK(b"7")
    assert (b"x-request-id", b"abc-1") in sent[0]["headers"]


@pytest.mark.parametrize(("shown", "readers"), [(True, ["stats"]), (False, [])])
async def test_where_nobody_can_look_at_numbers_nobody_counts(shown: bool, readers: list[str]) -> None:
    pipeline = Pipeline(Settings(log="none"), shown=shown)
    async with pipeline.running():
        await anyio.wait_all_tasks_blocked()
        assert [reader.name for reader in pipeline.bus.statistics().readers] == readers
