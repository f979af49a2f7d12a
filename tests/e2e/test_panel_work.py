"""Working in the panel: filter, look inside, go from page to page, copy, export, and find it as it was left."""

import json
import re
import subprocess
from collections.abc import Callable, Iterator

import httpx
import pytest
from playwright.sync_api import Locator, Page, expect

from .conftest import Server, Start, run_app, wait_until

OpenPage = Callable[..., Page]

APP = """
import asyncio
from fastapi import FastAPI, Request

app = FastAPI()
gate = asyncio.Event()

@app.api_route("/items/{item}", methods=["GET", "PUT"])
async def item(item: str, request: Request):
    await request.body()
    return {"item": item}

@app.get("/broken")
async def broken():
    raise LookupError("<img src=x onerror=window.hacked=1>")

@app.post("/orders/{shop}")
async def order(shop: int, amounts: list[int], note: str = ""):
    return {}

@app.get("/wait")
async def wait():
    await gate.wait()

@app.get("/release")
async def release():
    gate.set()
"""

BEYOND = """
[...document.querySelectorAll(".rq-bar > *, .rq-page, .rq-facts")]
  .filter((part) => part.checkVisibility() && part.getBoundingClientRect().right > innerWidth)
  .map((part) => part.outerHTML.slice(0, 60))
"""


