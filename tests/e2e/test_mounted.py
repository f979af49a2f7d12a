"""`Monitor(app)`: the panel inside the user's own application, under a root path and behind a proxy."""

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page, expect

from .conftest import DEADLINE, Server, Start, ending, find_line, free_port, lines_of, wait_until

APP = """
from pathlib import Path
from fastapi import FastAPI
from reqscope.service import Monitor, Settings

app = FastAPI()

@app.get("/hello/{name}")
async def hello(name: str):
    return {"hello": name}

monitor = Monitor(app, settings=Settings(log="file", log_file=Path("events.jsonl")))
"""
PREFIX = "/tools"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("host")
    (folder / "host.py").write_text(APP)
    return folder


@pytest.fixture(scope="module")
def server(start_uvicorn: Start, folder: Path) -> Iterator[Server]:
    with start_uvicorn("host:app", "--root-path", PREFIX, cwd=folder) as running:
        yield running


@pytest.fixture(scope="module")
def proxy(server: Server) -> Iterator[str]:
    """The address of a reverse proxy that serves the host below a prefix, which it strips."""
    port = free_port()
    command = [sys.executable, str(Path(__file__).with_name("stripping_proxy.py")), server.api, PREFIX, str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    with ending(process):
        find_line(process, lines_of(process), "(Uvicorn running)")
        yield f"http://127.0.0.1:{port}{PREFIX}"


def test_a_request_is_on_the_screen_in_the_log_and_in_the_api(
    server: Server, proxy: str, open_page: Callable[..., Page]
) -> None:
    page = open_page(f"{proxy}/reqscope/")

    assert httpx.get(f"{proxy}/hello/bob").json() == {"hello": "bob"}

    expect(page.locator(".rq-row:visible", has_text="/hello/bob")).to_contain_text("/hello/{name}")
    event = server.events()[-1]
    assert (event["http.route"], event["url.path"]) == ("/hello/{name}", f"{PREFIX}/hello/bob")
    wait_until(lambda: event["id"] in server.log.read_text(), "the line in the log")
    page.locator(".rq-row:visible", has_text="/hello/bob").click()
    expect(page.locator(".rq-detail")).to_contain_text("/hello/{name}")


@pytest.mark.guarantees("F39")
def test_the_monitor_does_not_see_itself(server: Server) -> None:
    for _ in range(3):
        httpx.get(f"{server.panel}/")

    assert not [event for event in server.events(limit=1000) if "reqscope" in event["url.path"]]
    assert server.stats()["capture"]["ignored"] > 3


@pytest.mark.guarantees("F23")
def test_an_open_page_does_not_keep_the_host_from_ending(
    start_uvicorn: Start, folder: Path, open_page: Callable[..., Page]
) -> None:
    port = free_port()
    with start_uvicorn("host:app", cwd=folder, port=port) as server:
        page = open_page(f"{server.panel}/")

        assert server.stop(signal.SIGTERM) in (0, -signal.SIGTERM)

        expect(page.locator(".rq-state")).to_contain_text("Reconnecting")
        assert any("Application shutdown complete" in line for line in server.output)
    with start_uvicorn("host:app", cwd=folder, port=port):
        page.locator(".rq[data-state=live]").wait_for(timeout=DEADLINE * 1000)
