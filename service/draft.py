"""A captured request as a form to edit, and the request that comes of it once all its secrets are known.

In a form each secret is a mask, `[redacted]#1f3a9c`. No mask is ever sent: whoever sends the form says what the
masks stand for, or writes something else there.
"""

import json
import re
from base64 import b64decode
from collections.abc import Callable, Iterable, Mapping
from typing import Final
from urllib.parse import quote, unquote_to_bytes

import msgspec

from reqscope.bus import Event
from reqscope.bus.resend import Resend, percent_encoded
from reqscope.bus.schema import header, text_or_base64

from .replay_marks import HEADER

Headers = list[tuple[bytes, bytes]]

HOP_BY_HOP: Final = frozenset(
    b"connection content-length expect keep-alive proxy-authenticate proxy-authorization proxy-connection te trailer "
    b"transfer-encoding upgrade".split()
)
"""Headers between a client and the next server (RFC 9110, section 7.6.1), which are made anew or left out."""

_OWN: Final = HEADER.lower().encode()
_TOKEN: Final = re.compile(rb"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_VALUE: Final = re.compile(rb"(?:[!-~\x80-\xff](?:[\t -~\x80-\xff]*[!-~\x80-\xff])?)?")
_TARGET: Final = re.compile(rb"/[!-\"$-~]*")
_NOT_ASCII: Final = re.compile(rb"[^!-~]")
_MASK: Final = re.compile(rb"\[redacted\]#([0-9a-f]{6})")
_ANY_MASK: Final = re.compile(rb"\[redacted\](?:#[0-9a-f]{0,6})?", re.IGNORECASE)
_WITHHELD: Final = "[withheld]"

Encode = Callable[[str], bytes]


class Draft(msgspec.Struct):
    """What would be sent, in text that can be edited and sent back.

    `body` and `body_base64` are None where there is none; `missing` says why if the request had one.
    """

    method: str
    target: str
    """Path and query, percent-encoded."""
    headers: list[tuple[str, str]]
    body: str | None
    body_base64: str | None
    """Instead of `body`, where that is not UTF-8."""
    missing: str
    notes: list[str]
    """What is not as it was, in sentences."""


class Edited(msgspec.Struct):
    """What somebody wants sent. What is None is as it was captured."""

    method: str | None = None
    target: str | None = None
    headers: list[tuple[str, str]] | None = None
    body: bytes | None = None
    secrets: Mapping[str, str] = {}
    """The digits of a mask, and what it stands for."""


class Outgoing(msgspec.Struct):
    """A request without any mask, and without headers that a client makes for itself."""

    method: str
    target: bytes
    headers: Headers
    body: bytes | None


class DraftError(ValueError):
    """The form is not one that can be sent. The message says why, in one sentence.

    :ivar masks: the digits of those masks that nobody said the meaning of
    """

    def __init__(self, message: str, masks: Iterable[str] = ()) -> None:
        super().__init__(message)
        self.masks = sorted(set(masks))


def draft(event: Event, base_url: str) -> Draft:
    """Return the request of an opened event as a form.

    :param base_url: where it would be sent to
    :raises reqscope.bus.resend.CannotCopyError: the event is no request, or its method is none
    """
    request = Resend(event, base_url)
    masked = request.secrets.masked
    body, encoded = (None, None) if request.body is None else text_or_base64(masked(request.body))
    request.query = percent_encoded(request.query, _NOT_ASCII)
    skipped = _skipped(event.request_headers)
    return Draft(
        method=request.method,
        target="" if _WITHHELD in event.path else masked(request.target).decode("latin-1"),
        headers=[
            (name.decode(), masked(value).decode("latin-1")) for name, value in request.headers if name not in skipped
        ],
        body=body,
        body_base64=encoded,
        missing=request.missing,
        notes=[note for note in request.notes if not request.missing or not note.startswith(request.missing)],
    )


def outgoing(captured: Draft, edited: Edited) -> Outgoing:
    """Return the request that an edited form means, its masks replaced by what they stand for.

    A secret is encoded for where it stands: in the path and query and in a form as there, in JSON as there.

    :raises DraftError: something is missing, is no HTTP, or is still a mask
    """
    method = captured.method if edited.method is None else edited.method
    target = captured.target if edited.target is None else edited.target
    headers = captured.headers if edited.headers is None else edited.headers
    if not _TOKEN.fullmatch(method.encode()):
        raise DraftError("the method is none")
    if not target:
        raise DraftError("the path could not be made safe to show, so it has to be given")
    if edited.body is None and captured.missing:
        raise DraftError(f"{captured.missing[0].lower()}{captured.missing[1:]}, so it has to be given; it may be empty")
    fill = _Fill(edited.secrets)
    sent = [_header(name, value, fill) for name, value in headers]
    skipped = _skipped(sent)
    request = Outgoing(
        method,
        fill(quote(target, safe="".join(map(chr, range(0x21, 0x7F)))).encode(), _in_url),
        [(name, value) for name, value in sent if name not in skipped],
        _body(captured, edited, sent, fill),
    )
    fill.check()
    for name, value in request.headers:
        if not _VALUE.fullmatch(value):
            raise DraftError(f"the header {name.decode()} holds characters that HTTP does not carry")
    if [name for name, _ in request.headers].count(b"host") > 1:
        raise DraftError("a request has one header host")
    if not _TARGET.fullmatch(request.target):
        raise DraftError("the path begins with a slash, and a # in it or in the query is written %23")
    return request


class _Fill:
    """Puts secrets in the place of masks, and remembers what it could not replace."""

    def __init__(self, secrets: Mapping[str, str]) -> None:
        self._secrets = secrets
        self._unknown: list[str] = []
        self._left = False

    def __call__(self, data: bytes, encode: Encode) -> bytes:
        def meaning(match: re.Match[bytes]) -> bytes:
            digits = match[1].decode()
            if not self._secrets.get(digits):
                self._unknown.append(digits)
                return match[0]
            return encode(self._secrets[digits])

        filled = _MASK.sub(meaning, data)
        # Also one that was cut, or encoded by whoever edited the form.
        self._left |= any(map(_ANY_MASK.search, (filled, unquote_to_bytes(filled), filled.replace(b"\0", b""))))
        return filled

    def check(self) -> None:
        """:raises DraftError: a mask is left"""
        if self._unknown:
            masks = ", ".join(f"[redacted]#{digits}" for digits in dict.fromkeys(self._unknown))
            raise DraftError(f"say what stands for {masks}: a mask is never sent", self._unknown)
        if self._left:
            raise DraftError("a mask without its six digits is left: write what is to be sent in its place")


def _header(name: str, value: str, fill: _Fill) -> tuple[bytes, bytes]:
    try:
        field = name.strip().lower().encode("ascii")
        data = value.strip(" \t").encode("latin-1")
    except UnicodeEncodeError:
        raise DraftError("a header holds characters that HTTP does not carry") from None
    if not _TOKEN.fullmatch(field):
        raise DraftError("the name of a header is none")
    return field, fill(data, str.encode)


def _body(captured: Draft, edited: Edited, headers: Headers, fill: _Fill) -> bytes | None:
    body = edited.body
    if body is None:
        body = captured.body.encode() if captured.body is not None else None
        if captured.body_base64 is not None:
            body = b64decode(captured.body_base64)
    if body is None:
        return None
    kind = header(tuple(headers), b"content-type").lower()
    if "json" in kind:
        return fill(body, _in_json)
    return fill(body, _in_url if "urlencoded" in kind else str.encode)


def _skipped(headers: Iterable[tuple[bytes, bytes]]) -> frozenset[bytes]:
    """Names of headers that are not sent on, those that the request itself calls hop-by-hop among them."""
    named = [value for name, value in headers if name.lower() == b"connection"]
    return HOP_BY_HOP | {_OWN} | {word.strip().lower() for value in named for word in value.split(b",")}


def _in_url(secret: str) -> bytes:
    return quote(secret, safe="").encode()


def _in_json(secret: str) -> bytes:
    return json.dumps(secret, ensure_ascii=False)[1:-1].encode()