@pytest.fixture(scope="module")
def server(start: Start, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with run_app(start, tmp_path_factory.mktemp("app"), "worked", APP) as running:
        yield running


@pytest.fixture
def page(server: Server, open_page: OpenPage) -> Page:
    return open_page(server.panel, permissions=["clipboard-read", "clipboard-write"])


def rows(page: Page) -> Locator:
    return page.locator(".rq-row:not(.rq-gap):visible")


def row(page: Page, text: str) -> Locator:
    return rows(page).filter(has_text=text).first


def open_row(page: Page, text: str) -> Locator:
    row(page, text).locator("span").nth(3).click()
    detail = page.locator(".rq-detail")
    expect(detail.locator("h2")).to_contain_text(text)
    return detail


class TestFilter:
    def test_what_is_typed_is_completed_with_the_keyboard(self, server: Server, page: Page) -> None:
        httpx.get(f"{server.api}/items/1")
        field = page.locator('[data-id="filter"]')
        field.press_sequentially("stat")
        expect(page.locator(".rq-suggest li").first).to_contain_text("status:")
        field.press("Escape")  # takes the suggestions away, and nothing else
        expect(page.locator(".rq-suggest")).to_be_hidden()
        expect(field).to_have_value("stat")
        field.press_sequentially("u")
        expect(page.locator(".rq-suggest li").first).to_contain_text("status:")
        field.press("ArrowDown")
        field.press("Enter")
        expect(field).to_have_value("status:")
        field.press_sequentially("2xx ")
        expect(rows(page).first).to_be_visible()
        expect(page).to_have_url(re.compile("filter=status%3A2xx"))

    def test_routes_that_were_seen_are_offered(self, server: Server, page: Page) -> None:
        httpx.get(f"{server.api}/items/1")
        page.locator('[data-id="filter"]').press_sequentially("route:")
        expect(page.locator(".rq-suggest")).to_contain_text("/items/{item}")

    def test_a_click_on_a_cell_adds_it(self, server: Server, page: Page) -> None:
        httpx.get(f"{server.api}/items/1")
        httpx.put(f"{server.api}/items/2")
        row(page, "/items/2").locator("span").nth(1).click()

        expect(page.locator('[data-id="filter"]')).to_have_value("method:PUT")
        expect(rows(page).filter(has_text="/items/1")).to_have_count(0)
        row(page, "/items/2").locator("span").nth(7).click()
        expect(page.locator('[data-id="filter"]')).to_have_value("method:PUT route:/items/{item}")
        expect(row(page, "/items/2")).to_be_visible()

    def test_a_mistake_is_pointed_at_and_the_last_good_filter_stays(self, server: Server, page: Page) -> None:
        httpx.get(f"{server.api}/items/1")
        field = page.locator('[data-id="filter"]')
        field.fill("path:/items/1")
        expect(rows(page).first).to_be_visible()
        field.fill("path:/items/1 (status:200")
        field.press("Escape")
        expect(field).to_have_value("path:/items/1 (status:200")
        expect(page.locator('[data-id="filter-error"]')).to_contain_text("^")
        expect(field).to_have_attribute("aria-invalid", "true")
        expect(row(page, "/items/1")).to_be_visible()

    def test_a_saved_filter_is_there_after_a_reload(self, server: Server, page: Page) -> None:
        page.locator('[data-id="filter"]').fill("status:5xx")
        page.locator('[data-id="options"]').click()
        page.get_by_role("button", name="Save").click()
        page.reload()
        page.locator(".rq[data-state=live]").wait_for()
        page.locator('[data-id="filter"]').fill("")
        page.locator('[data-id="options"]').click()
        page.get_by_role("button", name="status:5xx", exact=True).click()

        expect(page.locator('[data-id="filter"]')).to_have_value("status:5xx")


class TestDetail:
    def test_the_address_of_an_open_event_opens_it_again(self, server: Server, page: Page, open_page: OpenPage) -> None:
        httpx.get(f"{server.api}/items/permalink")
        open_row(page, "/items/permalink")
        expect(page).to_have_url(re.compile("event="))

        other = open_page(page.url)

        expect(other.locator(".rq-detail h2")).to_contain_text("/items/permalink")
        other.keyboard.press("Escape")
        expect(other.locator(".rq-detail")).to_be_hidden()
        expect(other).not_to_have_url(re.compile("event="))

    def test_tabs_are_chosen_by_mouse_and_arrow_keys(self, server: Server, page: Page) -> None:
        httpx.put(f"{server.api}/items/tabs", content='{"amount": 2}')
        detail = open_row(page, "/items/tabs")
        detail.get_by_role("tab", name="Request").click()
        expect(detail.get_by_role("tabpanel")).to_contain_text('"amount": 2')
        page.keyboard.press("ArrowRight")
        expect(detail.get_by_role("tabpanel")).to_contain_text('"item": "tabs"')
        expect(detail.get_by_role("tab", name="Response")).to_have_attribute("aria-selected", "true")

    def test_a_request_copied_as_curl_is_sent_again_by_bash(self, server: Server, page: Page) -> None:
        body = """{"it's": "100 % \\\\ $HOME `id` !", "ü": 1}\n"""
        httpx.put(f"{server.api}/items/a'b%25?q=$(id)&x=%27", content=body)
        detail = open_row(page, "/items/a'b%")
        detail.get_by_role("button", name="cURL").click()
        expect(detail.get_by_role("status")).to_have_text("Copied.")
        command = page.evaluate("navigator.clipboard.readText()")
        before = server.stats()["published"]

        subprocess.run(["bash", "-c", command], check=True, capture_output=True, timeout=30)

        wait_until(lambda: server.stats()["published"] > before, "the request to arrive again")
        first, second = server.events(filter='path:"/items/a\'b%"')[-2:]
        for name in ("http.request.method", "url.path", "url.query"):
            assert first[name] == second[name]
        bodies = [
            httpx.get(f"{server.panel}/api/events/{event['id']}").json()["http.request.body"]["text"]
            for event in (first, second)
        ]
        assert bodies == [body, body]

    def test_what_is_related_is_a_click_away(self, server: Server, page: Page) -> None:
        httpx.get(f"{server.api}/items/related")
        detail = open_row(page, "/items/related")
        detail.get_by_role("tab", name="Related").click()
        detail.get_by_role("button", name="Show the same path").click()

        expect(page.locator('[data-id="filter"]')).to_have_value("path:/items/related")


class TestPages:
    def test_routes_have_their_numbers_and_lead_to_their_requests(self, server: Server, open_page: OpenPage) -> None:
        for number in range(3):
            httpx.get(f"{server.api}/items/{number}")
        page = open_page(f"{server.panel}/?view=routes")
        line = page.locator(".rq-list tbody tr").filter(has_text="GET /items/{item}")
        expect(line).to_be_visible()
        httpx.get(f"{server.api}/items/more")
        count = next(
            row["count"]
            for row in httpx.get(f"{server.panel}/api/routes").json()["routes"]
            if (row["method"], row["route"]) == ("GET", "/items/{item}")
        )
        expect(line.locator("td").first).to_have_text(str(count))
        line.get_by_role("button").click()

        expect(page.locator('[data-id="filter"]')).to_have_value('method:GET route:"/items/{item}"')
        expect(rows(page).first).to_be_visible()

    def test_errors_are_grouped_and_their_text_is_only_text(self, server: Server, open_page: OpenPage) -> None:
        for _ in range(2):
            httpx.get(f"{server.api}/broken")
        page = open_page(f"{server.panel}/?view=errors")
        group = page.locator(".rq-error").filter(has_text="LookupError")
        expect(group).to_contain_text("<img src=x onerror=window.hacked=1>")
        expect(group).to_contain_text(re.compile(r"In \w+, \S*worked\.py:\d+"))
        group.get_by_role("button", name="Show traceback").click()
        expect(group.locator("pre")).to_contain_text("worked.py")
        assert page.evaluate("window.hacked") is None
        group.get_by_role("button", name="Latest request").click()
        expect(page.locator(".rq-detail h2")).to_contain_text("/broken")
        expect(page.locator(".rq-detail [role=tabpanel]:visible h3").first).to_have_text("Exception")

    def test_fields_that_validation_refused_lead_to_their_requests(self, server: Server, open_page: OpenPage) -> None:
        httpx.post(f"{server.api}/orders/here", json=[1, "<b>two</b>", 3, "four"])
        httpx.post(f"{server.api}/orders/there", json=[1])
        page = open_page(f"{server.panel}/?view=errors")
        fields = page.locator(".rq-refused tbody tr")

        expect(page.locator(".rq-refused")).to_contain_text("2 answers of 422")
        expect(fields.first).to_contain_text("path.shop")
        expect(fields.first.locator("td").first).to_have_text("2")
        expect(fields.nth(1)).to_contain_text("int_parsing")
        fields.nth(1).get_by_role("button", name="body[]").click()
        expect(page.locator(".rq-detail h2")).to_contain_text("POST /orders/here")
        page.locator('a[data-page="errors"]').click()
        fields.first.get_by_role("button", name="POST /orders/{shop}").click()
        expect(page.locator('[data-id="filter"]')).to_have_value('status:422 method:POST route:"/orders/{shop}"')
        expect(rows(page)).to_have_count(2)

    def test_what_is_in_flight_is_there_while_it_lasts(self, server: Server, open_page: OpenPage) -> None:
        page = open_page(f"{server.panel}/?view=flight")
        expect(page.locator(".rq-page")).to_contain_text("Nothing is in flight.")
        with subprocess.Popen(["curl", "-s", f"{server.api}/wait"]) as waiting:
            expect(page.locator(".rq-list")).to_contain_text("GET /wait")
            httpx.get(f"{server.api}/release")
            waiting.wait(20)
        expect(page.locator(".rq-page")).to_contain_text("Nothing is in flight.")

    def test_the_monitor_tells_of_itself(self, server: Server, open_page: OpenPage) -> None:
        page = open_page(f"{server.panel}/?view=system")

        for text in ("Ring", "Readers", "Versions", "Settings", "gradio", "bodies"):
            expect(page.locator(".rq-page")).to_contain_text(text)
        expect(page.locator(".rq-facts tr").filter(has_text="capacity").first).to_contain_text("10,000")
        expect(page.locator(".rq-facts tr").filter(has_text="max_header_bytes")).to_contain_text("64.0 KiB")

    def test_nothing_is_beyond_the_edge_of_a_window_however_wide(self, server: Server, open_page: OpenPage) -> None:
        page = open_page(f"{server.panel}/?view=system")
        expect(page.locator(".rq-page")).to_contain_text("Settings")

        for width in (1920, 1440, 1341, 1340, 1101, 1024, 900, 768, 721, 720, 390, 320):
            page.set_viewport_size({"width": width, "height": 800})
            assert page.evaluate(BEYOND) == [], f"in a window of {width}"

    def test_the_browsers_back_button_goes_back(self, server: Server, page: Page) -> None:
        page.locator('[data-page="routes"]').click()
        expect(page.locator(".rq-page")).to_be_visible()
        page.locator('[data-page="system"]').click()
        expect(page.locator(".rq-page")).to_contain_text("Versions")
        page.go_back()
        expect(page.locator(".rq-choose")).to_contain_text("Window")
        page.go_back()
        expect(page.locator(".rq-table")).to_be_visible()


class TestWhatSomebodyLikes:
    def test_columns_and_density_are_as_they_were_left(self, server: Server, page: Page) -> None:
        httpx.get(f"{server.api}/items/1")
        page.locator('[data-id="options"]').click()
        page.get_by_label("Client").uncheck()
        page.get_by_label("Dense").check()
        page.keyboard.press("Escape")
        page.reload()
        page.locator(".rq[data-state=live]").wait_for()

        expect(page.get_by_role("columnheader", name="Client")).to_be_hidden()
        expect(page.get_by_role("columnheader", name="Route")).to_be_visible()
        expect(rows(page).first).to_have_css("height", "24px")

    def test_a_browser_that_keeps_nothing_shows_the_page_all_the_same(self, page: Page, open_page: OpenPage) -> None:
        page.add_init_script("Storage.prototype.getItem = Storage.prototype.setItem = () => { throw new Error('no') }")
        page.reload()
        page.locator(".rq[data-state=live]").wait_for()
        page.locator('[data-id="theme"]').click()
        expect(page.locator('[data-id="theme"]')).to_contain_text("Light")
        page.locator('[data-id="options"]').click()
        page.get_by_label("Client").uncheck()
        expect(page.get_by_role("columnheader", name="Client")).to_be_hidden()

    def test_the_keys_are_told_when_one_asks(self, page: Page) -> None:
        page.keyboard.press("?")
        expect(page.locator(".rq-help")).to_contain_text("next, previous request")
        page.keyboard.press("Escape")
        expect(page.locator(".rq-help")).to_be_hidden()

    @pytest.mark.parametrize("kind", ["NDJSON", "CSV", "HAR"])
    def test_what_the_filter_selects_is_a_file_to_keep(self, server: Server, page: Page, kind: str) -> None:
        httpx.get(f"{server.api}/items/exported")
        page.locator('[data-id="filter"]').fill("path:/items/exported")
        expect(page).to_have_url(re.compile("filter="))
        with page.expect_download() as download:
            page.get_by_role("link", name=kind).click()
        text = download.value.path().read_text()

        assert "/items/exported" in text
        assert "/broken" not in text
        if kind == "HAR":
            assert json.loads(text)["log"]["version"] == "1.2"


def test_a_time_range_is_dragged_over_in_a_chart(server: Server, page: Page) -> None:
    httpx.get(f"{server.api}/items/dragged")
    expect(row(page, "/items/dragged")).to_be_visible()
    chart = page.locator('[data-id="rate-chart"] .u-over')
    box = chart.bounding_box()
    assert box is not None
    y = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] * 0.5, y)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] - 2, y, steps=5)
    page.mouse.up()

    field = page.locator('[data-id="filter"]')
    expect(field).to_have_value(re.compile(r"^time:\d{4}-\S+Z\.\.\d{4}-\S+Z$"))
    page.mouse.move(box["x"] + 5, y)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.3, y, steps=5)
    page.mouse.up()
    expect(row(page, "/items/dragged")).to_be_hidden()  # it came after that, whatever came before
    expect(field).to_have_value(re.compile(r"^time:\S+$"))


