"""What another process exports, on the screen."""

import json
from collections.abc import Callable, Iterator

import httpx
import pytest
from playwright.sync_api import Page, expect

from .conftest import Server, Start

TRACE = "0af7651916cd43dd8448eb211c80319c"


def attribute(key: str, value: str) -> dict[str, object]:
    return {"key": key, "value": {"stringValue": value}}


SPAN = {
    "traceId": TRACE,
    "spanId": "b7ad6b7169203331",
    "name": "GET /items/{id}",
    "kind": 2,
    "startTimeUnixNano": "1700000000000000000",
    "endTimeUnixNano": "1700000000250000000",
    "attributes": [
        attribute("http.request.method", "GET"),
        attribute("url.path", "/items/7"),
        {"key": "http.response.status_code", "value": {"intValue": 200}},
        attribute("shop.basket", "<b>full</b>"),
    ],
}
LINE = {"traceId": TRACE, "severityNumber": 13, "body": {"stringValue": "<img src=x> is low"}}
RESOURCE = {"attributes": [attribute("service.name", "stock")]}


@pytest.fixture(scope="module")
def server(start: Start) -> Iterator[Server]:
    with start("serve") as running:
        yield running


def export(server: Server, signal: str, body: object) -> None:
    headers = {"content-type": "application/json"}
    answer = httpx.post(f"{server.api}/v1/{signal}", content=json.dumps(body), headers=headers)
    assert (answer.status_code, answer.json()) == (200, {})


def test_a_span_is_a_row_and_its_detail_has_the_log_lines_of_its_trace(
    server: Server, open_page: Callable[..., Page]
) -> None:
    page = open_page(server.panel)

    scopes = {"resource": RESOURCE, "scopeSpans": [{"spans": [SPAN]}]}
    export(server, "traces", {"resourceSpans": [scopes]})
    lines = {"resource": RESOURCE, "scopeLogs": [{"scope": {"name": "shelf"}, "logRecords": [LINE]}]}
    export(server, "logs", {"resourceLogs": [lines]})

    log = page.locator(".rq-row:visible", has_text="is low")
    expect(log).to_contain_text("<img src=x> is low")
    expect(log).to_contain_text("warning")
    page.locator(".rq-row:visible", has_text="/items/7").click()
    detail = page.locator(".rq-detail")
    expect(detail).to_contain_text("stock")
    expect(detail).to_contain_text("<b>full</b>")
    page.get_by_role("tab", name="Logs 1").click()
    expect(page.locator(".rq-lines:visible")).to_contain_text("warning stock shelf <img src=x> is low")
    page.get_by_role("tab", name="Related").click()
    page.get_by_role("button", name="Show the same service").click()
    expect(page.locator(".rq-row:visible")).to_have_count(2)
