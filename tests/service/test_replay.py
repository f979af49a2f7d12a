"""Requests that are sent again: through a socket as `reqscope run` does it, and in process as `Monitor` does."""

from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

import anyio
import httpx
import pytest
from fastapi import FastAPI, Request
from starlette.responses import RedirectResponse, StreamingResponse

from reqscope.bus import Event, EventBus
from reqscope.service import Monitor, Settings, create_app
from reqscope.service.admin import ControlPlane
from reqscope.service.pipeline import Pipeline
from reqscope.service.replay import Replay
from reqscope.service.replay_rules import ReplayRules

from .conftest import MASK, client, serving, until

pytestmark = pytest.mark.anyio

RULES = ("GET", "HEAD", "POST /orders*", "PUT")


@dataclass
class Got:
    """A request as the application got it."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> list[str]:
        return [value for each, value in self.headers if each == name]


@dataclass
class Host:
    """An application that keeps what it gets, its monitor, and clients of both."""

    bus: EventBus
    app: httpx.AsyncClient
    panel: httpx.AsyncClient
    got: list[Got]
    gate: anyio.Event = field(default_factory=anyio.Event)
    """Until this is set, `/waits` does not answer."""

    async def captured(self, method: str = "GET", path: str = "/items/1", **options: Any) -> str:
        """Send a request, and return the id of its event."""
        before = self.bus.ring.last
        await self.app.request(method, path, **options)
        await until(lambda: self.bus.ring.last > before, "the event")
        return self.bus.event_id(self.bus.ring.since(before).events[0])

    async def form(self, event: str) -> dict[str, Any]:
        form: dict[str, Any] = (await self.panel.get(f"api/events/{event}/replay")).json()
        return form

    async def replay(self, event: str, browser: dict[str, str] | None = None, **edits: Any) -> httpx.Response:
        """Have a request sent again with these edits.

        :param browser: headers by which a browser says what page asks for it
        """
        return await self.panel.post(f"api/events/{event}/replay", json=edits, headers=browser)

    async def detail(self, event: str) -> dict[str, Any]:
        detail: dict[str, Any] = (await self.panel.get(f"api/events/{event}")).json()
        return detail

    async def refused(self, event: str, status: int, *words: str, **edits: Any) -> dict[str, Any]:
        """Ask for a replay, and check that nothing comes of it but a problem that says so."""
        before = len(self.got)
        answer = await self.replay(event, **edits)
        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
        assert all(word in answer.json()["detail"] for word in words), answer.text
        assert len(self.got) == before
        problem: dict[str, Any] = answer.json()
        return problem


def shop(got: list[Got], gate: anyio.Event) -> FastAPI:
    app = FastAPI()

    @app.middleware("http")
    async def keep(request: Request, call_next: Callable[..., Any]) -> Any:
        target = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        if "/reqscope" not in request.url.path:
            headers = [(name, value) for name, value in request.headers.items()]
            got.append(Got(request.method, target, headers, await request.body()))
        return await call_next(request)

    @app.api_route("/items/{item}", methods=["GET", "PUT", "DELETE"])
    async def items(item: str) -> dict[str, str]:
        return {"item": item}

    @app.post("/orders")
    async def orders(request: Request) -> dict[str, int]:
        return {"bytes": len(await request.body())}

    @app.get("/elsewhere")
    async def elsewhere() -> RedirectResponse:
        return RedirectResponse("http://192.0.2.1/", 302)

    @app.get("/fails")
    async def fails() -> None:
        raise LookupError("on purpose")

    @app.get("/stream")
    async def stream() -> StreamingResponse:
        async def pieces() -> AsyncGenerator[bytes]:
            for _ in range(50):
                yield b"x" * 1000

        return StreamingResponse(pieces())

    @app.get("/waits")
    async def waits() -> None:
        await gate.wait()

    return app


@asynccontextmanager
async def standalone(rules: tuple[str, ...] = RULES, patience: float = 30, **more: Any) -> AsyncGenerator[Host]:
    """Two servers, as `reqscope run` has them."""
    pipeline, gate = Pipeline(settings(rules, **more)), anyio.Event()
    got: list[Got] = []
    capture = pipeline.capture(shop(got, gate))
    async with serving(capture) as url:
        replay = Replay(pipeline.bus, pipeline.marks, ReplayRules(rules), transport, url, timeout=patience)
        control = ControlPlane(pipeline, lambda: asdict(capture.statistics()), replay=replay)
        async with (
            control.running(),
            serving(control.app, lifespan="on") as panel,
            client(url) as app,
            client(panel) as http,
        ):
            yield Host(pipeline.bus, app, http, got, gate)
            gate.set()


@asynccontextmanager
async def mounted(rules: tuple[str, ...] = RULES, **more: Any) -> AsyncGenerator[Host]:
    """One server, as an application that is monitored from within has it."""
    got: list[Got] = []
    gate = anyio.Event()
    app = shop(got, gate)
    monitor = Monitor(app, settings=settings(rules, **more))
    async with serving(app, lifespan="on") as url, client(url) as http, client(f"{url}/reqscope/") as panel:
        yield Host(monitor.bus, http, panel, got, gate)
        gate.set()


def settings(rules: tuple[str, ...], **more: Any) -> Settings:
    given: dict[str, Any] = {"bodies": "all", **more}
    return Settings(log="none", replay=rules, **given)


def transport() -> httpx.AsyncBaseTransport:
    return httpx.AsyncHTTPTransport(trust_env=False, verify=False)


MODES: list[Callable[..., AbstractAsyncContextManager[Host]]] = [standalone, mounted]


@pytest.fixture(scope="module", params=MODES, ids=lambda mode: mode.__name__)
async def running(request: pytest.FixtureRequest, anyio_backend: object) -> AsyncGenerator[Host]:
    async with request.param() as host:
        yield host


@pytest.fixture
def host(running: Host) -> Host:
    running.got.clear()
    return running


async def test_a_request_is_sent_again_as_it_was_and_captured_like_any_other(host: Host) -> None:
    event = await host.captured("PUT", "/items/a%20b?x=%2f&y", content=b"\0\xff", headers={"x-a": "1"})

    answer = await host.replay(event)

    assert answer.status_code == 200
    assert (answer.json()["replay_of"], answer.json()["status"]) == (event, 200)
    first, second = host.got
    assert (second.method, second.target, second.body) == (first.method, first.target, first.body)
    own = ("connection", "x-reqscope-replay")
    ordered = [sorted(pair for pair in got.headers if pair[0] not in own) for got in (first, second)]
    assert ordered[0] == ordered[1]
    before, after = await host.detail(event), await host.detail(answer.json()["id"])
    assert after["replay_of"] == event
    assert "replay_of" not in before
    for name in ("http.route", "url.path", "url.query", "http.response.status_code", "http.request.body"):
        assert before[name] == after[name]
    assert second.header("x-reqscope-replay")[0].split()[0] == event


async def test_a_request_is_edited_and_sent(host: Host) -> None:
    event = await host.captured("GET", "/items/1")

    answer = await host.replay(
        event,
        method="POST",
        target="/orders?n=2",
        headers=[("content-type", "text/plain"), ("content-length", "99"), ("connection", "close, x-b"), ("x-b", "2")],
        body="four",
    )

    got = host.got[-1]
    assert (got.method, got.target, got.body) == ("POST", "/orders?n=2", b"four")
    assert (got.header("content-length"), got.header("x-b"), got.header("transfer-encoding")) == (["4"], [], [])
    assert (await host.detail(answer.json()["id"]))["http.route"] == "/orders"


async def test_what_was_masked_is_asked_for_and_never_sent(host: Host) -> None:
    event = await host.captured(
        "POST",
        "/orders?token=one%20two",
        json={"password": "hunter2", "amount": 3},
        headers={"authorization": "Bearer abc.def"},
    )
    form = await host.form(event)
    assert "hunter2" not in str(form)
    digits = {each.decode().removeprefix("[redacted]#"): each for each in map(MASK, (b"hunter2", b"abc.def"))}
    problem = await host.refused(event, 422, "a mask is never sent")
    assert len(problem["masks"]) == 3
    assert set(digits) <= set(problem["masks"])
    token = next(iter(set(problem["masks"]) - set(digits)))
    supplied = [{"mask": mask, "secret": 'new "secret"'} for mask in problem["masks"]]
    assert token not in str(
        (await host.refused(event, 422, secrets=[supplied[problem["masks"].index(token)]]))["masks"]
    )

    answer = await host.replay(event, secrets=supplied)

    got = host.got[-1]
    assert got.target == "/orders?token=new%20%22secret%22"
    assert got.header("authorization") == ['Bearer new "secret"']
    assert got.body == b'{"password":"new \\"secret\\"","amount":3}'
    assert "redacted" not in str(got)
    shown = await host.detail(answer.json()["id"])
    assert 'new \\"secret' not in str(shown)
    assert "new%20" not in str(shown)


@pytest.mark.parametrize(
    ("edits", "words"),
    [
        ({"method": "DELETE"}, ("DELETE /items/1", "not allowed")),
        ({"method": "POST"}, ("POST /items/1", "not allowed")),
        ({"method": "POST", "target": "/%6frder/../orders"}, (". or ..",)),
        ({"method": "POST", "target": "/orders/%2e%2E/items/1"}, (". or ..",)),
        ({"method": "PATCH", "target": "/orders"}, ("not allowed",)),
    ],
)
async def test_what_no_rule_names_is_not_sent(host: Host, edits: dict[str, Any], words: tuple[str, ...]) -> None:
    event = await host.captured()

    await host.refused(event, 403, *words, **edits)


async def test_what_is_not_allowed_as_it_was_is_said_with_the_form(host: Host) -> None:
    event = await host.captured("DELETE")

    form = await host.form(event)

    assert "DELETE /items/1 is not allowed" in form["refused"]
    assert form["methods"] == ["GET", "HEAD", "POST", "PUT"]
    assert (await host.form(await host.captured()))["refused"] == ""
    assert (await host.replay(event, method="PUT")).status_code == 200


async def test_a_body_that_was_cut_has_to_be_given(host: Host) -> None:
    event = await host.captured("POST", "/orders", content=b"x" * 20_000)

    assert "16384 of 20000 bytes" in (await host.form(event))["missing"]
    await host.refused(event, 422, "16384 of 20000 bytes")
    assert (await host.replay(event, body="")).status_code == 200
    assert host.got[-1].body == b""


@pytest.mark.guarantees("77")
@pytest.mark.parametrize(
    "browser",
    [
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"origin": "http://elsewhere.example"},
        {"origin": "null"},
    ],
)
async def test_another_sites_page_cannot_replay_anything(host: Host, browser: dict[str, str]) -> None:
    event = await host.captured()
    before = len(host.got)

    assert (await host.replay(event, browser)).status_code == 403
    assert len(host.got) == before


async def test_the_panels_own_page_can(host: Host) -> None:
    event = await host.captured()
    address = host.panel.base_url
    origin = f"{address.scheme}://{address.netloc.decode()}"

    assert (await host.replay(event, {"sec-fetch-site": "same-origin", "origin": "http://proxied"})).status_code == 200
    assert (await host.replay(event, {"origin": origin})).status_code == 200


async def test_nobody_else_can_claim_to_be_a_replay(host: Host) -> None:
    event = await host.captured()
    replayed = (await host.replay(event)).json()["id"]
    used = dict((await host.detail(replayed))["http.request.headers"])["x-reqscope-replay"]

    for forged in (used, event):
        claimed = await host.captured(headers={"x-reqscope-replay": forged})
        assert "replay_of" not in await host.detail(claimed)
    again = (await host.replay(replayed)).json()["id"]
    assert (await host.detail(again))["replay_of"] == replayed
    assert len(host.got[-1].header("x-reqscope-replay")) == 1


async def test_replays_are_found_by_the_filter(host: Host) -> None:
    event = await host.captured()
    replayed = (await host.replay(event)).json()["id"]

    found = (await host.panel.get("api/events", params={"filter": f"replay:{event}"})).json()["events"]

    assert [each["id"] for each in found] == [replayed]
    everything = (await host.panel.get("api/events", params={"filter": "replay:*"})).json()["events"]
    assert all(each["replay_of"] for each in everything)


@pytest.mark.guarantees("77")
async def test_a_redirect_is_shown_and_not_followed(host: Host) -> None:
    answer = await host.replay(await host.captured("GET", "/elsewhere"))

    assert answer.json()["status"] == 302
    assert [got.target for got in host.got] == ["/elsewhere", "/elsewhere"]


@pytest.mark.guarantees("77")
async def test_a_host_that_was_edited_in_changes_nothing_about_where_it_goes(host: Host) -> None:
    answer = await host.replay(await host.captured(), headers=[("host", "192.0.2.1")])

    assert answer.json()["status"] == 200
    assert host.got[-1].header("host") == ["192.0.2.1"]


async def test_an_application_that_fails_is_shown_with_its_exception(host: Host) -> None:
    answer = await host.replay(await host.captured("GET", "/fails"))

    assert answer.json()["status"] == 500
    assert (await host.detail(answer.json()["id"]))["error.type"] == "LookupError"


async def test_a_long_response_is_read_to_its_end(host: Host) -> None:
    answer = await host.replay(await host.captured("GET", "/stream"))

    assert (await host.detail(answer.json()["id"]))["http.response.body.size"] == 50_000


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.__name__)
class TestOneByOne:
    @pytest.mark.guarantees("77")
    async def test_it_is_off_unless_asked_for(self, mode: Callable[..., AbstractAsyncContextManager[Host]]) -> None:
        async with mode(()) as host:
            event = await host.captured()

            await host.refused(event, 403, "replay is off", "--replay", "REQSCOPE_REPLAY")
            assert (await host.panel.get(f"api/events/{event}/replay")).status_code == 403

    async def test_a_replay_is_kept_whatever_the_sampling_and_with_its_bodies_if_any_are(
        self, mode: Callable[..., AbstractAsyncContextManager[Host]]
    ) -> None:
        async with mode(sample=0.0, bodies="errors") as host:
            event = await host.captured("PUT", "/items/x/y", content=b"old")
            answer = await host.replay(event, target="/items/1", body="new")

            after = await host.detail(answer.json()["id"])
            assert (after["http.response.status_code"], after["http.request.body"]["text"]) == (200, "new")

    async def test_a_body_that_nobody_kept_has_to_be_given(
        self, mode: Callable[..., AbstractAsyncContextManager[Host]]
    ) -> None:
        async with mode(bodies="off") as host:
            event = await host.captured("POST", "/orders", content=b"secret")

            await host.refused(event, 422, "the body of 6 bytes was not captured")
            assert (await host.replay(event, body="given")).json()["status"] == 200
            assert host.got[-1].body == b"given"


async def test_an_application_that_does_not_answer_is_given_up_and_told_so() -> None:
    async with standalone(patience=0.2) as host:
        host.bus.publish(Event(time=0, method="GET", path="/waits", scheme="http"))
        event = f"{host.bus.boot}-{host.bus.ring.last}"

        answer = await host.replay(event)

        assert (answer.status_code, "within 0.2 s" in answer.json()["detail"]) == (504, True)
        host.gate.set()
        await until(lambda: host.bus.ring.last == 2, "the request that was given up")
        (given_up,) = [each for each in host.bus.ring.since(0).events if each.replay_of]
        assert (given_up.status, given_up.replay_of) == (499, event)


async def test_an_application_that_is_down_is_said_to_be() -> None:
    pipeline = Pipeline(settings(RULES))
    async with serving(FastAPI()) as url:
        pass
    replay = Replay(pipeline.bus, pipeline.marks, ReplayRules(RULES), transport, url)
    control = ControlPlane(pipeline, dict, replay=replay)
    pipeline.bus.publish(Event(time=0, method="GET", path="/"))
    async with control.running(), serving(control.app, lifespan="on") as panel, client(panel) as http:
        answer = await http.post(f"/api/events/{pipeline.bus.boot}-1/replay")

    assert (answer.status_code, "cannot be reached" in answer.json()["detail"]) == (502, True)


@pytest.mark.guarantees("77")
async def test_the_panel_itself_is_no_target_even_when_it_is_watched() -> None:
    async with mounted(("GET", "POST"), capture_panel=True) as host:
        event = await host.captured("GET", "/reqscope/api/stats")

        await host.refused(event, 403, "the monitor's own")
        await host.refused(event, 403, "the monitor's own", target="/reqscope%2Fapi/stats")


async def test_below_a_root_path_rules_are_of_the_applications_own_paths() -> None:
    got: list[Got] = []
    app = shop(got, anyio.Event())
    monitor = Monitor(app, settings=settings(("/items/*",)))
    async with (
        serving(app, lifespan="on", root_path="/tools") as url,
        client(f"{url}") as http,
        client(f"{url}/reqscope/") as panel,
    ):
        host = Host(monitor.bus, http, panel, got)
        event = await host.captured()

        answer = await host.replay(event)

        assert answer.json()["status"] == 200
        assert [each.target for each in got] == ["/tools/items/1", "/tools/items/1"]
        assert (await host.detail(answer.json()["id"]))["http.route"] == "/items/{item}"
        await host.refused(event, 403, "/reqscope", target="/tools/reqscope/api/stats")


async def test_a_collector_says_that_it_has_no_application() -> None:
    app = create_app(settings(RULES))
    async with serving(app, lifespan="on") as url, client(url) as http:
        event = (await http.post("/log", content="x")).json()["id"]
        answer = await http.post(f"/reqscope/api/events/{event}/replay")

    assert (answer.status_code, "no application" in answer.json()["detail"]) == (403, True)


async def test_what_is_gone_or_no_request_is_not_sent(host: Host) -> None:
    await host.refused(f"{host.bus.boot}-999999", 404, "in the ring")
    host.bus.publish(Event(time=0, kind="websocket", method="GET", path="/items/1"))
    await host.refused(f"{host.bus.boot}-{host.bus.ring.last}", 409, "websocket")


@pytest.mark.parametrize(
    ("edits", "words"),
    [
        ({"colour": "red"}, "colour"),
        ({"headers": "x"}, "headers"),
        ({"secrets": [{"mask": "zz", "secret": "x"}]}, "mask"),
        ({"body_base64": "?"}, "base64"),
        ({"headers": [["host", "a"], ["host", "b"]]}, "one header host"),
    ],
)
async def test_a_form_that_cannot_be_read_is_told_what_is_wrong(host: Host, edits: dict[str, Any], words: str) -> None:
    await host.refused(await host.captured(), 422, words, **edits)
