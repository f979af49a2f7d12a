"""`reqscope serve`: the API on one port, the panel on another, in a real browser."""

import json
import re
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, Route, expect

from .conftest import DEADLINE, Server, Start, free_port, wait_until

OpenPage = Callable[..., Page]
HOSTILE = [
    "/x${alert(1)}",
    "/x`${alert(1)}`",
    "/<img src=x onerror=window.hacked=1>",
    "/<script>window.hacked=1</script>",
    "/{{constructor.constructor('window.hacked=1')()}}",
    "/%00%1b%5b31m%e2%80%ae",
]


@pytest.fixture(scope="module")
def server(start: Start) -> Iterator[Server]:
    with start("serve") as running:
        yield running


def rows_with(page: Page, text: str) -> Any:
    return page.locator(".rq-row:visible", has_text=text)


def test_a_request_is_on_the_screen_in_the_log_and_in_the_api(server: Server, open_page: OpenPage) -> None:
    page = open_page(server.panel)

    answer = httpx.post(f"{server.api}/log", content="hello from a client")

    assert answer.json()["message"] == "API received: hello from a client"
    expect(rows_with(page, "hello from a client")).to_have_count(1)
    assert answer.json()["id"] in [event["id"] for event in server.events()]
    wait_until(lambda: answer.json()["id"] in server.log.read_text(), "the line in the log")
    line = next(
        line for line in map(json.loads, server.log.read_text().splitlines()) if line["id"] == answer.json()["id"]
    )
    assert (line["event"], line["body"], line["url.path"]) == ("log", "hello from a client", "/log")


def test_two_tabs_both_follow(server: Server, open_page: OpenPage) -> None:
    """A live generator with Gradio's defaults serves one page and starves the second."""
    first, second = open_page(server.panel), open_page(server.panel)

    httpx.post(f"{server.api}/log", content="for both tabs")

    for page in (first, second):
        expect(rows_with(page, "for both tabs")).to_have_count(1)


def test_a_page_that_opens_late_shows_what_happened_before(server: Server, open_page: OpenPage) -> None:
    httpx.post(f"{server.api}/log", content="before anybody looked")

    expect(rows_with(open_page(server.panel), "before anybody looked")).to_have_count(1)


def test_a_click_on_a_row_shows_the_whole_request(server: Server, open_page: OpenPage) -> None:
    page = open_page(server.panel)
    headers = {"content-type": "application/json", "authorization": "Bearer very-secret", "x-tenant": "blue"}
    httpx.post(f"{server.api}/log", content='{"n": 12345678901234567890123}', headers=headers)

    rows_with(page, "12345678901234567890123").first.click()

    detail = page.locator(".rq-detail")
    expect(detail).to_contain_text("POST /log")
    expect(detail).to_contain_text("x-tenant")
    expect(detail).to_contain_text('"n": 12345678901234567890123')  # a number that JavaScript could not hold
    expect(detail).to_contain_text("[redacted]")
    assert "very-secret" not in page.content()
    page.keyboard.press("Escape")
    expect(detail).to_be_hidden()


def test_a_filter_is_applied_on_the_server_and_kept_in_the_address(server: Server, open_page: OpenPage) -> None:
    page = open_page(server.panel)
    httpx.get(f"{server.api}/no/such/path")
    httpx.post(f"{server.api}/log", content="passes not")

    page.get_by_label("Filter requests").fill("status:4xx path:/no/*")

    expect(rows_with(page, "/no/such/path").first).to_be_visible()
    expect(rows_with(page, "passes not")).to_have_count(0)
    expect(page).to_have_url(re.compile(r"\?filter=status"))
    httpx.get(f"{server.api}/no/other/path")
    expect(rows_with(page, "/no/other/path")).to_have_count(1)
    page.reload()
    expect(rows_with(page, "/no/other/path")).to_have_count(1)
    expect(rows_with(page, "passes not")).to_have_count(0)


@pytest.mark.guarantees("F40")
def test_a_filter_that_cannot_be_read_is_pointed_at_and_the_last_good_one_stays(
    server: Server, open_page: OpenPage
) -> None:
    page = open_page(f"{server.panel}/?filter=path:/log")
    httpx.post(f"{server.api}/log", content="still shown")

    page.get_by_label("Filter requests").fill("colour:red")

    expect(page.get_by_role("alert").filter(has_text="there is no field 'colour'")).to_be_visible()
    expect(rows_with(page, "still shown")).to_have_count(1)


