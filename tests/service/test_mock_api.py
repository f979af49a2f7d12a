import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
import yaml
from fastapi import FastAPI

from reqscope.bus import EventBus
from reqscope.service.admin import answer_with_problems
from reqscope.service.collector import fallback_app
from reqscope.service.mock import MockApp, StubStore
from reqscope.service.mock.api import mock_router
from reqscope.service.origins import OriginGate, Origins
from reqscope.service.pipeline import Pipeline
from reqscope.service.settings import Settings

from .conftest import client, published, serving

pytestmark = pytest.mark.anyio

STUB = {"name": "pay", "request": {"method": "POST", "path": "/pay/{id}"}, "response": {"status": 201}}


@asynccontextmanager
async def both() -> AsyncGenerator[tuple[httpx.AsyncClient, httpx.AsyncClient, EventBus]]:
    """A client of the mock, one of its admin API, and the bus."""
    store, pipeline = StubStore(), Pipeline(Settings(log="none", bodies="all"))
    admin = FastAPI()
    admin.add_middleware(OriginGate, origins=Origins())  # as the control plane has it
    admin.include_router(mock_router(store, pipeline.bus))
    answer_with_problems(admin)
    app = pipeline.capture(MockApp(store, fallback_app()))
    async with (
        pipeline.running(),
        serving(app) as url,
        serving(admin) as admin_url,
        client(url) as http,
        client(admin_url) as api,
    ):
        yield http, api, pipeline.bus


async def test_a_stub_lives_from_its_making_to_its_end() -> None:
    async with both() as (http, api, _):
        made = await api.post("/api/stubs", json=STUB)
        key = made.json()["key"]
        answered = [(await http.post("/pay/1")).status_code]
        await api.patch(f"/api/stubs/{key}", json={"enabled": False})
        answered.append((await http.post("/pay/1")).status_code)
        await api.patch(f"/api/stubs/{key}", json={"enabled": True})
        await api.put(f"/api/stubs/{key}", content="name: other\nresponse: {status: 202}")
        answered.append((await http.post("/pay/1")).status_code)
        shown = (await api.get(f"/api/stubs/{key}")).json()
        await api.delete(f"/api/stubs/{key}")
        answered.append((await http.post("/pay/1")).status_code)
        gone = await api.get(f"/api/stubs/{key}")

    assert made.status_code == 201
    assert answered == [201, 404, 202, 404]
    assert (shown["name"], shown["hits"], shown["source"]) == ("other", 2, "api")
    assert (gone.status_code, gone.headers["content-type"]) == (404, "application/problem+json")


async def test_what_was_exported_can_be_imported() -> None:
    async with both() as (_, api, _):
        await api.post("/api/stubs", json=STUB)
        await api.post("/api/stubs", json={"name": "all", "response": {"json": {"a": [1, "{{count}}"]}}})
        before = (await api.get("/api/stubs")).json()["stubs"]
        as_yaml, as_json = [(await api.get(f"/api/stubs/export?format={kind}")).text for kind in ("yaml", "json")]
        assert yaml.safe_load(as_yaml) == json.loads(as_json)
        await api.delete("/api/stubs")
        added = await api.post("/api/stubs/import", content=as_yaml)
        after = (await api.get("/api/stubs")).json()["stubs"]

    assert added.json()["added"] == 2
    assert [each["stub"] for each in after] == [each["stub"] for each in before]


async def test_to_reset_forgets_hits_and_leaves_stubs_and_events() -> None:
    async with both() as (http, api, bus):
        await api.post("/api/stubs", json=STUB)
        await http.post("/pay/1")
        await http.get("/other")
        await api.post("/api/stubs/reset")
        overview = (await api.get("/api/stubs")).json()

        assert ([each["hits"] for each in overview["stubs"]], overview["unmatched"]) == ([0], [])
        assert len(await published(bus, 2)) == 2


@pytest.mark.parametrize(
    ("method", "path", "content", "why"),
    [
        ("POST", "/api/stubs", "request: {pth: /a}", "line 1: request.pth: there is no such key"),
        ("POST", "/api/stubs", "stubs: [{}, {}]", "one stub is wanted here, not 2"),
        ("POST", "/api/stubs", 'response: {headers: {a: "b\\r\\nc"}}', "line break"),
        ("POST", "/api/stubs", b"\xff", "not UTF-8"),
        ("POST", "/api/stubs/check", '{"response": {"status": 1}}', "from 200 to 599"),
        ("POST", "/api/stubs/import", "{", "is not YAML"),
        ("PUT", "/api/stubs/chaos", '{"share": 2}', "a share is"),
        ("PUT", "/api/stubs/chaos", '{"seconds": 1e9}', "lasts from"),
        ("POST", "/api/verify", '{"cuont": 1}', "cuont"),
        ("POST", "/api/verify", '{"request": {"path_regex": "("}}', "RE2"),
        ("POST", "/api/stubs/try", '{"path": "/log"}', "Reqscope's own"),
    ],
)
async def test_what_is_wrong_is_said_and_changes_nothing(method: str, path: str, content: Any, why: str) -> None:
    async with both() as (_, api, _):
        answer = await api.request(method, path, content=content)
        overview = (await api.get("/api/stubs")).json()

    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    assert why in answer.json()["detail"]
    assert (overview["stubs"], overview["chaos"]) == ([], None)


