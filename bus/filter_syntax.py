"""Reading a filter into a tree, in one pass from left to right.

    any   = all { "OR" all }
    all   = one { [ "AND" ] one }
    one   = { "-" | "NOT" } ( "(" any ")" | term )
    term  = field operator value { "," value } | value
    value = plain | quoted

Fields are another matter, see `filter_fields.py`: here any name will do.
"""

import re
from collections.abc import Iterator
from typing import Final, Literal, NamedTuple, TypeAlias

from .filter_tree import BARE, ESCAPES, FIELD, PLAIN, And, FilterError, Node, Term, Value, conjunction, disjunction
from .filter_tree import negation as complement

MAX_LENGTH: Final = 10_000
"""Characters of a filter."""
MAX_DEPTH: Final = 32
"""Parentheses inside one another."""
MAX_VALUES: Final = 100
"""Values that are looked for, all alternatives counted. Each may have to be looked for in whole bodies."""

_SPACE: Final = re.compile(r"\s*+")
_KEYWORD: Final = re.compile(r"(?:AND|OR|NOT)(?=[\s()]|\Z)")
_QUOTED: Final = re.compile(r'"((?:[^"\\]++|\\.)*+)"', re.DOTALL)
_PIECE: Final = re.compile(r"[^\\*]++|\\.|\*", re.DOTALL)

Kind: TypeAlias = Literal["(", ")", "AND", "OR", "NOT", "term", "end"]


class _Token(NamedTuple):
    kind: Kind
    position: int
    term: Term | None = None


def read(text: str) -> Node:
    """Return the tree of a filter; an empty `And` for the empty one.

    :raises FilterError: it cannot be read, or is too long, too deep or too wide to be worth it
    """
    if len(text) > MAX_LENGTH:
        raise FilterError(f"a filter has at most {MAX_LENGTH} characters, and this one {len(text)}", MAX_LENGTH)
    return _Parser(list(_Lexer(text).tokens())).read()


class _Lexer:
    """Cuts a text into tokens."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._position = 0
        self._values = 0

    def tokens(self) -> Iterator[_Token]:
        while self._skip_space() < len(self._text):
            yield from self._next(self._position)
        yield _Token("end", len(self._text))

    def _next(self, start: int) -> Iterator[_Token]:
        if keyword := _KEYWORD.match(self._text, start):
            self._position = keyword.end()
            yield _Token(_KINDS[keyword[0]], start)
        elif (kind := _KINDS.get(self._text[start])) is not None:
            self._position += 1
            yield _Token(kind, start)
            # A minus belongs to what touches it, and a keyword that touches it is a word.
            if kind == "NOT" and self._text[start + 1 : start + 2] != "(":
                yield self._term()
        else:
            yield self._term()

    def _skip_space(self) -> int:
        space = _SPACE.match(self._text, self._position)
        self._position = space.end() if space else self._position
        return self._position

    def _term(self) -> _Token:
        start, head = self._position, FIELD.match(self._text, self._position)
        if head is None:
            term = Term("", "", (self._value(BARE, wild=False),), start)
        else:
            self._position = head.end()
            values = self._values_of(wild=head["operator"] == ":")
            term = Term(head["name"].lower(), head["operator"], values, start)
        self._end_of_word()
        return _Token("term", start, term)

    def _values_of(self, wild: bool) -> tuple[Value, ...]:
        values = [self._value(PLAIN, wild)]
        while self._text[self._position : self._position + 1] == ",":
            self._position += 1
            values.append(self._value(PLAIN, wild))
        return tuple(values)

    def _value(self, plain: re.Pattern[str], wild: bool) -> Value:
        start = self._position
        self._values += 1
        if self._values > MAX_VALUES:
            raise FilterError(f"a filter has at most {MAX_VALUES} values", start)
        if self._text[start : start + 1] == '"':
            value = self._quoted(start)
        elif word := plain.match(self._text, start):
            self._position = word.end()
            value = Value(tuple(word[0].split("*")), start)
        else:
            raise FilterError('a value is missing here; an empty one is written ""', start)
        return value if wild else Value((value.text,), value.position)

    def _quoted(self, start: int) -> Value:
        quoted = _QUOTED.match(self._text, start)
        if quoted is None:
            raise FilterError("this quote is not closed", start)
        self._position = quoted.end()
        pieces: list[list[str]] = [[]]
        for piece in _PIECE.finditer(self._text, *quoted.span(1)):
            if piece[0] == "*":
                pieces.append([])
            else:
                pieces[-1].append(_unescaped(piece))
        return Value(tuple(map("".join, pieces)), start + 1)

    def _end_of_word(self) -> None:
        following = self._text[self._position : self._position + 1]
        if following and following != ")" and not following.isspace():
            raise FilterError(f"put a space in front of this {following}, or quotes round all of it", self._position)


_KINDS: Final[dict[str, Kind]] = {"(": "(", ")": ")", "-": "NOT", "AND": "AND", "OR": "OR", "NOT": "NOT"}


def _unescaped(piece: re.Match[str]) -> str:
    if piece[0][0] != "\\":
        return piece[0]
    if piece[0][1] not in ESCAPES:
        raise FilterError(
            r'after a backslash comes one of " \ * n r t; write \\ for the backslash itself', piece.start()
        )
    return ESCAPES[piece[0][1]]


class _Parser:
    """Puts tokens together. It calls itself for each parenthesis, so these are limited."""

    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._next = 0
        self._depth = 0

    def read(self) -> Node:
        if self._kind == "end":
            return And(())
        node = self._any()
        if self._kind == ")":
            raise FilterError("this parenthesis was not opened", self._tokens[self._next].position)
        return node

    @property
    def _kind(self) -> Kind:
        return self._tokens[self._next].kind

    def _take(self, kind: Kind) -> bool:
        taken = self._kind == kind
        self._next += taken
        return taken

    def _any(self) -> Node:
        nodes = [self._all()]
        while self._take("OR"):
            nodes.append(self._all())
        return disjunction(nodes)

    def _all(self) -> Node:
        nodes = [self._one()]
        while self._take("AND") or self._kind in ("term", "NOT", "("):
            nodes.append(self._one())
        return conjunction(nodes)

    def _one(self) -> Node:
        negated = False
        while self._take("NOT"):
            negated = not negated
        token = self._tokens[self._next]
        if token.kind == "(":
            node = self._group(token.position)
        elif token.term is not None:
            self._next += 1
            node = token.term
        else:
            raise self._missing(token)
        return complement(node) if negated else node

    def _group(self, opened: int) -> Node:
        if self._depth == MAX_DEPTH:
            raise FilterError(f"parentheses go at most {MAX_DEPTH} deep", opened)
        self._depth += 1
        self._next += 1
        node = self._any()
        if not self._take(")"):
            raise FilterError("this parenthesis is not closed", opened)
        self._depth -= 1
        return node

    def _missing(self, token: _Token) -> FilterError:
        before = self._tokens[self._next - 1] if self._next else None
        if before is not None and before.kind == "(" and token.kind == "end":
            return FilterError("this parenthesis is not closed", before.position)
        if before is None:
            where = f"in front of this {token.kind}"
        elif before.kind == "(":
            where = "in these parentheses" if token.kind == ")" else f"in front of this {token.kind}"
        else:
            where = f"behind {before.kind}"
        return FilterError(f"something to look for is missing {where}", token.position)