def test_pause_holds_the_view_and_resume_goes_on_from_there(server: Server, open_page: OpenPage) -> None:
    page = open_page(server.panel)
    page.get_by_role("button", name="Pause").click()
    expect(page.locator(".rq[data-state=paused]")).to_be_visible()

    for n in range(3):
        httpx.post(f"{server.api}/log", content=f"while paused {n}")

    expect(page.get_by_role("button", name="Resume")).to_contain_text("3 new")
    expect(rows_with(page, "while paused")).to_have_count(0)
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Resume").click()
    expect(rows_with(page, "while paused")).to_have_count(3)


def test_a_pause_that_has_ended_stays_ended_whatever_was_on_its_way(server: Server, open_page: OpenPage) -> None:
    page = open_page(server.panel)
    page.get_by_role("button", name="Pause").click()
    httpx.post(f"{server.api}/log", content="while paused")
    expect(page.get_by_role("button", name="Resume")).to_contain_text("1 new")
    received = int(page.locator("[data-id=received]").inner_text().replace(",", ""))

    held: list[Route] = []
    asking = re.compile("component_server")
    page.route(asking, lambda route: held.append(route))  # so the server goes on as if it were paused
    page.get_by_role("button", name="Resume").click()
    httpx.post(f"{server.api}/log", content="before the server knows")

    expect(page.locator("[data-id=received]")).to_have_text(f"{received + 1:,}")
    expect(page.get_by_role("button", name="Pause", exact=True)).to_be_visible()
    assert held
    for each in held:
        each.continue_()
    page.unroute(asking)
    expect(rows_with(page, "before the server knows")).to_have_count(1)
    expect(page.get_by_role("button", name="Pause", exact=True)).to_be_visible()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59, "59 s"), (60, "1m 0s"), (599, "9m 59s"), (600, "10m"), (7_500, "2h 5m"), (86_400, "24h")],
)
def test_a_span_is_as_exact_as_a_phone_has_room_for(
    server: Server, open_page: OpenPage, seconds: int, text: str
) -> None:
    page = open_page(server.panel, viewport={"width": 390, "height": 844})
    span = page.locator("[data-id=span]")

    assert page.evaluate(f"window.reqscope.formatSpan({seconds})") == text
    room, taken = span.evaluate(
        "(span, text) => { span.textContent = text; return [span.clientWidth, span.scrollWidth] }", text
    )
    assert taken <= room


@pytest.mark.guarantees("36")
def test_captured_text_is_only_ever_text(server: Server, open_page: OpenPage) -> None:
    page = open_page(server.panel)
    for text in HOSTILE:
        httpx.post(f"{server.api}/log", content=text)
        httpx.get(f"{server.api}/h{text}", headers=[(b"x-hostile", text.encode())])

    expect(rows_with(page, "/h/x${alert(1)}")).to_have_count(1)
    page.locator(".rq-view").hover()
    rows_with(page, "onerror").first.click()
    expect(page.locator(".rq-detail")).to_contain_text("onerror")

    assert page.evaluate("window.hacked") is None
    assert page.locator(".rq img, .rq script, .rq-row b").count() == 0


@pytest.mark.guarantees("F38")
def test_a_closed_tab_is_found_out(server: Server, open_page: OpenPage) -> None:
    """Gradio notices a closed page only when the next frame is due, so a quiet bus must send one."""
    page = open_page(server.panel)
    wait_until(lambda: server.stats()["viewers"] >= 1, "the page counted")

    page.context.close()

    wait_until(lambda: server.stats()["viewers"] == 0, "the page gone", deadline=10)


@pytest.mark.guarantees("F38")
def test_fifty_viewers_all_follow(server: Server) -> None:
    """More than the forty that Gradio has room for by default."""
    with ExitStack() as stack, ThreadPoolExecutor(50) as threads:
        viewers = list(threads.map(lambda n: stack.enter_context(Viewer(server, n)), range(50)))
        wait_until(lambda: server.stats()["viewers"] == 50, "fifty pages counted")

        httpx.post(f"{server.api}/log", content="for all fifty")

        assert all(threads.map(lambda viewer: viewer.wait_for("for all fifty"), viewers))


