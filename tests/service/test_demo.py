import re

import anyio
import pytest
from starlette.types import Receive, Scope, Send

from reqscope.bus import Event, EventBus
from reqscope.service import CaptureMiddleware
from reqscope.service.demo import customers, shop_app

from .conftest import Site, published, until

pytestmark = pytest.mark.anyio


async def test_the_shop_has_quick_slow_missing_and_failing_routes(site: Site) -> None:
    async with site.client(shop_app(seed=7)) as http:
        assert (await http.get("/")).json() == {"shop": "open"}
        assert (await http.get("/products/39")).json()["price"] == 44
        assert (await http.get("/products/40")).status_code == 404
        assert (await http.get("/products/x")).status_code == 422
        assert (await http.get("/search", params={"q": "tea"})).json()["found"] == [*range(0, 40, 4)]
        assert (await http.post("/orders", json={"product": 1, "amount": 8})).status_code == 201
        assert (await http.post("/orders", json={"product": 1, "amount": 9})).status_code == 409
        assert (await http.post("/orders", json={"product": 1})).status_code == 422
        reports = {(await http.get("/reports/2026-01")).status_code for _ in range(6)}

    assert reports == {200, 503}


def has_everything(events: list[Event]) -> bool:
    return {event.status // 100 for event in events} >= {2, 4} and len({event.route for event in events}) >= 3


async def test_customers_make_traffic_with_something_of_everything_until_they_are_cancelled(
    site: Site, bus: EventBus
) -> None:
    site.app = CaptureMiddleware(shop_app(), bus)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(customers(site.url))
        await until(lambda: has_everything(bus.ring.since(0).events), "something of everything")
        tasks.cancel_scope.cancel()
    events = bus.ring.since(0).events

    assert {event.client for event in events} == {"127.0.0.1"}
    assert {event.method for event in events} == {"GET", "POST"}
    tokens = [value for event in events for name, value in event.request_headers if name == b"authorization"]
    assert tokens
    assert all(re.fullmatch(rb"Bearer \[redacted\]#[0-9a-f]{6}", token) for token in tokens)


async def test_customers_who_find_the_door_closed_come_back(site: Site, bus: EventBus) -> None:
    turned_away = 0

    async def closed(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal turned_away
        turned_away += 1
        raise ConnectionError("closed")

    async def cut_off(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal turned_away
        turned_away += 1
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"9")]})
        raise ConnectionError("cut off")

    async with anyio.create_task_group() as tasks:
        site.app = closed
        tasks.start_soon(customers(site.url))
        await until(lambda: turned_away >= 1, "the first customer")
        site.app = cut_off
        await until(lambda: turned_away >= 3, "the third customer")
        site.app = CaptureMiddleware(shop_app(), bus)
        await published(bus)
        tasks.cancel_scope.cancel()
