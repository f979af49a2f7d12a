from collections.abc import Callable

import pytest

from reqscope.bus import Event, Failure, Filter, FilterError, LogLine
from reqscope.bus.event import Body, Glance
from reqscope.bus.filter_fields import ALIASES, FIELDS, HEADER, find
from reqscope.bus.filter_kinds import Cost, Field
from reqscope.bus.filters import MAX_SCANS

EVENT = Event(
    time=0,
    seq=7,
    kind="request",
    method="POST",
    path="/api/Orders/7",
    query=b"page=2&q=a%20b",
    route="/api/Orders/{id}",
    status=503,
    client="10.1.2.3",
    request_headers=((b"host", b"API.example.com:8000"), (b"user-agent", b"curl/8.5"), (b"x-tenant", b"Acme")),
    response_headers=((b"X-Cache", b"hit"), (b"x-tenant", b"")),
    request_body=Body(data=b'{"card": 4}', captured=11),
    response_body=Body(data="déjà vu".encode(), captured=9),
    body=b"posted",
    error="TimeoutError",
    failure=Failure(type="TimeoutError", message="Too slow", traceback="", fingerprint=""),
    request_id="7F3a",
    trace_id="4bf92f35",
    logs=(LogLine(time=0, level="info", logger="shop", message="Asking the bank"),),
)


class Seal:
    """Says how often it was opened, and fills in what `fill` does."""

    def __init__(self, fill: Callable[[Event], None] = lambda event: None) -> None:
        self.opened = 0
        self._fill = fill

    def open(self, event: Event) -> None:
        self.opened += 1
        self._fill(event)

    def glance(self, event: Event) -> Glance:
        return event.open().glance()


def passes(text: str, event: Event = EVENT) -> bool:
    return Filter.parse(text)(event)


@pytest.mark.parametrize(
    "text",
    [
        "method:post",
        "method:PO*",
        "path:/api/*,/other",
        "path:/other,/api/Orders/7",
        "path~orders",
        'route:"/api/Orders/{id}"',
        "route:/api/*",
        "query:page=2*",
        "query~PAGE",
        "host:api.example.com:8000",
        "host~example",
        "kind:request,record",
        "kind:REQUEST",
        "error:timeouterror",
        "error:*",
        "error~timeout",
        "level:error",
        "ua:curl/*",
        "trace:4BF92F35",
        "request_id:7f3A",
        "id:7f3a",
        "body~CARD",
        "body~DÉJÀ",
        "body:posted",
        "body:*card*",
        "reqbody~card",
        "resbody:*vu",
        "log~BANK",
        'log:"asking the *"',
        "header.x-tenant:acme",
        "header.X-Tenant:*",
        "header.x-cache:hit",
        "header.x-cache~I",
        "client:10.1.2.3",
        "seq:7",
    ],
)
def test_each_field_finds_what_is_there(text: str) -> None:
    assert passes(text)
    assert not passes(f"-{text}")
    assert not passes(text, Event(time=0, kind="log", body=b"x"))


@pytest.mark.parametrize(
    "text",
    [
        "path:/api/orders/7",
        'route:"/api/orders/{id}"',
        "query:PAGE=2*",
        "body:POSTED",
        "body~absent",
        "reqbody~posted",
        "resbody~card",
        "log~timeout",
        "header.x-tenant:acm",
        "header.x-other:*",
        "kind:websocket",
        "level:info,warning",
        "request_id:7f3",
        "error:Timeout",
    ],
)
def test_no_field_finds_what_is_not_there_or_is_elsewhere(text: str) -> None:
    assert not passes(text)
    assert passes(f"-{text}")


@pytest.mark.parametrize(
    "text",
    [
        *("post", "/API/orders", "page=2", "{id}", "timeouterror", "too SLOW", "10.1.2", "card", "déjà VU", "posted"),
        *("the bank", "curl"),
    ],
)
def test_a_bare_word_is_looked_for_in_all_text_but_that_of_headers(text: str) -> None:
    assert passes(f'"{text}"') is (text != "curl")


@pytest.mark.parametrize(
    "name", ["route", "query", "host", "client", "error", "trace", "request_id", "ua", "body", "log", "header.x-a"]
)
def test_an_event_without_a_value_has_an_empty_one_and_not_any(name: str) -> None:
    event = Event(time=0)

    assert passes(f'{name}:""', event)
    assert not passes(f"{name}:*", event)
    assert not passes(f"{name}:**", event)
    assert passes(f'{name}:*,""', event)
    assert passes(f'{name}~""', event)
    assert not passes(f"{name}:a*", event)


@pytest.mark.parametrize(
    ("text", "passing"),
    [
        ("client:10.0.0.0/8", {"10.1.2.3", "::ffff:10.1.2.3"}),
        ("client:10.0.0.1/8", {"10.1.2.3", "::ffff:10.1.2.3"}),
        ("client:10.1.2.3", {"10.1.2.3", "::ffff:10.1.2.3"}),
        ("client:2001:db8::/32", {"2001:db8::1"}),
        ("client:2001:DB8:0::1", {"2001:db8::1"}),
        ("client:192.168.0.0/16,2001:db8::1", {"192.168.1.1", "2001:db8::1"}),
        ("client:10.*", {"10.1.2.3"}),
        ("client~2.3", {"10.1.2.3", "::ffff:10.1.2.3"}),
        ("client:testclient", {"testclient"}),
        ("client:TestClient", {"testclient"}),
        ("client:0.0.0.0/0", {"10.1.2.3", "::ffff:10.1.2.3", "192.168.1.1"}),
        ("client:::/0", {"2001:db8::1"}),
        ('client:""', {""}),
        ("client:a/b", {"a/b"}),
    ],
)
def test_a_client_is_an_address_or_in_a_network_or_just_text(text: str, passing: set[str]) -> None:
    clients = ("", "10.1.2.3", "::ffff:10.1.2.3", "192.168.1.1", "2001:db8::1", "testclient", "a/b")

    assert {client for client in clients if passes(text, Event(time=0, client=client))} == passing


