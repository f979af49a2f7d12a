"""Secrets that are known by their looks, whatever they are called: tokens, keys, credentials and card numbers."""

import re
from binascii import a2b_base64
from collections.abc import Callable
from typing import Final

from .redaction_masks import Edit, masking

_RUN: Final = 16  # no key below is recognised by fewer letters, digits, dashes and underscores in a row
_LETTERS: Final = bytes(0x78 if (chr(i).isalnum() and i < 128) or i in b"_-" else 0x20 for i in range(256))
_DIGITS: Final = bytes(0x30 if i in b"0123456789" else 0x78 for i in range(256))
_SHORTEST: Final = 8  # of all: `Bearer x`
_SHORTEST_CARD: Final = 13
_LONGEST_CARD: Final = 19

# What a key starts with, and the rest. The start is searched for as plain bytes, so that text without any costs little.
# Behind its shortest length no pattern may fail, or a text of nothing but starts would be read over and over. What else
# must hold is a group named `need`, which matches if it can.
_KEYS: Final = tuple(
    (start, re.compile(re.escape(start) + rest))
    for start, rest in (
        (b"eyJ", rb"[\w-]{8,}+(?P<need>(?:\.[\w-]*+){1,4}+)?+"),
        *((start, rb"[\w-]{8,}+(?:\.[\w-]*+)*+") for start in (b"eyJhbGci", b"eyJ0eXAi", b"eyJraWQi", b"eyJlbmMi")),
        *((start, rb"[0-9A-Z]{12,24}+(?![0-9A-Za-z])") for start in (b"AKIA", b"ASIA")),
        (b"AIza", rb"[\w-]{20,}+"),
        (b"ya29.", rb"[\w.-]{16,}+"),
        (b"GOCSPX-", rb"[\w-]{12,}+"),
        *((b"gh%c_" % kind, rb"\w{12,}+") for kind in b"pousr"),
        (b"github_pat_", rb"\w{10,}+"),
        *((b"gl%s-" % kind, rb"[\w.-]{12,}+") for kind in (b"pat", b"dt", b"rt", b"ptt", b"cbt", b"soat", b"ft")),
        *((b"xox%c-" % kind, rb"[\w-]{11,}+") for kind in b"abeoprs"),
        (b"xapp-", rb"[\w-]{12,}+"),
        *((b"%ck_%s_" % (kind, mode), rb"\w{10,}+") for kind in b"sr" for mode in (b"live", b"test")),
        (b"whsec_", rb"[\w+/=]{12,}+"),
        (b"sk-", rb"(?=[\w-]{20})[A-Za-z_-]*+(?P<need>\d)?+[\w-]*+"),
        (b"SG.", rb"[\w-]{16,}+(?:\.[\w-]*+)?+"),
        (b"npm_", rb"[0-9A-Za-z]{20,}+"),
        (b"pypi-", rb"(?=[\w-]{20})[a-z_-]*+(?P<need>[A-Z])?+[\w-]*+"),
        (b"SK", rb"[0-9a-f]{32}(?![0-9A-Za-z])"),
        (b"hf_", rb"[0-9A-Za-z]{20,}+"),
        *((start, rb"[\w-]{16,}+") for start in (b"hvs.", b"hvb.", b"lin_api_", b"glsa_", b"NRAK-", b"sbp_", b"gsk_")),
        *((b"do%c_v1_" % kind, rb"[0-9a-f]{12,}+") for kind in b"por"),
        *((b"shp%s_" % kind, rb"[0-9a-fA-F]{12,}+") for kind in (b"at", b"ca", b"pa", b"ss")),
        (b"sq0", rb"(?:atp|csp)-[\w-]{12,}+"),
        (b"dapi", rb"[0-9a-f]{32}(?![0-9A-Za-z])"),
        (b"key-", rb"[0-9a-f]{32}(?![0-9A-Za-z])"),
        (b"ATATT3", rb"[\w=-]{12,}+"),
        (b"PMAK-", rb"[0-9a-f-]{20,}+"),
        (b"AGE-SECRET-KEY-", rb"[0-9A-Z]{6,}+"),
    )
)
# The secret is what comes after a marker.
_MARKED: Final = (
    (b"AccountKey=", re.compile(rb"AccountKey=([\w+/=%-]++)")),
    (b"SharedAccessKey=", re.compile(rb"SharedAccessKey=([\w+/=%-]++)")),
    (b"hooks.slack.com/", re.compile(rb"hooks\.slack\.com/(?:services|workflows)/([\w/]++)")),
    (b":AA", re.compile(rb"(?<!\d)(\d{8,10}:AA[\w-]{30,}+)")),
)
_STARTS: Final = tuple({start for start, _ in (*_KEYS, *_MARKED)})
_CUT_KEY: Final = re.compile(rb"(?:%s)[\w.+/=-]++\Z" % b"|".join(re.escape(start) for start, _ in _KEYS))
_CUT_CARD: Final = re.compile(rb"[2-6]\d(?:[ -]?\d){4,17}[ -]?\Z")
_CUT_USERINFO: Final = re.compile(rb"://[^\s/?#\"'<>@:\[]{0,256}+:(?!\d{0,5}\Z)([^\s/\"'<>@]{1,256}+)\Z")
_CUT_LENGTH: Final = 512  # so much of the end is looked at for what was cut off

