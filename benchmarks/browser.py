"""A real browser, and scripts that note in the page when something is to be seen."""

import shutil
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Final

from playwright.sync_api import Error, Page, sync_playwright

from .contenders import Unavailable

_BROWSERS: Final = ("chromium", "chromium-browser", "google-chrome")

# A function that calls back once the frame that shows the present state of the document has been drawn, be this
# inside a frame or between two: a new resize observer reports once, in the layout of the first frame it sees, and a
# message sent then arrives when the page is done with that frame.
_DRAWN: Final = """
window.benchmarkDrawn = (target, callback) => {
  const channel = new MessageChannel();
  channel.port1.onmessage = callback;
  const observer = new ResizeObserver(() => { observer.disconnect(); channel.port2.postMessage(null); });
  observer.observe(target);
};
"""

# Notes for each marker when it came into the document, and when the frame with it was drawn, in milliseconds
# since the epoch, by the clock that this machine's other processes have too.
_WATCH: Final = """
(selector) => {
  const now = () => performance.timeOrigin + performance.now();
  const target = document.querySelector(selector);
  const seen = window.benchmarkSeen = {};
  const look = (text) => {
    for (const marker of text.match(/probe-\\d+-/g) ?? []) {
      if (marker in seen) continue;
      const times = seen[marker] = [now(), null];
      benchmarkDrawn(target, () => { times[1] = now(); });
    }
  };
  if (target instanceof HTMLTextAreaElement) {  // its text is a property, which no observer sees
    const { get, set } = Object.getOwnPropertyDescriptor(HTMLTextAreaElement.prototype, "value");
    Object.defineProperty(target, "value", {
      get() { return get.call(this); },
      set(text) { set.call(this, text); look(text); },
    });
  } else {
    new MutationObserver(() => look(target.textContent))
      .observe(target, { subtree: true, childList: true, characterData: true });
  }
}
"""

# Notes for each click the milliseconds until the frame with the changed element was drawn.
_WATCH_CLICKS: Final = """
(selector) => {
  const target = document.querySelector(selector), delays = window.benchmarkClicks = [];
  let clicked = null;
  document.addEventListener("click", (event) => { clicked = event.timeStamp; }, true);
  new MutationObserver(() => {
    if (clicked === null) return;
    const from = clicked;
    clicked = null;
    benchmarkDrawn(target, () => delays.push(performance.now() - from));
  }).observe(target, { childList: true });
}
"""

# Notes the milliseconds between two frames, and of each task that was long.
_WATCH_FRAMES: Final = """
() => {
  const gaps = window.benchmarkFrames = [], long = window.benchmarkLong = [];
  let last = performance.now();
  const frame = (now) => { gaps.push(now - last); last = now; requestAnimationFrame(frame); };
  requestAnimationFrame((now) => { last = now; requestAnimationFrame(frame); });
  new PerformanceObserver((list) => { for (const task of list.getEntries()) long.push(task.duration); })
    .observe({ type: "longtask" });
}
"""


@contextmanager
def browser() -> Generator[Page]:
    """Open a page in the system's Chromium, or in the one that playwright has installed.

    :raises Unavailable: there is none
    """
    found = next(filter(None, map(shutil.which, _BROWSERS)), None)
    with sync_playwright() as playwright:
        try:
            chromium = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        except Error as error:
            reason = error.message.strip().splitlines()[0]
            raise Unavailable(f"no browser: {reason}. Install chromium, or run: playwright install chromium") from None
        with chromium:
            page = chromium.new_page(viewport={"width": 1280, "height": 900})
            page.add_init_script(_DRAWN)
            yield page


def watch(page: Page, selector: str) -> None:
    """Note from now on when markers (`probe-7-`) come into view in the element."""
    page.evaluate(_WATCH, selector)


def seen(page: Page) -> dict[str, tuple[float, float]]:
    """Return for each marker the seconds since the epoch when it came into the document, and when it was drawn."""
    noted: dict[str, list[float | None]] = page.evaluate("window.benchmarkSeen")
    return {
        marker: (document / 1e3, drawn / 1e3)
        for marker, (document, drawn) in noted.items()
        if document is not None and drawn is not None
    }


def watch_clicks(page: Page, selector: str) -> None:
    """Note from now on how long it takes from a click until the element shows something else."""
    page.evaluate(_WATCH_CLICKS, selector)


def click_delays(page: Page) -> list[float]:
    """Return the seconds that each click took to show."""
    delays: list[float] = page.evaluate("window.benchmarkClicks")
    return [delay / 1e3 for delay in delays]


def watch_frames(page: Page) -> None:
    """Note from now on when frames are drawn, and which tasks take long."""
    page.evaluate(_WATCH_FRAMES)


def frames(page: Page) -> list[float]:
    """Return the seconds between each two frames."""
    gaps: list[float] = page.evaluate("window.benchmarkFrames")
    return [gap / 1e3 for gap in gaps if gap > 0]


def long_tasks(page: Page) -> float:
    """Return the seconds that tasks of 50 ms and more took together."""
    durations: list[float] = page.evaluate("window.benchmarkLong")
    return sum(durations) / 1e3


def worked(page: Page) -> Callable[[], float]:
    """Return a clock of the seconds of processor time that the page's main thread has used."""
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})

    def read() -> float:
        metrics = {each["name"]: each["value"] for each in session.send("Performance.getMetrics")["metrics"]}
        return float(metrics["TaskDuration"])

    return read