def test_a_pointer_over_one_chart_reads_the_same_second_in_all(server: Server, page: Page) -> None:
    for _ in range(7):
        httpx.get(f"{server.api}/items/counted")
    expect(rows(page).filter(has_text="/items/counted")).to_have_count(7)
    chart = page.locator('[data-id="rate-chart"] .u-over')
    box = chart.bounding_box()
    assert box is not None
    expect(page.locator('[data-id="rate-chart"] .u-legend')).to_contain_text("now")

    def legends() -> list[str]:
        """Return the first entry of each, and last the count of successes; at once, for they go on with time."""
        cells: list[str] = page.evaluate(
            """() => {
              const all = [...document.querySelectorAll(".rq-charts .u-legend")];
              const entries = [...all[0].querySelectorAll("tr")];
              const successes = entries.find((entry) => entry.textContent.includes("2xx"));
              return [...all, successes].map((each) => each.querySelector("td").textContent);
            }"""
        )
        return cells

    most = 0
    for second in range(20):  # from the newest on, each of 120 seconds
        page.mouse.move(box["x"] + box["width"] * (1 - (second + 0.5) / 120), box["y"] + box["height"] / 2)
        expect(page.locator('[data-id="rate-chart"] .u-legend')).not_to_contain_text("now")
        *times, successes = legends()
        assert len(times) == 3
        assert len(set(times)) == 1, times
        most = max(most, int(successes))
    assert most > 0  # what was counted, in whichever second it came


