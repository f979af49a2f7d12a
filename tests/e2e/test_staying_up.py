"""A laptop that sleeps, a network that goes away, a server that starts anew, a tab that nobody looks at."""

import re
import signal
import threading
from collections.abc import Callable, Iterator

import httpx
import pytest
from playwright.sync_api import Locator, Page, expect

from .conftest import DEADLINE, Server, Start, free_port, wait_until
from .wire import Wire

OpenPage = Callable[..., Page]

LONG = 13.0
"""Seconds after which a page has noticed that no sign of life comes any more."""

NEVER_DUE = """
() => {
  const start = setTimeout;
  window.setTimeout = (act, ms, ...more) => (ms > 10000 ? 0 : start(act, ms, ...more));
}
"""
"""So that a page does not notice by itself that a sign of life is late."""


@pytest.fixture(scope="module")
def server(start: Start) -> Iterator[Server]:
    with start("serve") as running:
        yield running


@pytest.fixture
def wire(server: Server) -> Iterator[Wire]:
    with Wire(int(server.panel.rpartition(":")[2])) as wire:
        yield wire


@pytest.fixture
def page(server: Server, wire: Wire, open_page: OpenPage) -> Page:
    """A page that reaches the server over the wire, and shows what this test sends only."""
    post(server, "first")
    page = open_page(f"http://127.0.0.1:{wire.port}/?filter=path:/log")
    expect(rows(page, "first").first).to_be_visible()
    return page


def post(server: Server, *texts: str) -> None:
    for text in texts:
        httpx.post(f"{server.api}/log", content=text).raise_for_status()


def rows(page: Page, text: str) -> Locator:
    return page.locator(".rq-row:not(.rq-gap):visible", has_text=text)


def live(page: Page) -> None:
    page.locator(".rq[data-state=live]").wait_for(timeout=DEADLINE * 1000)


def expect_each_once(page: Page, *texts: str) -> None:
    for text in texts:
        expect(rows(page, text)).to_have_count(1, timeout=DEADLINE * 1000)


