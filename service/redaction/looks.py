"""Secrets that are known by their looks, whatever they are called: tokens, keys, credentials and card numbers."""

import re
from binascii import a2b_base64
from collections.abc import Callable
from typing import Final

from . import cards
from .cards import begins
from .masks import MASK, Edit, masking

_RUN: Final = 16  # no key below is recognised by fewer letters, digits, dashes and underscores in a row
_RUNS: Final = bytes(0x78 if (chr(i).isalnum() and i < 128) or i in b"_-" else 0x20 for i in range(256))
_UNBROKEN: Final = b"x" * _RUN
_WORDS: Final = bytes(i if chr(_RUNS[i]) == "x" or i == 0x2E else 0x20 for i in range(256))
_MANY: Final = 4096  # where so much is to be searched, taking it apart first costs more than it saves
_SHORTEST: Final = 8  # of all: `Bearer x`

# What is in each key, to be searched for as plain bytes, so that text without any costs little; what the key starts
# with, and the rest. Behind its shortest length no pattern may fail, or a text of nothing but starts would be read over
# and over. What else must hold is a group named `need`, which matches if it can.
_KINDS: Final = (
    (b"eyJ", rb"eyJ", rb"[\w-]{8,}+(?P<need>(?:\.[\w-]*+){1,4}+)?+"),
    (b"eyJ", rb"eyJ(?:hbGci|0eXAi|raWQi|lbmMi)", rb"[\w-]{8,}+(?:\.[\w-]*+)*+"),
    (b"IA", rb"A[KS]IA", rb"[0-9A-Z]{12,24}+(?![0-9A-Za-z])"),
    (b"AIza", rb"AIza", rb"[\w-]{20,}+"),
    (b"ya29", rb"ya29\.", rb"[\w.-]{16,}+"),
    (b"GOCSPX", rb"GOCSPX-", rb"[\w-]{12,}+"),
    (b"gh", rb"gh[opsur]_", rb"\w{12,}+"),
    (b"gith", rb"github_pat_", rb"\w{10,}+"),
    (b"gl", rb"gl(?:pat|dt|rt|ptt|cbt|soat|ft|agent)-", rb"[\w.-]{12,}+"),
    (b"xox", rb"xox[abeoprs]-", rb"[\w-]{11,}+"),
    (b"xapp", rb"xapp-", rb"[\w-]{12,}+"),
    (b"k_", rb"[sr]k_(?:live|test)_", rb"\w{10,}+"),
    (b"whsec_", rb"whsec_", rb"[\w+=]{12,}+(?:/[\w+=]{8,}+)*+"),
    (b"sk-", rb"sk-", rb"(?=[\w-]{20})[A-Za-z_-]*+(?P<need>\d)?+[\w-]*+"),
    (b"SG", rb"SG\.", rb"[\w-]{16,}+(?:\.[\w-]*+)?+"),
    (b"npm_", rb"npm_", rb"[0-9A-Za-z]{20,}+"),
    (b"pypi-", rb"pypi-", rb"(?=[\w-]{20})[a-z_-]*+(?P<need>[A-Z])?+[\w-]*+"),
    (b"SK", rb"SK", rb"[0-9a-f]{32}(?![0-9A-Za-z])"),
    (b"hf_", rb"hf_", rb"[0-9A-Za-z]{20,}+"),
    (b"hv", rb"hv[bs]\.", rb"[\w-]{16,}+"),
    (b"lin_", rb"lin_api_", rb"\w{12,}+"),
    (b"glsa_", rb"glsa_", rb"\w{12,}+"),
    (b"NRAK", rb"NRAK-", rb"\w{12,}+"),
    (b"sbp_", rb"sbp_", rb"\w{12,}+"),
    (b"gsk_", rb"gsk_", rb"\w{16,}+"),
    (b"_v1_", rb"do[opr]_v1_", rb"[0-9a-f]{12,}+"),
    (b"shp", rb"shp(?:at|ca|pa|ss)_", rb"[0-9a-fA-F]{12,}+"),
    (b"sq0", rb"sq0(?:atp|csp)-", rb"[\w-]{12,}+"),
    (b"dapi", rb"dapi", rb"[0-9a-f]{32}(?![0-9A-Za-z])"),
    (b"key-", rb"key-", rb"[0-9a-f]{32}(?![0-9A-Za-z])"),
    (b"ATATT", rb"ATATT3", rb"[\w=-]{12,}+"),
    (b"PMAK", rb"PMAK-", rb"[0-9a-f-]{20,}+"),
    (b"AGE-", rb"AGE-SECRET-KEY-", rb"[0-9A-Z]{6,}+"),
)
_KEYS: Final = tuple((part, re.compile(start + rest)) for part, start, rest in _KINDS)
# The secret is what comes after a marker.
_MARKED: Final = (
    re.compile(rb"(?:Account|SharedAccess)Key=([\w+/=%-]++)"),
    re.compile(rb"hooks\.slack\.com/(?:services|workflows)/([\w/]++)"),
    re.compile(rb"(?<!\d)(\d{8,10}:AA[\w-]{30,}+)"),
)
_PARTS: Final = tuple(dict(_KEYS))
_OF_UUIDS: Final = b"0123456789abcdef-. "  # none of these parts is made up of nothing else
_CUT_KEY: Final = re.compile(
    rb"(?:(?:%s)[\w.+/=-]|(?<!\d)\d{8,10}:)[\w.+/=-]*+\Z" % b"|".join(start for _, start, _ in _KINDS)
)
_CUT_CARD: Final = re.compile(rb"[2-6]\d(?:[ -]?\d){4,17}[ -]?\Z")
_CUT_USERINFO: Final = re.compile(rb"://[^\s/?#\"'<>@:\[]{0,256}+:(?!\d{0,5}\Z)([^\s/\"'<>@]{1,256}+)\Z")
_CUT_LENGTH: Final = 512  # so much of the end is looked at for what was cut off

