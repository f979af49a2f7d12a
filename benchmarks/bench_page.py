"""Whether a page stays smooth while 10 000 events arrive each second, in a real Chromium.

A script in the page notes when each frame is drawn, and the tasks that kept the page from answering for 50 ms or more.
How busy the page was is the browser's own count of the processor time of its main thread. Records come as batches over
HTTP, to our panel and to what is usually built with Gradio: a Textbox with every line so far and a Dataframe of the 500
latest records, fetched once a second. The panel shows rows eight times a second, its contenders once.
"""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import Final

from .browser import browser, frames, long_tasks, watch_frames, worked
from .contenders import Bench, Numbers, Target
from .load import loading
from .polled_app import polled, polled_table
from .server import Served, reqscope, serving

_RATE: Final = 10_000
_SETTLE: Final = 3.0
"""Seconds of load before the measurement: long enough for our page to hold as many rows as it ever does."""

_FPS, _P95, _LONGEST = "frames drawn a second", "time between two frames, p95 ms", "time between two frames, max ms"
_LONG: Final = "time in tasks of 50 ms and more, ms a second"
_BUSY: Final = "the page's main thread, % of a core"
_CPU: Final = "CPU of the server, % of a core"


def _measure(serve: Callable[[], AbstractContextManager[Served]], ready: str, scale: float) -> Numbers:
    seconds = 10 * scale
    with serve() as server, browser() as page:
        page.goto(server.page)
        page.wait_for_selector(ready)
        with loading(server.port, _RATE, batches=True):
            time.sleep(_SETTLE)
            watch_frames(page)
            busy = worked(page)
            page_time, server_time, begun = busy(), server.cpu(), time.perf_counter()
            time.sleep(seconds)
            page_time, server_time, passed = busy() - page_time, server.cpu() - server_time, time.perf_counter() - begun
        gaps = sorted(frames(page))
        return {
            _FPS: len(gaps) / sum(gaps),
            _P95: 1e3 * gaps[int(0.95 * len(gaps))],
            _LONGEST: 1e3 * gaps[-1],
            _LONG: 1e3 * long_tasks(page) / passed,
            _BUSY: 100 * page_time / passed,
            _CPU: 100 * server_time / passed,
        }


_PANEL, _TEXT, _TABLE = "reqscope serve, the panel", "Textbox polled by gr.Timer(1)", "Dataframe polled by gr.Timer(1)"

BENCH = Bench(
    title=f"the page at {_RATE} events/s, in Chromium",
    contenders={
        _PANEL: partial(_measure, reqscope, ".rq[data-state=live]"),
        _TEXT: partial(_measure, partial(serving, polled), "#log textarea"),
        _TABLE: partial(_measure, partial(serving, polled_table), "#log table"),
    },
    metrics=dict.fromkeys([_FPS, _P95, _LONGEST, _LONG, _BUSY, _CPU], _TEXT),
    targets=[Target(_FPS, _PANEL, at_least=30)],
    rounds=2,
)
