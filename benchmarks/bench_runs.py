"""What it costs an application that a load test of it is observed, with the panel open.

The bare application in uvicorn is the yardstick. Beside it stands the same application in `reqscope run`, as a user
would start it, with nobody looking, and then with a run that records while a page watches. What the run counted is held
against what the load generator got: the generator's last requests, one for each connection, were still in flight.

The load is wrk's, which needs less of its core than the server of its own, or without it that of the other benchmarks.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from tempfile import TemporaryDirectory
from typing import Any

import httpx

from .capture_apps import bare_shop
from .contenders import Bench, Numbers, Target
from .load import Load, saturate
from .server import CORE_SHARE, Served, pin, reqscope, serving
from .viewers import watching
from .workloads import request

_GET = request("GET", "/items/42?page=2", b"")
_CONNECTIONS = 32
_SECONDS = 60.0

_RATE, _CPU = "GET, requests/s", "GET, CPU µs of the server per request"
_WRONG = "requests that the run counted too few or too many"
_LOST = "requests that the run says it lost"
_RECORDING = "CPU µs of the recorder per request, by the run's own account"


def _alone(serve: Callable[[], AbstractContextManager[Served]], scale: float) -> Numbers:
    with serve() as server:
        pin(1)
        return _loaded(server, scale)[0]


def _observed(scale: float) -> Numbers:
    with TemporaryDirectory() as folder:
        os.environ["REQSCOPE_RUNS_FILE"] = f"{folder}/runs.sqlite3"
        with _reqscope_run() as server, watching(server.page, 1):
            pin(1)
            saturate(server.port, _GET, 0.3)
            run: str = _post(server, "", {"label": "benchmark"})["id"]
            numbers, load = _loaded(server, scale)
            ended = _post(server, f"/{run}/end", {})
            recording = _kept(server, run)["losses"]["recorder_seconds"] / ended["requests"]
    few, many = load.requests - ended["requests"], ended["requests"] - load.requests - _CONNECTIONS
    return numbers | {_WRONG: float(max(0, few, many)), _LOST: float(ended["lost"]), _RECORDING: 1e6 * recording}


def _loaded(server: Served, scale: float) -> tuple[Numbers, Load]:
    before = server.cpu()
    load = _wrk(server.port, _SECONDS * scale) or saturate(server.port, _GET, _SECONDS * scale, _CONNECTIONS)
    cpu = server.cpu() - before
    return {_RATE: load.rate, _CPU: cpu / load.requests * 1e6, CORE_SHARE: cpu / load.seconds}, load


def _wrk(port: int, seconds: float) -> Load | None:
    if shutil.which("wrk") is None:
        return None
    address, whole = f"http://127.0.0.1:{port}/items/42?page=2", max(1, round(seconds))
    command = ["wrk", "-t1", f"-c{_CONNECTIONS}", f"-d{whole}s", address]
    printed = subprocess.run(command, check=True, capture_output=True, text=True, timeout=whole + 60).stdout
    if "Non-2xx" in printed or (found := re.search(r"(\d+) requests in", printed)) is None:
        raise RuntimeError(f"wrk got no good answers: {printed}")
    return Load(requests=int(found[1]), seconds=whole)


def _reqscope_run() -> AbstractContextManager[Served]:
    return reqscope("run", "benchmarks.capture_apps:shop", "--factory")


def _post(server: Served, path: str, content: object) -> dict[str, Any]:
    answer: dict[str, Any] = httpx.post(f"{server.page.rstrip('/')}/api/runs{path}", json=content, timeout=30).json()
    return answer


def _kept(server: Served, run: str) -> dict[str, Any]:
    kept: dict[str, Any] = httpx.get(f"{server.page.rstrip('/')}/api/runs/{run}", timeout=30).json()
    return kept


BENCH = Bench(
    title="a load test, observed",
    contenders={
        "bare": partial(_alone, partial(serving, bare_shop)),
        "reqscope run, nobody looks": partial(_alone, _reqscope_run),
        "reqscope run, a run and a page": _observed,
    },
    rounds=3,
    metrics={_RATE: "bare", _CPU: "bare", _WRONG: None, _LOST: None, _RECORDING: None, CORE_SHARE: None},
    targets=[
        Target(_RATE, "reqscope run, a run and a page", at_least=0.85, against="bare"),
        Target(_WRONG, "reqscope run, a run and a page", at_most=0),
        Target(_RECORDING, "reqscope run, a run and a page", at_most=1.5),
    ],
)
