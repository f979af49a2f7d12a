"""Replaying from the panel, in both modes: what the user does, and what the application gets."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Locator, Page, expect

from .conftest import Server, Start

OpenPage = Callable[..., Page]

APP = """
from pathlib import Path
from fastapi import FastAPI, Request
from reqscope.service import Monitor, Settings

app = FastAPI()
got = []

@app.middleware("http")
async def keep(request: Request, call_next):
    if not request.url.path.startswith(("/reqscope", "/got")):
        got.append([request.method, request.url.path, dict(request.headers), (await request.body()).decode()])
    return await call_next(request)

@app.get("/got")
async def all_that_was_got():
    return got

@app.get("/items/{item}")
async def item(item: str):
    return {"item": item, "calls": len(got)}

@app.post("/orders")
async def order(request: Request):
    return {"amount": (await request.json())["amount"]}

@app.delete("/items/{item}")
async def delete(item: str):
    return {}
"""
MOUNTED = 'Monitor(app, settings=Settings(log="none", bodies="all", replay=("*", "POST /orders")))'


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("replayed")
    (folder / "plain.py").write_text(APP)
    (folder / "mounted.py").write_text(APP + MOUNTED)
    return folder


@pytest.fixture(scope="module", params=["run", "mounted"])
def server(request: pytest.FixtureRequest, start: Start, start_uvicorn: Start, folder: Path) -> Iterator[Server]:
    if request.param == "mounted":
        with start_uvicorn("mounted:app", cwd=folder, panel="/reqscope/") as running:
            yield running
    else:
        command = ("run", "plain:app", "--app-dir", str(folder), "--bodies", "all", "--replay", "*,POST /orders")
        with start(*command) as running:
            yield running


@pytest.fixture
def page(server: Server, open_page: OpenPage) -> Page:
    return open_page(server.panel)


def got(server: Server, path: str) -> list[Any]:
    return [each for each in httpx.get(f"{server.api}/got").json() if each[1] == path]


def row(page: Page, text: str) -> Locator:
    return page.locator(".rq-row:not(.rq-gap):visible").filter(has_text=text).first


def open_row(page: Page, text: str) -> Locator:
    row(page, text).locator("span").nth(3).click()
    detail = page.locator(".rq-detail")
    expect(detail.locator("h2")).to_contain_text(text)
    return detail


def test_a_harmless_request_is_replayed_at_once_and_compared_with_the_original(server: Server, page: Page) -> None:
    httpx.get(f"{server.api}/items/again?x=1", headers={"x-tenant": "acme"})
    detail = open_row(page, "/items/again")
    detail.get_by_role("button", name="Replay", exact=True).click()

    expect(detail.locator(".rq-compare", has_text="Answer")).to_contain_text("Original")
    body = detail.locator(".rq-compare", has_text="Response body")
    expect(body.locator(".rq-out")).to_contain_text('"calls"')
    expect(body.locator(".rq-in")).to_contain_text('"calls"')
    expect(row(page, "/items/again").locator(".rq-tag")).to_have_text("replay")
    first, second = got(server, "/items/again")
    assert (first[0], first[2]["x-tenant"]) == (second[0], second[2]["x-tenant"]) == ("GET", "acme")
    detail.get_by_role("button", name="Original").click()
    expect(detail.get_by_role("button", name="Compare")).to_have_count(0)
    detail.get_by_role("tab", name="Related").click()
    detail.get_by_role("button", name="Show its replays").click()
    expect(page.locator(".rq-row:not(.rq-gap):visible")).to_have_count(1)


def test_a_request_is_edited_its_secret_supplied_and_no_mask_is_sent(server: Server, page: Page) -> None:
    order = {"amount": 1, "password": "hunter2"}
    httpx.post(f"{server.api}/orders", json=order, headers={"authorization": "Bearer abc.def.ghi"})
    before = len(got(server, "/orders"))
    detail = open_row(page, "/orders")
    detail.get_by_role("button", name="Replay", exact=True).click()
    form = detail.get_by_role("form")
    body = form.get_by_label("Body")
    expect(body).not_to_have_value("")
    body.fill(body.input_value().replace('"amount":1', '"amount":7'))
    headers = form.get_by_label("Headers")
    headers.fill(headers.input_value() + "\nx-extra: <b>1</b>")
    secrets = form.locator("input[type=password]")
    expect(secrets).to_have_count(2)

    form.get_by_role("button", name="Send POST").click()
    secrets.first.fill("token")
    form.get_by_role("button", name="Send POST").click()
    expect(secrets.last).to_be_focused()
    assert len(got(server, "/orders")) == before

    secrets.last.fill('pass"word')
    form.get_by_role("button", name="Send POST").click()

    request_body = detail.locator(".rq-compare", has_text="Request body")
    expect(request_body.locator(".rq-in", has_text='"amount": 7')).to_be_visible()
    expect(request_body.locator(".rq-out", has_text='"amount": 1')).to_be_visible()
    expect(detail.locator(".rq-differs", has_text="x-extra")).to_contain_text("<b>1</b>")
    sent = got(server, "/orders")[-1]
    assert (sent[2]["authorization"], sent[2]["x-extra"]) == ("Bearer token", "<b>1</b>")
    assert sent[3] == '{"amount":7,"password":"pass\\"word"}'
    assert "redacted" not in str(sent)
    expect(detail).not_to_contain_text("pass\\")


def test_a_method_that_is_not_allowed_is_refused_with_what_to_do(server: Server, page: Page) -> None:
    httpx.delete(f"{server.api}/items/kept")
    detail = open_row(page, "/items/kept")
    detail.get_by_role("button", name="Replay", exact=True).click()
    form = detail.get_by_role("form")
    expect(form).to_contain_text("DELETE /items/kept is not allowed")
    form.get_by_role("button", name="Send DELETE").click()
    expect(form.get_by_role("alert")).to_contain_text("REQSCOPE_REPLAY")
    assert len(got(server, "/items/kept")) == 1
    form.get_by_label("Method").select_option("GET")
    form.get_by_label("Method").press("Escape")
    expect(form).to_have_count(0)
    expect(detail.get_by_role("tab", name="Overview")).to_be_visible()


def test_what_is_no_header_is_pointed_at_and_nothing_is_sent(server: Server, page: Page) -> None:
    httpx.get(f"{server.api}/items/odd")
    detail = open_row(page, "/items/odd")
    detail.get_by_role("button", name="Edit and resend").click()
    form = detail.get_by_role("form")
    form.get_by_label("Headers").fill("no colon here")
    form.get_by_role("button", name="Send GET").click()
    expect(form.get_by_role("alert")).to_contain_text("no colon here")
    assert len(got(server, "/items/odd")) == 1


def test_nothing_is_offered_unless_it_was_asked_for(start: Start, folder: Path, open_page: OpenPage) -> None:
    with start("run", "plain:app", "--app-dir", str(folder)) as server:
        page = open_page(server.panel)
        httpx.get(f"{server.api}/items/off")
        detail = open_row(page, "/items/off")
        expect(detail.get_by_role("button", name="cURL")).to_be_visible()
        expect(detail.get_by_role("button", name="Replay", exact=True)).to_have_count(0)

        answer = httpx.post(f"{server.panel}/api/events/{server.events()[-1]['id']}/replay")

        assert (answer.status_code, "replay is off" in answer.json()["detail"]) == (403, True)
        assert len(got(server, "/items/off")) == 1
