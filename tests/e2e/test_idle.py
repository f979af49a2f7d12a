"""A page that nothing happens on, in a real browser."""

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page

from .conftest import Server, Start

OpenPage = Callable[..., Page]

# Counts what the page asks the browser to draw, from before its first script.
COUNT_FRAMES = """
(() => {
  const ask = window.requestAnimationFrame;
  window.framesAsked = 0;
  window.requestAnimationFrame = (callback) => { window.framesAsked++; return ask.call(window, callback); };
})();
"""

# Waits for a sign of life, and then returns how many frames were asked for until the next, which is five seconds later.
BETWEEN_TWO_BEATS = """
async () => {
  const beat = () => new Promise((resolve) => {
    const observer = new MutationObserver(() => { observer.disconnect(); resolve(); });
    observer.observe(document.querySelector("[data-id=received]"), { childList: true });
  });
  await beat();
  const before = window.framesAsked;
  await beat();
  return window.framesAsked - before;
}
"""


@pytest.fixture
def server(start: Start) -> Iterator[Server]:
    with start("serve") as running:
        yield running


@pytest.mark.prove
def test_an_idle_page_lets_the_browser_rest_and_asks_for_nothing(server: Server, open_page: OpenPage) -> None:
    page = open_page(server.panel)
    page.add_init_script(COUNT_FRAMES)
    page.reload()
    page.wait_for_selector(".rq[data-state=live]")
    asked_for, failed = list[str](), list[str]()
    page.on("pageerror", lambda error: failed.append(str(error)))
    page.evaluate(BETWEEN_TWO_BEATS)
    page.on("request", lambda request: asked_for.append(request.url))

    frames = page.evaluate(BETWEEN_TWO_BEATS)

    assert frames < 60  # a clock that is drawn all the time makes it 300
    assert asked_for == failed == []
    assert "[native code]" in page.evaluate("performance.now.toString()")
