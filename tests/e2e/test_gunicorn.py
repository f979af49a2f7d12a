"""Workers of gunicorn, which forks them, and one panel that shows the requests of all."""

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from .conftest import DEADLINE, Server, Start, free_port, wait_until

APP = """
import os

from fastapi import FastAPI
from reqscope.service import Monitor

app = FastAPI()

@app.get("/items/{item}")
async def item(item: int):
    return {"pid": os.getpid()}

Monitor(app)
"""

pytestmark = pytest.mark.prove


@contextmanager
def gunicorn(folder: Path, *options: str, **environment: str) -> Generator[str]:
    (folder / "monitored.py").write_text(APP)
    address = f"127.0.0.1:{free_port()}"
    command = [sys.executable, "-m", "gunicorn", "monitored:app", "--chdir", str(folder), "--bind", address, *options]
    command += ["--worker-class", "uvicorn_worker.UvicornWorker", "--workers", "2", "--no-control-socket"]
    with subprocess.Popen(command, env={**os.environ, **environment}, stderr=subprocess.DEVNULL) as process:
        try:
            wait_until(lambda: bool(ask(f"http://{address}", 1)), "gunicorn answers", 90)
            yield f"http://{address}"
        finally:
            process.terminate()
            process.wait(DEADLINE)


def ask(api: str, count: int) -> Counter[int]:
    """Get so many items over connections of their own, and return how many each process answered."""
    try:
        return Counter(httpx.get(f"{api}/items/{number}").json()["pid"] for number in range(count))
    except httpx.TransportError:
        return Counter()


def about(server: Server) -> Any:
    return httpx.get(f"{server.panel}/api/workers").json()


@pytest.mark.guarantees("F26")
@pytest.mark.parametrize("preload", [False, True])
def test_they_report_by_one_setting_and_one_that_is_killed_is_replaced(
    start: Start, tmp_path: Path, preload: bool
) -> None:
    address = f"unix:{tmp_path}/collector.sock"
    with (
        start("serve", "--collector", address) as server,
        gunicorn(tmp_path, *(["--preload"] if preload else []), REQSCOPE_COLLECTOR=address) as api,
    ):
        wait_until(lambda: about(server)["summary"]["reporting"] == 2, "both workers", 60)
        before = server.stats()["published"]
        answered = ask(api, 40)

        wait_until(lambda: server.stats()["published"] == before + 40, "all of them in the panel")
        events = server.events(limit=40)
        names = Counter(int(event["service.instance.id"].rpartition("-")[2]) for event in events)
        assert names == answered

        os.kill(next(iter(answered)), signal.SIGKILL)
        wait_until(lambda: "replaced" in [row["status"] for row in about(server)["workers"]], "a new one", 60)
        wait_until(lambda: about(server)["summary"]["reporting"] == 2, "both workers again")
        assert about(server)["summary"]["lost"] == 0


@pytest.mark.guarantees("F26")
def test_without_a_collector_each_says_that_its_page_is_partial(tmp_path: Path) -> None:
    with gunicorn(tmp_path) as api:
        partial = httpx.get(f"{api}/reqscope/api/workers").json()["partial"]

        assert "one of several workers" in partial
