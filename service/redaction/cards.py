"""Payment card numbers in text, told from other numbers by their check digit."""

import re
from typing import Final

from .masks import Edit, masking

_SHORTEST: Final = 13
_LONGEST: Final = 19
_DIGITS: Final = bytes(0x30 if i in b"0123456789" else 0x78 for i in range(256))
_UUID_OR_DIGITS: Final = re.compile(
    rb"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}|(?<!\d)(?<!\d\.)(\d(?:[ -]?\d){12,}+)"
)
_GROUP: Final = re.compile(rb"\d+")
_GOES_ON: Final = re.compile(rb"[A-Za-z_]|\.\d")
_CARD_GROUPS: Final = frozenset(
    [
        (4, 4, 4, 4),
        (4, 6, 5),
        (4, 6, 4),
        *((4, 4, 4, last) for last in (1, 2, 3)),
        *((4, 4, 4, 4, last) for last in (1, 2, 3)),
    ]
)

# A key may follow a letter if that letter is the end of an escape.
_ESCAPE_BEFORE: Final = re.compile(rb"(?:\\[bfnrt]|%[0-9A-Fa-f]{2}|\\u00[0-9A-Fa-f]{2}|\x1b\[[0-9;]{1,8}m)\Z")


def suspect(data: bytes) -> bool:
    """Return whether there are digits enough in a row."""
    if len(data) < _SHORTEST or b"0" * _SHORTEST not in data.translate(_DIGITS, b" -"):
        return False
    return any(match[1] for match in _UUID_OR_DIGITS.finditer(data))


def find(data: bytes) -> list[Edit]:
    """Return the edits that mask card numbers, in one piece or parted by single spaces or dashes."""
    edits: list[Edit] = []
    for match in _UUID_OR_DIGITS.finditer(data):
        if match[1]:
            for start, stop in _card_numbers(data, _whole_groups(data, *match.span(1))):
                edits += masking(data, start, stop)
    return edits


def begins(data: bytes, start: int) -> bool:
    """Return whether a word begins here."""
    if not data[start - 1 : start].isalnum() or start == 0:
        return True
    return _ESCAPE_BEFORE.search(data[max(0, start - 12) : start]) is not None


def _whole_groups(data: bytes, start: int, stop: int) -> list[tuple[int, int]]:
    """Return where the groups of digits are, without those at either end that belong to a longer word."""
    groups = [match.span() for match in _GROUP.finditer(data, start, stop)]
    if not begins(data, start):
        del groups[0]
    if groups and _GOES_ON.match(data, stop):
        groups.pop()
    return groups


def _card_numbers(data: bytes, groups: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return where the card numbers are in digits that single spaces or dashes part into groups."""
    if groups and _is_card(data[groups[0][0] : groups[-1][1]]):
        return [(groups[0][0], groups[-1][1])]
    sizes = [stop - start for start, stop in groups]
    found: list[tuple[int, int]] = []
    for first, (start, _) in enumerate(groups):
        if sizes[first] >= 4 and (not found or start >= found[-1][1]):
            stops = [groups[first + count - 1][1] for count in _counts(sizes[first : first + 5])]
            found += [(start, stop) for stop in stops if _is_card(data[start:stop])][:1]
    return found


def _counts(sizes: list[int]) -> list[int]:
    """Return how many of these groups could make up a card number."""
    counts = range(len(sizes), 0, -1)
    return [count for count in counts if count == 1 or tuple(sizes[:count]) in _CARD_GROUPS]


def _is_card(text: bytes) -> bool:
    digits = text.translate(None, b" -")
    if not _SHORTEST <= len(digits) <= _LONGEST or not _is_issued(digits):
        return False
    doubled = [(0, 2, 4, 6, 8, 1, 3, 5, 7, 9)[digit - 0x30] for digit in digits[-2::-2]]
    return (sum(doubled) + sum(digit - 0x30 for digit in digits[::-2])) % 10 == 0


def _is_issued(digits: bytes) -> bool:
    """Return whether cards begin so. Below 3 that is next to nothing, which leaves dates alone."""
    return digits[:1] in b"3456" or (len(digits) >= 16 and b"2200" <= digits[:4] <= b"2720")
