"""Pages of other sites, in a real browser: they can neither send records nor read the panel."""

import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Page

from .conftest import Server, Start

SENDERS = {
    "a simple request": "fetch(url + '/log', {method: 'POST', mode: 'no-cors', body: 'forged'})",
    "a batch as text": "fetch(url + '/events', {method: 'POST', mode: 'no-cors', body: '{\"forged\": 1}'})",
    "JSON": """fetch(url + '/log', {
        method: 'POST', body: '"forged"', headers: {'content-type': 'application/json'}
    })""",
    "with cookies": "fetch(url + '/log', {method: 'POST', credentials: 'include', body: 'forged'})",
    "a beacon": "new Promise(done => { navigator.sendBeacon(url + '/log', 'forged'); setTimeout(done, 300); })",
    "a form": """new Promise(done => {
        const frame = document.body.appendChild(Object.assign(document.createElement('iframe'), {name: 'f'}));
        const form = document.body.appendChild(document.createElement('form'));
        Object.assign(form, {method: 'post', action: url + '/log', target: 'f', enctype: 'text/plain'});
        form.append(Object.assign(document.createElement('input'), {name: 'forged', value: 'x'}));
        form.submit();
        frame.onload = done; setTimeout(done, 1000);
    })""",
}
READERS = {
    "the API": "fetch(url + '/api/events').then(answer => answer.text())",
    "the page": "fetch(url + '/').then(answer => answer.text())",
    "without looking": "fetch(url + '/api/events', {mode: 'no-cors'}).then(answer => answer.text())",
    "a stream": """new Promise((done, failed) => {
        const source = new EventSource(url + '/gradio_api/queue/data?session_hash=x');
        source.onmessage = event => done(event.data); source.onerror = () => failed(new Error('refused'));
    })""",
    "a command": """fetch(url + '/gradio_api/component_server/', {method: 'POST', mode: 'no-cors', body: '{}'})
        .then(answer => answer.text())""",
    "a WebSocket": """new Promise((done, failed) => {
        const socket = new WebSocket(url.replace('http', 'ws') + '/gradio_api/queue/join');
        socket.onopen = () => done('open'); socket.onerror = () => failed(new Error('refused'));
    })""",
    "a script": """new Promise((done, failed) => {
        const script = Object.assign(document.createElement('script'), {src: url + '/api/stats'});
        script.onload = () => done('loaded'); script.onerror = () => failed(new Error('refused'));
        document.head.append(script);
    })""",
    "a picture": """new Promise((done, failed) => {
        const picture = Object.assign(new Image(), {src: url + '/favicon.ico'});
        picture.onload = () => done('loaded'); picture.onerror = () => failed(new Error('refused'));
    })""",
    "a frame": """new Promise((done, failed) => {
        const frame = Object.assign(document.createElement('iframe'), {src: url + '/'});
        frame.onload = () => { try { done(frame.contentDocument.title); } catch (error) { failed(error); } };
        document.body.append(frame);
    })""",
}


@pytest.fixture(scope="module")
def server(start: Start) -> Iterator[Server]:
    with start("serve") as running:
        httpx.post(f"{running.api}/log", content="a secret")
        yield running


@pytest.fixture(scope="module")
def other() -> Iterator[int]:
    """The port of a server with an empty page."""

    class Empty(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.end_headers()
            self.wfile.write(b"<!doctype html><title>another site</title><body></body>")

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as it is called there
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Empty) as http:
        thread = threading.Thread(target=http.serve_forever)
        thread.start()
        yield http.server_address[1]
        http.shutdown()
        thread.join()


@pytest.fixture(scope="module", params=["127.0.0.1", "localhost"], ids=["another port", "another name"])
def foreign(request: pytest.FixtureRequest, browser: Browser, other: int) -> Iterator[Page]:
    """A page of the same site but of another origin, and one of another site."""
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(f"http://{request.param}:{other}/")
        yield page


def stored(server: Server) -> list[str]:
    return [event["event"] for event in server.events(limit=1000) if event["event"] != "request"]


@pytest.mark.guarantees("3")
@pytest.mark.parametrize("how", SENDERS)
def test_a_page_elsewhere_cannot_have_the_browser_send_a_record(server: Server, foreign: Page, how: str) -> None:
    refused = len(server.events(filter="status:403", limit=1000))

    foreign.evaluate(f"url => ({SENDERS[how]}).catch(() => 'refused')", server.api)

    assert stored(server) == ["log"]
    if how != "JSON":  # of which the browser asks first whether it may
        assert len(server.events(filter="status:403", limit=1000)) > refused


@pytest.mark.parametrize("how", READERS)
def test_a_page_elsewhere_cannot_read_or_steer_the_panel(server: Server, foreign: Page, how: str) -> None:
    seen = foreign.evaluate(f"url => ({READERS[how]}).catch(() => 'refused')", server.panel)

    assert seen in ("refused", "")


def test_a_link_from_elsewhere_opens_the_panel(server: Server, foreign: Page) -> None:
    page = foreign.context.new_page()
    page.goto(foreign.url)
    page.evaluate("url => { location.href = url; }", f"{server.panel}/?filter=status:200")

    page.locator(".rq[data-state=live]").wait_for()
    page.close()


def test_a_page_of_a_site_that_is_named_may_send_records(start: Start, browser: Browser, other: int) -> None:
    with start("serve", environment={"REQSCOPE_ALLOWED_ORIGINS": f"http://localhost:{other}"}) as server:
        with browser.new_context() as context:
            page = context.new_page()
            page.goto(f"http://localhost:{other}/")
            answer = page.evaluate(f"url => {SENDERS['JSON']}.then(answer => answer.json())", server.api)
            refused = page.evaluate("url => fetch(url + '/api/events').catch(() => 'refused')", server.panel)

        assert answer["status"] == "logged"
        assert refused == "refused"
        assert stored(server) == ["log"]


@pytest.mark.guarantees("49")
def test_a_name_that_is_made_to_point_here_opens_nothing(server: Server, browser: Browser) -> None:
    rebinding = "--host-resolver-rules=MAP rebind.example 127.0.0.1"
    options: Any = {"executable_path": shutil.which("chromium"), "args": ["--no-sandbox", rebinding]}
    with browser.browser_type.launch(**options) as rebound:
        page = rebound.new_page()
        panel = page.goto(server.panel.replace("127.0.0.1", "rebind.example") + "/api/events")
        assert panel is not None
        assert (panel.status, "a secret" in page.content()) == (400, False)
        page.goto(server.api.replace("127.0.0.1", "rebind.example") + "/livez")
        status = page.evaluate("fetch('/log', {method: 'POST', body: 'forged'}).then(answer => answer.status)")

    assert status == 400
    assert stored(server) == ["log"]
