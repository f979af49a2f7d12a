"""Ingest over HTTP, through a real uvicorn: single records to `POST /log`, batches to `POST /events`.

All contenders get the same bytes from the same load generator, parse HTTP with the same server, keep as many
records and answer JSON. Raw ASGI is the bare part: nothing that is served by uvicorn from Python can do less.
"""

import os
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from . import ingest_apps as apps
from .contenders import Bench, Measure, Numbers, Target
from .load import Load, saturate
from .server import CORE_SHARE as _SHARE
from .server import Factory, pin, serving
from .workloads import BATCH, TEXT, records, request

_LOG, _LOG_CPU = "POST /log, requests/s", "POST /log, CPU µs of the server per request"
_BATCH, _BATCH_CPU = "POST /events, 1 000 records each, events/s", "POST /events, CPU µs of the server per event"
_IN_FILE = "POST /events, share of the records that the log file got"


def _log(factory: Factory) -> Measure:
    def measure(scale: float) -> Numbers:
        rate, cpu = _rate(factory, request("POST", "/log", TEXT), 0.8 * scale, connections=32)
        return {_LOG: rate, _LOG_CPU: cpu, _SHARE: rate * cpu / 1e6}

    return measure


def _batch(factory: Factory, body: Callable[[], bytes], content_type: str) -> Measure:
    def measure(scale: float) -> Numbers:
        rate, cpu = _rate(factory, request("POST", "/events", body(), content_type), 0.8 * scale, connections=4)
        return {_BATCH: rate * BATCH, _BATCH_CPU: cpu / BATCH, _SHARE: rate * cpu / 1e6}

    return measure


def _batch_to_file(scale: float) -> Numbers:
    with TemporaryDirectory() as directory:
        file = Path(directory) / "lines.jsonl"
        os.environ["REQSCOPE_LOG_FILE"] = str(file)  # which the server's process inherits
        sent = 0

        def count(load: Load) -> None:
            nonlocal sent
            sent += load.requests * BATCH

        message = request("POST", "/events", _lines(), _NDJSON)
        rate, cpu = _rate(apps.reqscope_ingest_to_file, message, 0.8 * scale, 4, count)
        written = sum(each.read_bytes().count(b"\n") for each in Path(directory).iterdir())
    return {_BATCH: rate * BATCH, _BATCH_CPU: cpu / BATCH, _IN_FILE: written / sent, _SHARE: rate * cpu / 1e6}


def _rate(
    factory: Factory,
    message: bytes,
    seconds: float,
    connections: int,
    count: Callable[[Load], None] = lambda load: None,
) -> tuple[float, float]:
    with serving(factory) as server:
        pin(1)
        count(saturate(server.port, message, 0.3, connections))
        before = server.cpu()
        load = saturate(server.port, message, seconds, connections)
        count(load)
        return load.rate, (server.cpu() - before) / load.requests * 1e6


def _lines() -> bytes:
    return b"\n".join(records())


def _array() -> bytes:
    return b"[" + b",".join(records()) + b"]"


_NDJSON, _JSON = "application/x-ndjson", "application/json"

BENCH = Bench(
    title="records sent over HTTP",
    contenders={
        "raw ASGI": _log(apps.raw_log),
        "reqscope": _log(apps.reqscope_ingest),
        "FastAPI, request.body()": _log(apps.fastapi_log),
        "FastAPI, list of 1 000 lines joined": _log(apps.joined_log_1_000),
        "FastAPI, list of 10 000 lines joined": _log(apps.joined_log_10_000),
        "raw ASGI + msgspec, NDJSON": _batch(apps.raw_batch, _lines, _NDJSON),
        "raw ASGI + msgspec, array": _batch(apps.raw_batch, _array, _JSON),
        "reqscope, NDJSON": _batch(apps.reqscope_ingest, _lines, _NDJSON),
        "reqscope, NDJSON, JSON lines to a file": _batch_to_file,
        "reqscope, array": _batch(apps.reqscope_ingest, _array, _JSON),
        "FastAPI + pydantic, array": _batch(apps.pydantic_batch, _array, _JSON),
    },
    metrics={
        _LOG: "raw ASGI",
        _LOG_CPU: "raw ASGI",
        _BATCH: "raw ASGI + msgspec, NDJSON",
        _BATCH_CPU: "raw ASGI + msgspec, NDJSON",
        _IN_FILE: None,
        _SHARE: None,
    },
    targets=[
        Target(_LOG, "reqscope", at_least=2, against="FastAPI, request.body()"),
        Target(_LOG, "reqscope", at_least=0.6, against="raw ASGI"),
        Target(_BATCH, "reqscope, NDJSON", at_least=1_000_000),
        Target(_BATCH, "reqscope, array", at_least=1_000_000),
        Target(_BATCH, "reqscope, NDJSON, JSON lines to a file", at_least=500_000),
        Target(_IN_FILE, "reqscope, NDJSON, JSON lines to a file", at_least=1),
    ],
    rounds=6,
)
