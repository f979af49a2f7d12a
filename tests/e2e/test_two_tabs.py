"""Two tabs of one browser: each has a view of its own, and keeps it."""

import re
from collections.abc import Callable, Iterator

import httpx
import pytest
from playwright.sync_api import Locator, Page, expect

from .conftest import DEADLINE, Server, Start

OpenPage = Callable[..., Page]


@pytest.fixture(scope="module")
def server(start: Start) -> Iterator[Server]:
    with start("serve") as running:
        for number in range(6):
            httpx.post(f"{running.api}/log", content=f"note {number}")
            httpx.get(f"{running.api}/missing/{number}")
        yield running


@pytest.fixture
def tabs(server: Server, open_page: OpenPage) -> tuple[Page, Page]:
    one = open_page(server.panel)
    other = one.context.new_page()
    other.goto(server.panel)
    for page in (one, other):
        live(page)
        expect(rows(page, "note 0")).to_have_count(1)
    return one, other


def live(page: Page) -> None:
    page.locator(".rq[data-state=live]").wait_for(timeout=DEADLINE * 1000)


def rows(page: Page, text: str = "") -> Locator:
    return page.locator(".rq-row:not(.rq-gap):visible", has_text=text)


def test_a_filter_is_of_its_tab(tabs: tuple[Page, Page]) -> None:
    one, other = tabs
    one.locator('[data-id="filter"]').fill("path:/missing/*")
    expect(rows(one)).to_have_count(6)
    other.locator('[data-id="filter"]').fill("note")
    expect(rows(other)).to_have_count(6)
    expect(rows(one, "/missing/")).to_have_count(6)

    for page, text in ((one, "/missing/"), (other, "note")):
        page.reload()
        live(page)
        expect(rows(page, text)).to_have_count(6)
        expect(rows(page)).to_have_count(6)


def test_a_pause_is_of_its_tab(server: Server, tabs: tuple[Page, Page]) -> None:
    one, other = tabs
    one.bring_to_front()
    one.keyboard.press("Space")
    expect(one).to_have_url(re.compile("paused="))
    httpx.get(f"{server.api}/paused")

    expect(rows(other, "/paused")).to_have_count(1)
    expect(other.locator(".rq")).to_have_attribute("data-state", "live")
    expect(one.locator('[data-id="pause"]')).to_contain_text("1 new")
    expect(rows(one, "/paused")).to_have_count(0)


def test_a_page_and_a_selection_are_of_their_tab(tabs: tuple[Page, Page]) -> None:
    one, other = tabs
    one.locator('[data-page="routes"]').click()
    expect(one.locator(".rq-list")).to_be_visible()
    other.bring_to_front()
    other.keyboard.press("j")
    other.keyboard.press("j")
    title = other.locator(".rq-detail h2")
    expect(title).to_be_visible()
    selected = other.locator(".rq-row[aria-selected=true]").inner_text()

    expect(one.locator(".rq-list")).to_be_visible()
    assert "event=" not in one.url
    for page in tabs:
        page.reload()
        live(page)
    expect(one.locator(".rq-list")).to_be_visible()
    expect(one.locator(".rq-detail")).to_be_hidden()
    expect(other.locator(".rq-detail h2")).to_be_visible()
    expect(other.locator(".rq-row[aria-selected=true]")).to_have_text(selected, use_inner_text=True)


def test_what_is_saved_in_one_tab_is_kept_by_the_other_which_goes_on_as_it_was(tabs: tuple[Page, Page]) -> None:
    one, other = tabs
    for page in tabs:  # both have looked at what there is, which is nothing
        page.locator('[data-id="options"]').click()
        expect(page.get_by_role("button", name="Forget")).to_have_count(0)
        page.keyboard.press("Escape")
    one.locator('[data-id="filter"]').fill("status:404")
    one.locator('[data-id="options"]').click()
    one.get_by_role("button", name="Save").click()
    one.get_by_label("Client").uncheck()

    expect(other.get_by_role("columnheader", name="Client")).to_be_visible()
    other.locator('[data-id="options"]').click()
    other.get_by_label("Dense rows").check()
    expect(other.get_by_role("button", name="Forget status:404")).to_be_visible()
    other.reload()
    live(other)
    other.locator('[data-id="options"]').click()
    expect(other.get_by_role("button", name="Forget status:404")).to_be_visible()