_AUTHORIZATION: Final = re.compile(rb"(bearer|basic)(?: {1,8}|%20|\+)([\w.~+/-][\w.~+/=-]*+)(\S?)", re.IGNORECASE)
_URL_SAFE: Final = bytes.maketrans(b"-_", b"+/")
_PROSE: Final = re.compile(rb"[A-Za-z]?[a-z]*[.-]?")
_PROSE_LENGTH: Final = 15
_AFTER_SCHEME: Final = frozenset((b"auth", b"authentication", b"authorization", b"token", b"tokens", b"credentials"))

_USERINFO: Final = re.compile(
    rb":(?:\\?/){2}[^\s/?#\"'<>@:\[]{0,256}+:(?!\d{1,5}[/?#])([^\s\"'<>@]{1,2048}+(?:@[^\s\"'<>@/?#]{1,256}+(?=@))*+)@"
)
_PEM: Final = re.compile(
    rb"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
    rb".*?(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----|\Z)",
    re.DOTALL,
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
    at, length = data.find, len(data)  # `in` takes twice as long: Python asks first whether it is a number
    if length < _SHORTEST:
        return finders
    if length >= _RUN and data.translate(_RUNS).find(_UNBROKEN) >= 0 and _has_key(data):
        finders.append(_keys)
    if at(b"Key=") >= 0 or at(b".slack.com/") >= 0 or at(b":AA") >= 0:
        finders.append(_marked)
    if cards.suspect(data):
        finders.append(cards.find)
    if at(b"@") >= 0 and (at(b"://") >= 0 or at(b":\\/\\/") >= 0):
        finders.append(_userinfo)
    if at(b"PRIVATE KEY") >= 0:
        finders.append(_private_keys)
    at = data.lower().find
    if at(b"bearer") >= 0 or at(b"basic") >= 0:
        finders.append(_authorization)
    return finders


def _has_key(data: bytes) -> bool:
    """Return whether there is a part of a key in a word long enough. Most that are so long are UUIDs and the like."""
    words = data if len(data) > _MANY else b" ".join(_long_words(data))
    return bool(words.translate(None, _OF_UUIDS)) and any(part in words for part in _PARTS)


def _long_words(data: bytes) -> list[bytes]:
    return [word for word in data.translate(_WORDS).split() if len(word) >= _RUN]


def _keys(data: bytes) -> list[Edit]:
    edits: list[Edit] = []
    for start, pattern in _KEYS:
        if start in data:
            matches = (match for match in pattern.finditer(data) if _is_key(data, match))
            edits += [edit for match in matches for edit in masking(data, *match.span())]
    return edits


def _marked(data: bytes) -> list[Edit]:
    matches = (match for pattern in _MARKED for match in pattern.finditer(data))
    return [edit for match in matches for edit in masking(data, *match.span(1))]


def _is_key(data: bytes, match: re.Match[bytes]) -> bool:
    return begins(data, match.start()) and None not in match.groups()


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
    if not begins(data, match.start()):
        return False
    key, equals, value = credential.partition(b"=")
    if (
        equals
        and (value.strip(b"=") or match[3] in (b'"', b"'", b"\\", b"["))
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


def _cut_off(data: bytes) -> list[Edit]:
    """Return the edits that mask what may be the first part of a secret."""
    offset = max(0, len(data) - _CUT_LENGTH)
    end = data[offset:]
    key, card, userinfo = _CUT_KEY.search(end), _CUT_CARD.search(end), _CUT_USERINFO.search(end)
    spans: list[tuple[int, int]] = []
    if key and begins(end, key.start()):
        spans.append(key.span())
    if card and begins(end, card.start()) and not end.startswith(MASK, max(0, card.start() - len(MASK) - 1)):
        spans.append(card.span())
    if userinfo:
        spans.append(userinfo.span(1))
    return [edit for start, stop in spans for edit in masking(data, offset + start, offset + stop)]
