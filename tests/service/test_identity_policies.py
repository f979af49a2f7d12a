import http.client
import os
from typing import Any

import pytest
from anyio import to_thread
from fastapi import FastAPI
from starlette.testclient import TestClient

from reqscope.service import Monitor
from reqscope.service.identity.peers import can_tell_users

from .conftest import DEADLINE, client, serving

pytestmark = pytest.mark.anyio


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

    @pytest.mark.skipif(not can_tell_users() or os.geteuid() != 0, reason="only root may give a socket away")
    async def test_another_user_of_this_machine_and_so_a_proxy_that_hides_is_told_as_well(self, app: FastAPI) -> None:
        def ask(port: int) -> tuple[int, str]:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)
            connection.connect()
            os.fchown(connection.sock.fileno(), 54_321, -1)
            connection.request("GET", "/reqscope/api/events")
            answer = connection.getresponse()
            text = answer.read().decode()
            connection.close()
            return answer.status, text

        async with serving(app, lifespan="on") as url:
            status, text = await to_thread.run_sync(ask, int(url.rpartition(":")[2]))
        assert (status, "only who runs the application" in text) == (403, True)

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