@pytest.mark.parametrize(
    ("text", "position", "message"),
    [
        ("a sttus:5", 2, "there is no field 'sttus'; did you mean status or stub\\?.* in quotes"),
        ("http://a", 0, "there is no field 'http'.* put it in quotes"),
        ("x" * 5_000 + ":1", 0, "there is no field 'x{39}…'"),
        ("header.:a", 0, "there is no field 'header.'; did you mean header.NAME"),
        ("kind:get", 5, "'get' is no kind; there are request, websocket, log, record"),
        ("kind:log,get", 9, "'get' is no kind"),
        ("level:fatal", 6, "'fatal' is no level; there are info, warning, error"),
        ("client:10.0.0.0/33", 7, "'10.0.0.0/33' is not a network such as 10.0.0.0/8"),
        ("client:10.0.0.1,10.0.0.0/", 16, "'10.0.0.0/' is not a network"),
    ],
)
def test_what_makes_no_sense_is_said_with_its_place_and_what_would(text: str, position: int, message: str) -> None:
    with pytest.raises(FilterError, match=message) as caught:
        Filter.parse(text)

    assert caught.value.position == position


@pytest.mark.parametrize("field", [*FIELDS, HEADER], ids=lambda field: field.name)
def test_the_example_of_each_field_is_a_filter_on_it(field: Field) -> None:
    assert Filter.parse(field.example)
    assert field.example.startswith(field.name.partition("NAME")[0])
    assert field.meaning


def test_each_field_is_found_by_its_name_and_by_its_other_one() -> None:
    assert [find(field.name) for field in FIELDS] == list(FIELDS)
    assert find("id") is find("request_id")
    assert set(ALIASES.values()) <= {field.name for field in FIELDS}


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.name)
def test_a_field_that_stands_in_the_event_does_not_open_it(field: Field) -> None:
    seal = Seal()

    passes(field.example, Event(time=0, status=200, error="E", route="/", client="10.0.0.1", sealed=seal))

    assert seal.opened == (field.cost > Cost.STANDS)


def test_what_a_record_calls_route_and_error_is_compared_as_it_is_shown() -> None:
    def mask(event: Event) -> None:
        event.route, event.error = "/[masked]", "[masked]"

    def record() -> Event:
        return Event(time=0, kind="record", route="/secret", error="secret", sealed=Seal(mask))

    assert passes("error:* route:*", sealed := record())
    assert sealed.sealed is not None
    assert not passes("route~secret", record())
    assert not passes("error~secret", record())
    assert not passes("secret", record())
    assert passes("route~masked error~masked", record())


@pytest.mark.parametrize(
    ("text", "opened"),
    [
        ('body~"x" status:5xx', False),
        ('-body~"x" -(path:/a status:200) status:5xx', False),
        ('body~"x" OR status:200', False),
        ('(path:/a OR body~"x") status:5xx', False),
        ('body~"x" status:200', True),
        ("x status:200", True),
        ("level:info kind:request dur<1s time>2020-01-01 method:GET client:10.0.0.0/8 x OR status:200", False),
    ],
)
def test_an_event_is_opened_only_if_what_is_cheap_does_not_decide(text: str, opened: bool) -> None:
    seal = Seal()

    passes(text, Event(time=0, status=200, sealed=seal))

    assert bool(seal.opened) is opened


@pytest.mark.guarantees("F40", "42")
@pytest.mark.parametrize("text", ["a ", "a OR ", "-(a) ", "log~a body~b "])
def test_what_would_go_through_bodies_too_often_is_refused_with_the_place_of_the_first_too_many(text: str) -> None:
    enough = text * (MAX_SCANS // (text.count("~") or 1))

    with pytest.raises(FilterError, match=r"at most 20 terms.*quotes") as caught:
        Filter.parse(enough + "one-more")

    assert caught.value.position == len(enough)
    assert Filter.parse(enough + "status:404")


def test_an_empty_header_has_an_empty_value() -> None:
    assert passes('header.x-tenant:""')
    assert not passes('header.x-cache:""')


@pytest.mark.guarantees("F40", "42")
@pytest.mark.timeout(10)
@pytest.mark.parametrize(
    "text", ["absent", "body~absent", "body:*absent*", "a" * 4_000 + "b" + "a" * 4_000, "log~absent", "-body~posted"]
)
def test_looking_through_the_largest_bodies_and_logs_is_not_slow(text: str) -> None:
    body = Body(data="aé".encode() * 5_461, captured=16_384)
    logs = tuple(LogLine(time=0, level="info", logger="", message="é" * 8_000) for _ in range(20))
    event = Event(time=0, request_body=body, response_body=body, body=b"a" * 16_384, logs=logs)
    passes_any = Filter.parse(" OR ".join([text] * min(MAX_SCANS, 10_000 // (len(text) + 4))))

    for _ in range(5):
        assert passes_any(event) is text.startswith("-")
