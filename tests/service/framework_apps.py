"""Applications made with Starlette and FastAPI, whose every step is noted in the run that they belong to."""

from collections.abc import AsyncGenerator, Callable, Generator
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import anyio
from fastapi import APIRouter, Body, Depends, FastAPI, HTTPException, WebSocket
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.background import BackgroundTasks
from starlette.endpoints import HTTPEndpoint, WebSocketEndpoint
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import (
    FileResponse,
    JSONResponse,
    PlainTextResponse,
    RedirectResponse,
    Response,
    StreamingResponse,
)
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from .generated_apps import Plan, Run, variable

running: ContextVar[Run] = ContextVar("run")
"""The run that a handler's notes belong to."""


class Handled(Exception):
    """An exception that the application has a handler for."""


def note(what: str, value: object = None) -> None:
    running.get().note(what, value)


# Starlette.


async def plain(request: Request) -> Response:
    note("variable", variable.get())
    variable.set(7)
    return PlainTextResponse("plain", headers={"x-one": "1"})


async def echo(request: Request) -> Response:
    chunks = [chunk async for chunk in request.stream()]
    note("chunks", chunks)
    return Response(b"".join(chunks) * 30, 201, media_type="application/json")


async def form(request: Request) -> Response:
    return JSONResponse([name for name, _ in (await request.form()).multi_items()])


async def _chunks(count: int, fails_at: int = -1) -> AsyncGenerator[bytes]:
    run = running.get()
    try:
        for number in range(count):
            await run.pause()
            if number == fails_at:
                raise ValueError("in the middle of a stream")
            run.note("makes a chunk", number)
            yield b"chunk %d;" % number
    finally:
        run.note("stream closed")


async def stream(request: Request) -> Response:
    tasks = BackgroundTasks()
    tasks.add_task(_task, "after the stream")
    return StreamingResponse(_chunks(3), background=tasks, media_type="text/event-stream")


async def broken_stream(request: Request) -> Response:
    return StreamingResponse(_chunks(3, fails_at=2))


async def file(request: Request) -> Response:
    return FileResponse(Path(__file__).parent / "__init__.py", stat_result=None)


async def this_file(request: Request) -> Response:
    return FileResponse(__file__, filename="caf\u00e9.py")


async def _task(name: str) -> None:
    note("task begins", name)
    await running.get().pause()
    note("task ends", (name, variable.get()))


def _threaded_task(name: str) -> None:
    note("task in a thread", name)


async def _failing_task() -> None:
    raise LookupError("in a task")


async def background(request: Request) -> Response:
    tasks = BackgroundTasks()
    for name in "ab":
        tasks.add_task(_task, name)
    tasks.add_task(_threaded_task, "c")
    return PlainTextResponse("in the background", background=tasks)


async def broken_background(request: Request) -> Response:
    tasks = BackgroundTasks()
    tasks.add_task(_task, "first")
    tasks.add_task(_failing_task)
    tasks.add_task(_task, "never")
    return PlainTextResponse("in the background", background=tasks)


async def fails(request: Request) -> Response:
    try:
        raise KeyError("inner")
    except KeyError as error:
        raise ZeroDivisionError("outer") from error


async def handled(request: Request) -> Response:
    raise Handled("handled")


async def aborts(request: Request) -> Response:
    raise HTTPException(418, "a teapot", {"x-pot": "tea"})


def threaded(request: Request) -> Response:
    note("in a thread", variable.get())
    return PlainTextResponse("threaded")


async def redirect(request: Request) -> Response:
    return RedirectResponse("/plain", 303)


async def group(request: Request) -> Response:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_task, "one")
        tasks.start_soon(_failing_task)
    return PlainTextResponse("never")


async def disconnect(request: Request) -> Response:
    note("is disconnected", await request.is_disconnected())
    return Response(status_code=204)


class Endpoint(HTTPEndpoint):
    async def get(self, request: Request) -> Response:
        response = PlainTextResponse(request.path_params["item"])
        response.set_cookie("a", "1")
        response.set_cookie("b", "2")
        return response


class Echo(WebSocketEndpoint):
    encoding = "text"

    async def on_receive(self, websocket: Any, data: Any) -> None:
        note("receives", data)
        await websocket.send_text(data * 2)

    async def on_disconnect(self, websocket: Any, close_code: int) -> None:
        note("closed", close_code)


async def refuses(websocket: Any) -> None:
    await websocket.close(4000, "no")


async def denies(websocket: Any) -> None:
    await websocket.send_denial_response(JSONResponse({"why": "no"}, 401, {"x-why": "no"}))


async def breaks(websocket: Any) -> None:
    await websocket.accept(headers=[(b"x-one", b"1")])
    await websocket.send_bytes(b"\xff")
    raise OSError("broken")


