"""What the page is allowed, in a real browser: nothing it asks for is refused, and nothing else runs."""

import re
from collections.abc import Callable, Iterator

import httpx
import pytest
from playwright.sync_api import BrowserContext, Page, expect

from .conftest import Server, Start

VIEWS = ("", "?view=routes", "?view=errors", "?view=flight", "?view=system")
ATTACKS = {
    "an attribute": "<img src=x onerror=\"window.ran = 'attribute'\">",
    "a frame": "<iframe srcdoc=\"<script>parent.ran = 'frame'</script>\"></iframe>",
    "an object": "<object data=\"data:text/html,<script>parent.ran='object'</script>\"></object>",
    "a form": "<form action=\"javascript:window.ran='form'\"><button></button></form>",
    "a link": "<a href=\"javascript:window.ran='link'\">x</a>",
    "a drawing": "<svg><animate onbegin=\"window.ran='drawing'\" attributeName=x dur=1s></svg>",
}


@pytest.fixture(scope="module")
def server(start: Start) -> Iterator[Server]:
    with start("demo") as running:
        yield running


@pytest.fixture
def watched(server: Server, open_page: Callable[..., Page]) -> tuple[Page, list[str], list[tuple[str, int]]]:
    """A live page, what its console says of policies, and what it fetched."""
    page = open_page(server.panel)
    complaints, fetched = list[str](), list[tuple[str, int]]()
    page.on("console", lambda line: complaints.append(line.text) if re.search("Policy|policy", line.text) else None)
    page.on("response", lambda answer: fetched.append((answer.url, answer.status)))
    return page, complaints, fetched


@pytest.mark.guarantees("36")
def test_no_page_is_refused_anything_or_asks_anybody_else(
    server: Server, watched: tuple[Page, list[str], list[tuple[str, int]]]
) -> None:
    page, complaints, fetched = watched

    for view in VIEWS:
        page.goto(f"{server.panel}/{view}")
        page.locator(".rq[data-state=live]").wait_for()
    page.goto(server.panel)
    row = page.locator(".rq-row:visible").first
    row.wait_for()
    row.click()
    expect(page.locator(".rq-detail")).to_be_visible()
    page.emulate_media(color_scheme="dark")

    assert complaints == []
    assert [url for url, _ in fetched if not url.startswith((server.panel, "data:", "blob:"))] == []
    assert [(url, status) for url, status in fetched if status >= 400] == []


@pytest.mark.guarantees("36")
@pytest.mark.parametrize("how", ATTACKS)
def test_what_gets_into_the_page_does_not_run(server: Server, open_page: Callable[..., Page], how: str) -> None:
    page = open_page(server.panel)

    page.evaluate(
        """html => new Promise(done => {
            document.addEventListener('securitypolicyviolation', done);
            const place = document.body.appendChild(document.createElement('div'));
            place.innerHTML = html;
            for (const event of ['load', 'error']) place.firstChild.addEventListener(event, done);
            place.querySelector('a, button')?.click();
        })""",
        ATTACKS[how],
    )

    assert page.evaluate("window.ran") is None


def test_the_browser_keeps_nothing_of_what_was_captured(server: Server, open_page: Callable[..., Page]) -> None:
    page = open_page(server.panel)
    context: BrowserContext = page.context

    httpx.get(f"{server.api}/kept-nowhere")
    expect(page.locator(".rq-row:visible", has_text="/kept-nowhere").first).to_be_visible()

    assert "kept-nowhere" not in str(context.storage_state())
    assert "kept-nowhere" not in page.evaluate("JSON.stringify({...localStorage, ...sessionStorage})")
    assert page.evaluate("indexedDB.databases().then(all => all.length)") == 0
    assert httpx.get(f"{server.panel}/api/events").headers["cache-control"] == "no-store"