# A key may follow a letter if that letter is the end of an escape.
_ESCAPE_BEFORE: Final = re.compile(rb"(?:\\[bfnrt]|%[0-9A-Fa-f]{2}|\\u00[0-9A-Fa-f]{2}|\x1b\[[0-9;]{1,8}m)\Z")

_AUTHORIZATION: Final = re.compile(rb"(?<![a-z])(bearer|basic)(?: {1,8}|%20|\+)([\w.~+/=-]++)(\S?)", re.IGNORECASE)
_URL_SAFE: Final = bytes.maketrans(b"-_", b"+/")
_PROSE: Final = re.compile(rb"[A-Za-z]?[a-z]*[.-]?")
_PROSE_LENGTH: Final = 15
_AFTER_SCHEME: Final = frozenset((b"auth", b"authentication", b"authorization", b"token", b"tokens", b"credentials"))

_USERINFO: Final = re.compile(
    rb":(?:\\?/){2}[^\s/?#\"'<>@:\[]{0,256}+:(?!\d{1,5}[/?#])([^\s\"'<>@]{1,256}+(?:@[^\s\"'<>@/?#]{1,256}+(?=@))*+)@"
)
_PEM: Final = re.compile(
    rb"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
    rb".*?(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----|\Z)",
    re.DOTALL,
)
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

Finder = Callable[[bytes], list[Edit]]


def suspect(data: bytes) -> bool:
    """Return whether there could be something to find."""
    return bool(_finders(data))


def find(data: bytes, *, cut: bool = False) -> list[Edit]:
    """Return the edits that mask what looks like a secret.

    :param cut: whether the end is missing, so that whatever a secret might begin with counts at the end
    """
    edits = [edit for finder in _finders(data) for edit in finder(data)]
    return edits + _cut_off(data) if cut else edits


def _finders(data: bytes) -> list[Finder]:
    """Return what is worth a try. It is called for everything, and most text has nothing of the kind."""
    finders: list[Finder] = []
    if len(data) < _SHORTEST:
        return finders
    if b"x" * _RUN in data.translate(_LETTERS) and any(start in data for start in _STARTS):
        finders.append(_keys)
    if b"0" * _SHORTEST_CARD in data.translate(_DIGITS, b" -"):
        finders.append(_cards)
    if b"@" in data and (b"://" in data or b":\\/\\/" in data):
        finders.append(_userinfo)
    if b"PRIVATE KEY" in data:
        finders.append(_private_keys)
    lower = data.lower()
    if b"bearer" in lower or b"basic" in lower:
        finders.append(_authorization)
    return finders


def _keys(data: bytes) -> list[Edit]:
    edits: list[Edit] = []
    for start, pattern in _KEYS:
        if start in data:
            matches = (match for match in pattern.finditer(data) if _is_key(data, match))
            edits += [edit for match in matches for edit in masking(data, *match.span())]
    for start, pattern in _MARKED:
        if start in data:
            edits += [edit for match in pattern.finditer(data) for edit in masking(data, *match.span(1))]
    return edits


