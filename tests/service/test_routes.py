from typing import Any

import pytest
from fastapi import APIRouter, FastAPI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.types import Receive, Scope, Send

from reqscope.service.routes import below_root, route_template

from .conftest import Site

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("path", "root", "below"),
    [
        ("/x", "", "/x"),
        ("/tools/x", "/tools", "/x"),
        ("/tools/", "/tools", "/"),
        ("/tools", "/tools", ""),
        ("/x", "/tools", "/x"),
        ("/toolshed/x", "/tools", "/toolshed/x"),
        ("/x/tools/y", "/tools", "/x/tools/y"),
        ("/tools/tools/x", "/tools", "/tools/x"),
        ("", "", ""),
    ],
)
def test_the_root_path_is_taken_off_where_it_is_in_front_and_whole(path: str, root: str, below: str) -> None:
    assert below_root({"type": "http", "path": path, "root_path": root}) == below


def test_a_server_need_not_know_of_root_paths() -> None:
    assert below_root({"type": "http", "path": "/x"}) == "/x"
    assert route_template({"type": "http", "path": "/x"}, "") is None


async def page(request: Request) -> Response:
    return PlainTextResponse("page")


async def seven(part: Any = None) -> int:
    return 7


def parts() -> FastAPI:
    app = FastAPI()
    app.get("/parts/{part}")(seven)
    app.get("/again/{tenant}")(seven)
    return app


def fastapi_app() -> FastAPI:
    app, inner, outer = FastAPI(), APIRouter(prefix="/c"), APIRouter(prefix="/b")
    inner.get("/{part}")(seven)
    outer.include_router(inner)
    app.include_router(outer, prefix="/a")
    app.include_router(inner)
    app.mount("/tenants/{tenant}", parts())
    app.mount("/numbers/{number:int}", parts())
    return app


def starlette_app() -> Starlette:
    deep = Mount("/{b}", routes=[Route("/c/{c}", page), Route("/fixed", page)])
    return Starlette(routes=[Mount("/a/{a}", routes=[deep]), Mount("/x", Starlette(routes=[Route("/", page)]))])


@pytest.mark.parametrize(
    ("path", "template"),
    [
        ("/a/b/c/5", "/a/b/c/{part}"),
        ("/c/5", "/c/{part}"),
        ("/tenants/7/parts/5", "/tenants/{tenant}/parts/{part}"),
        ("/tenants/7/parts/7", "/tenants/{tenant}/parts/{part}"),
        ("/tenants/a%20b/parts/5", "/tenants/{tenant}/parts/{part}"),
        ("/numbers/7/parts/5", "/numbers/{number}/parts/{part}"),
    ],
)
async def test_the_template_of_a_fastapi_route_has_every_prefix_and_no_value(
    site: Site, path: str, template: str
) -> None:
    assert await template_of(site, fastapi_app(), path) == template


@pytest.mark.parametrize(
    ("path", "template"),
    [("/a/1/2/c/3", "/a/{a}/{b}/c/{c}"), ("/a/1/2/fixed", "/a/{a}/{b}/fixed"), ("/x/", "/x/")],
)
async def test_the_template_of_a_starlette_route_has_every_prefix_and_no_value(
    site: Site, path: str, template: str
) -> None:
    assert await template_of(site, starlette_app(), path) == template


async def template_of(site: Site, inner: Any, path: str) -> str | None:
    """Return the template of the route that takes this request, after it did."""
    found: list[str | None] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await inner(scope, receive, send)
        found.append(route_template(scope, ""))

    async with site.client(app) as client:
        assert (await client.get(path)).status_code == 200
    return found[0]
