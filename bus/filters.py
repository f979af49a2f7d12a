"""Which events a view shows.

A filter is terms, and an event passes if all of them do:

    status:5xx    dur>250ms    method:POST,PUT    path:/api/*    client:10.0.0.0/8    body~"out of stock"    orders

A bare word is looked for in everything that is text, in any case. `OR` and parentheses do what they say, and a minus
sign in front turns a term or a group round. `filter_syntax.py` has the grammar, `filter_fields.py` the fields.
"""

from collections.abc import Iterator, Sequence
from typing import Final, Self

from .event import Event
from .filter_fields import bare, find
from .filter_kinds import Cost, Predicate
from .filter_syntax import read
from .filter_tree import And, FilterError, Node, Not, Or, Term, Value, write

__all__ = ["Filter", "FilterError", "term"]

MAX_SCANS: Final = 20
"""Terms that go through bodies or log lines, which may be megabytes for each."""


class Filter:
    """A parsed filter, callable with an event. Filters of equal text are equal, so that views can share work.

    Terms are asked in order of what they cost: an event is opened only when those that need not open it do not decide.

    :ivar text: the filter with the spaces, quotes and parentheses that it needs, and no more
    :ivar passes: what calling the filter does, for loops that want to save a call
    """

    def __init__(self, node: Node) -> None:
        _check_scans(node)
        self.text = write(node)
        self.passes, _ = _predicate(node)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a filter; the empty one passes everything.

        :raises FilterError: with the position of what is wrong; nothing else, whatever the text
        """
        return cls(read(text))

    def __call__(self, event: Event) -> bool:
        return self.passes(event)

    def __bool__(self) -> bool:
        """Whether there is anything to filter by."""
        return bool(self.text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Filter) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)


def term(field: str, value: str) -> str:
    """Return the term that events pass whose `field` is `value`, in which no star stands for anything.

    A number may be written as the API shows it, or as in a filter. Without a field, what has `value` anywhere passes.
    Fields that compare in any case do so here, and a client that is written as a network is taken for one.

    :raises FilterError: there is no such field, or it cannot have that value
    """
    name = field.lower()
    written = find(name).written(value) if name else value
    return Filter.parse(write(Term(name, ":" if name else "", (Value((written,)),)))).text


def _check_scans(node: Node) -> None:
    scans = [term for term in _terms(node) if _cost(term) is Cost.SCANS]
    if len(scans) > MAX_SCANS:
        message = (
            f"at most {MAX_SCANS} terms go through bodies and log lines; quotes make one of words that stand together"
        )
        raise FilterError(message, scans[MAX_SCANS].position)


def _terms(node: Node) -> Iterator[Term]:
    match node:
        case Term():
            yield node
        case Not():
            yield from _terms(node.node)
        case And() | Or():
            for part in node.nodes:
                yield from _terms(part)


def _cost(node: Term) -> Cost:
    return find(node.field, node.position).cost if node.field else Cost.SCANS


def _predicate(node: Node) -> tuple[Predicate, Cost]:
    match node:
        case Term():
            return _term(node), _cost(node)
        case Not():
            predicate, cost = _predicate(node.node)
            return (lambda event: not predicate(event)), cost
        case And():
            predicates, cost = _cheapest_first(node.nodes)
            return _all(predicates), cost
        case Or():
            predicates, cost = _cheapest_first(node.nodes)
            return _any(predicates), cost


def _term(node: Term) -> Predicate:
    return find(node.field, node.position).predicate(node) if node.field else bare(node)


def _cheapest_first(nodes: Sequence[Node]) -> tuple[list[Predicate], Cost]:
    costed = sorted(map(_predicate, nodes), key=lambda each: each[1])
    return [predicate for predicate, _ in costed], max((cost for _, cost in costed), default=Cost.STANDS)


def _all(predicates: list[Predicate]) -> Predicate:
    def passes(event: Event) -> bool:
        for predicate in predicates:  # noqa: SIM110 - a generator would cost as much as a predicate
            if not predicate(event):
                return False
        return True

    return passes


def _any(predicates: list[Predicate]) -> Predicate:
    def passes(event: Event) -> bool:
        for predicate in predicates:  # noqa: SIM110 - as above
            if predicate(event):
                return True
        return False

    return passes
