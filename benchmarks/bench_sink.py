"""The JSON log: events to lines in a real file, in batches of 1 000.

Every contender writes the same nineteen fields with the same values, but for the time and the name of the level, which
are its own: as JSON of 527 bytes with Reqscope, 564 with structlog, whose encoder puts spaces in, and 1 048 with
loguru, which has them inside a record of its own. The requests are those of twenty browsers, each of whose headers the
gate makes one object of; Reqscope has a row of requests, too, of which no two share anything. All but Reqscope get the
fields ready-made. Reqscope begins with the event, so its price has the making of them in it: times and ids as text,
headers looked for and decoded, durations rounded. That is more than half of a line.

The limit is msgspec encoding ready-made records in one call, one write to a batch, byte for byte what the sink writes.
structlog gets the fields as keyword arguments and renders and writes each line, as in an application: through its own
default chain, with JSON instead of colours, and a logger that is cached, which by default it is not. "Tuned" is as its
documentation advises for speed: few processors, a faster encoder, bytes, a filtering logger that is bound once. The
standard library and loguru get the fields as `extra`, and serialize those; a queue moves that to a thread, whose time
counts too.

"Masking included" begins with events as capture seals them: once with headers of which no two requests share one, the
worst there is, and once with those that browsers send again and again.

Every contender appends to a file of its own. It is emptied outside the clock every 8 MB or so, like a log that rotates:
a file that only grows would have the kernel find more and more memory for it, at a price that varies by more than what
is measured here.
"""

import json
import logging
import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from itertools import islice
from logging.handlers import QueueHandler, QueueListener
from pathlib import Path
from queue import SimpleQueue
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import structlog
from structlog.typing import EventDict, Processor

from reqscope.bus import Event, JsonLogSink
from reqscope.bus.entries import entries
from reqscope.bus.event import Headers
from reqscope.service import Redaction
from reqscope.service.faults import Faults
from reqscope.service.heads import pack
from reqscope.service.sealed import Gate, SealedExchange

from .contenders import Bench, Measure, Numbers, Target
from .workloads import BATCH, CAPACITY, chunks, headers, ready_made

_LINES, _CPU = "lines/s", "CPU µs per line"
_BOOT = "0badcafe"
_BATCHES = 16
"""Until the file is emptied."""

Write = Callable[[list[Event]], object]
Make = Callable[[Path, list[Event], ExitStack], Write]
"""Returns what writes a batch. What has to happen before all lines are in the file is left to the stack."""


def _limit(path: Path, pool: list[Event], _: ExitStack) -> Write:
    ready = {event.seq: entry for event, entry in zip(pool, entries(pool, _BOOT), strict=True)}
    encoder = msgspec.json.Encoder()
    file = path.open("ab", buffering=0)
    return lambda batch: file.write(encoder.encode_lines([ready[event.seq] for event in batch]))


def _sink(path: Path, pool: list[Event], _: ExitStack) -> Write:
    return JsonLogSink.to_file(path, _BOOT).write


def _sink_with_processor(path: Path, pool: list[Event], _: ExitStack) -> Write:
    def identity(logger: Any, method: str, event_dict: EventDict) -> EventDict:
        return event_dict

    return JsonLogSink.to_file(path, _BOOT, [identity]).write


def _structlog(path: Path, pool: list[Event], _: ExitStack) -> Write:
    chain: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.StackInfoRenderer(),
        structlog.dev.set_exc_info,
        structlog.processors.TimeStamper(fmt="iso"),
        structlog.processors.dict_tracebacks,
        structlog.processors.JSONRenderer(),
    ]
    structlog.configure(
        chain, logger_factory=structlog.WriteLoggerFactory(path.open("a")), cache_logger_on_first_use=True
    )
    return _logging(pool, structlog.get_logger())


def _structlog_tuned(path: Path, pool: list[Event], _: ExitStack) -> Write:
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
    return _logging(pool, structlog.get_logger().bind())


def _serialize(value: object, **_: object) -> bytes:
    return msgspec.json.encode(value)


