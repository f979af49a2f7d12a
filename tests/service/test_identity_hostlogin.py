import logging
import re
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Annotated, Any
from urllib.parse import parse_qs, urlsplit

import anyio
import httpx
import pytest
from fastapi import Cookie, Depends, FastAPI, HTTPException, Request
from starlette.applications import Starlette
from starlette.authentication import AuthCredentials, AuthenticationBackend, SimpleUser
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.routing import Route

from reqscope.service import Monitor, User, proxy_header
from reqscope.service.identity import Visit
from reqscope.service.identity import hostlogin as module
from reqscope.service.identity.hostlogin import HostLogin

from .conftest import DEADLINE, client, config_in, scope_of, serving

pytestmark = pytest.mark.anyio

PAGE = {"accept": "text/html"}


@asynccontextmanager
async def place(
    auth: Any, app: Starlette | None = None, *, server: dict[str, Any] | None = None, **options: Any
) -> AsyncGenerator[httpx.AsyncClient]:
    """A client of an application with a session, and a panel that asks `auth`."""

    async def log_in(request: Request) -> Response:
        request.session["user"] = await request.json()
        return Response()

    app = app or FastAPI()
    app.router.routes.append(Route("/log-in", log_in, methods=["POST"]))
    app.add_middleware(SessionMiddleware, secret_key="x" * 32)
    Monitor(app, auth=auth, **options)
    async with serving(app, lifespan="on", **(server or {})) as url, client(url) as http:
        yield http


async def who(http: httpx.AsyncClient, **headers: str) -> str | int:
    """Return whom the panel takes the client for, or the status that it is refused with."""
    answer = await http.get("/reqscope/", headers=headers)
    return str(config_in(answer)["username"]) if answer.status_code == 200 else answer.status_code


def by_session(request: Request) -> str | None:
    return request.session.get("user")


async def by_session_async(request: Request) -> User | None:
    await anyio.lowlevel.checkpoint()
    name = request.session.get("user")
    return User(name, "admin") if name else None


class BySession:
    async def __call__(self, request: Request) -> str | None:
        return request.session.get("user")


def dependency(request: Request, shop_user: Annotated[str | None, Cookie()] = None) -> str | None:
    return shop_user or request.session.get("user")


def strict(request: Request, name: Annotated[str | None, Depends(dependency)]) -> User:
    if name is None:
        raise HTTPException(401, "log in first")
    return User(name)


async def closing(request: Request, name: Annotated[str | None, Depends(dependency)]) -> AsyncGenerator[str | None]:
    request.app.state.open = True
    try:
        yield name
    finally:
        request.app.state.open = False


@pytest.mark.parametrize(
    "auth",
    [
        by_session,
        by_session_async,
        BySession(),
        lambda request: request.session.get("user"),
        dependency,
        strict,
        closing,
    ],
    ids=["function", "async", "object", "lambda", "dependency", "that raises", "that yields"],
)
async def test_the_hosts_session_says_who_it_is(auth: Any) -> None:
    async with place(auth) as http:
        assert await who(http) == 401
        await http.post("/log-in", json="alice")
        assert await who(http) == "alice"
        assert (await http.get("/reqscope/api/stats")).status_code == 200


async def test_a_session_as_oauth_libraries_leave_it_does_too() -> None:
    async with place(lambda request: request.session.get("user", {}).get("email")) as http:
        assert await who(http) == 401
        await http.post("/log-in", json={"email": "alice@example.org", "sub": "5", "groups": []})
        assert await who(http) == "alice@example.org"


async def test_so_does_the_user_of_starlettes_own_authentication() -> None:
    class Backend(AuthenticationBackend):
        async def authenticate(self, conn: HTTPConnection) -> tuple[AuthCredentials, SimpleUser] | None:
            name = conn.headers.get("x-name")
            return (AuthCredentials(), SimpleUser(name)) if name else None

    def user(request: Request) -> str | None:
        return request.user.display_name if request.user.is_authenticated else None

    app = Starlette(middleware=[Middleware(AuthenticationMiddleware, backend=Backend())])
    async with place(user, app) as http:
        assert (await who(http), await who(http, **{"x-name": "alice"})) == (401, "alice")


async def test_what_is_asked_sees_the_hosts_application_and_state_and_path() -> None:
    app, seen = FastAPI(), list[Any]()
    app.state.people = {"secret": "alice"}

    def user(request: Request) -> str | None:
        seen.append((request.app, request.url.path, request.query_params.get("key")))
        known: dict[str | None, str] = request.app.state.people
        return known.get(request.query_params.get("key"))

    async with place(user, app) as http:
        assert config_in(await http.get("/reqscope/?key=secret"))["username"] == "alice"
        assert (await http.get("/reqscope/")).status_code == 401
    assert seen[0] == (app, "/reqscope/", "secret")


