from collections.abc import Callable
from typing import TypeAlias

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from reqscope.bus import Event, Filter, FilterError

FAST = settings(derandomize=True, deadline=None, max_examples=100)


def passes(text: str, path: str = "/", method: str = "GET", status: int = 200) -> bool:
    return Filter.parse(text)(Event(time=0, path=path, method=method, status=status))


def place_of_error(text: str) -> int | None:
    try:
        Filter.parse(text)
    except FilterError as error:
        return error.position
    return None


@pytest.mark.parametrize("text", ["", " ", " \t\n "])
def test_the_empty_filter_passes_everything_and_is_false(text: str) -> None:
    assert passes(text, path="", method="", status=0)
    assert not Filter.parse(text)
    assert Filter.parse("x")


@pytest.mark.parametrize(
    ("text", "passing", "failing"),
    [
        ("status:404", {404}, {0, 200, 400, 405, 500}),
        ("status:4xx", {400, 404, 499}, {0, 200, 399, 500}),
        ("status:4XX", {404}, {200}),
        ("status:4xx,500", {404, 500}, {200, 501, 503}),
        ("-status:2xx", {0, 404, 500}, {200, 204}),
        ('status:"404,2xx"', {404, 200}, {400}),
    ],
)
def test_a_status_is_exact_or_a_class_or_any_of_several(text: str, passing: set[int], failing: set[int]) -> None:
    assert {status for status in passing | failing if passes(text, status=status)} == passing


def test_a_method_is_any_of_several_in_any_case() -> None:
    assert [method for method in ("GET", "POST", "PUT", "") if passes("method:post,Put", method=method)] == [
        "POST",
        "PUT",
    ]


@pytest.mark.parametrize(
    ("text", "path", "expected"),
    [
        ("orders", "/api/orders/7", True),
        ("ORDERS", "/api/Orders/7", True),
        ("orders", "/api/users", False),
        ("straße", "/STRASSE", True),
        ('"a b"', "/x a b", True),
        ('"a b"', "/x a  b", False),
        ("-orders", "/api/users", True),
        ("-orders", "/api/orders", False),
        ('-"a b"', "/a b", False),
        ('-"a b"', "/a", True),
        ("a-b", "/a-b", True),
        ("/api", "/api", True),
        (".*", "/api", False),
        ("*", "/api", False),
        ('""', "/api", True),
    ],
)
def test_a_bare_word_is_looked_for_as_it_is_wherever_it_is_in_the_path(text: str, path: str, expected: bool) -> None:
    assert passes(text, path=path) is expected


@pytest.mark.parametrize(
    ("glob", "path", "expected"),
    [
        ("/api", "/api", True),
        ("/api", "/api/", False),
        ("/api", "/API", False),
        ("/api/*", "/api/", True),
        ("/api/*", "/api/a/b", True),
        ("/api/*", "/api", False),
        ("*/edit", "/a/b/edit", True),
        ("*/edit", "/a/edit/b", False),
        ("/a*b*c", "/a-b-b-c", True),
        ("/a*b*c", "/a-c-b", False),
        ("/a.c", "/abc", False),
        ("/[a]", "/a", False),
        ("/a?", "/ab", False),
        ("*", "", True),
        ("**", "/x\ny", True),
        ("/x*y", "/x\ny", True),
    ],
)
def test_a_star_in_a_path_stands_for_anything_and_all_else_for_itself(glob: str, path: str, expected: bool) -> None:
    assert passes(f"path:{glob}", path=path) is expected
    assert passes(f'path:"{glob}"', path=path) is expected
    assert passes(f"-path:{glob}", path=path) is not expected


def glob_matches(glob: str, path: str) -> bool:
    """The meaning of a star, said in the plainest way."""
    if not glob:
        return not path
    if glob[0] == "*":
        return any(glob_matches(glob[1:], path[start:]) for start in range(len(path) + 1))
    return path[:1] == glob[0] and glob_matches(glob[1:], path[1:])


