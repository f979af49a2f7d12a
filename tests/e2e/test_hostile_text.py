"""Hundreds of hostile strings, through every view in a real browser: none of them is ever more than text."""

import json
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote, quote_from_bytes, urlencode

import httpx
import pytest
from playwright.sync_api import Dialog, Page, expect

from tests.conftest import PROVE

from .conftest import DEADLINE, Server, Start, run_app, wait_until
from .hostile import MARK, STRINGS

OpenPage = Callable[..., Page]

APP = """
import asyncio, json, logging
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

gate = asyncio.Event()
shop = logging.getLogger("shop")
shop.setLevel(logging.INFO)
logging.getLogger("uvicorn.error").addFilter(lambda record: False)

async def echo(request):
    body = await request.body()
    if request.headers["content-type"] == "application/json":
        for line in json.loads(body).values():
            shop.info("%s", line)
    response = Response(body, media_type=request.headers["content-type"])
    response.raw_headers.extend(pair for pair in request.headers.raw if pair[0].startswith(b"x-"))
    return response

async def fail(request):
    text = (await request.body()).decode("utf-8", "replace").replace("\\0", "")
    raise type(text or "Nameless", (Exception,), {})(text)

async def wait(request):
    await gate.wait()
    return Response()

async def release(request):
    gate.set()
    return Response()

app = Starlette(routes=[
    Route("/fail", fail, methods=["POST"]), Route("/wait/{rest:path}", wait), Route("/release", release),
    Route("/{rest:path}", echo, methods=["POST"]),
])
"""

SPY = """
window.ran = (what) => spied.push(`ran ${what}`);
window.spied = [];
for (const name of ["alert", "confirm", "prompt", "open"]) window[name] = () => spied.push(name);
// What the page builds in itself by itself; anything else would have come out of a string.
const own = new Set("A ARTICLE ASIDE B BUTTON CANVAS CODE DD DIALOG DIV DL DT EM FIELDSET FIGCAPTION FIGURE "
  .concat("FORM H1 H2 H3 HEADER I INPUT LABEL LEGEND LI NAV OL P PRE SECTION SPAN TABLE TBODY TD TH THEAD TIME TR")
  .concat(" UL").split(" "));
const texts = new Set(["value", "title", "aria-label", "data-focus", "data-filter", "placeholder"]);
function look(element) {
  if (!element.closest?.(".rq")) return;
  if (!own.has(element.tagName)) spied.push(`made ${element.tagName}`);
  for (const { name, value } of element.attributes) {
    const captured = value.includes("MARK") && !texts.has(name) && name !== "href";
    if (captured || name.startsWith("on")) spied.push(`set ${name}=${value}`);
  }
  const ours = /^(\\?view=\\w+|api\\/export\\?format=|http:\\/\\/127\\.0\\.0\\.1:\\d+\\/$)/;
  if (element.tagName === "A" && element.hasAttribute("href") && !ours.test(element.getAttribute("href")))
    spied.push(`made a link to ${element.getAttribute("href")}`);
}
new MutationObserver((changes) => {
  for (const { target, addedNodes } of changes) {
    look(target);
    for (const node of addedNodes) if (node.nodeType === 1) [node, ...node.querySelectorAll("*")].forEach(look);
  }
}).observe(document, { subtree: true, childList: true, attributes: true });
""".replace("MARK", MARK)

KNOWN = re.compile(
    r"/(\?.*)?$|/(assets|static|svelte)/|/theme\.css|/favicon\.ico$|/manifest\.json$|/config|/livez$"
    r"|/gradio_api/(app_id|info|heartbeat|startup-events|component_server|queue/(join|data)|upload_progress)"
)
"""What the page may ask the server for, of itself."""


@pytest.fixture(scope="module")
def collector(start: Start) -> Iterator[Server]:
    with start("serve") as running:
        with httpx.Client(base_url=running.api, timeout=DEADLINE) as client:
            for text in STRINGS:
                client.post("/log", content=text.encode("utf-8", "surrogatepass")).raise_for_status()
            records = [json.dumps(record(text)) for text in STRINGS]
            answer = client.post("/events", content="\n".join(records)).json()
            assert answer["accepted"] > 300, answer
        yield running


