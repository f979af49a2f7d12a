"""Nobody unknown gets an answer: every route there is, Gradio's too, and every path that there is not."""

import re
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from fastapi import Depends, FastAPI, Request
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from reqscope.bus import Event
from reqscope.service import Settings, User, require_admin
from reqscope.service.admin import ControlPlane
from reqscope.service.identity import Everybody, Gate, Policy, SignIn, Tokens, Users, Visit
from reqscope.service.identity import gate as module
from reqscope.service.identity.gate import PUBLIC
from reqscope.service.identity.hostlogin import HostLogin
from reqscope.service.identity.policies import ThisMachine
from reqscope.service.pipeline import Pipeline

from .conftest import DEADLINE, Site, client, scope_of, serving

pytestmark = pytest.mark.anyio

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
SIGN_IN_PAGES = {("GET", "/sign-in"), ("POST", "/sign-in"), ("POST", "/sign-out")}


def routes_of(app: Any) -> Iterator[tuple[str, set[str]]]:
    """Every path that some route of `app` takes, and of what is mounted in it, with its methods."""
    for route in getattr(app, "routes", ()):
        inner = next(
            (each for name in ("original_router", "app") if getattr(each := getattr(route, name, None), "routes", 0)),
            None,
        )
        if inner is None and hasattr(getattr(route, "app", None), "_gradio"):
            inner = route.app._gradio
        if inner is not None:
            yield from routes_of(inner)
        elif getattr(route, "path", None):
            yield route.path, set(getattr(route, "methods", None) or METHODS)


def filled(path: str) -> str:
    """Return a path that the template takes."""
    return re.sub(r"{[^}]*}", "x", path)


def refusing(kind: str, folder: Path) -> Policy:
    """Return a policy that knows nobody."""
    if kind == "sign-in":
        users = Users(folder / "users.json")
        users.add("alice", "correct horse battery", "admin")
        return SignIn(users)
    return HostLogin(lambda request: None, "/login") if kind == "host" else Closed()


class Closed(ThisMachine):
    """As if every request came from elsewhere."""

    async def visit(self, request: Any) -> None:
        return None


