import json
import re
from typing import Any

import pytest

from reqscope.service.mock import StubError
from reqscope.service.mock.files import parse

from .mocking import asked, store_of


def body_of(stub: str, *request: Any, **headers: str) -> str:
    found = store_of(stub).answer(asked(*request, **headers))
    assert found is not None
    return found[1].body.decode()


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{request.path.id}}", "7"),
        ("{{ request.query.q }}", "a b"),
        ("{{request.headers.X-Tenant}}", "acme"),
        ("{{request.json.items.1.sku}}", "b"),
        ("{{request.json.items.0}}", '{"sku":"a"}'),
        ("{{request.json.none}}", ""),
        ("{{request.json.none|0}}", "0"),
        ("{{request.method}} {{request.path}}", "POST /pay/7"),
        ("{{count}}", "1"),
        ("{no} {{}", "{no} {{}"),
    ],
)
def test_values_of_the_request_are_written(template: str, text: str) -> None:
    stub = json.dumps({"request": {"path": "/pay/{id}"}, "response": {"body": template}})
    content = b'{"items": [{"sku": "a"}, {"sku": "b"}]}'

    assert body_of(stub, "POST", "/pay/7?q=a%20b", content, x_tenant="acme") == text


@pytest.mark.guarantees("35")
def test_in_json_a_value_keeps_its_type_and_never_becomes_json_of_its_own() -> None:
    stub = "response: {json: {amount: '{{request.json.amount}}', note: 'for {{request.json.who}}', n: null}}"
    content = json.dumps({"amount": 5, "who": '"}, "admin": true, {"'}).encode()

    assert json.loads(body_of(stub, "POST", "/", content)) == {
        "amount": 5,
        "note": 'for "}, "admin": true, {"',
        "n": None,
    }


def test_in_a_body_values_are_quoted_as_its_type_has_it() -> None:
    hostile = "/?q=%3Cscript%3E%22"
    page = "response: {headers: {content-type: text/html}, body: '<p>{{request.query.q}}'}"
    document = 'response: {headers: {content-type: application/json}, body: \'{"q": "{{request.query.q}}"}\'}'

    assert body_of(page, "GET", hostile) == "<p>&lt;script&gt;&quot;"
    assert json.loads(body_of(document, "GET", hostile)) == {"q": '<script>"'}


@pytest.mark.guarantees("78")
def test_a_value_in_a_header_begins_no_header_of_its_own() -> None:
    found = store_of("response: {headers: {X-Echo: '{{request.query.q}}'}}").answer(
        asked("GET", "/?q=a%0d%0aSet-Cookie:%20b=1")
    )

    assert found is not None
    assert dict(found[1].headers)[b"x-echo"] == b"a  Set-Cookie: b=1"


@pytest.mark.guarantees("35")
def test_what_is_written_is_not_read_as_a_template_again() -> None:
    assert body_of("response: {body: '{{request.query.q}}'}", "GET", "/?q={{request.method}}") == "{{request.method}}"


def test_braces_are_left_alone_where_there_is_no_template() -> None:
    assert body_of("response: {template: false, body: '{{request.method}}'}") == "{{request.method}}"


@pytest.mark.guarantees("78")
def test_a_request_is_not_multiplied_into_gigabytes() -> None:
    found = store_of(json.dumps({"response": {"body": "{{request.body}}" * 10_000}})).answer(
        asked("POST", "/", b"x" * 1_000_000)
    )

    assert found is not None
    assert found[1].status == 413


def test_now_and_uuid_look_like_it() -> None:
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z [0-9a-f-]{36}", body_of("response: {body: '{{now}} {{uuid}}'}")
    )


def test_a_name_that_means_nothing_is_refused_with_those_there_are() -> None:
    with pytest.raises(StubError, match=r"request\.path\.NAME"):
        parse("response: {body: '{{request.cookie.a}}'}")
