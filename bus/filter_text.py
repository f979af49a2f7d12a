"""Comparing text: equal, like a pattern with stars, or somewhere inside.

No regular expression is ever made: one with many stars takes for ever on the wrong text, and both come from outside.
"""

from collections.abc import Callable, Sequence
from typing import TypeAlias

from .filter_tree import Value

Test: TypeAlias = Callable[[str], bool]


def equals(values: Sequence[Value], *, fold: bool) -> Test:
    """Return whether a text is one of `values`, in which stars stand for anything.

    :param fold: in any case
    """
    alternatives = [tuple(map(str.casefold, value.pieces)) if fold else value.pieces for value in values]
    exact = frozenset(pieces[0] for pieces in alternatives if len(pieces) == 1)
    tests = [glob(pieces) for pieces in alternatives if len(pieces) > 1]
    if exact:
        tests.insert(0, exact.__contains__)
    test = tests[0] if len(tests) == 1 else _either(tests)
    return (lambda text: test(text.casefold())) if fold else test


def contains(values: Sequence[Value]) -> Test:
    """Return whether any of `values` is somewhere in a text, in any case."""
    needles = [value.text.casefold() for value in values]
    if len(needles) == 1:
        needle = needles[0]
        return lambda text: needle in text.casefold()

    def test(text: str) -> bool:
        text = text.casefold()
        return any(needle in text for needle in needles)

    return test


def glob(pieces: Sequence[str]) -> Test:
    """Return whether a text is made of `pieces`, in order, with anything between any two of them."""
    first, *middle, last = pieces
    if not middle and not last:
        return lambda text: text.startswith(first)

    def matches(text: str) -> bool:
        start, end = len(first), len(text) - len(last)
        if start > end or not text.startswith(first) or not text.endswith(last):
            return False
        for piece in middle:
            start = text.find(piece, start, end)
            if start < 0:
                return False
            start += len(piece)
        return True

    return matches


def _either(tests: Sequence[Test]) -> Test:
    return lambda text: any(test(text) for test in tests)
