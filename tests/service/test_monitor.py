import asyncio
import contextlib
import json
import re
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.testclient import TestClient
from starlette.types import ASGIApp, Receive, Scope, Send

from reqscope.bus import Event
from reqscope.service import Monitor, Settings
from tests import nursery

from .conftest import MASK, client, serving, until

pytestmark = pytest.mark.anyio


def fastapi_app(**options: Any) -> FastAPI:
    app = FastAPI(**options)

    @app.get("/hello/{name}")
    async def hello(name: str) -> dict[str, str]:
        return {"hello": name}

    return app


def starlette_app(**options: Any) -> Starlette:
    async def hello(request: Request) -> Response:
        return JSONResponse({"hello": request.path_params["name"]})

    return Starlette(routes=[Route("/hello/{name}", hello)], **options)


def paths(monitor: Monitor) -> list[str]:
    return [event.path for event in monitor.bus.ring.since(0).events]


async def paths_seen_by(http: httpx.AsyncClient, panel: str = "/reqscope") -> list[str]:
    answer = await http.get(f"{panel}/api/events")
    assert answer.status_code == 200
    return [event["url.path"] for event in answer.json()["events"]]


async def stats_of(http: httpx.AsyncClient, panel: str = "/reqscope") -> Any:
    return (await http.get(f"{panel}/api/stats")).json()


@pytest.mark.guarantees("F39")
@pytest.mark.parametrize("make", [fastapi_app, starlette_app], ids=["FastAPI", "Starlette"])
async def test_one_line_gives_an_application_a_panel_that_sees_every_request_but_its_own(
    make: Callable[[], Starlette],
) -> None:
    app = make()
    Monitor(app)
    async with serving(app, lifespan="on") as url, client(url, follow_redirects=True) as http:
        assert (await http.get("/hello/you")).json() == {"hello": "you"}
        assert (await http.get("/nowhere")).status_code == 404
        page = await http.get("/reqscope")
        assert (page.status_code, page.url.path) == (200, "/reqscope/")
        assert '"title":"Reqscope"' in page.text
        assert (await http.get("/reqscope/gradio_api/startup-events")).status_code == 404

        assert await paths_seen_by(http) == ["/hello/you", "/nowhere"]
        stats = await stats_of(http)
        assert stats["capture"]["ignored"] >= 4
        assert stats["capture"]["faults"] == 0
        assert {reader["name"] for reader in stats["readers"]} == {"stats", "panel", "runs"}


async def test_under_a_root_path_everything_is_found_below_it() -> None:
    app = fastapi_app()
    Monitor(app)
    async with serving(app, lifespan="on", root_path="/tools") as url, client(url) as http:
        assert (await http.get("/hello/you")).json() == {"hello": "you"}
        assert (await http.get("/reqscope/")).status_code == 200
        assert root_of((await http.get("/reqscope/")).text) == "/tools/reqscope"

        assert await paths_seen_by(http) == ["/tools/hello/you"]
        (event,) = (await http.get("/reqscope/api/events")).json()["events"]
        assert event["http.route"] == "/hello/{name}"


def root_of(page: str) -> str:
    """Return the path that the page is told to fetch everything below."""
    config = json.loads(page.partition("window.gradio_config = ")[2].partition(";</script>")[0])
    return re.sub(r"^https?://[^/]+", "", config["root"])


@pytest.mark.filterwarnings("ignore:The `root_path` parameter is deprecated")
@pytest.mark.parametrize("path", ["", "/tools"], ids=["the proxy takes it off", "the proxy leaves it"])
async def test_an_application_with_a_root_path_of_its_own_finds_everything_too(path: str) -> None:
    app = fastapi_app(root_path="/tools")
    Monitor(app)
    async with serving(app, lifespan="on") as url, client(url) as http:
        assert (await http.get(f"{path}/hello/you")).json() == {"hello": "you"}
        assert (await http.get(f"{path}/reqscope/")).status_code == 200

        assert await paths_seen_by(http, f"{path}/reqscope") == [f"{path}/hello/you"]