@pytest.fixture(scope="module")
def watched(start: Start, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with run_app(start, tmp_path_factory.mktemp("app"), "hostile_echo", APP) as running:
        yield running


@pytest.fixture
def spied(open_page: OpenPage) -> Iterator[Callable[[str], Page]]:
    """Open a page that notices what runs, what is fetched, and what is made of text."""
    pages: list[Page] = []
    asked: list[str] = []
    surprises: list[str] = []

    def refuse(dialog: Dialog) -> None:
        surprises.append(f"dialog {dialog.message}")
        dialog.dismiss()

    def open_spied(url: str) -> Page:
        page = open_page(url.partition("?")[0])
        page.add_init_script(SPY)
        page.on("dialog", refuse)
        page.on("popup", lambda popup: surprises.append(f"popup {popup.url}"))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(url)
        live(page)
        pages.append(page)
        return page

    yield open_spied
    for page in pages:
        assert page.evaluate("spied") == []
        assert page.evaluate("[({}).polluted, Object.keys(Object.prototype), document.title]")[1:] == [[], "Reqscope"]
        origin = page.url.partition("?")[0].rstrip("/")
        strange = [url for url in asked if not (url.startswith(origin) and KNOWN.match(url.removeprefix(origin)))]
        assert strange == []
    assert surprises == []


def record(text: str) -> dict[str, Any]:
    """A record that has the string wherever records have text."""
    return {
        "http.request.method": text,
        "url.path": text,
        "url.query": text,
        "http.route": text,
        "client.address": text,
        "error.type": text,
        "http.response.status_code": 500,
        "user_agent.original": text,
        text: {text: [text], "__proto__": {"polluted": text}},
    }


def groups(texts: list[str], size: int) -> list[list[str]]:
    return [texts[start : start + size] for start in range(0, len(texts), size)]


def header_value(text: str) -> bytes:
    """As much of the string as HTTP lets through."""
    return re.sub(rb"[\x00-\x1f\x7f]", b" ", text.encode("utf-8", "surrogatepass")).strip()[:900]


def live(page: Page) -> None:
    page.locator(".rq[data-state=live]").wait_for(timeout=DEADLINE * 1000)


def step_through(page: Page, steps: int, tabs: int) -> None:
    """Open row after row with the keyboard. All tabs of an event are in the page, even those that are not in view."""
    for _ in range(steps):
        before = page.url
        page.keyboard.press("j")
        page.wait_for_function("before => location.href !== before", arg=before)
        page.wait_for_function(
            "tabs => document.querySelectorAll('.rq-detail [role=tabpanel]').length >= tabs", arg=tabs
        )


def test_there_are_hundreds() -> None:
    assert len(set(STRINGS)) == len(STRINGS) > 300


@pytest.mark.guarantees("13", "22", "23", "35", "36", "37", "38")
def test_in_the_list_and_in_the_detail(collector: Server, spied: Callable[[str], Page]) -> None:
    page = spied(collector.panel)
    page.locator('[data-id="pause"]').click()
    shown: set[str] = set()
    page.mouse.move(1, 1)
    for top in range(0, len(STRINGS) * 2 * 30, 450):
        page.locator(".rq-view").evaluate("(view, top) => { view.scrollTop = top; }", top)
        page.evaluate("() => new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)))")
        shown.update(page.locator(".rq-row:visible > :nth-child(2)").all_text_contents())
    # A row shows the beginning, as it was sent.
    assert {text[:300] for text in STRINGS if text.isprintable() and len(text) < 5_000} <= shown
    page.locator(".rq-view").evaluate("(view) => { view.scrollTop = 0; }")
    step_through(page, 40 if PROVE else 10, tabs=5)


@pytest.mark.guarantees("13", "22", "23", "35", "36", "37", "38")
def test_in_headers_bodies_and_log_lines(watched: Server, spied: Callable[[str], Page]) -> None:
    page = spied(watched.panel)
    sent = 0
    with httpx.Client(base_url=watched.api, timeout=DEADLINE) as client:
        for some in groups(STRINGS if PROVE else STRINGS[::6], 10):
            headers = [(f"x-header-{n}".encode(), header_value(text)) for n, text in enumerate(some)]
            headers.append((b"user-agent", header_value(some[0])))
            raw = [text.encode("utf-8", "surrogatepass") for text in some]
            for kind, body in (
                (
                    "application/json",
                    json.dumps({text: text for text in some} | {"__proto__": {"polluted": 1}}).encode(),
                ),
                (
                    "application/x-www-form-urlencoded",
                    "&".join(f"{quote_from_bytes(t)}={quote_from_bytes(t)}" for t in raw).encode(),
                ),
                ("text/html", b"\n".join(raw)),
            ):
                path = quote_from_bytes(raw[sent % len(raw)][:500], safe="/")
                query = quote_from_bytes(raw[(sent + 1) % len(raw)][:500], safe="<>$`'(){}[]=&;/:")
                answer = client.post(
                    f"/{path}?{query}", content=body, headers=[*headers, (b"content-type", kind.encode())]
                )
                assert answer.status_code in (200, 404)  # Starlette has no route for a line feed
                sent += 1
    expect(page.locator(".rq-row:visible").first).to_contain_text("POST")
    wait_until(lambda: int(page.locator('[data-id="received"]').inner_text()) == sent, "all of them in the page")
    step_through(page, sent, tabs=5)
    for tab in page.get_by_role("tab").all():
        tab.click()
        expect(page.get_by_role("tabpanel")).not_to_be_empty()


@pytest.mark.guarantees("13", "22", "23", "35", "36", "37", "38")
def test_in_exceptions_and_in_flight(watched: Server, spied: Callable[[str], Page]) -> None:
    page = spied(f"{watched.panel}/?view=errors")
    with httpx.Client(base_url=watched.api, limits=httpx.Limits(max_keepalive_connections=0)) as client:
        for text in STRINGS[::4]:
            client.post("/fail", content=text.encode("utf-8", "surrogatepass")[:2_000])
    expect(page.locator(".rq-error").nth(70)).to_be_attached()
    for toggle in page.get_by_role("button", name="Show traceback").all()[:5]:
        toggle.focus()
        page.keyboard.press("Enter")
    expect(page.locator(".rq-error pre").first).to_contain_text("hostile_echo.py")
    paths = [quote(text, safe="", errors="surrogatepass") for text in STRINGS[: len(STRINGS) : 40]]
    with ThreadPoolExecutor(len(paths)) as pool:
        waiting = [pool.submit(httpx.get, f"{watched.api}/wait/{path}?{path}", timeout=DEADLINE) for path in paths]
        page.goto(f"{watched.panel}/?view=flight")
        expect(page.locator(".rq-list tbody tr")).to_have_count(len(paths))
        page.goto(watched.panel)
        expect(page.locator(".rq-running li").first).to_contain_text("/wait/")
        httpx.get(f"{watched.api}/release")
        assert {answer.result().status_code for answer in waiting} == {200}


@pytest.mark.guarantees("13", "22", "23", "35", "36", "37", "38")
def test_in_the_routes_and_in_what_a_filter_could_become(collector: Server, spied: Callable[[str], Page]) -> None:
    page = spied(f"{collector.panel}/?view=routes")
    expect(page.locator(".rq-list tbody tr").nth(200)).to_be_attached()
    names = page.locator(".rq-list tbody th").all_text_contents()
    assert sum(MARK in name for name in names) > 200
    for number in (3, 50, 120, 200):  # goes to the live view with a filter that finds it
        page.goto(f"{collector.panel}/?view=routes")
        page.locator(".rq-list tbody .rq-link").nth(number).dispatch_event("click")
        expect(page.locator(".rq-row:visible").first).to_be_visible()
        expect(page.locator('[data-id="filter"]')).to_have_attribute("aria-invalid", "false")
    field = page.locator('[data-id="filter"]')
    for start in ("route:", "method:"):
        field.fill("")
        field.press_sequentially(start)
        expect(page.locator(".rq-suggest")).to_contain_text(MARK)
        field.press("ArrowDown")
        field.press("Enter")


@pytest.mark.guarantees("13", "22", "23", "35", "36", "37", "38")
def test_in_a_filter_that_is_typed_and_in_one_that_is_saved(collector: Server, spied: Callable[[str], Page]) -> None:
    page = spied(collector.panel)
    kept = [text.encode("utf-8", "replace").decode() for text in STRINGS]
    answers = page.evaluate(
        """async (texts) => {
          const at = (id) => document.querySelector(`[data-id="${id}"]`), answered = [];
          for (const text of texts) {
            at("filter").value = text;
            at("filter").removeAttribute("aria-invalid");
            at("form").requestSubmit();
            while (!at("filter").hasAttribute("aria-invalid")) await new Promise((go) => setTimeout(go, 2));
            answered.push([at("filter").getAttribute("aria-invalid"), at("filter-error").textContent]);
          }
          return answered;
        }""",
        kept[::2],
    )
    assert len(answers) > 150
    assert {invalid for invalid, _ in answers} == {"true", "false"}
    for some in (kept[:20], kept[100:120], kept[-20:]):
        page.evaluate("some => localStorage.setItem('reqscope-options', JSON.stringify({ filters: some }))", list(some))
        page.reload()
        live(page)
        page.locator('[data-id="options"]').click()
        expect(page.locator(".rq-popover fieldset:last-child div")).to_have_count(20)
        page.keyboard.press("Escape")


@pytest.mark.guarantees("13", "22", "23", "35", "36", "37", "38")
def test_in_the_address(collector: Server, spied: Callable[[str], Page]) -> None:
    page = spied(collector.panel)
    texts = [text.encode("utf-8", "replace").decode()[:200] for text in STRINGS]
    for number, some in enumerate(groups(texts, 60)):
        text = "".join(some)[:6_000]
        quoted = text.replace("\\", "\\\\").replace('"', '\\"')
        names = ("view", "window", "event", "paused", "filter", "__proto__", "__theme_color", MARK)
        asked = dict.fromkeys(names, text) | {"filter": f'"{quoted}"' if number % 2 else text}
        page.goto(f"{collector.panel}/?{urlencode(asked)}")
        live(page)
        expect(page.locator(".rq-detail")).to_contain_text("evicted")
