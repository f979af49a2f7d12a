from pathlib import Path
from typing import Any

import pytest
from starlette.responses import PlainTextResponse

from reqscope.bus import EventBus
from reqscope.service import Settings, create_app
from reqscope.service.admission import IngestGuard, missing_credentials, mounted_policy, standalone_policy
from reqscope.service.identity import Everybody, SignIn, Tokens, Users
from reqscope.service.identity.policies import ThisMachine
from reqscope.service.identity.this_user import ThisUser
from reqscope.service.ingest import DataPlane

from .conftest import Site, client, published, serving

pytestmark = pytest.mark.anyio

PASSWORD = "correct horse battery"


class Folder:
    """Files of users and tokens, and settings that name them."""

    def __init__(self, path: Path) -> None:
        self.users = Users(path / "users.json")
        self.tokens = Tokens(path / "tokens.json")
        self._files: dict[str, Any] = {"users_file": path / "users.json", "tokens_file": path / "tokens.json"}

    def settings(self, **more: Any) -> Settings:
        return Settings(log="none", **self._files, **more)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


@pytest.mark.parametrize(
    ("host", "sign_in", "insecure", "users", "asked"),
    [
        ("127.0.0.1", "auto", False, False, False),
        ("127.0.0.1", "auto", False, True, True),
        ("127.0.0.1", "on", False, False, True),
        ("127.0.0.1", "off", False, True, False),
        ("0.0.0.0", "auto", False, True, True),
        ("0.0.0.0", "auto", False, False, True),
        ("0.0.0.0", "auto", True, False, False),
        ("0.0.0.0", "auto", True, True, True),
        ("0.0.0.0", "on", True, False, True),
    ],
)
def test_people_sign_in_where_users_are_configured_or_others_can_reach_the_panel(
    folder: Folder, host: str, sign_in: Any, insecure: bool, users: bool, asked: bool
) -> None:
    if users:
        folder.users.add("alice", PASSWORD, "viewer")

    policy = standalone_policy(folder.settings(host=host, sign_in=sign_in, insecure=insecure))

    assert (type(policy) is SignIn) is asked
    if type(policy) is SignIn:
        assert (policy.link is None) is users, "there is a link where there is nobody who could sign in"


@pytest.mark.parametrize(
    ("options", "asked"),
    [
        ({}, True),
        ({"sign_in": "off"}, False),
        ({"insecure": True}, False),
        ({"host": "0.0.0.0", "insecure": True}, False),
    ],
)
def test_only_who_runs_it_is_not_asked_unless_somebody_said_otherwise(
    folder: Folder, options: dict[str, Any], asked: bool
) -> None:
    policy = standalone_policy(folder.settings(**options))

    assert type(policy) is (ThisUser if asked else Everybody)


def test_a_mounted_panel_without_a_policy_is_for_this_machine(folder: Folder) -> None:
    assert type(mounted_policy(None, folder.settings())) is ThisMachine
    assert type(mounted_policy("open", folder.settings())) is Everybody


def test_a_mounted_panel_for_users_of_ours_needs_some(folder: Folder) -> None:
    with pytest.raises(ValueError, match="reqscope user add NAME"):
        mounted_policy("users", folder.settings())
    folder.users.add("alice", PASSWORD, "viewer")

    assert isinstance(mounted_policy("users", folder.settings()), SignIn)


@pytest.mark.parametrize("auth", [None, "open", "users"])
def test_a_log_in_page_without_a_log_in_is_a_mistake(folder: Folder, auth: Any) -> None:
    with pytest.raises(ValueError, match="login_url and logout_url go with a function"):
        mounted_policy(auth, folder.settings(), login_url="/login")


class TestMissingCredentials:
    PANEL, INGEST = "reqscope user add NAME", "reqscope token add NAME --scope ingest"

    def missing(self, folder: Folder, ingest: bool = True, **settings: Any) -> str:
        return " ".join(missing_credentials(folder.settings(**{"host": "0.0.0.0"} | settings), ingest=ingest))

    def test_where_others_can_reach_a_server_both_are_needed(self, folder: Folder) -> None:
        text = self.missing(folder)
        assert self.PANEL in text
        assert self.INGEST in text

        folder.users.add("alice", PASSWORD, "viewer")
        assert self.PANEL not in self.missing(folder)
        folder.tokens.add("reader", ["read", "admin"])
        assert self.INGEST in self.missing(folder), "a token for something else is none for this"
        folder.tokens.add("sender", ["ingest"])
        assert self.missing(folder) == ""

    def test_where_nothing_can_be_sent_no_token_is_needed(self, folder: Folder) -> None:
        assert self.INGEST not in self.missing(folder, ingest=False)

    def test_a_link_at_the_terminal_is_as_good_as_users_if_it_is_asked_for(self, folder: Folder) -> None:
        assert self.missing(folder, ingest=False, sign_in="on") == ""

    def test_not_to_ask_anybody_is_not_enough_even_with_users(self, folder: Folder) -> None:
        folder.users.add("alice", PASSWORD, "viewer")
        assert self.PANEL in self.missing(folder, sign_in="off")

    @pytest.mark.parametrize("settings", [{"host": "127.0.0.1"}, {"host": "::1"}, {"insecure": True}])
    def test_on_this_machine_and_by_explicit_wish_nothing_is(self, folder: Folder, settings: dict[str, Any]) -> None:
        assert self.missing(folder, **settings) == ""