def _is_key(data: bytes, match: re.Match[bytes]) -> bool:
    return _begins(data, match.start()) and None not in match.groups()


def _begins(data: bytes, start: int) -> bool:
    """Return whether a word begins here."""
    if not data[start - 1 : start].isalnum() or start == 0:
        return True
    return _ESCAPE_BEFORE.search(data[max(0, start - 12) : start]) is not None


def _userinfo(data: bytes) -> list[Edit]:
    return [edit for match in _USERINFO.finditer(data) for edit in masking(data, *match.span(1))]


def _private_keys(data: bytes) -> list[Edit]:
    return [edit for match in _PEM.finditer(data) for edit in masking(data, *match.span())]


def _authorization(data: bytes) -> list[Edit]:
    matches = (match for match in _AUTHORIZATION.finditer(data) if _is_credential(data, match))
    return [edit for match in matches for edit in masking(data, *match.span(2))]


def _is_credential(data: bytes, match: re.Match[bytes]) -> bool:
    """Return whether what follows the scheme is meant, rather than `Basic authentication` or `Bearer realm="x"`."""
    credential = match[2]
    key, equals, value = credential.partition(b"=")
    if (
        equals
        and (value.strip(b"=") or match[3] in (b'"', b"'", b"\\"))
        and len(key) <= _PROSE_LENGTH
        and key.isalpha()
    ):
        return False
    if match[1].lower() == b"basic":
        return b":" in _decoded(credential) or (len(credential) > _PROSE_LENGTH and not _PROSE.fullmatch(credential))
    if len(match[0]) == len(data):
        return credential.lower() not in _AFTER_SCHEME
    return len(credential) > _PROSE_LENGTH or not _PROSE.fullmatch(credential)


def _decoded(credential: bytes) -> bytes:
    text = credential.translate(_URL_SAFE, b"=.~")
    return a2b_base64(text[: len(text) // 4 * 4]) + _last(text[len(text) // 4 * 4 :])


def _last(text: bytes) -> bytes:
    return a2b_base64(text.ljust(4, b"=")) if len(text) > 1 else b""


def _cards(data: bytes) -> list[Edit]:
    edits: list[Edit] = []
    for match in _UUID_OR_DIGITS.finditer(data):
        if match[1]:
            for start, stop in _card_numbers(data, _whole_groups(data, *match.span(1))):
                edits += masking(data, start, stop)
    return edits


def _whole_groups(data: bytes, start: int, stop: int) -> list[tuple[int, int]]:
    """Return where the groups of digits are, without those at either end that belong to a longer word."""
    groups = [match.span() for match in _GROUP.finditer(data, start, stop)]
    if not _begins(data, start):
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
    if not _SHORTEST_CARD <= len(digits) <= _LONGEST_CARD or not _is_issued(digits):
        return False
    doubled = [(0, 2, 4, 6, 8, 1, 3, 5, 7, 9)[digit - 0x30] for digit in digits[-2::-2]]
    return (sum(doubled) + sum(digit - 0x30 for digit in digits[::-2])) % 10 == 0


def _is_issued(digits: bytes) -> bool:
    """Return whether cards begin so. Below 3 that is next to nothing, which leaves dates alone."""
    return digits[:1] in b"3456" or (len(digits) >= 16 and b"2200" <= digits[:4] <= b"2720")


def _cut_off(data: bytes) -> list[Edit]:
    """Return the edits that mask what may be the first part of a secret."""
    offset = max(0, len(data) - _CUT_LENGTH)
    end = data[offset:]
    key, card, userinfo = _CUT_KEY.search(end), _CUT_CARD.search(end), _CUT_USERINFO.search(end)
    spans: list[tuple[int, int]] = []
    if key and _begins(end, key.start()):
        spans.append(key.span())
    if card and _begins(end, card.start()):
        spans.append(card.span())
    if userinfo:
        spans.append(userinfo.span(1))
    return [edit for start, stop in spans for edit in masking(data, offset + start, offset + stop)]