async def test_a_dependency_that_the_applications_tests_override_is_overridden_here_too() -> None:
    app = FastAPI()
    app.dependency_overrides[dependency] = lambda: "tester"
    async with place(strict, app) as http:
        assert await who(http) == "tester"


async def test_the_roles_of_the_host_count() -> None:
    async with place(lambda request: User(request.session["user"], request.headers.get("x-role", "viewer"))) as http:
        await http.post("/log-in", json="alice")
        changes = [
            (await http.post("/reqscope/api/anything", headers={"x-role": role})).status_code
            for role in ("viewer", "admin")
        ]
    assert changes == [403, 405]


class TestSomebodyUnknown:
    @pytest.mark.parametrize(("login", "separator"), [("/login", "?"), ("/login?lang=de", "&")])
    async def test_a_person_goes_to_the_hosts_page_with_the_way_back(self, login: str, separator: str) -> None:
        async with place(by_session, login_url=login) as http:
            answer = await http.get("/reqscope/?view=routes&filter=a%26b", headers=PAGE)

        assert (answer.status_code, answer.headers["cache-control"]) == (303, "no-store")
        where = answer.headers["location"]
        assert where.startswith(f"{login}{separator}next=")
        assert parse_qs(urlsplit(where).query)["next"] == ["/reqscope/?view=routes&filter=a%26b"]

    async def test_below_a_root_path_both_ways_go_below_it(self) -> None:
        async with place(by_session, login_url="/login", server={"root_path": "/tools"}) as http:
            answer = await http.get("/reqscope/x", headers=PAGE)

        assert answer.headers["location"] == "/tools/login?next=%2Ftools%2Freqscope%2Fx"

    async def test_without_a_page_to_go_to_a_person_is_told_to_log_in(self) -> None:
        async with place(by_session) as http:
            answer = await http.get("/reqscope/", headers=PAGE)

        assert (answer.status_code, "Sign in to the application first" in answer.text) == (401, True)

    async def test_a_program_gets_a_401(self) -> None:
        async with place(by_session, login_url="/login") as http:
            for path in ("/reqscope/api/events", "/reqscope/", "/reqscope/gradio_api/queue/data"):
                for method in ("GET", "POST"):
                    answer = await http.request(method, path)
                    assert (answer.status_code, answer.headers["content-type"]) == (401, "application/problem+json")
                    assert answer.headers["www-authenticate"] == 'Bearer realm="reqscope"'

    async def test_the_hosts_own_routes_are_as_before(self) -> None:
        app = FastAPI()
        app.add_api_route("/open", lambda: "open")
        async with place(by_session, app, login_url="/login") as http:
            assert (await http.get("/open")).json() == "open"
            assert (await http.get("/nothing")).json() == {"detail": "Not Found"}


class TestWhatAuthRaises:
    @pytest.mark.parametrize(
        ("status", "headers", "person", "program"),
        [
            (401, {}, (303, "/login?next=%2Freqscope%2F"), 401),
            (403, {}, (403, None), 403),
            (307, {"location": "/sso?x=1"}, (303, "/sso?x=1"), 401),
            (404, {}, (404, None), 404),
            (200, {}, (403, None), 403),
            (499, {}, (403, None), 403),
        ],
    )
    async def test_what_it_raises_is_answered(
        self, status: int, headers: dict[str, str], person: tuple[int, str | None], program: int
    ) -> None:
        def refuses(request: Request) -> None:
            raise HTTPException(status, "not you", headers)

        async with place(refuses, login_url="/login") as http:
            answer = await http.get("/reqscope/", headers=PAGE)
            assert (answer.status_code, answer.headers.get("location")) == person
            assert (await http.get("/reqscope/api/stats")).status_code == program

    @pytest.mark.parametrize(
        "auth",
        [
            lambda request: 1 / 0,
            lambda request: {"name": "alice"},
            lambda request: request.state.nothing,
            lambda request: User("alice", "god"),  # type: ignore[arg-type]  # no role, which is the point
        ],
        ids=["raises", "returns something else", "reads what is not there", "makes up a role"],
    )
    async def test_a_mistake_in_it_lets_nobody_in_and_is_in_the_log(
        self, auth: Callable[[Request], Any], caplog: pytest.LogCaptureFixture
    ) -> None:
        async with place(auth, login_url="/login") as http:
            with caplog.at_level(logging.ERROR, module.__name__):
                answer = await http.get("/reqscope/api/stats")

        assert (answer.status_code, "Traceback" in answer.text) == (500, False)
        assert "the function given as auth= failed" in caplog.text

    @pytest.mark.parametrize("nobody", [None, ""])
    async def test_a_name_that_is_empty_is_nobodys(self, nobody: Any) -> None:
        async with place(lambda request: nobody) as http:
            assert await who(http) == 401


