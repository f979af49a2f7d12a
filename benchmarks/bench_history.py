"""The history: p95 by route of the last hour, over a million events of four hours.

The log sink writes the events to sixteen files, of which fifteen were rotated. Each contender reads the same files from
the disk's cache. Opening DuckDB and looking for the files is part of the question, as it is for a user. The loop in
Python decodes only the three fields that it needs, and looks at the last hour's files only.
"""

import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from typing import Final

import msgspec

from reqscope.bus import Event, JsonLogSink

from .contenders import Bench, Measure, Numbers, Target, Unavailable
from .workloads import chunks, ready_made

_EVENTS: Final = 1_000_000
_FILES: Final = 16
_SPAN: Final = 4 * 3_600 * 10**9
_POOL: Final = 10_000
_ASKED: Final = 5
_TIME, _CPU, _SIZE = "question, ms", "question, CPU ms", "bytes per event on disk"
_CONVERTED: Final = "converting, events/s"

_SQL: Final = """SELECT "http.route", count(*), quantile_cont(duration, 0.95) FROM requests
WHERE timestamp > now() - INTERVAL 1 HOUR GROUP BY ALL"""

Ask = Callable[[Path], int]
"""Returns how many events the answer is of."""


class _Line(msgspec.Struct, gc=False):
    timestamp: str
    route: str | None = msgspec.field(default=None, name="http.route")
    duration: float | None = None


def _sql(log: Path) -> int:
    from reqscope.service.history_sql import Question

    return sum(row[1] for row in Question(log, _SQL).run(1_000).rows)


def _loop(log: Path) -> int:
    decode = msgspec.json.Decoder(_Line).decode
    since = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(time.time() - 3_600))
    durations: dict[str | None, list[float]] = defaultdict(list)
    for path in [*sorted(log.parent.glob("requests.*.jsonl"))[-(_FILES // 4) :], log]:
        with path.open("rb") as file:
            for line in map(decode, file):
                if line.timestamp > since and line.duration is not None:
                    durations[line.route].append(line.duration)
    for values in durations.values():
        quantiles(values, n=20)
    return sum(map(len, durations.values()))


def _write(log: Path, count: int) -> None:
    """Write `count` events that end now. The last file is the live one."""
    pool = ready_made(_POOL)
    began, step = time.time_ns() - _SPAN, _SPAN // count
    written = 0
    for number in range(1, _FILES + 1):
        path = log if number == _FILES else log.with_name(f"requests.{number:02}.jsonl")
        sink = JsonLogSink.to_file(path, "0badcafe")
        for batch in chunks(pool, count * number // _FILES - written, 1_000):
            for event in batch:
                _renew(event, began, step, written := written + 1)
            sink.write(batch)
        sink.close()


def _renew(event: Event, began: int, step: int, number: int) -> None:
    event.seq, event.time = number, began + step * number
    event.total = 0.001 + number * 7919 % 10_007 / 100_000


def _question(ask: Ask, *, convert: bool) -> Measure:
    def measure(scale: float) -> Numbers:
        try:
            from reqscope.service.history_sql import convert_rotated, require_duckdb

            require_duckdb()
        except ImportError as error:
            raise Unavailable(str(error)) from None
        count = int(_EVENTS * scale)
        numbers: Numbers = {}
        with TemporaryDirectory() as directory:
            log = Path(directory) / "requests.jsonl"
            _write(log, count)
            if convert:
                begun = time.perf_counter()
                done = convert_rotated(log)
                numbers[_CONVERTED] = done.events / (time.perf_counter() - begun)
                for path in log.parent.glob("requests.*.jsonl"):
                    path.unlink()
            stored = sum(path.stat().st_size for path in log.parent.iterdir() if path != log)
            numbers[_SIZE] = stored / (count * (_FILES - 1) / _FILES)
            times, cpus = zip(*[_timed(ask, log, count) for _ in range(_ASKED)], strict=True)
        return {_TIME: median(times), _CPU: median(cpus), **numbers}

    return measure


def _timed(ask: Ask, log: Path, count: int) -> tuple[float, float]:
    begun, cpu = time.perf_counter(), time.process_time()
    events = ask(log)
    seconds, cpu = time.perf_counter() - begun, time.process_time() - cpu
    if not 0.2 * count < events < 0.26 * count:
        raise RuntimeError(f"the last hour had {events} events of {count}")
    return seconds * 1_000, cpu * 1_000


_PARQUET: Final = "reqscope, Parquet and the live file"

BENCH = Bench(
    title="p95 by route of the last hour, of a million events in four hours",
    contenders={
        _PARQUET: _question(_sql, convert=True),
        "reqscope, lines that are not converted yet": _question(_sql, convert=False),
        "a loop over the lines in Python": _question(_loop, convert=False),
    },
    metrics={
        _TIME: "a loop over the lines in Python",
        _CPU: "a loop over the lines in Python",
        _SIZE: None,
        _CONVERTED: None,
    },
    targets=[Target(_TIME, _PARQUET, at_most=200)],
    rounds=3,
)
