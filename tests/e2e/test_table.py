"""The table of requests, in a real browser."""

from collections.abc import Callable, Iterator

import httpx
import pytest
from playwright.sync_api import Locator, Page, expect

from .conftest import Server, Start, wait_until

OpenPage = Callable[..., Page]

PATHS = [f"/{n:03}" for n in reversed(range(300))]  # as they are to be shown, newest first
PLACES = """
(rows) => rows.map((row) => [
  new DOMMatrix(getComputedStyle(row).transform).f / 30, row.children[3].firstChild.textContent,
])
"""


@pytest.fixture
def server(start: Start) -> Iterator[Server]:
    with start("serve") as running:
        yield running


def visible(page: Page) -> Locator:
    return page.locator(".rq-row:visible")


def post(server: Server, *paths: str) -> None:
    httpx.post(f"{server.api}/events", content=b"\n".join(b'{"url.path":"%s"}' % path.encode() for path in paths))


def assert_in_order(page: Page) -> None:
    """Rows are in the document in the order in which they are seen, each in the place of its path."""

    def in_order() -> bool:
        # The browser is asked twice, which rows there are and then where: in between they may move once more.
        shown = visible(page).evaluate_all(PLACES)
        first = int(shown[0][0])
        return bool(shown == [[first + n, path] for n, path in enumerate(PATHS[first : first + len(shown)])])

    wait_until(in_order, "the rows to be in order")


def test_a_row_that_stays_in_view_is_moved_and_not_written_anew(server: Server, open_page: OpenPage) -> None:
    page = open_page(server.panel)
    post(server, "/one", "/two")
    expect(visible(page)).to_have_count(2)
    visible(page).evaluate_all("(rows) => rows.forEach((row) => { row.mark = row.textContent; })")

    post(server, "/three")

    expect(visible(page)).to_have_count(3)
    expect(visible(page).first).to_contain_text("/three")
    marks = visible(page).evaluate_all("(rows) => rows.map((row) => row.mark === row.textContent)")
    assert marks == [False, True, True]


def test_rows_are_read_out_in_the_order_in_which_they_are_seen(server: Server, open_page: OpenPage) -> None:
    page = open_page(server.panel)
    post(server, *PATHS[:39:-1])
    for path in PATHS[39::-1]:  # more than fit, one by one, so that elements change their rows
        post(server, path)
        expect(visible(page).first).to_contain_text(path)

    assert_in_order(page)


@pytest.mark.parametrize("top", [0, 45, 3_000, 6_500, 100_000])
def test_wherever_it_is_scrolled_to_the_table_shows_the_rows_of_that_place_in_few_elements(
    server: Server, open_page: OpenPage, top: int
) -> None:
    page = open_page(server.panel)
    post(server, *reversed(PATHS))
    expect(visible(page).first).to_contain_text(PATHS[0])

    for stop in (6_000, top):
        place = page.locator(".rq-view").evaluate("(view, top) => (view.scrollTop = top, view.scrollTop / 30)", stop)
        expect(visible(page).filter(has_text=PATHS[int(place)])).to_be_visible()

    assert_in_order(page)
    assert page.locator(".rq-row").count() < 60


def test_the_selection_goes_with_its_row(server: Server, open_page: OpenPage) -> None:
    page = open_page(server.panel)
    post(server, "/first", "/second")
    expect(visible(page)).to_have_count(2)
    page.keyboard.press("j")
    page.keyboard.press("j")
    selected = page.locator(".rq-row[aria-selected=true]:visible")
    expect(selected).to_contain_text("/first")

    post(server, *(f"/later/{n}" for n in range(3)))

    expect(visible(page)).to_have_count(5)
    expect(selected).to_have_count(1)
    expect(selected).to_contain_text("/first")
    page.keyboard.press("k")
    expect(selected).to_have_count(1)
    expect(selected).to_contain_text("/second")


def test_a_filter_shows_other_rows_and_taking_it_away_all_of_them(server: Server, open_page: OpenPage) -> None:
    page = open_page(server.panel)
    post(server, *(f"/{'even' if n % 2 == 0 else 'odd'}/{n}" for n in range(12)))
    expect(visible(page)).to_have_count(12)

    page.get_by_label("Filter requests").fill("path:/odd/*")

    expect(visible(page)).to_have_count(6)
    expect(visible(page).filter(has_text="/even/")).to_have_count(0)
    page.get_by_label("Filter requests").fill("")
    expect(visible(page)).to_have_count(12)
