"""The Gradio page: one generator, one component, and the settings without which a live page does not stay alive."""

import asyncio
import os
import sys
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from importlib.resources import files
from typing import Any, Final, TypeVar
from urllib.parse import parse_qsl

# Read when Gradio is imported, and anything but "True" means no. Nothing about a user's traffic leaves the machine.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"

import gradio as gr
import orjson
from fastapi import FastAPI

from reqscope.bus import EventBus, Filter, FilterError, LoopLag, SinkRunner, Stats
from reqscope.bus.commands import CLIENTS, CannotCopyError, command
from reqscope.bus.encoding import encode
from reqscope.bus.filter_completion import complete as completion
from reqscope.bus.schema import detail
from reqscope.bus.tracelines import trace_lines

from .frames import Frames, Health
from .live import HEARTBEAT, LiveFeed
from .pages import LIVE, PAGES, Pages, System, no_runs, nothing, window_of
from .plots import leave_backend_alone
from .surface import Surface
from .visitor import visitor_of

T = TypeVar("T")

_SCRIPTS: Final = (
    "vendor/uPlot.iife.min.js",
    "table.js",
    "charts.js",
    "running.js",
    "pages.js",
    "runs.js",
    "options.js",
    "mock.js",
    "account.js",
    "suggest.js",
    "detail.js",
    "body.js",
    "compare.js",
    "resend.js",
    "connection.js",
    "quiet.js",
    "page.js",
)
_STYLES: Final = ("vendor/uPlot.min.css", "panel.css")

_SLOTS: Final = 1_000
"""Pages that can be open at once. Gradio's default of 40 leaves the 41st waiting for ever, and each button too."""

_UNSENT: Final = 2
"""Frames that may wait in Gradio's queue for a page. It has no bound of its own."""


