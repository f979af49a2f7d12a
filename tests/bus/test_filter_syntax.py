import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from reqscope.bus import FilterError
from reqscope.bus.filter_syntax import MAX_DEPTH, MAX_LENGTH, MAX_VALUES, read
from reqscope.bus.filter_tree import (
    KEYWORDS,
    And,
    Node,
    Not,
    Or,
    Term,
    Value,
    conjunction,
    disjunction,
    negation,
    write,
)

FAST = settings(derandomize=True, deadline=None, max_examples=100)

TEXT = st.text('ab*?"\\-,.:<>=~() \n\té', max_size=6) | st.sampled_from([*KEYWORDS, "status:404", "-", "a*b"])


def word(text: str) -> Term:
    return Term("", "", (Value((text,)),))


def values(operator: str) -> st.SearchStrategy[Value]:
    pieces = st.lists(TEXT, min_size=1, max_size=3 if operator == ":" else 1)
    return st.builds(Value, pieces.map(tuple))


def fields(operator: str) -> st.SearchStrategy[Term]:
    names = st.sampled_from(["status", "path", "header.x-tenant", "no_such"])
    return st.builds(Term, names, st.just(operator), st.lists(values(operator), min_size=1, max_size=3).map(tuple))


TERMS = st.sampled_from([":", "~", ">", "<", ">=", "<="]).flatmap(fields) | TEXT.map(word)
NODES: st.SearchStrategy[Node] = st.recursive(
    TERMS,
    lambda nodes: (
        nodes.map(negation)
        | st.lists(nodes, min_size=2, max_size=3).map(conjunction)
        | st.lists(nodes, min_size=2, max_size=3).map(disjunction)
    ),
    max_leaves=8,
)


@FAST
@given(NODES)
@example(And(()))
@example(Not(word("-a")))
@example(Not(word("OR")))
@example(Term("path", ":", (Value(("a*b", "")),)))
@example(Term("path", ">", (Value(("=5",)),)))
def test_a_tree_that_is_written_reads_as_the_same_tree(node: Node) -> None:
    assert read(write(node)) == node


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("a b", "a  AND\tb"),
        ("a b OR c", "(a b) OR c"),
        ("a (b OR c)", "a AND (b OR c)"),
        ("a b c", "a (b c)"),
        ("a OR b OR c", "a OR (b OR (c))"),
        ("-a", "NOT a"),
        ("a", "NOT NOT a"),
        ("a", "NOT -a"),
        ("-(a b)", "NOT (a b)"),
        ("a -(b OR c)", "a NOT (b OR c)"),
        ("(a)(b)", "a b"),
        ("(a+)+$", "a+ +$"),
        ("status:404", "Status:404"),
        ("path:/a", 'path:"/a"'),
        ("a", '"a"'),
        ('"a*b"', r'"a\*b"'),
        ('path~"a*b"', r'path~"a\*b"'),
        ("a,b", '"a,b"'),
        (r"\new", r'"\\new"'),
    ],
)
def test_what_means_the_same_reads_as_the_same_tree_and_is_written_in_the_same_way(text: str, same: str) -> None:
    assert read(text) == read(same)
    assert write(read(text)) == write(read(same))


@pytest.mark.parametrize(
    ("text", "other"),
    [
        ("a b OR c", "a (b OR c)"),
        ("-a b", "-(a b)"),
        ("-a", '"-a"'),
        ("--a", "a"),
        ("-OR", "OR-"),
        ('a "OR" b', "a OR b"),
        ("a or b", "a OR b"),
        ('"status:404"', "status:404"),
        ("path:a*b", r'path:"a\*b"'),
        ("path:a,b", 'path:"a,b"'),
        (r"path:a\n", r'path:"a\n"'),
    ],
)
def test_what_means_something_else_reads_as_another_tree(text: str, other: str) -> None:
    assert read(text) != read(other)
    assert write(read(text)) != write(read(other))


def test_what_is_in_quotes_may_hold_anything() -> None:
    assert read(r'"a \"b\" \\ (c) OR, \n\r\té"') == word('a "b" \\ (c) OR, \n\r\té')


@pytest.mark.guarantees("F40", "42")
@pytest.mark.parametrize(
    ("text", "position", "message"),
    [
        ("a )", 2, "this parenthesis was not opened"),
        (")", 0, "missing in front of this \\)"),
        ("a (b OR (c)", 2, "this parenthesis is not closed"),
        ("(", 0, "this parenthesis is not closed"),
        ("a ()", 3, "missing in these parentheses"),
        ("OR a", 0, "missing in front of this OR"),
        ("(OR a)", 1, "missing in front of this OR"),
        ("a OR", 4, "missing behind OR"),
        ("a OR OR b", 5, "missing behind OR"),
        ("a AND ", 6, "missing behind AND"),
        ("a (NOT)", 6, "missing behind NOT"),
        ("- a", 1, "a value is missing here"),
        ("path:a,", 7, 'a value is missing here; an empty one is written ""'),
        ("path:a,,b", 7, "a value is missing here"),
        ("dur>", 4, "a value is missing here"),
        ("path:/a(b)", 7, "put a space in front of this \\(, or quotes round all of it"),
        ('a"b"', 1, 'put a space in front of this "'),
        ('"a"b', 3, "put a space in front of this b"),
        ('"a",b', 3, "put a space in front of this ,"),
        (r'path:"\d+"', 6, r"after a backslash comes one of"),
        (r'"a\"', 0, "this quote is not closed"),
    ],
)
def test_what_cannot_be_read_is_said_with_its_place(text: str, position: int, message: str) -> None:
    with pytest.raises(FilterError, match=message) as caught:
        read(text)

    assert caught.value.position == position


@pytest.mark.guarantees("F40", "42")
@pytest.mark.timeout(10)
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a" * 1_000_000, "at most 10000 characters, and this one 1000000"),
        ("(" * 5_000, "at most 32 deep"),
        ("-(" * 5_000, "at most 32 deep"),
        ("a " * 5_000, "at most 100 values"),
        ("path:" + "a," * 4_000, "at most 100 values"),
        ("(" * 5_000 + "a" + ")" * 4_000, "at most 32 deep"),
        ('"' + "\\" * 9_001, "not closed"),
    ],
)
def test_what_would_be_too_much_is_refused_at_once(text: str, message: str) -> None:
    with pytest.raises(FilterError, match=message) as caught:
        read(text)

    assert 0 <= caught.value.position <= len(text)


@pytest.mark.timeout(10)
@pytest.mark.parametrize(
    "text",
    [
        "a" * MAX_LENGTH,
        "(" * MAX_DEPTH + "a" + ")" * MAX_DEPTH,
        "NOT " * 2_400 + "a",
        " ".join("a" * MAX_VALUES),
        "path:" + ",".join("a" * MAX_VALUES),
        "path:" + "*" * 9_000,
        '"' + r"\*" * 4_000 + '"',
    ],
)
def test_what_is_just_not_too_much_is_read(text: str) -> None:
    assert read(write(read(text))) == read(text)


def test_an_or_in_an_and_and_an_and_in_an_or_stay_what_they_are() -> None:
    a, b, c = map(word, "abc")

    assert read("a (b OR c)") == And((a, Or((b, c))))
    assert read("a OR b c") == Or((a, And((b, c))))