@pytest.mark.guarantees("F25")
async def test_the_applications_own_lifespan_runs_and_its_state_passes() -> None:
    steps: list[str] = []

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[dict[str, str]]:
        steps.append("up")
        yield {"greeting": "hello"}
        monitor.bus.publish(Event(time=0, path="/last"))
        steps.append("down")

    app = FastAPI(lifespan=lifespan)

    @app.get("/")
    async def greet(request: Request) -> str:
        greeting: str = request.state.greeting
        return greeting

    monitor = Monitor(app)
    async with serving(app, lifespan="on") as url, client(url) as http:
        assert (await http.get("/")).json() == "hello"
        assert steps == ["up"]

    assert steps == ["up", "down"]
    assert paths(monitor) == ["/", "/last"]
    assert monitor.bus.closed


@pytest.mark.guarantees("F25")
async def test_what_a_lifespan_raises_at_the_start_keeps_the_server_from_starting() -> None:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        await fail()
        yield

    async def fail() -> None:
        raise RuntimeError("no database")

    app = FastAPI(lifespan=lifespan)
    monitor = Monitor(app)

    with pytest.RaisesGroup(RuntimeError, flatten_subgroups=True):
        async with app.router.lifespan_context(app):
            pass

    assert monitor.bus.closed


class TestTestClient:
    """As the application's own tests use it."""

    @pytest.fixture
    async def app(self, anyio_backend: object) -> FastAPI:
        return fastapi_app()

    @pytest.fixture
    async def monitor(self, app: FastAPI) -> Monitor:
        return Monitor(app)

    def test_with_a_lifespan_everything_works(self, app: FastAPI, monitor: Monitor) -> None:
        with TestClient(app) as http:
            assert http.get("/hello/you").json() == {"hello": "you"}
            assert http.get("/reqscope/").status_code == 200
            events = http.get("/reqscope/api/events").json()["events"]

        assert [event["client.address"] for event in events] == ["testclient"]
        assert paths(monitor) == ["/hello/you"]

    def test_without_a_lifespan_the_application_works_and_is_captured(self, app: FastAPI, monitor: Monitor) -> None:
        http = TestClient(app)

        assert http.get("/hello/you").json() == {"hello": "you"}
        assert http.get("/reqscope/api/events").json()["events"][0]["url.path"] == "/hello/you"
        assert http.get("/reqscope/api/stats").json()["statistics"]["events"] == 1
        assert paths(monitor) == ["/hello/you"]

    def test_an_exception_of_the_application_reaches_the_test(self, app: FastAPI, monitor: Monitor) -> None:
        @app.get("/fails")
        async def fails() -> None:
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            TestClient(app).get("/fails")

        (event,) = monitor.bus.ring.since(0).events
        assert (event.status, event.error) == (500, "ZeroDivisionError")

    def test_the_application_can_be_started_a_second_time(self, app: FastAPI, monitor: Monitor) -> None:
        for _ in range(3):
            with TestClient(app) as http:
                assert http.get("/hello/you").json() == {"hello": "you"}
                assert http.get("/reqscope/").status_code == 200

    def test_what_is_started_a_second_time_is_captured_again(self, app: FastAPI, monitor: Monitor) -> None:
        for _ in range(2):
            with TestClient(app) as http:
                http.get("/hello/you")
                assert http.get("/reqscope/readyz").status_code == 200

        assert paths(monitor)[-1] == "/hello/you"


