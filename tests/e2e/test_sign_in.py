"""Reqscope's own sign-in on the panel's port, with real users and a real browser."""

import json
import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from playwright.sync_api import Locator, Page, expect

from tests import nursery

from .axe import violations
from .conftest import DEADLINE, NewPage, Server, Start, find_line, wait_until

PASSWORD = "correct horse battery"


@pytest.fixture(scope="module")
def configuration(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("configuration")


def reqscope(configuration: Path, *arguments: str, typed: str = "") -> str:
    """Run `reqscope`, and return what it prints."""
    done = nursery.run("reqscope.service", *arguments, typed=typed, env={"XDG_CONFIG_HOME": str(configuration)})
    done.check_returncode()
    return done.stdout.strip()


def add_user(configuration: Path, name: str, *flags: str) -> None:
    reqscope(configuration, "user", "add", name, *flags, typed=PASSWORD + "\n")


@pytest.fixture(scope="module")
def server(start: Start, configuration: Path) -> Iterator[Server]:
    """A collector with two users. That there are some is enough for everybody to be asked."""
    add_user(configuration, "alice", "--admin")
    add_user(configuration, "bob")
    with start("serve", configuration=configuration) as running:
        yield running


@pytest.fixture
def page(new_page: NewPage) -> Page:
    return new_page()


def sign_in(page: Page, name: str, password: str = PASSWORD) -> None:
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()


def wait_live(page: Page) -> None:
    page.locator(".rq[data-state=live]").wait_for(timeout=DEADLINE * 1000)


def cookie_of(page: Page) -> dict[str, Any]:
    (cookie,) = page.context.cookies()
    return {**cookie}


def at_sign_in(page: Page) -> None:
    expect(page).to_have_url(re.compile(r"/sign-in(\?|$)"), timeout=DEADLINE * 1000)
    expect(page.get_by_role("button", name="Sign in")).to_be_visible()


def test_whoever_is_not_known_signs_in_and_is_brought_to_where_they_wanted_to_go(server: Server, page: Page) -> None:
    httpx.post(f"{server.api}/log", content="only for those who may")
    page.goto(f"{server.panel}/?filter=kind%3Alog&view=live")
    at_sign_in(page)

    sign_in(page, "alice", "not her password")
    expect(page.get_by_role("alert")).to_have_text("That name and password do not belong together.")
    assert violations(page) == []
    expect(page.get_by_label("Name")).to_have_value("alice")
    sign_in(page, "alice")

    wait_live(page)
    assert parse_qs(urlsplit(page.url).query) == {"filter": ["kind:log"], "view": ["live"]}
    expect(page.locator(".rq-row:visible", has_text="only for those who may")).to_have_count(1)
    expect(page.locator("[data-id=account]")).to_have_text("alice")
    cookie = cookie_of(page)
    assert (cookie["httpOnly"], cookie["sameSite"], cookie["secure"]) == (True, "Strict", False)
    assert cookie["name"] == f"reqscope_{urlsplit(server.panel).port}"


def test_signing_out_ends_every_page_of_the_session_and_leads_to_the_sign_in(server: Server, page: Page) -> None:
    page.goto(server.panel)
    sign_in(page, "alice")
    wait_live(page)
    other = page.context.new_page()
    other.goto(f"{server.panel}/?view=routes")
    wait_live(other)
    cookie = cookie_of(page)

    page.locator("[data-id=account]").click()
    page.get_by_role("button", name="Sign out").click()

    at_sign_in(page)
    at_sign_in(other)
    assert parse_qs(urlsplit(other.url).query)["next"] == ["/?view=routes"]
    stale = {cookie["name"]: cookie["value"]}
    assert httpx.get(f"{server.panel}/api/events", cookies=stale).status_code == 401
    sign_in(other, "alice")
    wait_live(other)
    expect(other).to_have_url(f"{server.panel}/?view=routes")


def test_a_name_is_only_ever_text(server: Server, configuration: Path, page: Page) -> None:
    name = "<img src=x onerror=window.hacked=1>${alert(1)}"
    add_user(configuration, name)
    page.goto(server.panel)
    sign_in(page, name, "not the password")
    expect(page.get_by_label("Name")).to_have_value(name)
    sign_in(page, name)
    wait_live(page)

    expect(page.locator("[data-id=account]")).to_have_text(name)
    page.locator("[data-id=account]").click()
    expect(page.locator("[data-id=account-box]")).to_contain_text(f"{name}, a viewer")
    assert page.evaluate("window.hacked") is None


def test_what_one_user_saves_and_hides_is_not_there_for_the_next_one_in_the_same_browser(
    server: Server, page: Page
) -> None:
    def look(name: str) -> Locator:
        """Sign in, save a filter of one's own, and return what there is to choose from."""
        sign_in(page, name)
        wait_live(page)
        expect(page.locator("[data-id=account]")).to_have_text(name)
        page.locator("[data-id=filter]").fill(f"path:/{name}")
        page.keyboard.press("Escape")
        page.locator("[data-id=options]").click()
        box = page.get_by_role("group", name="What to show")
        page.get_by_role("button", name="Save", exact=False).filter(has_text=f"/{name}").click()
        return box

    def leave() -> None:
        page.keyboard.press("Escape")
        page.locator("[data-id=account]").click()
        page.get_by_role("button", name="Sign out").click()
        at_sign_in(page)

    page.goto(server.panel)
    box = look("alice")
    box.get_by_label("Client").uncheck()
    expect(page.get_by_role("columnheader", name="Client")).to_be_hidden()
    leave()

    box = look("bob")
    expect(box.get_by_role("button", name="Forget")).to_have_count(1)
    expect(box).not_to_contain_text("/alice")
    expect(page.get_by_role("columnheader", name="Client")).to_be_visible()
    leave()

    sign_in(page, "alice")
    wait_live(page)
    expect(page.get_by_role("columnheader", name="Client")).to_be_hidden()
    page.locator("[data-id=options]").click()
    expect(box.get_by_role("button", name="Forget path:/alice")).to_be_visible()
    expect(box.get_by_role("button", name="Forget path:/bob")).to_have_count(0)


def test_a_user_who_is_removed_loses_the_page_that_is_open(server: Server, configuration: Path, page: Page) -> None:
    add_user(configuration, "mallory")
    page.goto(server.panel)
    sign_in(page, "mallory")
    wait_live(page)

    reqscope(configuration, "user", "remove", "mallory")

    at_sign_in(page)
    sign_in(page, "mallory")
    expect(page.get_by_role("alert")).to_be_visible()


def test_a_link_on_another_site_opens_the_panel_for_who_is_signed_in(server: Server, page: Page) -> None:
    """The cookie does not come with a request from elsewhere; asking once more from here brings it along."""
    page.goto(server.panel)
    sign_in(page, "bob")
    wait_live(page)
    elsewhere = f"<a href='{server.panel}/?view=errors'>the errors of last night</a>"
    page.route("http://elsewhere.test/", lambda route: route.fulfill(body=elsewhere, content_type="text/html"))
    page.goto("http://elsewhere.test/")

    page.get_by_text("the errors of last night").click()

    wait_live(page)
    expect(page).to_have_url(f"{server.panel}/?view=errors")
    expect(page.locator("[data-id=account]")).to_have_text("bob")


def test_a_link_on_another_site_leads_a_stranger_to_the_sign_in(server: Server, page: Page) -> None:
    page.route(
        "http://elsewhere.test/",
        lambda route: route.fulfill(body=f"<a href='{server.panel}/'>in</a>", content_type="text/html"),
    )
    page.goto("http://elsewhere.test/")

    page.get_by_text("in").click()

    at_sign_in(page)


def test_a_token_reads_what_the_panel_shows_and_nothing_lets_in_a_wrong_one(
    server: Server, configuration: Path
) -> None:
    token = reqscope(configuration, "token", "add", "reader", "--scope", "read")
    answer = httpx.post(f"{server.api}/log", content="read by a program").json()

    def events(secret: str) -> httpx.Response:
        return httpx.get(f"{server.panel}/api/events", headers={"authorization": f"Bearer {secret}"})

    assert answer["id"] in [event["id"] for event in events(token).json()["events"]]
    lines = reqscope(configuration, "tail", "--url", server.panel, "--token", token, "--json", "-n", "5")
    assert answer["id"] in [json.loads(line)["id"] for line in lines.splitlines()]
    metrics = httpx.get(f"{server.panel}/metrics", headers={"authorization": f"Bearer {token}"})
    assert metrics.status_code == 200
    assert [events(wrong).status_code for wrong in (token[:-1], token + "x", "rq_")] == [401] * 3
    reqscope(configuration, "token", "remove", "reader")
    assert events(token).status_code == 401


@pytest.fixture(scope="module")
def alone(start: Start) -> Iterator[Server]:
    """A collector that knows no users, and asks all the same."""
    with start("serve", "--sign-in", "on") as running:
        yield running


class TestOneTimeLink:
    def test_the_link_lets_in_one_browser_and_the_terminal_has_the_next(
        self, alone: Server, page: Page, new_page: NewPage
    ) -> None:
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/sign-in\?link=[\w-]{43}", alone.panel)
        page.goto(alone.panel)
        page.get_by_role("button", name="Open the panel").click()
        wait_live(page)
        assert "link=" not in page.url

        late = new_page()
        late.goto(alone.panel)
        late.get_by_role("button", name="Open the panel").click()
        expect(late.get_by_role("alert")).to_contain_text("This link has been used already")
        following = find_line(alone.process, alone.output[-2:], r"Panel\s+(http://\S+)")
        assert following != alone.panel
        late.goto(following)
        late.get_by_role("button", name="Open the panel").click()
        wait_live(late)

    def test_to_look_at_a_link_does_not_use_it(self, alone: Server) -> None:
        """Programs that show a preview of what is pasted look at it."""
        latest = [line for line in alone.output if "/sign-in?link=" in line][-1].split()[-1]
        for _ in range(3):
            assert httpx.get(latest).status_code == 200

        link = parse_qs(urlsplit(latest).query)["link"][0]
        answer = httpx.post(latest.partition("?")[0], data={"link": link})
        assert (answer.status_code, answer.headers["location"]) == (303, "/")

    def test_without_the_link_the_page_says_where_it_is(self, alone: Server, page: Page) -> None:
        page.goto(alone.panel.partition("/sign-in")[0])

        expect(page.get_by_text("open the link that the terminal shows")).to_be_visible()
        assert page.get_by_label("Password").count() == 0


def test_the_commands_of_the_guide_make_a_server_for_others(start: Start, tmp_path: Path, page: Page) -> None:
    guide = (Path(__file__).parents[2] / "docs/access.md").read_text()
    (block,) = (block for block in re.findall(r"```sh\n(.*?)```", guide, re.DOTALL) if "user add alice" in block)
    users, tokens, serve = (shlex.split(line, comments=True)[1:] for line in block.splitlines())
    reqscope(tmp_path, *users, typed=PASSWORD + "\n")
    token = reqscope(tmp_path, *tokens)
    with start(*serve, configuration=tmp_path) as running:
        page.goto(running.panel)
        at_sign_in(page)
        sign_in(page, "alice")
        wait_live(page)

        assert httpx.post(f"{running.api}/log", content="not from me").status_code == 401
        tried = next(line for line in running.output if "curl" in line)
        command = shlex.split(tried.replace("TOKEN", token))[1:]
        assert subprocess.run([*command, "-sS", "--fail"], timeout=DEADLINE).returncode == 0
        expect(page.locator(".rq-row:visible", has_text="/log")).to_have_count(2)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a socket to somebody else")
def test_another_user_of_this_machine_is_asked_where_the_one_who_started_it_is_not(start: Start, page: Page) -> None:
    with start("serve") as running:
        page.goto(running.panel)
        wait_live(page)
        assert not [line for line in running.output if "/sign-in?link=" in line]

        assert as_another_user(running.panel, "/api/events") == 401
        assert as_another_user(running.panel, "/", accept="text/html") == 303
        assert as_another_user(running.panel, "/sign-in", accept="text/html") == 200
        find_line(running.process, running.output, r"Panel\s+(http://\S+/sign-in\?link=\S+)")
        assert any("Another user of this machine" in line for line in running.output)


def as_another_user(panel: str, path: str, **headers: str) -> int:
    connection = HTTPConnection(urlsplit(panel).netloc, timeout=DEADLINE)
    connection.connect()
    os.fchown(connection.sock.fileno(), 54_321, -1)
    connection.request("GET", path, headers=headers)
    with closing(connection):
        return connection.getresponse().status


def test_the_secrets_are_in_no_output_and_in_no_file_that_others_can_read(server: Server, configuration: Path) -> None:
    token = reqscope(configuration, "token", "add", "canary", "--scope", "ingest")
    httpx.post(f"{server.api}/log", content="x", headers={"authorization": f"Bearer {token}"})
    printed = reqscope(configuration, "config") + reqscope(configuration, "user", "list")
    printed += reqscope(configuration, "token", "list") + "".join(server.output)

    wait_until(lambda: '"event":"log"' in server.log.read_text(), "the line in the log")
    files = [path for path in configuration.rglob("*") if path.is_file()]
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}
    for text in (printed, server.log.read_text(), *(path.read_text() for path in files)):
        assert token not in text
        assert PASSWORD not in text
    assert "$argon2id$" in next(path for path in files if path.name == "users.json").read_text()
    assert "$argon2id$" not in printed
    hashes = [record["sha256"] for record in json.loads((configuration / "reqscope/tokens.json").read_text()).values()]
    assert not any(each in printed for each in hashes)
