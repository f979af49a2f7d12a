"""What a filter says, as a tree, and how a tree is written.

Positions are where in a text something stood. They are for error messages, and take no part in comparisons.
"""

import dataclasses
import re
from dataclasses import dataclass
from typing import Final, TypeAlias

KEYWORDS: Final = ("AND", "OR", "NOT")
FIELD: Final = re.compile(r"(?P<name>[A-Za-z_][A-Za-z0-9_.-]*+)(?P<operator>[<>]=?|[:~])")
BARE: Final = re.compile(r'[^\s"()]++')
"""A word without a field. A comma is part of it."""
PLAIN: Final = re.compile(r'[^\s"(),]++')
"""A value that needs no quotes."""
ESCAPES: Final = {'"': '"', "\\": "\\", "*": "*", "n": "\n", "r": "\r", "t": "\t"}
"""What a character means behind a backslash, in quotes."""

_ESCAPED: Final = str.maketrans({meant: f"\\{written}" for written, meant in ESCAPES.items() if meant != "*"})


class FilterError(ValueError):
    """A filter that cannot be read.

    :ivar position: where in the text it goes wrong, counted from 0
    """

    def __init__(self, message: str, position: int) -> None:
        super().__init__(message)
        self.position = position


@dataclass(frozen=True, slots=True)
class Value:
    """One of the alternatives of a term: pieces of text, with something that stands for anything between any two."""

    pieces: tuple[str, ...]
    position: int = dataclasses.field(default=0, compare=False)

    @property
    def text(self) -> str:
        """The value as one text, in which what stands for anything is a star."""
        return "*".join(self.pieces)

    @property
    def is_anything(self) -> bool:
        return len(self.pieces) > 1 and not any(self.pieces)


@dataclass(frozen=True, slots=True)
class Term:
    """A field, an operator and alternatives. A bare word has neither field nor operator, and one alternative."""

    field: str
    operator: str
    values: tuple[Value, ...]
    position: int = dataclasses.field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Not:
    node: "Term | And | Or"


@dataclass(frozen=True, slots=True)
class And:
    """Two or more, none of them an `And` itself; or none, which every event passes."""

    nodes: "tuple[Term | Not | Or, ...]"


@dataclass(frozen=True, slots=True)
class Or:
    """Two or more, none of them an `Or` itself."""

    nodes: "tuple[Term | Not | And, ...]"


Node: TypeAlias = Term | Not | And | Or


def negation(node: Node) -> Node:
    """Return the complement of `node`; that of a complement is what it was made of."""
    return node.node if isinstance(node, Not) else Not(node)


def conjunction(nodes: list[Node]) -> Node:
    """Return what holds where all of `nodes` do. Ands in it are merged."""
    flat = [part for node in nodes for part in (node.nodes if isinstance(node, And) else (node,))]
    return flat[0] if len(flat) == 1 else And(tuple(flat))


def disjunction(nodes: list[Node]) -> Node:
    """Return what holds where any of `nodes` does. Ors in it are merged."""
    flat = [part for node in nodes for part in (node.nodes if isinstance(node, Or) else (node,))]
    return flat[0] if len(flat) == 1 else Or(tuple(flat))


def write(node: Node) -> str:
    """Return the text of a tree. Read again, it is the same tree."""
    if isinstance(node, Term):
        return _term(node)
    if isinstance(node, Not):
        return f"-{_grouped(node.node, And, Or)}"
    if isinstance(node, And):
        return " ".join(_grouped(part, Or) for part in node.nodes)
    return " OR ".join(map(write, node.nodes))


def write_value(value: Value, operator: str) -> str:
    """Return a value as it stands behind `operator`, in quotes where it needs them."""
    text, wild = value.text, operator == ":"
    star = wild and any("*" in piece for piece in value.pieces)
    if PLAIN.fullmatch(text) and not star and not (operator in ("<", ">") and text[0] == "="):
        return text
    return f'"{"*".join(_escape(piece, wild) for piece in value.pieces)}"'


def _grouped(node: Node, *kinds: type[Node]) -> str:
    return f"({write(node)})" if isinstance(node, kinds) else write(node)


def _term(term: Term) -> str:
    if term.field:
        return term.field + term.operator + ",".join(write_value(value, term.operator) for value in term.values)
    word = term.values[0].text
    if BARE.fullmatch(word) and word not in KEYWORDS and word[0] != "-" and not FIELD.match(word):
        return word
    return f'"{_escape(word, False)}"'


def _escape(piece: str, wild: bool) -> str:
    piece = piece.translate(_ESCAPED)
    return piece.replace("*", r"\*") if wild else piece
