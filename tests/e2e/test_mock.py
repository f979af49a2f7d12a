"""`reqscope mock` as its user has it: a file, a terminal, a client and a browser."""

import json
import subprocess
from collections.abc import Callable, Generator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Page, ViewportSize, expect

from tests import nursery

from .axe import DESK, PHONE, violations
from .conftest import Server, Start, wait_until
from .test_sign_in import add_user, sign_in

STUBS = """
stubs:
  - name: pay
    request: {method: POST, path: "/pay/{id}", json: {amount: 100}}
    response: {status: 201, json: {id: "{{request.path.id}}"}}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "stubs.yaml"
    file.write_text(STUBS)
    return file


@pytest.fixture
def mock(start: Start, file: Path) -> Generator[Server]:
    with start("mock", str(file)) as server:
        yield server


def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return nursery.run("reqscope.service", *arguments)


def test_a_change_is_used_a_mistake_is_not_and_is_pointed_at(mock: Server, file: Path) -> None:
    assert httpx.post(f"{mock.api}/pay/7", json={"amount": 100}).json() == {"id": "7"}

    file.write_text("stubs:\n- name: broken\n  requst: {}\n")
    wait_until(lambda: any("stubs.yaml:3: stubs[0].requst" in line for line in mock.output), "the mistake is told")
    (error,) = httpx.get(f"{mock.panel}/api/stubs").json()["errors"]
    assert (error["line"], error["key"]) == (3, "stubs[0].requst")
    assert httpx.post(f"{mock.api}/pay/7", json={"amount": 100}).status_code == 201

    file.write_text("stubs: [{name: new, request: {path: /new}}]")
    wait_until(lambda: httpx.get(f"{mock.api}/new").status_code == 200, "the new stub answers")
    assert httpx.post(f"{mock.api}/pay/7", json={"amount": 100}).status_code == 404
    assert mock.events(filter="stub:pay")[0]["stub"] == "pay"
    assert mock.stop() == 0


def test_a_stub_with_a_long_name_leaves_room_for_what_it_answers_on_a_phone(
    mock: Server, file: Path, open_page: Callable[..., Page]
) -> None:
    long = "a payment that is refused because the card has expired"
    file.write_text(f'stubs: [{{name: "{long}", request: {{path: "/cards/{{card}}/payments/{{payment}}"}}}}]')
    page = open_page(f"{mock.panel}/?view=mock", viewport=PHONE)
    row = page.locator(".rq-stubs tbody tr", has_text=long)

    box = row.get_by_role("cell").first.bounding_box()

    assert box is not None
    assert box["x"] + box["width"] < PHONE["width"]
    assert box["width"] >= 70


def test_what_it_says_to_try_is_answered_by_a_stub(start: Start, file: Path) -> None:
    file.write_text(
        STUBS + "  - {request: {path: '/{any}/more'}}\n  - {request: {path: /health}, response: {json: well}}\n"
    )
    with start("mock", str(file)) as server:
        wait_until(lambda: any("Try" in line for line in server.output), "the example")
        command = next(line for line in server.output if "Try" in line).split()

        assert command[1:-1] == ["curl"]
        assert httpx.get(command[-1]).json() == "well"


def test_serve_takes_stubs_and_records(start: Start, file: Path) -> None:
    with start("serve", "--stubs", str(file)) as server:
        assert httpx.post(f"{server.api}/pay/7", json={"amount": 100}).status_code == 201
        assert httpx.post(f"{server.api}/log", content="hello").json()["status"] == "logged"
        assert [each["event"] for each in server.events()] == ["request", "log"]


def test_what_is_not_mocked_has_no_stubs(start: Start) -> None:
    with start("serve") as server:
        assert httpx.get(f"{server.panel}/api/stubs").status_code == 404


def test_a_mistake_at_the_start_and_wrong_arguments_are_said(file: Path, tmp_path: Path) -> None:
    good = run("mock", "--check", str(file))
    file.write_text("stubs:\n- response: {status: 1}\n")
    wrong, checked, none = run("mock", str(file)), run("mock", "--check", str(file)), run("mock")
    missing = run("mock", str(tmp_path / "none.yaml"))
    record = run("mock", str(tmp_path / "new.yaml"), "--record", "api.example.com")

    assert (good.returncode, good.stdout) == (0, "Stubs: 1, and nothing wrong with them.\n")
    for each in (wrong, checked):
        assert each.returncode == 1
        assert "stubs.yaml:2: stubs[0].response: a status is from 200 to 599, not 1" in each.stderr
    assert (none.returncode, "which stubs?" in none.stderr) == (2, True)
    assert (missing.returncode, "cannot be read: No such file" in missing.stderr) == (1, True)
    assert (record.returncode, "--record: 'api.example.com' is not an address" in record.stderr) == (2, True)
    assert not any("Traceback" in each.stderr for each in (wrong, none, missing, record))


def test_the_schema_is_printed() -> None:
    assert "StubFile" in json.loads(run("mock", "--schema").stdout)["$defs"]


@pytest.fixture(scope="module")
def server(start: Start, tmp_path_factory: pytest.TempPathFactory) -> Generator[Server]:
    file = tmp_path_factory.mktemp("stubs") / "stubs.yaml"
    file.write_text(STUBS)
    with start("mock", str(file)) as server:
        yield server


class TestThePageOfStubs:
    @pytest.fixture
    def mock(self, server: Server) -> Server:
        """The one server, as it was at its start."""
        httpx.delete(f"{server.panel}/api/stubs")
        return server

    def test_stubs_are_listed_edited_tried_and_switched_off(self, mock: Server, open_page: Callable[..., Page]) -> None:
        page = open_page(f"{mock.panel}/?view=mock")
        expect(page).to_have_title("Mock · Reqscope")
        httpx.post(f"{mock.api}/pay/7", json={"amount": 100})
        row = page.get_by_role("row", name="POST /pay/{id}")
        expect(row.get_by_role("button", name="1", exact=True)).to_be_visible()

        row.get_by_role("button", name="Try").click()
        dialog = page.get_by_role("dialog")
        dialog.get_by_role("button", name="Try").click()
        expect(dialog).to_contain_text('{"id":"id"}')
        dialog.get_by_role("button", name="Close").click()

        row.get_by_role("button", name="pay", exact=True).click()
        dialog.get_by_role("textbox").fill("name: pay\nrequest: {pth: /a}")
        expect(dialog).to_contain_text("line 2: request.pth: there is no such key")
        dialog.get_by_role("button", name="Save").click()
        expect(dialog).to_be_visible()
        dialog.get_by_role("textbox").fill("name: paid\nrequest: {path: /paid}")
        dialog.get_by_role("button", name="Save").click()
        expect(page.get_by_role("row", name="ANY /paid")).to_contain_text("edited here")
        assert httpx.get(f"{mock.api}/paid").status_code == 200

        page.get_by_label("paid answers").uncheck()
        wait_until(lambda: httpx.get(f"{mock.api}/paid").status_code == 404, "it is switched off")

    def test_a_stub_is_made_from_a_request_that_none_answered(
        self, mock: Server, open_page: Callable[..., Page]
    ) -> None:
        page = open_page(f"{mock.panel}/?view=mock")
        httpx.post(f"{mock.api}/pay/7", json={"amount": 5, "note": "<img src=x onerror=alert(1)>"})
        expect(page.get_by_text("✗ json.amount: 5, and should be 100")).to_be_visible()

        page.get_by_role("button", name="Create a stub").click()
        dialog = page.get_by_role("dialog")
        assert "amount: 5" in dialog.get_by_role("textbox").input_value()
        dialog.get_by_role("button", name="Save").click()
        expect(page.get_by_role("row", name="POST /pay/7")).to_be_visible()

        assert httpx.post(f"{mock.api}/pay/7", json={"amount": 5, "note": "<img src=x onerror=alert(1)>"}).is_success

    def test_a_stub_is_made_from_a_request_in_the_live_view(self, mock: Server, open_page: Callable[..., Page]) -> None:
        page = open_page(mock.panel)
        httpx.post(f"{mock.api}/pay/7", json={"amount": 100})
        page.locator(".rq-row", has_text="← pay").first.click()
        page.get_by_role("button", name="Create a stub").click()

        text = page.get_by_role("dialog").get_by_role("textbox").input_value()
        assert "path: /pay/7" in text
        assert "id: '7'" in text

    @pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
    def test_axe_finds_no_violation(self, mock: Server, open_page: Callable[..., Page], size: ViewportSize) -> None:
        httpx.post(f"{mock.api}/pay/7", json={"amount": 5})
        page = open_page(f"{mock.panel}/?view=mock", color_scheme="light")
        page.set_viewport_size(size)
        expect(page.get_by_text("✗ json.amount: 5, and should be 100").first).to_be_visible()
        found = violations(page, dark=size is DESK)

        page.get_by_role("button", name="pay", exact=True).click()
        dialog = page.get_by_role("dialog")
        dialog.get_by_role("textbox").fill("name: pay\nrequest: {pth: /a}")
        expect(dialog).to_contain_text("there is no such key")
        found += violations(page, dark=size is DESK)
        dialog.get_by_role("button", name="Close").click()
        page.get_by_role("button", name="Try pay").click()
        dialog.get_by_role("button", name="Try").click()
        expect(dialog).to_contain_text("would answer")
        assert found + violations(page, dark=size is DESK) == []

    def test_where_nothing_is_mocked_there_is_no_such_page(self, start: Start, open_page: Callable[..., Page]) -> None:
        with start("serve") as server:
            page = open_page(server.panel)
            expect(page.get_by_role("link", name="Mock")).to_be_hidden()

    def test_a_viewer_is_offered_nothing_that_would_be_refused(
        self, start: Start, browser: Browser, file: Path, tmp_path: Path
    ) -> None:
        add_user(tmp_path, "bob")
        with start("serve", "--stubs", str(file), configuration=tmp_path) as server, browser.new_context() as context:
            page = context.new_page()
            page.goto(f"{server.panel}/?view=mock")
            sign_in(page, "bob")
            row = page.get_by_role("row", name="POST /pay/{id}")
            expect(row.get_by_role("checkbox")).to_be_disabled()
            expect(page.get_by_text("Only an admin may change stubs")).to_be_visible()
            for name in ("New stub", "Import …", "Try a request", "Reset hits and states", "Try pay", "Delete pay"):
                expect(page.get_by_role("button", name=name)).to_have_count(0)

            row.get_by_role("button", name="pay", exact=True).click()
            dialog = page.get_by_role("dialog")
            expect(dialog.get_by_role("textbox")).not_to_be_editable()
            expect(dialog.get_by_role("button", name="Save")).to_have_count(0)
            dialog.get_by_role("button", name="Close").click()

            page.get_by_role("link", name="Runs").click()
            expect(page.get_by_role("button", name="Begin a run")).to_be_disabled()