class TestConnection:
    def test_a_server_that_is_killed_is_known_to_be_gone_before_its_next_sign_of_life_is_due(
        self, start: Start, open_page: OpenPage
    ) -> None:
        with start("serve") as server:
            page = open_page(server.panel)
            page.evaluate(NEVER_DUE)
            post(server, "a frame that sets the clock anew")
            expect(rows(page, "a frame")).to_have_count(1)
            server.stop(signal.SIGKILL)

            expect(page.locator(".rq-state")).to_contain_text("Reconnecting", timeout=DEADLINE * 1000)
            expect(page.locator("[data-id=notice]")).to_contain_text("The connection to the server is lost.")
            expect(page.locator(".toast-wrap")).to_be_hidden()

    @pytest.mark.guarantees("F38")
    def test_one_that_was_cut_is_made_again_and_nothing_is_missing(
        self, server: Server, wire: Wire, page: Page
    ) -> None:
        wire.cut()
        post(server, "cut-1", "cut-2")
        expect(rows(page, "cut-")).to_have_count(0)
        wire.mend()

        expect_each_once(page, "cut-1", "cut-2")
        live(page)
        post(server, "cut-3")
        expect_each_once(page, "cut-1", "cut-2", "cut-3")

    def test_what_cannot_be_asked_is_said_where_it_was_asked(self, server: Server, page: Page) -> None:
        httpx.post(f"{server.api}/log", content="asked for")
        row = page.locator(".rq-row:visible").first
        expect(row).to_be_visible()
        page.route(re.compile("component_server"), lambda route: route.abort())

        page.locator('[data-id="filter"]').press_sequentially("status:2xx ")
        page.keyboard.press("Enter")
        expect(page.locator('[data-id="filter-error"]')).to_have_text("the connection is down")
        row.locator("span").nth(3).click()
        expect(page.locator(".rq-detail")).to_contain_text("It could not be fetched: the connection is down.")

    @pytest.mark.guarantees("F38")
    @pytest.mark.prove
    def test_one_that_went_silent_is_noticed_said_and_made_again(self, server: Server, wire: Wire, page: Page) -> None:
        post(server, "silent-0")
        expect_each_once(page, "silent-0")
        wire.hold()
        post(server, "silent-1", "silent-2")
        expect(page.locator(".rq-state")).to_contain_text("Reconnecting", timeout=DEADLINE * 1000)
        wire.cut()
        wire.mend()

        expect_each_once(page, "silent-0", "silent-1", "silent-2")
        gap = page.locator(".rq-gap:visible", has_text="Not connected from")
        expect(gap).to_have_count(1)
        order = page.locator(".rq-row:visible").all_inner_texts()
        names = [
            next((name for name in ("silent-2", "silent-1", "Not connected", "silent-0") if name in text), "")
            for text in order
        ]
        assert names[:4] == ["silent-2", "silent-1", "Not connected", "silent-0"]

    @pytest.mark.guarantees("F38")
    @pytest.mark.prove
    def test_a_laptop_that_slept_catches_up(self, server: Server, wire: Wire, page: Page) -> None:
        session = page.context.new_cdp_session(page)
        wire.hold()
        session.send("Page.setWebLifecycleState", {"state": "frozen"})
        post(server, *(f"asleep-{n}" for n in range(5)))
        threading.Event().wait(LONG)  # how long it sleeps is what this is about
        wire.cut()
        wire.mend()
        session.send("Page.setWebLifecycleState", {"state": "active"})

        expect_each_once(page, *(f"asleep-{n}" for n in range(5)))
        live(page)

    @pytest.mark.guarantees("F38")
    def test_a_page_that_was_frozen_goes_on_with_its_stream(self, server: Server, page: Page) -> None:
        page.evaluate("window.stayed = true")
        session = page.context.new_cdp_session(page)
        session.send("Page.setWebLifecycleState", {"state": "frozen"})
        post(server, *(f"frozen-{n}" for n in range(5)))
        session.send("Page.setWebLifecycleState", {"state": "active"})

        expect_each_once(page, *(f"frozen-{n}" for n in range(5)))
        live(page)
        assert page.evaluate("window.stayed")


class TestPause:
    def test_a_reload_keeps_what_is_held_and_resuming_brings_the_rest_once(self, server: Server, page: Page) -> None:
        post(server, "held-0")
        expect_each_once(page, "held-0")
        page.get_by_role("button", name="Pause").click()
        expect(page).to_have_url(re.compile("paused="))
        post(server, "held-1", "held-2")
        expect(page.get_by_role("button", name="Resume")).to_contain_text("2 new")

        page.reload()
        page.locator(".rq[data-state=paused]").wait_for()

        expect(page.get_by_role("button", name="Resume")).to_contain_text("2 new")
        expect_each_once(page, "held-0")
        expect(rows(page, "held-1")).to_have_count(0)
        page.get_by_role("button", name="Resume").click()
        expect_each_once(page, "held-0", "held-1", "held-2")
        expect(page).not_to_have_url(re.compile("paused="))

    def test_it_outlives_a_connection_that_was_cut(self, server: Server, wire: Wire, page: Page) -> None:
        post(server, "kept-0")
        expect_each_once(page, "kept-0")
        page.keyboard.press("Space")
        expect(page).to_have_url(re.compile("paused="))
        wire.cut()
        post(server, "kept-1")
        wire.mend()

        expect(page.get_by_role("button", name="Resume")).to_contain_text("1 new", timeout=DEADLINE * 1000)
        expect_each_once(page, "kept-0")
        page.keyboard.press("Space")
        expect_each_once(page, "kept-0", "kept-1")

    def test_a_filter_and_another_page_in_between_move_nothing(self, server: Server, page: Page) -> None:
        post(server, "still-0")
        expect_each_once(page, "still-0")
        page.keyboard.press("Space")
        expect(page).to_have_url(re.compile("paused="))
        post(server, "still-1")
        expect(page.get_by_role("button", name="Resume")).to_contain_text("1 new")

        page.locator('[data-page="routes"]').click()
        expect(page.locator(".rq-list")).to_be_visible()
        page.locator('[data-page="live"]').click()
        page.locator('[data-id="filter"]').fill("still")

        expect_each_once(page, "still-0")
        expect(rows(page, "still-1")).to_have_count(0)
        page.get_by_role("button", name="Resume").click()
        expect_each_once(page, "still-0", "still-1")


