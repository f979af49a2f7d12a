"""Bodies as they are sent: in any encoding, as forms of one part or many, and not always what they claim to be."""

import codecs
import re
from collections.abc import Iterator
from typing import Final

from . import looks
from .masks import edited, mask, masked
from .names import Names
from .shapes import Shapes

_TEXT_TYPE: Final = re.compile(
    rb"\s*(?:text/|multipart/|[\w.+-]+/(?:[\w.+-]*[+.-])?(?:json|xml|x-www-form-urlencoded|graphql|"
    rb"javascript|ndjson|x-ndjson|jsonl|jsonlines|yaml|x-yaml|toml|csv|sql))",
    re.IGNORECASE,
)
_JSON: Final = re.compile(rb"(?:\xef\xbb\xbf)?\s*+[\[{\"]")
_FORM: Final = re.compile(rb"[^\s=&<>{}\"]{1,256}=[^\s<>{}\"]*+\s*+")
_WIDE: Final = re.compile(rb"charset\s*=\s*\"?(utf-?(?:16|32)(?:-?[bl]e)?)\b", re.IGNORECASE)
_CHARSET: Final = re.compile(rb"charset\s*=\s*\"?(?!utf-?8|us-ascii)\w", re.IGNORECASE)
_MARKS: Final = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# The first two characters of JSON or a form are ASCII, which shows where the zeros are.
_ZEROS: Final = (
    (re.compile(rb"[\t\n\r -~]\0\0\0"), "utf-32-le"),
    (re.compile(rb"\0\0\0[\t\n\r -~]"), "utf-32-be"),
    (re.compile(rb"(?:[\t\n\r -~]\0){2}"), "utf-16-le"),
    (re.compile(rb"(?:\0[\t\n\r -~]){2}"), "utf-16-be"),
)
_BOUNDARY: Final = re.compile(rb"boundary\s*=\s*(?:\"([^\"]{1,256})\"|([^\s\";,]{1,256}))", re.IGNORECASE)
_FIRST_BOUNDARY: Final = re.compile(rb"\s*--([^\r\n]{1,256})\r?\nContent-", re.IGNORECASE)
_BLANK_LINE: Final = re.compile(rb"\r?\n\r?\n")
_PART_NAME: Final = re.compile(rb"[;\s]name\*?\s*=\s*(?:\"((?:[^\"\\\r\n]|\\.)*+)\"?|([^\s;]+))", re.IGNORECASE)
_PART_TYPE: Final = re.compile(rb"^content-type:\s*([^\r\n]*)", re.IGNORECASE | re.MULTILINE)
_TEXT_BYTES: Final = bytes([*b"\t\n\f\r\x1b", *range(0x20, 0x7F), *range(0x80, 0x100)])
_RARE: Final = 32
_MOST_NESTED: Final = 4