@pytest.mark.parametrize(
    "headers", [{"origin": "http://evil.example"}, {"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site"}]
)
async def test_a_page_of_another_site_changes_nothing(headers: dict[str, str]) -> None:
    async with both() as (_, api, _):
        answers = [
            await api.request(method, path, headers=headers, content="{}")
            for method, path in [("POST", "/api/stubs"), ("DELETE", "/api/stubs"), ("PUT", "/api/stubs/chaos")]
        ]
        assert [each.status_code for each in answers] == [403] * 3
        assert (await api.get("/api/stubs")).json()["stubs"] == []


async def test_to_try_a_request_counts_nothing() -> None:
    async with both() as (_, api, _):
        await api.post("/api/stubs", json={**STUB, "limit": {"requests": 1, "per": 60}, "at_end": "unmatched"})
        tried = [(await api.post("/api/stubs/try", json={"method": "post", "path": "/pay/1"})).json() for _ in "ab"]
        missed = (await api.post("/api/stubs/try", json={"path": "/pay/1"})).json()
        overview = (await api.get("/api/stubs")).json()

    assert [(each["stub"], each["status"]) for each in tried] == [("pay", 201)] * 2
    assert missed["nearest"][0]["verdicts"][0] == {
        "field": "method",
        "fits": False,
        "expected": "POST",
        "actual": "GET",
    }
    assert (overview["stubs"][0]["hits"], overview["unmatched"]) == (0, [])


async def test_a_stub_can_be_made_from_a_request_without_its_secrets() -> None:
    async with both() as (http, api, bus):
        await http.post("/charge?api_key=k3yk3y&page=2", json={"amount": 5, "card": {"password": "hunter2secret"}})
        (event,) = await published(bus)
        miss = (await api.get("/api/stubs")).json()["unmatched"][0]
        drafts = [
            (await api.get("/api/stubs/draft", params=query)).text
            for query in ({"event": bus.event_id(event)}, {"unmatched": miss["id"]})
        ]
        for draft in drafts:
            assert "hunter2" not in draft
            assert "k3y" not in draft
            made = await api.post("/api/stubs", content=draft)
            again = await http.post("/charge?api_key=other&page=2", json={"amount": 5, "card": {"password": "x"}})
            assert again.status_code == 200
            await api.delete(f"/api/stubs/{made.json()['key']}")


async def test_chaos_is_started_and_ended() -> None:
    async with both() as (http, api, _):
        await api.post("/api/stubs", json=STUB)
        await api.put("/api/stubs/chaos", json={"share": 1, "status": 500})
        broken = (await http.post("/pay/1")).status_code
        left = (await api.get("/api/stubs/chaos")).json()["chaos"]["seconds"]
        await api.delete("/api/stubs/chaos")

        assert (broken, (await http.post("/pay/1")).status_code) == (500, 201)
        assert 50 < left <= 60


class TestVerify:
    async def test_requests_are_counted_and_the_nearest_are_shown(self) -> None:
        async with both() as (http, api, _):
            await api.post("/api/stubs", json=STUB)
            for amount in (1, 2, 2):
                await http.post("/pay/7", json={"amount": amount})
            two = {"request": {"method": "POST", "path": "/pay/{id}", "json": {"amount": 2}}}

            good = await api.post("/api/verify", json={**two, "count": 2})
            bad = await api.post("/api/verify", json={**two, "count": 3})
            never = await api.post("/api/verify", json={"stub": "pay", "count": 0})

        assert (good.status_code, good.json()["ok"], good.json()["count"]) == (200, True, 2)
        assert (bad.status_code, never.status_code) == (409, 409)
        assert bad.json()["message"] == (
            "POST /pay/{id} with json.amount 2 was asked twice, and should have been 3 times\n"
            "  POST /pay/7: json.amount is 1, not 2"
        )

    async def test_the_order_counts(self) -> None:
        async with both() as (http, api, _):
            for path in ("/token", "/other", "/pay"):
                await http.get(path)
            ordered = [{"path": "/token"}, {"path": "/pay"}]
            good = await api.post("/api/verify", json={"order": ordered})
            bad = await api.post("/api/verify", json={"order": ordered[::-1]})

        assert good.json()["message"] == "all 2 came in this order"
        assert "it came, but before the others" in bad.json()["message"]