def test_what_is_looked_at_stays_when_the_ring_has_evicted_it(start: Start, open_page: OpenPage) -> None:
    with start("serve", "--capacity", "10") as server:
        httpx.post(f"{server.api}/log", content="held in the hand")
        page = open_page(server.panel)
        row(page, "held in the hand").locator("span").nth(3).click()
        page.get_by_role("tab", name="Raw").click()
        expect(page.get_by_role("tabpanel")).to_contain_text("held in the hand")
        for number in range(20):
            httpx.post(f"{server.api}/log", content=f"note {number}")
        expect(row(page, "note 19")).to_be_visible()

        expect(page.get_by_role("tabpanel")).to_contain_text("held in the hand")
        expect(page.locator(".rq-row[aria-selected=true]")).to_contain_text("held in the hand")
        page.reload()
        expect(page.locator(".rq-detail")).to_contain_text("The ring has evicted this event.")


def test_a_page_that_has_nothing_to_show_says_what_to_send(start: Start, open_page: OpenPage) -> None:
    with start("serve") as server:
        page = open_page(server.panel, permissions=["clipboard-read", "clipboard-write"])
        empty = page.locator(".rq-empty")
        expect(empty).to_contain_text("No requests yet.")
        empty.get_by_role("button", name="Copy").click()
        expect(empty.get_by_role("button")).to_have_text("Copied.")
        subprocess.run(["bash", "-c", page.evaluate("navigator.clipboard.readText()")], check=True, capture_output=True)

        expect(row(page, "hello")).to_be_visible()
        expect(empty).to_be_hidden()


def test_a_click_is_not_lost_to_a_page_that_is_written_anew_meanwhile(server: Server, open_page: OpenPage) -> None:
    httpx.get(f"{server.api}/items/1")
    page = open_page(f"{server.panel}/?view=routes")
    heading = page.locator("thead .rq-link", has_text="p95")
    box = heading.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    httpx.get(f"{server.api}/items/1")
    count = page.locator('[data-id="received"]')
    expect(count).to_have_text(f"{server.stats()['published']:,}")
    page.mouse.up()

    expect(page.get_by_role("columnheader", name="p95")).to_have_attribute("aria-sort", "descending")
