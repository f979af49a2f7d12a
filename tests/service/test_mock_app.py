import time
from pathlib import Path

import anyio
import httpx
import pytest

from reqscope.service import Settings, create_app
from reqscope.service.mock import StubStore

from .conftest import client, published, serving, until
from .mocking import mocking, store_of

pytestmark = pytest.mark.anyio

STUBS = """
- name: pay
  request: {method: POST, path: "/pay/{id}", json: {amount: 100}}
  response: {status: 201, json: {id: "{{request.path.id}}"}}
- {name: reset, request: {path: /reset}, response: {fault: reset}}
- {name: empty, request: {path: /empty}, response: {fault: empty}}
- {name: cut, request: {path: /cut}, response: {fault: truncated, body: abcdefghij}}
- {name: slow, request: {path: /slow}, response: {delay: 150ms, body: late}}
- {name: forever, request: {path: /forever}, response: {delay: 30s}}
- {name: dribble, request: {path: /dribble}, response: {body: abcdefghij, dribble: {chunks: 5, over: 100ms}}}
- {name: gone, request: {path: /gone}, response: {status: 204}}
"""


async def test_every_request_is_an_event_with_the_stub_that_answered() -> None:
    async with mocking(store_of(STUBS)) as (http, bus):
        answer = await http.post("/pay/7", json={"amount": 100})
        await http.get("/nothing")
        events = await published(bus, 2)

    assert (answer.status_code, answer.json()) == (201, {"id": "7"})
    assert [(each.stub, each.route, each.status) for each in events] == [("pay", "/pay/{id}", 201), (None, None, 404)]


async def test_what_no_stub_answers_is_told_which_come_nearest_and_why() -> None:
    async with mocking(store_of(STUBS)) as (http, _):
        answer = await http.post("/pay/7", json={"amount": 5, "password": "hunter2secret"})
        other = await http.get("/something/else")

    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
    assert answer.json()["detail"].endswith("the nearest is pay: json.amount should be 100 and is 5")
    assert answer.json()["nearest"][0] == {
        "stub": "pay",
        "why": [{"field": "json.amount", "fits": False, "expected": "100", "actual": "5"}],
    }
    assert other.json()["detail"].endswith("there is none like it")


async def test_a_404_does_not_repeat_secrets() -> None:
    store = store_of("request: {path: /a, json: {password: right}, headers: {authorization: Bearer right}}")
    async with mocking(store) as (http, _):
        answer = await http.post(
            "/a", json={"password": "hunter2secret"}, headers={"authorization": "Bearer tops3cret"}
        )

    assert answer.status_code == 404
    assert "hunter2" not in answer.text
    assert "tops3cret" not in answer.text
    assert "hunter2" not in str(store.journal.unmatched[0])


class TestFaults:
    @pytest.mark.parametrize(
        ("path", "error"),
        [("/reset", httpx.ReadError), ("/empty", httpx.RemoteProtocolError), ("/cut", httpx.RemoteProtocolError)],
    )
    async def test_a_connection_is_broken_and_the_event_says_it_was_on_purpose(
        self, path: str, error: type[Exception]
    ) -> None:
        async with mocking(store_of(STUBS)) as (http, bus):
            with pytest.raises(error):
                await http.get(path)
            (event,) = await published(bus)
            assert (await http.get("/gone")).status_code == 204  # the server goes on

        kind = {"/reset": "mock_reset", "/empty": "mock_empty", "/cut": "mock_truncated"}[path]
        assert (event.stub, event.error) == (path[1:], kind)

    async def test_a_delay_is_waited_for(self) -> None:
        async with mocking(store_of(STUBS)) as (http, _):
            begun = time.perf_counter()
            answer = await http.get("/slow")

        assert answer.text == "late"
        assert time.perf_counter() - begun >= 0.149

    async def test_a_client_that_does_not_wait_is_let_go_at_once(self) -> None:
        async with mocking(store_of(STUBS)) as (http, bus):
            with pytest.raises(httpx.ReadTimeout):
                await http.get("/forever", timeout=0.1)
            (event,) = await published(bus)

        assert (event.stub, event.error) == ("forever", "client_disconnected")

    async def test_a_body_dribbles(self) -> None:
        async with mocking(store_of(STUBS)) as (http, _), http.stream("GET", "/dribble") as answer:
            chunks = [chunk async for chunk in answer.aiter_raw()]

        assert b"".join(chunks) == b"abcdefghij"
        assert len(chunks) > 1


class TestReservedPaths:
    @pytest.mark.guarantees("79")
    @pytest.mark.parametrize("path", ["/log", "//log", "/%6cog", "/x/../log", "/events", "/./events/", "/livez"])
    async def test_no_stub_answers_them_however_they_are_written(self, path: str) -> None:
        store = store_of("{name: any, response: {body: stub}}")
        async with mocking(store) as (http, _):
            answer = await http.get(httpx.URL(str(http.base_url)).copy_with(raw_path=path.encode()))

        assert answer.text != "stub"
        assert store.journal.requests() == []


async def test_a_large_body_is_refused_and_not_kept() -> None:
    async with mocking(store_of("name: any")) as (http, _):
        answer = await http.post("/", content=b"x" * (2 << 20))

    assert answer.status_code == 413


async def test_head_is_answered_as_get_is_without_a_body() -> None:
    async with mocking(store_of("{request: {method: GET}, response: {body: hello}}")) as (http, _):
        answer = await http.head("/")

    assert (answer.status_code, answer.content, answer.headers["content-length"]) == (200, b"", "5")


@pytest.mark.guarantees("78")
async def test_on_the_panels_port_an_answer_cannot_touch_the_panel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "stubs.yaml"
    file.write_text("response: {headers: {content-type: text/html}, body: <script>steal()</script>}")
    monkeypatch.setenv("REQSCOPE_STUBS", str(file))
    async with serving(create_app(Settings(log="none")), lifespan="on") as url, client(url) as http:
        page = await http.get("/")
        panel = await http.get("/reqscope/")
        stubs = (await http.get("/reqscope/api/stubs")).json()["stubs"]

        assert (page.headers["content-security-policy"], page.headers["x-content-type-options"]) == (
            "sandbox",
            "nosniff",
        )
        assert "steal" not in panel.text
        assert stubs[0]["hits"] == 1
        # And it is read again when it changes.
        with anyio.fail_after(20):
            while (await http.get("/")).text != "changed":
                file.write_text("response: {body: changed}")  # again, as the watch may begin only after the first time
                await anyio.sleep(0.3)  # what goes on changing is not read yet


async def test_stubs_can_change_while_requests_are_answered() -> None:
    store = StubStore()
    async with mocking(store) as (http, bus):
        assert (await http.get("/gone")).status_code == 404
        store.add_all(each.stub for each in store_of(STUBS).index.stubs)
        assert (await http.get("/gone")).status_code == 204
        await until(lambda: bus.ring.last == 2, "two events")
