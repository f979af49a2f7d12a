import json
from datetime import UTC, datetime

import pytest

from reqscope.bus import Event, RingBuffer, refusedfields
from reqscope.bus.event import Body, Glance
from reqscope.bus.refusedfields import refused_fields


def answered(detail: object, *, route: str | None = "/orders", status: int = 422, time: int = 0) -> Event:
    body = Body(data=json.dumps({"detail": detail}).encode(), captured=1)
    return Event(time=time, method="POST", route=route, status=status, response_body=body)


def problem(*place: str | int, kind: str = "missing", message: str = "Field required") -> dict[str, object]:
    return {"type": kind, "loc": place, "msg": message, "input": {"price": 5}}


def filled(*events: Event, capacity: int = 10_000) -> RingBuffer:
    ring = RingBuffer(capacity)
    ring.extend(events)
    return ring


def test_what_most_answers_name_comes_first_with_its_latest_request() -> None:
    ring = filled(
        answered([problem("body", "price"), problem("query", "page")], time=1_000_000_000),
        answered([problem("body", "amount", kind="int_parsing", message="Not an integer")]),
        answered([problem("body", "price", message="Needed")], time=2_000_000_000),
    )

    found = refused_fields(ring, "boot")

    assert (found.answers, found.unnamed) == (3, 0)
    first = found.fields[0]
    assert (first.method, first.route, first.field, first.reason, first.message) == (
        "POST",
        "/orders",
        "body.price",
        "missing",
        "Needed",
    )
    assert (first.count, first.last, first.id) == (2, datetime.fromtimestamp(2, UTC), "boot-3")
    assert [(each.field, each.count) for each in found.fields[1:]] == [("query.page", 1), ("body.amount", 1)]


def test_a_field_of_another_route_or_refused_for_another_reason_is_another_one() -> None:
    ring = filled(
        answered([problem("body", "price")]),
        answered([problem("body", "price")], route="/offers"),
        answered([problem("body", "price", kind="int_parsing")]),
        answered([problem("body", "price")], route=None),
    )

    found = refused_fields(ring, "boot")

    assert {(each.route, each.reason) for each in found.fields} == {
        ("/orders", "missing"),
        ("/offers", "missing"),
        ("/orders", "int_parsing"),
        (None, "missing"),
    }


@pytest.mark.parametrize(
    ("found", "name"),
    [
        (problem("body", "items", 3, "price"), "body.items[].price"),
        (problem("body", 0, 1), "body[][]"),
        (problem("body"), "body"),
        (problem("body", 17, kind="json_invalid"), "body"),
        (problem(), "(all of it)"),
        (problem("body", "x" * 500), "body." + "x" * 195),
    ],
)
def test_a_field_is_named_by_its_place_whatever_the_number_in_a_list(found: dict[str, object], name: str) -> None:
    assert [each.field for each in refused_fields(filled(answered([found])), "boot").fields] == [name]


def test_an_answer_that_names_a_field_twice_counts_once() -> None:
    ring = filled(answered([problem("body", 0, "price"), problem("body", 1, "price")]))

    assert [each.count for each in refused_fields(ring, "boot").fields] == [1]


@pytest.mark.parametrize(
    "event",
    [
        Event(time=0, status=422),
        answered("wrong"),
        answered(["wrong"]),
        answered([{"loc": "body", "msg": "wrong"}]),
        answered([{"loc": [["body"]]}]),
        answered([]),
        Event(time=0, status=422, response_body=Body(data=b'{"detail":[{"loc":["body"', captured=1, complete=False)),
        Event(time=0, status=422, response_body=Body(data=b"[" * 100_000, captured=1)),
        Event(time=0, status=422, response_body=Body(data=b'{"detail":[{"loc":["\xff"]}]}', captured=1)),
        Event(time=0, status=422, response_body=Body(data=b"", captured=1, withheld="it could not be made safe")),
    ],
)
def test_an_answer_that_names_no_field_is_counted(event: Event) -> None:
    found = refused_fields(filled(event, answered([problem("body")])), "boot")

    assert ([each.field for each in found.fields], found.answers, found.unnamed) == (["body"], 2, 1)


def test_other_answers_stay_sealed_and_are_not_looked_at() -> None:
    class Never:
        def open(self, event: Event) -> None:
            raise AssertionError("it was opened")

        def glance(self, event: Event) -> Glance:
            raise AssertionError("it was looked at")

    others = [answered([problem("body")], status=status) for status in (200, 400, 500)]
    for event in others:
        event.sealed = Never()

    assert refused_fields(filled(*others), "boot").answers == 0


def test_answers_are_opened_for_a_moment_and_the_next_look_goes_further_back(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0

    class Slow:
        def open(self, event: Event) -> None:
            nonlocal now
            now += 0.002

        def glance(self, event: Event) -> Glance:
            raise AssertionError("it was looked at")

    monkeypatch.setattr(refusedfields, "perf_counter", lambda: now)
    ring = filled(*[answered([problem("body", str(number))]) for number in range(10)])
    for event in ring.since(0, sealed=True).events:
        event.sealed = Slow()

    looks = [refused_fields(ring, "boot") for _ in range(5)]

    assert [look.answers for look in looks] == [3, 6, 9, 10, 10]
    assert {each.field for each in looks[0].fields} == {"body.7", "body.8", "body.9"}


def test_the_latest_five_hundred_are_looked_at() -> None:
    ring = filled(
        *[answered([problem("body", "old")]) for _ in range(10)],
        *[answered([problem("body", "new")]) for _ in range(500)],
    )

    found = refused_fields(ring, "boot")

    assert ([(each.field, each.count) for each in found.fields], found.answers) == ([("body.new", 500)], 500)
