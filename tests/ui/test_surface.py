"""Gradio's own routes, all of them: the page's are open, the others are not there."""

import re
from typing import Any
from urllib.parse import unquote

import pytest
from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.types import Message, Receive, Scope, Send

from reqscope.bus import EventBus, Stats
from reqscope.ui import Panel
from reqscope.ui.surface import Surface

pytestmark = pytest.mark.anyio

OPEN = {
    ("GET", "/"),
    ("HEAD", "/"),
    ("GET", "/assets/{path}"),
    ("GET", "/static/{path}"),
    ("GET", "/theme.css"),
    ("GET", "/favicon.ico"),
    ("GET", "/manifest.json"),
    ("GET", "/gradio_api/app_id"),
    ("GET", "/gradio_api/queue/data"),
    ("POST", "/gradio_api/queue/join"),
    ("POST", "/gradio_api/component_server"),
    ("POST", "/gradio_api/component_server/"),
}
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "QUERY")


@pytest.fixture(scope="module")
def surface(anyio_backend: object) -> Surface:
    bus = EventBus()
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    Panel(bus, Stats(bus)).mount(app)
    mounted: Any = next(route for route in app.routes if getattr(route, "path", None) == "")
    assert isinstance(mounted.app, Surface)
    return mounted.app


@pytest.fixture(scope="module")
def known(surface: Surface) -> set[tuple[str, str]]:
    """Every method and path that Gradio says it answers."""
    gradio: Any = vars(surface)["_gradio"]
    return {(method.upper(), path) for path, methods in gradio.openapi()["paths"].items() for method in methods}


async def is_open(method: str, path: str) -> bool:
    """Whether a request comes through to Gradio."""
    reached = list[str]()

    async def gradio(scope: Scope, receive: Receive, send: Send) -> None:
        reached.append(scope["path"])

    scope = {"type": "http", "method": method, "path": unquote(re.sub(r"{\w+}", "x", path))}
    try:
        await Surface(gradio)(scope, nothing, swallow)
    except HTTPException as closed:
        assert (closed.status_code, reached) == (404, [])  # noqa: PT017 - it is that, or open
    return bool(reached)


async def nothing() -> Message:
    return {"type": "http.request"}


async def swallow(message: Message) -> None:
    """Send it nowhere."""


@pytest.mark.guarantees("76")
async def test_of_all_that_gradio_answers_only_what_the_page_uses_is_open(known: set[tuple[str, str]]) -> None:
    assert len(known) > 70
    assert {route for route in known if await is_open(*route)} == OPEN & known


@pytest.mark.guarantees("76")
@pytest.mark.parametrize("path", sorted({path for _, path in OPEN}))
async def test_what_is_open_is_open_for_no_other_method(path: str) -> None:
    allowed = {method for method, each in OPEN if each == path}

    found = {method for method in METHODS if await is_open(method, path)}

    assert found - {"HEAD"} == allowed - {"HEAD"}


@pytest.mark.guarantees("76")
@pytest.mark.parametrize(
    "path",
    [
        "/openapi.json",
        "/docs",
        "/mcp",
        "/assets",
        "/assets/",
        "/assets/../config",
        "/assets/..%2fconfig",
        "/assets/%2e%2e/config",
        "/assets/x.js%00",
        "/assets/x.js%0a",
        "/static//etc/passwd",
        "/theme.css/",
        "//config",
        "/%63onfig",
        "/gradio_api/queue/data/../status",
        "/gradio_api/file=/etc/passwd",
        "/gradio_api/proxy=http://169.254.169.254/",
        "/gradio_api/run/predict",
    ],
)
async def test_nothing_else_is_open_however_it_is_written(path: str) -> None:
    assert not await is_open("GET", path)
    assert not await is_open("POST", path)


@pytest.mark.guarantees("63", "76")
async def test_a_websocket_is_closed_before_it_reaches_gradio() -> None:
    sent = list[Message]()

    async def gradio(scope: Scope, receive: Receive, send: Send) -> None:
        pytest.fail("it reached Gradio")

    async def send(message: Message) -> None:
        sent.append(message)

    await Surface(gradio)({"type": "websocket", "path": "/gradio_api/queue/join"}, nothing, send)

    assert sent == [{"type": "websocket.close", "code": 1008}]