def look_away(page: Page) -> None:
    page.evaluate(
        """() => {
          Object.defineProperty(document, "visibilityState", { value: "hidden", configurable: true });
          document.dispatchEvent(new Event("visibilitychange"));
        }"""
    )


def look_back(page: Page) -> None:
    page.evaluate(
        """() => {
          delete document.visibilityState;
          document.dispatchEvent(new Event("visibilitychange"));
        }"""
    )


@pytest.mark.guarantees("F38")
@pytest.mark.parametrize("paused", [False, True], ids=["live", "paused"])
def test_a_tab_that_nobody_looks_at_gives_its_stream_back_and_goes_on_where_it_was(
    server: Server, page: Page, paused: bool
) -> None:
    wait_until(lambda: server.stats()["viewers"] == 1, "pages of other tests to be gone")
    page.clock.install()
    page.reload()
    live(page)
    name = f"hidden-{paused}"
    post(server, f"{name}-0")
    expect_each_once(page, f"{name}-0")
    page.evaluate("window.stayed = true")
    if paused:
        page.keyboard.press("Space")
        expect(page).to_have_url(re.compile("paused="))

    look_away(page)
    page.clock.fast_forward(21_000)
    wait_until(lambda: server.stats()["viewers"] == 0, "the stream to end")
    post(server, f"{name}-1", f"{name}-2")
    look_back(page)

    if paused:
        expect(page.get_by_role("button", name="Resume")).to_contain_text("2 new")
        expect(rows(page, f"{name}-1")).to_have_count(0)
        page.keyboard.press("Space")
    expect_each_once(page, *(f"{name}-{n}" for n in range(3)))
    assert page.evaluate("window.stayed")
    page.context.close()  # its clock is for no other test


def test_a_server_that_starts_anew_is_noticed_and_said(start: Start, open_page: OpenPage) -> None:
    api_port, panel_port = free_port(), free_port()
    with start("serve", api_port=api_port, panel_port=panel_port) as server:
        page = open_page(server.panel)
        post(server, "before")
        expect_each_once(page, "before")
        page.keyboard.press("Space")
        expect(page).to_have_url(re.compile("paused="))
        server.process.kill()
        server.process.wait()
    with start("serve", api_port=api_port, panel_port=panel_port) as server:
        post(server, "after-1")
        live(page)  # what was held is gone, so the view goes on
        expect_each_once(page, "after-1")
        expect(page.locator(".rq-gap:visible")).to_contain_text("The server has restarted since")
        expect(rows(page, "before")).to_have_count(0)
        expect(page).not_to_have_url(re.compile("paused="))


def test_what_is_older_than_the_page_lists_is_said_at_its_end(server: Server, open_page: OpenPage) -> None:
    httpx.post(f"{server.api}/events", content=b"\n".join(b'{"url.path":"/older/%d"}' % n for n in range(700)))
    page = open_page(f"{server.panel}/?filter=path:/older/*")
    expect(page.get_by_role("grid")).to_have_attribute("aria-rowcount", "502")
    page.locator(".rq-view").evaluate("(view) => { view.scrollTop = 1e6; }")

    expect(page.locator(".rq-gap:visible")).to_contain_text("Older requests are not listed here")
    expect(rows(page, "/older/200")).to_have_count(1)