def _structlog_through_stdlib(path: Path, pool: list[Event], _: ExitStack) -> Write:
    handler = logging.FileHandler(path)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, structlog.processors.JSONRenderer()]
        )
    )
    logging.basicConfig(handlers=[handler], level=logging.INFO)
    structlog.configure(
        [
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    return _logging(pool, structlog.get_logger())


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, Any] = vars(record)["fields"]
        return json.dumps(
            {"timestamp": self.formatTime(record), "level": record.levelname, "event": record.msg, **fields}
        )


def _stdlib(path: Path, pool: list[Event], _: ExitStack) -> Write:
    handler = logging.FileHandler(path)
    handler.setFormatter(_JsonFormatter())
    return _stdlib_logging(pool, handler)


def _stdlib_queue(path: Path, pool: list[Event], stack: ExitStack) -> Write:
    handler = logging.FileHandler(path)
    handler.setFormatter(_JsonFormatter())
    queue: SimpleQueue[Any] = SimpleQueue()
    listener = QueueListener(queue, handler)
    listener.start()
    stack.callback(listener.stop)
    return _stdlib_logging(pool, QueueHandler(queue))


def _stdlib_logging(pool: list[Event], handler: logging.Handler) -> Write:
    fields = _fields(pool)
    logger = logging.getLogger("benchmark")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.addHandler(handler)

    def write(batch: list[Event]) -> None:
        for event in batch:
            logger.info(event.kind, extra={"fields": fields[event.seq]})

    return write


def _loguru(path: Path, pool: list[Event], stack: ExitStack, *, queue: bool = False) -> Write:
    from loguru import logger

    fields = _fields(pool)
    logger.remove()
    logger.add(path, serialize=True, enqueue=queue, format="{message}")
    stack.callback(logger.complete)

    def write(batch: list[Event]) -> None:
        for event in batch:
            logger.bind(**fields[event.seq]).info(event.kind)

    return write


def _loguru_queue(path: Path, pool: list[Event], stack: ExitStack) -> Write:
    return _loguru(path, pool, stack, queue=True)


def _sink_of_sealed(path: Path, pool: list[Event], _: ExitStack, *, headers: Callable[[int], Headers]) -> Write:
    gate = Gate(Redaction(), Faults())
    sink = JsonLogSink.to_file(path, _BOOT)
    heads = {event.seq: (pack(headers(event.seq)), pack(event.response_headers)) for event in pool}

    def write(batch: list[Event]) -> None:
        for event in batch:  # as they come from capture; this is a tenth of what opening them takes
            event.sealed = SealedExchange(gate, event.path, event.query, *heads[event.seq])
            event.open()
        sink.write(batch)

    return write


def _browser(number: int) -> Headers:
    """Return what one of twenty browsers sends with a request of its page's."""
    return (
        (b"host", b"shop.example.com"),
        (b"connection", b"keep-alive"),
        (
            b"user-agent",
            b"Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/%d.0.0.0 Safari/537.36" % (number % 20 + 110),
        ),
        (b"accept", b"application/json, text/plain, */*"),
        (b"content-length", b"%d" % (number % 5_000)),
        (b"referer", b"https://shop.example.com/items"),
        (b"accept-encoding", b"gzip, deflate, br, zstd"),
        (b"accept-language", b"en-GB,en;q=0.9,de;q=0.8"),
    )


_HEADS = [_browser(number)[:4] + _browser(number)[5:] for number in range(20)]
"""Without a length: what has nothing to mask is one object for all events that have it, as the gate leaves it."""


def _fields(pool: list[Event]) -> dict[int, dict[str, Any]]:
    fields: dict[int, dict[str, Any]] = {}
    for event, made in zip(pool, entries(pool, _BOOT), strict=True):
        entry = msgspec.to_builtins(made)
        fields[event.seq] = {name: entry[name] for name in entry if name not in ("timestamp", "level", "event")}
    return fields


def _logging(pool: list[Event], logger: Any) -> Write:
    fields = _fields(pool)

    def write(batch: list[Event]) -> None:
        for event in batch:
            logger.info(event.kind, **fields[event.seq])

    return write


def _lines(make: Make, amount: int, *, queued: bool = False, alike: bool = True) -> Measure:
    """Measure what writes to a file that is emptied now and then, unless lines are still `queued` after a write.

    :param alike: the requests are those of twenty browsers
    """

    def measure(scale: float) -> Numbers:
        pool = ready_made(CAPACITY)
        for seq, event in enumerate(pool, 1):
            event.seq = seq
            if alike:
                event.request_headers = _HEADS[seq % len(_HEADS)]
        lines = int(amount * scale) // BATCH * BATCH
        batches = chunks(pool, lines, BATCH)
        with TemporaryDirectory() as directory:
            path = Path(directory) / "lines.jsonl"
            seconds = cpu = 0.0
            with ExitStack() as stack:
                write = make(path, pool, stack)
                write(pool[:BATCH])
                written = 0
                while some := list(islice(batches, lines if queued else _BATCHES)):
                    begun, cpu_begun = time.perf_counter(), time.process_time()
                    for batch in some:
                        write(batch)
                    if queued:
                        stack.close()
                    seconds, cpu = seconds + time.perf_counter() - begun, cpu + time.process_time() - cpu_begun
                    written += _emptied(path)
            if written != lines + BATCH:
                raise RuntimeError(f"{written} lines of {lines + BATCH} were written")
        return {_LINES: lines / seconds, _CPU: cpu / lines * 1e6}

    return measure


def _emptied(path: Path) -> int:
    lines = path.read_bytes().count(b"\n")
    os.truncate(path, 0)
    return lines


BENCH = Bench(
    title="JSON lines to a file",
    contenders={
        "msgspec, ready-made records (the limit)": _lines(_limit, 200_000),
        "JsonLogSink": _lines(_sink, 200_000),
        "JsonLogSink, no two requests alike": _lines(_sink, 200_000, alike=False),
        "JsonLogSink, one processor": _lines(_sink_with_processor, 60_000),
        "structlog, default JSON": _lines(_structlog, 60_000),
        "structlog, tuned": _lines(_structlog_tuned, 60_000),
        "structlog through logging": _lines(_structlog_through_stdlib, 30_000),
        "logging, JSON": _lines(_stdlib, 30_000),
        "logging, JSON behind a QueueHandler": _lines(_stdlib_queue, 30_000, queued=True),
        "loguru, serialized": _lines(_loguru, 20_000),
        "loguru, serialized and enqueued": _lines(_loguru_queue, 10_000, queued=True),
        "JsonLogSink, masking included": _lines(partial(_sink_of_sealed, headers=headers), 60_000),
        "JsonLogSink, masking included, headers of browsers": _lines(
            partial(_sink_of_sealed, headers=_browser), 60_000
        ),
    },
    metrics=dict.fromkeys((_LINES, _CPU), "msgspec, ready-made records (the limit)"),
    targets=[
        Target(_LINES, "JsonLogSink", at_least=10, against="structlog, default JSON"),
        Target(_CPU, "JsonLogSink", at_most=0.1, against="structlog, default JSON"),
        Target(_CPU, "JsonLogSink, one processor", at_most=0.5, against="structlog, default JSON"),
        Target(_CPU, "JsonLogSink", at_most=1.5, against="msgspec, ready-made records (the limit)"),
    ],
)