class TestIngestGuard:
    @staticmethod
    def plane(bus: EventBus, settings: Settings) -> DataPlane:
        return DataPlane(PlainTextResponse("app"), bus, guard=IngestGuard(settings))

    async def test_on_this_machine_alone_no_token_is_needed_and_none_is_looked_at(
        self, site: Site, bus: EventBus, folder: Folder
    ) -> None:
        async with site.client(self.plane(bus, folder.settings())) as http:
            for headers in ({}, {"authorization": "Bearer rq_wrong"}):
                assert (await http.post("/log", content="x", headers=headers)).status_code == 200

    async def test_where_others_can_send_only_a_token_for_it_does(
        self, site: Site, bus: EventBus, folder: Folder
    ) -> None:
        sender = folder.tokens.add("sender", ["ingest"])
        reader = folder.tokens.add("reader", ["read", "admin"])
        async with site.client(self.plane(bus, folder.settings(host="0.0.0.0"))) as http:
            for path in ("/log", "/events"):
                for token, status in ((sender, 200), (reader, 401), (sender + "x", 401), ("", 401)):
                    headers = {"authorization": f"Bearer {token}" if token else "Basic x"}
                    answer = await http.post(path, content="{}", headers=headers)
                    assert answer.status_code == status
                in_query = await http.post(f"{path}?token={sender}&access_token={sender}", content="{}")
                assert in_query.status_code == 401
                assert in_query.headers["www-authenticate"] == 'Bearer realm="reqscope"'
                assert "reqscope token add NAME --scope ingest" in in_query.json()["detail"]
            assert (await http.get("/other")).text == "app"

    @pytest.mark.guarantees("80")
    async def test_a_refusal_is_seen_and_the_token_in_it_is_not(
        self, site: Site, bus: EventBus, folder: Folder
    ) -> None:
        folder.tokens.add("sender", ["ingest"])
        wrong = "rq_" + "z" * 43
        async with site.client(self.plane(bus, folder.settings(host="0.0.0.0"))) as http:
            await http.post(f"/log?token={wrong}", content="x", headers={"authorization": f"Bearer {wrong}"})
        (event,) = await published(bus)

        assert (event.status, event.path) == (401, "/log")
        assert wrong not in repr((event.request_headers, event.query, event.request_body))

    async def test_by_explicit_wish_everybody_may_send_until_there_is_a_token(
        self, site: Site, bus: EventBus, folder: Folder
    ) -> None:
        plane = self.plane(bus, folder.settings(host="0.0.0.0", insecure=True))
        async with site.client(plane) as http:
            assert (await http.post("/log", content="x")).status_code == 200
            folder.tokens.add("sender", ["ingest"])
            assert (await http.post("/log", content="x")).status_code == 401

    async def test_a_collector_on_a_server_of_ones_own_tells_this_machine_from_others(self, folder: Folder) -> None:
        sender = folder.tokens.add("sender", ["ingest"])
        elsewhere = {"x-forwarded-for": "192.0.2.7"}
        async with serving(create_app(folder.settings()), lifespan="on") as url, client(url) as http:
            assert (await http.post("/log", content="x")).status_code == 200
            assert (await http.post("/log", content="x", headers=elsewhere)).status_code == 401
            with_token = {**elsewhere, "authorization": f"Bearer {sender}"}
            assert (await http.post("/log", content="x", headers=with_token)).status_code == 200
            assert (await http.get("/reqscope/api/events", headers=elsewhere)).status_code == 403

    async def test_a_collector_on_a_server_of_ones_own_with_users_asks_everybody(self, folder: Folder) -> None:
        folder.users.add("alice", PASSWORD, "viewer")
        async with serving(create_app(folder.settings()), lifespan="on") as url, client(url) as http:
            answer = await http.get("/reqscope/", headers={"accept": "text/html"})
            assert answer.headers["location"] == "/reqscope/sign-in?next=%2Freqscope%2F"
            entered = await http.post("/reqscope/sign-in", data={"name": "alice", "password": PASSWORD})
            assert (entered.headers["location"], "Path=/reqscope;" in entered.headers["set-cookie"]) == (
                "/reqscope/",
                True,
            )
            assert (await http.get("/reqscope/api/stats")).status_code == 200