def test_attaching_it_outside_of_an_event_loop_leaves_none_behind(tmp_path: Path) -> None:
    script = """
import asyncio, gc, warnings
from fastapi import FastAPI
from reqscope.service import Monitor
mine = asyncio.new_event_loop()
asyncio.set_event_loop(mine)
Monitor(FastAPI())
assert asyncio.get_event_loop() is mine
mine.close()
gc.collect()
left = [each for each in gc.get_objects() if isinstance(each, asyncio.AbstractEventLoop) and not each.is_closed()]
assert left == [], left
"""
    (tmp_path / "attaches.py").write_text(script)
    done = nursery.run("attaches", cwd=tmp_path)
    assert done.returncode == 0, done.stderr


async def test_two_applications_in_one_process_know_nothing_of_each_other() -> None:
    apps = [fastapi_app(), starlette_app()]
    monitors = [Monitor(app) for app in apps]
    async with (
        serving(apps[0], lifespan="on") as first,
        serving(apps[1], lifespan="on") as second,
        client(first) as one,
        client(second) as other,
    ):
        await one.get("/hello/1")
        await other.get("/hello/2")
        await other.get("/hello/3")

        assert await paths_seen_by(one) == ["/hello/1"]
        assert await paths_seen_by(other) == ["/hello/2", "/hello/3"]
    assert monitors[0].bus.boot != monitors[1].bus.boot


@pytest.mark.guarantees("79")
@pytest.mark.parametrize("kind", ["route", "mount"])
async def test_a_route_that_catches_everything_does_not_hide_the_panel(kind: str) -> None:
    async def anything(request: Request) -> Response:
        return PlainTextResponse(f"caught {request.url.path}")

    catching = Route("/{rest:path}", anything) if kind == "route" else Mount("/", PlainTextResponse("caught /x"))
    app = Starlette(routes=[catching])
    Monitor(app)
    async with serving(app, lifespan="on") as url, client(url) as http:
        assert (await http.get("/x")).text == "caught /x"
        assert '"title":"Reqscope"' in (await http.get("/reqscope/")).text
        assert await paths_seen_by(http) == ["/x"]


@pytest.mark.parametrize("path", ["/ops/requests", "/ops/requests/", "/_"])
async def test_the_panel_can_be_anywhere_below_the_root(path: str) -> None:
    app = fastapi_app()
    Monitor(app, path=path)
    async with serving(app, lifespan="on") as url, client(url) as http:
        await http.get("/hello/you")
        page = await http.get(path.rstrip("/") + "/")

        assert page.status_code == 200
        assert await paths_seen_by(http, path.rstrip("/")) == ["/hello/you"]
        assert (await http.get("/reqscope/")).status_code == 404


@pytest.mark.parametrize("path", ["", "/", "//", "reqscope", "reqscope/", "./reqscope", "http://x/reqscope"])
def test_a_path_that_is_not_below_the_root_is_refused_before_anything_is_changed(path: str) -> None:
    app = FastAPI()
    routes, middleware = list(app.routes), list(app.user_middleware)

    with pytest.raises(ValueError, match="a path below the root such as '/reqscope'"):
        Monitor(app, path=path)

    assert (app.routes, app.user_middleware) == (routes, middleware)


