"""`reqscope run`: an application that knows nothing of Reqscope."""

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page, expect

from .conftest import Server, Start, wait_until

APP = """
import gc, sys
from contextlib import asynccontextmanager
from fastapi import FastAPI

@asynccontextmanager
async def lifespan(app):
    print("ready")
    yield {"greeting": "hello"}

app = FastAPI(lifespan=lifespan)

@app.get("/hello/{name}")
async def hello(name: str):
    return {"hello": name}

@app.get("/fails")
async def fails():
    raise ZeroDivisionError("on purpose")

@app.get("/garbage")
async def garbage():
    modules = [sys.modules[name] for name in ("gradio", "reqscope.ui")]
    seen = sum(each is module for each in gc.get_objects() for module in modules)
    return {"seen": seen, "frozen": gc.get_freeze_count()}

def make():
    return app
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shop")
    (folder / "shop.py").write_text(APP)
    return folder


@pytest.fixture(scope="module")
def server(start: Start, folder: Path) -> Iterator[Server]:
    with start("run", "shop:app", "--app-dir", str(folder)) as running:
        yield running


def test_its_requests_are_on_the_screen_in_the_log_and_in_the_api(
    server: Server, open_page: Callable[..., Page]
) -> None:
    page = open_page(server.panel)

    answer = httpx.get(f"{server.api}/hello/bob", headers={"x-api-key": "hidden"})

    assert answer.json() == {"hello": "bob"}
    expect(page.locator(".rq-row:visible", has_text="/hello/bob")).to_contain_text("/hello/{name}")
    event = server.events(filter="path:/hello/bob")[-1]
    assert (event["http.route"], event["http.response.status_code"]) == ("/hello/{name}", 200)
    detail = httpx.get(f"{server.panel}/api/events/{event['id']}").json()
    assert dict(detail["http.request.headers"])["x-api-key"].startswith("[redacted]")
    wait_until(lambda: event["id"] in server.log.read_text(), "the line in the log")


def test_what_it_raises_is_shown_and_answered_as_ever(server: Server) -> None:
    answer = httpx.get(f"{server.api}/fails")

    assert (answer.status_code, answer.text) == (500, "Internal Server Error")
    event = server.events(filter="path:/fails")[-1]
    assert (event["http.response.status_code"], event["error.type"], event["level"]) == (
        500,
        "ZeroDivisionError",
        "error",
    )


def test_the_applications_garbage_collections_pass_over_the_panels_modules(server: Server) -> None:
    found = httpx.get(f"{server.api}/garbage").json()

    assert found["seen"] == 0
    assert found["frozen"] > 50_000


def test_only_its_own_routes_are_on_its_port(server: Server) -> None:
    assert httpx.post(f"{server.api}/log", content="x").status_code == 404


@pytest.mark.guarantees("F23")
def test_a_factory_is_called_and_ctrl_c_ends_it(start: Start, folder: Path) -> None:
    with start("run", "shop:make", "--factory", "--app-dir", str(folder)) as server:
        assert httpx.get(f"{server.api}/hello/ann").json() == {"hello": "ann"}
        assert server.stop(signal.SIGINT) == 0
