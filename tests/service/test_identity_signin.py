import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from argon2 import PasswordHasher

from reqscope.bus import Event
from reqscope.service import Settings
from reqscope.service.admin import ControlPlane
from reqscope.service.identity import SignIn, Users
from reqscope.service.identity.lockout import FAILURES, PERIOD
from reqscope.service.identity.sessions import IDLE, LENGTH
from reqscope.service.identity.signin import OneTimeLink, TooBusyError, cookie_name
from reqscope.service.pipeline import Pipeline

from .conftest import Clock, client, config_in, read_all, scope_of, serving, until

pytestmark = pytest.mark.anyio

PASSWORD = "correct horse battery"
PAGE = {"accept": "text/html"}
SIGN_IN = {"name": "alice", "password": PASSWORD}


class Place:
    """A control plane with two users, on a server of its own."""

    def __init__(self, folder: Path) -> None:
        self.clock = Clock()
        self.users = Users(folder / "users.json", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
        for name, role in (("alice", "admin"), ("bob", "viewer")):
            self.users.add(name, PASSWORD, "admin" if role == "admin" else "viewer")
        self.sign_in = SignIn(self.users, clock=self.clock)
        settings = Settings(log="none", tokens_file=folder / "tokens.json")
        self.pipeline = Pipeline(settings)
        self.control = ControlPlane(self.pipeline, dict, policy=self.sign_in)
        self.url = ""

    def client(self, **options: Any) -> httpx.AsyncClient:
        return client(self.url, headers=PAGE, **options)


@pytest.fixture(scope="module")
async def place(anyio_backend: object, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    place = Place(tmp_path_factory.mktemp("who"))
    options = {"proxy_headers": True, "forwarded_allow_ips": "127.0.0.1"}
    async with place.control.running(), serving(place.control.app, lifespan="on", **options) as place.url:
        yield place


@pytest.fixture
async def http(place: Place) -> AsyncIterator[httpx.AsyncClient]:
    """A browser that nobody has signed in with, at an address of its own."""
    place.clock.now += 2 * PERIOD
    async with place.client() as http:
        yield http


async def signed_in(http: httpx.AsyncClient, **form: str) -> httpx.Response:
    answer = await http.post("/sign-in", data=SIGN_IN | form)
    assert answer.status_code == 303
    return answer


async def is_in(http: httpx.AsyncClient) -> bool:
    status = (await http.get("/api/stats")).status_code
    assert status in (200, 303)
    return status == 200


async def test_a_stranger_is_sent_to_the_sign_in_with_the_way_back(http: httpx.AsyncClient) -> None:
    answer = await http.get("/?view=routes&filter=a%26b")

    assert answer.status_code == 303
    assert answer.headers["location"] == "/sign-in?next=%2F%3Fview%3Droutes%26filter%3Da%2526b"
    assert answer.headers["cache-control"] == "no-store"
    page = await http.get(answer.headers["location"])
    assert (page.status_code, 'value="/?view=routes&amp;filter=a%26b"' in page.text) == (200, True)


async def test_a_link_on_another_site_leads_to_no_third_one(http: httpx.AsyncClient) -> None:
    headers = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
    page = await http.get(f"{http.base_url}//evil.test/x", headers=headers)

    assert (page.status_code, "url=/evil.test/x" in page.text, "//evil.test" in page.text) == (200, True, False)


async def test_who_signs_in_is_let_in_and_sent_on(http: httpx.AsyncClient) -> None:
    answer = await signed_in(http, next="/?view=routes")

    assert answer.headers["location"] == "/?view=routes"
    assert await is_in(http)
    again = await http.get("/sign-in?next=/%3Fview%3Derrors")
    assert (again.status_code, again.headers["location"]) == (303, "/?view=errors")


async def test_the_cookie_is_for_this_port_and_no_script_and_no_other_site(
    place: Place, http: httpx.AsyncClient
) -> None:
    cookie = (await signed_in(http)).headers["set-cookie"]

    port = place.url.rpartition(":")[2]
    assert re.fullmatch(
        rf"reqscope_{port}=[\w-]{{43}}; HttpOnly; Max-Age={LENGTH:.0f}; Path=/; SameSite=strict", cookie
    )


async def test_over_https_the_cookie_is_for_https_and_for_this_host_alone(place: Place) -> None:
    async with place.client() as http:
        answer = await http.post("/sign-in", data=SIGN_IN, headers={"x-forwarded-proto": "https"})
        cookie = answer.headers["set-cookie"]
        assert cookie.startswith("__Host-reqscope_")
        assert "; Secure" in cookie
        assert "; Path=/;" in cookie
        assert "domain" not in cookie.lower()
        value = cookie.partition(";")[0]
        for scheme, status in (("https", 200), ("http", 303)):
            headers = {"x-forwarded-proto": scheme, "cookie": value}
            assert (await http.get("/api/stats", headers=headers)).status_code == status


def test_a_cookie_below_a_path_and_where_there_is_no_port_has_a_name_too() -> None:
    assert cookie_name(scope_of(scheme="http", server=("unix", None))) == "reqscope_session"


@pytest.mark.parametrize("next_", ["//evil.test", "/\\evil.test", "https:evil.test", "/\t/evil.test", "javascript:1"])
async def test_the_way_back_is_a_path_here_or_it_is_not_taken(http: httpx.AsyncClient, next_: str) -> None:
    page = await http.get("/sign-in", params={"next": next_})
    assert 'name="next" value="/"' in page.text
    assert "evil" not in page.text

    assert (await signed_in(http, next=next_)).headers["location"] == "/"
    assert (await http.get("/sign-in", params={"next": next_})).headers["location"] == "/"


@pytest.mark.guarantees("81")
async def test_signing_in_begins_a_new_session_and_ends_the_one_before(place: Place, http: httpx.AsyncClient) -> None:
    await signed_in(http)
    (before,) = dict(http.cookies).items()

    await signed_in(http)

    (after,) = dict(http.cookies).items()
    assert before[0] == after[0]
    assert before[1] != after[1]
    async with place.client(cookies=[before]) as old, place.client(cookies=[after]) as new:
        assert (await is_in(old), await is_in(new)) == (False, True)


@pytest.mark.guarantees("81")
async def test_a_session_name_that_somebody_else_has_set_is_never_taken_over(
    place: Place, http: httpx.AsyncClient
) -> None:
    name = f"reqscope_{place.url.rpartition(':')[2]}"
    planted = "A" * 43
    answer = await http.post("/sign-in", data=SIGN_IN, headers={"cookie": f"{name}={planted}"})

    assert answer.status_code == 303
    assert planted not in answer.headers["set-cookie"]
    async with place.client(cookies={name: planted}) as attacker:
        assert not await is_in(attacker)


@pytest.mark.guarantees("81")
async def test_two_browsers_of_one_user_have_a_session_each(place: Place, http: httpx.AsyncClient) -> None:
    async with place.client() as other:
        await signed_in(http)
        await signed_in(other)

        await http.post("/sign-out")

        assert (await is_in(http), await is_in(other)) == (False, True)


@pytest.mark.guarantees("81")
async def test_signing_out_ends_the_session_on_the_server_and_takes_the_cookie(
    place: Place, http: httpx.AsyncClient
) -> None:
    await signed_in(http)
    kept = dict(http.cookies)

    answer = await http.post("/sign-out")

    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in")
    assert "Max-Age=0" in answer.headers["set-cookie"]
    assert not http.cookies
    async with place.client(cookies=kept) as thief:
        assert not await is_in(thief)


@pytest.mark.guarantees("81")
@pytest.mark.parametrize(("method", "path"), [("GET", "/sign-out"), ("HEAD", "/sign-out"), ("PUT", "/sign-in")])
async def test_nothing_is_changed_by_looking(http: httpx.AsyncClient, method: str, path: str) -> None:
    await signed_in(http)

    assert (await http.request(method, path)).status_code in (404, 405)
    assert await is_in(http)


@pytest.mark.guarantees("81")
@pytest.mark.parametrize("seconds", [IDLE, LENGTH])
async def test_a_session_that_is_over_lets_nobody_in(place: Place, http: httpx.AsyncClient, seconds: float) -> None:
    await signed_in(http)

    place.clock.now += seconds

    assert not await is_in(http)


@pytest.mark.parametrize("change", ["password", "role", "gone"])
async def test_a_session_ends_with_the_user_as_they_were(place: Place, change: str) -> None:
    place.users.add("carol", PASSWORD, "viewer")
    async with place.client() as http:
        await signed_in(http, name="carol")
        assert await is_in(http)
        if change == "gone":
            place.users.remove("carol")
        else:
            place.users.add("carol", PASSWORD, "admin" if change == "role" else "viewer")

        assert not await is_in(http)


class TestLockOut:
    async def test_five_wrong_passwords_lock_that_name_for_five_minutes(
        self, place: Place, http: httpx.AsyncClient
    ) -> None:
        for _ in range(FAILURES):
            answer = await http.post("/sign-in", data=SIGN_IN | {"password": "wrong"})
            assert (answer.status_code, "do not belong together" in answer.text) == (403, True)

        locked = await http.post("/sign-in", data=SIGN_IN)
        assert (locked.status_code, locked.headers["retry-after"]) == (429, f"{PERIOD + 1:.0f}")
        assert "Try again in 5 minutes" in locked.text
        await signed_in(http, name="bob")
        place.clock.now += PERIOD
        await signed_in(http)

    async def test_many_at_once_are_no_way_round(self, http: httpx.AsyncClient) -> None:
        statuses: list[int] = []

        async def guess(number: int) -> None:
            answer = await http.post("/sign-in", data={"name": "alice", "password": f"guess {number}"})
            statuses.append(answer.status_code)

        async with anyio.create_task_group() as tasks:
            for number in range(12):
                tasks.start_soon(guess, number)

        assert sorted(statuses) == [403] * FAILURES + [429] * (12 - FAILURES)

    async def test_an_unknown_name_is_answered_and_locked_as_a_known_one_is(self, http: httpx.AsyncClient) -> None:
        answers: dict[str, list[str]] = {}
        for name in ("alice", "nobody"):
            tries = [await http.post("/sign-in", data={"name": name, "password": "wrong"}) for _ in range(FAILURES + 1)]
            answers[name] = [f"{answer.status_code} {answer.text.replace(name, 'X')}" for answer in tries]

        assert answers["alice"] == answers["nobody"]

    async def test_too_many_at_once_are_asked_to_come_back(self, place: Place) -> None:
        limited = SignIn(place.users, clock=Clock())
        blocker = anyio.CapacityLimiter(1)
        vars(limited)["_limit"] = blocker
        async with anyio.create_task_group() as tasks, blocker:
            for number in range(16):
                tasks.start_soon(limited.verify, f"user{number}", "x", "192.0.2.1")
            await until(lambda: blocker.statistics().tasks_waiting == 16, "everybody to wait")
            with pytest.raises(TooBusyError):
                await limited.verify("late", "x", "192.0.2.1")
            tasks.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("content", "content_type", "status"),
    [
        (b"name=alice&password=x&" + b"a=b&" * 20, "application/x-www-form-urlencoded", 400),
        (b"name=%ff&password=x", "application/x-www-form-urlencoded", 400),
        (b"\xff\xfe", "application/x-www-form-urlencoded", 400),
        (b"name=" + b"x" * 10_000, "application/x-www-form-urlencoded", 413),
        (b'{"name": "alice", "password": "x"}', "application/json", 415),
        (b"name=alice&password=correct+horse+battery", "text/plain", 415),
        (b"", "application/x-www-form-urlencoded", 403),
        (b"name=" + b"x" * 7_000 + b"&password=%00%01", "application/x-www-form-urlencoded; charset=utf-8", 403),
    ],
)
async def test_a_form_that_is_none_is_answered_and_lets_nobody_in(
    http: httpx.AsyncClient, content: bytes, content_type: str, status: int
) -> None:
    answer = await http.post("/sign-in", content=content, headers={"content-type": content_type})

    assert answer.status_code == status
    assert "set-cookie" not in answer.headers
    assert "Traceback" not in answer.text


async def test_what_somebody_types_is_shown_as_text(http: httpx.AsyncClient) -> None:
    hostile = "\"><script>alert(1)</script>${next}$error'"
    answer = await http.post("/sign-in", data={"name": hostile, "password": "x", "next": f"/{hostile}"})

    assert "<script" not in answer.text
    assert "&quot;&gt;&lt;script&gt;alert(1)&lt;/script&gt;${next}$error&#x27;" in answer.text


async def test_the_page_loads_nothing_from_elsewhere_and_nobody_may_frame_it(http: httpx.AsyncClient) -> None:
    page = await http.get("/sign-in")

    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "frame-ancestors 'none'" in page.headers["content-security-policy"]
    assert page.headers["referrer-policy"] == "same-origin"
    assert "<script" not in page.text
    assert re.findall(r'(?:src|href|action)="([^"]+)"', page.text) == ["data:,", "/access.css", "/sign-in"]
    style = await http.get("/access.css")
    assert (style.status_code, style.headers["content-type"]) == (200, "text/css; charset=utf-8")
    assert "url(" not in style.text


async def test_a_page_is_steered_by_its_own_session_alone(place: Place, http: httpx.AsyncClient) -> None:
    """The name of a view is not enough: somebody may have seen it."""
    async with place.client() as other:
        for browser, name in ((http, "alice"), (other, "bob")):
            await signed_in(browser, name=name)
        listener = {"data": [], "fn_index": 0, "session_hash": "mine", "event_data": None, "trigger_id": None}
        assert (await http.post("/gradio_api/queue/join", json=listener)).status_code == 200
        async with http.stream("GET", "/gradio_api/queue/data", params={"session_hash": "mine"}) as answer:
            lines = answer.aiter_lines()
            with anyio.fail_after(20):
                token = await anext(
                    found[1] async for line in lines if (found := re.search(r"token\W+([\w-]{22})", line))
                )
            (component,) = config_in(await http.get("/"))["components"]
            call = {"component_id": component["id"], "fn_name": "steer", "session_hash": "mine"}
            steers = {
                name: (
                    await browser.post("/gradio_api/component_server", json={**call, "data": {"token": token}})
                ).json()["ok"]
                for browser, name in ((other, "bob"), (http, "alice"))
            }

    assert steers == {"bob": False, "alice": True}


class TestStreams:
    """What is open when a session ends does not stay open."""

    @asynccontextmanager
    async def stream(self, place: Place, http: httpx.AsyncClient) -> AsyncGenerator[anyio.abc.SocketStream]:
        """Follow events, as it goes over the wire."""
        cookies = "; ".join(f"{name}={value}" for name, value in http.cookies.items())
        port = int(place.url.rpartition(":")[2])
        async with await anyio.connect_tcp("127.0.0.1", port) as connection:
            # Or the server would leave it open for the next request after the stream has ended.
            headers = f"Host: 127.0.0.1\r\nCookie: {cookies}\r\nConnection: close"
            await connection.send(f"GET /api/events/stream HTTP/1.1\r\n{headers}\r\n\r\n".encode())
            with anyio.fail_after(20):
                assert (await connection.receive()).startswith(b"HTTP/1.1 200")
            yield connection

    async def test_signing_out_closes_the_sessions_own_and_no_others(
        self, place: Place, http: httpx.AsyncClient
    ) -> None:
        async with place.client() as other:
            await signed_in(http)
            await signed_in(other, name="bob")
            async with self.stream(place, http) as mine, self.stream(place, other) as theirs:
                await http.post("/sign-out")
                await read_all(mine)

                place.pipeline.bus.publish(Event(time=0, path="/still-followed"))
                with anyio.fail_after(20):
                    while b"/still-followed" not in await theirs.receive():
                        pass

    @pytest.mark.prove
    async def test_a_session_that_expires_closes_them_as_well(self, place: Place, http: httpx.AsyncClient) -> None:
        await signed_in(http)
        async with self.stream(place, http) as mine:
            place.clock.now += IDLE
            await http.get("/api/stats")  # any request finds it out, and else a look every five seconds
            await read_all(mine)


class TestOneTimeLink:
    def test_it_works_once_and_then_there_is_another(self) -> None:
        link, told = OneTimeLink(), list[tuple[str, bool]]()
        link.announce = lambda path, used: told.append((path, used))
        first = link.path

        assert not link.use("")
        assert not link.use(first.partition("=")[2][:-1])
        assert not link.use("\ud800é")
        assert told == []
        assert link.use(first.partition("=")[2])
        assert not link.use(first.partition("=")[2])
        assert told == [(link.path, True)]
        assert link.path != first
