import json
import time
from typing import Any

import pytest

from reqscope.service.mock import StubError
from reqscope.service.mock.conditions import is_within
from reqscope.service.mock.files import parse

from .mocking import answered, asked, store_of


def takes(request: str, *asking: Any, **headers: str) -> bool:
    return answered(store_of(f"request: {request}"), *asking, **headers) is not None


@pytest.mark.parametrize(
    ("stub", "path", "fits"),
    [
        ("{path: /pay}", "/pay", True),
        ("{path: /pay}", "/pay/", False),
        ("{path: /pay}", "//pay", True),
        ("{path: /pay}", "/x/../pay", True),
        ("{path: '/pay/{id}'}", "/pay/7", True),
        ("{path: '/pay/{id}'}", "/pay/", False),
        ("{path: '/pay/{id}'}", "/pay/7/refund", False),
        ("{path: '/pay/{id}/refund'}", "/pay/a.b/refund", True),
        ("{path: '/files/{rest:path}'}", "/files/a/b/c", True),
        ("{path: '/a.c'}", "/abc", False),
        ("{path_regex: '/v[12]/.*'}", "/v2/x", True),
        ("{path_regex: '/v[12]'}", "/v2/x", False),
        ("{query: {page: 2}}", "/?page=2", True),
        ("{query: {page: 2}}", "/?page=1&page=2", True),
        ("{query: {page: 2}}", "/", False),
        ("{query: {live: true}}", "/?live=true", True),
        ("{query: {q: {contains: a b}}}", "/?q=xa+by", True),
        ("{query: {q: {regex: '[a-z]+'}}}", "/?q=abc1", False),
        ("{query: {q: {equals: ABC, ignore_case: true}}}", "/?q=abc", True),
        ("{query: {q: {absent: true}}}", "/?q=", False),
        ("{query: {q: {absent: true}}}", "/", True),
        ("{query: {q: {}}}", "/?q=anything", True),
    ],
)
def test_paths_and_queries_are_matched(stub: str, path: str, fits: bool) -> None:
    assert takes(stub, "GET", path) is fits


@pytest.mark.parametrize(
    ("stub", "body", "fits"),
    [
        ("{json: {amount: 5}}", '{"amount": 5, "currency": "EUR"}', True),
        ("{json: {amount: 5}}", '{"amount": 5.0}', True),
        ("{json: {amount: 5}}", '{"amount": "5"}', False),
        ("{json: {paid: true}}", '{"paid": 1}', False),
        ("{json: {card: {last4: '42'}}}", '{"card": {"last4": "42", "brand": "x"}}', True),
        ("{json: {items: [{sku: a}]}}", '{"items": [{"sku": "a", "n": 1}]}', True),
        ("{json: {items: [{sku: a}]}}", '{"items": [{"sku": "a"}, {"sku": "b"}]}', False),
        ("{json: {}}", "[]", False),
        ("{json: {note: null}}", '{"note": null}', True),
        ("{json: {note: null}}", "{}", False),
        ("{json_equals: {a: 1}}", '{"a": 1, "b": 2}', False),
        ("{json_equals: {a: 1}}", '{"a": 1}', True),
        ("{json_path: {'$.a.b': x}}", '{"a": {"b": "x"}}', True),
        ("{json_path: {'$..sku': b}}", '{"items": [{"sku": "a"}, {"sku": "b"}]}', True),
        ("{json_path: {'$[?@.n > 2]': {}}}", '[{"n": 1}, {"n": 3}]', True),
        ("{json_path: {'$.n': {above: 1, below: 3}}}", '{"n": 3}', False),
        ("{json_path: {'$.n': {absent: true}}}", '{"m": 3}', True),
        ("{json_path: {'$.n': {regex: 'a+'}}}", '{"n": "aaa"}', True),
        ("{json_path: {'$.n': 1}}", "no JSON", False),
        ("{json: {a: 1}}", "[" * 100_000, False),
        ("{body: {contains: hello}}", "say hello", True),
        ("{body: hello}", "hello!", False),
    ],
)
def test_bodies_are_matched(stub: str, body: str, fits: bool) -> None:
    assert takes(stub, "POST", "/", body.encode()) is fits


def test_forms_are_matched_by_their_content_type() -> None:
    stub = "{form: {grant_type: client_credentials}}"
    form = {"content_type": "application/x-www-form-urlencoded"}

    assert takes(stub, "POST", "/", b"grant_type=client_credentials&x=1", **form)
    assert not takes(stub, "POST", "/", b"grant_type=client_credentials")


def test_headers_are_matched_whatever_their_case() -> None:
    assert takes("{headers: {X-Tenant: acme}}", x_tenant="acme")
    assert not takes("{headers: {X-Tenant: acme}}", x_tenant="other")


@pytest.mark.parametrize(
    ("request_", "why"),
    [
        (r"{path_regex: '(?=a)b'}", "RE2"),
        (r"{query: {q: {regex: '(a'}}}", "RE2"),
        ("{path: pay}", "begins with a slash"),
        ("{path: '/pay?x=1'}", "no query"),
        ("{path: '/{id}/{id}'}", "twice"),
        ("{path: '/{id'}", "{id}"),
        ("{path: /log}", "Reqscope's own"),
        ("{path: '//x/../events/'}", "Reqscope's own"),
        ("{path: /a, path_regex: /a}", "exclude"),
        ("{method: 'G E T'}", "not an HTTP method"),
        ("{json_path: {'$.[': 1}}", "JSONPath"),
        ("{json_path: {'$..a..b..c': 1}}", "too much work"),
        ("{json_path: {'$[?match(@.a, \"(a+)+\")]': {}}}", "JSONPath"),
        ("{query: {q: {absent: true, contains: a}}}", "stands alone"),
    ],
)
def test_what_cannot_be_matched_by_is_refused_when_it_is_loaded(request_: str, why: str) -> None:
    with pytest.raises(StubError) as caught:
        parse(f"request: {request_}")

    assert why in str(caught.value)


@pytest.mark.guarantees("F40")
def test_a_pattern_that_keeps_other_engines_busy_for_ever_takes_no_time() -> None:
    store = store_of("request: {query: {q: {regex: '(a+)+b'}}}")
    begun = time.process_time()

    assert answered(store, "GET", "/?q=" + "a" * 50_000) is None
    assert time.process_time() - begun < 5  # Python's own would take longer than the universe has


def test_nothing_is_within_what_lacks_it() -> None:
    assert is_within({"a": [1, {"b": 2}]}, json.loads('{"a": [1, {"b": 2, "c": 3}], "d": 4}'))
    assert not is_within({"a": 1}, None)
    assert not is_within([1], {"0": 1})


def test_a_request_is_taken_apart_only_where_it_is_asked_for() -> None:
    request = asked("POST", "/pay?a=1", b'{"a": 1}')

    assert "json_or_unset" not in vars(request)
    assert request.json == {"a": 1}
