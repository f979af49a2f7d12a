"""Who gets in to a panel on this machine where nobody has said who may: who runs it, and with a link who does not."""

import http.client
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from anyio import to_thread

from reqscope.service import Settings
from reqscope.service.admin import ControlPlane
from reqscope.service.identity import Users
from reqscope.service.identity.peers import can_tell_users
from reqscope.service.identity.this_user import ThisUser
from reqscope.service.pipeline import Pipeline

from .conftest import DEADLINE, client, serving

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(not can_tell_users(), reason="this system does not say whose a connection is"),
]

PAGE = {"accept": "text/html", "sec-fetch-mode": "navigate"}
SOMEBODY_ELSE = 54_321


class Panel:
    """A panel, and the links that its terminal shows."""

    def __init__(self, folder: Path, trusted: set[int] | None) -> None:
        self.users = Users(folder / "users.json")
        self.policy = ThisUser(self.users, trusted=trusted)
        self.shown: list[tuple[str, bool]] = []
        assert self.policy.link is not None
        self.policy.link.announce = lambda path, used: self.shown.append((path, used))
        self.url = ""


@asynccontextmanager
async def running(panel: Panel) -> AsyncGenerator[Panel]:
    control = ControlPlane(Pipeline(Settings(log="none")), dict, policy=panel.policy)
    async with control.running(), serving(control.app) as panel.url:
        yield panel


@pytest.fixture(scope="module")
async def own(anyio_backend: object, tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Panel]:
    """A panel of the user who asks."""
    async with running(Panel(tmp_path_factory.mktemp("configuration"), None)) as panel:
        yield panel


@pytest.fixture(scope="module")
async def foreign(anyio_backend: object, tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Panel]:
    """A panel of somebody else."""
    async with running(Panel(tmp_path_factory.mktemp("configuration"), {SOMEBODY_ELSE})) as panel:
        yield panel


async def test_who_runs_it_is_asked_nothing(own: Panel) -> None:
    async with client(own.url) as http:
        assert (await http.get("/", headers=PAGE)).status_code == 200
        assert (await http.get("/api/stats")).status_code == 200
        assert (await http.get("/sign-in", headers=PAGE)).headers["location"] == "/"
    assert own.policy.entrance == ""
    assert own.shown == []


@pytest.mark.parametrize(
    "proxy",
    [{"x-forwarded-for": "203.0.113.9"}, {"forwarded": "for=203.0.113.9"}, {"via": "1.1 x"}, {"host": "panel.example"}],
)
async def test_what_comes_through_a_proxy_is_not_taken_for_them(own: Panel, proxy: dict[str, str]) -> None:
    async with client(own.url) as http:
        assert (await http.get("/api/stats", headers=proxy)).status_code == 401
        page = await http.get("/", headers=PAGE | proxy)
        assert (page.status_code, page.headers["location"]) == (303, "/sign-in?next=%2F")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a socket to somebody else")
async def test_a_connection_of_another_user_is_asked_although_root_serves(own: Panel) -> None:
    def ask() -> int:
        connection = http.client.HTTPConnection(own.url.removeprefix("http://"), timeout=DEADLINE)
        connection.connect()
        os.fchown(connection.sock.fileno(), SOMEBODY_ELSE, -1)
        connection.request("GET", "/api/stats")
        status = connection.getresponse().status
        connection.close()
        return status

    assert await to_thread.run_sync(ask) == 401


async def test_somebody_else_gets_in_with_the_link_that_the_terminal_shows_when_they_come(foreign: Panel) -> None:
    async with client(foreign.url) as http:
        assert (await http.get("/api/stats")).status_code == 401
        assert foreign.shown == [], "a program cannot use a link"
        for _ in range(3):
            page = await http.get("/", headers=PAGE, follow_redirects=True)
            assert "open the link that the terminal shows" in page.text
        ((path, used),) = foreign.shown
        assert not used

        entered = await http.post("/sign-in", data={"link": path.partition("=")[2]})
        assert (entered.status_code, entered.headers["location"]) == (303, "/")
        assert (await http.get("/", headers=PAGE)).status_code == 200
    assert [used for _, used in foreign.shown] == [False, True]
    async with client(foreign.url) as another:
        assert (await another.post("/sign-in", data={"link": path.partition("=")[2]})).status_code == 403


async def test_where_users_cannot_be_told_a_proxy_still_is(own: Panel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reqscope.service.identity.direct.can_tell_users", lambda: False)
    async with client(own.url) as http:
        assert (await http.get("/api/stats")).status_code == 200
        assert (await http.get("/api/stats", headers={"x-forwarded-for": "203.0.113.9"})).status_code == 401
