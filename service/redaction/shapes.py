"""Finds secrets in text whose shape shows only when one looks: JSON, a form, a URL, a log line, or one in another."""

import re
from typing import Final

from . import beside, free_text, json_text, looks
from .escapes import percent_encoded, without_percent
from .masks import Edit, masking
from .names import Names
from .plain import plain_looks

_JSON: Final = re.compile(rb"(?:\xef\xbb\xbf)?\s*+[\[{\"]")
_SEPARATOR: Final = re.compile(rb"[=:<(]")  # without any there is nothing that could be a name and its value
_INNER: Final = re.compile(rb"[=:<(%\\]")
_CUT_PERCENT: Final = re.compile(rb"%[0-9a-fA-F]?\Z")
_MATRIX: Final = re.compile(rb";([^/;=]*+)=([^/;]*+)")
_DEEPEST: Final = 8  # texts inside texts; a string this deep in JSON strings has 255 backslashes before each quote


class Shapes:
    """Finds what a text holds that must be masked, by name and by pattern, and in the texts inside it.

    :param patterns: whether to go by patterns as well
    """

    def __init__(self, names: Names, *, patterns: bool) -> None:
        self._names = names
        self._hints = names.hints
        self._patterns = patterns

    def text(self, data: bytes, cut: bool = False, depth: int = 0) -> list[Edit]:
        """Return the edits for a text of any shape.

        :param cut: whether its end is missing
        :param depth: how many texts it is inside of
        """
        edits: list[Edit] = []
        nested = depth < _DEEPEST
        if nested and _JSON.match(data):
            edits, sure = self._json(data, cut, depth)
            if sure:
                return edits
        if _SEPARATOR.search(data) and self._hints.suspect(data):
            edits += free_text.find(data, self._names)
        if self._patterns and (cut or not plain_looks(data)):
            edits += looks.find(data, cut=cut)
        if nested and percent_encoded(data):
            unescaped = without_percent(data)
            edits += unescaped.back(self.text(unescaped.text, cut, depth + 1))
        return edits

    def form(self, data: bytes, cut: bool = False) -> list[Edit]:
        """Return the edits for a query string or a form."""
        edits = looks.find(data, cut=cut) if self._patterns and (cut or not plain_looks(data)) else []
        start = 0
        for pair in data.split(b"&"):
            name, equals, value = pair.partition(b"=")
            stop = start + len(pair)
            if not equals:
                edits += self._encoded(name, start, cut and stop == len(data))
            elif self._names[name]:
                edits += masking(data, stop - len(value), stop, without_percent(value, plus=True).text)
            elif not value.isalnum():
                edits += self._encoded(value, stop - len(value), cut and stop == len(data))
            start = stop + 1
        return edits

    def path(self, data: bytes) -> list[Edit]:
        """Return the edits for a path, in which `;` comes before a parameter."""
        edits = looks.find(data) if self._patterns else []
        if data.find(b";") >= 0:
            for match in _MATRIX.finditer(data):
                if self._names[match[1]]:
                    edits += masking(data, *match.span(2))
        return edits

    def _json(self, data: bytes, cut: bool, depth: int) -> tuple[list[Edit], bool]:
        """Return the edits for what may be JSON, and whether it is.

        It is not read token by token unless there is reason to. Most JSON has no secrets, and little in it looks as
        if it had.
        """
        patterns = cut or (self._patterns and looks.suspect(data))
        escapes = data.find(b"\\") >= 0 and (b"\\u00" in data or b"\\/" in data)
        if not (patterns or escapes or self._hints.suspect(data) or percent_encoded(data)):
            return [], True

        def inner(content: bytes, cut: bool) -> list[Edit]:
            worth = patterns or escapes or cut or _INNER.search(content)
            return self.text(content, cut, depth + 1) if worth else []

        edits, sure = json_text.find(data, self._names, inner, cut=cut)
        return [*edits, *beside.find(data, self._names)], sure

    def _encoded(self, value: bytes, start: int, cut: bool) -> list[Edit]:
        """Return the edits for what a value says. What it looks like has been seen to, unless it is encoded."""
        if cut:
            value = _CUT_PERCENT.sub(b"", value)
        if value.find(b"%") >= 0 or value.find(b"+") >= 0:
            unescaped = without_percent(value, plus=True)
            found = unescaped.back(self.text(unescaped.text, cut, 1))
        elif _SEPARATOR.search(value):
            found = self.text(value, cut, 1)
        else:
            return []
        return [(start + first, start + last, new) for first, last, new in found]