class Bodies:
    """Masks secrets in bodies."""

    def __init__(self, names: Names, shapes: Shapes, *, patterns: bool) -> None:
        self._names = names
        self._shapes = shapes
        self._patterns = patterns

    def redact(self, body: bytes, content_type: bytes, *, cut: bool, depth: int = 0) -> bytes:
        """Return the body with its secrets masked.

        :param cut: whether its end is missing
        :param depth: how many multipart bodies it is a part of
        """
        if depth < _MOST_NESTED and (encoding := _wide(body, content_type)):
            redacted = self._redact_wide(body, encoding, content_type, cut=cut)
            if redacted != body:
                return redacted
            # A mark at its beginning may be a lie: then it is looked through as it stands, too.
        if depth < _MOST_NESTED and (parts := _parts(body, content_type)):
            return self._redact_parts(parts, cut=cut, depth=depth)
        if not _seems_text(body, content_type):
            return edited(body, looks.find(body, cut=cut)) if self._patterns else body
        edits = self._shapes.form(body, cut) if _is_form(body, content_type) else []
        return edited(body, [*edits, *self._shapes.text(body, cut)])

    def _redact_wide(self, body: bytes, encoding: str, content_type: bytes, *, cut: bool) -> bytes:
        """Return a body whose characters take two or four bytes; as it was if nothing is masked.

        What cannot be decoded is replaced, and a character that the end cuts in half is dropped, if anything is.
        """
        width = 4 if "32" in encoding else 2
        whole = body[: len(body) // width * width]
        try:
            text = whole.decode(encoding, "surrogatepass")
        except UnicodeDecodeError:
            text = whole.decode(encoding, "replace")
        narrow = text.encode("utf-8", "surrogatepass")
        redacted = self.redact(narrow, content_type, cut=cut or whole != body, depth=_MOST_NESTED)
        if redacted == narrow:
            return body
        return redacted.decode("utf-8", "surrogatepass").encode(encoding, "surrogatepass")

    def _redact_parts(self, parts: list[bytes], *, cut: bool, depth: int) -> bytes:
        """Return the parts put together again, each of them redacted. Every second piece is a boundary."""
        last = len(parts) - 1
        pieces = [
            part if index % 2 else self._redact_part(part, cut=cut and index == last, depth=depth)
            for index, part in enumerate(parts)
        ]
        return b"".join(pieces)

    def _redact_part(self, part: bytes, *, cut: bool, depth: int) -> bytes:
        blank = _BLANK_LINE.search(part)
        if blank is None:
            return edited(part, self._shapes.text(part, cut))
        head, content = part[: blank.end()], part[blank.end() :]
        name = _PART_NAME.search(head)
        if name and self._names[_first(name)]:
            content = content if masked(content) or not content else mask(content)
        else:
            type_ = _PART_TYPE.search(head)
            content = self.redact(content, type_[1] if type_ else b"", cut=cut, depth=depth + 1)
        return edited(head, self._shapes.text(head)) + content


def readable(body: bytes, content_type: bytes) -> bool:
    """Return whether this is text of any kind, so that one can look inside."""
    if _wide(body, content_type) or _parts(body, content_type):
        return True
    if body.translate(None, _TEXT_BYTES):
        return False
    return body.isascii() or bool(_CHARSET.search(content_type)) or _is_utf8(body)


def _seems_text(body: bytes, content_type: bytes) -> bool:
    """Return whether names mean anything in this. A control character or two do not make text binary."""
    if _JSON.match(body) or _TEXT_TYPE.match(content_type) or _FORM.fullmatch(body):
        return True
    return len(body.translate(None, _TEXT_BYTES)) <= len(body) // _RARE


def _is_utf8(body: bytes) -> bool:
    """Return whether this is UTF-8, whose last character may be cut in half."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(body)
    except UnicodeDecodeError:
        return False
    return True


def _wide(body: bytes, content_type: bytes) -> str | None:
    """Return the encoding if its characters take two or four bytes."""
    if declared := _WIDE.search(content_type):
        return next((name for mark, name in _MARKS if body.startswith(mark)), None) or _declared(body, declared[1])
    if body[:1] in (b"\xff", b"\xfe") or b"\0" in body[:4]:
        by_mark = (name for mark, name in _MARKS if body.startswith(mark))
        by_zeros = (name for zeros, name in _ZEROS if zeros.match(body))
        return next(by_mark, None) or next(by_zeros, None)
    return None


def _declared(body: bytes, name: bytes) -> str | None:
    """Return the declared encoding, or None if it is a lie. Without a byte order it is what the zeros tell."""
    seen = next((name for zeros, name in _ZEROS if zeros.match(body)), None)
    if seen is None and b"\0" not in body[:64] and body.isascii():
        return None
    width = "32" if b"32" in name else "16"
    return seen or f"utf-{width}-{'le' if name[-2:].lower() == b'le' else 'be'}"


def _is_form(body: bytes, content_type: bytes) -> bool:
    return b"urlencoded" in content_type.lower() or _FORM.fullmatch(body) is not None


def _parts(body: bytes, content_type: bytes) -> list[bytes]:
    """Return the parts of a multipart body and the boundaries between them by turns, or nothing if it is none."""
    for boundary in _boundaries(body, content_type):
        delimiter = rb"((?:\A|\r?\n)--" + re.escape(boundary) + rb"(?:--)?[ \t]{0,8}(?=\r?\n|\Z))"
        parts = re.split(delimiter, body)
        if len(parts) > 1:
            return parts
    return []


def _boundaries(body: bytes, content_type: bytes) -> Iterator[bytes]:
    if b"oundary" in content_type and (declared := _BOUNDARY.search(content_type)):
        yield _first(declared)
    if b"--" in body[:64] and (first := _FIRST_BOUNDARY.match(body)):
        yield first[1]


def _first(match: re.Match[bytes]) -> bytes:
    return next((group for group in match.groups() if group is not None), b"")
