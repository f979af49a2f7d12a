from collections.abc import Iterable, Iterator
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reqscope.bus import Filter
from reqscope.bus.filter_completion import MAX_COMPLETIONS, complete
from reqscope.bus.filter_fields import FIELDS
from reqscope.bus.filter_syntax import MAX_LENGTH

FAST = settings(derandomize=True, deadline=None, max_examples=100)

SEEN = {"route": ["/items", "/items/{id}", "/a b", "/a*"], "host": ["api:80"], "header": ["X-Tenant", "x-cache"]}


def seen(field: str) -> Iterable[str]:
    return SEEN.get(field, ())


def offered(marked: str) -> list[str]:
    """Return what the text could become, with the cursor where `|` stands."""
    cursor = marked.index("|")
    text = marked.replace("|", "")
    return [text[: each.start] + each.insert + text[each.end :] for each in complete(text, cursor, seen)]


@pytest.mark.parametrize(
    ("marked", "first"),
    [
        ("sta|", "status:"),
        ("STA|", "status:"),
        ("du|", "dur>"),
        ("-pa|", "-path:"),
        ("status:404 me|", "status:404 method:"),
        ("(status:404 OR me|)", "(status:404 OR method:)"),
        ("me| path:/x", "method: path:/x"),
        ("st|:404", "status:404"),
        ("bo|", "body~"),
        ("head|", "header."),
        ("header.x-t|", "header.x-tenant:"),
        ("header.x|:a", "header.x-tenant:a"),
        ("a O|", "a OR "),
        ("status:|", "status:2xx"),
        ("status:40|", "status:400"),
        ("status:40|4", "status:400"),
        ("status:404,5|", "status:404,5xx"),
        ("status:4|,5xx", "status:4xx,5xx"),
        ("kind:web|", "kind:websocket"),
        ("-level:w|", "-level:warning"),
        ("method:P|", "method:POST"),
        ("method:ost|", "method:POST"),
        ("route:|", "route:/items"),
        ("route:/items/|", "route:/items/{id}"),
        ('route:"/a|', 'route:"/a b"'),
        ('route:"/a |b" x', 'route:"/a b" x'),
        ("host:|", "host:api:80"),
        ("HOST:ap|", "HOST:api:80"),
        ("host~|", "host~api:80"),
    ],
)
def test_the_likeliest_comes_first(marked: str, first: str) -> None:
    assert offered(marked)[0] == first


@pytest.mark.parametrize("marked", ["nothing_is_called_so|", "nothing:|", "status:abc|", '"status|', "dur>1|", "\\|"])
def test_where_nothing_is_known_nothing_is_offered(marked: str) -> None:
    assert offered(marked) == []


@pytest.mark.parametrize("marked", ["|", "a |", "(|", "a OR |", "-|", "| a"])
def test_where_a_word_may_begin_all_fields_are_offered_with_what_they_mean(marked: str) -> None:
    cursor = marked.index("|")
    found = complete(marked.replace("|", ""), cursor)

    assert [each.insert.rstrip(":~>") for each in found] == [*(field.name for field in FIELDS), "header."]
    assert all(each.description for each in found)


def test_a_value_with_stars_or_spaces_is_quoted_as_it_has_to_be() -> None:
    assert offered("route:/a|") == ['route:"/a b"', r'route:"/a\*"']
    for text in offered("route:|"):
        assert Filter.parse(text)


def test_values_are_looked_at_only_as_far_as_is_worth_it() -> None:
    def endless(field: str) -> Iterator[str]:
        return map(str, count())

    assert len(complete("route:", 6, endless)) == MAX_COMPLETIONS


@FAST
@given(st.text('sat:,"\\-() *>~.OR\n', max_size=20) | st.text(max_size=20), st.integers(-2, 30))
def test_any_text_with_any_cursor_is_answered_with_places_inside_it(text: str, cursor: int) -> None:
    for each in complete(text, cursor, seen):
        assert 0 <= each.start <= each.end <= len(text)
        assert each.start <= max(0, min(cursor, len(text))) <= each.end


@pytest.mark.guarantees("F40")
@pytest.mark.timeout(10)
@pytest.mark.parametrize("part", ["(", '"', "\\", "a:", "-", "a ", '"\\', "a,", "header."])
def test_no_text_makes_completing_slow(part: str) -> None:
    text = part * 100_000

    for cursor in (0, 50, 9_999, len(text)):
        assert all(each.start <= min(cursor, MAX_LENGTH) <= each.end for each in complete(text, cursor, seen))