@pytest.fixture(scope="module", params=["sign-in", "host", "this machine"])
async def place(
    request: pytest.FixtureRequest, anyio_backend: object, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[tuple[ControlPlane, str]]:
    folder = tmp_path_factory.mktemp("who")
    pipeline = Pipeline(Settings(log="none", tokens_file=folder / "tokens.json"))
    control = ControlPlane(pipeline, dict, policy=refusing(request.param, folder))
    pipeline.bus.publish(Event(time=0, path="/seen"))
    async with control.running(), serving(control.app, lifespan="on") as url:
        yield control, url


@pytest.mark.guarantees("76", "80")
async def test_every_route_is_closed_to_whoever_is_not_known(place: tuple[ControlPlane, str]) -> None:
    control, url = place
    found = dict[str, set[str]]()
    for path, methods in routes_of(control.app):
        found.setdefault(filled(path), set()).update(methods)
    assert len(found) > 70
    assert {"/api/events", "/api/x", "/gradio_api/queue/join", "/gradio_api/token", "/config", "/openapi.json"} <= set(
        found
    )
    opened = list[str]()
    async with client(url) as http:
        for path, methods in found.items():
            for method in sorted(methods):
                answer = await http.request(method, path)
                if answer.status_code not in (401, 403) or "seen" in answer.text:
                    opened.append(f"{method} {path} {answer.status_code}")

    public = {f"{method} {path} 200" for method, path in PUBLIC}
    sign_in = {"GET /sign-in 200", "POST /sign-in 415", "POST /sign-out 303"}
    assert set(opened) <= public | sign_in
    assert {f"{method} /{name} 200" for method in ("GET", "HEAD") for name in ("livez", "readyz")} <= set(opened)


@pytest.mark.guarantees("76")
async def test_every_name_of_gradios_api_is_closed_too(place: tuple[ControlPlane, str]) -> None:
    control, url = place
    blocks: Any = vars(control.panel)["_blocks"]
    names = {str(each.api_name) for each in blocks.fns.values()} | {"predict", "load", "restart"}
    components = [each for each in blocks.config["components"] if each["props"].get("server_fns")]
    functions = [name for each in components for name in each["props"]["server_fns"]]
    assert {"steer", "detail"} <= set(functions)
    async with client(url) as http:
        for name in names:
            for path in (f"call/{name}", f"call/v2/{name}", f"run/{name}", f"api/{name}"):
                answer = await http.post(f"/gradio_api/{path}", json={"data": [], "session_hash": "x"})
                assert answer.status_code in (401, 403), path
        for index in range(len(blocks.fns) + 1):
            join = {"data": [], "fn_index": index, "session_hash": "x", "event_data": None, "trigger_id": None}
            assert (await http.post("/gradio_api/queue/join", json=join)).status_code in (401, 403)
        for name in functions:
            call = {"data": {}, "component_id": components[0]["id"], "fn_name": name, "session_hash": "x"}
            assert (await http.post("/gradio_api/component_server", json=call)).status_code in (401, 403), name


@pytest.mark.guarantees("76")
@pytest.mark.parametrize(
    "path",
    [
        "/nothing",
        "/livez/",
        "/livez/../api/events",
        "/./livez",
        "//livez",
        "/LIVEZ",
        "/livez%2f..%2fapi/events",
        "/livez;/api/events",
        "/%6civez/x",
        "/sign-in/",
        "/sign-in/../config",
        "/access.css/x",
        "/api/events?x=/livez",
        "/gradio_api/../livez/../config",
    ],
)
async def test_no_way_to_write_a_path_gets_round_the_gate(place: tuple[ControlPlane, str], path: str) -> None:
    _, url = place
    port = int(url.rpartition(":")[2])
    async with await anyio.connect_tcp("127.0.0.1", port) as connection:  # a client library would tidy the path up
        await connection.send(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
        with anyio.fail_after(20):
            answer = await connection.receive()

    assert answer.split()[1] in (b"401", b"403")


@pytest.mark.guarantees("63")
async def test_a_websocket_is_closed_before_it_is_open(place: tuple[ControlPlane, str]) -> None:
    control, _ = place
    sent = list[Message]()

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        sent.append(message)

    for path in ("/livez", "/api/events", "/gradio_api/queue/join", "/sign-in"):
        await control.app({**scope_of(path=path), "type": "websocket", "headers": [(b"host", b"x")]}, receive, send)
    assert {message["type"] for message in sent} <= {"websocket.close", "websocket.http.response.start"}


def guarded(policy: Policy, tokens: Tokens) -> FastAPI:
    """An application behind a gate, with a route for each thing that one may be allowed to do."""
    app = FastAPI()

    async def done(visit: Visit = Depends(require_admin)) -> str:  # noqa: B008
        return visit.name

    async def read() -> str:
        return "read"

    app.add_api_route("/api/x", read, methods=["GET"])
    app.add_api_route("/api/x", read, methods=["POST", "DELETE"])
    app.add_api_route("/metrics", read, methods=["GET"])
    app.add_api_route("/", read, methods=["GET"])
    app.add_api_route("/steer", read, methods=["POST"])
    app.add_api_route("/clear", done, methods=["POST"])
    app.add_middleware(Gate, policy=policy, tokens=tokens)
    return app


class As(Everybody):
    """A policy that takes everybody for the same user."""

    def __init__(self, user: User) -> None:
        super().__init__()
        self._visit = Visit(user)


ASKED = [
    ("GET", "/api/x"),
    ("GET", "/metrics"),
    ("GET", "/"),
    ("POST", "/steer"),
    ("POST", "/api/x"),
    ("DELETE", "/api/x"),
    ("POST", "/clear"),
]


async def statuses(http: httpx.AsyncClient) -> list[int]:
    return [(await http.request(method, path)).status_code for method, path in ASKED]


@pytest.mark.parametrize(
    ("role", "expected"),
    [("admin", [200] * 7), ("viewer", [200, 200, 200, 200, 403, 403, 403])],
)
async def test_a_viewer_looks_and_an_admin_changes_things_too(
    site: Site, tmp_path: Path, role: Any, expected: list[int]
) -> None:
    app = guarded(As(User("somebody", role)), Tokens(tmp_path / "tokens.json"))
    async with site.client(app) as http:
        assert await statuses(http) == expected


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        ("ingest", [401] * 7),
        ("read", [200, 200, 403, 403, 403, 403, 403]),
        ("admin", [200, 200, 403, 403, 200, 200, 403]),
    ],
)
async def test_a_token_is_for_the_api_and_for_what_it_was_made_for(
    site: Site, tmp_path: Path, scope: Any, expected: list[int]
) -> None:
    tokens = Tokens(tmp_path / "tokens.json")
    token = tokens.add("program", [scope])
    async with site.client(guarded(Closed(), tokens)) as http:
        http.headers["authorization"] = f"Bearer {token}"
        assert await statuses(http) == expected


