"""The host application's own log-in, as docs/access.md shows it, with a real server and a real browser."""

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from playwright.sync_api import Page, expect

from .conftest import DEADLINE, NewPage, Server, Start

GUIDE = Path(__file__).parents[2] / "docs" / "access.md"
SOON = "import reqscope.service.identity.hostlogin as hostlogin\nhostlogin.CONFIRM = 0.4\n"
"""An open page has to show that somebody is logged in far more often than by default, so that a test need not wait."""


@pytest.fixture(scope="module")
def server(start_uvicorn: Start, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    (source,) = (
        block for block in re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL) if "login_url" in block
    )
    folder = tmp_path_factory.mktemp("host")
    (folder / "host.py").write_text(SOON + source)
    with start_uvicorn("host:app", cwd=folder) as running:
        yield running


@pytest.fixture
def page(new_page: NewPage) -> Page:
    return new_page()


def log_in(page: Page, name: str, password: str) -> None:
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Log in").click()


def wait_live(page: Page) -> None:
    page.locator(".rq[data-state=live]").wait_for(timeout=DEADLINE * 1000)


def test_a_stranger_logs_in_at_the_host_and_is_brought_back_to_where_they_wanted_to_go(
    server: Server, page: Page
) -> None:
    page.goto(f"{server.panel}/?filter=status%3A404&view=live")
    page.wait_for_url("**/login?*")
    assert parse_qs(urlsplit(page.url).query) == {"next": ["/reqscope/?filter=status%3A404&view=live"]}
    httpx.get(f"{server.api}/not-there")

    log_in(page, "bob", "builder")

    wait_live(page)
    expect(page).to_have_url(f"{server.panel}/?filter=status%3A404&view=live")
    expect(page.locator(".rq-row:visible", has_text="/not-there")).to_have_count(1)
    expect(page.locator("[data-id=account]")).to_have_text("bob")
    page.locator("[data-id=account]").click()
    expect(page.locator("[data-id=account-box]")).to_contain_text("bob, a viewer")


def test_open_app_and_sign_out_go_where_the_host_says(server: Server, page: Page) -> None:
    page.goto(f"{server.panel}/")
    log_in(page, "alice", "wonderland")
    wait_live(page)

    page.get_by_role("link", name="Open app").click()
    expect(page).to_have_url(f"{server.api}/")
    page.get_by_role("link", name="Requests").click()
    wait_live(page)
    page.locator("[data-id=account]").click()
    expect(page.locator("[data-id=account-box]")).to_contain_text("alice, an admin")
    page.get_by_role("link", name="Sign out").click()

    expect(page).to_have_url(f"{server.api}/")
    page.goto(f"{server.panel}/")
    expect(page.get_by_role("button", name="Log in")).to_be_visible()


def test_to_log_out_in_another_tab_ends_the_page_that_is_open(server: Server, page: Page) -> None:
    """The session is a cookie, which the server cannot see the end of: so the page has to show it now and then."""
    page.goto(f"{server.panel}/?view=routes")
    log_in(page, "alice", "wonderland")
    wait_live(page)
    other = page.context.new_page()

    other.goto(f"{server.api}/logout")

    page.wait_for_url("**/login?*", timeout=DEADLINE * 1000)
    assert parse_qs(urlsplit(page.url).query)["next"] == ["/reqscope/?view=routes"]


def test_a_page_whose_user_stays_logged_in_stays_open(server: Server, page: Page) -> None:
    frames: list[str] = []
    page.on("request", lambda request: frames.append(request.url) if "component_server" in request.url else None)
    page.goto(f"{server.panel}/")
    log_in(page, "alice", "wonderland")
    wait_live(page)

    with page.expect_request(lambda request: "component_server" in request.url and len(frames) >= 4):
        pass  # it has shown who it is several times by then

    assert page.locator(".rq[data-state=live]").count() == 1
    assert page.url == f"{server.panel}/"


def test_a_program_is_told_with_a_401_and_not_with_a_page(server: Server) -> None:
    for path in ("/api/events", "/gradio_api/info", "/config", "/nothing"):
        answer = httpx.get(f"{server.panel}{path}")
        assert (answer.status_code, answer.headers["content-type"]) == (401, "application/problem+json")
        assert answer.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize(
    "target", ["//evil.test", "/\\evil.test", "https://evil.test/", "/%09/evil.test", "javascript:alert(1)"]
)
def test_the_way_back_never_leads_to_another_site(server: Server, target: str) -> None:
    with httpx.Client(base_url=server.api) as client:
        answer = client.post("/login", data={"name": "bob", "password": "builder", "next": target})

    assert answer.status_code == 303
    assert not urlsplit(answer.headers["location"].replace("\\", "/")).netloc
    assert answer.headers["location"].startswith("/")