async def test_a_function_that_blocks_keeps_nobody_else_waiting() -> None:
    """It runs in a thread, so that the application goes on meanwhile."""
    app, entered = FastAPI(), anyio.Event()

    def slow(request: Request) -> str:
        anyio.from_thread.run_sync(entered.set)
        anyio.from_thread.run(released.wait)
        return "alice"

    released = anyio.Event()
    app.add_api_route("/quick", lambda: "quick")
    answers = list[str | int]()
    async with place(slow, app) as http, anyio.create_task_group() as tasks:

        async def ask() -> None:
            answers.append(await who(http))

        tasks.start_soon(ask)
        with anyio.fail_after(20):
            await entered.wait()
        assert (await http.get("/quick")).json() == "quick"
        assert answers == []
        released.set()
    assert answers == ["alice"]


class TestProxyHeader:
    async def test_a_proxy_that_is_named_says_who_it_is(self) -> None:
        async with place(proxy_header("X-Forwarded-User", proxies="10.0.0.5, 127.0.0.0/8")) as http:
            assert await who(http) == 401
            assert await who(http, **{"x-forwarded-user": "alice"}) == "alice"
            assert await who(http, **{"x-forwarded-user": ""}) == 401

    @pytest.mark.guarantees("62")
    async def test_nobody_else_is_believed_and_the_log_says_so(self, caplog: pytest.LogCaptureFixture) -> None:
        async with place(proxy_header("X-Forwarded-User", proxies="10.0.0.5")) as http:
            for _ in range(3):
                assert await who(http, **{"x-forwarded-user": "alice"}) == 401

        assert caplog.text.count("X-Forwarded-User from '127.0.0.1' is not believed") == 1

    async def test_a_header_that_came_twice_is_not_believed(self) -> None:
        async with place(proxy_header("X-Forwarded-User", proxies="127.0.0.1")) as http:
            twice = [("x-forwarded-user", "alice"), ("x-forwarded-user", "admin")]
            assert (await http.get("/reqscope/", headers=twice)).status_code == 401

    @pytest.mark.parametrize("proxies", ["", " , ", "proxy.example.org", "10.0.0.0/33"])
    def test_proxies_without_an_address_are_refused(self, proxies: str) -> None:
        with pytest.raises(ValueError, match=r"proxies|address|network"):
            proxy_header("X-Forwarded-User", proxies=proxies)


@pytest.mark.parametrize("name", ["login_url", "logout_url", "app_url"])
@pytest.mark.parametrize("url", ["https://evil.test/login", "//evil.test", "/\\evil.test", "login", "javascript:1", ""])
def test_a_url_that_is_not_the_hosts_own_is_refused_before_anything_is_changed(name: str, url: str) -> None:
    app = FastAPI()
    routes = list(app.routes)
    given: Any = {name: url}

    with pytest.raises(ValueError, match=f"{name} is a path of the application's own such as '/login'"):
        Monitor(app, auth=by_session, **given)

    assert app.routes == routes


async def test_a_visit_ends_when_the_host_knows_its_user_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CONFIRM", 0.02)
    asked = list[bool]()

    def user(request: Request) -> str | None:
        asked.append(len(asked) < 3)
        return "alice" if asked[-1] else None

    visit = await HostLogin(user).visit(Request(scope_of()))
    assert isinstance(visit, Visit)
    assert visit.wait_end is not None

    with anyio.fail_after(DEADLINE):
        await visit.wait_end()
    assert asked == [True, True, True, False]


async def test_a_stream_has_its_client_come_again_because_the_request_it_began_with_tells_no_log_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "CONFIRM", 0.02)
    async with place(by_session) as http:
        await http.post("/log-in", json="alice")
        async with http.stream("GET", "/reqscope/api/events/stream") as answer:
            assert answer.status_code == 200
            with anyio.fail_after(DEADLINE):
                text = b"".join([piece async for piece in answer.aiter_bytes()])
        (position,) = re.findall(rb"id: (\S+)", text)[-1:]
        again = {"last-event-id": position.decode()}
        async with http.stream("GET", "/reqscope/api/events/stream", headers=again) as answer:
            assert answer.status_code == 200
        await http.post("/log-in", content=b"null")
        assert (await http.get("/reqscope/api/events/stream", headers=again)).status_code == 401
