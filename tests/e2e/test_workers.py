"""Several worker processes, and one panel that shows the requests of all."""

import os
import re
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from playwright.sync_api import Page, expect

from tests import nursery

from .conftest import Server, Start, wait_until

APP = """
import os

import anyio
from fastapi import FastAPI

app = FastAPI()

@app.get("/items/{item}")
async def item(item: int):
    await anyio.sleep(0.005)  # its own work
    return {"pid": os.getpid()}

@app.get("/fails")
async def fails():
    raise ZeroDivisionError("on purpose")

@app.get("/slow")
async def slow():
    await anyio.sleep(30)
"""

MONITORED = """
from reqscope.service import Monitor

Monitor(app)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shop")
    (folder / "shop.py").write_text(APP)
    (folder / "monitored.py").write_text(APP + MONITORED)
    (folder / "broken.py").write_text("raise ValueError('no')")
    return folder


@pytest.fixture(scope="module")
def server(start: Start, folder: Path) -> Iterator[Server]:
    with start("run", "shop:app", "--app-dir", str(folder), "--workers", "3") as running:
        wait_until(lambda: summary(running)["reporting"] == 3, "three workers")
        yield running


def workers(server: Server) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = httpx.get(f"{server.panel}/api/workers").json()["workers"]
    return rows


def summary(server: Server) -> dict[str, Any]:
    found: dict[str, Any] = httpx.get(f"{server.panel}/api/workers").json()["summary"]
    return found


def in_flight(server: Server) -> dict[str, Any]:
    found: dict[str, Any] = httpx.get(f"{server.panel}/api/in-flight").json()
    return found


def ask(address: str, numbers: range) -> Counter[int]:
    """Get so many items over connections of their own, and return how many each process answered."""

    def one(number: int) -> int:
        pid: int = httpx.get(f"{address}/items/{number}").json()["pid"]
        return pid

    with ThreadPoolExecutor(8) as threads:
        return Counter(threads.map(one, numbers))


def children(server: Server) -> list[psutil.Process]:
    return psutil.Process(server.process.pid).children()


@pytest.mark.guarantees("F26")
def test_every_request_is_in_the_one_panel_with_the_worker_that_answered_it(server: Server) -> None:
    before = server.stats()["published"]
    answered = ask(server.api, range(1_000, 1_120))

    wait_until(lambda: server.stats()["published"] >= before + 120, "all of them in the panel")
    events = server.events(filter="path:/items/1*", limit=500)
    assert sorted(event["url.path"] for event in events) == [f"/items/{number}" for number in range(1_000, 1_120)]
    by_worker = Counter(event["service.instance.id"] for event in events)
    assert sorted(by_worker.values()) == sorted(answered.values())
    assert {row["worker"]: row["lost"] for row in workers(server)} == {"1": 0, "2": 0, "3": 0}
    for name, count in by_worker.items():
        assert len(server.events(filter=f"worker:{name} path:/items/1*", limit=500)) == count


def test_the_page_has_a_column_for_the_worker_a_click_filters_by_it_and_says_how_many_report(
    server: Server, open_page: Callable[..., Page]
) -> None:
    page = open_page(server.panel)
    ask(server.api, range(2_000, 2_040))

    expect(page.locator("[data-id=workers]")).to_have_text("3 of 3")
    # One row by its name: which one is the first changes for as long as the workers hand over.
    cell = page.locator(".rq-row:visible", has_text="/items/2039").locator("span").nth(8)
    name = cell.inner_text()
    assert name in ("1", "2", "3")
    cell.click()

    expect(page.locator("[data-id=filter]")).to_have_value(f"worker:{name}")
    wait_until(
        lambda: set(page.locator(".rq-row:visible > span:nth-child(9)").all_inner_texts()) == {name}, "only its rows"
    )


def test_a_page_of_one_process_says_nothing_of_workers(
    start: Start, folder: Path, open_page: Callable[..., Page]
) -> None:
    with start("run", "shop:app", "--app-dir", str(folder)) as alone:
        page = open_page(alone.panel)
        httpx.get(f"{alone.api}/items/1")

        expect(page.locator(".rq-row:visible")).to_have_count(1)
        expect(page.locator("[data-id=worker-count]")).to_be_hidden()
        expect(page.get_by_role("columnheader", name="Worker")).to_be_hidden()
        expect(page.locator("[data-id=notice]")).to_be_hidden()


def test_what_one_of_them_raises_is_grouped_in_the_panel(server: Server) -> None:
    assert httpx.get(f"{server.api}/fails").status_code == 500

    wait_until(lambda: bool(httpx.get(f"{server.panel}/api/errors").json()["errors"]), "the failure")


@pytest.mark.guarantees("F26")
def test_what_is_killed_is_replaced_and_the_api_does_not_notice(start: Start, folder: Path) -> None:
    with start("run", "shop:app", "--app-dir", str(folder), "--workers", "2") as server:
        wait_until(lambda: summary(server)["reporting"] == 2, "both workers")
        victim = next(iter(ask(server.api, range(1))))
        os.kill(victim, signal.SIGKILL)

        wait_until(lambda: "replaced" in [row["status"] for row in workers(server)], "the new one takes its place")
        wait_until(lambda: summary(server)["reporting"] == 2, "both workers again")
        pids = set(ask(server.api, range(40)))
        assert victim not in pids
        wait_until(lambda: any("SIGKILL" in line for line in server.output), "the notice")

        os.kill(max(children(server), key=lambda child: child.memory_info().rss).pid, signal.SIGKILL)  # Gradio is large
        answered = ask(server.api, range(7_000, 7_060))
        assert sum(answered.values()) == 60
        wait_until(lambda: len(_found(server, "path:/items/70*")) == 60, "what waited meanwhile", 60)
        assert summary(server)["reporting"] == 2


def _found(server: Server, text: str) -> list[dict[str, Any]]:
    try:
        return server.events(filter=text, limit=500)
    except httpx.TransportError:  # the new panel is not there yet
        return []


def test_what_is_in_flight_is_listed_with_its_worker_and_said_how_many_answered(
    start: Start, folder: Path, open_page: Callable[..., Page]
) -> None:
    arguments = ("run", "shop:app", "--app-dir", str(folder), "--workers", "2")
    with ThreadPoolExecutor(4) as threads, start(*arguments) as server:
        wait_until(lambda: in_flight(server)["answered"] == 2, "both workers can be asked")
        assert in_flight(server) == {"in_flight": [], "count": 0, "answered": 2, "expected": 2}
        page = open_page(f"{server.panel}/?view=flight")
        expect(page.locator(".rq-page")).to_contain_text("Nothing is in flight.")
        for number in range(4):
            threads.submit(httpx.get, f"{server.api}/slow?token=geheimnis{number}&n={number}", timeout=60)
        wait_until(lambda: len(in_flight(server)["in_flight"]) == 4, "all of them listed")

        told = in_flight(server)
        assert {each["worker"] for each in told["in_flight"]} <= {"1", "2"}
        assert {each["path"] for each in told["in_flight"]} == {"/slow"}
        assert len({each["id"] for each in told["in_flight"]}) == 4
        assert "geheimnis" not in str(told)
        wait_until(lambda: in_flight(server)["count"] == 4, "the count")
        expect(page.locator(".rq-page tbody tr")).to_have_count(4)
        assert "geheimnis" not in page.content()

        victim = psutil.Process(next(iter(ask(server.api, range(1)))))
        victim.suspend()
        assert in_flight(server)["answered"] == 1
        expect(page.locator(".rq-page")).to_contain_text("1 of 2 workers answered.", timeout=15_000)
        victim.resume()
        wait_until(lambda: in_flight(server)["answered"] == 2, "both workers again")


@pytest.mark.guarantees("F24")
@pytest.mark.prove
def test_a_worker_that_is_frozen_is_seen_as_such(start: Start, folder: Path, open_page: Callable[..., Page]) -> None:
    with start("run", "shop:app", "--app-dir", str(folder), "--workers", "2") as server:
        wait_until(lambda: summary(server)["reporting"] == 2, "both workers")
        page = open_page(server.panel)
        victim = next(iter(ask(server.api, range(1))))
        os.kill(victim, signal.SIGSTOP)

        expect(page.locator("[data-id=workers]")).to_have_text("1 of 2", timeout=15_000)
        expect(page.locator("[data-id=notice]")).to_contain_text("1 of 2 workers are reporting")
        os.kill(victim, signal.SIGCONT)
        expect(page.locator("[data-id=workers]")).to_have_text("2 of 2", timeout=15_000)


@pytest.mark.guarantees("F24")
@pytest.mark.prove
def test_a_collector_that_is_frozen_holds_up_nobody_and_gets_everything_afterwards(start: Start, folder: Path) -> None:
    with start("run", "shop:app", "--app-dir", str(folder), "--workers", "2") as server:
        wait_until(lambda: summary(server)["reporting"] == 2, "both workers")
        before = server.stats()["published"]
        collector = max(children(server), key=lambda child: child.memory_info().rss)  # Gradio is large
        collector.send_signal(signal.SIGSTOP)
        answered = [ask(server.api, range(8_000 + turn * 100, 8_100 + turn * 100)) for turn in range(5)]
        threading.Event().wait(3)  # longer than a worker waits for an answer
        answered.append(ask(server.api, range(8_500, 8_600)))
        collector.send_signal(signal.SIGCONT)

        assert sum(count for each in answered for count in each.values()) == 600
        wait_until(lambda: server.stats()["published"] == before + 600, "all of them in the panel", 60)
        assert (summary(server)["lost"], summary(server)["reporting"]) == (0, 2)


@pytest.mark.guarantees("F23", "F26")
@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.prove)])
def test_a_signal_ends_all_of_them_with_requests_and_pages_open(
    start: Start, folder: Path, open_page: Callable[..., Page], number: signal.Signals
) -> None:
    with start("run", "shop:app", "--app-dir", str(folder), "--workers", "2") as server:
        page = open_page(f"{server.panel}/?view=flight")
        processes = children(server)
        with ThreadPoolExecutor(1) as threads:
            threads.submit(lambda: httpx.get(f"{server.api}/slow", timeout=60))
            wait_until(lambda: summary(server)["in_flight"] == 1, "a request in flight")
            name = in_flight(server)["in_flight"][0]["worker"]
            row = page.locator(".rq-page tbody tr")
            expect(row).to_contain_text("GET /slow")
            expect(row.locator("td").last).to_have_text(name)

            assert server.stop(number) == 0
        assert not any(process.is_running() for process in processes)


@pytest.mark.guarantees("F26")
@pytest.mark.prove
def test_when_the_parent_is_killed_nothing_is_left_behind(start: Start, folder: Path) -> None:
    with start("run", "shop:app", "--app-dir", str(folder), "--workers", "2") as server:
        processes = children(server)
        assert len(processes) == 3
        server.stop(signal.SIGKILL)

        wait_until(lambda: not any(process.is_running() for process in processes), "all of them gone")


@pytest.mark.guarantees("F25")
@pytest.mark.parametrize("target", ["broken:app", pytest.param("missing:app", marks=pytest.mark.prove)])
def test_an_application_that_does_not_start_is_said_once(folder: Path, target: str) -> None:
    command = ["reqscope.service", "run", target, "--app-dir", str(folder), "--workers", "3"]
    done = nursery.run(*command, "--api-port", "0", "--panel-port", "0", "--log", "none")

    assert done.returncode == 3
    assert len(re.findall("^error: ", done.stderr, re.MULTILINE)) == 1


@pytest.fixture
def uvicorn(folder: Path) -> Iterator[Callable[..., str]]:
    """Start `uvicorn monitored:app` with two workers of its own; returns its address."""
    import socket

    running: list[subprocess.Popen[bytes]] = []

    def run(**environment: str) -> str:
        with closing(socket.socket()) as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        command = [sys.executable, "-m", "uvicorn", "monitored:app", "--app-dir", str(folder), "--workers", "2"]
        running.append(subprocess.Popen([*command, "--port", str(port)], env={**os.environ, **environment}))
        address = f"http://127.0.0.1:{port}"
        wait_until(lambda: _answers(address), "uvicorn answers", 60)
        return address

    yield run
    for process in running:
        process.terminate()
        process.wait(20)


def _answers(address: str) -> bool:
    try:
        return httpx.get(f"{address}/items/0").status_code == 200
    except httpx.TransportError:
        return False


@pytest.mark.guarantees("F26")
@pytest.mark.prove
def test_workers_of_uvicorn_report_to_a_collector_by_one_setting(
    start: Start, uvicorn: Callable[..., str], tmp_path: Path
) -> None:
    address = f"unix:{tmp_path}/collector.sock"
    with start("serve", "--collector", address) as server:
        api = uvicorn(REQSCOPE_COLLECTOR=address)
        wait_until(lambda: summary(server)["reporting"] == 2, "both workers", 60)
        ask(api, range(4_000, 4_040))

        wait_until(lambda: len(server.events(filter="path:/items/4*", limit=500)) == 40, "all of them in the panel")
        assert (tmp_path / "collector.sock").stat().st_mode & 0o777 == 0o600


@pytest.mark.guarantees("F26")
@pytest.mark.prove
def test_a_worker_of_uvicorn_without_a_collector_says_that_its_page_is_partial(uvicorn: Callable[..., str]) -> None:
    api = uvicorn()

    partial = httpx.get(f"{api}/reqscope/api/workers").json()["partial"]

    assert "one of several workers" in partial
    assert "REQSCOPE_COLLECTOR" in partial


@pytest.mark.prove
def test_a_second_collector_at_the_same_place_is_refused(start: Start, tmp_path: Path) -> None:
    address = f"unix:{tmp_path}/collector.sock"
    with start("serve", "--collector", address):
        wait_until((tmp_path / "collector.sock").exists, "the socket")
        done = nursery.run("reqscope.service", "serve", "--collector", address, "--port-auto")

        assert done.returncode == 2
        assert "another collector listens" in done.stderr
