"""What the panel shows of one exchange: bodies, log lines, the exception, and that it is still in flight."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from playwright.sync_api import Page, expect

from .conftest import Server, Start, run_app, wait_until

OpenPage = Callable[..., Page]

APP = """
import asyncio, logging, structlog
from fastapi import FastAPI, Request

app = FastAPI()
gate = asyncio.Event()
logging.getLogger("shop").setLevel(logging.INFO)

@app.post("/orders/{order}")
async def order(order: int, request: Request):
    await request.json()
    logging.getLogger("shop").info("order %d for card=%s", order, "4111 1111 1111 1111")
    structlog.get_logger().warning("nearly sold out", left=2)
    return {"order": order, "access_token": "tok-3f9a8c"}

@app.post("/any/{kind}")
async def any_body(request: Request):
    return {"bytes": len(await request.body())}

@app.get("/broken")
async def broken():
    raise LookupError("no shelf with password=hunter2")

@app.get("/slow")
async def slow():
    await gate.wait()

@app.get("/release")
async def release():
    gate.set()
"""


@pytest.fixture(scope="module")
def server(start: Start, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with run_app(start, tmp_path_factory.mktemp("app"), "watched", APP) as running:
        yield running


def detail_of(page: Page, text: str) -> str:
    """Open the row with that text, and return all that its detail says, in every tab."""
    page.locator(".rq-row:visible", has_text=text).first.click()
    expect(page.locator(".rq-detail h2")).to_contain_text(text)
    return page.locator(".rq-detail").text_content() or ""


def test_bodies_and_log_lines_are_beside_the_request_and_secrets_are_not(server: Server, open_page: OpenPage) -> None:
    page = open_page(server.panel)
    trace = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "x-request-id": "req-77"}
    httpx.post(f"{server.api}/orders/7", json={"amount": 2, "password": "hunter2"}, headers=trace)

    detail = detail_of(page, "/orders/7")

    assert '"amount": 2' in detail
    assert '"order": 7' in detail
    assert "order 7 for card=[redacted]" in detail
    assert "nearly sold out left=2" in detail
    assert ("req-77" in detail, "0af7651916cd43dd8448eb211c80319c" in detail) == (True, True)
    for secret in ("hunter2", "tok-3f9a8c", "4111 1111 1111 1111"):
        assert secret not in page.content()
        assert secret not in httpx.get(f"{server.panel}/api/events/{server.events()[-1]['id']}").text


def test_a_form_is_a_table_and_what_is_no_text_is_hexadecimal(server: Server, open_page: OpenPage) -> None:
    page = open_page(server.panel)
    httpx.post(f"{server.api}/any/form", data={"name": "Ada & Bob", "password": "hunter2", "note": ""})
    detail_of(page, "/any/form")
    page.get_by_role("tab", name="Request").click()
    shown = page.get_by_role("tabpanel")

    expect(shown.get_by_role("heading", name="Request body, form")).to_be_visible()
    for name, value in (("name", "Ada & Bob"), ("password", "[redacted]"), ("note", "(empty)")):
        expect(shown.get_by_role("row", name=name).last.get_by_role("cell")).to_contain_text(value)

    httpx.post(f"{server.api}/any/bytes", content=bytes(range(0x7C, 0x86)) + b"reqscope")
    detail_of(page, "/any/bytes")

    expect(shown.get_by_role("heading", name="Request body, not text")).to_be_visible()
    lines = shown.locator(".rq-hex").inner_text().splitlines()
    assert lines == [
        "0000  7c 7d 7e 7f 80 81 82 83  |}~·····",
        "0008  84 85 72 65 71 73 63 6f  ··reqsco",
        "0010  70 65                    pe",
    ]


def test_an_exception_has_its_traceback_and_is_grouped(server: Server, open_page: OpenPage) -> None:
    page = open_page(server.panel)
    for _ in range(2):
        httpx.get(f"{server.api}/broken")

    detail = detail_of(page, "/broken")

    assert 'raise LookupError("no shelf with password=[redacted]' in detail
    (group,) = httpx.get(f"{server.panel}/api/errors").json()["errors"]
    assert (group["error.type"], group["http.route"], group["count"]) == ("LookupError", "/broken", 2)
    assert "hunter2" not in str(group)
    wait_until(lambda: "LookupError" in server.log.read_text(), "the line in the log")
    assert "hunter2" not in server.log.read_text()


def test_a_request_is_shown_while_it_is_in_flight(server: Server, open_page: OpenPage) -> None:
    page = open_page(server.panel)
    running = page.locator(".rq-running")
    expect(running).to_be_hidden()
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(httpx.get, f"{server.api}/slow", timeout=60)
        expect(running).to_contain_text("GET /slow")
        expect(running).to_contain_text("no response yet")
        (waiting,) = httpx.get(f"{server.panel}/api/in-flight").json()["in_flight"]
        assert (waiting["path"], waiting["age"] > 0.1) == ("/slow", True)
        httpx.get(f"{server.api}/release")
        assert answer.result().status_code == 200
    expect(running).to_be_hidden()
    assert httpx.get(f"{server.panel}/api/in-flight").json() == {"in_flight": [], "count": 0}


def test_the_traceback_names_the_application_file(server: Server) -> None:
    httpx.get(f"{server.api}/broken")
    wait_until(lambda: bool(httpx.get(f"{server.panel}/api/errors").json()["errors"]), "the group of errors")
    (group,) = httpx.get(f"{server.panel}/api/errors").json()["errors"]

    assert "watched.py" in group["exception.stacktrace"].splitlines()[-3]
