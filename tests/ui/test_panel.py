import json
import os
import re
import socket
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib.resources import files
from typing import Any

import anyio
import httpx
import pytest
import uvicorn
from fastapi import FastAPI

from reqscope.bus import Event, EventBus, Stats
from reqscope.service.launcher import Server
from reqscope.ui import Panel
from reqscope.ui.panel import in_json

pytestmark = [
    pytest.mark.anyio,
    # Gradio sums up its queue with pandas whenever a page closes, in a way that pandas no longer likes.
    pytest.mark.filterwarnings("ignore:'future.no_silent_downcasting' is deprecated", "ignore:The copy keyword is"),
]

DEADLINE = 20.0


async def until(holds: Callable[[], bool], what: str) -> None:
    with anyio.move_on_after(DEADLINE):
        while not holds():  # noqa: ASYNC110 - what is waited for sets no event
            await anyio.sleep(0.005)
        return
    pytest.fail(f"waited {DEADLINE} s in vain: {what}")


class Site:
    """A panel on a server, and a client for it."""

    def __init__(self, bus: EventBus, panel: Panel, http: httpx.AsyncClient) -> None:
        self.bus = bus
        self.panel = panel
        self.http = http
        self._sessions = 0

    @asynccontextmanager
    async def open(self, left: object = None, **query: str) -> AsyncGenerator["Stream"]:
        """Open a page as a browser does: join Gradio's queue, and listen to what it sends.

        :param left: what a page says that gave its stream back and asks for another
        """
        self._sessions += 1
        session = f"session{self._sessions}"
        listener = {"data": [], "fn_index": 0, "session_hash": session, "event_data": left, "trigger_id": None}
        joined = await self.http.post("/gradio_api/queue/join", json=listener, params=query)
        assert joined.status_code == 200
        params = {"session_hash": session}
        async with self.http.stream("GET", "/gradio_api/queue/data", params=params) as answer:
            yield Stream(answer.aiter_lines())

    async def config(self) -> Any:
        """Return what the page is made from."""
        page = await self.http.get("/")
        return json.loads(page.text.partition("window.gradio_config = ")[2].partition(";</script>")[0])

    async def call(self, function: str, data: object) -> Any:
        """Call a server function of the page, as its script does."""
        (component,) = (await self.config())["components"]
        body = {"session_hash": "any", "component_id": component["id"], "fn_name": function, "data": data}
        answer = await self.http.post("/gradio_api/component_server", json=body)
        assert answer.status_code == 200
        return answer.json()


class Stream:
    """The frames that a page gets."""

    def __init__(self, lines: AsyncIterator[str]) -> None:
        self._lines = lines
        self.token = ""
        self.hello: Any = None

    async def next(self) -> Any:
        """Return the next frame, or None at the end of the stream."""
        with anyio.fail_after(DEADLINE):
            async for line in self._lines:
                message = json.loads(line.removeprefix("data: ")) if line.startswith("data: ") else {}
                if message.get("msg") == "process_generating":
                    return read(message["output"]["data"][0])
                if message.get("msg") == "process_completed":
                    return None
        return None

    async def begin(self) -> Any:
        """Read the first two frames, and return the second."""
        self.hello = await self.next()
        self.token = self.hello["token"]
        return await self.next()


def read(value: Any) -> Any:
    """Return the frame in a Gradio update, which after the first is a difference to the one before."""
    return json.loads(value if isinstance(value, str) else value[0][2])


@pytest.fixture(scope="module")
async def site(anyio_backend: object) -> AsyncGenerator[Site]:
    async with serving_a_panel() as site:
        yield site


@asynccontextmanager
async def serving_a_panel() -> AsyncGenerator[Site]:
    bus = EventBus()
    stats = Stats(bus)
    panel, app = Panel(bus, stats), FastAPI()
    panel.mount(app)
    server = Server(uvicorn.Config(app, log_config=None, timeout_graceful_shutdown=1))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        limits = httpx.Limits(max_connections=None)
        async with (
            anyio.create_task_group() as tasks,
            httpx.AsyncClient(base_url=url, timeout=DEADLINE, limits=limits, trust_env=False, verify=False) as http,
        ):
            tasks.start_soon(stats.run)
            tasks.start_soon(panel.run)
            tasks.start_soon(server.serve, [listener])
            with anyio.fail_after(DEADLINE):
                await server.ready.wait()
            try:
                yield Site(bus, panel, http)
            finally:
                panel.close()
                bus.close()
                server.should_exit = True


def publish(site: Site, count: int = 1, status: int = 200) -> list[int]:
    return [site.bus.publish(Event(time=1_700_000_000_000_000_000, status=status)) for _ in range(count)]