@pytest.mark.guarantees("80")
async def test_a_wrong_token_gets_no_further_than_none_even_where_everybody_is_let_in(
    site: Site, tmp_path: Path
) -> None:
    async with site.client(guarded(Everybody(), Tokens(tmp_path / "tokens.json"))) as http:
        answer = await http.get("/api/x", headers={"authorization": "Bearer rq_wrong"})
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, 'Bearer realm="reqscope"')
        assert (await http.get("/api/x", headers={"authorization": "Bearer of-the-host"})).status_code == 200


async def test_a_file_of_tokens_that_cannot_be_used_lets_nobody_in(site: Site, tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    token = Tokens(path).add("program", ["admin"])
    path.chmod(0o644)
    async with site.client(guarded(Closed(), Tokens(path))) as http:
        assert (await http.get("/api/x", headers={"authorization": f"Bearer {token}"})).status_code == 401


async def test_a_route_that_no_gate_stands_before_is_closed_to_everybody() -> None:
    app = FastAPI()

    @app.post("/clear")
    async def clear(visit: Visit = Depends(require_admin)) -> str:  # noqa: B008
        return visit.name

    async with serving(app) as url, client(url) as http:
        assert (await http.post("/clear")).status_code == 401


class Ending(Everybody):
    """A policy whose session ends when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.ended = anyio.Event()
        self._visit = Visit(User("alice"), wait_end=self.ended.wait)


async def test_what_is_open_when_its_session_ends_is_cut_off(tmp_path: Path) -> None:
    policy, cancelled = Ending(), anyio.Event()

    async def endless(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            policy.ended.set()
            await anyio.sleep_forever()
        finally:
            cancelled.set()

    gate = Gate(endless, policy, Tokens(tmp_path / "tokens.json"))
    with anyio.fail_after(10):
        await gate(scope_of(path="/"), receive=_never, send=_nowhere)

    assert cancelled.is_set()


async def test_a_stream_of_a_token_that_is_removed_ends(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LOOK_AGAIN", 0.01)
    tokens = Tokens(tmp_path / "tokens.json")
    header = {"authorization": f"Bearer {tokens.add('tail', ['read'])}"}
    tokens.add("other", ["read"])

    async def endless() -> AsyncGenerator[bytes]:
        while True:
            yield b"x"
            await anyio.sleep(0.01)

    async def stream(request: Request) -> StreamingResponse:
        return StreamingResponse(endless())

    app = FastAPI()
    app.add_route("/api/x", stream)
    app.add_middleware(Gate, policy=Closed(), tokens=tokens)
    async with site.client(app) as http, http.stream("GET", "/api/x", headers=header) as answer:
        pieces = answer.aiter_bytes()
        assert await anext(pieces) == b"x"
        tokens.remove("other")
        for _ in range(10):
            await anext(pieces)
        tokens.remove("tail")
        with anyio.fail_after(DEADLINE):
            async for _ in pieces:
                pass


async def test_what_ends_by_itself_or_fails_does_so_as_without_a_gate(tmp_path: Path) -> None:
    async def fails(scope: Scope, receive: Receive, send: Send) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await Gate(fails, Ending(), Tokens(tmp_path / "x"))(scope_of(path="/"), _never, _nowhere)

    sent = list[Message]()

    async def send(message: Message) -> None:
        sent.append(message)

    await Gate(PlainTextResponse("x"), Ending(), Tokens(tmp_path / "x"))(scope_of(path="/"), _never, send)
    assert sent[-1]["body"] == b"x"


async def _never() -> Message:
    await anyio.sleep_forever()
    return {}


async def _nowhere(message: Message) -> None:
    """Send nothing to nobody."""
