from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from reqscope.service import Monitor
from reqscope.service.identity.policies import is_direct

from .conftest import client, scope_of, serving

pytestmark = pytest.mark.anyio


def asked(address: str = "127.0.0.1", host: str = "localhost:8000", version: str = "1.1", **headers: str) -> Any:
    named = {"host": host, **{name.replace("_", "-"): value for name, value in headers.items()}}
    return scope_of(
        client=(address, 50_000),
        http_version=version,
        headers=[(name.encode(), value.encode("latin-1")) for name, value in named.items()],
    )


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.9.1", "::1", "::ffff:127.0.0.1"])
@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:80", "127.0.0.1", "127.0.0.1:9", "[::1]", "[::1]:7860"])
def test_a_request_from_this_machine_to_this_machine_is_direct(address: str, host: str) -> None:
    assert is_direct(asked(address, host))


@pytest.mark.guarantees("62")
@pytest.mark.parametrize(
    "scope",
    [
        asked("192.0.2.1"),
        asked("2001:db8::1"),
        asked("::ffff:192.0.2.1"),
        asked(""),
        asked("unix"),
        asked(host="panel.example.org"),
        asked(host="localhost.evil.test"),
        asked(host="127.0.0.1.evil.test:80"),
        asked(host=""),
        asked(version="1.0"),
        asked(x_forwarded_for="127.0.0.1"),
        asked(x_forwarded_host="localhost"),
        asked(x_forwarded_proto="http"),
        asked(x_real_ip="127.0.0.1"),
        asked(forwarded="for=127.0.0.1"),
        asked(via="1.1 proxy"),
        asked("testclient", x_forwarded_for="10.0.0.1"),
        {**asked(), "client": None},
        {**asked(), "headers": []},
        {**asked(), "headers": [(b"host", b"localhost"), (b"host", b"localhost")]},
    ],
    ids=lambda scope: str((scope["client"], scope["http_version"], scope["headers"])),
)
def test_anything_else_is_not(scope: Any) -> None:
    assert not is_direct(scope)


class TestNobodyNamedAPolicy:
    """`Monitor(app)` and no more."""

    @pytest.fixture
    def app(self, anyio_backend: object) -> FastAPI:
        app = FastAPI()

        @app.get("/")
        async def home() -> str:
            return "home"

        Monitor(app)
        return app

    async def test_this_machine_sees_everything_and_others_are_told_what_to_write(self, app: FastAPI) -> None:
        options = {"proxy_headers": True, "forwarded_allow_ips": "127.0.0.1"}
        async with serving(app, lifespan="on", **options) as url, client(url) as http:
            assert (await http.get("/reqscope/")).status_code == 200
            elsewhere = {"x-forwarded-for": "192.0.2.7"}
            for path in ("/reqscope/", "/reqscope/api/events", "/reqscope/gradio_api/info", "/reqscope/config"):
                answer = await http.get(path, headers=elsewhere)
                assert (answer.status_code, answer.headers["content-type"]) == (403, "application/problem+json")
                assert "Monitor(app, auth=lambda request: request.session.get('user')" in answer.json()["detail"]
            assert (await http.get("/", headers=elsewhere)).text == '"home"'
            assert (await http.get("/reqscope/livez", headers=elsewhere)).status_code == 200

    async def test_a_person_is_told_with_a_page(self, app: FastAPI) -> None:
        async with serving(app, lifespan="on") as url, client(url) as http:
            page = await http.get("/reqscope/", headers={"via": "1.1 x", "accept": "text/html"})
            assert (page.status_code, page.headers["content-type"]) == (403, "text/html; charset=utf-8")
            assert "Monitor(app, auth=lambda request: request.session.get(&#x27;user&#x27;)" in page.text
            assert 'href="/reqscope/access.css"' in page.text
            assert (await http.get("/reqscope/access.css", headers={"via": "1.1 x"})).status_code == 200

    def test_the_applications_own_tests_see_everything(self, app: FastAPI) -> None:
        with TestClient(app) as http:
            assert http.get("/reqscope/api/stats").status_code == 200


async def test_a_panel_that_is_open_by_wish_is_open_to_everybody() -> None:
    app = FastAPI()
    Monitor(app, auth="open")
    async with serving(app, lifespan="on") as url, client(url) as http:
        answer = await http.get("/reqscope/api/stats", headers={"x-forwarded-for": "192.0.2.7"})
        assert answer.status_code == 200


@pytest.mark.parametrize("auth", ["none", "", True, 5])
def test_a_policy_that_is_none_is_refused_before_anything_is_changed(auth: Any) -> None:
    app = FastAPI()
    routes = list(app.routes)

    with pytest.raises((ValueError, TypeError)):
        Monitor(app, auth=auth)

    assert app.routes == routes