@FAST
@given(st.text("ab*", min_size=1, max_size=8), st.text("ab", max_size=8))
def test_stars_match_what_the_plain_meaning_of_stars_matches(glob: str, path: str) -> None:
    assert passes(f"path:{glob}", path=path) == glob_matches(glob, path)


# Trying the stars in combination would take longer than the sun has left; the deadline only ends the attempt.
@pytest.mark.guarantees("F40", "42")
@pytest.mark.timeout(10)
@pytest.mark.parametrize("glob", ["*a" * 30 + "*b", "*" * 200 + "b", "a" + "*aa" * 50 + "*b*"], ids=len)
def test_no_path_and_no_stars_make_matching_slow(glob: str) -> None:
    assert not passes(f"path:{glob}", path="a" * 20_000)
    assert passes(f"path:{glob}", path="a" * 20_000 + "b")


@pytest.mark.guarantees("F40", "42")
@pytest.mark.timeout(10)
@pytest.mark.parametrize("part", ["-", "a:", '""', "a.b_", " ", '-"'])
def test_no_text_makes_parsing_slow(part: str) -> None:
    text = part * 20_000
    position = place_of_error(text)

    assert position is None or 0 <= position <= len(text)


def test_an_event_has_to_pass_every_word() -> None:
    text = "method:POST status:5xx -path:/health orders"

    assert passes(text, path="/orders", method="POST", status=503)
    assert not passes(text, path="/orders", method="GET", status=503)
    assert not passes(text, path="/orders", method="POST", status=200)
    assert not passes(text, path="/users", method="POST", status=503)
    assert not passes(f"{text} -orders", path="/orders", method="POST", status=503)


@pytest.mark.parametrize(
    ("text", "position", "message"),
    [
        ("colour:red", 0, "there is no field 'colour'; there are status, method, path, .* put it in quotes"),
        ("orders -colour:red", 8, "no field"),
        ("status:abc", 7, "'abc' is not a status such as 404 or 5xx"),
        ("-status:6xx", 8, "'6xx' is not a status"),
        ("status:4xxx", 7, "'4xxx' is not a status"),
        ("status:099", 7, "'099' is not a status"),
        ('status:"4 04"', 8, "'4 04' is not a status"),
        ('"orders', 0, "this quote is not closed"),
        ('orders "a', 7, "this quote is not closed"),
        ('path:"/a', 5, "this quote is not closed"),
    ],
)
def test_what_cannot_be_read_is_said_with_its_place(text: str, position: int, message: str) -> None:
    with pytest.raises(FilterError, match=message) as caught:
        Filter.parse(text)

    assert caught.value.position == position


@pytest.mark.parametrize(("text", "position"), [("status:", 7), ("orders path:", 12), ("-method: x", 8)])
def test_a_field_without_a_value_is_an_error(text: str, position: int) -> None:
    with pytest.raises(FilterError, match="a value is missing here") as caught:
        Filter.parse(text)

    assert caught.value.position == position


@pytest.mark.parametrize(("text", "position"), [("status:404,abc", 11), ("status:404,", 11)])
def test_the_place_of_a_wrong_status_is_its_own_and_not_that_of_the_first(text: str, position: int) -> None:
    assert place_of_error(text) == position


@pytest.mark.guarantees("F40", "42")
@FAST
@given(st.text('ab:-"* .,45xsmp\t', max_size=20) | st.text(max_size=20))
def test_any_text_is_read_or_refused_with_a_place_inside_it(text: str) -> None:
    position = place_of_error(text)

    if position is None:
        assert passes(text) in (True, False)
    else:
        assert 0 <= position <= len(text)


def test_filters_of_equal_text_are_equal() -> None:
    one, same, other = (Filter.parse(text) for text in ("status:404  a", " status:404 a\n", "a status:404"))

    assert one == same
    assert hash(one) == hash(same)
    assert one.text == "status:404 a"
    assert one != other
    assert one != "status:404 a"


@pytest.mark.parametrize(("one", "other"), [('"a  b"', '"a b"'), ('path:"/a\tb"', 'path:"/a b"')])
def test_filters_that_differ_inside_quotes_are_not_equal(one: str, other: str) -> None:
    assert Filter.parse(one) != Filter.parse(other)


