"""The panel for people who don't use a mouse, or don't see it: axe-core, the keyboard, and what is read out."""

import re
from collections.abc import Callable, Iterator

import httpx
import pytest
from playwright.sync_api import Page, ViewportSize, expect

from tests.conftest import PROVE

from .axe import DESK, PHONE, violations
from .conftest import Server, Start, run_app

OpenPage = Callable[..., Page]

APP = """
import asyncio, logging
from fastapi import FastAPI, Request

app = FastAPI()
gate = asyncio.Event()
logging.getLogger("shop").setLevel(logging.INFO)

@app.api_route("/items/{item}", methods=["GET", "PUT"])
async def item(item: int, request: Request):
    await request.body()
    logging.getLogger("shop").warning("item %d", item)
    return {"item": item}

@app.get("/broken")
async def broken():
    raise LookupError("no shelf")

@app.get("/wait")
async def wait():
    await gate.wait()
"""


def use(running: Server) -> None:
    secret = {"authorization": "Bearer abc.def.ghi"}
    for number in range(30):
        httpx.put(f"{running.api}/items/{number}", json={"amount": number}, headers=secret)
    httpx.get(f"{running.api}/nowhere")
    httpx.get(f"{running.api}/items/none")
    httpx.get(f"{running.api}/broken")
    with pytest.raises(httpx.ReadTimeout):
        httpx.get(f"{running.api}/wait", timeout=0.1)


