"""The JSON log: events to lines in a real file, in batches of 1 000.

The limit is msgspec encoding ready-made records of the same fields in one call, one write to a batch. structlog gets
the same fields as keyword arguments, and renders and writes each line, as in an application; its logger is cached.
"Tuned" is as its documentation advises for speed: a faster encoder, bytes, a filtering logger. Every contender
appends to a new temporary file.
"""

import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import structlog
from structlog.typing import EventDict, Processor

from reqscope.bus import Event, JsonLogSink
from reqscope.bus.schema import Entry, view

from .contenders import Bench, Measure, Numbers, Target
from .workloads import BATCH, CAPACITY, chunks, ready_made

_LINES, _CPU = "lines/s", "CPU µs per line"
_BOOT = "0badcafe"

Write = Callable[[list[Event]], object]


def _limit(path: Path, pool: list[Event]) -> Write:
    entries = {event.seq: view(event, _BOOT, Entry) for event in pool}
    encoder = msgspec.json.Encoder()
    file = path.open("ab", buffering=0)
    return lambda batch: file.write(encoder.encode_lines([entries[event.seq] for event in batch]))


def _sink(path: Path, pool: list[Event]) -> Write:
    return JsonLogSink.to_file(path, _BOOT).write


def _sink_with_processor(path: Path, pool: list[Event]) -> Write:
    def identity(logger: Any, method: str, event_dict: EventDict) -> EventDict:
        return event_dict

    return JsonLogSink.to_file(path, _BOOT, [identity]).write


def _structlog(path: Path, pool: list[Event]) -> Write:
    chain: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso"),
        structlog.processors.JSONRenderer(),
    ]
    structlog.configure(
        chain, logger_factory=structlog.WriteLoggerFactory(path.open("a")), cache_logger_on_first_use=True
    )
    return _logging(pool)


def _structlog_tuned(path: Path, pool: list[Event]) -> Write:
    chain: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso"),
        structlog.processors.JSONRenderer(serializer=_serialize),
    ]
    structlog.configure(
        chain,
        wrapper_class=structlog.make_filtering_bound_logger(20),
        logger_factory=structlog.BytesLoggerFactory(path.open("ab")),
        cache_logger_on_first_use=True,
    )
    return _logging(pool)


def _serialize(value: object, **_: object) -> bytes:
    return msgspec.json.encode(value)


def _logging(pool: list[Event]) -> Write:
    fields: dict[int, dict[str, Any]] = {}
    for event in pool:
        entry = msgspec.to_builtins(view(event, _BOOT, Entry))
        fields[event.seq] = {name: entry[name] for name in entry if name not in ("timestamp", "level", "event")}
    info = structlog.get_logger().bind().info

    def write(batch: list[Event]) -> None:
        for event in batch:
            info(event.kind, **fields[event.seq])

    return write


def _lines(make: Callable[[Path, list[Event]], Write], amount: int) -> Measure:
    def measure(scale: float) -> Numbers:
        pool = ready_made(CAPACITY)
        for seq, event in enumerate(pool, 1):
            event.seq = seq
        with TemporaryDirectory() as directory:
            path = Path(directory) / "lines.jsonl"
            write = make(path, pool)
            write(pool[:BATCH])
            lines = int(amount * scale) // BATCH * BATCH
            begun, cpu = time.perf_counter(), time.process_time()
            for batch in chunks(pool, lines, BATCH):
                write(batch)
            seconds, cpu = time.perf_counter() - begun, time.process_time() - cpu
            written = path.read_bytes().count(b"\n")
            if written != lines + BATCH:
                raise RuntimeError(f"{written} lines of {lines + BATCH} were written")
        return {_LINES: lines / seconds, _CPU: cpu / lines * 1e6}

    return measure


BENCH = Bench(
    title="JSON lines to a file",
    contenders={
        "msgspec, ready-made records (the limit)": _lines(_limit, 200_000),
        "JsonLogSink": _lines(_sink, 200_000),
        "JsonLogSink, one processor": _lines(_sink_with_processor, 60_000),
        "structlog, default JSON": _lines(_structlog, 60_000),
        "structlog, tuned": _lines(_structlog_tuned, 60_000),
    },
    metrics=dict.fromkeys((_LINES, _CPU), "msgspec, ready-made records (the limit)"),
    targets=[
        Target(_CPU, "JsonLogSink", at_most=0.1, against="structlog, default JSON"),
        Target(_CPU, "JsonLogSink, one processor", at_most=0.5, against="structlog, default JSON"),
        Target(_CPU, "JsonLogSink", at_most=1.5, against="msgspec, ready-made records (the limit)"),
    ],
)
