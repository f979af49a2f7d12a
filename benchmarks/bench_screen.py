"""From the response to the screen, in a real Chromium: how late a lone request is seen, and a click under load.

Requests come at random moments, each with a text of its own. A script in the page notes when that text is in the
document and when the frame with it is drawn, by the clock of the client, which notes when it had the response.
The contender is the usual way to show a log in Gradio: the whole list in a Textbox, fetched once a second.

Then, for our panel, with 2 000 requests arriving each second: from a click on a row until its detail is shown, and
how much the server's memory grows over the last half of that.
"""

import random
import subprocess
import sys
import time
from statistics import median
from typing import Final

from playwright.sync_api import Page

from .browser import browser, click_delays, seen, watch, watch_clicks
from .contenders import Bench, Numbers, Target
from .load import connect, exchange
from .polled_app import polled
from .server import Served, reqscope, serving
from .workloads import TEXT, request

_DRAWN, _DOCUMENT = "a lone request, response to drawn", "a lone request, response to document"
_CLICK, _GROWTH, _ARRIVED = (
    "a click under load, to detail shown",
    "growth of memory under load, MiB",
    "requests/s arriving",
)
_ROWS: Final = ".rq-rows"
_ROW: Final = 30  # pixels
_RATE: Final = 2_000


def _panel(scale: float) -> Numbers:
    with reqscope() as server, browser() as page:
        page.goto(server.page)
        page.wait_for_selector(".rq[data-state=live]")
        return _lone(page, _ROWS, server.port, scale) | _under_load(page, server, scale)


def _polled(scale: float) -> Numbers:
    with serving(polled) as server, browser() as page:
        page.goto(server.page)
        page.wait_for_selector("#log textarea")
        return _lone(page, "#log textarea", server.port, scale)


def _lone(page: Page, selector: str, port: int, scale: float) -> Numbers:
    time.sleep(1)
    watch(page, selector)
    chance = random.Random(5)
    answered: dict[str, float] = {}
    with connect(port) as connection:
        for number in range(int(70 * scale)):
            time.sleep(chance.uniform(0.2, 0.45))  # longer than the panel's pause between two frames
            marker = f"probe-{number}-"
            exchange(connection, request("POST", "/log", marker.encode() + TEXT))
            answered[marker] = time.time()
    time.sleep(2)
    shown = seen(page)
    if unseen := answered.keys() - shown.keys():
        raise RuntimeError(f"{len(unseen)} requests were never shown")
    document = [shown[marker][0] - moment for marker, moment in answered.items()]
    drawn = [shown[marker][1] - moment for marker, moment in answered.items()]
    return _quantiles(_DRAWN, drawn) | _quantiles(_DOCUMENT, document)


def _under_load(page: Page, server: Served, scale: float) -> Numbers:
    clicks, seconds = int(24 * scale), 20 * max(scale, 0.6)
    watch_clicks(page, "[data-id=detail]")
    rows = page.locator(_ROWS).bounding_box()
    assert rows is not None
    chance = random.Random(6)
    memory: list[float] = []
    command = [sys.executable, "-m", "benchmarks.load", str(server.port), str(_RATE), str(seconds)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as load:
        try:
            time.sleep(seconds / 4)  # until the ring is full
            for _ in range(clicks):
                page.mouse.click(rows["x"] + 60, rows["y"] + _ROW * (chance.randrange(8) + 0.5))
                time.sleep(seconds / 2 / clicks)
                memory.append(server.memory() / 2**20)
            output, _ = load.communicate(timeout=60)
        finally:
            load.kill()
    delays = click_delays(page)
    if len(delays) < clicks // 2:
        raise RuntimeError(f"of {clicks} clicks only {len(delays)} showed a detail")
    growth = memory[-1] - memory[len(memory) // 2]
    return _quantiles(_CLICK, delays) | {_GROWTH: growth, _ARRIVED: float(output) / seconds}


def _quantiles(name: str, delays: list[float]) -> Numbers:
    ordered = sorted(delay * 1e3 for delay in delays)
    p95 = ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]
    return {f"{name}, p50 ms": median(ordered), f"{name}, p95 ms": p95, f"{name}, max ms": ordered[-1]}


_PANEL, _POLLED = "reqscope serve, the panel", "Textbox polled by gr.Timer(1)"

BENCH = Bench(
    title="from the response to the screen, in Chromium",
    contenders={_PANEL: _panel, _POLLED: _polled},
    metrics={
        **{f"{name}, {of} ms": _POLLED for name in (_DRAWN, _DOCUMENT) for of in ("p50", "p95", "max")},
        **dict.fromkeys([*(f"{_CLICK}, {of} ms" for of in ("p50", "p95", "max")), _GROWTH, _ARRIVED]),
    },
    targets=[
        Target(f"{_DRAWN}, p50 ms", _PANEL, at_most=20),
        Target(f"{_DRAWN}, p95 ms", _PANEL, at_most=40),
        Target(_GROWTH, _PANEL, at_most=2),
    ],
    rounds=2,
)