@pytest.mark.guarantees("F23")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_quickly_although_pages_are_open_and_they_come_back(
    start: Start, open_page: OpenPage, number: signal.Signals
) -> None:
    api_port, panel_port = free_port(), free_port()
    with start("serve", api_port=api_port, panel_port=panel_port) as server:
        page = open_page(server.panel)
        httpx.post(f"{server.api}/log", content="in the first life")
        expect(rows_with(page, "in the first life")).to_have_count(1)

        server.process.send_signal(number)
        assert server.process.wait(3) == 0

        expect(page.locator(".rq-state")).to_contain_text("Reconnecting")
        expect(page.locator("[data-id=notice]")).to_contain_text("The connection to the server is lost.")
        assert "in the first life" in server.log.read_text()
    with start("serve", api_port=api_port, panel_port=panel_port) as server:
        page.locator(".rq[data-state=live]").wait_for(timeout=DEADLINE * 1000)
        httpx.post(f"{server.api}/log", content="in the second life")
        expect(rows_with(page, "in the second life")).to_have_count(1)
        expect(rows_with(page, "in the first life")).to_have_count(0)


@pytest.mark.guarantees("F38")
def test_memory_is_flat_and_every_event_is_accounted_for(server: Server, open_page: OpenPage) -> None:
    open_page(server.panel)
    with httpx.Client(base_url=server.api) as client:

        def send(batches: int) -> None:
            for _ in range(batches):
                assert client.post("/events", content=batch_of(1_000)).json()["accepted"] == 1_000

        send(30)
        before = server.memory()
        send(150)
        grown = server.memory() - before
    assert grown < 16 << 20, f"grew by {grown} bytes"
    ring = server.stats()
    assert ring["published"] == ring["kept"] + ring["evicted"]
    for reader in ring["readers"]:
        assert reader["delivered"] + reader["missed"] + reader["pending"] == ring["published"]


@pytest.mark.guarantees("F38")
def test_the_page_answers_a_click_while_thousands_of_events_arrive(server: Server, open_page: OpenPage) -> None:
    page = open_page(server.panel)
    enough = threading.Event()

    def send() -> None:
        with httpx.Client(base_url=server.api) as client:
            while not enough.wait(0.01):
                client.post("/events", content=batch_of(25))

    sender = threading.Thread(target=send)
    sender.start()
    try:
        expect(rows_with(page, "/load/").first).to_be_visible()
        page.locator(".rq-view").hover()  # rows stand still for the pointer, or nobody could hit one
        expect(page.get_by_title("Go to the newest")).to_be_visible()
        row = rows_with(page, "/load/").nth(3)
        aimed_at = row.inner_text()
        row.click()
        expect(page.locator(".rq-detail")).to_contain_text("/load/")
        expect(page.locator(".rq-row[aria-selected=true]")).to_have_text(aimed_at, use_inner_text=True)
        page.mouse.move(1, 1)
        expect(page.get_by_title("Go to the newest")).to_be_hidden()
    finally:
        enough.set()
        sender.join()


def batch_of(records: int) -> bytes:
    return b"\n".join(b'{"url.path":"/load/%d","http.response.status_code":200}' % n for n in range(records))


class Viewer:
    """A page without a browser: joins Gradio's queue as the page does, and reads its stream."""

    def __init__(self, server: Server, number: int) -> None:
        self._session = f"viewer-{number}"
        self._client = httpx.Client(base_url=f"{server.panel}/gradio_api", timeout=DEADLINE)
        page = httpx.get(server.panel).text
        config = json.loads(page.partition("window.gradio_config = ")[2].partition(";</script>")[0])
        load = next(each for each in config["dependencies"] if each["targets"][0][1] == "load")
        join = {"data": [], "fn_index": load["id"], "session_hash": self._session}
        self._client.post("/queue/join", json=join).raise_for_status()

    def __enter__(self) -> "Viewer":
        self._stream = self._client.stream("GET", "/queue/data", params={"session_hash": self._session})
        self._lines = self._stream.__enter__().iter_lines()
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.__exit__(None, None, None)
        self._client.close()

    def wait_for(self, text: str) -> bool:
        return any(text in line for line in self._lines)
