from collections.abc import AsyncIterator

import httpx
import pytest

from reqscope.bus import Event
from reqscope.service import Settings
from reqscope.service.admin import ControlPlane
from reqscope.service.hosts import LOOPBACK_HOSTS, Hosts
from reqscope.service.pipeline import Pipeline

from .conftest import client, serving

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
async def url(anyio_backend: object) -> AsyncIterator[str]:
    """The address of a control plane that has seen one event."""
    pipeline = Pipeline(Settings(log="none"))
    control = ControlPlane(pipeline, lambda: {"in_flight": 3}, Hosts(LOOPBACK_HOSTS))
    pipeline.bus.publish(Event(time=0, path="/seen"))
    async with control.running(), serving(control.app, lifespan="on") as url:
        yield url


@pytest.fixture
async def admin(url: str) -> AsyncIterator[httpx.AsyncClient]:
    async with client(url) as http:
        yield http


async def test_the_panel_is_at_the_root_and_the_api_beside_it(admin: httpx.AsyncClient) -> None:
    page = await admin.get("/")
    events = await admin.get("/api/events")
    stats = await admin.get("/api/stats")

    assert page.headers["content-type"].startswith("text/html")
    assert '"title":"Reqscope"' in page.text
    assert [event["url.path"] for event in events.json()["events"]] == ["/seen"]
    assert stats.json()["capture"] == {"in_flight": 3}
    assert {reader["name"] for reader in stats.json()["readers"]} == {"stats", "panel", "runs"}


@pytest.mark.guarantees("49")
@pytest.mark.parametrize("path", ["/", "/api/events", "/livez", "/gradio_api/info"])
@pytest.mark.parametrize("host", ["example.org", "127.0.0.1.example.org", "localhost.example.org:7860", "10.0.0.1", ""])
async def test_a_name_that_is_not_this_machines_is_refused(admin: httpx.AsyncClient, path: str, host: str) -> None:
    answer = await admin.get(path, headers={"host": host})

    assert answer.status_code == 400
    assert "seen" not in answer.text


@pytest.mark.guarantees("49")
@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "localhost:9999", "[::1]", "[::1]:7860"])
async def test_every_name_of_this_machine_is_good_on_any_port(admin: httpx.AsyncClient, host: str) -> None:
    assert (await admin.get("/api/events", headers={"host": host})).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status", "words"),
    [
        ("GET", "/api/events/x", 404, "no longer, in the ring"),
        ("POST", "/api/events", 405, "is for reading"),
        ("DELETE", "/api/events/x", 405, "is for reading"),
        ("GET", "/api/nothing", 404, "there is no /api/nothing"),
        ("OPTIONS", "/api/events", 405, ""),
        ("GET", "/api/events?limit=x", 422, "query.limit: "),
        ("GET", "/api/events?filter=status:x", 400, "filter: "),
    ],
)
async def test_every_error_of_the_api_is_a_problem(
    admin: httpx.AsyncClient, method: str, path: str, status: int, words: str
) -> None:
    answer = await admin.request(method, path)

    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert answer.json()["status"] == status
    assert words in answer.json()["detail"]
    assert (answer.headers.get("allow") == "GET") == (status == 405)


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
async def test_there_is_no_page_that_fetches_its_scripts_from_elsewhere(admin: httpx.AsyncClient, path: str) -> None:
    assert (await admin.get(path)).status_code == 404


@pytest.mark.parametrize("path", ["/api/events", "/api/stats"])
async def test_what_can_be_read_can_be_asked_for_without_its_body(admin: httpx.AsyncClient, path: str) -> None:
    assert (await admin.head(path)).status_code in (200, 405)


async def test_what_can_be_read_is_described_in_openapi(admin: httpx.AsyncClient) -> None:
    paths = (await admin.get("/openapi.json")).json()["paths"]

    assert {"/api/events", "/api/events/stream", "/api/events/{event_id}", "/metrics"} <= paths.keys()
    assert "text/event-stream" in paths["/api/events/stream"]["get"]["responses"]["200"]["content"]