class Panel:
    """The live panel of one bus.

    :param sinks: whose losses the page shows
    :param lag: how late the event loop is
    :param health: what there is to say of what produces the events
    :param system: what there is to say of the process, its versions and its settings
    :param mock: what there is to say of stubs, where a service is mocked
    :param replay: whether the page offers to send requests again, by `api/events/{id}/replay`
    :param example: a command that sends a request, for a page that has none to show yet
    :param runs: what there is to say of load-test runs
    """

    def __init__(
        self,
        bus: EventBus,
        stats: Stats,
        sinks: Sequence[SinkRunner] = (),
        lag: LoopLag | None = None,
        health: Callable[[], Health] = Health,
        system: System | None = None,
        mock: Callable[[], object] | None = None,
        *,
        replay: bool = False,
        example: str = "",
        runs: Callable[[], object] | None = None,
    ) -> None:
        self._example = example
        self._bus = bus
        self._replay = replay
        self._pages = Pages(bus, stats, system or nothing, mock, runs or no_runs)
        self._mocks = mock is not None
        self._frames = Frames(bus, stats, sinks, lag, health, self._pages)
        self._feed = LiveFeed(bus, self._frames)
        self._blocks = _in_event_loop(self._build)

    @property
    def viewers(self) -> int:
        """How many pages are open."""
        return len(self._feed)

    async def run(self) -> None:
        """Serve open pages until the bus is closed."""
        await self._feed.run()

    def close(self) -> None:
        """Say goodbye to every open page, so that a server that goes down need not wait for them."""
        self._feed.close()

    def look_again(self) -> None:
        """Have every open page's stream see whether its session still goes on."""
        self._feed.look_again()

    async def wait_empty(self) -> None:
        """Wait until no page is open any more."""
        await self._feed.wait_empty()

    def mount(self, app: FastAPI) -> None:
        """Show the page at the root of `app`, whose lifespan must run: Gradio's queue starts there."""
        _in_event_loop(lambda: self._mount(app))

    def _mount(self, app: FastAPI) -> None:
        gr.mount_gradio_app(
            app,
            self._blocks,
            path="/",
            css="".join(_asset(name) for name in _STYLES),
            run_history=False,
            footer_links=[],
            show_error=False,
            enable_monitoring=False,
            max_file_size=1,
            ssr_mode=False,
            mcp_server=False,
            pwa=False,
            # Who gets here has passed the gate. Gradio is told who it is, and asks for each of its routes.
            auth_dependency=lambda request: visitor_of(request).name,
        )
        mounted: Any = next(route for route in app.routes if getattr(route, "path", None) == "")
        # An unauthenticated GET would otherwise run the start-up events again, and Gradio lose track of its streams.
        mounted.app.startup_events_triggered = True
        mounted.app = Surface(mounted.app, map(_asset, _SCRIPTS))

    def _build(self) -> gr.Blocks:
        # Gradio marks what the page may call, and a bound method cannot be marked.
        async def steer(command: dict[str, Any], request: gr.Request) -> dict[str, Any]:
            return self._steer(command, visitor_of(request).session)

        async def detail(event_id: str) -> str | None:
            return self._detail(event_id)

        async def copy_as(what: dict[str, Any]) -> dict[str, Any]:
            return self._copy_as(what)

        async def complete(typed: dict[str, Any]) -> list[dict[str, Any]]:
            return self._complete(typed)

        blocks: gr.Blocks
        with gr.Blocks(title="Reqscope", analytics_enabled=False, fill_width=True) as blocks:
            page = gr.HTML(
                "",
                elem_id="reqscope",
                apply_default_css=False,
                html_template=_asset("page.html"),
                js_on_load="reqscope.start(element, props, server, trigger, watch); 'restart'",
                head="".join(f"<script>{_asset(name)}</script>" for name in _SCRIPTS),
                server_functions=[steer, detail, copy_as, complete],
                heartbeat=HEARTBEAT,
                mocks=self._mocks,
                replay=self._replay,
            )
            listener: dict[str, Any] = {
                "fn": self._stream,
                "inputs": None,
                "outputs": page,
                "show_progress": "hidden",
                "show_progress_on": [],  # a spinner, though hidden, would be told of each frame
                "concurrency_limit": None,
                "concurrency_id": "stream",
                "postprocess": False,
                "trigger_mode": "once",
                "api_visibility": "private",
            }
            blocks.load(**listener)
            page.restart(**listener)
        blocks.max_threads = _SLOTS  # read by queue(), so before it
        blocks.queue(default_concurrency_limit=None, api_open=False, max_size=2 * _SLOTS)
        blocks.state_session_capacity = 500
        # Gradio looks for new events to start a thousand times a second, at 4 % of a core. Yields are not affected.
        queue = _queue_of(blocks)
        queue.sleep_when_free = 0.02
        queue.progress_update_sleep_when_free = 0.5
        # It would summarise its last ten thousand events with pandas whenever a page closes (their spelling).
        queue.ANAYLTICS_CACHE_FREQUENCY = sys.maxsize
        return blocks

    async def _stream(self, request: gr.Request, event: gr.EventData) -> AsyncGenerator[str | orjson.Fragment]:
        """The endless event behind a page: yields a frame whenever there is something to show.

        :param event: where a page that gave its stream back goes on from
        """
        leave_backend_alone()
        left: Any = event._data  # pyright: ignore[reportPrivateUsage]  # Gradio documents no other way to it
        left = left if isinstance(left, dict) else {}
        asked = dict(parse_qsl(str(left["asked"]).removeprefix("?"))) if "asked" in left else dict(request.query_params)
        passes, _ = _parse(asked.get("filter", ""))
        visitor = visitor_of(request)
        viewer = self._feed.open(
            passes,
            self._seen(*asked.get("paused", "").rpartition("-")[::2]),
            self._seen(left.get("boot"), left.get("after")),
            visitor,
        )
        if asked.get("view") in PAGES:  # not `page`: Gradio takes that for a page of its own
            viewer.turn_to(asked["view"], window_of(asked.get("window")))
        session = request.session_hash or ""
        try:
            yield self._frames.hello(viewer.token, visitor, viewer.paused, self._example)
            while (frame := await self._feed.next_frame(viewer, lambda: self._unsent(session) > _UNSENT)) is not None:
                yield in_json(frame)
        finally:
            self._feed.drop(viewer)

    def _seen(self, boot: object, seq: object) -> int | None:
        """The number of an event that a page says it has seen, if it was of this server."""
        digits = str(seq)
        if boot != self._bus.boot or not (digits.isascii() and digits.isdigit()) or len(digits) > 18:
            return None
        return int(digits) if int(digits) <= self._bus.ring.last else None

    def _steer(self, command: dict[str, Any], session: str = "") -> dict[str, Any]:
        """Change the `filter` or the `page` of a view, or have it `paused`, or `parked` while nobody looks."""
        viewer = self._feed.find(str(command.get("token")))
        if viewer is None or viewer.visitor.session != session:
            return {"ok": False, "error": "this view has ended"}
        viewer.confirm()
        if "filter" in command:
            passes, error = _parse(str(command["filter"]))
            if error is not None:
                return {"ok": False, "error": str(error), "position": error.position}
            viewer.show(passes)
        if command.get("page") in (LIVE, *PAGES):
            viewer.turn_to(command["page"], window_of(command.get("window")))
        if "paused" in command:
            viewer.pause(bool(command["paused"]))
        if command.get("parked"):
            viewer.close()
        return {"ok": True}

    def _detail(self, event_id: str) -> str | None:
        """All of one event as JSON text, or None if it is no longer in the ring."""
        event = self._bus.find(str(event_id))
        if event is None:
            return None
        return encode(detail(event, self._bus.boot, trace_lines(self._bus.ring, event))).decode()

    def _complete(self, typed: dict[str, Any]) -> list[dict[str, Any]]:
        """What the filter's `text` could become where its `cursor` is."""
        cursor = typed.get("cursor")
        text = str(typed.get("text", ""))
        found = completion(text, cursor if isinstance(cursor, int) else len(text), self._pages.seen)
        return [each._asdict() for each in found]

    def _copy_as(self, what: dict[str, Any]) -> dict[str, Any]:
        """The event of that `id` as a command for that `kind` of client."""
        event, client = self._bus.find(str(what.get("id"))), str(what.get("kind"))
        if event is None or client not in CLIENTS:
            return {"error": "The ring has evicted this event."}
        try:
            return {"text": command(event, client)}
        except CannotCopyError as error:
            return {"error": f"It cannot be copied: {error}."}

    def _unsent(self, session: str) -> int:
        messages = _queue_of(self._blocks).pending_messages_per_session.get(session)
        return 0 if messages is None else messages.qsize()


@lru_cache(maxsize=16)
def in_json(frame: str) -> orjson.Fragment:
    """Return a frame as Gradio has to send it, made once for all pages that get it. Gradio would do so for each."""
    return orjson.Fragment(orjson.dumps(frame))


def _in_event_loop(function: Callable[[], T]) -> T:
    """Call `function` in a running event loop, in a thread of its own.

    Where none runs, Gradio makes loops that it never closes, and sets one of them as the thread's.
    """

    async def call() -> T:
        return function()

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, call()).result()


def _queue_of(blocks: gr.Blocks) -> Any:
    return blocks._queue  # pyright: ignore[reportPrivateUsage]  # the only way to these settings and lengths


def _parse(text: str) -> tuple[Filter, FilterError | None]:
    try:
        return Filter.parse(text), None
    except FilterError as error:
        return Filter.parse(""), error


def _asset(name: str) -> str:
    return files("reqscope.ui").joinpath("assets", *name.split("/")).read_text("utf-8")
