"""The page of load-test runs, and the report, in a real browser."""

from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from .conftest import DEADLINE, Server, Start, wait_until

PAPER = 703
"""CSS pixels that A4 is wide between margins of 12 mm."""

PATIENCE = 1_000 * DEADLINE
"""Milliseconds for what the server writes to a file, and asks git, before it answers."""

LABEL = "<img src=x onerror=window.hacked=1>"


@pytest.fixture(scope="module")
def server(start: Start, tmp_path_factory: pytest.TempPathFactory) -> Generator[Server]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REQSCOPE_RUNS_FILE", str(tmp_path_factory.mktemp("runs") / "runs.sqlite3"))
        with start("serve") as running:
            yield running


def runs(server: Server, kind: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = httpx.get(f"{server.panel}/api/runs").json()[kind]
    return found


def test_a_run_is_begun_watched_ended_and_compared_on_the_page(
    server: Server, open_page: Callable[..., Page], browser: Browser, tmp_path: Path
) -> None:
    page = open_page(f"{server.panel}/?view=runs")
    expect(page).to_have_title("Runs · Reqscope")
    live = page.locator("article.rq-run")
    for label in (LABEL, "another"):
        page.get_by_label("Label of a new run").fill(label)
        page.get_by_role("button", name="Begin a run").click()
        expect(live.locator("h2")).to_have_text(label, timeout=PATIENCE)
        for _ in range(25):
            httpx.post(f"{server.api}/log", content="hello")
        expect(live.locator("dd").first).to_have_text("25", timeout=PATIENCE)
        live.get_by_role("button", name="End").click()
        expect(live).to_have_count(0, timeout=PATIENCE)
        expect(page.locator(".rq-list tr", has_text=label)).to_be_visible()

    for label in (LABEL, "another"):
        page.get_by_label(f"Compare {label}").check()
    link = page.get_by_role("link", name="Compare the chosen")
    expect(link).to_be_visible()
    comparison = httpx.get(f"{server.panel}/{link.get_attribute('href')}")
    assert "too few samples" in opened_offline(browser, comparison.text, tmp_path)
    assert page.evaluate("window.hacked") is None

    first = next(run for run in runs(server, "past") if run["label"] == LABEL)
    assert first["requests"] == 25
    shown = opened_offline(browser, httpx.get(f"{server.panel}/api/runs/{first['id']}/report").text, tmp_path)
    assert LABEL in shown


def opened_offline(browser: Browser, html: str, folder: Path) -> str:
    """Open a report from a file, without a network, and return what is to be read there."""
    file = folder / "report.html"
    file.write_text(html)
    context = browser.new_context(offline=True, viewport={"width": 390, "height": 800})
    with context:
        page = context.new_page()
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(file.as_uri())
        assert asked == [file.as_uri()]
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        assert page.evaluate("window.hacked") is None
        text = page.locator("body").inner_text()
        page.set_viewport_size({"width": PAPER, "height": 1_000})
        page.emulate_media(media="print")
        cut = (
            "[...document.querySelectorAll('svg, td, th, dd, p, li')].map((part) => part.getBoundingClientRect().right)"
        )
        assert max(page.evaluate(cut)) <= PAPER, "paper does not scroll"
        return text


def test_a_run_that_another_page_began_shows_up_and_a_refusal_is_said(
    server: Server, open_page: Callable[..., Page]
) -> None:
    page = open_page(f"{server.panel}/?view=runs")
    run = httpx.post(f"{server.panel}/api/runs", json={"label": "elsewhere"}).json()["id"]
    httpx.post(f"{server.api}/log", content="hello")
    expect(page.locator("article.rq-run h2")).to_have_text("elsewhere", timeout=PATIENCE)
    httpx.post(f"{server.panel}/api/runs/{run}/end")
    wait_until(lambda: not runs(server, "live"), "the end of the run")
    button = page.locator("article.rq-run").get_by_role("button", name="End")
    if button.is_visible():
        button.click()
        expect(page.get_by_role("alert").filter(has_text="no live run")).to_be_visible()