class TestLog:
    @staticmethod
    async def sinks_of(monitor: Monitor, app: Starlette) -> list[str]:
        async with serving(app, lifespan="on") as url, client(url) as http:
            await http.get("/hello/you")
            return [sink["name"] for sink in (await stats_of(http))["sinks"]]

    async def test_it_is_off_unless_asked_for(self, capfd: pytest.CaptureFixture[str]) -> None:
        app = fastapi_app()

        assert await self.sinks_of(Monitor(app, settings=Settings(capacity=5)), app) == []
        assert capfd.readouterr().out == ""

    async def test_the_settings_turn_it_on(self, tmp_path: Path) -> None:
        log = tmp_path / "events.jsonl"
        app = fastapi_app()

        assert await self.sinks_of(Monitor(app, settings=Settings(log="file", log_file=log)), app) == [f"file:{log}"]
        assert json.loads(log.read_text())["url.path"] == "/hello/you"

    async def test_the_environment_turns_it_on(
        self, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("REQSCOPE_LOG", "stdout")
        app = fastapi_app()

        assert await self.sinks_of(Monitor(app), app) == ["stdout"]
        assert json.loads(capfd.readouterr().out)["url.path"] == "/hello/you"


async def test_other_settings_count_too() -> None:
    app = fastapi_app()
    monitor = Monitor(app, settings=Settings(capacity=2, redact=("page",)))
    async with serving(app, lifespan="on") as url, client(url) as http:
        for number in range(3):
            await http.get(f"/hello/{number}", params={"page": number, "token": "shown"})

    assert paths(monitor) == ["/hello/1", "/hello/2"]
    assert monitor.bus.ring.since(0).events[0].query == b"page=" + MASK(b"1") + b"&token=shown"
    assert monitor.redaction.query(b"page=1") == b"page=" + MASK(b"1")


async def test_what_the_applications_middleware_answers_is_seen_as_it_was_sent() -> None:
    class Doorman:
        def __init__(self, app: ASGIApp) -> None:
            self.app = app

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            answer = self.app if scope["path"].startswith("/reqscope") else PlainTextResponse("no", 401)
            await answer(scope, receive, send)

    app = starlette_app(middleware=[Middleware(Doorman)])
    monitor = Monitor(app)
    async with serving(app) as url, client(url) as http:
        assert (await http.get("/hello/you")).status_code == 401

    (event,) = monitor.bus.ring.since(0).events
    assert (event.status, event.route) == (401, None)


class Doorman:
    """Middleware that answers everything but the panel by itself."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        own = scope["type"] == "http" and not scope["path"].startswith("/reqscope")
        await (PlainTextResponse("no", 401) if own else self.app)(scope, receive, send)


@pytest.mark.parametrize("make", [fastapi_app, starlette_app], ids=["FastAPI", "Starlette"])
async def test_capture_stands_outside_of_middleware_that_is_added_after_it_too(make: Callable[[], Starlette]) -> None:
    app = make()
    monitor = Monitor(app)
    app.add_middleware(Doorman)
    async with serving(app, lifespan="on") as url, client(url) as http:
        assert (await http.get("/hello/you")).status_code == 401
        assert await paths_seen_by(http) == ["/hello/you"]

    assert [event.status for event in monitor.bus.ring.since(0).events] == [401]


async def test_the_answer_to_an_error_is_seen_with_the_exception_that_it_answers() -> None:
    app = fastapi_app()
    monitor = Monitor(app, settings=Settings(bodies="errors"))

    @app.get("/fails")
    async def fails() -> None:
        raise ZeroDivisionError("on purpose")

    async with serving(app, lifespan="on") as url, client(url) as http:
        assert (await http.get("/fails")).status_code == 500
        (group,) = (await http.get("/reqscope/api/errors")).json()["errors"]
        detail = (await http.get(f"/reqscope/api/events/{group['id']}")).json()

    assert (group["error.type"], group["http.route"], group["count"]) == ("ZeroDivisionError", "/fails", 1)
    assert detail["exception.fingerprint"] == group["exception.fingerprint"]
    assert detail["exception.stacktrace"].endswith("ZeroDivisionError: on purpose")
    assert detail["http.response.body"] == {"captured": 21, "text": "Internal Server Error"}
    assert monitor.faults.statistics().total == 0


@pytest.mark.guarantees("F39")
async def test_two_monitors_of_one_application_see_every_request_once_each() -> None:
    app = fastapi_app()
    monitors = [Monitor(app, path="/one"), Monitor(app, path="/other")]
    async with serving(app, lifespan="on") as url, client(url) as http:
        await http.get("/hello/you")

    assert [paths(monitor) for monitor in monitors] == [["/hello/you"], ["/hello/you"]]


async def test_producers_of_the_applications_own_are_seen_as_well() -> None:
    app = fastapi_app()
    monitor = Monitor(app)
    async with serving(app, lifespan="on") as url, client(url) as http:
        monitor.bus.publish(Event(time=0, kind="record", path="/job"))
        await asyncio.to_thread(monitor.bus.publish_from_thread, Event(time=0, path="/thread"))
        await until(lambda: monitor.bus.ring.last == 2, "both events to be on the bus")

        assert await paths_seen_by(http) == ["/job", "/thread"]


async def test_it_comes_before_the_start_or_not_at_all() -> None:
    app = fastapi_app()
    async with serving(app) as url, client(url) as http:
        await http.get("/hello/you")
        with pytest.raises(RuntimeError, match="the application has started"):
            Monitor(app)
        assert (await http.get("/hello/you")).status_code == 200


class TestSignals:
    @staticmethod
    @contextlib.contextmanager
    def handling(handler: Any) -> Any:
        before = signal.signal(signal.SIGTERM, handler)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, before)

    @staticmethod
    def lifespan(app: FastAPI) -> AbstractAsyncContextManager[object]:
        return app.router.lifespan_context(app)

    @pytest.mark.guarantees("F23")
    async def test_whoever_handled_a_signal_before_still_does_and_does_again_afterwards(self) -> None:
        app, signals = fastapi_app(), list[int]()
        Monitor(app)

        def handle(number: int, frame: object) -> None:
            signals.append(number)

        with self.handling(handle):
            async with self.lifespan(app):
                signal.raise_signal(signal.SIGTERM)
            assert signals == [signal.SIGTERM]
            assert signal.getsignal(signal.SIGTERM) is handle

    @pytest.mark.guarantees("F23")
    @pytest.mark.parametrize("handler", [signal.SIG_DFL, signal.SIG_IGN])
    async def test_what_nobody_handled_is_left_alone(self, handler: signal.Handlers) -> None:
        app = fastapi_app()
        Monitor(app)

        with self.handling(handler):
            async with self.lifespan(app):
                assert signal.getsignal(signal.SIGTERM) is handler
            assert signal.getsignal(signal.SIGTERM) is handler

    async def test_who_takes_a_signal_over_in_the_meantime_keeps_it(self) -> None:
        app = fastapi_app()
        Monitor(app)

        def mine(number: int, frame: object) -> None:
            """Take it."""

        with self.handling(lambda *_: None):
            async with self.lifespan(app):
                signal.signal(signal.SIGTERM, mine)
            assert signal.getsignal(signal.SIGTERM) is mine

    @pytest.mark.guarantees("F23")
    async def test_a_host_in_a_real_server_ends_promptly_and_writes_what_it_holds(self, tmp_path: Path) -> None:
        (tmp_path / "host.py").write_text(
            "from pathlib import Path\n"
            "from fastapi import FastAPI\n"
            "from reqscope.service import Monitor, Settings\n"
            "app = FastAPI()\n"
            "Monitor(app, settings=Settings(log='file', log_file=Path('events.jsonl')))\n"
        )
        command = [sys.executable, "-m", "uvicorn", "host:app", "--port", "0"]
        async with await anyio.open_process(command, cwd=tmp_path, stdout=subprocess.DEVNULL) as server:
            url = await address_in(server)
            async with client(url) as http:
                assert (await http.get("/x")).status_code == 404
                server.send_signal(signal.SIGTERM)
                with anyio.fail_after(5):
                    status = await server.wait()

        assert status in (0, -signal.SIGTERM)
        assert json.loads((tmp_path / "events.jsonl").read_text())["url.path"] == "/x"


async def address_in(server: anyio.abc.Process) -> str:
    """Wait until uvicorn says where it is."""
    assert server.stderr is not None
    output = ""
    with anyio.fail_after(60):
        async for data in server.stderr:
            output += data.decode()
            if found := re.search(r"running on (http://\S+)", output):
                return found[1]
    pytest.fail(output)
