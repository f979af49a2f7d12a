"""Where a value ends that stands in text: in quotes of any depth of escaping, in brackets, or bare."""

import re
from typing import Final

QUOTE: Final = rb"\\{0,64}[\"'`]|&quot;|&apos;|&#3[49];|&#x2[27];"
"""A quote, with the backslashes it has as part of a string inside a string, or as an HTML entity."""

# Whatever backslashes there are, each is looked at once.
_QUOTES: Final = {quote: re.compile(rb"(?<!\\)(\\*+)" + quote) for quote in (b'"', b"'", b"`")}
_BRACKET: Final = re.compile(rb"(?<!\\)\\*+[\"'`]|[\[\]{}]")

# A mark of punctuation belongs to the value unless it is plain that something else starts behind it.
_BARE: Final = re.compile(
    rb"(?:<(?![/!]))?+(?:[^\s\"'`&,;<>)\]}\\]++"
    rb"|[,;&](?!\s|\Z|[\"'`,;&]|[\w.\[\]%-]{1,64}+[\"']?\s{0,8}+[=:])"
    rb"|[)\]}>](?![\s,;.:&)\]}>\"'`]|\Z)"
    rb"|<(?![/!]|[A-Za-z][\w:-]{0,32}+[\s/>])"
    rb"|\\(?!\\{0,64}+[\"'`]))*+"
)


def quoted_end(data: bytes, start: int, quote: bytes) -> tuple[int, int]:
    """Return where the string that starts here stops, and where one goes on behind its quote.

    A quote with fewer backslashes than the opening one ends the string around it, and so this one too. A string
    that is not closed runs to the end.
    """
    pattern = _QUOTES.get(quote[-1:])
    if pattern is None:
        stop = data.find(quote, start)
        return (stop, stop + len(quote)) if stop >= 0 else (len(data), len(data))
    depth = len(quote) - 1
    for match in pattern.finditer(data, start):
        if _closes(len(match[1]), depth):
            return match.end() - 1 - len(match[1]) % (2 * depth + 2), match.end()
    return len(data), len(data)


def _closes(backslashes: int, depth: int) -> bool:
    """Return whether a quote behind so many backslashes ends a string whose opening quote was behind `depth`.

    The backslashes are pairs of what an escaped backslash is at this depth, and then the quote's own.
    """
    return backslashes % (2 * depth + 2) <= depth


def container_end(data: bytes, start: int) -> int:
    """Return where the object or list ends that starts here; one that is not closed runs to the end."""
    open_brackets = 0
    position = start
    while match := _BRACKET.search(data, position):
        position = match.end()
        bracket = match[0]
        if bracket in b"[{":
            open_brackets += 1
        elif bracket in b"]}":
            open_brackets -= 1
            if not open_brackets:
                return position
        else:
            position = quoted_end(data, position, bracket)[1]
    return len(data)


def bare_end(data: bytes, start: int) -> int:
    """Return where the value without quotes ends that starts here."""
    match = _BARE.match(data, start)
    return match.end() if match else start