@pytest.fixture(scope="module")
def server(start: Start, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server on which there is something to see on every page."""
    with run_app(start, tmp_path_factory.mktemp("app"), "accessible_app", APP, "--replay", "PUT") as running:
        for label in ("before", "after"):
            run = httpx.post(f"{running.panel}/api/runs", json={"label": label}).json()
            for number in range(15):
                httpx.put(f"{running.api}/items/{number}", json={"amount": number})
            httpx.post(f"{running.panel}/api/runs/{run['id']}/end", json={})
        httpx.post(f"{running.panel}/api/runs", json={"label": "still going on"})
        use(running)
        yield running


def open_detail(page: Page) -> None:
    page.keyboard.press("j")
    expect(page.locator(".rq-detail [role=tab]").first).to_be_visible()


def tab_named(name: str) -> Callable[[Page], None]:
    return lambda page: page.get_by_role("tab", name=re.compile(name)).press("Enter")


def fill_in(page: Page) -> None:
    page.get_by_role("button", name="Edit and resend").press("Enter")
    expect(page.locator(".rq-resend input[type=password]")).to_be_visible()
    page.locator(".rq-resend").get_by_label("Body").fill('{"amount": "other"}')


def send_what_is_wrong(page: Page) -> None:
    form = page.locator(".rq-resend")
    form.locator("input[type=password]").fill("token")
    form.get_by_label("Headers").fill("no header")
    form.get_by_role("button", name="Send PUT").press("Enter")
    expect(form.get_by_role("alert")).to_be_visible()


def send(page: Page) -> None:
    form = page.locator(".rq-resend")
    form.get_by_label("Headers").fill("x-other: header")
    form.get_by_role("button", name="Send PUT").press("Enter")
    expect(page.locator(".rq-compare").first).to_be_visible()


def choose_runs(page: Page) -> None:
    turn("runs", "still going on")(page)
    for label in ("before", "after"):
        page.get_by_label(f"Compare {label}").check()
    expect(page.get_by_role("link", name="Compare the chosen")).to_be_visible()


def type_mistake(page: Page) -> None:
    page.keyboard.press("Escape")
    page.locator('[data-id="filter"]').fill("path:/a/very/long/path/* status:5xx colour:red")
    expect(page.locator('[data-id="filter-error"]')).to_be_visible()


def type_part(page: Page) -> None:
    page.locator('[data-id="filter"]').fill("")
    page.locator('[data-id="filter"]').press_sequentially("st")
    expect(page.locator(".rq-suggest li").first).to_be_visible()
    page.keyboard.press("ArrowDown")


def open_view(page: Page) -> None:
    page.keyboard.press("Escape")
    page.locator('[data-id="filter"]').fill("")
    page.locator('[data-id="options"]').press("Enter")
    expect(page.locator('[data-id="option-box"]')).to_be_visible()


def open_help(page: Page) -> None:
    page.keyboard.press("Escape")
    page.locator("body").press("?")
    expect(page.get_by_role("dialog", name="Help")).to_be_visible()


def pause(page: Page) -> None:
    page.keyboard.press("Escape")
    page.locator('[data-id="pause"]').press("Enter")
    expect(page.locator(".rq[data-state=paused]")).to_be_visible()


def see_nothing(page: Page) -> None:
    page.locator('[data-id="pause"]').press("Enter")
    page.locator('[data-id="filter"]').fill("status:418")
    expect(page.locator(".rq-empty")).to_be_visible()
    page.keyboard.press("Escape")


def turn(name: str, shows: str) -> Callable[[Page], None]:
    def act(page: Page) -> None:
        page.locator(f'a[data-page="{name}"]').press("Enter")
        expect(page.locator(".rq-page")).to_contain_text(shows)

    return act


def unfold(page: Page) -> None:
    page.get_by_role("button", name="Show traceback").press("Enter")
    expect(page.locator(".rq-error pre")).to_be_visible()


VIEWS: dict[str, Callable[[Page], None]] = {
    "live": lambda page: None,
    "overview": open_detail,
    "request": tab_named("Request"),
    "response": tab_named("Response"),
    "logs": tab_named("Logs"),
    "related": tab_named("Related"),
    "raw": tab_named("Raw"),
    "a form to send it again": fill_in,
    "a mistake in the form": send_what_is_wrong,
    "side by side": send,
    "a mistake in the filter": type_mistake,
    "suggestions": type_part,
    "view": open_view,
    "help": open_help,
    "paused": pause,
    "nothing to show": see_nothing,
    "routes": turn("routes", "/items/{item}"),
    "errors": turn("errors", "LookupError"),
    "traceback": unfold,
    "in flight": turn("flight", "GET /wait"),
    "runs": choose_runs,
    "system": turn("system", "Versions"),
}


IN_DARK = {"overview", "a form to send it again", "suggestions", "nothing to show", "errors", "runs", "Report"}
"""Views of every kind, whose colours the fast run looks at in the dark, too."""


@pytest.mark.parametrize("size", [DESK, pytest.param(PHONE, marks=pytest.mark.prove)], ids=["desk", "phone"])
def test_axe_finds_no_violation(server: Server, open_page: OpenPage, size: ViewportSize) -> None:
    page = open_page(f"{server.panel}/?filter=method:PUT path:/items/2* -header.x-other:header", color_scheme="light")
    page.set_viewport_size(size)
    expect(page.locator(".rq-row:visible").first).to_be_visible()
    found: dict[str, object] = {}
    for name, act in VIEWS.items():
        act(page)
        found[name] = violations(page, dark=PROVE or name in IN_DARK)
    choose_runs(page)
    for name in ("Report", "Compare the chosen"):
        with page.expect_popup() as popup:
            page.get_by_role("link", name=name, exact=True).first.click()
        popup.value.set_viewport_size(size)
        found[name] = violations(popup.value, dark=PROVE or name in IN_DARK)
    found = {name: wrong for name, wrong in found.items() if wrong}
    assert found == {}


def focused(page: Page) -> str:
    """Return what has the focus: its `data-id`, or else its text. It must be in the panel, and be seen to have it."""
    state = page.evaluate(
        """() => {
          const element = document.activeElement, style = getComputedStyle(element);
          return {
            name: element.dataset.id ?? element.textContent.trim(),
            inside: !!element.closest(".rq"),
            size: element.getBoundingClientRect().width * element.getBoundingClientRect().height,
            outline: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2,
          };
        }"""
    )
    assert state["inside"], state
    assert state["outline"], f"{state['name']} does not show that it has the focus"
    assert state["size"] > 0, f"{state['name']} has the focus and is not to be seen"
    return str(state["name"])


def tab_to(page: Page, name: str, key: str = "Tab") -> None:
    passed: list[str] = []
    while not passed or passed[-1] != name:
        page.keyboard.press(key)
        passed.append(focused(page))
        assert len(passed) < 25, f"{name} is not among {passed}"


@pytest.fixture(scope="module")
def untouched(start: Start, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with few requests, and none but these."""
    with run_app(start, tmp_path_factory.mktemp("few"), "accessible_app", APP, "--replay", "PUT") as running:
        use(running)
        yield running


@pytest.fixture
def page(untouched: Server, open_page: OpenPage) -> Page:
    page = open_page(untouched.panel, permissions=["clipboard-read", "clipboard-write"])
    expect(page.locator(".rq-row:visible").first).to_be_visible()
    return page


class TestByKeyboardAlone:
    def test_every_control_can_be_reached_and_none_holds_on_to_the_focus(self, page: Page) -> None:
        reached = list[str]()
        while len(reached) < 40 and "HAR" not in reached:
            page.keyboard.press("Tab")
            reached.append(focused(page))

        pages = ["Live", "Routes", "Errors", "In flight", "Runs", "System", "app"]
        expected = [*pages, "filter", "pause", "options", "help-button", "theme", "view", "NDJSON", "CSV", "HAR"]
        assert [each for each in reached if each in expected] == expected
        expect(page.locator('[data-id="filter"]')).to_have_value("")  # going past it changes nothing

    def test_filter_choose_look_inside_copy_and_close(self, page: Page) -> None:
        page.keyboard.press("/")
        assert focused(page) == "filter"
        page.keyboard.type("meth")
        expect(page.locator(".rq-suggest li").first).to_contain_text("method:")
        page.keyboard.press("Tab")
        expect(page.locator('[data-id="filter"]')).to_have_value("method:")
        page.keyboard.type("PUT")
        page.keyboard.press("Enter")
        expect(page).to_have_url(re.compile("filter=method%3APUT"))
        page.keyboard.press("Escape")
        tab_to(page, "view")

        page.keyboard.press("ArrowDown")
        page.keyboard.press("ArrowDown")
        grid = page.get_by_role("grid")
        selected = page.locator(".rq-row[aria-selected=true]")
        expect(selected).to_contain_text("/items/28")
        assert grid.get_attribute("aria-activedescendant") == selected.get_attribute("id")
        expect(page.locator(".rq-detail h2")).to_contain_text("/items/28")
        page.keyboard.press("Enter")
        assert focused(page) == "Overview"
        page.keyboard.press("ArrowRight")
        assert focused(page) == "Request"
        expect(page.get_by_role("tabpanel")).to_contain_text('"amount": 28')
        page.keyboard.press("j")  # the next one, and the focus stays in the detail
        expect(page.locator(".rq-detail h2")).to_contain_text("/items/27")
        assert focused(page) == "Request"

        tab_to(page, "cURL", "Shift+Tab")
        page.keyboard.press("Enter")
        expect(page.locator(".rq-detail").get_by_role("status")).to_have_text("Copied.")
        assert "/items/27" in page.evaluate("navigator.clipboard.readText()")
        page.keyboard.press("Escape")
        expect(page.locator(".rq-detail")).to_be_hidden()
        assert focused(page) == "view"

    def test_home_end_and_page_keys_move_through_the_table(self, page: Page) -> None:
        page.locator('[data-id="filter"]').fill("path:/items/* method:PUT")
        expect(page.get_by_role("grid")).to_have_attribute("aria-rowcount", "31")
        page.get_by_role("grid").focus()
        selected = page.locator(".rq-row[aria-selected=true]")
        for key, shows in (("End", "/items/0"), ("Home", "/items/29"), ("PageDown", "/items/"), ("ArrowUp", "/items/")):
            page.keyboard.press(key)
            expect(selected).to_contain_text(shows)
            expect(selected).to_be_in_viewport()

    def test_columns_pages_and_help(self, page: Page) -> None:
        tab_to(page, "options")
        page.keyboard.press("Enter")
        expect(page.get_by_role("group", name="What to show")).to_be_visible()
        page.keyboard.press("Space")
        expect(page.get_by_role("columnheader", name="Time")).to_be_hidden()
        page.keyboard.press("Escape")
        assert focused(page) == "options"

        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        expect(page.get_by_role("dialog", name="Help")).to_be_visible()
        assert focused(page) == "help-close"
        page.keyboard.press("Escape")
        expect(page.get_by_role("dialog", name="Help")).to_be_hidden()
        assert focused(page) == "help-button"

        tab_to(page, "Routes", "Shift+Tab")
        page.keyboard.press("Enter")
        expect(page).to_have_title("Routes · Reqscope")
        expect(page.locator(".rq-list")).to_be_visible()
        tab_to(page, "p95")
        page.keyboard.press("Enter")
        expect(page.get_by_role("columnheader", name="p95")).to_have_attribute("aria-sort", "descending")
        assert focused(page).startswith("p95")


def test_on_a_phone_what_the_detail_covers_cannot_be_reached(page: Page) -> None:
    page.set_viewport_size(PHONE)
    page.locator(".rq-row:visible span:nth-child(4)").first.click()
    expect(page.locator(".rq-detail [role=tab]").first).to_be_visible()
    for _ in range(14):
        page.keyboard.press("Tab")
        inside = page.evaluate(
            "document.activeElement === document.body || !!document.activeElement.closest('.rq-detail')"
        )
        assert inside
    page.get_by_role("button", name="Close").click()
    expect(page.locator('[data-page="routes"]')).not_to_have_attribute("inert", "")
    page.locator('[data-page="routes"]').click()
    expect(page.locator(".rq-list")).to_be_visible()


def test_traffic_is_not_read_out_and_a_change_of_state_is(untouched: Server, page: Page) -> None:
    page.evaluate(
        """() => {
          window.said = [];
          for (const region of document.querySelectorAll(".rq [role=status], .rq [role=alert], .rq [aria-live]"))
            new MutationObserver(() => said.push(region.textContent.trim()))
              .observe(region, { subtree: true, childList: true, characterData: true });
        }"""
    )
    for number in range(20):
        httpx.put(f"{untouched.api}/items/{number}")
        expect(page.locator(".rq-row:visible").first).to_contain_text(f"/items/{number}")
    assert page.evaluate("said") == []

    page.keyboard.press("Space")
    expect(page.locator(".rq[data-state=paused]")).to_be_visible()
    assert page.evaluate("said") == ["Paused"]
