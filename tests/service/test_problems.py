import json

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.types import Receive, Scope, Send

from reqscope.service.problems import PROBLEM, problem, respond

from .conftest import Site


def test_a_problem_says_what_happened_in_the_members_of_the_standard() -> None:
    assert json.loads(problem(404, "there is no /x", near="/y")) == {
        "type": "about:blank",
        "title": "Not Found",
        "status": 404,
        "detail": "there is no /x",
        "near": "/y",
    }


@pytest.mark.guarantees("31")
@settings(deadline=None)
@given(st.text(st.characters(categories=None)))
def test_a_problem_is_one_line_of_json_that_a_terminal_survives_whatever_it_quotes(detail: str) -> None:
    body = problem(400, detail).decode()

    json.loads(body)
    assert not set(body) & {*map(chr, range(0x20)), *map(chr, range(0x7F, 0xA0)), "\u2028", "\u2029", "\u202e"}


@pytest.mark.guarantees("19")
def test_a_lone_surrogate_in_a_problem_becomes_its_escape() -> None:
    assert json.loads(problem(400, "\ud800"))["detail"] == "\\ud800"


@pytest.mark.anyio
async def test_an_answer_is_sent_whole_with_its_length_and_the_headers_it_was_given(site: Site) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await respond(send, 405, problem(405, "no"), PROBLEM, ((b"allow", b"POST"), (b"allow", b"PUT")))

    async with site.client(app) as client:
        answer = await client.get("/")
        empty = await client.head("/")

    assert answer.status_code == 405
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["content-length"] == str(len(answer.content))
    assert answer.headers.get_list("allow") == ["POST", "PUT"]
    assert answer.json()["detail"] == "no"
    assert (empty.status_code, empty.content) == (405, b"")


@pytest.mark.anyio
async def test_an_answer_is_json_unless_something_else_is_said(site: Site) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await respond(send, 200, b"{}")

    async with site.client(app) as client:
        answer: httpx.Response = await client.get("/")

    assert (answer.status_code, answer.headers["content-type"], answer.json()) == (200, "application/json", {})
