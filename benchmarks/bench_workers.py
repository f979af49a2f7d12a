"""Several worker processes under load: what they answer with capture and a panel of them all, and without.

Bare is uvicorn with its own workers; the other is `reqscope run --workers`, which has one more process, for the panel.
Processor time is that of all of them. The load comes from this process and needs a share of the cores, too, so what is
to be read is the ratio, and where the cores are fewer than the processes, that of the processor time.
"""

import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from typing import TypeAlias

import httpx
import psutil

from .contenders import Bench, Measure, Numbers, Target
from .load import connect, exchange, saturate
from .server import Served, end, free_port, reqscope
from .workloads import request

_RATE = "requests/s"
_CPU = "CPU µs of all processes per request"
_P99 = "p99 ms"
_APP = "benchmarks.capture_apps:shop"
_CONNECTIONS = 64
_REQUEST = request("GET", "/items/42?page=2")
_COUNTS = (1, 2, 4, 8)

_Serve: TypeAlias = Callable[[], AbstractContextManager[Served]]


@contextmanager
def _bare(count: int) -> Generator[Served]:
    port = free_port()
    quiet = ["--no-access-log", "--log-level", "warning"]
    command = [sys.executable, "-m", "uvicorn", "--factory", _APP, "--port", str(port), "--workers", str(count), *quiet]
    with subprocess.Popen(command) as process:
        try:
            _wait(lambda: _answers(port))
            yield Served(process.pid, port)
        finally:
            end(process)


@contextmanager
def _captured(count: int) -> Generator[Served]:
    with reqscope("run", _APP, "--factory", "--workers", str(count)) as served:
        if count > 1:
            _wait(lambda: httpx.get(f"{served.page}/api/workers").json()["summary"]["reporting"] == count)
        yield served


def _wait(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 90
    while not holds():
        if time.monotonic() > deadline:
            raise RuntimeError("the workers did not start")
        time.sleep(0.1)


def _answers(port: int) -> bool:
    with suppress(OSError, RuntimeError), connect(port) as connection:
        exchange(connection, _REQUEST)
        return True
    return False


def _measured(serve: _Serve) -> Measure:
    def measure(scale: float) -> Numbers:
        with serve() as served:
            saturate(served.port, _REQUEST, 2 * scale, _CONNECTIONS)
            before = _cpu(served.process)
            load = saturate(served.port, _REQUEST, 4 * scale, _CONNECTIONS)
            cpu = sum(_cpu(served.process).values()) - sum(before.values())
        return {_RATE: load.rate, _CPU: cpu / load.requests * 1e6, _P99: load.quantile(0.99) * 1e3}

    return measure


def _cpu(process: psutil.Process) -> dict[int, float]:
    used = {}
    for each in (process, *process.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            times = each.cpu_times()
            used[each.pid] = float(times.user + times.system)
    return used


def _name(count: int) -> str:
    return f"{count} worker{'s' if count > 1 else ''}"


BENCH = Bench(
    title="worker processes, with capture and without",
    contenders={
        name: measure
        for count in _COUNTS
        for name, measure in (
            (_name(count), _measured(partial(_bare, count))),
            (f"{_name(count)}, captured", _measured(partial(_captured, count))),
        )
    },
    metrics={_RATE: "2 workers", _CPU: "2 workers", _P99: None},
    targets=[Target(_RATE, f"{_name(count)}, captured", at_least=0.85, against=_name(count)) for count in _COUNTS],
    rounds=5,
)