def seqs(frame: Any) -> list[int]:
    return [row[0] for row in frame["rows"]]


class Finder:
    """Notes what is imported, and finds nothing."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        self.asked.append(name)


class TestSettings:
    """What Gradio does not document and a live page does not stay alive without."""

    @pytest.mark.guarantees("F38")
    def test_no_page_waits_for_another_to_end(self, site: Site) -> None:
        blocks: Any = site.panel._blocks  # pyright: ignore[reportPrivateUsage]
        listeners = list(blocks.fns.values())

        assert [listener.targets[0][1] for listener in listeners] == ["load", "restart"]
        assert {listener.concurrency_limit for listener in listeners} == {None}
        assert all(listener.queue and not listener.postprocess for listener in listeners)
        assert {listener.api_visibility for listener in listeners} == {"private"}
        assert {listener.show_progress for listener in listeners} == {"hidden"}
        assert blocks.max_threads == blocks._queue.max_thread_count == 1_000
        assert blocks._queue.max_size == 2_000
        assert blocks._queue.default_concurrency_limit is None
        assert blocks.state_session_capacity == 500

    def test_an_idle_queue_does_not_spin(self, site: Site) -> None:
        blocks: Any = site.panel._blocks  # pyright: ignore[reportPrivateUsage]

        assert blocks._queue.sleep_when_free >= 0.01
        assert blocks._queue.progress_update_sleep_when_free >= 0.1

    def test_nothing_is_reported_to_anyone(self, site: Site) -> None:
        blocks: Any = site.panel._blocks  # pyright: ignore[reportPrivateUsage]

        assert os.environ["GRADIO_ANALYTICS_ENABLED"] == "False"
        assert blocks.analytics_enabled is False


ELSEWHERE = re.compile(r"(?:https?:)?//(?!www\.w3\.org/)[a-z0-9-]+(?:\.[a-z0-9-]+)+", re.IGNORECASE)
COMMENT = re.compile(r"/\*.*?\*/|<!--.*?-->", re.DOTALL)


def assets() -> list[str]:
    folder = files("reqscope.ui") / "assets"
    vendor = folder / "vendor"
    names = [each.name for each in folder.iterdir() if each.is_file()]
    return names + [f"vendor/{each.name}" for each in vendor.iterdir() if not each.name.endswith("LICENSE")]


class TestPage:
    @pytest.mark.parametrize("name", sorted(assets()))
    def test_no_asset_names_an_address_elsewhere(self, name: str) -> None:
        text = files("reqscope.ui").joinpath("assets", *name.split("/")).read_text("utf-8")
        code = COMMENT.sub("", text)

        assert ELSEWHERE.findall(code) == []
        assert "@import" not in code
        assert not re.search(r"url\(\s*[\"']?(?!data:|#)", code)

    async def test_the_page_fetches_nothing_from_elsewhere(self, site: Site) -> None:
        page = (await site.http.get("/")).text
        fetched = re.findall(r"<(?:script|link|img|iframe|source)\b[^>]*?\b(?:src|href)=[\"']([^\"']+)", page)

        assert fetched
        assert [address for address in fetched if ELSEWHERE.match(address)] == []
        assert "fonts.googleapis" not in page
        assert "cdnjs" not in page

    async def test_every_asset_is_in_the_page(self, site: Site) -> None:
        config = await site.config()
        everything = json.dumps([config["components"], config["css"], config["head"]])

        for name in assets():
            text = files("reqscope.ui").joinpath("assets", *name.split("/")).read_text("utf-8")
            assert json.dumps(text)[1:-1] in everything, name


class TestWrongCalls:
    """What no page sends is refused, whatever it is; Gradio by itself answers much of it with a 500."""

    @pytest.mark.guarantees("75")
    @pytest.mark.parametrize(
        "value", [None, 1, "x", True, [], [[]], {"token": []}, {"text": [], "cursor": {}}], ids=repr
    )
    @pytest.mark.parametrize("function", ["steer", "detail", "copy_as", "complete", "nope", "postprocess"])
    async def test_a_function_called_with_anything(self, site: Site, function: str, value: object) -> None:
        (component,) = (await site.config())["components"]
        body = {"data": value, "fn_name": function, "component_id": component["id"], "session_hash": "s"}

        answer = await site.http.post("/gradio_api/component_server/", json=body)

        assert answer.status_code < 500
        assert "Traceback" not in answer.text

    @pytest.mark.guarantees("75")
    @pytest.mark.parametrize("path", ["/gradio_api/component_server/", "/gradio_api/queue/join"])
    @pytest.mark.parametrize(
        "body", [b"", b"{", b"[" * 100_000, b"null", b"[]", b"1", b"\xff", b'{"data": NaN}', b"{}"]
    )
    @pytest.mark.parametrize("kind", ["application/json", "text/plain", "multipart/form-data; boundary=x"])
    async def test_a_body_that_is_anything(self, site: Site, path: str, body: bytes, kind: str) -> None:
        answer = await site.http.post(path, content=body, headers={"content-type": kind})

        assert 400 <= answer.status_code < 500


class TestStream:
    async def test_a_page_gets_its_name_all_there_is_and_then_what_is_new(self, site: Site) -> None:
        before = publish(site, 2)
        async with site.open() as page:
            full = await page.begin()
            after = publish(site)
            added = await page.next()

        assert (full["kind"], seqs(full)[-2:]) == ("full", before)
        assert (added["kind"], seqs(added)) == ("add", after)
        assert site.panel.viewers >= 1

    async def test_a_page_begins_with_the_filter_in_its_address(self, site: Site) -> None:
        (missing,) = publish(site, status=418)
        async with site.open(filter="status:418") as page:
            assert seqs(await page.begin()) == [missing]

    async def test_a_filter_in_the_address_that_cannot_be_read_shows_everything(self, site: Site) -> None:
        before = publish(site, 2)
        async with site.open(filter="status:x") as page:
            assert seqs(await page.begin())[-2:] == before

    async def test_a_view_whose_address_says_that_it_is_paused_is_paused_there(self, site: Site) -> None:
        held, waiting = publish(site, 2)
        async with site.open(paused=f"{site.bus.boot}-{held}") as page:
            full, paused = await page.begin(), await page.next()

        assert page.hello["paused"]
        assert (seqs(full)[-1], paused["kind"], paused["new"]) == (held, "paused", 1)
        assert waiting == held + 1

    @pytest.mark.parametrize("place", ["", "-", "x", "{boot}-", "{boot}-x", "{boot}-²", "{boot}-9999999", "other-1"])
    async def test_a_place_that_there_is_not_pauses_nothing(self, site: Site, place: str) -> None:
        async with site.open(paused=place.format(boot=site.bus.boot)) as page:
            full = await page.begin()

        assert (page.hello["paused"], full["kind"]) == (False, "full")

    async def test_a_page_that_gave_its_stream_back_is_sent_what_came_since(self, site: Site) -> None:
        seen, missing, _ = publish(site, status=418) + publish(site, status=418) + publish(site, status=200)
        left = {"asked": "?filter=status:418", "boot": site.bus.boot, "after": seen}
        async with site.open(left) as page:
            added = await page.begin()

        assert (added["kind"], seqs(added), added["missed"]) == ("add", [missing], 0)

    @pytest.mark.parametrize("left", [7, [], {}, {"boot": "other", "after": 1}, {"asked": None, "after": {}}])
    async def test_a_page_that_makes_no_sense_of_where_it_was_is_sent_everything(
        self, site: Site, left: object
    ) -> None:
        async with site.open(left) as page:
            assert (await page.begin())["kind"] == "full"

    @pytest.mark.guarantees("F38")
    async def test_more_pages_than_gradio_has_threads_for_are_all_served_at_once(self, site: Site) -> None:
        count, frames, everyone = 60, dict[int, Any](), anyio.Event()

        async def view(number: int) -> None:
            async with site.open() as page:
                await page.begin()
                frames[number] = None
                if len(frames) == count:
                    everyone.set()
                frames[number] = await page.next()

        async with anyio.create_task_group() as tasks:
            for number in range(count):
                tasks.start_soon(view, number)
            await until(everyone.is_set, "every page to have begun")
            new = publish(site)
            await until(lambda: None not in frames.values(), "every page to be told")

            assert [seqs(frame) for frame in frames.values()] == [new] * count

    async def test_what_many_pages_are_sent_is_encoded_once(self, site: Site) -> None:
        publish(site)  # so that the pages of other tests take note of that
        await until(lambda: site.panel.viewers == 0, "the pages of other tests to be gone")
        sent, begun, told = list[str](), list[int](), list[int]()

        async def view(number: int) -> None:
            async with site.open() as page:
                await page.begin()
                begun.append(number)
                while (frame := await page.next())["kind"] != "add":
                    sent.append(json.dumps(frame))
                sent.append(json.dumps(frame))
                told.append(number)

        async with anyio.create_task_group() as tasks:
            for number in range(50):
                tasks.start_soon(view, number)
            await until(lambda: len(begun) == 50, "every page to have begun")
            before = in_json.cache_info()
            publish(site, 3)
            await until(lambda: len(told) == 50, "every page to be told")
            after = in_json.cache_info()

            assert after.misses - before.misses <= len(set(sent)) < 10
            assert after.hits - before.hits >= 50 - len(set(sent))

    async def test_gradio_looks_for_matplotlib_round_no_frame(
        self, site: Site, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        finder = Finder()
        async with site.open() as page:
            await page.begin()
            monkeypatch.setattr(sys, "meta_path", [finder, *sys.meta_path])
            for _ in range(3):
                publish(site)
                while (await page.next())["kind"] != "add":
                    pass

        assert "matplotlib" not in finder.asked

    @pytest.mark.guarantees("F38")
    async def test_a_page_that_was_closed_is_found_out_at_the_next_sign_of_life(
        self, site: Site, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("reqscope.ui.live.HEARTBEAT", 0.1)
        publish(site)  # so that the pages of other tests take note of that
        await until(lambda: site.panel.viewers == 0, "the pages of other tests to be gone")
        async with site.open() as page:
            await page.begin()
            assert (await page.next())["kind"] == "heartbeat"

        await until(lambda: site.panel.viewers == 0, "the page to be dropped")


class TestSteering:
    async def test_a_page_changes_its_filter_and_is_sent_what_passes(self, site: Site) -> None:
        (teapot,) = publish(site, status=418)
        publish(site)
        async with site.open() as page:
            await page.begin()
            assert await site.call("steer", {"token": page.token, "filter": "status:418"}) == {"ok": True}
            frame = await page.next()

        assert (frame["kind"], seqs(frame)[-1]) == ("full", teapot)
        assert {row[6] for row in frame["rows"]} == {418}

    async def test_a_filter_that_cannot_be_read_is_pointed_at_and_the_last_one_stays(self, site: Site) -> None:
        async with site.open(filter="status:418") as page:
            await page.begin()
            answer = await site.call("steer", {"token": page.token, "filter": "path:/x status:999"})
            publish(site)
            (teapot,) = publish(site, status=418)
            frame = await page.next()

        assert answer == {"ok": False, "error": "'999' is not a status such as 404 or 5xx", "position": 15}
        assert (frame["kind"], seqs(frame)) == ("add", [teapot])

    async def test_a_page_pauses_and_goes_on(self, site: Site) -> None:
        async with site.open() as page:
            await page.begin()
            assert await site.call("steer", {"token": page.token, "paused": True}) == {"ok": True}
            new = publish(site, 3)
            paused = await page.next()
            while paused["kind"] == "add":  # it was under way when the page was paused
                paused = await page.next()
            assert await site.call("steer", {"token": page.token, "paused": False}) == {"ok": True}
            resumed = await page.next()

        assert (paused["kind"], paused["new"]) == ("paused", 3)
        assert (resumed["kind"], seqs(resumed)) == ("add", new)

    async def test_a_page_that_nobody_looks_at_ends_its_stream(self, site: Site) -> None:
        async with site.open() as page:
            await page.begin()
            assert await site.call("steer", {"token": page.token, "parked": True}) == {"ok": True}
            assert await page.next() is None
            ended = await site.call("steer", {"token": page.token, "paused": True})

        assert ended == {"ok": False, "error": "this view has ended"}

    @pytest.mark.guarantees("75")
    @pytest.mark.parametrize("command", [{}, {"token": None}, {"token": "guess", "parked": True}])
    async def test_nobody_else_can_steer_a_page(self, site: Site, command: dict[str, object]) -> None:
        async with site.open() as page:
            await page.begin()
            assert (await site.call("steer", command))["ok"] is False
            new = publish(site)
            assert seqs(await page.next()) == new

    async def test_a_page_asks_for_all_of_one_event(self, site: Site) -> None:
        seq = site.bus.publish(Event(time=0, path="/x", body=b"<b>", request_headers=((b"a", b"1"),)))

        detail = json.loads(await site.call("detail", f"{site.bus.boot}-{seq}"))

        assert (detail["seq"], detail["body"], detail["http.request.headers"]) == (seq, "<b>", [["a", "1"]])

    @pytest.mark.parametrize("name", ["", "x-1", "1", None, 5, ["x"]])
    async def test_an_event_that_is_not_there_is_none(self, site: Site, name: object) -> None:
        assert await site.call("detail", name) is None


async def test_at_the_end_every_page_is_told_and_its_stream_ends() -> None:
    async with serving_a_panel() as site, site.open() as one, site.open() as other:
        for page in (one, other):
            await page.begin()
        assert site.panel.viewers == 2
        site.panel.close()
        for page in (one, other):
            assert await page.next() == {"kind": "bye"}
            assert await page.next() is None
        with anyio.fail_after(DEADLINE):
            await site.panel.wait_empty()

    assert site.panel.viewers == 0