@FAST
@given(st.text('ab:-"* ', max_size=12))
@example('"a  b"')
def test_the_text_of_a_filter_reads_as_the_same_filter(text: str) -> None:
    assume(place_of_error(text) is None)
    events = [Event(time=0, path=path) for path in ("", "a", "a b", "a  b", "-a", 'a:b"', "*")]

    first = Filter.parse(text)
    again = Filter.parse(first.text)

    assert again == first
    assert [again(event) for event in events] == [first(event) for event in events]


Said: TypeAlias = tuple[str, Callable[[Event], bool]]
LEAVES: st.SearchStrategy[Said] = st.sampled_from(
    ["status:4xx", "method:POST", "path:/a*", "orders", "dur>1s", "body~x", "route:*", "client:10.0.0.0/8", "log~y"]
).map(lambda text: (text, lambda event: Filter.parse(text)(event)))


def negated(one: Said) -> Said:
    return f"-({one[0]})", lambda event: not one[1](event)


def both(one: Said, other: Said) -> Said:
    return f"({one[0]}) ({other[0]})", lambda event: one[1](event) and other[1](event)


def either(one: Said, other: Said) -> Said:
    return f"{one[0]} OR ({other[0]})", lambda event: one[1](event) or other[1](event)


SAID: st.SearchStrategy[Said] = st.recursive(
    LEAVES,
    lambda said: said.map(negated) | st.builds(both, said, said) | st.builds(either, said, said),
    max_leaves=8,
)
EVENTS = st.builds(
    Event,
    time=st.just(0),
    status=st.sampled_from([0, 200, 404]),
    method=st.sampled_from(["GET", "POST"]),
    path=st.sampled_from(["/a", "/orders", "/a/orders"]),
    total=st.sampled_from([None, 0.5, 2.0]),
    body=st.sampled_from([b"", b"x"]),
    route=st.sampled_from([None, "/a"]),
    client=st.sampled_from(["", "10.0.0.1"]),
)


@FAST
@given(SAID, EVENTS)
def test_groups_mean_what_they_say_in_whatever_order_they_are_asked(said: Said, event: Event) -> None:
    text, expected = said

    assert Filter.parse(text)(event) == expected(event)
    assert Filter.parse(f"-({text})")(event) != expected(event)


FIELD_PARTS = ("status", "path", "dur", "time", "client", "kind", "header.a", "body", ":", "~", ">", ">=", "<")
VALUE_PARTS = ("404", "5xx", "250ms", "1MB", "10.0.0.0/8", "::1", "2026-11-21", "T10:00:00Z", "request", "x", "é", "\0")
OTHER_PARTS = (",", "-", "(", ")", " ", "\n", " OR ", " AND ", " NOT ", '"', "\\", "*", "..")
PARTS = st.sampled_from(FIELD_PARTS + VALUE_PARTS + OTHER_PARTS)


@settings(FAST, max_examples=300)
@given(st.lists(PARTS, max_size=14).map("".join), EVENTS)
def test_any_parts_of_filters_put_together_are_refused_or_read_and_written_again(text: str, event: Event) -> None:
    position = place_of_error(text)
    if position is not None:
        assert 0 <= position <= len(text)
        return

    first = Filter.parse(text)
    again = Filter.parse(first.text)

    assert again == first
    assert again.text == first.text
    assert again(event) == first(event)
    assert not text.strip() or Filter.parse(f"-({text})")(event) != first(event)


@pytest.mark.guarantees("F40", "42")
@pytest.mark.parametrize(
    "text",
    ["(a+)+$", "%", "a" * 1_000_000, "*" * 9_000, "path:" + "*a" * 4_000, "(a|a)*" * 90, r"path:\x", "[[[", "{}"],
)
@pytest.mark.timeout(10)
def test_what_would_be_a_slow_pattern_elsewhere_is_plain_text_here_or_refused(text: str) -> None:
    position = place_of_error(text)

    assert position is None or 0 <= position <= len(text)
    if position is None:
        Filter.parse(text)(Event(time=0, path="a" * 100_000))