async def closes(websocket: Any) -> None:
    await websocket.accept("proto")
    await websocket.send_json([await websocket.receive()])
    await websocket.close(4321)


PAGES: Final[list[Callable[..., Any]]] = [
    plain,
    echo,
    form,
    stream,
    broken_stream,
    file,
    this_file,
    background,
    broken_background,
    fails,
    handled,
    aborts,
    threaded,
    redirect,
    group,
    disconnect,
]
SOCKETS: Final[list[Callable[..., Any]]] = [refuses, denies, breaks, closes]
METHODS: Final = ["GET", "HEAD", "POST"]


def routes() -> list[BaseRoute]:
    pages: list[BaseRoute] = [Route(f"/{page.__name__}", page, methods=METHODS) for page in PAGES]
    sockets: list[BaseRoute] = [WebSocketRoute(f"/{socket.__name__}", socket) for socket in SOCKETS]
    return [*pages, *sockets, Route("/items/{item}", Endpoint), WebSocketRoute("/echoes", Echo)]


class Noting(BaseHTTPMiddleware):
    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        note("before", request.url.path)
        response = await call_next(request)
        response.headers["x-noted"] = "1"
        note("after", (response.status_code, variable.get()))
        return response


class Swallowing(BaseHTTPMiddleware):
    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        try:
            return await call_next(request)
        except ZeroDivisionError as error:
            note("swallows", repr(error.__cause__))
            return PlainTextResponse("swallowed", 502)


class Setting:
    """Middleware of the plain kind, that copies the scope and sets a context variable."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        token = variable.set(3)
        try:
            await self.app({**scope}, receive, send)
        finally:
            note("variable at the end", variable.get())
            variable.reset(token)


LAYERS: Final[dict[str, Middleware]] = {
    "noting": Middleware(Noting),
    "swallowing": Middleware(Swallowing),
    "gzip": Middleware(GZipMiddleware, minimum_size=1),
    "setting": Middleware(Setting),
}


async def _answer_handled(request: Request, error: Exception) -> Response:
    note("handles", str(error))
    return JSONResponse({"handled": True}, 409)


# FastAPI.


async def _opened(name: str = "resource") -> AsyncGenerator[str]:
    note("opens", name)
    try:
        yield name
    except ValueError as error:
        note("dependency sees", str(error))
        raise
    finally:
        note("closes", name)


def _opened_in_a_thread() -> Generator[int]:
    note("opens in a thread")
    yield 5
    note("closes in a thread")


async def _breaks_at_the_end() -> AsyncGenerator[None]:
    yield
    raise RuntimeError("while closing")


@cache
def fastapi_routes() -> APIRouter:
    router = APIRouter()

    @router.get("/numbers/{number}")
    async def number(number: int, opened: Annotated[str, Depends(_opened)]) -> int:
        return number

    @router.post("/bodies")
    async def bodies(body: Annotated[dict[str, int], Body()]) -> dict[str, int]:
        return body

    @router.get("/sync")
    def sync(
        tasks: BackgroundTasks, opened: Annotated[int, Depends(_opened_in_a_thread)], name: str = "nobody"
    ) -> dict[str, int]:
        note("handler in a thread", (name, variable.get()))
        return {name: opened}

    @router.get("/breaks")
    async def breaks(opened: Annotated[str, Depends(_opened)]) -> None:
        raise ValueError("on purpose")

    @router.get("/late", dependencies=[Depends(_breaks_at_the_end), Depends(_opened)])
    async def late() -> str:
        return "late"

    @router.get("/aborts", response_class=PlainTextResponse)
    def aborts() -> None:
        raise HTTPException(403, {"why": "no"})

    @router.get("/wrong", response_model=int)
    async def wrong() -> str:
        return "not a number"

    @router.websocket("/socket/{name}")
    async def socket(websocket: WebSocket, name: int, opened: Annotated[str, Depends(_opened)]) -> None:
        await websocket.accept()
        async for text in websocket.iter_text():
            await websocket.send_text(text * name)

    return router


FASTAPI_PATHS: Final = ["numbers/5", "numbers/five", "bodies", "sync", "sync?x", "breaks", "late", "aborts", "wrong"]


# All of it.


@dataclass(frozen=True)
class Site:
    """An application, and where capture stands in it."""

    framework: Literal["starlette", "fastapi"]
    layers: tuple[str, ...]
    mounted: bool
    place: Literal["outside", "outermost", "innermost", "mounted"]

    def app(self, watch: Callable[[ASGIApp], ASGIApp]) -> ASGIApp:
        layers = [LAYERS[name] for name in self.layers]
        watched = Middleware(_Watched, watch)
        if self.place == "outermost":
            layers = [watched, *layers]
        elif self.place in ("innermost", "mounted"):
            layers = [*layers, watched]
        inner = self._framework(layers if self.place != "mounted" or not self.mounted else layers[:-1], watch)
        return watch(inner) if self.place == "outside" else inner

    def _framework(self, layers: list[Middleware], watch: Callable[[ASGIApp], ASGIApp]) -> ASGIApp:
        handlers: Any = {Handled: _answer_handled}
        if self.framework == "fastapi":
            app: Starlette = FastAPI(middleware=layers, exception_handlers=handlers, openapi_url=None)
            app.router.routes = list(fastapi_routes().routes)
        else:
            app = Starlette(routes=_starlette_routes(), middleware=layers, exception_handlers=handlers)
        if not self.mounted:
            return app
        inside = watch(app) if self.place == "mounted" else app
        return Starlette(routes=[Mount("/mounted/{tenant}", inside)])


def _Watched(app: ASGIApp, watch: Callable[[ASGIApp], ASGIApp]) -> ASGIApp:
    return watch(app)


@cache
def _starlette_routes() -> list[BaseRoute]:
    return routes()


_layers: Final = st.lists(st.sampled_from(sorted(LAYERS)), max_size=3, unique=True).map(tuple)
_places: Final = st.sampled_from(["outside", "outermost", "innermost", "mounted"])


def sites(framework: str) -> st.SearchStrategy[Site]:
    return st.builds(Site, st.just(framework), _layers, st.booleans(), _places)


@st.composite
def visits(draw: st.DrawFn, site: Site, kind: str) -> Plan:
    """Return what a client asks of a site, through a server."""
    paths = FASTAPI_PATHS if site.framework == "fastapi" else [page.__name__ for page in PAGES]
    sockets = ["socket/2", "socket/x"] if site.framework == "fastapi" else [s.__name__ for s in SOCKETS] + ["echoes"]
    path = draw(st.sampled_from([*paths, "items/5", "nowhere"] if kind == "http" else [*sockets, "nowhere"]))
    path, _, query = path.partition("?")
    headers = draw(st.sampled_from([(), ((b"accept-encoding", b"gzip"),), ((b"range", b"bytes=2-5"),)]))
    extensions: dict[str, Any] = {"websocket.http.response": {}}
    if draw(st.booleans()):
        extensions["http.response.pathsend"] = {}
    scope: list[tuple[str, Any]] = [
        ("path", ("/mounted/7/" if site.mounted else "/") + path),
        ("root_path", draw(st.sampled_from(["", "/root"]))),
        ("query_string", (f"name={query}" if query else "").encode()),
        ("method", draw(st.sampled_from(["GET", "GET", "POST", "HEAD"]))),
        ("extensions", extensions),
        ("http_version", "1.1"),
        ("asgi", {"version": "3.0", "spec_version": draw(st.sampled_from(["2.3", "2.4"]))}),
    ]
    if kind == "websocket":
        scope.append(("subprotocols", []))
    content = ((b"content-type", b"application/json"),) if draw(st.booleans()) else ()
    strict = kind == "http" and path not in ("file", "this_file")
    return Plan(
        incoming=draw(_uploads if kind == "http" else _conversations),
        exhausted=draw(st.sampled_from(["disconnects", "waits"] if strict else ["disconnects"])),
        send_fails_at=draw(st.sampled_from([-1, -1, -1, 0, 1, 2])),
        strict=strict,
        plain=draw(st.booleans()),
        headers=((b"host", b"x"), *headers, *content),
        scope=tuple(scope),
    )


_uploads: Final[st.SearchStrategy[tuple[object, ...]]] = st.sampled_from(
    [
        ({"type": "http.request", "body": b'{"a": 1}', "more_body": False},),
        ({"type": "http.request", "body": b'{"a"', "more_body": True}, {"type": "http.request", "body": b": 1}"}),
        ({"type": "http.request", "body": b"[" * 100},),
        ({"type": "http.request", "body": b"half", "more_body": True}, {"type": "http.disconnect"}),
        ({"type": "http.disconnect"},),
        ({"type": "http.request"},),
    ]
)
_conversations: Final[st.SearchStrategy[tuple[object, ...]]] = st.sampled_from(
    [
        ({"type": "websocket.connect"}, {"type": "websocket.receive", "text": "ab"}),
        ({"type": "websocket.connect"}, {"type": "websocket.receive", "bytes": b"ab"}),
        ({"type": "websocket.connect"}, {"type": "websocket.disconnect", "code": 1001}),
        ({"type": "websocket.connect"},),
        ({"type": "websocket.disconnect", "code": 1006},),
    ]
)
